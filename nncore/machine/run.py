"""The compiled loops that run a plan: no Python between steps, no GIL, nothing allocated, no compilation per network.

Kernels are called by address from the plan's own table, so these loops know none of them and compile once. This file holds the only
use of numba's calling convention; tests/nncore/machine/test_run.py watches over it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
from llvmlite import ir as llvm
from numba import types
from numba.extending import intrinsic

from nncore.machine.denormals import flush_denormals, set_flushing
from nncore.machine.kernels import (
    COUNT,
    FIELDS,
    FIRST_ROW,
    INTERPRETED,
    RATE,
    ROWS,
    STEP,
    VERDICT,
    Array,
    Op,
    _interpreted,
    compile_result,
    jit_on_disk,
    view,
)

# Positions in `places`: where the machine puts what it gathers, and where it finds what it looks at (NOWHERE if there is none).
INPUTS, TARGETS, LABELS, WEIGHTS, ROW_LOSSES, OUTPUTS, GRADIENTS, ACCUMULATED, PARAMETER_COUNT, PLACES = range(10)

# What `integers[VERDICT]` says of the last step.
FINITE, LOSS_NOT_FINITE, GRADIENT_NOT_FINITE = range(3)
VERDICTS = ("finite", "loss", "gradient")

# Positions in `sums`, float64 whatever the dtype: of the losses of rows, and of rows (or of their weights).
LOSS_SUM, ROW_SUM, SUMS = range(3)

FIRST: Any = np.int64(0)  # a literal 0 as an argument would have what it is given to compiled once more

assert FIELDS == 16  # written out below


@intrinsic
def _call_address(typing: Any, address: Any, op: Any, arena: Any, integers: Any) -> Any:
    """Call the compiled kernel at an address, by numba's own convention, so that exceptions pass through."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds, convention = signature.args[1:], context.call_conv
        pointer = builder.inttoptr(arguments[0], convention.get_function_type(types.void, kinds).as_pointer())
        status, _ = convention.call_function(builder, pointer, types.void, kinds, arguments[1:])
        with builder.if_then(status.is_error, likely=False):
            set_flushing(builder, llvm.IntType(1)(0))
            convention.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.void(address, op, arena, integers), generate


def _call_interpreted(address: int, op: Op, arena: Array, integers: Array) -> None:
    with np.errstate(all="ignore"):  # as machine code does: hashes wrap around, and overflow is looked for afterwards
        _interpreted[int(address)](tuple(int(field) for field in op), arena, integers)


call_address: Any = _call_interpreted if INTERPRETED else _call_address


@numba.njit
def _run_rows(addresses: Array, plan: Array, first: int, last: int, arena: Array, integers: Array) -> None:
    for at in range(first, last):
        r = plan[at]
        op = (r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15], r[16])
        call_address(addresses[r[0]], op, arena, integers)


@numba.njit
def _gather(
    arena: Array,
    integers: Array,
    places: Array,
    inputs: Array,
    targets: Array,
    labels: Array,
    weights: Array,
    order: Array,
    begin: int,
    rows: int,
) -> None:
    """Copy the next `rows` rows of the data, in the order of `order`, to where the plan wants them."""
    integers[ROWS] = rows
    width = inputs.shape[1]
    gathered = view(arena, places[INPUTS], rows, width)
    for i in range(rows):
        source = order[begin + i]
        for j in range(width):
            gathered[i, j] = inputs[source, j]
    if places[ROW_LOSSES] >= 0:
        arena[COUNT] = rows
    if places[TARGETS] >= 0:
        width = targets.shape[1]
        wanted = view(arena, places[TARGETS], rows, width)
        for i in range(rows):
            source = order[begin + i]
            for j in range(width):
                wanted[i, j] = targets[source, j]
    if places[LABELS] >= 0:
        classes = view(integers, places[LABELS], rows)
        for i in range(rows):
            classes[i] = labels[order[begin + i]]
    if places[WEIGHTS] >= 0:
        counted = view(arena, places[WEIGHTS], rows)
        for i in range(rows):
            counted[i] = weights[order[begin + i]]


@numba.njit
def _add_gradient(arena: Array, places: Array, first: bool) -> None:
    """Add the gradient of the mean over a batch to that of its step, as often as it counts."""
    size, count = places[PARAMETER_COUNT], arena[COUNT]
    gradients, total = view(arena, places[GRADIENTS], size), view(arena, places[ACCUMULATED], size)
    if first:
        for i in range(size):
            total[i] = count * gradients[i]
    else:
        for i in range(size):
            total[i] += count * gradients[i]


@numba.njit
def _take_mean_gradient(arena: Array, places: Array, count: float) -> None:
    """Where no row of the step counts, what the last batch left stays: penalties alone."""
    size, share = places[PARAMETER_COUNT], arena.dtype.type(1) / arena.dtype.type(count)
    gradients, total = view(arena, places[GRADIENTS], size), view(arena, places[ACCUMULATED], size)
    if count > 0:
        for i in range(size):
            gradients[i] = total[i] * share


