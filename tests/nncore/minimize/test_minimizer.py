"""The search: how it ends, what it answers, and that it goes on bit for bit wherever it was cut."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nncore.checkpoint import decode, encode
from nncore.errors import CheckpointMismatch
from nncore.minimize import Minimizer, MinimizeSpec, minimize
from nncore.minimize.update import SCALAR_STEPS, Update
from nncore.optimizers import OptimizerSpec

ROSENBROCK = {"expression": "(1 - x)**2 + 100*(y - x**2)**2", "start": {"x": -1.2, "y": 1}}

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"type": "sgd", "learning_rate": 1e-3},
    "momentum": {"type": "sgd", "learning_rate": 5e-4, "momentum": 0.9},
    "nesterov": {"type": "sgd", "learning_rate": 5e-4, "momentum": 0.9, "nesterov": True},
    "adam": {"type": "adam", "learning_rate": 0.05},
    "adam-hat": {"type": "adam", "learning_rate": 0.05, "epsilon_mode": "hat"},
    "sgd-cosine": {"type": "sgd", "learning_rate": 1e-3, "schedule": {"type": "cosine", "steps": 1000}},
    "sgd-clipped": {"type": "sgd", "learning_rate": 1e-2, "clip_norm": 1.0},
}
TYPES = [member.model_fields["type"].default for member in get_args(get_args(OptimizerSpec)[0])]
OPTIMIZERS |= {name: {"type": name, "learning_rate": 0.02} for name in TYPES if name not in OPTIMIZERS}


def spec(**fields: Any) -> MinimizeSpec:
    return MinimizeSpec.model_validate(ROSENBROCK | fields)


def finished(minimizer: Minimizer) -> Minimizer:
    for _ in minimizer.run():
        pass
    return minimizer


class TestHowItEnds:
    def test_it_converges_where_the_gradient_is_within_the_tolerance(self) -> None:
        found = minimize(spec(optimizer=OPTIMIZERS["adam"], steps=10_000, tolerance=1e-3))
        assert found.stopped_because == "converged"
        assert found.gradient_norm <= 1e-3
        assert found.gradient_norm == np.hypot(*found.gradient.values())
        assert 0 < found.step < 10_000

    def test_it_converges_at_once_where_it_starts_at_the_minimum(self) -> None:
        found = minimize(spec(start={"x": 1, "y": 1}))
        assert (found.stopped_because, found.step, found.value, len(found.path)) == ("converged", 0, 0.0, 1)

    def test_it_ends_with_its_steps(self) -> None:
        found = minimize(spec(steps=7, optimizer=OPTIMIZERS["sgd"]))
        assert (found.stopped_because, found.step) == ("steps", 7)
        assert [point.step for point in found.path] == list(range(8))

    def test_it_converges_rather_than_runs_out_of_steps(self) -> None:
        found = minimize(MinimizeSpec(expression="x**2", start={"x": 1.0}, optimizer={"type": "sgd", "learning_rate": 0.5}, steps=1))
        assert (found.stopped_because, found.step, found.value) == ("converged", 1, 0.0)

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_a_search_that_leaves_the_finite_numbers_ends_at_its_last_finite_point(self, optimizer: str) -> None:
        fields: dict[str, Any] = {"expression": "x**4", "start": {"x": 10}, "goal": "maximize"}
        wild = {"type": OPTIMIZERS[optimizer]["type"], "learning_rate": 1e6}
        found = minimize(MinimizeSpec.model_validate(fields | {"expression": "exp(x)", "optimizer": wild}))
        assert found.stopped_because == "diverged"
        assert np.isfinite([found.value, found.gradient_norm, *found.variables.values()]).all()
        assert found.path[-1].step == found.step
        assert (found.path[-1].value, found.path[-1].variables) == (found.value, found.variables)

    def test_a_step_to_where_a_logarithm_is_not_defined_is_a_divergence(self) -> None:
        found = minimize(MinimizeSpec.model_validate({"expression": "log(x)", "start": {"x": 1}, "optimizer": {"type": "sgd", "learning_rate": 0.75}}))  # fmt: skip  # noqa: E501
        assert (found.stopped_because, found.step, found.variables) == ("diverged", 1, {"x": 0.25})
        assert (found.value, found.gradient) == (np.log(0.25), {"x": 4.0})

    def test_a_search_that_has_ended_stays_where_it_is(self) -> None:
        for fields in ({"steps": 3}, {"tolerance": 1e9}, {"optimizer": {"type": "sgd", "learning_rate": 1.0}}):
            minimizer = finished(Minimizer(spec(**fields)))
            before = minimizer.result()
            assert list(minimizer.run()) == []
            assert minimizer.fraction == 1
            assert minimizer.result() == before


class TestWhatItAnswers:
    def test_the_best_point_is_kept_when_the_search_goes_astray(self) -> None:
        found = minimize(
            MinimizeSpec.model_validate(
                {"expression": "x**2", "start": {"x": 1}, "optimizer": {"type": "adam", "learning_rate": 0.3}, "steps": 6}
            )
        )
        values = [point.value for point in found.path]
        assert found.best == min(found.path, key=lambda point: point.value)
        assert found.best.value < values[-1]

    def test_the_first_of_equally_good_points_is_the_best(self) -> None:
        found = minimize(
            MinimizeSpec.model_validate(
                {"expression": "x**2", "start": {"x": 1}, "optimizer": {"type": "sgd", "learning_rate": 1.0}, "steps": 5}
            )
        )
        assert [point.variables["x"] for point in found.path] == [1, -1, 1, -1, 1, -1]
        assert found.best.step == 0

    def test_the_path_is_cut_to_max_points_and_nothing_else_changes(self) -> None:
        whole, cut = minimize(spec(max_points=10_000)), minimize(spec(max_points=10))
        assert len(whole.path) == whole.step + 1
        assert len(cut.path) <= 10
        assert set(map(repr, cut.path)) < set(map(repr, whole.path))
        assert (cut.path[0], cut.path[-1]) == (whole.path[0], whole.path[-1])
        assert (cut.variables, cut.value, cut.best) == (whole.variables, whole.value, whole.best)

    def test_the_same_spec_goes_the_same_way(self) -> None:
        assert minimize(spec()) == minimize(spec())

    def test_reports_lead_up_to_the_result(self) -> None:
        minimizer = Minimizer(spec(steps=3000))
        assert (minimizer.step, minimizer.fraction, minimizer.result().stopped_because) == (0, 0, None)
        reports = list(minimizer.run(call_seconds=0.001))
        assert len(reports) > 1
        assert [report.step for report in reports] == sorted({report.step for report in reports})
        found = minimizer.result()
        assert (reports[-1].step, reports[-1].value, reports[-1].gradient_norm) == (found.step, found.value, found.gradient_norm)

    def test_a_result_is_plain_json(self) -> None:
        shown = minimize(spec(steps=1, optimizer=OPTIMIZERS["sgd"])).to_json()
        assert shown["path"][0] == {"step": 0, "value": pytest.approx(24.2), "variables": {"x": -1.2, "y": 1.0}}
        assert set(shown) == {"stopped_because", "step", "value", "variables", "gradient", "gradient_norm", "best", "path"}


class TestTheOptimizers:
    @pytest.mark.parametrize("name", TYPES)
    def test_every_optimizer_there_is_goes_down(self, name: str) -> None:
        start = minimize(spec(steps=1, optimizer={"type": name, "learning_rate": 1e-3})).path[0]
        found = minimize(spec(steps=300, optimizer={"type": name, "learning_rate": 1e-3}))
        assert found.best.value < 0.9 * start.value

    def test_penalties_and_decay_take_the_variables(self) -> None:
        fields: dict[str, Any] = {"expression": "(x - 1)**2", "start": {"x": 3}, "steps": 500}
        penalised = minimize(MinimizeSpec.model_validate(fields | {"optimizer": {"type": "sgd", "learning_rate": 0.1, "l2": 2.0}}))
        assert penalised.variables["x"] == pytest.approx(0.5)  # of (x - 1)**2 + x**2
        assert penalised.gradient["x"] == pytest.approx(-1.0)  # of the expression alone
        decayed = [
            minimize(MinimizeSpec.model_validate(fields | {"optimizer": {"type": "adamw", "learning_rate": 0.01, "weight_decay": decay}}))
            for decay in (0.0, 0.5)
        ]
        assert decayed[1].variables["x"] < decayed[0].variables["x"]

    def test_a_schedule_ends_with_the_steps(self) -> None:
        schedule = {"type": "cosine", "final": 0.0}
        fields: dict[str, Any] = {"expression": "x", "start": {"x": 0}, "steps": 100, "max_points": 200}
        found = minimize(MinimizeSpec.model_validate(fields | {"optimizer": {"type": "sgd", "learning_rate": 1.0, "schedule": schedule}}))
        paces = -np.diff([point.value for point in found.path])
        np.testing.assert_allclose(paces, (1 + np.cos(np.pi * np.arange(100) / 100)) / 2, atol=1e-12)

    @pytest.mark.oracle
    @pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "adam"])
    def test_the_path_is_that_of_torch(self, name: str) -> None:
        torch = pytest.importorskip("torch", reason="no torch")
        case = OPTIMIZERS[name]
        x, y = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (-1.2, 1.0))
        if case["type"] == "adam":
            optimizer = torch.optim.Adam([x, y], case["learning_rate"])
        else:
            optimizer = torch.optim.SGD([x, y], case["learning_rate"], case.get("momentum", 0), nesterov=case.get("nesterov", False))
        found = minimize(spec(optimizer=case, steps=50))
        for point in found.path:
            assert (x.item(), y.item()) == pytest.approx((point.variables["x"], point.variables["y"]), rel=1e-9, abs=1e-12)
            optimizer.zero_grad()
            ((1 - x) ** 2 + 100 * (y - x**2) ** 2).backward()
            optimizer.step()

    def test_many_variables_are_many_of_one(self) -> None:
        names = [f"x{number}" for number in range(100)]
        fields = {"optimizer": OPTIMIZERS["adam"], "steps": 20}
        many = minimize(
            MinimizeSpec.model_validate(
                {
                    "expression": " + ".join(f"{name}**2" for name in names),
                    "start": {name: 1 + number / 7 for number, name in enumerate(names)},
                }
                | fields
            )
        )
        one = minimize(MinimizeSpec.model_validate({"expression": "x**2", "start": {"x": 1 + 63 / 7}} | fields))
        assert many.variables["x63"] == pytest.approx(one.variables["x"], rel=1e-14)

    def test_scalars_are_those_of_the_step_beyond_a_block(self) -> None:
        optimizer = spec(optimizer=OPTIMIZERS["adam"]).optimizer
        jumped, walked = Update(optimizer, ["x"]), Update(optimizer, ["x"])
        for step in range(SCALAR_STEPS + 2):
            walked.parameters[0], walked.gradients[0] = 1.0, 0.5
            walked.optimizer_state[:] = 0.25
            walked.apply(step)
        jumped.parameters[0], jumped.gradients[0] = 1.0, 0.5
        jumped.optimizer_state[:] = 0.25
        jumped.apply(SCALAR_STEPS + 1)
        assert jumped.parameters[0] == walked.parameters[0] != 1.0


class TestToGoOn:
    @pytest.mark.parametrize("name", OPTIMIZERS)
    @given(cut=st.integers(0, 1300))
    @example(cut=SCALAR_STEPS)
    @settings(max_examples=12)
    def test_a_search_that_was_cut_anywhere_ends_bit_for_bit_as_one_that_was_not(self, name: str, cut: int) -> None:
        fields = {"optimizer": OPTIMIZERS[name], "max_points": 50}
        first = finished(Minimizer(spec(**fields, steps=max(cut, 1)))) if cut else Minimizer(spec(**fields))
        second = Minimizer(spec(**fields, steps=1200))
        second.restore(decode(encode(first.state())))
        whole = finished(Minimizer(spec(**fields, steps=max(cut, 1200))))
        assert finished(second).result() == whole.result()
        assert encode(second.state()) == encode(whole.state())

    def test_a_divergence_is_remembered(self) -> None:
        fields = {"optimizer": {"type": "sgd", "learning_rate": 1.0}}
        first, second = finished(Minimizer(spec(**fields))), Minimizer(spec(**fields))
        second.restore(first.state())
        assert second.stopped_because == "diverged"
        assert second.result() == first.result()

    @pytest.mark.parametrize(
        "other",
        [
            {"expression": "(1 - x)**2 + 99*(y - x**2)**2"},
            {"start": {"x": 0, "y": 0}},
            {"goal": "maximize"},
            {"optimizer": {"type": "sgd", "learning_rate": 0.05}},
            {"optimizer": {"type": "adam", "learning_rate": 0.04}},
            {"max_points": 999},
            {"optimizer": {"type": "adam", "learning_rate": 0.05, "schedule": {"type": "cosine"}}},
        ],
    )
    def test_a_state_of_another_search_is_refused(self, other: dict[str, Any]) -> None:
        with pytest.raises(CheckpointMismatch):
            Minimizer(spec(**other)).restore(Minimizer(spec()).state())

    def test_an_incomplete_state_is_refused(self) -> None:
        state = Minimizer(spec()).state()
        del state["optimizer"]
        with pytest.raises(CheckpointMismatch, match="optimizer"):
            Minimizer(spec()).restore(state)
