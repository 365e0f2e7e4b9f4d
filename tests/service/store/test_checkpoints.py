"""Checkpoints: the newest whole one is what a job continues from; few are kept, and nothing is left of the others."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from service.store import blobs, checkpoints, claims, reaping
from service.store.checkpoints import steps_to_keep
from service.store.errors import LostClaim
from service.store.models import BlobChunk, Checkpoint
from service.store.states import Outcome

STEPS = st.lists(st.integers(0, 10**6), unique=True).map(sorted)


def save(scene, claim, step):
    checkpoints.save(scene.store, claim, step, step // 10, f"state at {step}".encode())


def kept(scene, job_id):
    with scene.store.read() as session:
        return list(session.scalars(sa.select(Checkpoint.step).where(Checkpoint.job_id == job_id).order_by(Checkpoint.step)))


def damage(scene, job_id, step):
    with scene.store.write() as session:
        blob_id = session.scalar(sa.select(Checkpoint.blob_id).where(Checkpoint.job_id == job_id, Checkpoint.step == step))
        session.execute(sa.update(BlobChunk).where(BlobChunk.blob_id == blob_id).values(data=b"bit rot"))


@pytest.fixture
def claim(scene):
    scene.job()
    return scene.claim()


@given(STEPS)
def test_the_newest_two_are_kept_and_the_first_of_every_power_of_two(steps):
    keep = steps_to_keep(steps)
    assert set(steps[-2:]) <= keep <= set(steps)
    for power in range(20):
        first = next((step for step in steps if 2**power <= step < 2 ** (power + 1)), None)
        assert first is None or first in keep
    assert len(keep) <= 2 + 1 + 20  # the newest two, step 0, and one for each power of two


@given(STEPS)
def test_pruning_at_every_save_keeps_what_pruning_once_would(steps):
    held = set()
    for step in steps:
        held = steps_to_keep([*held, step])
    assert held == steps_to_keep(steps)


def test_a_long_job_keeps_few_checkpoints_and_no_bytes_of_the_others(scene, claim):
    for step in range(5, 205, 5):
        save(scene, claim, step)

    assert kept(scene, claim.job_id) == [5, 10, 20, 35, 65, 130, 195, 200]
    assert len(scene.blob_ids()) == 8
    for step in kept(scene, claim.job_id):
        with scene.store.read() as session:
            row = session.get_one(Checkpoint, (claim.job_id, step))
            assert blobs.read_whole(session, row.blob_id) == f"state at {step}".encode()


def test_a_checkpoint_at_a_step_that_has_one_replaces_it(scene, claim):
    checkpoints.save(scene.store, claim, 7, 0, b"first")
    checkpoints.save(scene.store, claim, 7, 0, b"second")
    assert checkpoints.newest(scene.store, claim.job_id) == (7, 0, b"second")
    assert len(scene.blob_ids()) == 1


def test_a_job_without_checkpoints_has_no_newest(scene, claim):
    assert checkpoints.newest(scene.store, claim.job_id) is None


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(scene, claim):
    for step in (10, 20, 30):
        save(scene, claim, step)
    damage(scene, claim.job_id, 30)
    assert checkpoints.newest(scene.store, claim.job_id) == (20, 2, b"state at 20")
    damage(scene, claim.job_id, 20)
    damage(scene, claim.job_id, 10)
    assert checkpoints.newest(scene.store, claim.job_id) is None


def test_a_checkpoint_without_its_bytes_is_passed_over(scene, claim):
    for step in (10, 20):
        save(scene, claim, step)
    with scene.store.write() as session:
        blobs_of = sa.select(Checkpoint.blob_id).where(Checkpoint.step == 20)
        session.execute(sa.delete(BlobChunk).where(BlobChunk.blob_id.in_(blobs_of)))
    assert checkpoints.newest(scene.store, claim.job_id) == (10, 1, b"state at 10")


def test_a_job_goes_on_behind_a_damaged_checkpoint_and_saves_it_anew(scene, claim):
    for step in (10, 20):
        save(scene, claim, step)
    damage(scene, claim.job_id, 20)
    claims.rewind(scene.store, claim, 10, 1)
    assert kept(scene, claim.job_id) == [10]
    save(scene, claim, 20)
    assert checkpoints.newest(scene.store, claim.job_id) == (20, 2, b"state at 20")


def test_the_newest_is_read_although_the_job_saves_and_prunes_meanwhile(scene, claim, monkeypatch):
    """A reader has seen which is the newest, and before it reads its bytes two newer ones have taken its place."""
    for step in (64, 65, 66):
        save(scene, claim, step)
    read_whole = blobs.read_whole

    def read_late(session, blob_id):
        for step in (67, 68, 69):
            save(scene, claim, step)
        return read_whole(session, blob_id)

    monkeypatch.setattr(blobs, "read_whole", read_late)
    assert checkpoints.newest(scene.store, claim.job_id) == (66, 6, b"state at 66")
    monkeypatch.undo()
    assert checkpoints.newest(scene.store, claim.job_id) == (69, 6, b"state at 69")


def test_a_stale_claim_saves_nothing_and_its_bytes_are_removed(scene, claim):
    save(scene, claim, 10)
    scene.clock.step(31)
    reaping.reap(scene.store, max_losses=5)
    with pytest.raises(LostClaim):
        save(scene, claim, 20)

    assert checkpoints.newest(scene.store, claim.job_id) == (10, 1, b"state at 10")
    scene.clock.step(blobs.ORPHAN_SECONDS + 1)
    assert blobs.remove_orphans(scene.store) == 1
    assert checkpoints.newest(scene.store, claim.job_id) == (10, 1, b"state at 10")


class TestLosses:
    """A job that is lost again and again without getting anywhere must end; only a newer checkpoint says that it got somewhere."""

    def lose(self, scene):
        """Claim the job, and lose it."""
        claim = scene.claim()
        scene.clock.step(31)
        reaping.reap(scene.store, max_losses=5)
        return claim

    def test_a_newer_checkpoint_resets_them(self, scene):
        job_id = scene.job()
        self.lose(scene)
        assert scene.row(job_id).losses == 1
        save(scene, scene.claim(), 10)
        assert scene.row(job_id).losses == 0

    @pytest.mark.parametrize("step", [5, 10])
    def test_one_that_is_not_newer_does_not(self, scene, step):
        job_id = scene.job()
        claim = scene.claim()
        save(scene, claim, 10)
        claims.release(scene.store, claim, scene.progress(10))
        for losses in (1, 2, 3):
            self.lose(scene)
            assert scene.row(job_id).losses == losses
            claim = scene.claim()
            save(scene, claim, step)
            claims.release(scene.store, claim, scene.progress(10))
        assert scene.row(job_id).losses == 3

    def test_the_fifth_in_a_row_fails_the_job_with_the_reason(self, scene):
        job_id = scene.job()
        for losses in range(1, 5):
            self.lose(scene)
            assert (scene.row(job_id).state, scene.row(job_id).losses) == ("queued", losses)
        self.lose(scene)
        job = scene.row(job_id)
        assert (job.state, job.reason_code, job.losses) == ("failed", "worker_lost", 5)
        assert scene.events(job_id)[-1].data["reason"]["code"] == "worker_lost"


class TestOldCheckpoints:
    """What an ended job does not need any more goes after a while; what is all that it left behind stays."""

    def ended(self, scene, outcome, *, snapshot):
        job_id = scene.job()
        claim = scene.claim()
        for step in (1, 3, 10):
            save(scene, claim, step)
        if outcome in ("stopped", "cancelled"):
            scene.request(job_id, "stop" if outcome == "stopped" else "cancel")
        if snapshot:
            scene.finish_with_snapshot(claim, Outcome(outcome))
        else:
            claims.finish(scene.store, claim, claims.Ending(Outcome(outcome)))
        return job_id

    @pytest.mark.parametrize(
        ("outcome", "snapshot", "stays"),
        [
            ("succeeded", True, False),
            ("failed", True, False),
            ("failed", False, False),
            ("cancelled", False, False),
            ("stopped", True, False),
            ("stopped", False, True),
        ],
    )
    def test_they_are_removed_with_their_bytes_unless_nothing_else_is_left(self, scene, outcome, snapshot, stays):
        job_id = self.ended(scene, outcome, snapshot=snapshot)
        running = scene.job()
        save(scene, scene.claim(), 10)
        scene.clock.step(99)
        checkpoints.remove_old(scene.store, 100)
        assert kept(scene, job_id) == [1, 3, 10]

        scene.clock.step(2)
        checkpoints.remove_old(scene.store, 100)

        assert kept(scene, job_id) == ([10] if stays else [])
        assert kept(scene, running) == [10]
        assert len(scene.blob_ids()) == 1 + stays + snapshot
