"""The compiled loops: kernels by address, batches of any size, divergence seen before the update."""

from __future__ import annotations

import platform
import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest

from nncore.layers.dense import dense_forward
from nncore.machine.kernels import FIELDS, HEADER, INTERPRETED, ROWS, kernel
from nncore.machine.machine import Rows
from nncore.machine.run import GRADIENTS, PLACES, SUMS, loops

DTYPES = [np.dtype("float32"), np.dtype("float64")]
NETWORK = [{"type": "dense", "units": 4, "activation": "relu"}, {"type": "dense", "units": 3}]


@kernel
def refuses(op, arena, integers):
    if op[0] == 7:
        raise ValueError("seven")
    arena[op[1]] = op[2]


def run_alone(function: Any, fields: list[int], arena: np.ndarray) -> None:
    """Run a plan of one row through run_blocks, over one row of data that is nothing."""
    _, run_blocks = loops(arena.dtype)
    table, places = np.zeros((1, 1 + FIELDS), np.int64), np.full(PLACES, -1, np.int64)
    table[0, 1 : 1 + len(fields)], places[0] = fields, len(arena) - 1
    nothing, order = Rows.of(np.zeros((1, 1), arena.dtype)), np.zeros(1, np.int64)
    addresses, integers = np.array([function.address(arena.dtype)]), np.zeros(HEADER, np.int64)
    run_blocks(addresses, table, arena, integers, places, np.zeros(SUMS), *nothing, order, np.empty((0, 1), arena.dtype), 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_kernel_called_by_address_does_what_it_does_when_called_by_name(dtype: np.dtype[Any]) -> None:
    fields = [0, 3, 9, 12, 3, 2, 2]  # x at 0 (1, 3); weight at 3 (2, 3); bias at 9; y at 12 (1, 2); tanh
    by_address = np.concatenate([np.random.default_rng(0).standard_normal(12), np.zeros(3)]).astype(dtype)
    by_name, integers = by_address.copy(), np.zeros(HEADER, np.int64)
    integers[ROWS] = 1
    by_itself = getattr(dense_forward.function, "py_func", dense_forward.function)
    by_itself(tuple(fields + [0] * (FIELDS - len(fields))), by_name, integers)
    run_alone(dense_forward, fields, by_address)
    np.testing.assert_allclose(by_address, by_name, rtol=1e-6)
    assert (by_address[12:14] != 0).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_a_kernel_raises_passes_through_the_loop(dtype: np.dtype[Any]) -> None:
    arena = np.zeros(8, dtype)
    with pytest.raises(ValueError, match="seven"):
        run_alone(refuses, [7], arena)
    run_alone(refuses, [6, 2, 5], arena)
    assert arena[2] == 5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_partial_batch_is_a_batch_of_its_own_size(dtype: str, one_step: Any) -> None:
    large, small = (
        one_step(NETWORK, "softmax_cross_entropy", rows=8, dtype=dtype),
        one_step(NETWORK, "softmax_cross_entropy", rows=3, dtype=dtype),
    )
    order, sums = np.array([6, 1, 4]), np.zeros(SUMS)
    large.machine.run_steps(large.optimizer.scalars(np.arange(1)), sums, large.rows, order, 0)
    small.rows = Rows.of(large.inputs[order], large.targets[order], large.labels[order])
    np.testing.assert_array_equal(large.machine.gradients, small.gradient())
    assert sums[1] == 3


def test_losses_are_added_up_over_rows_in_float64(one_step: Any) -> None:
    step = one_step(NETWORK, "mean_squared_error", rows=7, dtype="float32")
    order, sums, scalars = np.arange(7), np.zeros(SUMS), step.optimizer.scalars(np.arange(3))
    assert step.machine.run_steps(scalars, sums, step.rows, np.tile(order, 3), 0) == 3
    assert sums[1] == 21
    assert sums[0] / sums[1] == pytest.approx(step.loss(), rel=1e-12)  # far below what a float32 sum could hold


def diverging(one_step: Any, dtype: str, number: float, **given: Any) -> Any:
    """A batch with one input of `number`, on a network that starts from zero weights."""
    layers = [{"type": "dense", "units": 3, "weight": [[0.0] * 4] * 3, "bias": [0.0] * 3}]
    step = one_step(layers, "softmax_cross_entropy", dtype=dtype, optimizer={"type": "adam"}, **given)
    step.inputs[2, 1] = number
    return step


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_stops_before_the_update(dtype: str, number: float, one_step: Any) -> None:
    step = diverging(one_step, dtype, number)
    with pytest.raises(ArithmeticError, match="loss"):
        step.loss()
    np.testing.assert_array_equal(step.machine.parameters, 0)
    np.testing.assert_array_equal(step.machine.optimizer_state, 0)
    assert step.machine.step == 0


@pytest.mark.parametrize(("dtype", "number"), [("float32", 1e21), ("float64", 1e156)])
def test_a_gradient_whose_square_overflows_stops_before_the_update(dtype: str, number: float, one_step: Any) -> None:
    step = diverging(one_step, dtype, number)
    with pytest.raises(ArithmeticError, match="gradient"):
        step.loss()
    np.testing.assert_array_equal(step.machine.parameters, 0)
    np.testing.assert_array_equal(step.machine.optimizer_state, 0)


@kernel
def copies(op, arena, integers):
    arena[op[0]] = arena[op[1]]


@pytest.mark.parametrize("where", [0, 1, 5, 6, 14])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_bad_gradient_anywhere_is_seen(where: int, bad: float, dtype: str, one_step: Any) -> None:
    """The check must survive the compiler: fastmath=True would fold it to "all finite"."""
    step = one_step([{"type": "dense", "units": 3}], "mean_squared_error", dtype=dtype)
    machine, plan = step.machine, step.machine._training
    spoiling = np.zeros(1 + FIELDS, np.int64)
    spoiling[:3] = len(plan.addresses), plan.places[GRADIENTS] + where, len(machine.arena) - 1
    plan.addresses = np.append(plan.addresses, copies.address(machine.dtype))
    plan.rows, plan.updates_from = np.insert(plan.rows, plan.updates_from, spoiling, axis=0), plan.updates_from + 1
    machine.arena[-1] = 0.25
    assert step.gradient()[where] == 0.25  # the row that spoils ran, as the last before the check
    machine.arena[-1] = bad
    with pytest.raises(ArithmeticError, match="gradient"):
        step.loss()


@pytest.mark.skipif(INTERPRETED or platform.machine() not in ("x86_64", "AMD64"), reason="only where they are slow")
def test_what_adam_remembers_of_a_dead_unit_becomes_zero_and_not_a_slow_denormal(one_step: Any) -> None:
    dead = {"type": "dense", "units": 4, "activation": "relu", "weight": [[0.0] * 4] * 4, "bias": [-1.0] * 4}
    step = one_step([dead, {"type": "dense", "units": 1}], "mean_squared_error", dtype="float32", optimizer={"type": "adam"})
    step.machine.optimizer_state[:3] = 1e-37
    count, tiny = 100, np.finfo(np.float32).tiny
    step.machine.run_steps(step.optimizer.scalars(np.arange(count)), np.zeros(SUMS), step.rows, np.tile(np.arange(5), count), 0)
    remembered = np.abs(step.machine.optimizer_state)
    assert not ((remembered > 0) & (remembered < tiny)).any()
    assert (remembered > 0).any()
    assert float(tiny) * np.float32(0.5) > 0  # this thread computes with them again
    assert np.nextafter(np.float32(0), np.float32(1)) * np.float32(2) > 0


@pytest.mark.skipif(INTERPRETED, reason="plain Python holds the GIL")
def test_other_threads_run_while_steps_run(one_step: Any) -> None:
    step, started, counted = one_step([{"type": "dense", "units": 400}], "mean_squared_error", rows=400), threading.Event(), []
    scalars, order = step.optimizer.scalars(np.arange(300)), np.tile(np.arange(400), 300)

    def train() -> None:
        started.set()
        step.machine.run_steps(scalars, np.zeros(SUMS), step.rows, order, 0)
        counted.append(count)

    thread, count = threading.Thread(target=train), 0
    thread.start()
    started.wait()
    while thread.is_alive():
        count += 1
    assert counted[0] > 100


@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_allocates_nothing(weighted: bool, one_step: Any) -> None:
    optimizer = {"type": "adam", "average_decay": 0.9, "l2": 0.1, "maximize": True, "learning_rate": 1e-9} if weighted else {"type": "adam"}
    weights = np.ones(32) if weighted else None
    step = one_step(NETWORK, "softmax_cross_entropy", rows=32, optimizer=optimizer, weights=weights)
    scalars, order, sums = step.optimizer.scalars(np.arange(500)), np.tile(np.arange(32), 500), np.zeros(SUMS)
    step.machine.run_steps(scalars[:1], sums, step.rows, order, 0)
    tracemalloc.start()
    step.machine.run_steps(scalars, sums, step.rows, order, 0)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4096
