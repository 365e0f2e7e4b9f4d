"""`If-Match`: a change is made only of what the client has read."""

from __future__ import annotations

from flask import request

from service.api.openapi import header_parameter
from service.api.problems import Refusal

IF_MATCH = header_parameter(
    "If-Match", 'The `revision` that you have read, in quotes, "3" (as its `ETag` has it); or * for any. Needed.', required=True
)
REFUSED = {
    "_412": "It is not what `If-Match` says any more; read it again.",
    "_428": "`If-Match` is missing: without it, what another changed meanwhile would be lost.",
}


def must_be_sent() -> None:
    """Raise Refusal (428) unless If-Match was sent: told before anything is looked for."""
    if "If-Match" not in request.headers:
        raise Refusal(428, "precondition_required", 'Send If-Match: the revision that you have read, in quotes ("3"), or *.')


def must_match(what: str, revision: int) -> None:
    """Raise Refusal (412) unless If-Match names the present revision of `what`."""
    if not request.if_match.contains(str(revision)):
        message = f"{what} is not what If-Match says any more; its revision is {revision}. Read it, and decide again."
        raise Refusal(412, "precondition_failed", message, revision=revision)
