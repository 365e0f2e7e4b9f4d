"""evaluate: what a network of given parameters answers, and every number on the way, in float64. Nothing is trained.

For a layer of neurons it is the arithmetic of the textbook: inputs are weighted and summed, the bias is added (or the threshold taken
away), and the activation decides. Every layer is computed by its own kernels, called one by one, and read where its numbers lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from nncore.errors import Fault, InvalidData, InvalidSpec
from nncore.faults import Faults, counted, pointer, short
from nncore.machine.forward import Forward
from nncore.network import NetworkSpec

MAX_NUMBERS = 5_000_000
"""The most numbers an answer may hold: rows x units x inputs of the first layer count too."""

MAX_WORKSPACE = 2**25
"""The most numbers that computing a row may take: 256 MiB."""

SMALLEST = 1e-307
"""The exponential function of kernels never falls below this; what is smaller is told as 0."""

_LARGEST = float(np.finfo(np.float64).max)


def evaluate(network: NetworkSpec, inputs: Sequence[Any]) -> dict[str, Any]:
    """The outputs for `inputs`, a list of rows, and for each layer, all as nested lists of a row each:

    weighted_sums (rows, units): W x, before the bias, whether a bias or a threshold is given. Of dense layers, as are
    pre_activations (rows, units): with the bias, or less the threshold.
    activations (rows, ...): what the layer gives to the next.
    contributions (rows, units, inputs), of the first dense layer: each weight times its input.

    Layers do here what they do in use: dropout does nothing, batch_norm takes its running statistics. A bias that is not given is 0, what
    normalisations start with is theirs. Raises InvalidSpec where weights are missing or do not fit, InvalidData for the inputs.
    """
    _check_given(network)
    values = _rows(inputs)
    try:
        shapes = network.shapes(values.shape[1:])
    except InvalidSpec as refused:
        raise InvalidSpec(fault.under("/network") for fault in refused.faults) from None
    if refusal := network.refuses(values):
        raise InvalidData(refusal.under("/inputs"))
    _check_size(network, len(values), shapes)
    forward = Forward(network, values.shape[1:])
    if forward.numbers > MAX_WORKSPACE:
        most = f"at most {MAX_WORKSPACE:,} numbers"
        message = f"computing a row takes {short(forward.numbers)} numbers, expected {most}; use less padding, or smaller layers"
        raise InvalidSpec(Fault("/network", "too_many_numbers", message, most, short(forward.numbers)))

    with np.errstate(all="ignore"):
        layers = forward.run(values)
        _tell_contributions(network, values, layers)
    _check_finite(layers)
    return {
        "outputs": _listed(layers[-1]["activations"]),
        "layers": [{name: _listed(array) for name, array in told.items()} for told in layers],
    }


def _tell_contributions(network: NetworkSpec, values: np.ndarray, layers: Sequence[dict[str, np.ndarray]]) -> None:
    for layer, told in zip(network.layers, layers, strict=True):
        if layer.tells_contributions:
            told["contributions"] = layer.contributions(values)
            return
        values = told["activations"]


def _listed(array: np.ndarray) -> list[Any]:
    """Nested lists; a negative zero (a negative weight times 0) is written as 0."""
    return (np.where(np.abs(array) < SMALLEST, 0.0, array) + 0.0).tolist()  # type: ignore[no-any-return]


def _check_given(network: NetworkSpec) -> None:
    """Every layer with weights must bring its own."""
    faults = Faults()
    for at, layer in network.every_layer():
        for name in layer.must_be_given:
            if getattr(layer, name) is None:
                message = (
                    f'the layer at {at} has no weights; give it "{name}", nested lists of numbers such as one row per unit '
                    "(and a bias or a threshold, if it has one), or train the network as a job"
                )
                faults.add(f"/network{at}/{name}", "missing_weight", message, expected="numbers", got="nothing")
    if faults:
        raise InvalidSpec(faults.found)


def _rows(inputs: Sequence[Any]) -> np.ndarray:
    """The inputs as (rows, ...) float64: numbers, or booleans throughout, as in a column. Raises InvalidData naming what is neither."""
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
    _copy(inputs, values, [], {bool} if isinstance(first, bool) else {int, float}, faults)
    if faults:
        raise InvalidData(faults.found)
    return values


def _copy(given: Any, into: np.ndarray, at: list[int], kinds: set[type], faults: Faults) -> None:
    """Copies nested lists of numbers, or of booleans, into an array; a place where they do not fit becomes a fault."""
    if faults.full:
        return
    where = pointer("inputs", *at)
    place = f"row {at[0] + 1}" + (f", item {at[1:]}" if len(at) > 1 else "") if at else "inputs"
    if not isinstance(given, list) or len(given) != len(into):
        wanted = f"a list of {counted(len(into), 'item')}, as in row 1"
        faults.add(where, "ragged_row", f"{place}: expected {wanted}, got {short(given)}", expected=wanted, got=short(given))
    elif into.ndim > 1:
        for index, item in enumerate(given):
            _copy(item, into[index], [*at, index], kinds, faults)
    elif set(map(type, given)) <= kinds and all(abs(each) <= _LARGEST for each in given):
        into[:] = given
    else:
        wanted = "true or false, as in row 1" if bool in kinds else "a finite number below 1.8e308"
        for index, each in enumerate(given):
            if type(each) not in kinds or not abs(each) <= _LARGEST:
                message = f"row {at[0] + 1}, item {[*at[1:], index]}: expected {wanted}, got {short(each)}"
                faults.add(pointer("inputs", *at, index), "not_a_number", message, expected=wanted, got=short(each))


def _check_size(network: NetworkSpec, rows: int, shapes: Sequence[tuple[int, ...]]) -> None:
    """Refuses an answer beyond MAX_NUMBERS before it is computed."""
    first = next((number for number, layer in enumerate(network.layers) if layer.tells_contributions), None)
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
