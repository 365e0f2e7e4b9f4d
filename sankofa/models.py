"""Models of the service: trained networks under a name, version after version. Answers are the API's documents, as dictionaries."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from sankofa.connection import Connection
from sankofa.datasets import Dataset, Datasets, Table
from sankofa.errors import Conflict, InvalidInput
from sankofa.jobs import Job, explained
from sankofa.trained import Prediction, Trained

if TYPE_CHECKING:
    import numpy as np


class Models:
    """The models of a tenant: `client.models`.

    Where a version is to be named, `reference` is "digits@production" (what the alias stands for), "digits@3" or "digits" (the newest).
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self, name: str, description: str | None = None, *, tags: Mapping[str, Any] | None = None, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """A new model, without versions. Raises Conflict where there is one of this name."""
        return self._post("/v1/models", {"name": name, "description": description, "tags": dict(tags or {})}, idempotency_key)

    def list(self) -> Iterator[dict[str, Any]]:
        """Every model by its name."""
        return self._connection.pages("/v1/models")

    def get(self, name: str) -> dict[str, Any]:
        """A model: description, tags, newest_version, and in `aliases` what each stands for. Raises NotFound."""
        return dict(self._connection.get(_path(name)))

    def change(self, name: str, *, revision: int, **values: Any) -> dict[str, Any]:
        """The model with another `description` or other `tags`. revision: as it was read. Raises Conflict where it is another by now."""
        response = self._connection.request("PATCH", _path(name), body=values, headers={"If-Match": f'"{revision}"'})
        return dict(self._connection.document(response))

    def delete(self, name: str) -> int:
        """Delete a model and all its versions; the bytes that were freed. Raises Conflict while an alias stands for one of them."""
        return int(self._connection.document(self._connection.request("DELETE", _path(name)))["freed_bytes"])

    def add(
        self, name: str, job: Job | str, step: int | str = "best", *, description: str | None = None, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """What a job has learned, as the next version of a model: its number is in `version`. Raises NotFound, Conflict."""
        body = {"job": job.id if isinstance(job, Job) else job, "step": step, "description": description}
        return self._post(f"{_path(name)}/versions", body, idempotency_key)

    def import_file(
        self,
        name: str,
        file: str | os.PathLike[str] | bytes,
        definition: Mapping[str, Any] | None = None,
        *,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """A network from elsewhere, a safetensors or npz file, as the next version of a model: its number is in `version`.

        definition: what the tensors mean: `network`, and as much as is known of `inputs`, `input_shape`, `target`, `loss`, `classes`,
        `preprocessing`; a file that Sankofa wrote needs none. Raises InvalidRequest naming the tensor that does not fit.
        """
        called, data = ("network", file) if isinstance(file, bytes) else (Path(file).name, _read(Path(file)))
        parts = {"file": (called, data, "application/octet-stream")}
        if definition is not None:
            parts["definition"] = ("definition.json", json.dumps(dict(definition)).encode(), "application/json")
        if description is not None:
            parts["description"] = ("description.txt", description.encode(), "text/plain")
        path = f"{_path(name)}/versions"
        return dict(self._connection.document(self._connection.request("POST", path, files=parts, idempotency_key=idempotency_key)))

    def card(self, reference: str) -> dict[str, Any]:
        """The model card of a version: what it is, what it was trained on and is worth, its known limits. Raises NotFound."""
        return self.trained(reference).card()

    def card_text(self, reference: str) -> str:
        """The same as Markdown."""
        return self.trained(reference).card_text()

    def predict_all(
        self, reference: str, data: Dataset | Table | None = None, *, missing: Literal["refuse", "allow"] = "refuse", **options: Any
    ) -> Job:
        """Queue a job in which a version answers for every row of `data`, and return it. As `Job.predict_all`."""
        name, which = parts_of(reference)
        body = {"dataset": None if data is None else Datasets(self._connection).id_of(data, missing=missing), **options}
        response = self._connection.request("POST", f"{_path(name)}/predictions", params=which, body=body)
        return Job(self._connection, self._connection.document(response), response.headers.get("etag"))

    def explain(
        self,
        reference: str,
        type: str,
        *,
        data: Dataset | Table | None = None,
        run: str = "auto",
        timeout_seconds: float | None = None,
        **question: Any,
    ) -> dict[str, Any]:
        """What a version says to a question; of an imported one what is asked of rows names `data`. As `Job.explain`."""
        name, which = parts_of(reference)
        return explained(self._connection, f"{_path(name)}/explain", type, question, {"run": run}, data, timeout_seconds, params=which)

    def versions(self, name: str) -> Iterator[dict[str, Any]]:
        """Every version with its metrics, newest first."""
        return self._connection.pages(f"{_path(name)}/versions")

    def version(self, reference: str) -> dict[str, Any]:
        """A version: where it comes from, its digest, its metrics. Raises NotFound."""
        name, which = parts_of(reference)
        if not which:
            newest = next(self.versions(name), None)
            if newest is None:
                raise InvalidInput(f"the model {name} has no version yet; add one")
            return newest
        number = which["version"] if "version" in which else self.alias(name, which["alias"])["version"]
        return dict(self._connection.get(f"{_path(name)}/versions/{number}"))

    def delete_version(self, name: str, version: int) -> int:
        """Delete a version for good; the bytes that were freed. Raises Conflict while an alias stands for it."""
        return int(self._connection.document(self._connection.request("DELETE", f"{_path(name)}/versions/{version}"))["freed_bytes"])

    def alias(self, name: str, alias: str) -> dict[str, Any]:
        """What an alias stands for: `version`, and the `revision` that a move names. Raises NotFound."""
        return dict(self._connection.get(_path(name, alias)))

    def move(self, name: str, alias: str, version: int, *, revision: int | None = None) -> dict[str, Any]:
        """Let an alias stand for a version.

        revision: of the alias as it was read; None: there is no such alias yet. Raises Conflict where that is not so (any more).
        """
        headers = {"If-None-Match": "*"} if revision is None else {"If-Match": f'"{revision}"'}
        try:
            response = self._connection.request("PUT", _path(name, alias), body={"version": version}, headers=headers)
        except Conflict as refused:
            if (there := refused.problem.document.get("revision")) is None:
                raise
            known = "no such alias was expected" if revision is None else f"revision {revision} was expected"
            detail = f"The alias {alias} of {name} is there at revision {there}, and {known}."
            remedy = f"Look what it stands for, client.models.alias({name!r}, {alias!r}), and move it with revision={there}."
            raise Conflict(replace(refused.problem, detail=detail), remedy) from None
        return dict(self._connection.document(response))

    def delete_alias(self, name: str, alias: str, *, revision: int) -> None:
        """Let an alias stand for nothing any more. revision: as it was read. Raises Conflict where it is another by now."""
        self._connection.request("DELETE", _path(name, alias), headers={"If-Match": f'"{revision}"'})

    def history(self, name: str, alias: str) -> Iterator[dict[str, Any]]:
        """What an alias stood for, since when, and whose key moved it, newest first."""
        return self._connection.pages(f"{_path(name, alias)}/history")

    def weights(self, reference: str) -> dict[str, np.ndarray]:
        """The parameters of a version by name, as `Job.weights` gives them. Raises NotFound."""
        return self.trained(reference).weights()

    def weights_file(self, reference: str, format: str = "safetensors") -> bytes:
        """The file of a version: safetensors, npz, json, onnx or python."""
        return self.trained(reference).file(format)

    def download(self, reference: str, path: str | os.PathLike[str], format: str | None = None) -> Path:
        """Write the file of a version; as `Job.download`."""
        return self.trained(reference).download(path, format)

    def predict(self, reference: str, inputs: Any) -> Prediction:
        """What a version answers for `inputs`: columns by name, a frame, rows, a file, a dataset. As `Job.predict`."""
        return self.trained(reference).predict(inputs)

    def trained(self, reference: str) -> Trained:
        """The network of a version, for use."""
        name, which = parts_of(reference)
        return Trained(self._connection, _path(name), lambda: self._inputs(reference), **which)

    def _inputs(self, reference: str) -> Sequence[str]:
        """The columns that a version reads."""
        return [column["name"] for column in self.version(reference)["signature"]["inputs"]]

    def _post(self, path: str, body: dict[str, Any], idempotency_key: str | None) -> dict[str, Any]:
        return dict(self._connection.document(self._connection.request("POST", path, body=body, idempotency_key=idempotency_key)))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror})") from error


def is_model(source: str) -> bool:
    """Whether `source` names a model, or else a job: ids of jobs begin with job_, and no model is called so."""
    return not source.startswith("job_")


def parts_of(reference: str) -> tuple[str, dict[str, Any]]:
    """The name of a model, and what says which version: "digits@production", "digits@3", "digits"."""
    name, mark, which = reference.partition("@")
    if not name or (mark and not which):
        raise InvalidInput(f'expected the name of a model, as "digits", "digits@production" or "digits@3"; got {reference!r}')
    return name, {} if not which else {"version": int(which)} if which.isdecimal() else {"alias": which}


def _path(name: str, alias: str | None = None) -> str:
    path = f"/v1/models/{quote(name, safe='')}"
    return path if alias is None else f"{path}/aliases/{quote(alias, safe='')}"
