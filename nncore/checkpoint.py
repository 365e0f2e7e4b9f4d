"""Everything a trainer needs to continue bit for bit, as bytes. The same state gives the same bytes.

A state is a dict of arrays:

    parameters       (n,)                the parameter vector, and behind it running statistics
    optimizer        (n,)                what the optimizer remembers
    position         (2,) int64          updates applied, epochs completed
    shuffle          (6,) uint64         the shuffle's generator, as it was before the present epoch's order was drawn
    sums             (2,) float64        losses and rows of the present epoch
    best_parameters  (n,)                only when an epoch has ended
    spec             (32,) uint8         digest of what the state belongs to
    plateau          (4,) float64        only of reduce_on_plateau: factor, best loss, bad epochs, epochs of cooldown left
    search           (n,) float64        only of lbfgs: what it remembers beside its vectors
    seconds          (1,) float64        only with max_seconds: of training and evaluation so far
    since            (2,) float64        only with report_every_steps: what sums held at the last of those reports (see step_reports.py)
    about            (n,) uint8          JSON: the reports of the last and the best epoch end, the last epoch that early stopping took for
                                         better and its loss, the fitted preprocessing, of the target too

A start is parameters, position, sums and about, nothing else: a run that begins with it takes the parameters and nothing else.

The bytes are a mark, the sha256 of the rest, and a safetensors file of the arrays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from nncore.artifact import Artifact, artifact_of
from nncore.definition import Definition
from nncore.errors import CheckpointMismatch, InvalidFile

if TYPE_CHECKING:
    from nncore.spec import ResolvedSpec

State = dict[str, np.ndarray]

_OF_A_START = {"parameters", "position", "sums", "about"}

MARK = b"sankofa checkpoint 1\n"
DIGEST_BYTES = 32

_OPEN_TO_CHANGE = (
    "epochs",
    "early_stopping",
    "max_seconds",
    "metrics",
    "report_every_steps",
    "diagnostics",
    "found",
    "classes",
    "output_shape",
    "sizes",
)
"""Fields of a resolved spec that do not decide how the run goes, or are decided by the others."""


def encode(state: Mapping[str, np.ndarray]) -> bytes:
    """The state as bytes, canonical."""
    # safetensors writes strided arrays wrongly and without a word, so they are made contiguous first.
    arrays = {name: np.require(state[name], requirements="C") for name in sorted(state)}
    body = safetensors.numpy.save(arrays)
    return MARK + hashlib.sha256(body).digest() + body


def decode(content: bytes) -> State:
    """The state that `encode` wrote. Raises InvalidFile when a byte is missing or changed."""
    start = len(MARK) + DIGEST_BYTES
    body = content[start:]
    if content[: len(MARK)] != MARK:
        raise InvalidFile(f"not a checkpoint: expected it to begin with {MARK!r}, got {content[: len(MARK)]!r}; use another checkpoint")
    if content[len(MARK) : start] != hashlib.sha256(body).digest():
        raise InvalidFile("the checkpoint is damaged: its content does not have the digest it names; use an older checkpoint")
    try:
        return safetensors.numpy.load(body)
    except safetensors.SafetensorError as error:
        raise InvalidFile(f"the checkpoint cannot be read: {error}; use an older checkpoint") from error


def start(artifact: Artifact) -> State:
    """A state with which another run begins: the parameters of `artifact` at step 0, nothing of how they were found."""
    vectors = [values.ravel() for values in artifact.parameters.values()]
    content: dict[str, Any] = {"last": None, "best": None, "improved": None, "preprocessing": list(artifact.preprocessing)}
    content["target_preprocessing"] = artifact.target_preprocessing
    return {
        "parameters": np.concatenate(vectors) if vectors else np.zeros(0, artifact.dtype),
        "position": np.zeros(2, dtype=np.int64),
        "sums": np.zeros(2),
        "about": to_bytes_array(content),
    }


def is_start(state: Mapping[str, np.ndarray]) -> bool:
    """Whether it is a `start`, not a point of a run."""
    return state.keys() == _OF_A_START


def spec_digest(spec: ResolvedSpec, training_rows: int, validation_rows: int) -> np.ndarray:
    """(32,) uint8: names the run a state belongs to. Defaults are left out, so a field that a later version adds changes no digest.

    When it ends (epochs, early_stopping, max_seconds) is not in it: training further is the same run.
    """
    fields = {name: value for name, value in _without_defaults(spec).items() if name not in _OPEN_TO_CHANGE}
    content = [fields, training_rows, validation_rows]
    return np.frombuffer(hashlib.sha256(_canonical(content)).digest(), dtype=np.uint8)


def _without_defaults(part: Any) -> Any:
    """A part of a spec as JSON: its type, and the fields that differ from their defaults."""
    if isinstance(part, Definition):
        kept = [name for name, default in _defaults(type(part)).items() if name == "type" or getattr(part, name) != default]
        return {name: _without_defaults(getattr(part, name)) for name in kept}
    return [_without_defaults(each) for each in part] if isinstance(part, list) else part


@cache
def _defaults(kind: type[Definition]) -> dict[str, Any]:
    """What every field holds that nothing is said of. To be compared with, never changed."""
    return {name: field.get_default(call_default_factory=True) for name, field in kind.model_fields.items()}


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def to_bytes_array(content: Any) -> np.ndarray:
    """JSON as an array of uint8, canonical."""
    return np.frombuffer(_canonical(content), dtype=np.uint8)


def about(state: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The JSON inside a state: "last" and "best" (reports or None), "improved" (epoch and loss, or None), "preprocessing", ..."""
    try:
        content = json.loads(state["about"].tobytes())
    except (KeyError, ValueError) as error:
        raise CheckpointMismatch(f"the state does not say what it is about: {error!r}; use another checkpoint") from error
    return dict(content)


class Snapshot(NamedTuple):
    """Parameters for use, and what is known of them. loss: None before the first step, of the epoch so far within an epoch."""

    artifact: Artifact
    step: int
    epoch: int
    loss: float | None
    metrics: dict[str, float]
    validation_loss: float | None
    tables: dict[str, Any]


def in_use(spec: ResolvedSpec, learned: np.ndarray, optimizer_state: np.ndarray) -> np.ndarray:
    """What is evaluated and saved: the parameters, or their averages where the optimizer keeps them; running statistics behind."""
    if spec.optimizer.average_decay is None:
        return learned
    count = spec.sizes.parameters
    return np.concatenate([optimizer_state[:count], learned[count:]])


def artifact_from(spec: ResolvedSpec, state: Mapping[str, np.ndarray], which: Literal["best", "last"]) -> Snapshot:
    """The best or last parameters that a state holds, without a trainer. Without a best yet, the last."""
    content = about(state)
    if which == "best" and content["best"] is not None:
        report, vector = content["best"], state["best_parameters"]
    else:
        step, epoch = (int(number) for number in state["position"])
        loss_sum, row_sum = (float(number) for number in state["sums"])
        report = content["last"] or {"loss": None, "metrics": {}, "validation_loss": None}
        vector = state["parameters"] if is_start(state) else in_use(spec, state["parameters"], state["optimizer"])
        if row_sum > 0:  # within an epoch
            report = {"loss": loss_sum / row_sum, "metrics": {}, "validation_loss": None}
        report = report | {"step": step, "epoch": epoch}
    artifact = artifact_of(spec, content["preprocessing"], vector, content.get("target_preprocessing"))
    known = {name: report[name] for name in Snapshot._fields[1:-1]}
    return Snapshot(artifact, **known, tables=report.get("tables") or {})
