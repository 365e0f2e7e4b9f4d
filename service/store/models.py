"""The tables.

Times are seconds since 1970 by the store's clock (see `clock`). JSON columns hold what the API shows, never what SQL asks
for. Bytes live in `blob_chunk` alone, and a job's spec beside its row, so that the row a heartbeat updates stays small.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, ForeignKeyConstraint, Index, LargeBinary, MetaData, String, Text, text
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


class Environment(Base):
    """What an environment fingerprint is the digest of, as the first worker that had it said."""

    __tablename__ = "environment"

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    parts: Mapped[dict[str, Any]]
    first_seen_at: Mapped[float]


class BlobChunk(Base):
    """A piece of some bytes. A blob that nothing names is removed after an hour."""

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


class Upload(Base):
    """A file that arrives in parts. Its blob's chunks are numbered by the offset at which each begins.

    One that has become a dataset stays without its bytes until its time is over, for whoever asks again.
    """

    __tablename__ = "upload"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    bytes: Mapped[int]  # of the whole file
    sha256: Mapped[str | None]  # of the whole file, as the sender says
    received_bytes: Mapped[int]
    blob_id: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float]
    changed_at: Mapped[float]  # when the last part arrived
    dataset_id: Mapped[str | None]  # that it became; which may be gone


class CrossValidation(Base):
    """A training that was asked for once for each of several folds: its jobs name it."""

    __tablename__ = "cross_validation"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str | None]
    dataset_id: Mapped[str]  # of its jobs; which may be gone with them
    folds: Mapped[int]  # as many jobs were made; some may have been deleted
    created_at: Mapped[float]


class Job(Base):
    """What a user asked for, and how far it is."""

    __tablename__ = "job"
    __table_args__ = (
        Index(None, "tenant_id", "id"),
        Index(None, "tenant_id", "state"),
        Index("ix_job_queued", "runnable_since", sqlite_where=text("state = 'queued'"), postgresql_where=text("state = 'queued'")),
        Index(
            "ix_job_deadline",
            "deadline_at",
            sqlite_where=text("deadline_at IS NOT NULL AND finished_at IS NULL"),
            postgresql_where=text("deadline_at IS NOT NULL AND finished_at IS NULL"),
        ),
        Index(
            "ix_job_owned", "lease_until", sqlite_where=text("lease_until IS NOT NULL"), postgresql_where=text("lease_until IS NOT NULL")
        ),
        Index(
            "ix_job_cross_validation",
            "cross_validation_id",
            sqlite_where=text("cross_validation_id IS NOT NULL"),
            postgresql_where=text("cross_validation_id IS NOT NULL"),
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
    revision: Mapped[int] = mapped_column(default=0, server_default=text("0"))  # raised by every change that a user makes of it
    deadline_at: Mapped[float | None]  # when it fails unless it has ended
    cross_validation_id: Mapped[str | None] = mapped_column(ForeignKey("cross_validation.id"))  # of which it is a fold


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


class JobFile(Base):
    """A file that a job left, other than parameters: predictions, an explanation. Its bytes lie in a blob."""

    __tablename__ = "job_file"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    bytes: Mapped[int]
    blob_id: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float]


class JobAssessment(Base):
    """What the best parameters of an ended job are worth, as the API shows it."""

    __tablename__ = "job_assessment"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    assessment: Mapped[dict[str, Any]]


class Model(Base):
    """A name under which a tenant keeps trained networks, version after version."""

    __tablename__ = "model"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[str | None] = mapped_column(Text)
    tags: Mapped[dict[str, Any]]
    created_at: Mapped[float]
    revision: Mapped[int]  # raised by every change of description or tags
    newest_version: Mapped[int]  # the number given last: that of a deleted version is not given again


class ModelVersion(Base):
    """A trained network under a model's name; never changed. Its bytes are those of a snapshot, or a blob of its own."""

    __tablename__ = "model_version"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "model"], ["model.tenant_id", "model.name"]),)

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("job.id"), index=True)  # that trained it; none did where it was imported
    step: Mapped[int | None]
    epoch: Mapped[int | None]
    imported: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # the file that it came as
    description: Mapped[str | None] = mapped_column(Text)
    digest: Mapped[str]
    bytes: Mapped[int]
    values: Mapped[dict[str, Any]]  # loss, validation_loss, metrics
    signature: Mapped[dict[str, Any]]  # what goes in and what comes out
    blob_id: Mapped[str] = mapped_column(index=True)
    created_at: Mapped[float]


class ModelAlias(Base):
    """A word that stands for one version of a model, and which one that is now. Kept when it stands for none: its revision goes on."""

    __tablename__ = "model_alias"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "model"], ["model.tenant_id", "model.name"]),)

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int | None]
    revision: Mapped[int]  # raised by every move
    moved_at: Mapped[float]


class ModelAliasMove(Base):
    """What an alias stood for from a revision on. Rows are only added."""

    __tablename__ = "model_alias_move"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "model", "alias"],
            ["model_alias.tenant_id", "model_alias.model", "model_alias.alias"],
        ),
    )

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int | None]
    at: Mapped[float]
    key_id: Mapped[str | None]  # who moved it


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


class Webhook(Base):
    """An address that is told of a tenant's jobs. What it signs with must be known, so its secrets are kept as they are."""

    __tablename__ = "webhook"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str | None]
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[Any]]
    tags: Mapped[dict[str, Any]]  # only jobs that have all of these
    secret: Mapped[str]
    former_secrets: Mapped[list[Any]]  # [secret, until when it signs beside the present one]
    enabled: Mapped[bool]
    disabled_reason: Mapped[str | None]  # why the service did it: gone, failing
    created_at: Mapped[float]
    failing_since: Mapped[float | None]  # no delivery has succeeded since


class WebhookDelivery(Base):
    """A message to a webhook: written with the event that it tells of, sent until it arrives or its time is over.

    It names its webhook without a foreign key: the end of a job must not wait, nor fail, because somebody deletes the webhook meanwhile.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index(None, "webhook_id", "id"),
        Index("ix_webhook_delivery_due", "next_at", sqlite_where=text("state = 'pending'"), postgresql_where=text("state = 'pending'")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)  # the webhook-id of all its attempts
    webhook_id: Mapped[str]
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    job_id: Mapped[str | None]
    type: Mapped[str]
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(20))  # pending, succeeded, failed
    attempts: Mapped[int]
    created_at: Mapped[float]
    next_at: Mapped[float | None]  # when it is sent; of one that is being sent, when it is taken for lost
    last_at: Mapped[float | None]  # when the last attempt ended
    status: Mapped[int | None]  # what the last attempt was answered
    error: Mapped[str | None] = mapped_column(Text)  # why the last attempt failed
