"""L-BFGS: the path of PyTorch's, known optima, resumed bit for bit, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncore import checkpoint
from nncore.errors import Diverged, InvalidSpec
from nncore.minimize import Minimizer, MinimizeSpec, minimize
from nncore.optimizers.line_search import Trial, strong_wolfe
from nncore.trainer import Trainer

LAYERS = [{"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dense", "units": 3}]
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "short-history": {"history": 3},
    "small-first-step": {"learning_rate": 0.2},
    "few-evaluations": {"evaluations": 2, "learning_rate": 5.0},
    "large-first-step": {"learning_rate": 4.0, "history": 5},
}


def trainer(job: Any, blobs: Any, **more: Any) -> Trainer:
    spec = {"inputs": ["x"], "target": "y", "network": LAYERS, "batch_size": 50, "epochs": 50, "seed": 2, "dtype": "float64"}
    return Trainer(*job(blobs, **spec | {"optimizer": {"type": "lbfgs"}} | more))


# Network, loss, and how far the paths may be apart: where the loss is bent both ways, rounding grows tenfold every few steps.
PROBLEMS: dict[str, tuple[list[dict[str, Any]], str, float]] = {
    "convex": ([{"type": "dense", "units": 3}], "softmax_cross_entropy", 1e-9),
    "bent": (LAYERS, "softmax_cross_entropy", 1e-6),
    "numbers": ([LAYERS[0], {"type": "dense", "units": 1}], "mean_squared_error", 1e-5),
}


@pytest.mark.oracle
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", CASES)
def test_the_trajectory_is_that_of_torch(name: str, problem: str, job: Any, blobs: Any, torch_network: Any) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    fields, (network, loss, apart) = CASES[name], PROBLEMS[problem]
    classes = loss == "softmax_cross_entropy"
    optimizer = {"type": "lbfgs", "gradient_tolerance": 1e-5, "l2": 0.02, **fields}
    found = trainer(job, blobs, optimizer=optimizer, network=network, loss={"type": loss}, target="y" if classes else "z")
    model = torch_network(found.spec.network, (2,), found._machine.parameters)
    theirs = torch.optim.LBFGS(
        model.parameters(),
        lr=fields.get("learning_rate", 1.0),
        max_iter=1,
        max_eval=fields.get("evaluations", 25) + 1,
        tolerance_grad=1e-5,
        history_size=fields.get("history", 10),
        line_search_fn="strong_wolfe",
    )
    inputs = torch.tensor(found.data.inputs)
    expected = torch.tensor(found.data.labels if classes else found.data.targets)
    compare = torch.nn.functional.cross_entropy if classes else torch.nn.functional.mse_loss

    def closure() -> Any:
        theirs.zero_grad()
        value = compare(model(inputs), expected) + 0.01 * penalty()
        value.backward()
        return value

    def penalty() -> Any:
        return sum((each**2).sum() for each in model.parameters() if each.ndim > 1)

    for report in found.run():
        before = 0.01 * penalty().item()
        assert report.loss == pytest.approx(theirs.step(closure).item() - before, rel=apart)
        vector = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
        np.testing.assert_allclose(found._machine.parameters, vector, rtol=apart, atol=apart)
        if report.epoch <= 8:
            np.testing.assert_allclose(found._machine.parameters, vector, rtol=1e-9, atol=1e-9)
    assert report.epoch == 50 or found.stopped_because == "converged"
    assert report.epoch > 8


@pytest.mark.oracle
def test_with_a_penalty_it_finds_the_optimum_of_ridge_regression(job: Any) -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="no scikit-learn")
    random = np.random.default_rng(1)
    x = random.standard_normal((40, 5))
    y = x @ random.standard_normal(5) + 0.3 * random.standard_normal(40)
    optimizer = {"type": "lbfgs", "l2": 0.1, "gradient_tolerance": 1e-10, "change_tolerance": 1e-16}
    columns = {"x": x.tolist(), "y": y.tolist()}
    found = trainer(job, columns, network=[{"type": "dense", "units": 1}], optimizer=optimizer, batch_size=40)
    reports = list(found.run())
    assert found.stopped_because == "converged"
    expected = linear.Ridge(alpha=0.1 * 40 / 2, tol=1e-12).fit(x, y)
    parameters = found.artifact("last").parameters
    np.testing.assert_allclose(parameters["0.weight"][0], expected.coef_, rtol=1e-7)
    assert parameters["0.bias"][0] == pytest.approx(expected.intercept_, rel=1e-7)
    assert reports[-1].loss == pytest.approx(((expected.predict(x) - y) ** 2).mean(), rel=1e-7)


def test_it_goes_down_faster_than_adam(job: Any, blobs: Any) -> None:
    quick, slow = trainer(job, blobs), trainer(job, blobs, optimizer={"type": "adam", "learning_rate": 0.01})
    for each in (quick, slow):
        list(each.run())
    assert quick.last_report is not None
    assert slow.last_report is not None
    assert quick.last_report.loss < 0.5 * slow.last_report.loss


def test_batches_that_are_accumulated_to_all_rows_give_the_same_path(job: Any, blobs: Any) -> None:
    whole, parts = trainer(job, blobs, epochs=10), trainer(job, blobs, epochs=10, batch_size=7, accumulate=8)
    list(whole.run())
    list(parts.run())
    np.testing.assert_allclose(parts._machine.parameters, whole._machine.parameters, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("more", [{}, {"dtype": "float32"}, {"validation": {"fraction": 0.3}, "batch_size": 35}])
@pytest.mark.parametrize("stop", [1, 4, 13])
def test_a_run_resumed_at_any_step_equals_the_unbroken_one(stop: int, more: dict[str, Any], job: Any, blobs: Any) -> None:
    more = {"optimizer": {"type": "lbfgs", "history": 4}, "epochs": 20, **more}
    unbroken, broken, resumed = (trainer(job, blobs, **more) for _ in range(3))
    expected = {report.epoch: report.to_json() for report in unbroken.run() if report.epoch_ended}
    for report in broken.run(call_seconds=0):
        if report.step >= stop:
            break
    resumed.restore(checkpoint.decode(checkpoint.encode(broken.state())))
    for report in resumed.run():
        assert not report.epoch_ended or report.to_json() == expected[report.epoch]
    assert checkpoint.encode(resumed.state()) == checkpoint.encode(unbroken.state())
    assert resumed.stopped_because == unbroken.stopped_because


def test_maximising_climbs(job: Any, blobs: Any) -> None:
    optimizer = {"type": "lbfgs", "maximize": True, "l2": 1.0, "decay_biases": True}
    found = trainer(job, blobs, optimizer=optimizer, loss={"type": "softmax_cross_entropy"}, epochs=15)
    losses = [report.loss for report in found.run()]
    assert losses[-1] > losses[0]
    assert found.best is not None
    assert found.best.loss == max(losses)


def test_a_start_that_is_not_finite_is_divergence(job: Any, blobs: Any) -> None:
    found = trainer(job, blobs)
    found._machine.parameters[0] = np.nan
    with pytest.raises(Diverged, match="loss"):
        list(found.run())
    assert found.step == 0


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "fewer rows": ({"batch_size": 49}, "/batch_size"),
    "too few batches": ({"batch_size": 10, "accumulate": 4}, "/batch_size"),
    "a schedule": ({"optimizer": {"type": "lbfgs", "schedule": {"type": "cosine"}}}, "/optimizer/schedule"),
    "l1": ({"optimizer": {"type": "lbfgs", "l1": 0.1}}, "/optimizer/l1"),
    "clipping": ({"optimizer": {"type": "lbfgs", "clip_norm": 1.0}}, "/optimizer/clip_norm"),
    "averages": ({"optimizer": {"type": "lbfgs", "average_decay": 0.9}}, "/optimizer/average_decay"),
    "dropout": ({"network": [LAYERS[0], {"type": "dropout", "rate": 0.1}, LAYERS[1]]}, "/network/layers/1"),
    "batch norm": ({"network": [LAYERS[0], {"type": "batch_norm"}, LAYERS[1]]}, "/network/layers/1"),
    "augmentation": ({"augment": [{"type": "noise", "deviation": 0.1}]}, "/augment/0"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_a_line_search_cannot_take_is_refused(name: str, job: Any, blobs: Any) -> None:
    more, pointer = BAD[name]
    with pytest.raises(InvalidSpec) as refused:
        trainer(job, blobs, **more)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


EXPRESSIONS: dict[str, tuple[str, dict[str, float], dict[str, float]]] = {
    "rosenbrock": ("(1 - x)**2 + 100*(y - x**2)**2", {"x": -1.2, "y": 1.0}, {"x": 1.0, "y": 1.0}),
    "booth": ("(x + 2*y - 7)**2 + (2*x + y - 5)**2", {"x": -3.0, "y": 4.0}, {"x": 1.0, "y": 3.0}),
    "beale": ("(1.5 - x + x*y)**2 + (2.25 - x + x*y**2)**2 + (2.625 - x + x*y**3)**2", {"x": 1.0, "y": 1.0}, {"x": 3.0, "y": 0.5}),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_known_minima_are_found_in_few_steps(name: str) -> None:
    expression, start, minimum = EXPRESSIONS[name]
    spec = {"expression": expression, "start": start, "optimizer": {"type": "lbfgs", "change_tolerance": 0.0}, "steps": 200}
    found = minimize(MinimizeSpec.model_validate(spec))
    assert (found.stopped_because, found.step < 60) == ("converged", True)
    assert found.variables == pytest.approx(minimum, abs=1e-6)


@pytest.mark.oracle
def test_the_path_over_an_expression_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    expression, start, _ = EXPRESSIONS["rosenbrock"]
    optimizer = {"type": "lbfgs", "gradient_tolerance": 1e-6, "change_tolerance": 1e-12}
    spec = MinimizeSpec.model_validate({"expression": expression, "start": start, "optimizer": optimizer, "steps": 50})
    found, x, y = minimize(spec), *(torch.tensor(start[name], dtype=torch.float64, requires_grad=True) for name in "xy")
    theirs = torch.optim.LBFGS(
        [x, y], max_iter=1, max_eval=26, tolerance_grad=1e-6, tolerance_change=1e-12, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Any:
        theirs.zero_grad()
        value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
        value.backward()
        return value

    for point in found.path[1:]:
        theirs.step(closure)
        assert point.variables == pytest.approx({"x": x.item(), "y": y.item()}, rel=1e-7)
    assert len(found.path) > 20


def test_going_up_ends_at_the_top_and_resumes_bit_for_bit() -> None:
    spec = MinimizeSpec.model_validate(
        {"expression": "-(x - 2)**4 - (y + 1)**2 + x*y", "start": {"x": 0.0, "y": 0.0}, "goal": "maximize", "optimizer": {"type": "lbfgs"}}
    )
    unbroken, broken, resumed = (Minimizer(spec) for _ in range(3))
    list(unbroken.run())
    for _ in range(3):
        broken._advance()
    resumed.restore(checkpoint.decode(checkpoint.encode(broken.state())))
    list(resumed.run())
    assert resumed.result() == unbroken.result()
    assert unbroken.result().stopped_because == "converged"
    assert unbroken.result().gradient_norm < 1e-4


def test_a_step_into_what_is_not_finite_is_shortened() -> None:
    """log has no value left of 0, where the first step would lead."""
    spec = {"expression": "x - log(x)", "start": {"x": 30.0}, "optimizer": {"type": "lbfgs", "learning_rate": 1000.0}}
    found = minimize(MinimizeSpec.model_validate(spec))
    assert (found.stopped_because, found.variables["x"]) == ("converged", pytest.approx(1.0, abs=1e-4))


NO_MINIMUM = ["y**2 - x**3", "-exp(x) + y", "-x**2 - y**2", "x - y", "log(x) + y**2", "-x**4 + y", "x*y", "x + y**2", "sqrt(x) + y**2"]


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
@pytest.mark.parametrize("expression", NO_MINIMUM)
def test_a_search_without_end_has_diverged_and_its_last_point_is_finite(expression: str, goal: str) -> None:
    """Down an endless slope, or to the edge of what is defined: nothing lower is found there either, but no minimum."""
    text = expression if goal == "minimize" else f"-({expression})"
    spec = {"expression": text, "start": {"x": 0.5, "y": 2.0}, "goal": goal, "optimizer": {"type": "lbfgs"}}
    minimizer = Minimizer(MinimizeSpec.model_validate(spec))
    list(minimizer.run())
    found = minimizer.result()
    assert found.stopped_because == "diverged"
    assert np.isfinite([found.value, found.gradient_norm, *found.variables.values()]).all()
    resumed = Minimizer(minimizer.spec)
    resumed.restore(checkpoint.decode(checkpoint.encode(minimizer.state())))
    assert resumed.result() == found


@pytest.mark.parametrize("expression", ["abs(x) + abs(y - 2)", "(x - 1e19)**2 + y**2", "max(x, -x) + y**4", "exp(-x) + y**2"])
def test_a_kink_a_far_minimum_and_a_fading_slope_are_no_divergence(expression: str) -> None:
    spec = {"expression": expression, "start": {"x": 3.0, "y": -7.0}, "optimizer": {"type": "lbfgs"}}
    assert minimize(MinimizeSpec.model_validate(spec)).stopped_because == "converged"


def test_a_length_that_overflows_is_shortened_without_a_warning(job: Any) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((40, 3)).round(3)
    columns = {"x": (x * 100).tolist(), "y": (x[:, 0] * 1000).tolist()}
    network = [{"type": "dense", "units": 16, "activation": "relu"}] * 2 + [{"type": "dense", "units": 1}]
    optimizer = {"type": "lbfgs", "learning_rate": 1e6}
    found = trainer(job, columns, network=network, optimizer=optimizer, dtype="float32", seed=1, batch_size=40)
    losses = [report.loss for report in found.run()]
    assert losses[-1] < 1e-3 * losses[0]


@pytest.mark.parametrize("first", [1e-6, 0.1, 1.0, 50.0])
def test_an_accepted_length_satisfies_both_conditions(first: float) -> None:
    def look(length: float) -> Trial:
        return Trial(length, np.cos(length) + 0.05 * length, np.zeros(1), -np.sin(length) + 0.05)

    start = look(0.3)._replace(length=0.0)
    found = strong_wolfe(lambda length: look(0.3 + length)._replace(length=length), start, first, 1.0, 1e-9, 25)
    assert found.value <= start.value + 1e-4 * found.length * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)
