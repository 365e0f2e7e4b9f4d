"""A job before a person's eyes: its progress as it goes, and its outcome in words."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

from sankofa.curve import Watched
from sankofa.display import Bar, terminal_console
from sankofa.jobs import Job
from sankofa.notebook import is_notebook, update_in_place

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
    if job.kind != "train":
        return f"{progress.get('step', 0):,} of {progress.get('steps', 0):,}"
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
        if bar.is_live and job.kind == "train" and last_state is not None and step > seen_step:
            replay(bar, job, seen_step)
        bar.show(job.fraction, progress_line(job), title=job.state, urgent=job.state != last_state and not job.terminal)
        last_state, seen_step = job.state, step

    return show


def replay(bar: Bar, job: Job, after_step: int) -> None:
    """Show the epochs behind `after_step`, one after the other; where they are too many for the time, some of them."""
    epochs, reports = job.progress.get("epochs"), [each for each in job.metrics(after_step) if each.get("epoch_ended", True)]
    seconds = LAST_REPLAY_SECONDS if job.terminal else REPLAY_SECONDS
    every = max(1, math.ceil(len(reports) * FRAME_SECONDS / seconds))
    for report in reports[::every]:
        bar.show(report["epoch"] / epochs if epochs else job.fraction, epoch_line(report, epochs), title="running")
        time.sleep(FRAME_SECONDS)


def watch(job: Job, timeout_seconds: float | None = None) -> Job:
    """Wait for the end of the job in front of a person: its curve and a bar in a terminal or a notebook, else lines on stderr.

    Returns however it ended. Raises WaitTimeout.
    """
    if is_notebook():
        return job.wait(timeout_seconds, on_change=_in_notebook(), check=False)
    console, watched = terminal_console(), Watched()
    with Bar(console, job.state) as bar:
        last_state: str | None = None

        def show(seen: Job) -> None:
            nonlocal last_state
            if bar.is_live:
                watched.update(seen)
            above = watched.curve if len(watched.curve) else None
            urgent = seen.state != last_state and not seen.terminal
            bar.show(seen.fraction, progress_line(seen), title=seen.state, urgent=urgent, above=above)
            last_state = seen.state

        try:
            return job.wait(timeout_seconds, on_change=show, check=False)
        finally:
            # What was drawn is gone with the bar; a last time, to stay.
            bar.close()
            if len(watched.curve):
                console.print(watched.curve)


def _in_notebook() -> Callable[[Job], None]:
    """A function that shows the job as the output of a notebook's cell, one output that changes."""
    watched, put = Watched(), update_in_place()
    last: tuple[str, bool] | None = None

    def show(job: Job) -> None:
        nonlocal last
        caption = f"{job.name or job.id}  {job.state}  {progress_line(job)}"
        if watched.update(job) or (job.state, job.terminal) != last:
            put(watched.curve.bundle(caption) if len(watched.curve) else {"text/plain": caption})
        last = (job.state, job.terminal)

    return show


def follow(job: Job, *, timeout_seconds: float | None, as_json: bool) -> Job:
    """`watch`, or with `as_json` the job as JSON lines on stdout, now and after every change."""
    if not as_json:
        return watch(job, timeout_seconds)
    return job.wait(timeout_seconds, on_change=lambda seen: print(json.dumps(seen.document), flush=True), check=False)


def summary(job: Job) -> str:
    """The job in a few lines: what became of it, and how good its snapshots are."""
    progress = job.progress
    done = (
        f"epoch {progress.get('epoch', 0)} of {progress.get('epochs', '?')}" if job.kind == "train" else f"{job.kind} {progress_line(job)}"
    )
    lines = [f"{job.id}  {job.state}  {done}" + (f"  {job.name}" if job.name else "")]
    if job.reason:
        lines.append(f"  reason: {job.reason.get('code')}: {job.reason.get('message')}")
    for which in ("best", "last"):
        found = (job.document.get("result") or {}).get(which)
        if found:
            lines.append(f"  {which}: epoch {found.get('epoch')}, step {found.get('step')}  {measures(found)}")
    if tested := (job.document.get("result") or {}).get("test"):
        lines.append(f"  test: {tested['rows']:,} rows  {measures(tested)}")
    for finding in (job.document.get("result") or {}).get("findings", ()):
        remedy = f"; {finding['remedy']}" if finding.get("remedy") else ""
        lines.append(f"  {finding['severity']}: {finding['message']}{remedy}")
    if not job.terminal:
        lines.append(f"  {progress_line(job)}")
        lines.append(f"  you may ask it to: {', '.join(job.allowed_actions) or 'nothing now'}")
    return "\n".join(lines)
