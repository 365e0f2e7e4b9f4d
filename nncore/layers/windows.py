"""Windows that slide over a sequence or a picture: how convolutions and pools cut up their inputs.

Items are channels first, (channels, length) or (channels, height, width). Along every axis a window has `kernel_size` places,
`dilation` apart, and moves on by `stride`. Padding is one of

    "valid"   none
    "same"    so much that an axis of n numbers gives ceil(n / stride); what cannot be halved goes to the end (ONNX: SAME_UPPER)
    p         p before and after every axis;  [p, q]: a number for each axis
    [top, left, bottom, right]: the numbers before every axis, then those after (the order of ONNX)

Kernels know two axes only: a sequence is a picture of height 1. What they share stands at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError, ValidationError

from nncore.errors import Fault, InvalidSpec
from nncore.layers.layer import Shape
from nncore.machine.kernels import Array, jit

MOST = 2**20  # of a kernel's places, strides, pads: more fits no data
SMALL_PADDING = 16  # of a pool, however few numbers the axis has


def _one_or_per_axis(given: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(given)
    except ValidationError:  # one fault, not one for each form that was tried
        wanted = "a whole number, or a list of one for each axis"
        raise PydanticCustomError("wrong_size", "expected {wanted}, from {least} to 1,048,576", {"wanted": wanted, "least": 1}) from None


def _a_padding(given: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(given)
    except ValidationError:
        wanted = '"valid", "same", a whole number from 0 to 1,048,576, or a list of one for each axis (or two: all before, then all after)'
        raise PydanticCustomError("wrong_padding", "expected {wanted}", {"wanted": wanted}) from None


Positive = Annotated[int, Field(ge=1, le=MOST)]
Pad = Annotated[int, Field(ge=0, le=MOST)]
PerAxis = Annotated[Positive | Annotated[list[Positive], Field(min_length=1, max_length=2)], WrapValidator(_one_or_per_axis)]
KernelSize = Annotated[PerAxis, Field(description="Places of a window along every axis: a number, or one for each axis.")]
Stride = Annotated[PerAxis, Field(description="From one window to the next along every axis: a number, or one for each axis.")]
PoolStride = Annotated[
    PerAxis | None, Field(description="From one window to the next: a number, or one for each axis. Default: kernel_size.")
]
Dilation = Annotated[PerAxis, Field(description="From one place of a window to the next: a number, or one for each axis.")]
Padding = Annotated[
    Literal["valid", "same"] | Pad | Annotated[list[Pad], Field(min_length=1, max_length=4)],
    WrapValidator(_a_padding),
    Field(
        description='What is put around items: "valid": nothing; "same": so much that n numbers give ceil(n / stride), what cannot be '
        "halved at the end; a number: so many before and after every axis, or [p, q], one number for each axis; "
        "[top, left, bottom, right] of a picture, [before, after] of a sequence."
    ),
]


class Axis(NamedTuple):
    """One axis of the input and the windows along it."""

    length: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def extent(self) -> int:
        """From a window's first place to its last."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def padded(self) -> int:
        """The length with its padding."""
        return self.length + self.before + self.after

    @property
    def outputs(self) -> int:
        """How many windows there are."""
        return (self.padded - self.extent) // self.stride + 1


