"""Jobs that go on from others: what they inherit, from which parameters they start, and whether the run goes on bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
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
from service.api.parameters import known_id
from service.api.problems import Refusal
from service.store import blobs, checkpoints, datasets, jobs
from service.store.database import Store
from service.store.jobs import JobDetail, Start
from service.store.models import Dataset
from service.store.states import TERMINAL, State

COMPUTED_AGAIN_SECONDS = 60.0  # a run that took no longer, and left no checkpoint, is gone through again from its beginning


def _step(given: Any) -> Any:
    if isinstance(given, bool) or not (isinstance(given, int) or given in ("best", "last")):
        expected = '"best", "last", or the number of a step'
        raise PydanticCustomError("wrong_type", "step: expected {expected}, got {got}", {"expected": expected, "got": short(given)})
    return given


class ParentBody(BaseModel):
    """The job to go on from, and where."""

    model_config = ConfigDict(extra="forbid")

    job: str = Field(description="The job's id.")
    step: Annotated[
        Annotated[int, Field(ge=0, le=2**62)] | Literal["best", "last"],
        BeforeValidator(_step),
        Field(description="`last`, `best`, or a step of which the job has a snapshot or a checkpoint."),
    ] = "last"


@dataclass(frozen=True)
class Parent:
    """A job that another goes on from, at a place that was found.

    state: the newest checkpoint at or before that place, decoded, with its step and epoch; None where there is none.
    """

    detail: JobDetail
    dataset: Dataset
    spec: ResolvedSpec
    which: str | int
    step: int
    epoch: int
    artifact: Callable[[], Artifact]  # the parameters at that place
    state: tuple[int, int, bytes] | None

    @property
    def epochs_left(self) -> int:
        """The epochs that the parent has not completed there; where it has, as many as it had."""
        left = self.spec.epochs - self.epoch
        return left if left > 0 and self.detail.job.state != State.SUCCEEDED else self.spec.epochs

    def inherited(self) -> dict[str, Any]:
        """What the body of a job need not say again."""
        fields = self.spec.model_dump(mode="json", include=set(TrainingSpec.model_fields))
        return {**fields, "dataset": self.dataset.id, "epochs": self.epochs_left}

    def goes_on_exactly(self, spec: ResolvedSpec, dataset: Dataset) -> bool:
        """Whether `spec` on `dataset` is the same run, but for its end, and all that is needed to continue it is there."""
        job = self.detail.job
        if self.which == "best" or dataset.digest != self.dataset.digest:
            return False
        if self.state is not None:
            return bool((_digest(spec) == checkpoint.decode(self.state[2]).get("spec", 0)).all())
        if job.trained_seconds > COMPUTED_AGAIN_SECONDS or (job.parent or {}).get("from_checkpoint") is not None:
            return False
        return bool((_digest(spec) == _digest(self.spec)).all())

    def check(self, spec: ResolvedSpec, dataset: Dataset, exactly: bool) -> None:
        """Raise InvalidSpec where `spec` cannot go on from here.

        Exactly: where the run has ended for another reason than its epochs, and would end for it again. Else: where the parameters are
        none of the network's, or inputs and labels do not mean what they meant.
        """
        if not exactly:
            _check_fit(self, spec, dataset)
        elif self.detail.job.state == State.SUCCEEDED and self.epoch < self.spec.epochs:
            _check_end(self, spec)


def parent_of(here: Context, tenant_id: str, given: Any) -> Parent:
    """The parent that `given`, the member of a body, names. Raises InvalidSpec, NotFound, Refusal (404, 409)."""
    try:
        body = TypeAdapter(ParentBody).validate_python(given)
    except ValidationError as error:
        raise InvalidSpec(fault.under("/parent") for fault in faults_of(error, model=ParentBody)) from None
    detail = jobs.get(here.store, tenant_id, known_id("job", body.job))
    job = detail.job
    if job.state == State.CANCELLED:
        raise Refusal(409, "no_snapshot", f"Job {job.id} was cancelled and kept nothing to go on from.", state=job.state)
    spec = ResolvedSpec.model_validate(detail.spec)
    dataset = datasets.get(here.store, tenant_id, job.dataset_id)
    make = partial(Parent, detail, dataset, spec, body.step)
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


def lineage(parent: Parent, spec: ResolvedSpec, exactly: bool) -> dict[str, Any]:
    """What a job says of its parent."""
    from_checkpoint = 0 if not exactly else None if parent.state is None else parent.state[0]
    return {
        "job": parent.detail.job.id,
        "step": parent.step,
        "epoch": parent.epoch,
        "continues": "exactly" if exactly else "parameters",
        "further_epochs": spec.epochs - (parent.epoch if exactly else 0),
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


def _check_end(parent: Parent, spec: ResolvedSpec) -> None:
    of, faults = f"job {parent.detail.job.id}", []
    if spec.early_stopping is not None and spec.early_stopping == parent.spec.early_stopping:
        patience = spec.early_stopping.patience
        message = f"{of} was stopped early, and would be again at once; send early_stopping null, or a patience above {patience:,}"
        faults.append(Fault("/early_stopping", "ends_at_once", message, f"null, or a patience above {patience:,}", f"{patience:,}"))
    if spec.max_seconds is not None and spec.max_seconds == parent.spec.max_seconds and spec.early_stopping is None:
        message = f"{of} used up its {spec.max_seconds:g} s, and these count on; send a larger max_seconds, or null"
        faults.append(Fault("/max_seconds", "ends_at_once", message, f"null, or more than {spec.max_seconds:g}", f"{spec.max_seconds:g}"))
    if faults:
        raise InvalidSpec(faults)


def _check_fit(parent: Parent, spec: ResolvedSpec, dataset: Dataset) -> None:
    faults = []
    expected = {info.name: info.shape for info in spec.network.parameters(spec.input_shape)}
    found = {name: values.shape for name, values in parent.artifact().parameters.items()}
    of = f"job {parent.detail.job.id}"
    if expected != found:
        name = next(name for name in [*expected, *found] if expected.get(name) != found.get(name))
        wanted, got = (f"{name} of shape {list(shapes[name])}" if name in shapes else f"no {name}" for shapes in (expected, found))
        message = (
            f"the parameters of {of} do not fit: the network here has {wanted}, there {got}; leave network and inputs as they are there"
        )
        faults.append(Fault("/network", "parameters_mismatch", message, wanted, got))
    if spec.classes != parent.spec.classes:
        wanted, got = short(parent.spec.classes), short(spec.classes)
        message = f"{of} tells {wanted} apart, but the target {short(spec.target)} has {got}; send data with the same classes"
        faults.append(Fault("/target", "other_classes", message, wanted, got))
    texts, known = _categories(dataset), _categories(parent.dataset)
    for name, before in zip(spec.inputs, parent.spec.inputs, strict=False):
        if texts.get(name) != known.get(before):
            message = f"the input {short(name)} has other texts than {of} was trained on; send data with the same ones, or train anew"
            faults.append(Fault("/inputs", "other_categories", message))
    if faults:
        raise InvalidSpec(faults)


def _read(store: Store, blob_id: str) -> Artifact:
    return safetensors.read(b"".join(blobs.read(store, blob_id)))


def _categories(dataset: Dataset) -> Mapping[str, Any]:
    return {column["name"]: column.get("categories") for column in dataset.columns}


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
