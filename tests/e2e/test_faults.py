"""Real processes killed with real signals: no job is lost, none is done twice, and the files are those of an unbroken run."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from sankofa import Client, Job

pytestmark = pytest.mark.e2e

# Long enough to be hit while it runs, on any machine: several seconds.
LONG: dict[str, Any] = {
    "target": "label",
    "network": {
        "layers": [
            {"type": "dense", "units": 256, "activation": "relu"},
            {"type": "dropout", "rate": 0.1},
            {"type": "dense", "units": 10},
        ]
    },
    "optimizer": {"type": "adam", "learning_rate": 0.001},
    "batch_size": 32,
    "validation": {"fraction": 0.2},
    "epochs": 800,
    "seed": 11,
}
SHORT = {**LONG, "epochs": 2}


def submit(client: Client, dataset_id: str, spec: dict[str, Any]) -> Job:
    return client.submit({**spec, "dataset": dataset_id})


def files(job: Job) -> tuple[bytes, bytes]:
    return job.weights_file(snapshot="best"), job.weights_file(snapshot="last")


def taken_again(job: Job, until, slices: int) -> None:
    """Wait until the job has been claimed more often than `slices` times."""
    until(lambda: job.refresh().document["slices"] > slices, 20, lambda: job.document)


def started(job: Job, until, fraction: float = 0.1) -> None:
    """Wait until the job trains and has a checkpoint's worth of work behind it."""
    until(lambda: job.refresh().state == "running" and job.fraction >= fraction, 30, lambda: (job.state, job.progress))


def check_finished_once(job: Job, unbroken: tuple[bytes, bytes]) -> None:
    job.wait(120)
    assert job.state == "succeeded"
    assert files(job) == unbroken
    ends = [event for event in job.events() if event.type == "state" and event.data["state"] == "succeeded"]
    assert len(ends) == 1
    steps = [row["step"] for row in job.metrics()]
    assert steps == sorted(set(steps))
    assert len(steps) == LONG["epochs"]


class TestAKilledJobEndsWithTheFilesOfAnUnbrokenRun:
    """One installation, broken in one way after the other."""

    def test_worker_child_worker_tree_supervisor_freeze_and_stop(self, service, digits, until, alive, descendants) -> None:
        client = service.start(SANKOFA_WORKERS="1")
        data = client.datasets.upload(digits, name="digits").id
        unbroken = files(submit(client, data, LONG).wait(120))

        job = submit(client, data, LONG)  # the process that trains
        for fraction in (0.1, 0.3, 0.5):
            started(job, until, fraction)
            slices = job.document["slices"]
            os.kill(service.worker_children()[0], signal.SIGKILL)
            taken_again(job, until, slices)
        check_finished_once(job, unbroken)

        job = submit(client, data, LONG)  # the whole worker tree
        started(job, until)
        for pid in descendants(service.worker_parent()):
            os.kill(pid, signal.SIGKILL)
        check_finished_once(job, unbroken)

        job = submit(client, data, LONG)  # the worker's parent alone: its child must not train on beside the next one
        started(job, until)
        parent, child = service.worker_parent(), service.worker_children()[0]
        os.kill(parent, signal.SIGKILL)
        until(lambda: not alive(child), 5)
        check_finished_once(job, unbroken)

        job = submit(client, data, LONG)  # everything, by killing the supervisor
        started(job, until)
        family = service.pids()
        os.kill(service.process.pid, signal.SIGKILL)
        until(lambda: not any(map(alive, family[1:])), 10, lambda: [pid for pid in family if alive(pid)])
        service.process.wait()
        client = service.start(SANKOFA_WORKERS="1")
        job = client.job(job.id)
        check_finished_once(job, unbroken)

        job = submit(client, data, LONG)  # a clean stop in the middle
        started(job, until)
        family = service.pids()
        before = job.progress["step"]
        started_at = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - started_at < 20
        assert not [pid for pid in family if alive(pid)]
        client = service.start(SANKOFA_WORKERS="1")
        job = client.job(job.id)
        assert job.progress["step"] >= before  # released with its checkpoint, not lost
        assert job.refresh().document["losses"] == 0
        check_finished_once(job, unbroken)

    def test_a_worker_that_was_frozen_past_its_lease_writes_nothing(self, service, digits, until) -> None:
        client = service.start(SANKOFA_WORKERS="2")
        data = client.datasets.upload(digits).id
        unbroken = files(submit(client, data, LONG).wait(120))
        job = submit(client, data, LONG)
        started(job, until)
        frozen = busiest(service.worker_children())
        until(lambda: freeze(frozen, service.data_dir / "sankofa.db"), 10)
        taken_again(job, until, 1)
        os.kill(frozen, signal.SIGCONT)
        check_finished_once(job, unbroken)
        assert submit(client, data, SHORT).wait(30).state == "succeeded"  # the thawed worker is of use again


