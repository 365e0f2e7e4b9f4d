"""The way in: a client of one Sankofa service.

client = Client()                                   # as arguments, environment, ~/.config/sankofa/config.toml or this machine say
job = client.train([{"type": "dense", "units": 32, "activation": "relu"}, {"type": "dense", "units": 10}],
                   "digits.csv", "label", epochs=30, validation={"fraction": 0.2})
job.wait().weights()["0.weight"]                    # a numpy array
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

import httpx2

from sankofa.administration import Keys, Tenants
from sankofa.columns import column_list, is_array, is_series
from sankofa.connection import Connection, quoted
from sankofa.cross_validations import CrossValidation
from sankofa.datasets import Dataset, Datasets, Table
from sankofa.errors import InvalidInput
from sankofa.jobs import Job
from sankofa.models import Models, is_model, parts_of
from sankofa.webhooks import Webhooks

Layers = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class TrainingOptions(TypedDict, total=False):
    """What a job may be told beyond network, data and target; what is left out, the service chooses and says in `job.spec`."""

    inputs: list[str] | None
    sample_weight: str | None
    loss: Mapping[str, Any] | None
    optimizer: Mapping[str, Any]
    batch_size: int | Literal["auto"]
    epochs: int | Literal["auto"]
    accumulate: int
    max_seconds: float | None
    seed: int | None
    shuffle: bool
    dtype: Literal["float32", "float64"]
    validation: Mapping[str, Any] | None
    test: Mapping[str, Any] | None
    fold: Mapping[str, int] | None
    group: str | None
    split_column: str | None
    early_stopping: Mapping[str, Any] | None
    preprocess: list[Mapping[str, Any]]
    preprocess_target: Mapping[str, Any] | None
    augment: list[Mapping[str, Any]]
    report_every_steps: int | None
    diagnostics: bool
    metrics: list[str] | None
    name: str
    tags: Any
    priority: int
    deadline: str  # 2026-01-31T12:00:00Z


class Client:
    """A client of one service. May be used by several threads; close it, or use it in a `with`, to give its sockets back."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        profile: str | None = None,
        timeout_seconds: float = 30.0,
        retries: int = 5,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """Connects at the first request.

        url: else `SANKOFA_URL`, else the configuration file's, else http://127.0.0.1:8000. api_key: else `SANKOFA_API_KEY`, else the
        configuration file's, else, on this machine, the key file. profile: a service of the configuration file (see address.py).
        timeout_seconds: longest silence of the service on one request. retries: how often a request is made again when the service
        cannot be reached or answers 429 or 503, with growing delays.
        """
        self._connection = Connection(url, api_key, profile=profile, timeout_seconds=timeout_seconds, retries=retries, transport=transport)
        self.datasets = Datasets(self._connection)
        self.models = Models(self._connection)
        self.keys = Keys(self._connection)
        self.tenants = Tenants(self._connection)
        self.webhooks = Webhooks(self._connection)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __deepcopy__(self, memo: object) -> Client:
        """The same one: what holds a client and is copied, as scikit-learn copies estimators, goes on speaking through it."""
        return self

    def close(self) -> None:
        """Give the sockets back."""
        self._connection.close()

    @property
    def url(self) -> str:
        return self._connection.url

    def train(
        self,
        network: Layers,
        data: Dataset | Table,
        target: str,
        *,
        missing: Literal["refuse", "allow"] = "refuse",
        watch: bool = False,
        idempotency_key: str | None = None,
        **options: Unpack[TrainingOptions],
    ) -> Job:
        """Queue a training job and return it; `job.wait()` waits for its end, `job.watch()` shows how it goes.

        network: a list of layers, or {"layers": [...]}. data: a Dataset, the id of one ("ds_..."), or what `datasets.upload` takes.
        target: the column to be learnt. missing: as in `datasets.upload`. watch: do so at once, and return the job when it has ended.
        Raises InvalidRequest, with every fault of the spec at once; with `watch` also as `job.watch()` does.
        """
        _refuse_bare(data, target)
        layers = {"layers": list(network)} if isinstance(network, Sequence) else network
        spec = {"dataset": self.dataset_id(data, missing=missing), "target": target, "network": layers, **options}
        job = self.submit(spec, idempotency_key=idempotency_key)
        return job.watch() if watch else job

    def cross_validate(
        self,
        network: Layers,
        data: Dataset | Table,
        target: str,
        *,
        folds: int = 5,
        missing: Literal["refuse", "allow"] = "refuse",
        watch: bool = False,
        idempotency_key: str | None = None,
        **options: Unpack[TrainingOptions],
    ) -> CrossValidation:
        """Queue a training for each of several folds and return them as one; `wait()` or `watch()` it, then read its `summary`.

        Takes what `train` takes, but for `validation`, `fold` and `split_column`: each fold is held out once in their place.
        Raises InvalidRequest, with every fault of the spec at once; then nothing is queued.
        """
        _refuse_bare(data, target)
        layers = {"layers": list(network)} if isinstance(network, Sequence) else network
        spec = {"dataset": self.dataset_id(data, missing=missing), "target": target, "network": layers, "folds": folds, **options}
        found = self.submit_cross_validation(spec, idempotency_key=idempotency_key)
        return found.watch() if watch else found

    def submit_cross_validation(self, spec: Mapping[str, Any], *, idempotency_key: str | None = None) -> CrossValidation:
        """Queue the cross-validation that `spec` describes as the API takes it: dataset, target, network, folds, ..."""
        response = self._connection.request("POST", "/v1/cross_validations", body=dict(spec), idempotency_key=idempotency_key)
        return CrossValidation(self._connection, self._connection.document(response), response.headers.get("etag"))

    def cross_validation(self, cross_validation_id: str) -> CrossValidation:
        """The cross-validation with this id. Raises NotFound."""
        response = self._connection.request("GET", f"/v1/cross_validations/{quoted(cross_validation_id, 'a cross-validation')}")
        return CrossValidation(self._connection, self._connection.document(response), response.headers.get("etag"))

    def cross_validations(self) -> Iterator[dict[str, Any]]:
        """Every cross-validation, newest first, fetched page by page: id, name, dataset, folds, counts, terminal."""
        return self._connection.pages("/v1/cross_validations")

    def fork(
        self,
        job: Job | str,
        *,
        step: int | str = "last",
        data: Dataset | Table | None = None,
        missing: Literal["refuse", "allow"] = "refuse",
        network: Layers | None = None,
        preprocessing: Literal["kept", "fitted"] | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[TrainingOptions],
    ) -> Job:
        """Queue a job that goes on from another, or from a version of a model; both stay as they are. `epochs` are further ones.

        job: a Job, the id of one, or "digits@production". step: "last", "best", or one that the job kept; a version has one. data: other
        data, for fine-tuning; missing: as in `datasets.upload`. preprocessing: "kept", as the parent has fitted it, or "fitted" to the new
        data; else it is kept where inputs and steps are the same. All that is left out is as it was there. Where nothing but `epochs`,
        `early_stopping`, `max_seconds`, `metrics`, `report_every_steps`, `diagnostics`, `name`, `tags`, `priority` or `deadline` is told,
        the run goes on bit for bit; else one of its own begins with the parameters found there. `job.document["parent"]["continues"]`
        says which.
        Raises InvalidRequest where the network does not fit, Conflict where the job has no parameters.
        """
        parent: dict[str, Any]
        if isinstance(job, Job) or not is_model(job):
            parent = {"job": job.id if isinstance(job, Job) else job, "step": step}
        else:
            name, which = parts_of(job)
            parent = {"model": name, **which}
        if preprocessing is not None:
            parent["preprocessing"] = preprocessing
        spec: dict[str, Any] = {"parent": parent, **options}
        if data is not None:
            _refuse_bare(data, "y")
            spec["dataset"] = self.dataset_id(data, missing=missing)
        if network is not None:
            spec["network"] = {"layers": list(network)} if isinstance(network, Sequence) else network
        return self.submit(spec, idempotency_key=idempotency_key)

    def preflight(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """What the job that `spec` describes, as `submit` takes it, would be; nothing is queued.

        spec, parameters, memory_bytes, steps, estimate (how long it would take), baseline (the trivial answer's score, to be beaten),
        gradient_check and warnings. Raises InvalidRequest as `submit` does.
        """
        return dict(self._connection.document(self._connection.request("POST", "/v1/jobs/preflight", body=dict(spec))))

    def submit(self, spec: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Queue the job that `spec` describes as the API takes it: dataset, target, network, ..."""
        response = self._connection.request("POST", "/v1/jobs", body=dict(spec), idempotency_key=idempotency_key)
        return Job(self._connection, self._connection.document(response), response.headers.get("etag"))

    def job(self, job_id: str) -> Job:
        """The job with this id. Raises NotFound."""
        response = self._connection.request("GET", f"/v1/jobs/{quoted(job_id, 'a job')}")
        return Job(self._connection, self._connection.document(response), response.headers.get("etag"))

    def jobs(
        self,
        state: str | Sequence[str] | None = None,
        *,
        kind: str | Sequence[str] | None = None,
        name: str | None = None,
        dataset: str | None = None,
        cross_validation: str | None = None,
        tags: Mapping[str, Any] | None = None,
        tagged: Sequence[str] = (),
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
    ) -> Iterator[Job]:
        """Every job for which all that is told holds, newest first, fetched page by page.

        tagged: names of tags, whatever their values. created_after, created_before: at that time or later, and before it; a datetime
        without a zone is this machine's time.
        """
        wanted = [f"{tag}={value if isinstance(value, str) else json.dumps(value)}" for tag, value in (tags or {}).items()]
        made = {"created_after": _moment(created_after), "created_before": _moment(created_before)}
        tag = [*wanted, *tagged] or None
        of = {"state": state, "kind": kind, "name": name, "dataset": dataset, "cross_validation": cross_validation}
        found = self._connection.pages("/v1/jobs", **of, tag=tag, **made)
        return (Job(self._connection, document) for document in found)

    def compare(
        self, jobs: Sequence[Job | str], *, axis: Literal["epoch", "step"] = "epoch", max_points: int | None = None
    ) -> dict[str, Any]:
        """Two to twenty jobs side by side: `differences` of their specs, what came out of `jobs`, and `curves` over common `points`.

        Raises NotFound.
        """
        ids = [job.id if isinstance(job, Job) else job for job in jobs]
        return dict(self._connection.get("/v1/jobs/compare", job=ids, axis=axis, max_points=max_points))

    def request_all(
        self,
        action: str,
        *,
        state: Sequence[str] = (),
        kind: Sequence[str] = (),
        name: str | None = None,
        dataset: str | None = None,
        cross_validation: str | None = None,
        tags: Mapping[str, Any] | None = None,
        tagged: Sequence[str] = (),
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
    ) -> list[str]:
        """Ask every job for which all that is told holds to cancel, pause, resume or stop; the ids of those that it changed.

        The conditions are those of `jobs`; there must be one.
        """
        told: dict[str, Any] = {"state": list(state), "kind": list(kind), "name": name, "dataset": dataset, "tags": dict(tags or {})}
        told |= {
            "cross_validation": cross_validation,
            "tagged": list(tagged),
            "created_after": _moment(created_after),
            "created_before": _moment(created_before),
        }
        body = {"action": action, **{key: value for key, value in told.items() if value}}
        changed: list[str] = []
        while True:
            answer = self._connection.document(self._connection.request("POST", "/v1/jobs/actions", body=body))
            changed += answer["changed"]
            if not answer["more"]:
                return changed

    def request(self, job_id: str, action: str) -> Job:
        """Ask the job with this id to cancel, pause, resume or stop, without looking at it first. Raises NotFound, Conflict."""
        response = self._connection.request("POST", f"/v1/jobs/{quoted(job_id, 'a job')}/{action}")
        return Job(self._connection, self._connection.document(response), response.headers.get("etag"))

    def minimize(self, expression: str, start: Mapping[str, float], **options: Any) -> dict[str, Any]:
        """Where gradient descent on `expression` ends: `variables`, `value`, `best`, `stopped_because`, and the `path` that it went.

        start: a number for each variable. options: goal ("minimize" or "maximize"), optimizer, steps, tolerance, max_points.
        Raises InvalidRequest, which names the place in the expression.
        """
        body = {"expression": expression, "start": dict(start), **options}
        return dict(self._connection.document(self._connection.request("POST", "/v1/minimize", body=body)))

    def evaluate(self, network: Layers, inputs: Any) -> dict[str, Any]:
        """What a network with given weights computes, layer by layer: `outputs`, and per layer the sums, activations, contributions."""
        layers = {"layers": list(network)} if isinstance(network, Sequence) else network
        body = {"network": layers, "inputs": column_list("inputs", inputs)}
        return dict(self._connection.document(self._connection.request("POST", "/v1/networks/evaluate", body=body)))

    def usage(self, tenant: str | None = None) -> dict[str, Any]:
        """How much of its `quotas` your tenant has used, and which `key` is yours; of another `tenant` for the operator."""
        return dict(self._connection.get("/v1/usage", tenant=tenant))

    def audit(self, **filters: str) -> Iterator[dict[str, Any]]:
        """Who did what, newest first, fetched page by page. filters: tenant, key, action, target, since, until. Needs the scope admin."""
        return self._connection.pages("/v1/audit", **filters)

    def retention(self, what: Sequence[str] = (), *, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
        """What will be deleted, and when: `rules`, and in `data` what of yours they take next, soonest first.

        what: only these: checkpoints, dataset, upload, delivery. limit: at most so many, up to 500; cursor: the `next_cursor` before.
        """
        return dict(self._connection.get("/v1/retention", what=list(what) or None, limit=limit, cursor=cursor))

    def dataset_id(self, data: Dataset | Table, *, missing: Literal["refuse", "allow"] = "refuse") -> str:
        """The id of a dataset: of one that is given as such or by its id, else of `data`, which is uploaded."""
        return self.datasets.id_of(data, missing=missing)


def _refuse_bare(data: Any, target: str) -> None:
    """Raise InvalidInput for data that can have no target."""
    if is_array(data) or is_series(data) or isinstance(data, list):
        got = "a list" if isinstance(data, list) else f"an array of shape {tuple(data.shape)}"
        raise InvalidInput(f'data: expected inputs and a target by name, as {{"x": array, {target!r}: labels}}; got {got}')


def _moment(at: datetime | str | None) -> str | None:
    """A time as the API takes it, with its offset."""
    return (at if at.tzinfo else at.astimezone()).isoformat() if isinstance(at, datetime) else at
