"""evaluate: what a network of given parameters answers, and every number on the way, in plain numpy and float64.

This is the neuron of the textbook: inputs are weighted and summed, the bias is added (or the threshold taken away), and the
activation decides. Nothing is trained or compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, pi, prod, sqrt
from typing import Any

import numpy as np

from nncore.activations import NEGATIVE_SLOPE, SELU_ALPHA, SELU_SCALE, ActivationName
from nncore.errors import Fault, InvalidData, InvalidSpec
from nncore.faults import Faults, counted, pointer, short
from nncore.layers import Dense, Dropout, Flatten
from nncore.network import NetworkSpec

MAX_NUMBERS = 5_000_000
"""The most numbers an answer may hold: rows x units x inputs of the first layer count too."""

_LARGEST = float(np.finfo(np.float64).max)


def evaluate(network: NetworkSpec, inputs: Sequence[Any]) -> dict[str, Any]:
    """The outputs for `inputs`, a list of rows, and for each layer, all as nested lists of a row each:

    weighted_sums (rows, units): W x, before the bias, whether a bias or a threshold is given.
    pre_activations (rows, units): with the bias, or less the threshold.
    activations (rows, units): what the layer gives to the next.
    contributions (rows, units, inputs), of the first layer that has weights: each weight times its input.

    A layer without weights (dropout does nothing here, flatten only lays out) tells its activations only. A layer given neither
    bias nor threshold has a bias of 0. Raises InvalidSpec where weights are missing or do not fit, InvalidData for the inputs.
    """
    _check_given(network)
    values = _rows(inputs)
    try:
        shapes = network.shapes(values.shape[1:])
    except InvalidSpec as refused:
        raise InvalidSpec(fault.under("/network") for fault in refused.faults) from None
    _check_size(network, len(values), shapes)

    layers: list[dict[str, Any]] = []
    contributions_told = False
    with np.errstate(over="ignore", invalid="ignore"):
        for layer in network.layers:
            if isinstance(layer, Dense):
                told, values = _dense(layer, values, with_contributions=not contributions_told)
                contributions_told = True
            elif isinstance(layer, Flatten):
                values = values.reshape(len(values), -1)
                told = {"activations": values}
            elif isinstance(layer, Dropout):
                told = {"activations": values}
            else:
                raise InvalidSpec(Fault("/network", "not_evaluated", f"a {layer.type} layer cannot be evaluated here"))
            layers.append(told)
    _check_finite(layers)
    return {
        "outputs": _listed(values),
        "layers": [{name: _listed(array) for name, array in told.items()} for told in layers],
    }


def _listed(array: np.ndarray) -> list[Any]:
    """Nested lists; a negative zero (a negative weight times 0) is written as 0."""
    return (array + 0.0).tolist()  # type: ignore[no-any-return]


def _dense(layer: Dense, values: np.ndarray, *, with_contributions: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
    weight = np.array(layer.weight, dtype=np.float64)
    weighted_sums = values @ weight.T
    given_bias = layer.given_bias()
    pre_activations = weighted_sums if given_bias is None else weighted_sums + np.array(given_bias, dtype=np.float64)
    activations = activated(layer.activation, pre_activations)
    told = {"weighted_sums": weighted_sums, "pre_activations": pre_activations, "activations": activations}
    if with_contributions:
        told["contributions"] = weight[None, :, :] * values[:, None, :]
    return told, activations


def activated(activation: ActivationName, values: np.ndarray) -> np.ndarray:
    """The activation of float64 pre-activations (rows, units). step is 0 at exactly 0."""
    if activation == "sigmoid":
        decay = np.exp(-np.abs(values))  # never overflows
        return np.asarray(np.where(values >= 0, 1.0, decay) / (1.0 + decay))
    if activation == "softmax":
        exponentials = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))
    if activation == "step":
        return np.where(values > 0, 1.0, 0.0)
    if activation == "relu":
        return np.where(values > 0, values, 0.0)
    if activation == "tanh":
        return np.asarray(np.tanh(values))
    return values if activation == "linear" else _bent(activation, values)


def _bent(activation: ActivationName, values: np.ndarray) -> np.ndarray:
    """Those that are bent by parts or by an integral; see nncore/activations.py for the formulas."""
    negative = np.expm1(np.minimum(values, 0.0))
    if activation == "leaky_relu":
        return np.where(values > 0, values, NEGATIVE_SLOPE * values)
    if activation == "elu":
        return np.where(values > 0, values, negative)
    if activation == "selu":
        return np.asarray(SELU_SCALE * np.where(values > 0, values, SELU_ALPHA * negative))
    if activation == "gelu":
        return np.asarray(0.5 * values * (1.0 + np.array([erf(value * sqrt(0.5)) for value in values.flat]).reshape(values.shape)))
    if activation == "gelu_tanh":
        return np.asarray(0.5 * values * (1.0 + np.tanh(sqrt(2 / pi) * (values + 0.044715 * values**3))))
    if activation == "softplus":
        return np.asarray(np.logaddexp(values, 0.0))
    return np.asarray(values * activated("sigmoid", values))


def _check_given(network: NetworkSpec) -> None:
    """Every layer with parameters must bring its own."""
    faults = Faults()
    for number, layer in enumerate(network.layers):
        if isinstance(layer, Dense) and layer.weight is None:
            message = (
                f'layer {number} has no weights; give it "weight", one row of numbers per unit '
                "(and a bias or a threshold, if it has one), or train the network as a job"
            )
            at = pointer("network", "layers", number, "weight")
            faults.add(at, "missing_weight", message, expected="units x inputs numbers", got="nothing")
    if faults:
        raise InvalidSpec(faults.found)


def _rows(inputs: Sequence[Any]) -> np.ndarray:
    """The inputs as (rows, ...) float64. Raises InvalidData naming the first number that is not one."""
    if not isinstance(inputs, list) or not inputs:
        got = "an empty list" if inputs == [] else short(inputs)
        raise InvalidData(Fault("/inputs", "no_rows", f"expected a list of rows, got {got}", "a list of rows", got))
    if not isinstance(inputs[0], list):
        message = f"row 1: expected a list of numbers, got {short(inputs[0])}; a single row is a list in a list, [[0, 1, 1]]"
        raise InvalidData(Fault("/inputs/0", "wrong_type", message, "a list of numbers", short(inputs[0])))
    shape: list[int] = []
    first: Any = inputs
    while isinstance(first, list):
        shape.append(len(first))
        if not first or len(shape) > 8:
            message = "row 1: expected numbers, got an empty list or lists nested too deep"
            raise InvalidData(Fault("/inputs/0", "wrong_shape", message, "numbers", short(first)))
        first = first[0]
    if prod(shape) > MAX_NUMBERS:
        raise _too_many(len(inputs), prod(shape[1:]))
    faults = Faults()
    values = np.empty(shape)
    _copy(inputs, values, [], faults)
    if faults:
        raise InvalidData(faults.found)
    return values


def _copy(given: Any, into: np.ndarray, at: list[int], faults: Faults) -> None:
    """Copies nested lists of numbers into an array; a place where they do not fit becomes a fault."""
    if faults.full:
        return
    where = pointer("inputs", *at)
    place = f"row {at[0] + 1}" + (f", item {at[1:]}" if len(at) > 1 else "") if at else "inputs"
    if not isinstance(given, list) or len(given) != len(into):
        wanted = f"a list of {counted(len(into), 'item')}, as in row 1"
        faults.add(where, "ragged_row", f"{place}: expected {wanted}, got {short(given)}", expected=wanted, got=short(given))
    elif into.ndim > 1:
        for index, item in enumerate(given):
            _copy(item, into[index], [*at, index], faults)
    elif set(map(type, given)) <= {int, float} and all(abs(number) <= _LARGEST for number in given):
        into[:] = given
    else:
        for index, number in enumerate(given):
            if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= _LARGEST:
                spot = f"row {at[0] + 1}, item {[*at[1:], index]}"
                message = f"{spot}: expected a finite number below 1.8e308, got {short(number)}"
                faults.add(
                    pointer("inputs", *at, index), "not_a_number", message, expected="a finite number below 1.8e308", got=short(number)
                )


def _check_size(network: NetworkSpec, rows: int, shapes: Sequence[tuple[int, ...]]) -> None:
    """Refuses an answer beyond MAX_NUMBERS before it is computed."""
    first = next((number for number, layer in enumerate(network.layers) if isinstance(layer, Dense)), None)
    numbers = 3 * sum(map(prod, shapes[1:])) + (prod(shapes[first]) * prod(shapes[first + 1]) if first is not None else 0)
    if numbers * rows > MAX_NUMBERS:
        raise _too_many(rows, numbers)


def _too_many(rows: int, numbers: int) -> InvalidData:
    most = f"at most {MAX_NUMBERS:,} numbers in an answer"
    message = f"expected {most}, got {numbers * rows:,} ({counted(rows, 'row')} of {numbers:,}); send fewer rows"
    return InvalidData(Fault("/inputs", "too_many_numbers", message, most, f"{numbers * rows:,}"))


def _check_finite(layers: Sequence[dict[str, np.ndarray]]) -> None:
    for number, told in enumerate(layers):
        for array in told.values():
            if not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0][0])
                message = f"row {row + 1}: layer {number} leaves the numbers that float64 holds; use smaller weights or inputs"
                raise InvalidData(Fault(pointer("inputs", row), "overflow", message, "finite numbers", "infinity"))
