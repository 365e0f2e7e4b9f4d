"""y[t] = weight[token t]: every token, a whole number below `vocabulary`, becomes a vector of its own that is learned.

It is the first layer: its inputs are the tokens of a row, (steps,), sent as numbers, and (steps, dimensions) comes out. weight has the
shape (vocabulary, dimensions), N(0, 1) at first, as in torch.nn.Embedding. A token that stands twice adds up both gradients.

Rows of a table have all the same length: shorter texts are filled up with `padding_index`, whose vector is 0 at first and never learns.
Layers that read sequences may leave those steps out (see mean_over_sequence.py).

Source: Bengio et al., "A neural probabilistic language model", JMLR 3 (2003).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from nncore.definition import shown
from nncore.errors import Fault, InvalidSpec
from nncore.initialisers import Initialiser, Normal, WeightInitialiser
from nncore.layers.given import Given, check_given
from nncore.layers.layer import Layer, Shape
from nncore.machine.kernels import ROWS, Array, Op, clear, kernel, view
from nncore.machine.plan import NOWHERE, Plan, Value

MOST_TOKENS = 2**24  # float32 tells all whole numbers up to here apart
MOST_DIMENSIONS = 2**20


class Embedding(Layer):
    """A learned vector for every token: items (steps,) of whole numbers become (steps, dimensions). The first layer, or none."""

    model_config = shown(type="embedding", vocabulary=1000, dimensions=32, padding_index=0)

    type: Literal["embedding"] = "embedding"
    given_names: ClassVar[tuple[str, ...]] = ("weight",)
    must_be_given: ClassVar[tuple[str, ...]] = ("weight",)
    first_only: ClassVar[bool] = True
    vocabulary: Annotated[int, Field(ge=1, le=MOST_TOKENS, description="How many tokens there are; they are 0, 1, 2 and so on.")]
    dimensions: Annotated[int, Field(ge=1, le=MOST_DIMENSIONS, description="Numbers in the vector of a token.")]
    padding_index: Annotated[int | None, Field(ge=0, lt=MOST_TOKENS, description="The token that fills up short rows.")] = None
    weight: Annotated[Given | None, Field(description="Of shape (vocabulary, dimensions). Default: drawn.")] = None
    initialiser: Annotated[WeightInitialiser | None, Field(description="How the weight is drawn.")] = None

    @field_validator("padding_index")
    @classmethod
    def _is_a_token(cls, padding_index: int | None, info: ValidationInfo) -> int | None:
        vocabulary = info.data.get("vocabulary")
        if padding_index is not None and vocabulary is not None and padding_index >= vocabulary:
            values = {"most": vocabulary - 1, "got": padding_index}
            raise PydanticCustomError("no_such_token", "padding_index is one of the tokens, from 0 to {most}; got {got}", values)
        return padding_index

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1 or input_shape[0] < 1:
            message = f"an embedding layer takes items of shape (steps,), a token for each step, got items of shape {list(input_shape)}"
            raise InvalidSpec(Fault("", "shape_mismatch", message, "(steps,)", str(list(input_shape))))
        check_given(self, weight=(self.vocabulary, self.dimensions))
        return (input_shape[0], self.dimensions)

    def refuses(self, inputs: np.ndarray, first: int = 0) -> Fault | None:
        """The first token of `inputs` (rows, steps) that the vocabulary does not have, as a fault; None where it has all."""
        wrong = ~((inputs >= 0) & (inputs < self.vocabulary) & (inputs == np.floor(inputs)))
        if not wrong.any():
            return None
        row = int(wrong.any(axis=1).argmax())
        token = float(inputs[row, wrong[row].argmax()])
        wanted = f"whole numbers from 0 to {self.vocabulary - 1:,}"
        message = f"row {first + row + 1}: an embedding of {self.vocabulary:,} tokens takes {wanted}, got {token:g}"
        return Fault(f"/{first + row}", "no_such_token", message, wanted, f"{token:g}")

    def lower(self, plan: Plan, x: Value) -> Value:
        steps, dimensions = self.output_shape(x.shape)
        shape, drawn = (self.vocabulary, dimensions), _Drawn(how=self.initialiser or Normal(), padding_index=self.padding_index)
        weight, y = plan.parameter(f"{plan.module()}.weight", shape, 0.0, self.weight, drawn), plan.value(steps, dimensions)
        mask = NOWHERE if self.padding_index is None else plan.workspace(steps)
        padding = -1 if self.padding_index is None else self.padding_index
        sizes = (self.vocabulary, steps, dimensions, padding)
        plan.forward.append((embedding_forward, x.at, weight.at, y.at, mask, *sizes))
        if plan.gradients:
            plan.backward.append([(embedding_backward, x.at, weight.gradient, y.gradient, *sizes)])
        return y._replace(mask=mask)


class _Drawn(Initialiser):
    """The weight of an embedding: the vector of the padding is 0."""

    how: WeightInitialiser
    padding_index: int | None

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        weight = self.how.draw(generator, shape)
        if self.padding_index is not None:
            weight[self.padding_index] = 0
        return weight


@kernel
def embedding_forward(op: Op, arena: Array, integers: Array) -> None:
    """y = the vectors of the tokens; mask = 1, or 0 at the padding."""
    x_at, weight_at, y_at, mask_at, vocabulary, steps, dimensions, padding = op[:8]
    count, kind = integers[ROWS] * steps, arena.dtype.type
    tokens, y = view(arena, x_at, count), view(arena, y_at, count, dimensions)
    weight, mask = view(arena, weight_at, vocabulary, dimensions), view(arena, mask_at if mask_at >= 0 else x_at, count)
    for i in range(count):
        token = int(tokens[i])
        vector, out = weight[token], y[i]
        for j in range(dimensions):
            out[j] = vector[j]
        if mask_at >= 0:
            mask[i] = kind(0) if token == padding else kind(1)


@kernel
def embedding_backward(op: Op, arena: Array, integers: Array) -> None:
    """dweight = dy, added up for each token; nothing for the padding."""
    x_at, dweight_at, dy_at, vocabulary, steps, dimensions, padding = op[:7]
    count = integers[ROWS] * steps
    tokens, dy = view(arena, x_at, count), view(arena, dy_at, count, dimensions)
    dweight = view(arena, dweight_at, vocabulary, dimensions)
    clear(view(arena, dweight_at, vocabulary * dimensions))
    for i in range(count):
        token = int(tokens[i])
        if token != padding:
            slope, vector = dy[i], dweight[token]
            for j in range(dimensions):
                vector[j] += slope[j]
