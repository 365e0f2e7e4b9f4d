"""What the store refuses, and why.

StoreError
├── NotFound             no such thing, or it is another tenant's
│   └── InTrash          the dataset is in the trash
├── SameContent          the tenant has a dataset of the same content
├── WrongOffset          the upload in parts goes on elsewhere
├── DatasetInUse         jobs that have not ended need the dataset
├── VersionInUse         an alias stands for the version of a model
├── AliasMoved           the alias stands for something else by now
├── JobInUse             jobs that go on from the job name it, or versions of models came from it
├── IllegalAction        the job's state does not allow what was asked
├── IdempotencyConflict  the key was used for another body
├── QuotaExceeded        the tenant has as much as it may have
├── AlreadyThere         there is such a thing already
├── TooMany              there are as many of them as there may be
├── WebhookDisabled      nothing is sent to the webhook
├── KeyEnded             the API key was revoked, or its time is over
├── LostClaim            the job is no longer this worker's: drop everything
├── StoreBusy            locked or out of reach for too long: try again
└── StorageFull          no room left on the device
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SAID = {"succeeded": "has succeeded", "failed": "has failed", "stopped": "has been stopped", "cancelled": "has been cancelled"}
_DONE = {"pause": "paused", "resume": "resumed", "stop": "stopped", "cancel": "cancelled", "delete": "deleted"}


class StoreError(Exception):
    """Root of the store's errors."""


class NotFound(StoreError):
    """There is no `kind` with this id for this tenant."""

    def __init__(self, kind: str, identifier: str) -> None:
        super().__init__(f"There is no {kind} {identifier!r}.")
        self.kind = kind
        self.identifier = identifier


class InTrash(NotFound):
    """The dataset is in the trash: nothing new is made of it."""

    def __init__(self, dataset_id: str) -> None:
        StoreError.__init__(self, f"The dataset {dataset_id!r} is in the trash; POST /v1/datasets/{dataset_id}/restore takes it out.")
        self.kind = "dataset"
        self.identifier = dataset_id


class SameContent(StoreError):
    """The tenant has a dataset of the same content: `dataset`."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(f"The dataset {dataset.id} has the same content.")
        self.dataset = dataset


class WrongOffset(StoreError):
    """Bytes of an upload in parts that do not begin where it ends; nothing of them was written."""

    def __init__(self, upload_id: str, offset: int, received_bytes: int) -> None:
        super().__init__(f"{received_bytes:,} bytes of the upload {upload_id} have arrived; this part begins at {offset:,}. Go on there.")
        self.received_bytes = received_bytes


class DatasetInUse(StoreError):
    """Jobs that have not ended need the dataset."""

    def __init__(self, dataset_id: str, jobs: Sequence[str]) -> None:
        super().__init__(f"Jobs that have not ended need the dataset {dataset_id}: {', '.join(jobs)}. Wait for them, or cancel them.")
        self.jobs = tuple(jobs)


class JobInUse(StoreError):
    """Jobs that go on from the job name it as their parent, or versions of models came from it."""

    def __init__(self, job_id: str, jobs: Sequence[str], versions: Sequence[str] = ()) -> None:
        whose = f"Jobs that go on from the job {job_id} name it" if jobs else f"Versions of models came from the job {job_id}"
        super().__init__(f"{whose}: {', '.join([*jobs, *versions])}. Delete them first.")
        self.jobs, self.versions = tuple(jobs), tuple(versions)


class VersionInUse(StoreError):
    """Aliases stand for the version of the model, or for one of its versions."""

    def __init__(self, what: str, aliases: Sequence[str]) -> None:
        super().__init__(f"{what} cannot be deleted: {', '.join(aliases)} stands for it. Move or delete the alias first.")
        self.aliases = tuple(aliases)


class AliasMoved(StoreError):
    """Somebody moved the alias since it was read; nothing was written."""


class IllegalAction(StoreError):
    """The job is in a state from which `action` is not possible."""

    def __init__(self, job_id: str, action: str, state: str, allowed: Sequence[str]) -> None:
        possible = f" Possible now: {', '.join(allowed)}." if allowed else ""
        super().__init__(f"The job {job_id} {_SAID.get(state, f'is {state}')}; it cannot be {_DONE[action]}.{possible}")
        self.job_id = job_id
        self.state = state
        self.allowed = tuple(allowed)


class IdempotencyConflict(StoreError):
    """The idempotency key was used before with another body."""

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency-Key {key!r} was already used with a different body. Use a new key for a new request.")


class QuotaExceeded(StoreError):
    """What was asked would give a tenant more than it may have; `remedy` says what to do, `retry_after_seconds` when time does it."""

    def __init__(
        self,
        quota: str,
        message: str,
        remedy: str,
        *,
        limit: int,
        used: float,
        resets_at: float | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{message} {remedy}")
        self.quota = quota
        self.remedy = remedy
        self.limit = limit
        self.used = used
        self.resets_at = resets_at
        self.retry_after_seconds = retry_after_seconds


class AlreadyThere(StoreError):
    """There is a `kind` with this id already."""

    def __init__(self, kind: str, identifier: str) -> None:
        super().__init__(f"There is a {kind} {identifier!r} already.")


class TooMany(StoreError):
    """The tenant has as many of a kind as it may have."""

    def __init__(self, kind: str, most: int) -> None:
        super().__init__(f"There are {most:,} {kind}s of this tenant, and no more may be. Delete one that is not needed.")


class WebhookDisabled(StoreError):
    """Nothing is sent to the webhook."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"The webhook {webhook_id} is disabled: nothing is sent to it. PATCH it with enabled=true first.")


class KeyEnded(StoreError):
    """The API key opens nothing any more; `how` is revoked or expired."""

    def __init__(self, key_id: str, how: str) -> None:
        super().__init__(f"The API key {key_id} {'has been revoked' if how == 'revoked' else 'has expired'}.")
        self.how = how


class LostClaim(StoreError):
    """The claim's fence is no longer the job's: another worker or the reaper has it, or it has ended."""


class StoreBusy(StoreError):
    """The database was locked or out of reach; nothing was written, or the caller must read again to know."""


class StorageFull(StoreError):
    """The database could not write for want of room."""
