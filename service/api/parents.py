"""Jobs that go on from other jobs or from versions of models: what they inherit, from which parameters they start, and whether the run goes
on bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from nncore import checkpoint
from nncore.artifact import Artifact
from nncore.checkpoint import spec_digest
from nncore.errors import CheckpointMismatch, Fault, InvalidFile, InvalidSpec
from nncore.faults import short
from nncore.formats import safetensors
from nncore.spec import ResolvedSpec, TrainingSpec, faults_of
from service.api.context import Context
from service.api.parameters import ALIAS, MODEL, known_id, named
from service.api.problems import Refusal
from service.api.snapshots import training_of
from service.store import blobs, checkpoints, datasets, jobs, model_versions
from service.store.database import Store
from service.store.errors import NotFound
from service.store.jobs import JobDetail, Start
from service.store.models import Dataset
from service.store.states import TERMINAL, State

COMPUTED_AGAIN_SECONDS = 60.0  # a run that took no longer, and left no checkpoint, is gone through again from its beginning


def _step(given: Any) -> Any:
    if isinstance(given, bool) or not (isinstance(given, int) or given in ("best", "last")):
        expected = '"best", "last", or the number of a step'
        raise PydanticCustomError("wrong_type", "step: expected {expected}, got {got}", {"expected": expected, "got": short(given)})
    return given


Step = Annotated[Annotated[int, Field(ge=0, le=2**62)] | Literal["best", "last"], BeforeValidator(_step)]


class ParentBody(BaseModel):
    """What to go on from, and where: a job, or a version of a model."""

    model_config = ConfigDict(extra="forbid")

    job: str | None = Field(None, description="The job's id.")
    step: Step = Field("last", description="`last`, `best`, or a step of which the job has a snapshot or a checkpoint.")
    model: str | None = Field(None, description="In place of a job: the name of a model. Its newest version, unless told.")
    version: int | None = Field(None, ge=1, le=2**53, description="The version of the model.")
    alias: str | None = Field(None, description="Or the alias that stands for it.")
    preprocessing: Literal["kept", "fitted"] | None = Field(
        None,
        description="kept: the inputs are made as they were there, with the means, categories and scales that the parameters were trained "
        "with. fitted: anew, on the training rows. Default: kept, where inputs and steps are those of the parent.",
    )


@dataclass(frozen=True)
class Parent:
    """What another job goes on from, at a place that was found.

    called: how messages speak of it. asked: what was asked of its preprocessing. detail, dataset, spec: of the job that trained it; None
    of a network that was imported, which has no step either. version: the model and the number, where it was asked for by these.
    state: the newest checkpoint at or before that place, decoded, with its step and epoch; None where there is none.
    """

    called: str
    asked: ParentBody
    detail: JobDetail | None
    dataset: Dataset | None
    spec: ResolvedSpec | None
    which: str | int
    step: int | None
    epoch: int | None
    artifact: Callable[[], Artifact]  # the parameters at that place
    state: tuple[int, int, bytes] | None
    version: tuple[str, int] | None = None

    def inherited(self) -> dict[str, Any]:
        """What the body of a job need not say again."""
        if self.spec is None:
            return _told_by(self.artifact())
        fields = self.spec.model_dump(mode="json", include=set(TrainingSpec.model_fields))
        of_data = {} if self.dataset is None else {"dataset": self.dataset.id}
        return {**fields, **of_data, "epochs": self._epochs_left(self.spec)}

    def _epochs_left(self, spec: ResolvedSpec) -> int:
        """The epochs that the parent has not completed there; where it has, as many as it had."""
        left = spec.epochs - (self.epoch or 0)
        ended = self.detail is None or self.detail.job.state == State.SUCCEEDED
        return left if left > 0 and not ended and self.version is None else spec.epochs

    def goes_on_exactly(self, spec: ResolvedSpec, dataset: Dataset) -> bool:
        """Whether `spec` on `dataset` is the same run, but for its end, and all that is needed to continue it is there."""
        if self.version is not None or self.detail is None or self.dataset is None or self.spec is None:
            return False
        job, lineage = self.detail.job, self.detail.job.parent or {}
        if self.which == "best" or dataset.digest != self.dataset.digest:
            return False
        if self.asked.preprocessing == "fitted" and lineage.get("preprocessing") == "kept":
            return False
        if self.state is not None:
            return bool((_digest(spec) == checkpoint.decode(self.state[2]).get("spec", 0)).all())
        if job.trained_seconds > COMPUTED_AGAIN_SECONDS or lineage.get("from_checkpoint") is not None:
            return False
        return bool((_digest(spec) == _digest(self.spec)).all())

    def check(self, spec: ResolvedSpec, exactly: bool) -> None:
        """Raise InvalidSpec where `spec` cannot go on from here.

        Exactly: where the run has ended for another reason than its epochs, and would end for it again. Else: where the parameters are
        none of the network's, or its labels do not mean what they meant.
        """
        if not exactly:
            _check_fit(self, spec)
        elif self.detail and self.spec and self.detail.job.state == State.SUCCEEDED and (self.epoch or 0) < self.spec.epochs:
            _check_end(self.called, self.spec, spec)


def parent_of(here: Context, tenant_id: str, given: Any) -> Parent:
    """The parent that `given`, the member of a body, names. Raises InvalidSpec, NotFound, Refusal (404, 409)."""
    try:
        body = TypeAdapter(ParentBody).validate_python(given)
    except ValidationError as error:
        raise InvalidSpec(fault.under("/parent") for fault in faults_of(error, model=ParentBody)) from None
    if faults := list(_contradictions(body)):
        raise InvalidSpec(faults)
    if body.model is not None:
        return _of_version(here, tenant_id, body, body.model)
    detail = jobs.get(here.store, tenant_id, known_id("job", str(body.job)))
    job = training_of(detail).job
    if job.state == State.CANCELLED:
        raise Refusal(409, "no_snapshot", f"Job {job.id} was cancelled and kept nothing to go on from.", state=job.state)
    spec = ResolvedSpec.model_validate(detail.spec)
    dataset = datasets.get(here.store, tenant_id, job.dataset_id)
    make = partial(Parent, f"job {job.id}", body, detail, dataset, spec, body.step)
    for row in detail.snapshots:
        if body.step == row.step or (body.step == "best" and row.best) or (body.step == "last" and row.last):
            read = partial(_read, here.store, row.blob_id)
            return make(row.step, row.epoch, cache(read), checkpoints.newest(here.store, job.id, row.step))
    at = body.step if isinstance(body.step, int) else None
    found = checkpoints.newest(here.store, job.id, at)
    if found is None or (at is not None and found[0] != at):
        raise _nothing_there(here, detail, body.step)
    which: Literal["best", "last"] = "best" if body.step == "best" else "last"
    try:
        snapshot = checkpoint.artifact_from(spec, checkpoint.decode(found[2]), which)
    except (CheckpointMismatch, InvalidFile) as error:
        raise Refusal(409, "no_snapshot", f"The checkpoint of job {job.id} cannot be used: {error}", state=job.state) from error
    return make(snapshot.step, snapshot.epoch, lambda: snapshot.artifact, found)


def _contradictions(body: ParentBody) -> Iterator[Fault]:
    """What cannot be said together."""
    if body.job is None and body.model is None:
        yield Fault("/parent/job", "missing", "parent: expected a job, or a model; got neither", "the id of a job", "nothing")
    if body.job is not None and body.model is not None:
        yield Fault("/parent/model", "two_parents", "parent: expected a job or a model, got both; leave one out", "one of them", "both")
    if body.model is None:
        for name in ("version", "alias"):
            if getattr(body, name) is not None:
                yield Fault(f"/parent/{name}", "no_model", f"parent: {name} goes with a model; name it, or leave {name} out")
    elif "step" in body.model_fields_set:
        yield Fault("/parent/step", "step_of_version", "parent: a version of a model has one step; leave step out")
    if body.version is not None and body.alias is not None:
        yield Fault("/parent/alias", "two_versions", "parent: expected an alias or a version, got both", "one of them", "both")


def _of_version(here: Context, tenant_id: str, body: ParentBody, model: str) -> Parent:
    """The version of a model as a parent."""
    which = body.version or (None if body.alias is None else named("alias", ALIAS, body.alias))
    row = model_versions.get(here.store, tenant_id, named("model", MODEL, model), which).row
    read = cache(partial(_read, here.store, row.blob_id))
    detail = dataset = spec = None
    if row.job_id is not None:
        detail = jobs.get(here.store, tenant_id, row.job_id)
        with suppress(NotFound):  # a version needs nothing of its job
            dataset = datasets.get(here.store, tenant_id, detail.job.dataset_id, in_trash=True)
        spec = ResolvedSpec.model_validate(detail.spec)
    called = f"{row.model}@{row.version}"
    return Parent(called, body, detail, dataset, spec, "version", row.step, row.epoch, read, None, (row.model, row.version))


def lineage(parent: Parent, spec: ResolvedSpec, exactly: bool, *, kept: bool) -> dict[str, Any]:
    """What a job says of its parent. kept: whether the preprocessing is that of the parent."""
    from_checkpoint = 0 if not exactly else None if parent.state is None else parent.state[0]
    model, version = parent.version or (None, None)
    return {
        "job": None if parent.detail is None else parent.detail.job.id,
        "model": model,
        "version": version,
        "step": parent.step,
        "epoch": parent.epoch,
        "continues": "exactly" if exactly else "parameters",
        "preprocessing": "kept" if kept else "fitted",
        "further_epochs": spec.epochs - ((parent.epoch or 0) if exactly else 0),
        "from_checkpoint": from_checkpoint,
    }


def start_of(here: Context, parent: Parent, exactly: bool) -> Start | None:
    """What a job begins with, its bytes written, for `create` to name; None where it begins with its seed."""
    if not exactly:
        step, epoch, data = 0, 0, checkpoint.encode(checkpoint.start(parent.artifact()))
    elif parent.state is None:
        return None
    else:
        step, epoch, data = parent.state
    return Start(step, epoch, hashlib.sha256(data).hexdigest(), len(data), blobs.write(here.store, [data]))


def _told_by(artifact: Artifact) -> dict[str, Any]:
    """What a network says itself of how it was trained, where no job knows more."""
    target = artifact.target_preprocessing
    return {
        "network": artifact.network.model_dump(mode="json", exclude_none=True),
        "inputs": list(artifact.input_names),
        "target": artifact.target,
        "loss": {"type": artifact.loss},
        "dtype": artifact.dtype,
        "preprocess": [{**step, "columns": list(step["columns"])} for step in artifact.preprocessing],
        "preprocess_target": None if target is None else {"type": target["type"]},
    }


def _check_end(of: str, before: ResolvedSpec, spec: ResolvedSpec) -> None:
    faults = []
    if spec.early_stopping is not None and spec.early_stopping == before.early_stopping:
        patience = spec.early_stopping.patience
        message = f"{of} was stopped early, and would be again at once; send early_stopping null, or a patience above {patience:,}"
        faults.append(Fault("/early_stopping", "ends_at_once", message, f"null, or a patience above {patience:,}", f"{patience:,}"))
    if spec.max_seconds is not None and spec.max_seconds == before.max_seconds and spec.early_stopping is None:
        message = f"{of} used up its {spec.max_seconds:g} s, and these count on; send a larger max_seconds, or null"
        faults.append(Fault("/max_seconds", "ends_at_once", message, f"null, or more than {spec.max_seconds:g}", f"{spec.max_seconds:g}"))
    if faults:
        raise InvalidSpec(faults)


def _check_fit(parent: Parent, spec: ResolvedSpec) -> None:
    faults, of, artifact = [], parent.called, parent.artifact()
    expected = {info.name: info.shape for info in spec.network.parameters(spec.input_shape)}
    found = {name: values.shape for name, values in artifact.parameters.items()}
    if expected != found:
        name = next(name for name in [*expected, *found] if expected.get(name) != found.get(name))
        wanted, got = (f"{name} of shape {list(shapes[name])}" if name in shapes else f"no {name}" for shapes in (expected, found))
        message = (
            f"the parameters of {of} do not fit: the network here has {wanted}, there {got}; leave network and inputs as they are there"
        )
        faults.append(Fault("/network", "parameters_mismatch", message, wanted, got))
    known = None if artifact.classes is None else list(artifact.classes)
    if spec.classes != known:
        wanted, got = short(known), short(spec.classes)
        message = f"{of} tells {wanted} apart, but the target {short(spec.target)} has {got}; send data with the same classes"
        faults.append(Fault("/target", "other_classes", message, wanted, got))
    if faults:
        raise InvalidSpec(faults)


def _read(store: Store, blob_id: str) -> Artifact:
    return safetensors.read(b"".join(blobs.read(store, blob_id)))


def _digest(spec: ResolvedSpec) -> np.ndarray[Any, Any]:
    return spec_digest(spec, spec.sizes.training_rows, spec.sizes.validation_rows)


def _nothing_there(here: Context, detail: JobDetail, which: str | int) -> Exception:
    job = detail.job
    steps = sorted({*(row.step for row in detail.snapshots), *checkpoints.steps(here.store, job.id)})
    if steps:
        listed = ", ".join(map(str, steps))
        return Refusal(404, "no_such_snapshot", f"Job {job.id} kept nothing of step {which}. It has: best, last, {listed}.")
    kept = "kept no parameters" if job.state in TERMINAL else "has no parameters yet; try again when it has trained for some seconds"
    return Refusal(409, "no_snapshot", f"Job {job.id} is {job.state} and {kept}.", state=job.state)
