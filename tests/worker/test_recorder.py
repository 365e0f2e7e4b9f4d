"""What a job reports on its way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from worker.recorder import Recorder


def test_it_tells_the_median_rate_and_one_that_nine_in_ten_exceed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("worker.recorder.time.monotonic", lambda: clock.now)
    trainer: Any = SimpleNamespace(step=0, epoch=0, epochs=1, finished=False)
    recorder = Recorder(trainer)
    for steps in [100] * 12 + [50] * 4 + [100] * 15:
        trainer.step += steps
        clock.now += 1.0
        recorder.waiting()  # not taken at first
        progress, _ = recorder.waiting()
        recorder.written()
    assert progress.values["steps_per_second"] == 100.0
    assert (progress.values["median_rate"], progress.values["slow_rate"]) == (100.0, 50.0)
