"""Uploads in parts: files that arrive piece by piece, in as many requests as it takes.

The bytes so far are a blob, each of whose chunks is numbered by the offset at which it begins. `received_bytes` is raised in the
transaction that adds a chunk, where it stands at that chunk's offset: of two writers one is told where to go on, and what is counted
is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.store import audit, blobs, idempotency, quotas
from service.store.database import Store
from service.store.errors import NotFound, WrongOffset
from service.store.idempotency import Created, Once
from service.store.ids import new_id
from service.store.models import BlobChunk, Upload

PART_BYTES = 4 * blobs.CHUNK_BYTES  # what a client is advised to send in one request


def create(
    store: Store, tenant_id: str, bytes: int, sha256: str | None, *, answer: Callable[[Upload], bytes], once: Once | None = None
) -> Created:
    """Begin an upload of so many bytes, which count as stored from now on. Raises QuotaExceeded."""

    def insert(session: Session) -> Created:
        quotas.check_room(session, tenant_id, bytes)
        now = store.now(session)
        row = {"bytes": bytes, "sha256": sha256, "received_bytes": 0, "created_at": now, "changed_at": now}
        upload = Upload(id=new_id("up"), tenant_id=tenant_id, blob_id=new_id("blob"), **row)
        session.add(upload)
        audit.record(session, now, "upload.create", upload.id, tenant_id, bytes=bytes)
        session.flush()
        return Created(upload.id, answer(upload))

    return idempotency.create(store, tenant_id, once, insert)


def get(store: Store, tenant_id: str, upload_id: str) -> Upload:
    """The upload. Raises NotFound, also for another tenant's."""
    with store.read() as session:
        upload = session.scalar(_named(tenant_id, upload_id))
    if upload is None:
        raise NotFound("upload", upload_id)
    return cast(Upload, upload)


def with_content(store: Store, tenant_id: str, bytes: int, sha256: str) -> Upload | None:
    """The tenant's upload of the same file that no dataset has been made of yet, the fullest of them, or None."""
    same = sa.and_(Upload.sha256 == sha256, Upload.bytes == bytes, Upload.dataset_id.is_(None))
    found = sa.select(Upload).where(Upload.tenant_id == tenant_id, same).order_by(Upload.received_bytes.desc(), Upload.id).limit(1)
    with store.read() as session:
        return cast(Upload | None, session.scalar(found))


def page(store: Store, tenant_id: str, *, limit: int, before: str | None = None) -> Sequence[Upload]:
    """The newest uploads begun before the one named `before`, newest first."""
    query = sa.select(Upload).where(Upload.tenant_id == tenant_id).order_by(Upload.id.desc()).limit(limit)
    with store.read() as session:
        return session.scalars(query if before is None else query.where(Upload.id < before)).all()


def append(store: Store, tenant_id: str, upload_id: str, offset: int, data: bytes) -> int:
    """Add bytes that begin at `offset`; answer how many there are then.

    Raises NotFound; WrongOffset where the upload does not end at `offset`, has no room for them, or has become a dataset.
    """
    end = offset + len(data)
    with store.write() as session:
        now = store.now(session)
        fits = sa.and_(Upload.received_bytes == offset, Upload.bytes >= end, Upload.dataset_id.is_(None))
        moved = sa.update(Upload).where(Upload.id == upload_id, Upload.tenant_id == tenant_id, fits)
        blob_id = session.scalar(moved.values(received_bytes=end, changed_at=now).returning(Upload.blob_id))
        if blob_id is None:
            upload = session.scalar(_named(tenant_id, upload_id))
            if upload is None:
                raise NotFound("upload", upload_id)
            raise WrongOffset(upload_id, offset, upload.received_bytes)
        if data:
            session.add(BlobChunk(blob_id=blob_id, seq=offset, data=data, created_at=now))
    return end


def read(store: Store, upload: Upload) -> Iterator[bytes]:
    """The bytes that have arrived, a chunk at a time. Raises NotFound where the upload is dropped meanwhile."""
    at = 0
    while at < upload.received_bytes:
        data = blobs.chunk(store, upload.blob_id, at)
        if not data:
            raise NotFound("upload", upload.id)
        yield data
        at += len(data)


def becomes(session: Session, upload_id: str, dataset_id: str) -> None:
    """Note what was made of the upload: its bytes are no longer counted, and nothing names them any more."""
    session.execute(sa.update(Upload).where(Upload.id == upload_id).values(dataset_id=dataset_id, blob_id=""))


def became(store: Store, upload: Upload, dataset_id: str) -> None:
    """Note that the upload is the content of a dataset, and remove its bytes."""
    with store.write() as session:
        becomes(session, upload.id, dataset_id)
    blobs.remove(store, [upload.blob_id])


def delete(store: Store, tenant_id: str, upload_id: str) -> None:
    """Drop the upload and its bytes. Raises NotFound."""
    with store.write() as session:
        gone = sa.delete(Upload).where(Upload.id == upload_id, Upload.tenant_id == tenant_id)
        blob_id = session.scalar(gone.returning(Upload.blob_id))
        if blob_id is None:
            raise NotFound("upload", upload_id)
        audit.record(session, store.now(session), "upload.delete", upload_id, tenant_id)
    blobs.remove(store, [blob_id])


def remove_expired(store: Store, age_seconds: float) -> int:
    """Drop the uploads whose last part arrived before `age_seconds`; answer how many."""
    with store.write() as session:
        old = sa.delete(Upload).where(Upload.changed_at < store.now(session) - age_seconds)
        gone = session.scalars(old.returning(Upload.blob_id)).all()
    blobs.remove(store, [blob_id for blob_id in gone if blob_id])
    return len(gone)


def _named(tenant_id: str, upload_id: str) -> sa.Select[Any]:
    return sa.select(Upload).where(Upload.id == upload_id, Upload.tenant_id == tenant_id)
