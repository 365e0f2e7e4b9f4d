"""y = f1(x) and f2(x) and ..., side by side ("concat") or summed ("add"): several looks at the same items.

Every branch is a list of layers; an empty one passes its input on. "add" wants the same shape from all. "concat" lays them side by side
along one dimension of an item (`axis`; 0: units, or the channels of a picture; -1: the features of a sequence), and wants the others
equal. As a tree of torch modules: a module whose `branches` is a torch.nn.ModuleList of one torch.nn.Sequential for each branch, so the
parameters of parallel N are named N.branches.B.M.weight and so on; `axis` is dim - 1 of torch.cat, where it is not negative.

Source: Szegedy et al., "Going Deeper with Convolutions" (2014), 4 (concat); Xie et al., "Aggregated Residual Transformations" (2016) (add).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from nncore.definition import shown
from nncore.errors import Fault, InvalidSpec
from nncore.layers.layer import Layer, Shape, every_layer, shapes_through
from nncore.layers.residual import add
from nncore.machine.kernels import ROWS, Array, Op, kernel, view
from nncore.machine.plan import NOWHERE, Plan, Value

if TYPE_CHECKING:
    from nncore.layers import LayerSpec

MOST_BRANCHES = 64


class Parallel(Layer):
    """Gives its input to every branch, a list of layers each, and lays what comes out side by side, or sums it."""

    model_config = shown(type="parallel", branches=[[{"type": "dense", "units": 8, "activation": "relu"}], []])

    type: Literal["parallel"] = "parallel"
    branches: Annotated[
        list[list[LayerSpec]], Field(min_length=1, max_length=MOST_BRANCHES, description="Lists of layers; an empty one changes nothing.")
    ]
    merge: Annotated[Literal["concat", "add"], Field(description="Side by side along `axis`, or summed.")] = "concat"
    axis: Annotated[int, Field(ge=-8, le=7, description="The dimension of an item that concat makes longer.")] = 0

    def inner(self) -> Sequence[tuple[str, Layer]]:
        return tuple(found for number, branch in enumerate(self.branches) for found in every_layer(branch, f"/branches/{number}"))

    def output_shape(self, input_shape: Shape) -> Shape:
        shapes = [shapes_through(branch, input_shape, f"/branches/{number}")[-1] for number, branch in enumerate(self.branches)]
        if self.merge == "concat" and not -len(shapes[0]) <= self.axis < len(shapes[0]):
            message = f"items of shape {list(shapes[0])} have no dimension {self.axis} to be laid side by side along; choose another axis"
            raise InvalidSpec(Fault("/axis", "shape_mismatch", message, f"below {len(shapes[0])}", str(self.axis)))
        for number, shape in enumerate(shapes):
            if self._compared(shape) != self._compared(shapes[0]):
                wanted = "the same shape from every branch"
                wanted += "" if self.merge == "add" else f", but for dimension {self.axis}"
                message = f"{self.merge} wants {wanted}; branch 0 gives {list(shapes[0])}, branch {number} gives {list(shape)}"
                raise InvalidSpec(Fault(f"/branches/{number}", "shape_mismatch", message, str(list(shapes[0])), str(list(shape))))
        if self.merge == "add":
            return shapes[0]
        axis = self.axis % len(shapes[0])
        return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])

    def _compared(self, shape: Shape) -> tuple[int | None, ...]:
        """The shape as far as it must be equal."""
        if self.merge == "add" or not -len(shape) <= self.axis < len(shape):
            return shape
        return tuple(None if at == self.axis % len(shape) else size for at, size in enumerate(shape))

    def without_parameters(self) -> Parallel:
        return self.model_copy(update={"branches": [[layer.without_parameters() for layer in branch] for branch in self.branches]})

    def lower(self, plan: Plan, x: Value) -> Value:
        """Every branch but the first writes a gradient of x of its own, and they are summed when all are done."""
        last: list[tuple[Any, ...]] = []  # groups run last first: this one after those of the branches
        plan.backward.append(last)
        module, outputs = plan.module(), []
        for number, branch in enumerate(self.branches):
            changed = x
            if number > 0 and x.gradient != NOWHERE:
                changed = x._replace(gradient=plan.workspace(x.size))
                last.append((add, x.gradient, changed.gradient, x.gradient, x.size))
            with plan.inside(f"{module}.branches.{number}"):
                for position, layer in enumerate(branch):
                    changed = plan.lower(f"/branches/{number}/{position}", layer, changed)
            outputs.append(changed)

        y = plan.value(*self.output_shape(x.shape))
        backward: list[tuple[Any, ...]] = []
        offset = 0  # of a branch within a run of y; a run is what lies together along the dimension of concat
        axis = self.axis % len(y.shape) if self.merge == "concat" else 0
        runs = prod(y.shape[:axis]) if self.merge == "concat" else 1
        for number, part in enumerate(outputs):
            size = part.size // runs
            accumulate = int(self.merge == "add" and number > 0)
            plan.forward.append((put, part.at, y.at, runs, size, y.size // runs, offset, accumulate))
            if plan.gradients and part.gradient != NOWHERE:
                backward.append((cut, part.gradient, y.gradient, runs, size, y.size // runs, offset))
            offset += size if self.merge == "concat" else 0
        plan.backward.append(backward)
        return y


@kernel
def put(op: Op, arena: Array, integers: Array) -> None:
    """y[:, offset : offset + size] = part, or += part; y: (rows * runs, width), part: (rows * runs, size)."""
    part_at, y_at, runs, size, width, offset, accumulate = op[:7]
    count = integers[ROWS] * runs
    part, y = view(arena, part_at, count, size), view(arena, y_at, count, width)
    if accumulate:
        for run in range(count):
            for j in range(size):
                y[run, offset + j] += part[run, j]
    else:
        for run in range(count):
            for j in range(size):
                y[run, offset + j] = part[run, j]


@kernel
def cut(op: Op, arena: Array, integers: Array) -> None:
    """dpart = dy[:, offset : offset + size], shapes as in `put`."""
    dpart_at, dy_at, runs, size, width, offset = op[:6]
    count = integers[ROWS] * runs
    dpart, dy = view(arena, dpart_at, count, size), view(arena, dy_at, count, width)
    for run in range(count):
        for j in range(size):
            dpart[run, j] = dy[run, offset + j]
