"""The range test against PyTorch and against theory, and the schedule of a training as a report."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from nncore.errors import InvalidSpec
from nncore.learning_rates import TRIED_RATES, learning_rate_range, schedule_report, with_found_rate
from nncore.optimizers import SGD
from nncore.trainer import Trainer

FOUND: dict[str, Any] = {
    "inputs": ["x"],
    "target": "y",
    "network": [{"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dense", "units": 3}],
    "batch_size": 8,
    "epochs": 20,
    "seed": 2,
}
LAYERS = [{"type": "dense", "units": 6, "activation": "tanh"}, {"type": "dense", "units": 3}]


def spec_and_data(job: Any, blobs: Any, **more: Any) -> Any:
    spec = {"inputs": ["x"], "target": "y", "network": LAYERS, "batch_size": 8, "epochs": 5, "seed": 2, "dtype": "float64"}
    return job(blobs, **spec | {"optimizer": {"type": "sgd", "learning_rate": 0.1}} | more)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_the_losses_are_those_of_torch_with_a_growing_rate(kind: str, job: Any, blobs: Any, torch_network: Any) -> None:
    torch = pytest.importorskip("torch", reason="no torch")
    optimizer = {"type": kind, "learning_rate": 0.1, "schedule": {"type": "cosine"}}
    spec, data = spec_and_data(job, blobs, optimizer=optimizer, shuffle=False)
    found = learning_rate_range(spec, data, lowest=1e-4, highest=1.0, steps=50)
    model = torch_network(spec.network, (2,), Trainer(spec, data)._machine.parameters)
    theirs = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[kind](model.parameters(), lr=1.0)
    inputs, labels = torch.tensor(data.inputs), torch.tensor(data.labels)
    for number, rate in enumerate(found.learning_rates):
        first = number % 7 * 8
        theirs.param_groups[0]["lr"] = rate
        theirs.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs[first : first + 8]), labels[first : first + 8])
        loss.backward()
        theirs.step()
        assert found.losses[number] == pytest.approx(loss.item(), rel=1e-9)
    np.testing.assert_allclose(found.learning_rates, 1e-4 * 1e4 ** (np.arange(len(found.losses)) / 49), rtol=1e-12)


def test_the_loss_of_a_parabola_explodes_beyond_two_over_its_curvature(job: Any) -> None:
    """Gradient descent on a quadratic converges below 2 / the largest eigenvalue of its second derivative, and nowhere above."""
    random = np.random.default_rng(3)
    x = random.standard_normal((64, 4))
    columns = {"x": x.tolist(), "y": (x @ [1.0, -2.0, 0.5, 3.0] + 0.3 * random.standard_normal(64)).tolist()}
    network = [{"type": "dense", "units": 1, "use_bias": False, "weight": [[0.0] * 4]}]
    spec, data = spec_and_data(job, columns, network=network, batch_size=64)
    critical = 2 / np.linalg.eigvalsh(2 * x.T @ x / 64).max()
    found = learning_rate_range(spec, data, lowest=critical / 1000, highest=critical * 1000, steps=200)
    assert found.stopped_because == "exploded"
    lowest_at = int(np.argmin(found.losses))
    assert found.losses[lowest_at] < 0.02 * found.losses[0]
    assert found.learning_rates[lowest_at] < 2 * critical  # what was forgotten has to grow again first
    assert critical < found.learning_rates[-1] < critical * 10
    assert found.suggested is not None
    assert critical / 1000 < found.suggested < critical


def test_it_changes_no_training_and_says_the_same_again(job: Any, blobs: Any) -> None:
    spec, data = spec_and_data(job, blobs)
    before = [report.to_json() for report in Trainer(spec, data).run() if report.epoch_ended]
    first, second = (learning_rate_range(spec, data) for _ in range(2))
    assert first == second
    assert json.loads(json.dumps(first.to_json())) == first.to_json()
    assert [report.to_json() for report in Trainer(spec, data).run() if report.epoch_ended] == before


def test_what_is_not_finite_ends_it(job: Any, blobs: Any) -> None:
    network = [{"type": "dense", "units": 8}, {"type": "dense", "units": 8}, {"type": "dense", "units": 1}]
    spec, data = spec_and_data(job, blobs, target="z", network=network, dtype="float32")
    found = learning_rate_range(spec, data, lowest=1e5, highest=1e6, steps=10)
    assert found.stopped_because == "diverged"
    assert found.suggested is None
    assert np.isfinite(found.losses).all()


@pytest.mark.parametrize(
    ("options", "pointer"),
    [({"lowest": 0.0}, "/lowest"), ({"lowest": 1.0, "highest": 0.1}, "/lowest"), ({"highest": 1e7}, "/lowest"), ({"steps": 3}, "/steps")],
)
def test_what_is_no_range_is_refused(options: dict[str, Any], pointer: str, job: Any, blobs: Any) -> None:
    with pytest.raises(InvalidSpec) as refused:
        learning_rate_range(*spec_and_data(job, blobs), **options)
    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def test_a_line_search_has_no_rate_to_test(job: Any, blobs: Any) -> None:
    with pytest.raises(InvalidSpec, match="finds the length"):
        learning_rate_range(*spec_and_data(job, blobs, optimizer={"type": "lbfgs"}, batch_size=50))


@pytest.mark.parametrize("points", [2, 10, 35, 1000])
def test_a_schedule_is_told_as_the_trainer_takes_it(points: int, job: Any, blobs: Any) -> None:
    schedule = {"type": "one_cycle", "warmup_steps": 3}
    spec, data = spec_and_data(job, blobs, optimizer={"type": "sgd", "learning_rate": 0.3, "schedule": schedule})
    told, trainer = schedule_report(spec, points), Trainer(spec, data)
    assert (told["steps"][0], told["steps"][-1], len(told["steps"])) == (0, 34, min(points, 35))
    rates = {report.step - 1: report.learning_rate for report in trainer.run(call_seconds=0)}
    known = [(step, rate) for step, rate in zip(told["steps"], told["learning_rates"], strict=True) if step in rates]
    assert len(known) >= 2 or points == 2
    assert all(rates[step] == pytest.approx(rate, rel=1e-15) for step, rate in known)
    assert told["epochs"] == [step / 7 for step in told["steps"]]
    assert told["follows_losses"] is False
    falling = spec_and_data(job, blobs, optimizer={"type": "adam", "schedule": {"type": "reduce_on_plateau"}})[0]
    assert schedule_report(falling)["follows_losses"] is True


def test_a_rate_that_is_found_is_a_good_one_and_the_same_again(job: Any, blobs: Any) -> None:
    for optimizer in ({"type": "sgd"}, {"type": "adam"}):
        spec, data = job(blobs, **FOUND, optimizer={**optimizer, "learning_rate": "auto"})
        found, again = with_found_rate(spec, data), with_found_rate(spec, data)
        assert found == again
        assert found.optimizer.rate in TRIED_RATES
        (told,) = found.found
        assert (told.pointer, told.value) == ("/optimizer/learning_rate", found.optimizer.rate)
        assert "100 steps" in told.how
        trainer = Trainer(found, data)
        list(trainer.run())
        assert trainer.best is not None
        assert trainer.best.metrics["accuracy"] > 0.85


def test_a_found_rate_begins_with_what_was_learned_and_leaves_some_weight(job: Any, blobs: Any) -> None:
    spec, data = job(blobs, **FOUND, optimizer={"type": "adamw", "learning_rate": "auto", "weight_decay": 1000.0})
    assert with_found_rate(spec, data).optimizer.rate <= 1e-3
    spec, data = job(blobs, **FOUND, optimizer={"type": "adam", "learning_rate": "auto"})
    calls: list[int] = []
    trainer = Trainer(with_found_rate(spec, data, between=lambda: calls.append(1)), data)
    assert len(calls) == len(TRIED_RATES) * 100
    list(trainer.run())
    learned = trainer.state()["parameters"]
    assert with_found_rate(spec, data, learned) == with_found_rate(spec, data, learned)
    lost = np.full_like(learned, np.nan)
    assert "none" in with_found_rate(spec, data, lost).found[0].how, "it begins with what it is given"


def test_where_the_loss_goes_up_the_rate_is_too_large(job: Any, blobs: Any) -> None:
    spec, data = job(blobs, **FOUND, optimizer={"type": "sgd", "learning_rate": 0.1})
    found = learning_rate_range(spec, data, lowest=1e-5)
    assert found.too_large is None or found.too_large > 0.5
    spec, data = job(blobs, **{**FOUND, "target": "z", "network": [{"type": "dense", "units": 1}], "metrics": []})
    found = learning_rate_range(spec.model_copy(update={"optimizer": SGD(learning_rate=0.1)}), data, lowest=1e-5)
    assert found.too_large is not None
    assert 0.1 < found.too_large < 2
    assert learning_rate_range(spec, data, go_on=lambda: False).stopped_because == "time"
