"""A job as a caller sees it: what it is doing, what can be asked of it, and what came out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sankofa.connection import Connection
from sankofa.datasets import column_list
from sankofa.errors import InvalidInput, JobCancelled, JobFailed, WaitTimeout
from sankofa.events import Event, follow_events

if TYPE_CHECKING:
    import numpy as np

# How long one long poll may hang; the service cuts longer ones at 60 s.
POLL_SECONDS = 30
# A service that answers long polls at once is not asked more often than this.
LEAST_POLL_SECONDS = 0.05

FORMATS = {".safetensors": "safetensors", ".npz": "npz", ".json": "json", ".onnx": "onnx", ".py": "python"}


@dataclass(frozen=True)
class Prediction:
    """The network's answer for each row."""

    outputs: np.ndarray  # (rows, units), before any softmax or sigmoid of the loss
    probabilities: np.ndarray | None  # (rows, classes), or (rows,) for two classes; None where the loss has none
    labels: np.ndarray | None  # (rows,), names or integers


class Job:
    """A job of the service. `document` is its latest known state; `refresh` and `wait` bring it up to date."""

    def __init__(self, connection: Connection, document: dict[str, Any], etag: str | None = None) -> None:
        self._connection = connection
        self._etag = etag
        self.document = document

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.state} {self.fraction:.0%}>"

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def name(self) -> str | None:
        return self.document.get("name")

    @property
    def state(self) -> str:
        """queued, running, pausing, paused, stopping, cancelling; or an end state: succeeded, failed, stopped, cancelled."""
        return str(self.document["state"])

    @property
    def terminal(self) -> bool:
        """Whether the job has ended; nothing about it changes any more."""
        return bool(self.document["terminal"])

    @property
    def allowed_actions(self) -> list[str]:
        return list(self.document.get("allowed_actions", ()))

    @property
    def reason(self) -> dict[str, Any] | None:
        """Why it failed: `code` (diverged, worker_lost, ...) and `message`."""
        return self.document.get("reason")

    @property
    def progress(self) -> dict[str, Any]:
        """fraction, epoch, epochs, step, steps, loss, validation_loss, metrics, steps_per_second, eta_seconds, ..."""
        return dict(self.document.get("progress") or {})

    @property
    def fraction(self) -> float:
        return float(self.progress.get("fraction") or 0.0)

    @property
    def spec(self) -> dict[str, Any]:
        """What the job trains, with every default written in."""
        return dict(self.document.get("spec") or {})

    @property
    def result(self) -> dict[str, Any] | None:
        """The `best` and the `last` snapshot's step, epoch, loss, validation_loss and metrics; None before there are any."""
        return self.document.get("result")

    def refresh(self) -> Job:
        """Fetch the job's state now; returns the same object."""
        self._look(wait_seconds=0)
        return self

    def wait(self, timeout_seconds: float | None = None, *, on_change: Callable[[Job], object] | None = None, check: bool = True) -> Job:
        """Wait until the job has ended, without asking over and over; returns the same object.

        on_change: called with the job at first and after every change that was seen.
        Raises WaitTimeout when it has not ended by then. With `check`, raises JobFailed or JobCancelled for a job that ended so.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        changed = True
        while True:
            if changed and on_change is not None:
                on_change(self)
            if self.terminal:
                break
            left = POLL_SECONDS if deadline is None else min(POLL_SECONDS, deadline - time.monotonic())
            if left <= 0:
                raise WaitTimeout(f"job {self.id} is {self.state} after {timeout_seconds} s, at {self.fraction:.0%}; it goes on")
            asked = time.monotonic()
            changed = self._look(wait_seconds=left)
            if not self.terminal:
                time.sleep(max(0.0, LEAST_POLL_SECONDS - (time.monotonic() - asked)))
        if check and self.state == "failed":
            raise JobFailed(self)
        if check and self.state == "cancelled":
            raise JobCancelled(self)
        return self

    def cancel(self) -> Job:
        """Ask for the end of the job, keeping nothing of its work. Raises Conflict when it has ended otherwise."""
        return self._ask("cancel")

    def pause(self) -> Job:
        """Ask the job to rest after its next checkpoint."""
        return self._ask("pause")

    def resume(self) -> Job:
        """Let a paused job go on, exactly where it was."""
        return self._ask("resume")

    def stop(self) -> Job:
        """Ask for the end of the job, keeping the best parameters so far as its result."""
        return self._ask("stop")

    def change(self, **values: Any) -> Job:
        """Change the `name`, `tags` or `priority`; returns the same object. Raises Conflict when another changed them meanwhile."""
        headers = {"If-Match": f'"{self.document["revision"]}"'}
        response = self._connection.request("PATCH", f"/v1/jobs/{self.id}", body=values, headers=headers)
        self.document = self._connection.document(response)
        self._etag = response.headers.get("etag")
        return self

    def metrics(self, after_step: int | None = None, max_points: int | None = None) -> list[dict[str, Any]]:
        """One entry per report: step, epoch, loss, validation_loss, metrics.

        max_points: no more than so many, evenly spaced over all there are.
        """
        return list(self._connection.pages(f"/v1/jobs/{self.id}/metrics", after_step=after_step, max_points=max_points))

    def events(self, after: str | None = None) -> Iterator[Event]:
        """What happened to the job, and what happens, until its end. A broken stream is taken up where it broke.

        after: the `id` of the last event that was seen.
        """
        return follow_events(self._connection, self.id, after)

    def snapshots(self) -> list[dict[str, Any]]:
        """The saved parameters: step, epoch, best, last, loss, metrics, bytes."""
        return list(self._connection.pages(f"/v1/jobs/{self.id}/snapshots"))

    def split(self) -> dict[str, Any]:
        """`training_rows`: how many rows it is trained on; `validation_rows`: the numbers of those it never is."""
        return dict(self._connection.get(f"/v1/jobs/{self.id}/split"))

    def weights(self, snapshot: str | int = "best") -> dict[str, np.ndarray]:
        """The trained parameters by name ("0.weight" (out, in), "0.bias", ...), as a torch.nn.Sequential would name them.

        snapshot: "best", "last" or a step of `snapshots()`. Raises Conflict while there is none.
        """
        from sankofa.tensors import read_safetensors

        return read_safetensors(self.weights_file(snapshot=snapshot))

    def weights_file(self, format: str = "safetensors", snapshot: str | int = "best") -> bytes:
        """The file of the trained parameters: safetensors, npz, json, onnx or python."""
        return self._connection.request("GET", self._weights_path, params={"format": format, "snapshot": snapshot}).content

    def download(self, path: str | os.PathLike[str], format: str | None = None, snapshot: str | int = "best") -> Path:
        """Write the trained parameters to a file; returns its path. The file appears whole or not at all.

        format: safetensors, npz, json, onnx or python; else what the path's ending says.
        """
        target = Path(path)
        if format is None and target.suffix not in FORMATS:
            raise InvalidInput(f"{target}: expected a file name that ends in {', '.join(FORMATS)}, or a format; got {target.suffix!r}")
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with (
                self._connection.download(self._weights_path, format=format or FORMATS[target.suffix], snapshot=snapshot) as response,
                part.open("wb") as file,
            ):
                for chunk in response.iter_bytes(1 << 20):
                    file.write(chunk)
            part.replace(target)
        except OSError as error:
            raise InvalidInput(f"{target}: cannot be written ({error.strerror})") from error
        finally:
            part.unlink(missing_ok=True)
        return target

    def predict(self, inputs: Mapping[str, Any] | Sequence[Any] | np.ndarray, snapshot: str | int = "best") -> Prediction:
        """What the trained network answers for `inputs`: columns by name, or rows in the order of `spec["inputs"]`."""
        import numpy as np

        sent: object
        if isinstance(inputs, Mapping):
            sent = {name: column_list(name, values) for name, values in inputs.items()}
        else:
            sent = column_list("inputs", inputs)
        response = self._connection.request("POST", f"/v1/jobs/{self.id}/predict", params={"snapshot": snapshot}, body={"inputs": sent})
        answer = self._connection.document(response)
        probabilities, labels = answer.get("probabilities"), answer.get("labels")
        return Prediction(
            np.asarray(answer["outputs"], dtype=np.float64),
            None if probabilities is None else np.asarray(probabilities, dtype=np.float64),
            None if labels is None else np.asarray(labels),
        )

    @property
    def _weights_path(self) -> str:
        return f"/v1/jobs/{self.id}/weights"

    def _look(self, wait_seconds: float) -> bool:
        """Fetch the job, hanging up to `wait_seconds` for a change; whether it is another than before."""
        headers = {}
        if wait_seconds > 0 and self._etag:
            headers = {"If-None-Match": self._etag, "Prefer": f"wait={int(wait_seconds)}"}
        response = self._connection.request(
            "GET", f"/v1/jobs/{self.id}", headers=headers, timeout_seconds=self._connection.timeout_seconds + wait_seconds
        )
        if response.status_code == 304:
            return False
        before, self.document = self.document, self._connection.document(response)
        self._etag = response.headers.get("etag")
        return before != self.document

    def _ask(self, action: str) -> Job:
        response = self._connection.request("POST", f"/v1/jobs/{self.id}/{action}")
        self.document = self._connection.document(response)
        self._etag = response.headers.get("etag")
        return self
