"""Blobs: bytes in chunks, written before anything names them, so that no transaction drags them along; small ones with what names them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store.database import Store
from service.store.errors import StoreBusy, StoreError
from service.store.idempotency import Created
from service.store.ids import new_id
from service.store.models import BlobChunk, Checkpoint, Dataset, JobFile, ModelVersion, Snapshot, Upload

CHUNK_BYTES = 2 << 20
SMALL_BYTES = 64 << 10  # as much may be written together with what names it
REMOVED_CHUNKS = 16  # deleted in one transaction
ORPHAN_SECONDS = 3600.0  # a blob that nothing names after this long never will be
_ADD_CHUNK = sa.insert(BlobChunk)
_CHUNK = (
    sa.select(BlobChunk.data)
    .where(BlobChunk.blob_id == sa.bindparam("of_blob"), BlobChunk.seq == sa.bindparam("of_seq"))
    .execution_options(binary=True)
)
NAMING = (Dataset, Checkpoint, Snapshot, JobFile, ModelVersion)  # whose rows name a blob and its digest


def write(store: Store, pieces: Iterable[bytes], between: Callable[[], object] = bool) -> str:
    """Store `pieces` as one blob, a transaction for each chunk of about CHUNK_BYTES; answer its id.

    between: called before each chunk, for who must look up in the midst of gigabytes. Where anything goes wrong on the way, or
    `between` raises, what was written is removed again, if the database lets us; else after an hour.
    """
    blob_id = new_id("blob")
    try:
        for seq, chunk in enumerate(_chunks(pieces)):
            between()
            with store.write_rows() as connection:
                connection.execute(_ADD_CHUNK, {"blob_id": blob_id, "seq": seq, "data": chunk, "created_at": store.now(connection)})
    except BaseException:
        with suppress(StoreError):
            remove(store, [blob_id])
        raise
    return blob_id


def write_small(connection: sa.Connection, contents: Mapping[str, bytes], now: float) -> None:
    """Store blobs of a chunk or less by their ids, in the transaction that names them."""
    rows = [{"blob_id": blob_id, "seq": 0, "data": data, "created_at": now} for blob_id, data in contents.items() if data]
    if rows:
        connection.execute(_ADD_CHUNK, rows)


def named_by(store: Store, blob_id: str | None, create: Callable[[], Created]) -> Created:
    """What `create` makes, whose row names the blob. Where it is refused, or an equal request had made it, the blob is removed.

    After a StoreBusy nobody knows whether it is named: if it is not, it is removed after an hour.
    """
    try:
        made = create()
    except StoreBusy:
        raise
    except StoreError:
        remove(store, [blob_id] if blob_id else [])
        raise
    if made.replayed and blob_id:
        remove(store, [blob_id])
    return made


def read(store: Store, blob_id: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The bytes [start, stop) of a blob, a chunk at a time."""
    first = start // CHUNK_BYTES
    for seq in range(first, 1 << 40 if stop is None else -(-stop // CHUNK_BYTES)):
        data = chunk(store, blob_id, seq)
        if data is None:
            return
        at = seq * CHUNK_BYTES
        piece = data[max(0, start - at) : len(data) if stop is None else stop - at]
        if piece:
            yield piece


def chunk(store: Store, blob_id: str, seq: int) -> bytes | None:
    """The bytes of one chunk, or None."""
    with store.read_rows() as connection:
        data: bytes | None = connection.scalar(_CHUNK, {"of_blob": blob_id, "of_seq": seq})
        return data


def read_whole(session: Session, blob_id: str) -> bytes:
    """All bytes of a blob, in the caller's transaction."""
    chunks = sa.select(BlobChunk.data).where(BlobChunk.blob_id == blob_id).order_by(BlobChunk.seq).execution_options(binary=True)
    return b"".join(session.scalars(chunks))


def remove(store: Store, blob_ids: Iterable[str]) -> None:
    """Delete blobs that nothing names any more, a few chunks in a transaction."""
    for blob_id in blob_ids:
        some = sa.select(BlobChunk.seq).where(BlobChunk.blob_id == blob_id).limit(REMOVED_CHUNKS)
        removed = sa.delete(BlobChunk).where(BlobChunk.blob_id == blob_id, BlobChunk.seq.in_(some)).returning(BlobChunk.seq)
        left = True
        while left:
            with store.write() as session:
                left = len(session.scalars(removed).all()) == REMOVED_CHUNKS


def remove_orphans(store: Store) -> int:
    """Delete blobs that nothing names and whose newest chunk is older than an hour; answer how many."""
    named = sa.union_all(*(sa.select(table.blob_id) for table in (*NAMING, Upload)))
    unnamed = sa.select(BlobChunk.blob_id).where(BlobChunk.blob_id.not_in(named)).group_by(BlobChunk.blob_id)
    with store.read() as session:
        old = sa.func.max(BlobChunk.created_at) < store.now(session) - ORPHAN_SECONDS
        ids = session.scalars(unnamed.having(old)).all()
    remove(store, ids)
    return len(ids)


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut every CHUNK_BYTES."""
    waiting = bytearray()
    for piece in pieces:
        view = memoryview(piece)
        while len(view):
            taken = view[: CHUNK_BYTES - len(waiting)]
            waiting += taken
            view = view[len(taken) :]
            if len(waiting) == CHUNK_BYTES:
                yield bytes(waiting)
                waiting.clear()
    if waiting:
        yield bytes(waiting)
