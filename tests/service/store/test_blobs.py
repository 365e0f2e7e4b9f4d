"""Blobs: what is read is what was written, whatever the range; what nothing names goes after an hour."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.store import blobs, checkpoints, datasets
from service.store.datasets import NewDataset
from service.store.errors import LostClaim, NotFound, StoreBusy
from service.store.idempotency import Created
from service.store.models import BlobChunk

REUSED = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def chunk_sizes(store, blob_id):
    with store.read() as session:
        query = sa.select(sa.func.length(BlobChunk.data)).where(BlobChunk.blob_id == blob_id).order_by(BlobChunk.seq)
        return list(session.scalars(query))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(blobs, "CHUNK_BYTES", 7)


@REUSED
@given(pieces=st.lists(st.binary(max_size=20), max_size=6), start=st.integers(0, 130), length=st.none() | st.integers(0, 130))
@example(pieces=[b"exactly"], start=0, length=None)
@example(pieces=[b"exactly", b"exactly"], start=7, length=7)
@example(pieces=[], start=0, length=None)
def test_any_range_of_a_blob_is_read_as_it_was_written(store, pieces, start, length):
    data = b"".join(pieces)
    blob_id = blobs.write(store, pieces)
    stop = None if length is None else start + length

    read = list(blobs.read(store, blob_id, start, stop))

    assert b"".join(read) == data[start:stop]
    assert all(read)  # an empty piece would end a chunked HTTP body


@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 14, 15])
def test_every_chunk_but_the_last_is_full(store, size):
    sizes = chunk_sizes(store, blobs.write(store, [b"x"] * size))
    assert sum(sizes) == size
    assert all(one == 7 for one in sizes[:-1])
    assert 0 not in sizes


def test_postgres_sends_the_bytes_as_they_are_and_not_as_digits(store):
    """As text they were twice as many, and came at a quarter of the speed."""
    if store.is_sqlite:
        pytest.skip("SQLite has them in this process")
    blob_id, formats = blobs.write(store, [b"some"]), []
    sa.event.listen(store.engine, "after_cursor_execute", lambda *told: formats.append(told[1].pgresult.fformat(0)))

    assert list(blobs.read(store, blob_id)) == [b"some"]
    with store.read() as session:
        assert blobs.read_whole(session, blob_id) == b"some"
    assert set(formats) == {1}


def test_a_blob_that_is_not_there_has_no_bytes(store):
    assert list(blobs.read(store, "blob_none")) == []


def test_removing_takes_every_chunk_of_these_blobs_and_no_other(scene, monkeypatch):
    monkeypatch.setattr(blobs, "REMOVED_CHUNKS", 3)
    sizes = (0, 1, 20, 21, 22, 63)  # from none to nine chunks, in transactions of three
    removed = [blobs.write(scene.store, [b"x" * size]) for size in sizes]
    kept = blobs.write(scene.store, [b"kept" * 10])

    blobs.remove(scene.store, removed)

    assert scene.blob_ids() == {kept}
    assert b"".join(blobs.read(scene.store, kept)) == b"kept" * 10


def test_a_removal_that_was_cut_short_is_finished_by_the_next(scene, monkeypatch):
    blob_id = blobs.write(scene.store, [b"x" * 70])
    with scene.store.write() as session:
        session.execute(sa.delete(BlobChunk).where(BlobChunk.seq < 3))
    monkeypatch.setattr(blobs, "REMOVED_CHUNKS", 3)

    blobs.remove(scene.store, [blob_id])

    assert scene.blob_ids() == set()


def test_what_nothing_names_is_removed_after_an_hour(scene):
    orphan = blobs.write(scene.store, [b"orphan" * 3])
    scene.clock.step(blobs.ORPHAN_SECONDS - 1)
    assert blobs.remove_orphans(scene.store) == 0
    young = blobs.write(scene.store, [b"young"])
    scene.clock.step(2)

    assert blobs.remove_orphans(scene.store) == 1

    assert orphan not in scene.blob_ids()
    assert young in scene.blob_ids()


def test_an_upload_that_takes_more_than_an_hour_loses_none_of_its_chunks(scene):
    def slow_upload():
        for _ in range(10):
            yield b"7 bytes"
            scene.clock.step(600)
            blobs.remove_orphans(scene.store)

    blob_id = blobs.write(scene.store, slow_upload())

    assert b"".join(blobs.read(scene.store, blob_id)) == b"7 bytes" * 10


def test_what_a_dataset_a_checkpoint_or_a_snapshot_names_stays(scene):
    dataset_blob = blobs.write(scene.store, [b"table"])
    new = NewDataset("default", "t", "sha256:1", rows=1, bytes=5, columns=[], header={}, blob_id=dataset_blob)
    datasets.create(scene.store, new, answer=lambda _: b"")
    scene.job()
    claim = scene.claim()
    checkpoints.save(scene.store, claim, 5, 0, b"state")
    snapshot_blob = scene.finish_with_snapshot(claim)
    scene.clock.step(10 * blobs.ORPHAN_SECONDS)

    assert blobs.remove_orphans(scene.store) == 0

    assert {dataset_blob, snapshot_blob} < scene.blob_ids()
    assert checkpoints.newest(scene.store, claim.job_id) == (5, 0, b"state")


def test_a_write_that_breaks_off_leaves_nothing_behind(scene):
    def breaks_off():
        yield b"x" * blobs.CHUNK_BYTES * 2
        raise OSError("the upload was cut off")

    before = scene.blob_ids()
    with pytest.raises(OSError, match="cut off"):
        blobs.write(scene.store, breaks_off())
    assert scene.blob_ids() == before


def test_who_writes_looks_up_before_every_chunk(scene):
    looked = []

    def look_up():
        looked.append(1)
        if len(looked) == 3:
            raise LostClaim("job_1")

    before = scene.blob_ids()
    with pytest.raises(LostClaim):
        blobs.write(scene.store, [b"x" * blobs.CHUNK_BYTES * 5], look_up)
    assert len(looked) == 3
    assert scene.blob_ids() == before


class TestABlobThatARowIsToName:
    def test_stays_when_it_is_named(self, store):
        blob_id = blobs.write(store, [b"x"])
        made = Created("job", b"{}")
        assert blobs.named_by(store, blob_id, lambda: made) is made
        assert chunk_sizes(store, blob_id) == [1]

    def test_is_removed_when_an_equal_request_had_made_it(self, store):
        blob_id = blobs.write(store, [b"x"])
        assert blobs.named_by(store, blob_id, lambda: Created("job", b"{}", replayed=True)).id == "job"
        assert chunk_sizes(store, blob_id) == []

    @pytest.mark.parametrize(("error", "left"), [(NotFound("job", "job_1"), []), (StoreBusy("the answer to the commit was lost"), [1])])
    def test_is_removed_when_that_is_refused_but_not_when_nobody_knows(self, store, error, left):
        def create():
            raise error

        blob_id = blobs.write(store, [b"x"])
        with pytest.raises(type(error)):
            blobs.named_by(store, blob_id, create)
        assert chunk_sizes(store, blob_id) == left
