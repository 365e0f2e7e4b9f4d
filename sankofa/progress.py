"""A job before a person's eyes: its progress as it goes, and its outcome in words."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

from sankofa.display import Bar, terminal_console
from sankofa.jobs import Job

# The epochs that came in since a job was last looked at are shown one after the other, the job's last ones with more time to see them.
FRAME_SECONDS = 0.03
REPLAY_SECONDS = 0.4
LAST_REPLAY_SECONDS = 2.0


def measures(values: dict[str, Any], *, brief: bool = False) -> str:
    """Loss, validation loss and metrics on one line, e.g. `loss 0.0213  validation loss 0.0874  accuracy 0.9749`.

    brief: `validation` for `validation loss`, for a line with a bar in it.
    """
    validation = "validation" if brief else "validation loss"
    shown = {"loss": values.get("loss"), validation: values.get("validation_loss"), **(values.get("metrics") or {})}
    return "  ".join(f"{name.replace('_', ' ')} {measure(number)}" for name, number in shown.items() if number is not None)


def measure(number: float) -> str:
    """A number with four decimals where that shows it, so that numbers below each other are easily compared."""
    return f"{number:.4f}" if 1e-3 <= abs(number) < 1e4 or number == 0 else f"{number:.2e}"


def progress_line(job: Job) -> str:
    """Where the job is, on one line."""
    progress = job.progress
    queue = job.document.get("queue")
    if job.state == "queued" and queue and not progress.get("step"):
        ahead = queue.get("jobs_ahead", 0)
        return "next in the queue" if ahead == 0 else f"{ahead} job{'s' if ahead != 1 else ''} ahead in the queue"
    return epoch_line(progress, progress.get("epochs"))


def epoch_line(values: dict[str, Any], epochs: int | None) -> str:
    """An epoch and its measures, e.g. `epoch 7/60  loss 0.0213  validation 0.0874  accuracy 0.9749`."""
    return f"epoch {values.get('epoch', 0)}/{epochs or '?'}  {measures(values, brief=True)}".rstrip()


def shower(bar: Bar) -> Callable[[Job], None]:
    """A function that shows in `bar` where a job is now; for `on_change` of `Job.wait`.

    Small networks learn in less time than passes between two looks; so in a terminal every epoch since the last look is shown.
    """
    last_state: str | None = None
    seen_step = 0

    def show(job: Job) -> None:
        nonlocal last_state, seen_step
        step = job.progress.get("step") or 0
        if bar.is_live and last_state is not None and step > seen_step:
            replay(bar, job, seen_step)
        bar.show(job.fraction, progress_line(job), title=job.state, urgent=job.state != last_state and not job.terminal)
        last_state, seen_step = job.state, step

    return show


def replay(bar: Bar, job: Job, after_step: int) -> None:
    """Show the epochs behind `after_step`, one after the other; where they are too many for the time, some of them."""
    epochs, reports = job.progress.get("epochs"), job.metrics(after_step)
    seconds = LAST_REPLAY_SECONDS if job.terminal else REPLAY_SECONDS
    every = max(1, math.ceil(len(reports) * FRAME_SECONDS / seconds))
    for report in reports[::every]:
        bar.show(report["epoch"] / epochs if epochs else job.fraction, epoch_line(report, epochs), title="running")
        time.sleep(FRAME_SECONDS)


def follow(job: Job, *, timeout_seconds: float | None, as_json: bool) -> Job:
    """Wait for the end of the job in front of the user: a bar or lines on stderr, or the job as JSON lines on stdout.

    Returns however it ended. Raises WaitTimeout.
    """
    if as_json:
        return job.wait(timeout_seconds, on_change=lambda seen: print(json.dumps(seen.document), flush=True), check=False)
    with Bar(terminal_console(), job.state) as bar:
        return job.wait(timeout_seconds, on_change=shower(bar), check=False)


def summary(job: Job) -> str:
    """The job in a few lines: what became of it, and how good its snapshots are."""
    progress = job.progress
    lines = [
        f"{job.id}  {job.state}  epoch {progress.get('epoch', 0)} of {progress.get('epochs', '?')}" + (f"  {job.name}" if job.name else "")
    ]
    if job.reason:
        lines.append(f"  reason: {job.reason.get('code')}: {job.reason.get('message')}")
    for which in ("best", "last"):
        found = (job.result or {}).get(which)
        if found:
            lines.append(f"  {which}: epoch {found.get('epoch')}, step {found.get('step')}  {measures(found)}")
    if not job.terminal:
        lines.append(f"  {progress_line(job)}")
        lines.append(f"  you may ask it to: {', '.join(job.allowed_actions) or 'nothing now'}")
    return "\n".join(lines)
