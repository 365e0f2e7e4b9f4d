"""/v1/retention: what will be deleted, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import answer, encode, iso_time
from service.api.authentication import needs, tenant_id
from service.api.context import context
from service.api.openapi import blueprint, json_answer
from service.api.parameters import PREFIXES, Parameters
from service.settings import PREFIX, Settings
from service.store import blobs
from service.store import retention as stored
from service.store.ids import ALPHABET
from service.store.retention import Counted, Leaving, What

resource = blueprint("retention", "What will be deleted, and when.", "/v1/retention")

CURSOR = rf"^[0-9]{{1,12}}(\.[0-9]{{1,12}})?-({'|'.join(PREFIXES.values())})_[{ALPHABET}]{{26}}$"
# kind: how it is told, since when its time is counted, the setting that says how long.
CHOSEN: dict[Counted, tuple[str, str, str]] = {
    "checkpoints": ("checkpoints", "the end of their job; without them it cannot be continued from there", "checkpoint_retention_seconds"),
    "dataset": ("datasets in the trash", "when they were put there; `purged_after` of each says when", "trash_retention_seconds"),
    "upload": ("uploads in parts, also those that became a dataset", "their last part", "upload_retention_seconds"),
    "audit": ("audit entries", "when they were written", "audit_retention_seconds"),
    "delivery": ("deliveries of webhooks", "their last attempt", "webhook_retention_seconds"),
    "idempotency": ("answers kept for Idempotency-Key", "when they were given", "idempotency_seconds"),
}


class Rule(BaseModel):
    """What is deleted by itself."""

    model_config = ConfigDict(extra="forbid")

    what: str
    after_seconds: float
    counted_from: str
    setting: str | None = Field(description="The variable that says how long; null where it cannot be chosen.")
    next_after: str | None = Field(description="Not before this time it takes the next of yours; null where there is none.")


class LeavingDocument(BaseModel):
    """Something that will be deleted."""

    model_config = ConfigDict(extra="forbid", title="Leaving")

    what: What = Field(description="checkpoints: all that a job has left to lose. Others may come.")
    id: str = Field(description="Of the dataset, the upload or the delivery; of checkpoints, of their job.")
    webhook: str | None = Field(description="Of a delivery.")
    bytes: int = Field(description="What that frees.")
    deleted_after: str = Field(description="Not before this time, and within some minutes of it.")
    versions: list[str] = Field(
        description="Of checkpoints: versions of models that came from their job, as MODEL@NUMBER: it and its snapshots are kept, and "
        "cannot be deleted, until these are."
    )


class Retention(BaseModel):
    """What will be deleted, and when. What no rule names is kept until somebody deletes it."""

    model_config = ConfigDict(extra="forbid")

    rules: list[Rule]
    data: list[LeavingDocument] = Field(
        description="What the rules will delete of yours, soonest first; of audit entries and kept answers the rule says when the next go."
    )
    next_cursor: str | None


class RetentionQuery(Parameters):
    cursor: str | None = Field(None, pattern=CURSOR, description="`next_cursor` of the page before.")
    limit: int = Field(50, ge=1, le=500, description="Most elements of the page.")
    what: list[What] = Field([], max_length=20, description="Only these: checkpoints, dataset, upload, delivery.")


@resource.get("", responses={200: json_answer(Retention, "The rules, and what they will delete.")})
@needs("read")
def get_retention(query: RetentionQuery) -> Response:
    """Say what will be deleted and when: the rules, and what of yours they will take, soonest first.

    Datasets outside the trash, jobs, metrics, snapshots and models are kept until somebody deletes them, and a job or snapshot that a
    version of a model came from until that is deleted. A checkpoint that is all that a stopped job left is kept, too.
    """
    here, owner = context(), tenant_id()
    ages: dict[Counted, float] = {kind: float(getattr(here.settings, name)) for kind, (_, _, name) in CHOSEN.items()}
    after = None
    if query.cursor is not None:
        at, _, id = query.cursor.partition("-")
        after = float(at), id
    told: dict[What, float] = {kind: ages[kind] for kind in stored.ONE_BY_ONE}
    found = stored.leaving(here.store, owner, told, limit=query.limit + 1, after=after, only=query.what)
    shown = found[: query.limit]
    document = {
        "rules": rules(here.settings, stored.soonest(here.store, owner, ages)),
        "data": [_document(leaving) for leaving in shown],
        "next_cursor": f"{shown[-1].at!r}-{shown[-1].id}" if len(found) > query.limit else None,
    }
    return answer(encode(document))


def rules(settings: Settings, soonest: Mapping[Counted, float | None]) -> list[dict[str, Any]]:
    """Everything that the reaper removes, and when."""
    found = [
        {
            "what": what,
            "after_seconds": float(getattr(settings, name)),
            "counted_from": since,
            "setting": f"{PREFIX}{name.upper()}",
            "next_after": iso_time(soonest[kind]),
        }
        for kind, (what, since, name) in CHOSEN.items()
    ]
    return [
        *found,
        {
            "what": "bytes that nothing names, as of an upload that was refused",
            "after_seconds": blobs.ORPHAN_SECONDS,
            "counted_from": "when they were written",
            "setting": None,
            "next_after": None,
        },
    ]


def _document(leaving: Leaving) -> dict[str, Any]:
    return {
        "what": leaving.what,
        "id": leaving.id,
        "webhook": leaving.webhook_id,
        "bytes": leaving.bytes,
        "deleted_after": iso_time(leaving.at),
        "versions": list(leaving.versions),
    }