def axes_of(
    layer: str, shape: Shape, dimensions: Sequence[int], kernel_size: PerAxis, stride: PerAxis, padding: Padding, dilation: PerAxis
) -> list[Axis]:
    """The axes of items of this shape. Raises InvalidSpec when they are not channels and `dimensions` axes, or no window fits."""
    axes = len(shape) - 1
    if axes not in dimensions or min(shape) < 1:
        wanted = " or ".join({1: "(channels, length)", 2: "(channels, height, width)"}[count] for count in dimensions)
        message = f'{_named(layer)} takes items of shape {wanted}, got items of shape {list(shape)}; put {{"type": "reshape"}} before it'
        raise InvalidSpec(Fault("", "shape_mismatch", message, wanted, str(list(shape))))
    kernels, strides, dilations = (
        _per_axis(layer, name, value, axes) for name, value in (("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation))
    )
    found = []
    for number, length in enumerate(shape[1:]):
        axis = Axis(length, kernels[number], strides[number], dilations[number], 0, 0)
        before, after = _pads(layer, padding, axis, number, axes)
        axis = axis._replace(before=before, after=after)
        if axis.padded < axis.extent:
            message = (
                f"{_named(layer)} whose kernel reaches over {axis.extent:,} numbers does not fit into axis {number + 1} of items of shape "
                f"{list(shape)}, {axis.padded:,} with its padding; use a smaller kernel_size, or more padding"
            )
            raise InvalidSpec(Fault("/kernel_size", "kernel_too_large", message, f"at most {axis.padded:,}", f"{axis.extent:,}"))
        found.append(axis)
    return found


def refuse_empty_windows(layer: str, axes: Sequence[Axis]) -> None:
    """A pool needs a number in every window. Raises InvalidSpec where one may lie in the padding altogether, or nearly all do.

    The second because a pool has no parameters: nothing else keeps a window over a million places of padding from taking hours.
    """
    for number, axis in enumerate(axes):
        padding, most = max(axis.before, axis.after), max(axis.length, SMALL_PADDING)
        if padding > most:
            message = (
                f"{_named(layer)} whose axis {number + 1} has {axis.length:,} numbers takes a padding of at most {most:,}, got {padding:,}"
                "; use a smaller kernel_size and less padding, or a global_pool"
            )
            raise InvalidSpec(Fault("/padding", "padding_too_large", message, f"at most {most:,}", f"{padding:,}"))
        if padding and (padding >= axis.extent or axis.dilation > axis.length):
            message = (
                f"{_named(layer)} with a padding of {padding:,} and windows over {axis.extent:,} numbers has windows of "
                f"nothing but padding along axis {number + 1}; use less padding than the window is long"
            )
            raise InvalidSpec(Fault("/padding", "padding_too_large", message, f"less than {axis.extent:,}", f"{padding:,}"))


def geometry_of(channels: int, axes: Sequence[Axis]) -> tuple[int, ...]:
    """What kernels unpack: channels, then lengths, kernels, strides, dilations, pads before, outputs and padded lengths of two axes."""
    both = [Axis(1, 1, 1, 1, 0, 0)] * (2 - len(axes)) + list(axes)
    lengths, kernels, strides, dilations, befores, _ = zip(*both, strict=True)
    outputs, padded = ([getattr(axis, name) for axis in both] for name in ("outputs", "padded"))
    return (channels, *lengths, *kernels, *strides, *dilations, *befores, *outputs, *padded)


GEOMETRY = 15
"""How many numbers that is."""


def _named(layer: str) -> str:
    return f"{'an' if layer[0] in 'aeiou' else 'a'} {layer} layer"


def area_of(axes: Sequence[Axis]) -> int:
    """Windows in an item."""
    return prod(axis.outputs for axis in axes)


def _per_axis(layer: str, name: str, value: PerAxis, axes: int) -> list[int]:
    numbers = [value] * axes if isinstance(value, int) else value
    if len(numbers) != axes:
        message = f"{name} of {_named(layer)} has {len(numbers)} numbers, but its items have {axes} axes beside the channels"
        raise InvalidSpec(Fault(f"/{name}", "wrong_length", message, str(axes), str(len(numbers))))
    return numbers


def _pads(layer: str, padding: Padding, axis: Axis, number: int, axes: int) -> tuple[int, int]:
    if padding == "valid":
        return 0, 0
    if padding == "same":
        outputs = -(-axis.length // axis.stride)
        total = max(0, (outputs - 1) * axis.stride + axis.extent - axis.length)
        return total // 2, total - total // 2
    if isinstance(padding, int):
        return padding, padding
    if len(padding) not in (axes, 2 * axes):
        message = (
            f"padding of {_named(layer)} has {len(padding)} numbers; give {axes}, one for each axis, or {2 * axes}: before, then after"
        )
        raise InvalidSpec(Fault("/padding", "wrong_length", message, f"{axes} or {2 * axes}", str(len(padding))))
    return int(padding[number]), int(padding[number + len(padding) - axes])


@jit
def halved(g: Array) -> Any:
    """Whether the windows are 2 x 2, side by side, without padding. Most are, and have a loop that is three times as fast."""
    return (g[3] == 2) & (g[4] == 2) & (g[5] == 2) & (g[6] == 2) & (g[7] == 1) & (g[8] == 1) & (g[1] == g[13]) & (g[2] == g[14])


@jit
def reach(g: Array, kj: int) -> Any:
    """The windows of a row, from the first to before the last, whose place `kj` across lies in the input and not in its padding."""
    shift, across, width = kj * g[8] - g[10], g[6], g[12]
    low = min(width, max(0, -(shift // across)))
    return low, max(low, min(width, (g[2] - 1 - shift) // across + 1))
