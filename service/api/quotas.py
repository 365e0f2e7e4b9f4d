"""Limits of a tenant as bodies and answers show them, and the refusal of what would exceed one."""

from __future__ import annotations

import math
from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.answers import iso_time
from service.api.problems import Refusal
from service.store.errors import QuotaExceeded
from service.store.quotas import Quota

LARGEST = 2**53  # beyond it JSON readers lose digits
TIME_HELPS = {Quota.QUEUED_JOBS, Quota.WORKER_SECONDS_PER_DAY}

Limit = int | None


class Quotas(BaseModel):
    """How much a tenant may have; null is no limit but the installation's own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    queued_jobs: Limit = Field(None, ge=0, le=LARGEST, description="Jobs that wait, queued or paused. One more is refused (429).")
    running_jobs: Limit = Field(None, ge=0, le=LARGEST, description="Jobs that workers train at once. More stay in the queue.")
    stored_bytes: Limit = Field(
        None, ge=0, le=LARGEST, description="Of datasets, snapshots, checkpoints and models. What would exceed it is refused (403)."
    )
    parameters: Limit = Field(None, ge=0, le=LARGEST, description="Weights and biases of one network. A larger one is refused (403).")
    worker_seconds_per_day: Limit = Field(
        None, ge=0, le=LARGEST, description="Training on a day in UTC. Then jobs stay in the queue and new ones are refused (429)."
    )
    requests_per_minute: Limit = Field(None, ge=1, le=10_000_000, description="Of all keys of the tenant together. More are refused (429).")

    def named(self) -> dict[Quota, int | None]:
        """The limits that the body names."""
        return {Quota(name): getattr(self, name) for name in self.model_fields_set}


def refused(error: QuotaExceeded) -> Response:
    """429 with Retry-After where time helps, else 403."""
    status = 429 if error.quota in TIME_HELPS else 403
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    members: dict[str, Any] = {"quota": error.quota, "limit": error.limit, "used": error.used, "remedy": error.remedy}
    if error.resets_at is not None:
        members["resets_at"] = iso_time(error.resets_at)
    return Refusal(status, "quota_exceeded", str(error), headers=headers, **members).response()
