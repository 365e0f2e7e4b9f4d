"""A turn takes jobs from a real store, trains them with the real trainer, and leaves them as it should."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nncore.machine.compilation import usual_kernels, warm
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table.json import read_columns
from service.settings import Settings
from service.store import blobs, checkpoints, claims, datasets, events, job_changes, jobs, metrics, reaping
from service.store.database import Store
from service.store.states import Action, State
from worker import slice as slice_module
from worker import turn as turn_module
from worker.lease import Heartbeat
from worker.turn import Worker, take_turn

XOR = {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}
SPEC: dict[str, Any] = {
    "inputs": ["x"],
    "target": "y",
    "network": {"layers": [{"type": "dense", "units": 4, "activation": "tanh"}, {"type": "dense", "units": 1}]},
    "optimizer": {"type": "adam", "learning_rate": 0.05},
    "batch_size": 4,
    "epochs": 50,
    "seed": 7,
}
ENDLESS = {**SPEC, "epochs": 5_000_000}


@pytest.fixture(scope="module", autouse=True)
def compiled_kernels() -> None:
    """As in a worker: no turn of these tests is spent on compiling."""
    warm("float32", usual_kernels())


@pytest.fixture
def make_worker(store: Store, tmp_path: Path, wakes: list[int]) -> Callable[..., Worker]:
    """Makes workers of this process; settings by name."""

    def make(stopping: Callable[[], bool] = lambda: False, **settings: Any) -> Worker:
        chosen = Settings(data_dir=tmp_path, call_seconds=0.02, **settings)
        chosen.make_data_dir()
        return Worker(chosen, store, "worker_1", "same", Heartbeat(store, "worker_1", chosen), stopping, wake=lambda: wakes.append(1))

    return make


@pytest.fixture
def wakes() -> list[int]:
    """One entry for every wake that a worker sent."""
    return []


@pytest.fixture
def post(store: Store) -> Callable[[dict[str, Any]], str]:
    """Queues a job on the XOR data; answers its id."""
    table = read_columns(XOR)
    new = datasets.NewDataset(
        "default",
        "xor",
        table.digest,
        table.rows,
        table.header()["bytes"],
        [info.model_dump(mode="json") for info in table.info()],
        table.header(),
        blobs.write(store, table.chunks(1 << 20)),
    )
    dataset_id = datasets.create(store, new, answer=lambda made: b"").id

    def post(spec: dict[str, Any]) -> str:
        resolved = resolve(TrainingSpec.model_validate(spec), table.info(), table.rows, Limits())
        job = jobs.NewJob("default", dataset_id, resolved.model_dump(mode="json"), resolved.sizes.steps, resolved.epochs)
        return jobs.create(store, job, answer=lambda detail: b"").id

    return post


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_module, "LOOK_SECONDS", 0.0)


def states(store: Store, job_id: str) -> list[str]:
    return [event.data["state"] for event in events.after(store, job_id, 0) if event.type == "state"]


def test_a_turn_finishes_every_job_that_waits(store, make_worker, post) -> None:
    ids = [post(SPEC) for _ in range(3)]
    assert take_turn(make_worker()) == 3
    for job_id in ids:
        detail = jobs.get(store, "default", job_id)
        assert (detail.job.state, detail.job.step, detail.job.epoch) == ("succeeded", 50, 50)
        assert [row.epoch for row in metrics.after(store, job_id)] == list(range(1, 51))
        assert {snapshot.digest for snapshot in detail.snapshots}
        assert states(store, job_id) == ["queued", "running", "succeeded"]
    assert len({jobs.get(store, "default", job_id).snapshots[-1].digest for job_id in ids}) == 1


@pytest.mark.parametrize("largest", [blobs.SMALL_BYTES, 0])
def test_few_bytes_are_written_with_the_end_of_the_job_and_many_before_it(store, make_worker, post, monkeypatch, largest) -> None:
    """A transaction less for each small job; what is written before is there if the end is not taken."""
    job_id, written, write = post(SPEC), [], blobs.write
    monkeypatch.setattr(blobs, "SMALL_BYTES", largest)
    monkeypatch.setattr(blobs, "write", lambda *arguments: written.append(write(*arguments)) or written[-1])
    take_turn(make_worker())
    (snapshot,) = jobs.get(store, "default", job_id).snapshots
    assert written == ([] if largest else [snapshot.blob_id])
    content = b"".join(blobs.read(store, snapshot.blob_id))
    assert hashlib.sha256(content).hexdigest() == snapshot.digest
    assert len(content) == snapshot.bytes


def test_at_the_end_of_a_turn_the_job_goes_back_with_a_checkpoint_and_goes_on_warm(store, make_worker, post) -> None:
    job_id = post(ENDLESS)
    worker = make_worker(turn_seconds=0.3)
    assert take_turn(worker) == 1
    first = jobs.get(store, "default", job_id).job
    assert first.state == "queued"
    assert checkpoints.newest(store, job_id)[0] == first.step > 0
    trainer = worker.warm[1].trainer
    assert take_turn(worker) == 1
    assert worker.warm[1].trainer is trainer
    assert jobs.get(store, "default", job_id).job.step > first.step


def test_a_training_put_aside_is_dropped_when_another_had_the_job(store, make_worker, post) -> None:
    job_id = post(ENDLESS)
    worker = make_worker(turn_seconds=0.2)
    take_turn(worker)
    trainer = worker.warm[1].trainer
    take_turn(make_worker(turn_seconds=0.2))
    take_turn(worker)
    assert worker.warm[1].trainer is not trainer
    assert jobs.get(store, "default", job_id).job.slices == 3


def test_a_worker_that_stops_releases_its_job(store, make_worker, post) -> None:
    job_id = post(ENDLESS)
    looks = iter([False, False, False])
    assert take_turn(make_worker(stopping=lambda: next(looks, True))) == 1
    assert jobs.get(store, "default", job_id).job.state == "queued"


@pytest.mark.usefixtures("quick_looks")
@pytest.mark.parametrize(
    ("action", "state", "snapshots"), [("pause", "paused", False), ("stop", "stopped", True), ("cancel", "cancelled", False)]
)
def test_a_request_reaches_the_job_that_trains(store, make_worker, post, monkeypatch, action, state, snapshots) -> None:
    job_id = post(ENDLESS)
    record = claims.record

    def ask_then_record(*arguments: Any) -> None:
        record(*arguments)
        jobs.request(store, "default", job_id, Action(action))

    monkeypatch.setattr(claims, "record", ask_then_record)
    take_turn(make_worker())
    detail = jobs.get(store, "default", job_id)
    assert detail.job.state == state
    assert bool(detail.snapshots) == snapshots


@pytest.mark.usefixtures("quick_looks")
def test_a_running_job_fails_at_its_deadline_and_keeps_what_it_learned(store, make_worker, post) -> None:
    job_id = post(ENDLESS)
    with store.read() as session:
        soon = store.now(session) + 0.5
    assert job_changes.change(store, "default", job_id, 0, {"deadline_at": soon})
    started = time.monotonic()
    assert take_turn(make_worker(turn_seconds=60)) == 1
    assert time.monotonic() - started < 30
    detail = jobs.get(store, "default", job_id)
    assert (detail.job.state, detail.job.reason_code) == ("failed", "deadline")
    assert [snapshot.best for snapshot in detail.snapshots].count(True) == 1


@pytest.mark.usefixtures("quick_looks")
def test_a_running_job_makes_room_for_one_that_never_ran(store, make_worker, post) -> None:
    long = post(ENDLESS)
    take_turn(make_worker(turn_seconds=0.2))
    claimed = claims.claim(store, "other", "same", 30)  # the long job is back at work when the newcomer comes
    claims.release(store, claimed, claims.Progress(claimed.step, 0, {}, 0.0))
    short = post(SPEC)
    take_turn(make_worker(newcomer_seconds=0.01, turn_seconds=2))
    assert jobs.get(store, "default", short).job.state == "succeeded"
    assert jobs.get(store, "default", long).job.state == "queued"


@pytest.mark.usefixtures("quick_looks")
def test_a_slice_lasts_a_while_before_it_makes_room_for_a_newcomer(store, make_worker, post, monkeypatch) -> None:
    job_id = post(ENDLESS)
    monkeypatch.setattr(claims, "look", lambda *arguments: claims.Look(State.RUNNING, newcomer_waits=True))

    def has_left() -> bool:
        job = jobs.get(store, "default", job_id).job
        return job.slices > 0 and job.state == "queued"

    started = time.monotonic()
    take_turn(make_worker(newcomer_seconds=0.4, turn_seconds=30, stopping=has_left))
    assert 0.4 <= time.monotonic() - started < 20


def test_a_job_that_diverges_fails_and_keeps_its_last_finite_parameters(store, make_worker, post) -> None:
    job_id = post({**SPEC, "loss": {"type": "mean_squared_error"}, "optimizer": {"type": "sgd", "learning_rate": 1e5}, "epochs": 1000})
    take_turn(make_worker())
    detail = jobs.get(store, "default", job_id)
    assert (detail.job.state, detail.job.reason_code) == ("failed", "diverged")
    assert "Lower the learning rate" in detail.job.reason_message
    assert detail.snapshots[-1].last


def test_data_that_is_damaged_fails_the_job_and_not_the_worker(store, make_worker, post) -> None:
    job_id = post(SPEC)
    with store.write() as session:
        session.execute(blobs.sa.update(blobs.BlobChunk).values(data=b"x" * 80))
    worker = make_worker()
    assert take_turn(worker) == 1
    job = jobs.get(store, "default", job_id).job
    assert (job.state, job.reason_code) == ("failed", "invalid_data")


def test_an_error_of_our_own_fails_the_job_and_not_the_worker(store, make_worker, post, monkeypatch) -> None:
    job_id, other = post(SPEC), post(SPEC)
    monkeypatch.setattr("worker.training.Trainer", [RuntimeError].pop)
    assert take_turn(make_worker()) == 2
    for each in (job_id, other):
        job = jobs.get(store, "default", each).job
        assert (job.state, job.reason_code) == ("failed", "internal")


def test_a_claim_that_is_reaped_under_way_writes_nothing_more(store, make_worker, post, monkeypatch) -> None:
    job_id = post(SPEC)
    finish = claims.finish

    def reap_then_finish(*arguments: Any) -> Any:
        with store.write() as session:
            session.execute(blobs.sa.update(jobs.Job).values(lease_until=0.0))
        reaped.extend(reaping.reap(store, 5))
        return finish(*arguments)

    reaped: list[reaping.Reaped] = []
    monkeypatch.setattr(claims, "finish", reap_then_finish)
    take_turn(make_worker(stopping=lambda: bool(reaped)))
    assert [one.job_id for one in reaped] == [job_id]
    monkeypatch.setattr(claims, "finish", finish)
    detail = jobs.get(store, "default", job_id)
    assert detail.job.state == "queued"
    assert not detail.snapshots
    take_turn(make_worker())
    assert states(store, job_id) == ["queued", "running", "queued", "running", "succeeded"]


def test_kernels_that_had_to_be_compiled_are_said(store, make_worker, post, monkeypatch) -> None:
    job_id = post(SPEC)
    monkeypatch.setattr(slice_module, "warm", lambda *arguments: 3.25)
    take_turn(make_worker())
    assert [event.data for event in events.after(store, job_id, 0) if event.type == "kernels_compiled"] == [{"seconds": 3.25}]


def test_a_job_of_another_environment_is_left_to_its_living_worker_with_the_wake(store, make_worker, post, wakes, monkeypatch) -> None:
    from service.store import workers

    job_id = post(ENDLESS)
    take_turn(make_worker(turn_seconds=0.1))
    workers.register(store, workers.Process(1, 1), "same")
    stranger = make_worker()
    stranger.fingerprint = "other"
    wakes.clear()
    aside: list[float] = []
    monkeypatch.setattr(turn_module.time, "sleep", aside.append)
    assert take_turn(stranger) == 0
    assert (wakes, aside) == ([1], [turn_module.ASIDE_SECONDS])
    assert jobs.get(store, "default", job_id).job.state == "queued"


def test_a_cancel_is_heard_while_a_large_checkpoint_is_written(store, make_worker, post, monkeypatch) -> None:
    job_id = post(ENDLESS)
    monkeypatch.setattr(blobs, "CHUNK_BYTES", 1000)
    monkeypatch.setattr(slice_module, "LOOK_SECONDS", 0.0)
    save = checkpoints.save

    def cancel_then_save(*arguments: Any) -> None:
        jobs.request(store, "default", job_id, Action.CANCEL)
        save(*arguments)

    monkeypatch.setattr(checkpoints, "save", cancel_then_save)
    take_turn(make_worker(turn_seconds=0.2))
    assert jobs.get(store, "default", job_id).job.state == "cancelled"
    assert checkpoints.newest(store, job_id) is None