def run_steps(
    addresses: Array,
    plan: Array,
    updates_from: int,
    arena: Array,
    integers: Array,
    places: Array,
    limit: float,
    scalars: Array,
    sums: Array,
    inputs: Array,
    targets: Array,
    labels: Array,
    weights: Array,
    order: Array,
    begin: int,
    batch_size: int,
    accumulate: int,
) -> int:
    """Run one step for each row of `scalars`; how many were applied (fewer: the next one was not finite).

    A step takes the next batch_size rows of `order`, from `begin` on, or those that are left; where gradients are accumulated, as many
    batches of them, as if they were one. Forward and backward run, then loss and gradients are looked at, and only then the update: a
    bad step changes no parameter, and `integers[VERDICT]` says what was bad.
    A gradient is bad, too, beyond `limit`, the root of the largest float: its square overflows, and Adam would stand still for ever.
    sums: the losses of the rows and their number are added, in float64, for each step that was applied.
    """
    kind = arena.dtype.type
    flush_denormals(True)
    largest, done = kind(limit), 0
    gradients = view(arena, places[GRADIENTS], places[PARAMETER_COUNT])
    integers[VERDICT] = FINITE
    while done < scalars.shape[0]:
        for i in range(scalars.shape[1]):
            arena[RATE + i] = scalars[done, i]
        first, end, loss, count = begin, min(begin + batch_size * accumulate, order.size), 0.0, 0.0
        while begin < end:
            rows = min(batch_size, end - begin)
            integers[FIRST_ROW] = begin - first
            _gather(arena, integers, places, inputs, targets, labels, weights, order, begin, rows)
            _run_rows(addresses, plan, FIRST, updates_from, arena, integers)
            losses = view(arena, places[ROW_LOSSES], rows)
            for i in range(rows):
                loss += losses[i]
            count += arena[COUNT]
            if accumulate > 1:
                _add_gradient(arena, places, begin == first)
            begin += rows
        if accumulate > 1:
            _take_mean_gradient(arena, places, count)
        if not np.isfinite(loss):
            integers[VERDICT] = LOSS_NOT_FINITE
            break
        beyond = False
        for i in range(gradients.size):
            beyond |= not np.abs(gradients[i]) <= largest  # true for NaN as well
        if beyond:
            integers[VERDICT] = GRADIENT_NOT_FINITE
            break
        _run_rows(addresses, plan, updates_from, plan.shape[0], arena, integers)
        sums[LOSS_SUM] += loss
        sums[ROW_SUM] += count
        integers[STEP] += 1
        done += 1
    flush_denormals(False)
    return done


def run_blocks(
    addresses: Array,
    plan: Array,
    arena: Array,
    integers: Array,
    places: Array,
    sums: Array,
    inputs: Array,
    targets: Array,
    labels: Array,
    weights: Array,
    order: Array,
    outputs: Array,
    block_rows: int,
) -> None:
    """Evaluate the rows of the data that `order` names, block by block.

    outputs: (len(order), outputs), overwritten, or (0, outputs) when nobody wants them. sums: losses and rows are added, in float64.
    """
    flush_denormals(True)
    begin = FIRST
    while begin < order.size:
        rows = min(block_rows, order.size - begin)
        _gather(arena, integers, places, inputs, targets, labels, weights, order, begin, rows)
        _run_rows(addresses, plan, FIRST, plan.shape[0], arena, integers)
        if places[ROW_LOSSES] >= 0:
            losses, loss = view(arena, places[ROW_LOSSES], rows), 0.0
            for i in range(rows):
                loss += losses[i]
            sums[LOSS_SUM] += loss
            sums[ROW_SUM] += arena[COUNT]
        if outputs.shape[0] > 0:
            width = outputs.shape[1]
            block = view(arena, places[OUTPUTS], rows, width)
            for i in range(rows):
                for j in range(width):
                    outputs[begin + i, j] = block[i, j]  # a slice assignment here took 2.5 s to compile
        begin += rows
    flush_denormals(False)


_run_steps, _run_blocks = jit_on_disk(run_steps), jit_on_disk(run_blocks)


@cache
def loops(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """run_steps and run_blocks for arenas of this dtype, compiled or loaded. Data may be read-only: a mapped file, for example."""
    if INTERPRETED:
        return run_steps, run_blocks
    number: Any = numba.from_dtype(np.dtype(dtype))
    whole, index = types.int64[::1], types.int64
    matrix, names = types.Array(number, 2, "C", readonly=True), types.Array(types.int64, 1, "C", readonly=True)
    weights = types.Array(number, 1, "C", readonly=True)
    data, sums = (matrix, matrix, names, weights, names), types.float64[::1]
    machine = (number[::1], whole, whole)
    steps = (whole, types.int64[:, ::1], index, *machine, types.float64, types.float64[:, ::1], sums, *data, index, index, index)
    blocks = (whole, types.int64[:, ::1], *machine, sums, *data, number[:, ::1], index)
    # The entry points, not the dispatchers: those would compile again for every mixture of writable and read-only data.
    return (
        compile_result(_run_steps, types.int64(*steps)).entry_point,
        compile_result(_run_blocks, types.void(*blocks)).entry_point,
    )
