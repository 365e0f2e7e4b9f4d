"""The connection breaks at a commit: it happened or it did not, and the caller is told StoreBusy. Doing it again is right either way."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from service.store import blobs, checkpoints, claims, jobs, reaping, workers
from service.store.claims import Ending
from service.store.errors import LostClaim, StoreBusy
from service.store.idempotency import Once
from service.store.metrics import Metric
from service.store.models import Checkpoint, JobMetric


@pytest.fixture(params=["committed", "not committed"])
def break_next_commit(request, scene, monkeypatch):
    """Lets the answer to the next commit be lost; answers whether the commit itself happens."""
    committed = request.param == "committed"
    engine = scene.store.engine
    commit = engine.dialect.do_commit

    def arm():
        def broken(connection):
            monkeypatch.setattr(engine.dialect, "do_commit", commit)
            if committed:
                commit(connection)
            raise engine.dialect.dbapi.OperationalError("the server closed the connection unexpectedly")

        monkeypatch.setattr(engine.dialect, "do_commit", broken)
        return committed

    return arm


def test_a_claim_is_recognised_by_its_claim_id(scene, break_next_commit):
    job_id = scene.job()
    if break_next_commit():
        claim = scene.claim()
        assert (claim.job_id, claim.fence) == (job_id, scene.row(job_id).fence)
        claims.renew(scene.store, claim, 30)
    else:
        with pytest.raises(StoreBusy):
            scene.claim()
        assert scene.row(job_id).state == "queued"
    assert len(scene.events(job_id)) == 1 + (scene.row(job_id).state == "running")


def test_a_claim_that_was_reaped_meanwhile_is_nobodys(scene, break_next_commit, monkeypatch):
    """Between the commit and the look for the claim id the lease ran out: the fence is a reaper's by now."""
    job_id = scene.job()
    read = scene.store.read_rows

    def read_late():
        monkeypatch.undo()
        scene.clock.step(31)
        reaping.reap(scene.store, max_losses=5)
        return read()

    break_next_commit()
    monkeypatch.setattr(scene.store, "read_rows", read_late)
    with pytest.raises(StoreBusy):
        scene.claim()
    assert scene.row(job_id).state == "queued"


def test_a_finish_is_tried_again_and_the_job_ends_once(scene, break_next_commit):
    job_id = scene.job()
    claim = scene.claim()
    committed = break_next_commit()
    with pytest.raises(StoreBusy):
        claims.finish(scene.store, claim, Ending("succeeded"), scene.progress(100, seconds=5))
    if committed:
        with pytest.raises(LostClaim):
            claims.finish(scene.store, claim, Ending("succeeded"), scene.progress(100, seconds=5))
    else:
        claims.finish(scene.store, claim, Ending("succeeded"), scene.progress(100, seconds=5))
    assert [event.data["state"] for event in scene.events(job_id)] == ["queued", "running", "succeeded"]
    assert scene.row(job_id).trained_seconds == 5


def test_a_release_is_tried_again_and_does_not_disturb_the_next_owner(scene, break_next_commit):
    job_id = scene.job()
    claim = scene.claim()
    if break_next_commit():
        with pytest.raises(StoreBusy):
            claims.release(scene.store, claim, scene.progress(5))
        next_claim = scene.claim("worker_2")
        with pytest.raises(LostClaim):
            claims.release(scene.store, claim, scene.progress(5))
        assert claims.renew(scene.store, next_claim, 30) == "running"
    else:
        with pytest.raises(StoreBusy):
            claims.release(scene.store, claim, scene.progress(5))
        assert claims.release(scene.store, claim, scene.progress(5)) == "queued"
    assert [event.seq for event in scene.events(job_id)] == list(range(1, scene.row(job_id).event_seq + 1))


def test_a_report_is_written_again_without_doubling_its_metrics(scene, break_next_commit):
    scene.job()
    claim = scene.claim()
    reports = [Metric(step, 0, {"loss": 1.0}) for step in (1, 2)]
    break_next_commit()
    with pytest.raises(StoreBusy):
        claims.record(scene.store, claim, scene.progress(2), reports)
    claims.record(scene.store, claim, scene.progress(2), reports)
    with scene.store.read() as session:
        assert list(session.scalars(sa.select(JobMetric.step).order_by(JobMetric.step))) == [1, 2]


def test_a_checkpoint_is_saved_again_in_its_own_place(scene, break_next_commit, monkeypatch):
    scene.job()
    claim = scene.claim()
    write = blobs.write

    def write_then_break(store, pieces, between):
        blob_id = write(store, pieces)
        break_next_commit()
        return blob_id

    monkeypatch.setattr(blobs, "write", write_then_break)
    with pytest.raises(StoreBusy):
        checkpoints.save(scene.store, claim, 5, 0, b"state")
    monkeypatch.undo()
    checkpoints.save(scene.store, claim, 5, 0, b"state")

    assert checkpoints.newest(scene.store, claim.job_id) == (5, 0, b"state")
    with scene.store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Checkpoint)) == 1


def test_a_request_is_sent_again_and_changes_the_job_once(scene, break_next_commit):
    job_id = scene.job()
    committed = break_next_commit()
    with pytest.raises(StoreBusy):
        scene.request(job_id, "cancel")
    assert scene.request(job_id, "cancel") is not committed
    assert [event.data["state"] for event in scene.events(job_id)] == ["queued", "cancelled"]


def test_a_create_is_sent_again_with_its_key_and_makes_one_job(scene, break_next_commit):
    once = Once("/v1/jobs", "key", "sha256:1")
    scene.dataset()
    committed = break_next_commit()
    with pytest.raises(StoreBusy):
        jobs.create(scene.store, scene.new_job(), answer=lambda detail: detail.job.id.encode(), once=once)
    made = jobs.create(scene.store, scene.new_job(), answer=lambda detail: detail.job.id.encode(), once=once)
    assert made.replayed is committed
    assert [detail.job.id for detail in jobs.page(scene.store, "default", limit=10)] == [made.id] == [made.answer.decode()]


def test_a_reap_is_done_once(scene, break_next_commit):
    job_id = scene.job()
    scene.claim()
    scene.clock.step(31)
    break_next_commit()
    with pytest.raises(StoreBusy):
        reaping.reap(scene.store, max_losses=5)
    reaping.reap(scene.store, max_losses=5)
    assert scene.row(job_id).losses == 1


def test_a_worker_registers_again_and_the_first_entry_is_forgotten(scene, break_next_commit):
    break_next_commit()
    with pytest.raises(StoreBusy):
        scene.register(1)
    worker_id = scene.register(1)
    scene.clock.step(86400 / 2)
    workers.beat(scene.store, worker_id)
    scene.clock.step(86400 / 2 + 1)
    scene.register(2)
    assert sum(worker_id in row for row in scene.contents()["worker"]) == 1
    assert len(scene.contents()["worker"]) == 2
