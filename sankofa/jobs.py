"""A job as a caller sees it: what it is doing, what can be asked of it, and what came out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sankofa.columns import column_list
from sankofa.connection import Connection
from sankofa.curve import Curve
from sankofa.datasets import Dataset, Datasets, Table
from sankofa.errors import JobCancelled, JobFailed, WaitTimeout
from sankofa.events import Event, follow_events
from sankofa.trained import Prediction, Trained

if TYPE_CHECKING:
    import numpy as np
    import torch

# How long one long poll may hang; the service cuts longer ones at 60 s.
POLL_SECONDS = 30
# A service that answers long polls at once is not asked more often than this.
LEAST_POLL_SECONDS = 0.05


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
    def kind(self) -> str:
        """What it does: train, predict, ..."""
        return str(self.document.get("kind", "train"))

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
                waited = round(timeout_seconds or 0.0, 1) or timeout_seconds
                raise WaitTimeout(f"job {self.id} is {self.state} after {waited:g} s, at {self.fraction:.0%}; it goes on")
            asked = time.monotonic()
            changed = self._look(wait_seconds=left)
            if not self.terminal:
                time.sleep(max(0.0, LEAST_POLL_SECONDS - (time.monotonic() - asked)))
        if check and self.state == "failed":
            raise JobFailed(self)
        if check and self.state == "cancelled":
            raise JobCancelled(self)
        return self

    def watch(self, timeout_seconds: float | None = None, *, check: bool = True) -> Job:
        """`wait` in front of a person: the curve as it grows, in a terminal above a bar, in a notebook as a chart; else lines on stderr.

        Interrupted, it ends; the job goes on. Raises as `wait` does.
        """
        from sankofa.progress import watch

        return watch(self, timeout_seconds).wait(0, check=check)

    def result(self, timeout_seconds: float | None = None) -> dict[str, Any]:
        """What came out, after waiting for it: the `best` and the `last` snapshot's step, epoch, loss, validation_loss and metrics.

        Each is None where there is none. `test`: rows, loss and metrics of the rows that were kept for the end, where there are any.
        Raises as `wait` does.
        """
        return dict(self.wait(timeout_seconds).document.get("result") or {"best": None, "last": None})

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
        """Change the `name`, `tags`, `priority` or `deadline` ("2026-01-31T12:00:00Z"); returns the same object.

        Raises Conflict when another changed them meanwhile.
        """
        headers = {"If-Match": f'"{self.document["revision"]}"'}
        response = self._connection.request("PATCH", f"/v1/jobs/{self.id}", body=values, headers=headers)
        self.document = self._connection.document(response)
        self._etag = response.headers.get("etag")
        return self

    def metrics(self, after_step: int | None = None, max_points: int | None = None) -> list[dict[str, Any]]:
        """One entry per report: step, epoch, epoch_ended, loss, recent_loss, validation_loss, metrics.

        max_points: no more than so many, evenly spaced over all there are.
        """
        return list(self._connection.pages(f"/v1/jobs/{self.id}/metrics", after_step=after_step, max_points=max_points))

    def curve(self, max_points: int = 1000) -> Curve:
        """How it learns: loss and metrics, report after report, of at most so many, evenly spaced. Printed, it is drawn."""
        return Curve.of(self.metrics(max_points=max_points))

    def log(self) -> list[Event]:
        """What happened to the job until now, oldest first; `events` goes on with what happens."""
        found = self._connection.pages(f"/v1/jobs/{self.id}/events")
        return [Event(event["type"], event["data"], event["at"], str(event["seq"])) for event in found]

    def events(self, after: str | None = None) -> Iterator[Event]:
        """What happened to the job, and what happens, until its end. A broken stream is taken up where it broke.

        after: the `id` of the last event that was seen.
        """
        return follow_events(self._connection, self.id, after)

    def snapshots(self) -> list[dict[str, Any]]:
        """The saved parameters: step, epoch, best, last, loss, metrics, bytes."""
        return list(self._connection.pages(f"/v1/jobs/{self.id}/snapshots"))

    def history(self) -> dict[str, Any]:
        """Where its time went: `seconds` in each state, `claims`, how often a worker was `lost`, and every stay in `data`.

        Of a job of more than a thousand stays `data` holds the first thousand.
        """
        return dict(self._connection.get(f"/v1/jobs/{self.id}/history"))

    def delete(self) -> int:
        """Delete the job, which must have ended, with all it left; answers the bytes that frees. Raises Conflict."""
        response = self._connection.request("DELETE", f"/v1/jobs/{self.id}")
        return int(self._connection.document(response)["freed_bytes"])

    def audit(self, group: str | None = None) -> dict[str, Any]:
        """What in its data would teach it wrong priorities, with its own target and split: `findings`, the worst first.

        group: a column that names whom a row belongs to; else the job's.
        """
        return dict(self._connection.get(f"/v1/jobs/{self.id}/audit", group=group))

    def split(self) -> dict[str, Any]:
        """`training_rows`: how many rows it is trained on; `validation_rows`, `test_rows`: the numbers of those it never is."""
        return dict(self._connection.get(f"/v1/jobs/{self.id}/split"))

    def assessment(self) -> dict[str, Any]:
        """What the best parameters are worth: `parts` by class and by group, `influences` of the inputs, `findings` about the data.

        Raises Conflict before the job has ended, and where it has none.
        """
        return dict(self._connection.get(f"/v1/jobs/{self.id}/assessment"))

    def card(self, snapshot: str | int = "best") -> dict[str, Any]:
        """What the network is, what it was trained on and is worth, its known limits: a model card. Raises Conflict while there is none."""
        return self.trained(snapshot).card()

    def card_text(self, snapshot: str | int = "best") -> str:
        """The same as Markdown."""
        return self.trained(snapshot).card_text()

    def weights(self, snapshot: str | int = "best") -> dict[str, np.ndarray]:
        """The trained parameters by name ("0.weight" (out, in), "0.bias", ...), as a torch.nn.Sequential would name them.

        snapshot: "best", "last" or a step of `snapshots()`. Raises Conflict while there is none.
        """
        return self.trained(snapshot).weights()

    def to_torch(self, snapshot: str | int = "best", *, preprocessing: bool = True) -> torch.nn.Sequential:
        """The trained network as a torch.nn.Module with its weights, in use; `.train()` lets it learn on. Needs PyTorch.

        It answers what `predict` calls `outputs`. preprocessing: whether the job's fitted steps stand around it, so that it takes inputs
        as they were uploaded, several columns side by side; without them its parameters are named as in `weights`.
        Raises InvalidInput where torch is not installed or has no equal.
        """
        from sankofa.in_torch import torch_module

        return torch_module(self.weights_file(snapshot=snapshot), preprocessing=preprocessing)

    def weights_file(self, format: str = "safetensors", snapshot: str | int = "best") -> bytes:
        """The file of the trained parameters: safetensors, npz, json, onnx or python."""
        return self.trained(snapshot).file(format)

    def download(self, path: str | os.PathLike[str], format: str | None = None, snapshot: str | int = "best") -> Path:
        """Write the trained parameters to a file; returns its path. The file appears whole or not at all.

        format: safetensors, npz, json, onnx or python; else what the path's ending says.
        """
        return self.trained(snapshot).download(path, format)

    def predict(self, inputs: Any, snapshot: str | int = "best") -> Prediction:
        """What the trained network answers for `inputs`: columns by name, a frame, rows in the order of its inputs, a file, a dataset.

        As `Trained.predict` takes them. For many rows `predict_all` makes a job of it.
        """
        return self.trained(snapshot).predict(inputs)

    def trained(self, snapshot: str | int = "best") -> Trained:
        """What it has learned, for use. snapshot: "best", "last" or a step of `snapshots()`."""
        return Trained(self._connection, f"/v1/jobs/{self.id}", lambda: list(self.spec["inputs"]), snapshot=snapshot)

    def predict_all(
        self,
        data: Dataset | Table | None = None,
        snapshot: str | int = "best",
        *,
        missing: Literal["refuse", "allow"] = "refuse",
        **options: Any,
    ) -> Job:
        """Queue a job that answers for every row of `data` (without: of what the network was trained on), and return it.

        data: a Dataset, the id of one, or what `datasets.upload` takes, as does missing. options: name, tags, priority. When it has
        ended, its `predictions()` are the answers.
        """
        dataset = None if data is None else Datasets(self._connection).id_of(data, missing=missing)
        body = {"dataset": dataset, "snapshot": str(snapshot), **options}
        response = self._connection.request("POST", f"/v1/jobs/{self.id}/predictions", body=body)
        return Job(self._connection, self._connection.document(response), response.headers.get("etag"))

    def predictions(self) -> Prediction:
        """The answers of a job that `predict_all` made, a row for each of its dataset; so far, while it goes on. Raises Conflict."""
        import io

        import numpy as np

        with np.load(io.BytesIO(self.predictions_file("npz")), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        classes = found.get("classes")
        known = None if classes is None else classes.tolist()
        return Prediction(found["outputs"], found.get("probabilities"), found.get("labels"), known)

    def predictions_file(self, format: str = "csv") -> bytes:
        """The same as a file: csv or npz."""
        return self._connection.request("GET", f"/v1/jobs/{self.id}/predictions", params={"format": format}).content

    def explain(
        self,
        type: str,
        *,
        data: Dataset | Table | None = None,
        snapshot: str | int = "best",
        run: str = "auto",
        timeout_seconds: float | None = None,
        **question: Any,
    ) -> dict[str, Any]:
        """What the trained network says to a question; where that takes long, a job answers it, which is waited for.

        type: permutation_importance, input_gradients, layer_activations, maximal_input, loss_line, loss_plane or gradient_check. question:
        what it takes, see docs/explain.md. data: of what is asked of rows, as in `predict_all`. run: "auto", "now" or "job".
        Raises InvalidRequest, WaitTimeout, JobFailed.
        """
        told = {"snapshot": str(snapshot), "run": run}
        return explained(self._connection, f"/v1/jobs/{self.id}/explain", type, question, told, data, timeout_seconds)

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


def explained(
    connection: Connection,
    path: str,
    type: str,
    question: Mapping[str, Any],
    told: Mapping[str, Any],
    data: Dataset | Table | None,
    timeout_seconds: float | None,
    *,
    params: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The answer to a question that is asked at `path`, where a job gives it, after waiting. told: what else the body says."""
    asked = dict(question)
    if isinstance(inputs := asked.get("inputs"), Mapping):
        asked["inputs"] = {name: column_list(name, values, may_miss=True) for name, values in inputs.items()}
    body: dict[str, Any] = {"explain": {"type": type, **asked}, **told}
    if data is not None:
        body["dataset"] = Datasets(connection).id_of(data)
    response = connection.request("POST", path, params=params, body=body)
    document = connection.document(response)
    if response.status_code == 200:
        return dict(document)
    job = Job(connection, document, response.headers.get("etag")).wait(timeout_seconds)
    return dict(connection.get(f"/v1/jobs/{job.id}/explanation"))
