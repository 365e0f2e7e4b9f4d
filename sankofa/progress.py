"""A job before a person's eyes: its progress as it goes, and its outcome in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sankofa.display import Bar, terminal_console
from sankofa.jobs import Job


def measures(values: dict[str, Any]) -> str:
    """Loss, validation loss and metrics on one line, e.g. `loss 0.0213  validation loss 0.0874  accuracy 0.9749`."""
    shown = {"loss": values.get("loss"), "validation loss": values.get("validation_loss"), **(values.get("metrics") or {})}
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
    return f"epoch {progress.get('epoch', 0)}/{progress.get('epochs', '?')}  {measures(progress)}".rstrip()


def shower(bar: Bar) -> Callable[[Job], None]:
    """A function that shows in `bar` where a job is now; for `on_change` of `Job.wait`."""
    last_state: str | None = None

    def show(job: Job) -> None:
        nonlocal last_state
        bar.show(job.fraction, progress_line(job), title=job.state, urgent=job.state != last_state and not job.terminal)
        last_state = job.state

    return show


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
