"""What a person sees of a job that learns faster than it is looked at."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from sankofa import progress
from sankofa.display import Bar
from sankofa.jobs import Job
from sankofa.progress import shower
from tests.sankofa.fake_service import Answer, FakeService, job_document

EPOCHS = 60


def document(state: str, epoch: int) -> dict[str, Any]:
    done = {"fraction": epoch / EPOCHS, "epoch": epoch, "epochs": EPOCHS, "step": epoch * 10, "loss": 1 / (epoch + 1)}
    return job_document(state, progress=done)


def reports(first: int, last: int) -> Answer:
    data = [
        {"step": epoch * 10, "epoch": epoch, "loss": 1 / (epoch + 1), "validation_loss": 0.5, "metrics": {"accuracy": epoch / EPOCHS}}
        for epoch in range(first, last + 1)
    ]
    return Answer(200, {"data": data, "next_cursor": None})


def watched(service: FakeService, *, terminal: bool = True) -> str:
    """What was shown of a job that was waited for."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=80, highlight=False)
    with Bar(console, "queued") as bar:
        Job(service.connection(), document("queued", 0)).wait(on_change=shower(bar))
    return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", file.getvalue())


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between what was shown."""
    pauses: list[float] = []
    monkeypatch.setattr(progress.time, "sleep", pauses.append)
    return pauses


@pytest.mark.usefixtures("slept")
def test_loss_and_accuracy_are_seen_moving_though_the_job_ended_between_two_looks() -> None:
    shown = watched(FakeService(Answer(200, document("succeeded", EPOCHS)), reports(1, EPOCHS)))
    epochs = [int(epoch) for epoch in re.findall(r"epoch (\d+)/60  loss 0\.\d{4}  validation 0\.5000  accuracy [01]\.\d{4}", shown)]
    assert list(dict.fromkeys(epochs)) == list(range(1, EPOCHS + 1))


def test_only_what_is_new_is_shown_and_in_bounded_time(slept: list[float]) -> None:
    service = FakeService(
        Answer(200, document("running", 10)), reports(1, 10), Answer(200, document("succeeded", EPOCHS)), reports(11, EPOCHS)
    )
    watched(service)
    assert [request.query.get("after_step") for request in service.requests if request.path.endswith("/metrics")] == ["0", "100"]
    assert sum(pause for pause in slept if pause == progress.FRAME_SECONDS) <= progress.REPLAY_SECONDS + progress.LAST_REPLAY_SECONDS


def test_without_a_terminal_nothing_is_replayed() -> None:
    service = FakeService(Answer(200, document("succeeded", EPOCHS)))
    watched(service, terminal=False)
    assert len(service.requests) == 1


def test_a_job_that_had_ended_before_it_was_looked_at_is_not_replayed() -> None:
    service = FakeService()
    with Bar(Console(file=io.StringIO(), force_terminal=True, width=80), "queued") as bar:
        Job(service.connection(), document("succeeded", EPOCHS)).wait(on_change=shower(bar))
    assert service.requests == []
