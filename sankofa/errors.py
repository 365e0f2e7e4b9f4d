"""What can go wrong for a caller of Sankofa.

SankofaError
├── InvalidInput                 found wrong here, before anything was sent
│   ├── InvalidFile              bytes that are not the weights file they claim to be
│   └── InvalidWebhook           a request that no webhook of ours has sent
├── Unreachable                  no answer from the service, after retries
├── WaitTimeout                  (also a TimeoutError) the job had not ended in time
├── JobUnsuccessful              the job ended without what was asked for; .job
│   ├── JobFailed
│   └── JobCancelled
└── Refused                      the service answered with a problem document; .problem
    ├── BadRequest               400, 413, 415 and other 4xx
    ├── NotAllowed               401, 403
    ├── NotFound                 404
    ├── Conflict                 409, 412
    ├── InvalidRequest           422, with a JSON pointer for every fault
    ├── Busy                     429, 503: still so after retries
    └── ServiceFault             other 5xx
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sankofa.jobs import Job


class SankofaError(Exception):
    """Whatever this package raises on purpose."""


class InvalidInput(SankofaError):
    """What was passed in cannot be sent; the message names it, what was expected and what was got."""


class InvalidFile(InvalidInput):
    """Bytes that are not a safetensors file, or one that is cut off or contradicts itself."""


class InvalidWebhook(InvalidInput):
    """A request that no webhook of ours has sent, or not lately."""


class InstallationFault(SankofaError):
    """The service on this machine cannot be started or kept running; the message says which part, why, and what to do."""


class Unreachable(SankofaError):
    """The service did not answer: not there, or gone silent, also after retries."""


class WaitTimeout(SankofaError, TimeoutError):
    """The job had not ended when the time was up; it goes on."""


class JobUnsuccessful(SankofaError):
    """The job has ended without what was asked for."""

    def __init__(self, job: Job) -> None:
        self.job = job
        reason = job.reason or {}
        told = ": ".join(str(reason[name]) for name in ("code", "message") if reason.get(name))
        super().__init__(f"job {job.id} {job.state}" + (f" ({told})" if told else ""))


class JobFailed(JobUnsuccessful):
    """The job ended as `failed`; `job.reason` says why."""


class JobCancelled(JobUnsuccessful):
    """The job ended as `cancelled`."""


@dataclass(frozen=True)
class Problem:
    """A problem document (RFC 9457) as the service sent it."""

    status: int
    code: str = ""
    title: str = ""
    detail: str = ""
    errors: tuple[dict[str, Any], ...] = ()
    request_id: str | None = None
    document: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_document(cls, status: int, document: object, request_id: str | None = None) -> Problem:
        """The problem in `document`; a body that is none (a proxy's page, say) gives one with the status alone."""
        if not isinstance(document, dict):
            return cls(status, title=f"HTTP status {status} without a problem document", request_id=request_id)
        errors = document.get("errors")
        return cls(
            status=status,
            code=str(document.get("code") or ""),
            title=str(document.get("title") or f"HTTP status {status}"),
            detail=str(document.get("detail") or ""),
            errors=tuple(fault for fault in errors if isinstance(fault, dict)) if isinstance(errors, list) else (),
            request_id=document.get("request_id") or request_id,
            document=document,
        )

    def __str__(self) -> str:
        # Where the faults below say all of the detail, it is not said twice.
        told = bool(self.errors) and all(str(fault.get("message") or "\n") in self.detail for fault in self.errors)
        lines = [f"{self.title}: {self.detail}" if self.detail and self.detail != self.title and not told else self.title]
        if not self.detail and self.code and self.code not in self.title:
            lines[0] += f" ({self.code})"
        for fault in self.errors:
            message = str(fault.get("message") or fault.get("code") or "refused")
            # Said only where the message does not say it already; behind a whole sentence as one of its own.
            more = [f"{name} {fault[name]}" for name in ("expected", "got") if fault.get(name) and str(fault[name]) not in message]
            if more and message[-1] in ".?!":
                whole = ", ".join(more)
                message += f" {whole[0].upper()}{whole[1:]}."
            elif more:
                message += f"; {'; '.join(more)}"
            named = f"query parameter {fault['parameter']}" if fault.get("parameter") else "(the whole body)"
            lines.append(f"  {fault.get('pointer') or named}: {message}")
        if self.request_id and self.status >= 500:
            lines.append(f"  request {self.request_id}: find it under this id in the service's log")
        return "\n".join(lines)


class Refused(SankofaError):
    """The service answered, and the answer is no."""

    def __init__(self, problem: Problem, remedy: str = "") -> None:
        self.problem = problem
        super().__init__(str(problem) + (f"\n  {remedy}" if remedy else ""))


class BadRequest(Refused):
    """400, 413, 415 and other 4xx: the request cannot be read or is too large."""


class NotAllowed(Refused):
    """401 or 403: no key, a wrong one, or one that may not do this."""


class NotFound(Refused):
    """404: there is no such thing, or it is another tenant's."""


class Conflict(Refused):
    """409 or 412: not in this state; `problem.document` may carry `allowed_actions`."""


class InvalidRequest(Refused):
    """422: understood and refused; `problem.errors` lists every fault with its JSON pointer."""


class Busy(Refused):
    """429 or 503: the service asked to come back later, more often than the client was ready to."""


class ServiceFault(Refused):
    """5xx: the service failed; the request id finds it in its log."""


_BY_STATUS: dict[int, type[Refused]] = {
    401: NotAllowed,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    422: InvalidRequest,
    429: Busy,
    503: Busy,
}


def refusal(problem: Problem, remedy: str = "") -> Refused:
    """The exception for `problem`, of the class that its status asks for."""
    return _BY_STATUS.get(problem.status, ServiceFault if problem.status >= 500 else BadRequest)(problem, remedy)
