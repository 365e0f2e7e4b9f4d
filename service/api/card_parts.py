"""What stands in a model card, gathered from what is stored of a job, its data and a version. Nothing is made up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nncore.baseline import baseline
from nncore.formats import safetensors
from nncore.spec import ResolvedSpec
from service.api import signature
from service.api.answers import iso_time
from service.api.context import Context
from service.api.job_document import values
from service.api.known_columns import read_as
from service.api.model_versions import file_of
from service.api.snapshots import SnapshotFile, snapshot_file, training_of
from service.store import datasets, jobs, named_models, workers
from service.store.errors import NotFound
from service.store.jobs import JobDetail
from service.store.model_versions import VersionDetail
from service.store.models import Dataset, Job
from service.store.states import TERMINAL, State

MOST_ANCESTORS = 100
OF_JOBS = ("training", "data", "score", "limits", "environment")


def card_of_job(here: Context, tenant_id: str, job_id: str, snapshot: str) -> dict[str, Any]:
    """The card of parameters of a job. Raises NotFound, Refusal (404, 409)."""
    detail = training_of(jobs.get(here.store, tenant_id, job_id))
    found = snapshot_file(here, detail, snapshot)
    named: dict[str, Any] = {"job": job_id, "model": None, "version": None, "aliases": [], "imported": None}
    use = {"model_description": None, "version_description": None, "tags": detail.job.tags}
    card = _card(detail.job.name or job_id, named, found, use)
    card["unknown"].append("Intended use and licence: they are said in the description of a model; this is a job's network.")
    return _of_training(here, tenant_id, detail, found, card)


def card_of_version(here: Context, tenant_id: str, detail: VersionDetail) -> dict[str, Any]:
    """The card of a version of a model."""
    row = detail.row
    model = named_models.get(here.store, tenant_id, row.model).model
    named = {"job": row.job_id, "model": row.model, "version": row.version, "aliases": list(detail.aliases), "imported": row.imported}
    use = {"model_description": model.description, "version_description": row.description, "tags": model.tags}
    found = file_of(here, row)
    card = _card(f"{row.model}, version {row.version}", named, found, use)
    if model.description is None:
        card["unknown"].append("Intended use and licence: the model has no description.")
    if row.job_id is None:
        card["unknown"].append(
            "Training, data, scores, known limits and environment: the network was imported; no job here has trained it."
        )
        return card
    return _of_training(here, tenant_id, jobs.get(here.store, tenant_id, row.job_id), found, card)


def _card(title: str, named: dict[str, Any], found: SnapshotFile, use: dict[str, Any]) -> dict[str, Any]:
    """What every network says of itself."""
    described = safetensors.described(lambda start, stop: b"".join(found.read(start, stop)))
    scaling = described.target_preprocessing
    network = {
        **named,
        "step": found.step,
        "epoch": found.epoch,
        "digest": f"sha256:{found.digest}",
        "bytes": found.size_bytes,
        "definition": described.network.model_dump(mode="json", exclude_none=True),
        "input_shape": list(described.input_shape),
        "signature": signature.of_network(described),
        "preprocessing": [_step(step) for step in described.preprocessing],
        "target_preprocessing": None if scaling is None else scaling.type,
    }
    return {"title": title, "network": network, "use": use, **dict.fromkeys(OF_JOBS), "lineage": [], "unknown": []}


def _of_training(here: Context, tenant_id: str, detail: JobDetail, found: SnapshotFile, card: dict[str, Any]) -> dict[str, Any]:
    """The card with what the job knows."""
    job, unknown = detail.job, card["unknown"]
    spec = ResolvedSpec.model_validate(detail.spec)
    dataset = datasets.get(here.store, tenant_id, job.dataset_id, in_trash=True) if _is_there(here, tenant_id, job.dataset_id) else None
    if dataset is None:
        unknown.append("The data: the dataset was deleted; the baseline cannot be computed without it.")
    assessment = _assessment(here, tenant_id, detail, found, unknown)
    environment = None if job.fingerprint is None else workers.environment_of(here.store, job.fingerprint)
    if environment is None:
        unknown.append("The environment: no worker has said what its fingerprint is the digest of.")
    test = found.values.get("test")
    if test is None:
        unknown.append("A score on rows that no choice was made by: none were kept for a test, or it was not run on these parameters.")
    score = {
        **values(found.values),
        "tables": found.values.get("tables") or {},
        "test": test,
        "baseline": None if dataset is None else vars(baseline(spec, read_as(here, dataset, spec.target, spec.classes))),
        "assessment": assessment,
    }
    return card | {
        "training": _training(job, spec),
        "data": None if dataset is None else _data(dataset, spec),
        "score": score,
        "limits": None if assessment is None else assessment["findings"],
        "environment": environment and {"fingerprint": job.fingerprint, **environment, "dtype": spec.dtype},
        "lineage": list(_lineage(here, tenant_id, job)),
    }


def _assessment(here: Context, tenant_id: str, detail: JobDetail, found: SnapshotFile, unknown: list[str]) -> dict[str, Any] | None:
    """The assessment, where it is of these parameters."""
    told = jobs.assessment(here.store, tenant_id, detail.job.id)
    if told is None:
        unknown.append("Scores by class and group, what the inputs decide, and known limits: the job was not assessed.")
        return None
    best = next((row.digest for row in detail.snapshots if row.best), None)
    if best != found.digest:
        unknown.append("Scores by class and group, what the inputs decide, and known limits: the best parameters were assessed, not these.")
        return None
    return told


def _training(job: Job, spec: ResolvedSpec) -> dict[str, Any]:
    return {
        "state": job.state,
        "ended_because": _ended_because(job, spec),
        **spec.model_dump(mode="json", include={"optimizer", "loss", "batch_size", "accumulate", "augment", "early_stopping", "found"}),
        "max_seconds": spec.max_seconds,
        "seed": spec.seed,
        "epochs": job.epoch,
        "epochs_asked": job.epochs,
        "steps": job.step,
        "seconds": round(job.trained_seconds, 3),
        "started_at": iso_time(job.started_at),
        "finished_at": iso_time(job.finished_at),
    }


def _ended_because(job: Job, spec: ResolvedSpec) -> str | None:
    if job.state not in TERMINAL:
        return None
    if job.state != State.SUCCEEDED:
        return job.reason_message or f"it was {job.state} on request"
    if job.epoch >= job.epochs:
        return "all epochs were run"
    reasons = ["early_stopping"] * (spec.early_stopping is not None) + ["max_seconds"] * (spec.max_seconds is not None)
    return " or ".join(reasons) or "it converged"


def _data(dataset: Dataset, spec: ResolvedSpec) -> dict[str, Any]:
    names = {*spec.inputs, spec.target, spec.sample_weight, spec.group, spec.split_column}
    return {
        "dataset": dataset.id,
        "name": dataset.name,
        "digest": dataset.digest,
        "rows": dataset.rows,
        "columns": [column for column in dataset.columns if column["name"] in names],
        "split": {
            "training_rows": spec.sizes.training_rows,
            "validation_rows": spec.sizes.validation_rows,
            "test_rows": spec.sizes.test_rows,
            **spec.model_dump(mode="json", include={"group", "split_column", "fold"}),
        },
    }


def _lineage(here: Context, tenant_id: str, job: Job) -> Iterator[dict[str, Any]]:
    """What the job goes on from, and so on, as far as it goes."""
    for _ in range(MOST_ANCESTORS):
        parent = job.parent
        if parent is None:
            return
        row = None if parent["job"] is None else jobs.row(here.store, tenant_id, parent["job"])
        yield {
            "job": parent["job"],
            "model": parent.get("model"),
            "version": parent.get("version"),
            "step": parent["step"],
            "continues": parent["continues"],
            "preprocessing": parent.get("preprocessing"),
            "dataset_digest": None if row is None else _digest_of(here, tenant_id, row.dataset_id),
        }
        if row is None:
            return
        job = row


def _digest_of(here: Context, tenant_id: str, dataset_id: str) -> str | None:
    try:
        return datasets.get(here.store, tenant_id, dataset_id, in_trash=True).digest
    except NotFound:
        return None


def _is_there(here: Context, tenant_id: str, dataset_id: str) -> bool:
    return _digest_of(here, tenant_id, dataset_id) is not None


def _step(step: Any) -> dict[str, Any]:
    """A fitted step without its numbers: columns by name, and its options."""
    return {**{name: value for name, value in step.items() if name != "columns"}, "columns": list(step["columns"])}
