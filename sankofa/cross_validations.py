"""A cross-validation as a caller sees it: how far its folds are, and what they say together."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sankofa.connection import Connection
from sankofa.errors import WaitTimeout
from sankofa.jobs import LEAST_POLL_SECONDS, POLL_SECONDS, Job


class CrossValidation:
    """A cross-validation of the service. `document` is its latest known state; `refresh` and `wait` bring it up to date."""

    def __init__(self, connection: Connection, document: dict[str, Any], etag: str | None = None) -> None:
        self._connection = connection
        self._etag = etag
        self.document = document

    def __repr__(self) -> str:
        validation = self.summary["validation"]
        told = "".join(f", {name} {spread_text(spread)}" for name, spread in validation.items())
        return f"<CrossValidation {self.id} {self.summary['folds']} of {self.document['folds']} folds{told}>"

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def name(self) -> str | None:
        return self.document.get("name")

    @property
    def terminal(self) -> bool:
        """Whether all its folds have ended."""
        return bool(self.document["terminal"])

    @property
    def counts(self) -> dict[str, int]:
        """How many of its folds are in which state."""
        return dict(self.document["counts"])

    @property
    def fraction(self) -> float:
        """How much of all folds is done: 1.0 when all have ended."""
        folds = self.folds
        return 1.0 if self.terminal or not folds else sum(fold["fraction"] for fold in folds) / len(folds)

    @property
    def folds(self) -> list[dict[str, Any]]:
        """Of each fold: its number, its job, state, fraction, validation_rows, best, test."""
        return list(self.document["jobs"])

    @property
    def summary(self) -> dict[str, Any]:
        """`validation` and `test`: of the loss and each metric mean, standard_deviation (of the sample), minimum, maximum and folds.

        `folds`: how many of them have a result; the others do not count.
        """
        return dict(self.document["summary"])

    @property
    def jobs(self) -> list[Job]:
        """The jobs of the folds, by their numbers, fetched now."""
        found = self._connection.pages("/v1/jobs", cross_validation=self.id)
        return sorted((Job(self._connection, document) for document in found), key=lambda job: int(job.spec["fold"]["number"]))

    def refresh(self) -> CrossValidation:
        """Fetch its state now; returns the same object."""
        self._look(wait_seconds=0)
        return self

    def wait(
        self, timeout_seconds: float | None = None, *, on_change: Callable[[CrossValidation], object] | None = None
    ) -> CrossValidation:
        """Wait until every fold has ended, however it did; returns the same object.

        on_change: called with it at first and after every change that was seen. Raises WaitTimeout when a fold has not ended by then.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        changed = True
        while True:
            if changed and on_change is not None:
                on_change(self)
            if self.terminal:
                return self
            left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
            if left <= 0:
                raise WaitTimeout(f"cross-validation {self.id} is at {self.fraction:.0%} after {timeout_seconds} s; it goes on")
            asked = time.monotonic()
            changed = self._look(wait_seconds=left)
            if not self.terminal:
                time.sleep(max(0.0, LEAST_POLL_SECONDS - (time.monotonic() - asked)))

    def watch(self, timeout_seconds: float | None = None) -> CrossValidation:
        """`wait` in front of a person: a bar over all folds in a terminal, else lines on stderr. Interrupted, the folds go on."""
        from sankofa.display import Bar, terminal_console  # what draws is loaded when something is drawn

        with Bar(terminal_console(), "folds") as bar:
            seen: dict[str, int] = {}

            def show(now: CrossValidation) -> None:
                nonlocal seen
                counts = ", ".join(f"{count} {state}" for state, count in now.counts.items())
                bar.show(now.fraction, counts, urgent=now.counts != seen and not now.terminal)
                seen = now.counts

            return self.wait(timeout_seconds, on_change=show)

    def cancel(self) -> CrossValidation:
        """Ask every fold that has not ended for its end; what others have found stays. Returns the same object."""
        response = self._connection.request("POST", f"/v1/cross_validations/{self.id}/cancel")
        self.document = self._connection.document(response)
        self._etag = response.headers.get("etag")
        return self

    def delete(self) -> int:
        """Delete it with all its jobs, which must have ended; answers the bytes that frees. Raises Conflict."""
        response = self._connection.request("DELETE", f"/v1/cross_validations/{self.id}")
        return int(self._connection.document(response)["freed_bytes"])

    def _look(self, wait_seconds: float) -> bool:
        """Fetch it, hanging up to `wait_seconds` for a change; whether it is another than before."""
        headers = {}
        if wait_seconds > 0 and self._etag:
            headers = {"If-None-Match": self._etag, "Prefer": f"wait={int(wait_seconds)}"}
        response = self._connection.request(
            "GET",
            f"/v1/cross_validations/{self.id}",
            headers=headers,
            timeout_seconds=self._connection.timeout_seconds + wait_seconds,
        )
        if response.status_code == 304:
            return False
        before, self.document = self.document, self._connection.document(response)
        self._etag = response.headers.get("etag")
        return before != self.document


def spread_text(spread: dict[str, Any]) -> str:
    """A number of several folds, as `0.9612 ± 0.0045`; of one fold it has no deviation."""
    deviation = spread["standard_deviation"]
    return f"{spread['mean']:.4g}" + ("" if deviation is None else f" ± {deviation:.2g}")
