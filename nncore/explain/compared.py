"""Rows that a network can take and a loss can compare. Kernels check no bounds: nothing else may reach them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from nncore.errors import Fault, InvalidData
from nncore.faults import counted
from nncore.losses import BinaryCrossEntropy, LossSpec
from nncore.losses.of_classes import LossOfClasses
from nncore.machine.machine import Rows
from nncore.network import NetworkSpec


def compared(
    network: NetworkSpec, input_shape: Sequence[int], loss: LossSpec, inputs: np.ndarray, expected: np.ndarray, dtype: str
) -> tuple[LossSpec, Rows]:
    """The loss, with "balanced" class weights counted over these rows, and the rows as a machine of this dtype takes them.

    inputs: (rows, *input_shape). expected: what the loss compares with, labels (rows,) or targets (rows, outputs).
    Raises InvalidData for inputs of another shape or that the first layer refuses, and for labels or targets that do not fit the outputs.
    """
    inputs = finite_inputs(network, input_shape, inputs, dtype)
    outputs, expected = prod(network.output_shape(input_shape)), np.asarray(expected)
    if expected.ndim < 1 or len(expected) != len(inputs):
        got = counted(len(expected), "row") if expected.ndim else "a single one"
        _refuse("wrong_rows", "what the rows are compared with", counted(len(inputs), "row"), got)
    if expected.dtype.kind not in "biuf":
        _refuse("not_numbers", "what the rows are compared with", "numbers", str(expected.dtype))
    if isinstance(loss, LossOfClasses):
        labels = _labels(loss, expected, outputs)
        loss, named = loss.balanced(labels, outputs), {"labels": labels}
    else:
        targets = _targets(expected, outputs, dtype)
        named = {"targets": targets}
        if isinstance(loss, BinaryCrossEntropy) and loss.class_weights == "balanced":
            if not ((targets == 0) | (targets == 1)).all():
                _refuse("not_labels", "balanced class weights", "answers of 0 and 1", "fractions")
            loss = loss.balanced(targets.astype(np.int64))
    weights, classes = getattr(loss, "class_weights", None), outputs if isinstance(loss, LossOfClasses) else 2
    if weights is not None and len(weights) != classes:
        _refuse("wrong_length", "class_weights of the loss", counted(classes, "number"), f"{len(weights):,}")
    return loss, Rows.of(inputs, **named)


def finite_inputs(network: NetworkSpec, input_shape: Sequence[int], inputs: np.ndarray, dtype: str) -> np.ndarray:
    """The inputs as (rows, *input_shape) in this dtype. Raises InvalidData where they are not, or the first layer refuses them."""
    inputs = np.asarray(inputs)
    if inputs.ndim < 1 or len(inputs) < 1 or prod(inputs.shape[1:]) != prod(input_shape):
        message = f"expected inputs of shape (rows, {', '.join(map(str, input_shape))}), got {inputs.shape}"
        raise InvalidData(Fault("/inputs", "wrong_shape", message, str(tuple(input_shape)), str(inputs.shape)))
    with np.errstate(over="ignore"):
        inputs = inputs.astype(dtype).reshape(-1, *input_shape)
    if not np.isfinite(inputs).all():
        raise InvalidData(Fault("/inputs", "not_finite", "expected finite inputs, got NaN or infinity"))
    if (refusal := network.refuses(inputs)) is not None:
        raise InvalidData(refusal.under("/inputs"))
    return inputs


def _labels(loss: LossOfClasses, expected: np.ndarray, outputs: int) -> np.ndarray:
    """(rows,) int64: each one of the outputs, or ignored."""
    wanted = f"labels from 0 to {outputs - 1:,}, one for each row"
    if expected.size != len(expected):
        _refuse("wrong_targets", "what the rows are compared with", wanted, f"items of shape {list(expected.shape[1:])}")
    numbers = expected.reshape(-1)
    fits = (numbers >= 0) & (numbers < outputs) & (numbers == np.floor(numbers))
    if loss.ignore_index is not None:
        fits |= numbers == loss.ignore_index
    if not fits.all():
        row = int(np.argmin(fits))
        got = f"{numbers[row]:g}" if numbers.dtype.kind == "f" else f"{numbers[row]:,}"
        _refuse("label_outside_classes", f"row {row + 1} of what the rows are compared with", wanted, got, f"/{row}")
    return numbers.astype(np.int64)


def _targets(expected: np.ndarray, outputs: int, dtype: str) -> np.ndarray:
    """(rows, outputs) in this dtype."""
    if prod(expected.shape[1:]) != outputs:
        got = f"items of shape {list(expected.shape[1:])}"
        _refuse("wrong_targets", "what the rows are compared with", f"{counted(outputs, 'number')} a row", got)
    with np.errstate(over="ignore"):
        targets = expected.astype(dtype).reshape(len(expected), outputs)
    if not np.isfinite(targets).all():
        _refuse("not_finite", "what the rows are compared with", f"finite numbers of {dtype}", "NaN or infinity")
    return targets


def _refuse(code: str, what: str, wanted: str, got: str, below: str = "") -> None:
    raise InvalidData(Fault(f"/expected{below}", code, f"{what}: expected {wanted}, got {got}", wanted, got))
