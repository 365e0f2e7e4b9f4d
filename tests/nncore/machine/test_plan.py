from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from nncore.losses import SoftmaxCrossEntropy
from nncore.machine.machine import Machine
from nncore.machine.plan import ARENA_REGIONS, LINE, NOWHERE, Layout, Plan
from nncore.machine.program import FEWEST_ROWS, MOST_ROWS, Program
from nncore.network import NetworkSpec
from nncore.optimizers import Adam


def program(units: int = 7, inputs: int = 5, batch_size: int = 6) -> Program:
    layers: list[dict[str, Any]] = [{"type": "dense", "units": units, "activation": "relu"}, {"type": "dropout", "rate": 0.5}]
    network = NetworkSpec.model_validate({"layers": [*layers, {"type": "dense", "units": 3}]})
    return Program(network, (inputs,), loss=SoftmaxCrossEntropy(), optimizer=Adam(), batch_size=batch_size)


def test_regions_follow_each_other_from_cache_line_to_cache_line() -> None:
    layout = program().layout
    bases = layout.bases()
    for before, after in pairwise(ARENA_REGIONS):
        assert bases[after] % LINE == 0 or after == "statistics"  # the one vector of a snapshot has no gap
        assert bases[after] >= bases[before] + layout.sizes[before]
    assert layout.arena_size >= bases["workspace"] + layout.sizes["workspace"]


def test_parameters_lie_one_after_the_other_and_gradients_as_they_do() -> None:
    parameters = list(program().layout.parameters.values())
    assert [parameter.name for parameter in parameters] == ["0.weight", "0.bias", "3.weight", "3.bias"]
    assert parameters[0].at.offset == 0
    for before, after in pairwise(parameters):
        assert after.at.offset == before.at.offset + before.size
    assert all(parameter.gradient == ("gradients", parameter.at.offset) for parameter in parameters)


def test_both_plans_of_a_network_use_the_same_parameters() -> None:
    both = program()
    assert both.training is not None
    training, evaluation = (
        next(row for row in plan.forward if row[0].name.endswith("dense_forward")) for plan in (both.training, both.evaluation)
    )
    assert training[2:4] == evaluation[2:4] == (both.training.parameters_at, both.layout.parameters["0.bias"].at)


def test_an_evaluation_wants_no_gradients_and_updates_nothing() -> None:
    plan = program().evaluation
    assert plan.backward == plan.update == []
    assert plan.outputs.gradient == NOWHERE


def test_the_memory_is_known_before_any_is_taken() -> None:
    large = program(units=10**7, inputs=10**6)  # 40 TB of weights
    assert large.parameter_count == 10**13 + 10**7 + 3 * 10**7 + 3
    assert large.memory_bytes("float32") > 4 * 4 * 10**13
    small = program()
    machine = Machine(small, "float64")
    assert small.memory_bytes("float64") == machine.arena.nbytes + machine.integers.nbytes + machine.parameters.nbytes


def test_activations_start_on_cache_lines_in_memory() -> None:
    machine = Machine(program(), "float32")
    assert (machine.arena.ctypes.data + 4 * machine.program.layout.bases()["workspace"]) % 64 == 0


def test_blocks_of_an_evaluation_hold_many_rows_of_a_small_network_and_few_of_a_large_one() -> None:
    assert program(units=2, inputs=2).block_rows == MOST_ROWS
    assert program(units=10**6).block_rows == FEWEST_ROWS


def test_equal_constants_share_their_place() -> None:
    plan = Plan(Layout(), 1, training=True)
    assert plan.constant(0.5, 2.0) == plan.constant(0.5, 2.0) != plan.constant(0.5)


def test_integers_of_rows_are_filled_up_with_zeros() -> None:
    table = program().evaluation.table()
    assert table.dtype == np.int64
    assert table.shape == (3, 17)
    assert (table[:, 9:] == 0).all()
