"""Initialisers: how weights are drawn before training. `WeightInitialiser` and `BiasInitialiser` are the only lists of them.

    glorot_uniform, glorot_normal  variance 2 / (inputs + outputs)   Glorot, Bengio 2010; Keras' default for dense layers
    he_uniform, he_normal          variance 2 / inputs               He et al. 2015 (arXiv 1502.01852); for relu
    lecun_uniform, lecun_normal    variance 1 / inputs               LeCun et al., "Efficient BackProp", 1998
    orthogonal                     gain times a random matrix with orthonormal rows, or columns where there are more rows
                                   Saxe et al. 2014 (arXiv 1312.6120)
    normal                         deviation times N(0, 1)
    zeros, constant                the same number everywhere

Uniform ones lie within +-sqrt(3 variance). Inputs and outputs of a weight (outputs, inputs, *kernel) are counted with the kernel's size, as
in torch.nn.init, whose xavier_, kaiming_ (of relu, fan_in) and orthogonal_ these are. Keras cuts its normal ones at two deviations.
Nielsen's book: weights "normal" in its first network; later lecun_normal, with biases "normal". Without an initialiser a layer takes
PyTorch's default, uniform within +-1 / sqrt(inputs).
"""

from __future__ import annotations

from abc import abstractmethod
from math import prod, sqrt
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nncore.definition import Definition, shown


class Initialiser(Definition):
    """What a parameter is at first."""

    @abstractmethod
    def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """The values, float64, of this shape."""


class Scaled(Initialiser):
    """As wide as the numbers of inputs and outputs want it, so that signals neither grow nor fade from layer to layer.

    Variances: glorot 2 / (inputs + outputs), he 2 / inputs, lecun 1 / inputs.
    """

    model_config = shown(type="he_normal")

    type: Literal["glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal"]

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        rule, distribution = self.type.split("_")
        outputs, inputs = shape[0] * prod(shape[2:]), prod(shape[1:])
        variance = {"glorot": 2 / (inputs + outputs), "he": 2 / inputs, "lecun": 1 / inputs}[rule]
        if distribution == "normal":
            return generator.normal(0.0, sqrt(variance), shape)
        return generator.uniform(-sqrt(3 * variance), sqrt(3 * variance), shape)


class Orthogonal(Initialiser):
    """Rows (or columns) at right angles, each of the length `gain`."""

    model_config = shown(type="orthogonal")

    type: Literal["orthogonal"] = "orthogonal"
    gain: Annotated[float, Field(gt=0, le=1e6, description="The length of every row (or column).")] = 1.0

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        rows, columns = shape[0], prod(shape[1:])
        q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # else the distribution would lean to one side (Mezzadri 2007)
        return np.asarray(self.gain * (q if rows >= columns else q.T)).reshape(shape)


class Normal(Initialiser):
    """Normally distributed around 0."""

    model_config = shown(type="normal", deviation=0.1)

    type: Literal["normal"] = "normal"
    deviation: Annotated[float, Field(gt=0, le=1e6, description="The standard deviation.")] = 1.0

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return generator.normal(0.0, self.deviation, shape)


class Zeros(Initialiser):
    """Nothing. For biases: units whose weights are all equal learn the same."""

    model_config = shown(type="zeros")

    type: Literal["zeros"] = "zeros"

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(shape)


class Constant(Initialiser):
    """One number everywhere."""

    model_config = shown(type="constant", value=0.1)

    type: Literal["constant"] = "constant"
    value: Annotated[float, Field(ge=-1e6, le=1e6, description="That number.")]

    def draw(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.value)


WeightInitialiser = Annotated[Scaled | Orthogonal | Normal | Zeros | Constant, Field(discriminator="type")]
BiasInitialiser = Annotated[Normal | Zeros | Constant, Field(discriminator="type")]
