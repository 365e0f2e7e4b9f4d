"""/v1/retention: what will be deleted, and when."""

from __future__ import annotations

from typing import Any, Literal

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import answer, encode, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.openapi import blueprint, json_answer
from service.api.parameters import Parameters, pattern
from service.settings import PREFIX, Settings
from service.store import blobs, checkpoints
from service.store.checkpoints import Leaving

resource = blueprint("retention", "What will be deleted, and when.", "/v1/retention")


class Rule(BaseModel):
    """What is deleted by itself."""

    model_config = ConfigDict(extra="forbid")

    what: str
    after_seconds: float
    counted_from: str
    setting: str | None = Field(description="The variable that says how long; null where it cannot be chosen.")


class LeavingDocument(BaseModel):
    """Something that will be deleted."""

    model_config = ConfigDict(extra="forbid", title="Leaving")

    what: Literal["checkpoints"]
    job: str
    bytes: int
    deleted_after: str = Field(description="Not before this time, and within some minutes of it.")
    versions: list[str] = Field(
        description="Versions of models that came from the job, as MODEL@NUMBER: it and its snapshots are kept, and cannot be deleted, "
        "until these are."
    )


class Retention(BaseModel):
    """What will be deleted, and when. What no rule names is kept until somebody deletes it."""

    model_config = ConfigDict(extra="forbid")

    rules: list[Rule]
    data: list[LeavingDocument] = Field(description="What the first rule will delete, soonest first.")
    next_cursor: str | None


class RetentionQuery(Parameters):
    cursor: str | None = Field(None, pattern=pattern("job"), description="`next_cursor` of the page before.")
    limit: int = Field(50, ge=1, le=500, description="Most elements of the page.")


@resource.get("", responses={200: json_answer(Retention, "The rules, and what they will delete.")})
@needs("read")
def get_retention(query: RetentionQuery) -> Response:
    """Say what will be deleted and when: the rules, and what of yours the first of them will take, soonest first.

    Datasets outside the trash, jobs, metrics, snapshots and models are kept until somebody deletes them, and a job or snapshot that a
    version of a model came from until that is deleted. A checkpoint that is all that a stopped job left is kept, too.
    """
    here = context()
    age = here.settings.checkpoint_retention_seconds
    found = checkpoints.leaving(here.store, tenant_id(), age, limit=query.limit + 1, after=query.cursor)
    shown = found[: query.limit]
    cursor = shown[-1].job_id if len(found) > query.limit else None
    document = {"rules": rules(here.settings), "data": [_document(leaving) for leaving in shown], "next_cursor": cursor}
    return answer(encode(document))


def rules(settings: Settings) -> list[dict[str, Any]]:
    """Everything that the reaper removes, and when."""
    chosen = (
        ("checkpoints", "the end of their job; without them it cannot be continued from there", "checkpoint_retention_seconds"),
        ("datasets in the trash", "when they were put there; `purged_after` of each says when", "trash_retention_seconds"),
        ("uploads in parts, also those that became a dataset", "their last part", "upload_retention_seconds"),
        ("audit entries", "when they were written", "audit_retention_seconds"),
        ("deliveries of webhooks", "their last attempt", "webhook_retention_seconds"),
        ("answers kept for Idempotency-Key", "when they were given", "idempotency_seconds"),
    )
    found = [
        {"what": what, "after_seconds": getattr(settings, name), "counted_from": since, "setting": f"{PREFIX}{name.upper()}"}
        for what, since, name in chosen
    ]
    return [
        *found,
        {
            "what": "bytes that nothing names, as of an upload that was refused",
            "after_seconds": blobs.ORPHAN_SECONDS,
            "counted_from": "when they were written",
            "setting": None,
        },
    ]


def _document(leaving: Leaving) -> dict[str, Any]:
    return {
        "what": "checkpoints",
        "job": leaving.job_id,
        "bytes": leaving.bytes,
        "deleted_after": iso_time(leaving.at),
        "versions": list(leaving.versions),
    }