def freeze(pid: int, database: Path) -> bool:
    """Stop the process; False, and it goes on, where that was in the midst of a write to SQLite: until it ends, nobody else can write."""
    os.kill(pid, signal.SIGSTOP)
    if database.exists():
        connection = sqlite3.connect(database, timeout=1, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            return False
        finally:
            connection.close()
    return True


def busiest(pids: list[int]) -> int:
    """The process that uses most of a processor now."""

    def ticks(pid: int) -> int:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = {pid: ticks(pid) for pid in pids}
    time.sleep(0.5)
    return max(pids, key=lambda pid: ticks(pid) - before[pid])


def test_a_newcomer_starts_within_three_seconds_beside_a_long_job(service, digits, until) -> None:
    client = service.start(SANKOFA_WORKERS="1")
    data = client.datasets.upload(digits).id
    long = submit(client, data, {**LONG, "epochs": 100_000})
    started(long, until, 0.0)
    for _ in range(3):
        asked_at = time.monotonic()
        newcomer = submit(client, data, SHORT)
        until(lambda job=newcomer: job.refresh().document["started_at"] is not None, 10)
        assert time.monotonic() - asked_at < 3.0
        newcomer.wait(10)
    until(lambda: long.refresh().state == "running", 5)
    long.cancel()
    assert long.wait(10, check=False).state == "cancelled"


def test_pause_resume_stop_and_cancel_reach_a_training_job(service, digits, until) -> None:
    client = service.start(SANKOFA_WORKERS="1")
    data = client.datasets.upload(digits).id
    endless = {**LONG, "epochs": 100_000}
    job = submit(client, data, endless)
    started(job, until, 0.0)
    job.pause()
    until(lambda: job.refresh().state == "paused", 6)
    step = job.progress["step"]
    time.sleep(1)
    assert job.refresh().progress["step"] == step
    job.resume()
    until(lambda: job.refresh().progress["step"] > step, 10)
    job.stop()
    assert job.wait(10, check=False).state == "stopped"
    assert job.weights()  # the best so far is kept
    assert {snapshot["best"] for snapshot in job.snapshots()} == {True, False} or len(job.snapshots()) == 1
    other = submit(client, data, endless)
    started(other, until, 0.0)
    other.cancel()
    assert other.wait(10, check=False).state == "cancelled"
    assert other.snapshots() == []


def test_a_job_that_kills_its_worker_fails_and_the_next_one_starts(embedded, digits, until) -> None:
    client = embedded.start(SANKOFA_WORKERS="1", SANKOFA_MAX_LOSSES="3", SANKOFA_CHECKPOINT_SECONDS="60")
    data = client.datasets.upload(digits).id
    poison = submit(client, data, {**LONG, "epochs": 100_000})
    honest = None
    for loss in range(1, 4):
        until(lambda: poison.refresh().state == "running", 20)
        if loss == 3:
            honest = submit(client, data, SHORT)
        os.kill(embedded.worker_children()[0], signal.SIGKILL)
        until(lambda loss=loss: poison.refresh().document["losses"] == loss, 10, lambda: poison.document)
    assert poison.state == "failed"
    assert poison.reason["code"] == "worker_lost"
    assert honest.wait(10).state == "succeeded"


def test_two_workers_train_two_jobs_at_once(service, digits, until) -> None:
    client = service.start(SANKOFA_WORKERS="2")
    data = client.datasets.upload(digits).id
    jobs = [submit(client, data, {**LONG, "seed": seed}) for seed in (1, 2)]
    until(lambda: [job.refresh().state for job in jobs] == ["running", "running"], 15)
    for job in jobs:
        assert job.wait(120).state == "succeeded"
    assert files(jobs[0]) != files(jobs[1])


def test_a_job_passes_through_rabbitmq(service_on_rabbitmq, digits) -> None:
    client = service_on_rabbitmq.start()
    data = client.datasets.upload(digits).id
    assert submit(client, data, SHORT).wait(60).state == "succeeded"
