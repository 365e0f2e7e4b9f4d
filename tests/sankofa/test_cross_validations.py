"""Cross-validations by the client and by the command line, against scripted answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sankofa import WaitTimeout
from sankofa.commands import run
from sankofa.commands.exits import Exit
from tests.sankofa.conftest import Use
from tests.sankofa.fake_service import DATASET, Answer, FakeService, job_document

LAYERS = [{"type": "dense", "units": 1}]


def spread(mean: float, deviation: float | None) -> dict[str, Any]:
    return {"mean": mean, "standard_deviation": deviation, "minimum": 0.0, "maximum": 1.0, "folds": 2}


def fold(number: int, state: str = "succeeded", **more: Any) -> dict[str, Any]:
    best = {"step": 30, "epoch": 3, "loss": 0.5, "validation_loss": 0.25 * (1 + number), "metrics": {"accuracy": 0.9}, "tables": {}}
    ended = {"best": best if state == "succeeded" else None, "test": None, "reason": None}
    numbers = {"fraction": 1.0 if state == "succeeded" else 0.5, "epoch": 5, "validation_rows": 1000}
    return {"fold": number, "job": f"job_{number}", "state": state, **numbers, **ended, **more}


def cross_validation(*folds: dict[str, Any], **more: Any) -> dict[str, Any]:
    terminal = all(fold["state"] not in ("queued", "running") for fold in folds)
    states = [fold["state"] for fold in folds]
    of_best = {"loss": spread(0.375, 0.1767), "accuracy": spread(0.9, None)} if terminal else {}
    summary = {"folds": states.count("succeeded"), "validation": of_best, "test": None}
    counts = {state: states.count(state) for state in states}
    head = {"id": "cv_1", "name": None, "folds": len(folds), "deleted": 0, "counts": counts, "terminal": terminal}
    return {**head, "jobs": list(folds), "summary": summary, **more}


RUNNING = cross_validation(fold(0, "running"), fold(1, "queued"))
ENDED = cross_validation(fold(0), fold(1))


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps({"network": {"layers": LAYERS}, "target": "y", "epochs": 3}))
    return str(path)


class TestClient:
    def test_sends_what_it_was_told_and_waits_until_every_fold_has_ended(self) -> None:
        service = FakeService(
            Answer(201, DATASET),
            Answer(202, RUNNING, {"ETag": '"a"'}),
            Answer(304),
            Answer(200, ENDED, {"ETag": '"b"'}),
            Answer(200, ENDED),
        )
        seen: list[float] = []
        found = service.client().cross_validate(LAYERS, {"x": [0, 1], "y": [1, 0]}, "y", folds=2, epochs=3)
        assert service.requests[1].path == "/v1/cross_validations"
        sent = {"dataset": "ds_1", "target": "y", "network": {"layers": LAYERS}, "folds": 2, "epochs": 3}
        assert service.requests[1].json == sent
        assert (found.terminal, found.fraction, found.counts) == (False, 0.5, {"running": 1, "queued": 1})
        assert found.wait(on_change=lambda each: seen.append(each.fraction)) is found
        assert (seen, found.terminal, found.summary) == ([0.5, 1.0], True, ENDED["summary"])
        assert (service.requests[2].headers["if-none-match"], service.requests[2].headers["prefer"]) == ('"a"', "wait=30")
        assert found.refresh().id == "cv_1"

    def test_says_how_many_folds_have_a_result_and_their_means(self) -> None:
        client = FakeService(Answer(200, RUNNING), Answer(200, ENDED)).client()
        assert repr(client.cross_validation("cv_1")) == "<CrossValidation cv_1 0 of 2 folds>"
        assert repr(client.cross_validation("cv_1")) == "<CrossValidation cv_1 2 of 2 folds, loss 0.375 ± 0.18, accuracy 0.9>"

    def test_waits_no_longer_than_it_was_told(self) -> None:
        with pytest.raises(WaitTimeout, match="cv_1 is at 50% after 0 s; it goes on"):
            FakeService(Answer(200, RUNNING)).client().cross_validation("cv_1").wait(0)

    def test_fetches_its_jobs_by_fold_cancels_and_deletes(self) -> None:
        folds = [job_document("queued", id=f"job_{number}", spec={"fold": {"of": 2, "number": number}}) for number in (1, 0)]
        freed = {"id": "cv_1", "freed_bytes": 7}
        service = FakeService(
            Answer(200, RUNNING), Answer(200, {"data": folds, "next_cursor": None}), Answer(202, ENDED), Answer(200, freed)
        )
        found = service.client().cross_validation("cv_1")
        assert [job.id for job in found.jobs] == ["job_0", "job_1"]
        assert service.requests[1].query["cross_validation"] == "cv_1"
        assert found.cancel().terminal
        assert found.delete() == 7
        assert [(each.method, each.path) for each in service.requests[2:]] == [
            ("POST", "/v1/cross_validations/cv_1/cancel"),
            ("DELETE", "/v1/cross_validations/cv_1"),
        ]


class TestCommand:
    def test_waits_and_shows_a_row_for_each_fold_and_their_mean(self, use: Use, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
        service = use(Answer(202, RUNNING), Answer(200, ENDED))
        told = ["--data", "ds_1", "--target", "z", "--folds", "2", "--name", "mine", "--seed", "3", "--set", "epochs=9"]
        assert run(["cross-validate", spec, *told]) == Exit.DONE
        sent = {"network": {"layers": LAYERS}, "target": "z", "epochs": 9, "dataset": "ds_1", "folds": 2, "name": "mine", "seed": 3}
        assert service.requests[0].json == sent
        said = capsys.readouterr()
        head, first, second, mean = [line.split() for line in said.out.splitlines()]
        assert head == ["fold", "job", "state", "rows", "best", "epoch", "loss", "accuracy"]
        assert first == ["0", "job_0", "succeeded", "1,000", "3", "0.2500", "0.9000"]
        assert second == ["1", "job_1", "succeeded", "1,000", "3", "0.5000", "0.9000"]
        assert mean == ["mean", "2", "of", "2", "folds", "0.375", "±", "0.18", "0.9"]
        assert "cv_1  2 folds queued" in said.err
        assert "50%  1 running, 1 queued" in said.err

    def test_says_why_a_fold_failed_and_so_does_the_exit_code(self, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
        reason = {"code": "diverged", "message": "The loss is not finite."}
        use(Answer(200, cross_validation(fold(0), fold(1, "failed", reason=reason))))
        assert run(["cross-validate", "cv_1"]) == Exit.FAILED
        said = capsys.readouterr().out
        assert "fold 1 failed: diverged: The loss is not finite." in said
        assert "1 of 2 folds" in said

    def test_with_json_says_one_document(self, use: Use, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
        use(Answer(202, RUNNING), Answer(200, ENDED))
        assert run(["cross-validate", spec, "--data", "ds_1", "--json"]) == Exit.DONE
        said = capsys.readouterr()
        assert (json.loads(said.out), said.err) == (ENDED, "")

    def test_of_one_that_is_there_nothing_can_be_changed(self, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
        use()
        assert run(["cross-validate", "cv_1", "--folds", "9", "--set", "epochs=3"]) == Exit.USAGE
        assert "cv_1 is there already and does not change: leave --folds, --set out" in capsys.readouterr().err

    def test_needs_a_dataset(self, use: Use, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
        use()
        assert run(["cross-validate", spec]) == Exit.USAGE
        assert "names no dataset" in capsys.readouterr().err
