"""The tables.

Times are seconds since 1970 by the store's clock (see `clock`). JSON columns hold what the API shows, never what SQL asks
for. Bytes live in `blob_chunk` alone, and a job's spec beside its row, so that the row a heartbeat updates stays small.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, MetaData, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from service.store.states import State


class Base(DeclarativeBase):
    """Declares the tables; constraints are named so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON, int: BigInteger, str: String(200)}  # noqa: RUF012


class Installation(Base):
    """The one row that all processes share."""

    __tablename__ = "installation"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    boot_id: Mapped[str | None]  # SQLite: the boot that clock_offset belongs to
    clock_offset: Mapped[float] = mapped_column(default=0.0)  # seconds to add to the time since boot
    woken_at: Mapped[float] = mapped_column(default=0.0)  # when the reapers last sent a wake


class Tenant(Base):
    """Who owns datasets and jobs, and how much of everything it may have. A limit that is NULL is none."""

    __tablename__ = "tenant"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[float]
    used_seconds: Mapped[float] = mapped_column(default=0.0)  # of workers, recent ones; fades with time since used_at
    used_at: Mapped[float] = mapped_column(default=0.0)
    day: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # days since 1970, UTC, that day_seconds counts
    day_seconds: Mapped[float] = mapped_column(default=0.0, server_default=text("0"))  # of workers, on that day

    max_queued_jobs: Mapped[int | None]
    max_running_jobs: Mapped[int | None]
    max_stored_bytes: Mapped[int | None]
    max_parameters: Mapped[int | None]
    max_worker_seconds_per_day: Mapped[int | None]
    max_requests_per_minute: Mapped[int | None]


class ApiKey(Base):
    """A key, known only by its sha256."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    digest: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    scopes: Mapped[list[Any]]
    created_at: Mapped[float]
    hint: Mapped[str | None]  # how it begins, for people to tell it from others
    replaces: Mapped[str | None]  # the key that it was rotated from
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]
    last_used_at: Mapped[float | None]  # some minutes late
    max_requests_per_minute: Mapped[int | None]


class RateBucket(Base):
    """The requests that a key or a tenant may still send; fills up again with time."""

    __tablename__ = "rate_bucket"

    id: Mapped[str] = mapped_column(primary_key=True)
    tokens: Mapped[float]
    at: Mapped[float]


class AuditLog(Base):
    """Who did what. Rows are only added, and removed when their time is over."""

    __tablename__ = "audit_log"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[float]
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))  # whose thing it was done to
    key_id: Mapped[str]  # who did it
    action: Mapped[str]
    target: Mapped[str]  # the id of what it was done to
    request_id: Mapped[str | None]
    data: Mapped[dict[str, Any]]


class Worker(Base):
    """A worker process that is or was alive."""

    __tablename__ = "worker"

    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    boot_id: Mapped[str]  # and the container: the space in which `pid` means something
    pid: Mapped[int]
    pid_started: Mapped[int]  # in kernel ticks since boot: tells a process from a later one with the same pid
    fingerprint: Mapped[str]
    started_at: Mapped[float]
    heartbeat_at: Mapped[float]


class BlobChunk(Base):
    """A piece of some bytes. A blob that no dataset, checkpoint or snapshot names is removed after an hour."""

    __tablename__ = "blob_chunk"

    blob_id: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[float]


class Dataset(Base):
    """A table of named columns, kept as one blob that workers map into memory.

    A purged one that jobs refer to is kept without its bytes; of one that none refers to nothing is kept.
    """

    __tablename__ = "dataset"
    __table_args__ = (Index(None, "tenant_id", "id"), Index(None, "tenant_id", "digest"))

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str | None]
    digest: Mapped[str]
    rows: Mapped[int]
    bytes: Mapped[int]
    columns: Mapped[list[Any]]  # what the API shows of each column
    header: Mapped[dict[str, Any]]  # where each column lies in the blob
    blob_id: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float]
    sniffed: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # what was found out about its file
    trashed_at: Mapped[float | None]
    purged_at: Mapped[float | None]


class Job(Base):
    """What a user asked for, and how far it is."""

    __tablename__ = "job"
    __table_args__ = (
        Index(None, "tenant_id", "id"),
        Index(None, "tenant_id", "state"),
        Index("ix_job_queued", "runnable_since", sqlite_where=text("state = 'queued'"), postgresql_where=text("state = 'queued'")),
        Index(
            "ix_job_owned", "lease_until", sqlite_where=text("lease_until IS NOT NULL"), postgresql_where=text("lease_until IS NOT NULL")
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    kind: Mapped[str]
    name: Mapped[str | None]
    tags: Mapped[dict[str, Any]]
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"), index=True)
    state: Mapped[State] = mapped_column(String(20))
    priority: Mapped[int]
    created_at: Mapped[float]
    runnable_since: Mapped[float]  # when it last became queued
    started_at: Mapped[float | None]  # when it was first claimed
    finished_at: Mapped[float | None]
    reason_code: Mapped[str | None]
    reason_message: Mapped[str | None] = mapped_column(Text)

    fence: Mapped[int]  # raised by every claim and every reap; a worker's write must match it
    claim_id: Mapped[str | None]  # random, by which a worker knows its claim when the answer to the commit was lost
    worker_id: Mapped[str | None]
    lease_until: Mapped[float | None]  # set exactly while the job is owned
    fingerprint: Mapped[str | None]  # of the environment that trains it
    slices: Mapped[int]  # claims so far
    losses: Mapped[int]  # how often in a row it was lost without a newer checkpoint
    event_seq: Mapped[int]

    step: Mapped[int]
    steps: Mapped[int]
    epoch: Mapped[int]
    epochs: Mapped[int]
    trained_seconds: Mapped[float]
    heartbeat_at: Mapped[float | None]
    progress: Mapped[dict[str, Any]]  # the newest loss, validation_loss, metrics, steps_per_second

    parent: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # the job it goes on from, and how
    revision: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # raised by every change of name, tags or priority


class JobSpec(Base):
    """The resolved spec of a job. It may carry given weights, so it stays out of the row that the heartbeat updates."""

    __tablename__ = "job_spec"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    spec: Mapped[dict[str, Any]]


class JobEvent(Base):
    """Something that happened to a job. Rows are only added; `seq` has no gaps."""

    __tablename__ = "job_event"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[float]
    type: Mapped[str]
    data: Mapped[dict[str, Any]]


class JobMetric(Base):
    """What a job reported at a step."""

    __tablename__ = "job_metric"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    at: Mapped[float]
    values: Mapped[dict[str, Any]]


class Checkpoint(Base):
    """Everything needed to continue a job bit for bit from a step; the bytes lie in a blob."""

    __tablename__ = "checkpoint"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    digest: Mapped[str]
    bytes: Mapped[int]
    blob_id: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float]


class Snapshot(Base):
    """Parameters of a job at a step, for use; the bytes of the safetensors file lie in a blob."""

    __tablename__ = "snapshot"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    best: Mapped[bool]
    last: Mapped[bool]
    digest: Mapped[str]
    bytes: Mapped[int]
    values: Mapped[dict[str, Any]]  # loss, validation_loss, metrics at this step
    blob_id: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float]


class IdempotencyKey(Base):
    """The answer that a creating request got, for whoever sends it again."""

    __tablename__ = "idempotency_key"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_digest: Mapped[str]
    created_id: Mapped[str]
    answer: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[float]
