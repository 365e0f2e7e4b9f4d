"""/v1/jobs/{id}/weights: trained parameters as a file, in the format that the client reads."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import Any

import structlog
from flask import Response, request
from pydantic import Field

from nncore import formats
from nncore.errors import Fault
from nncore.formats import FORMATS, FormatName, safetensors
from service.api.authentication import actor, needs, tenant_id
from service.api.conditional import file_answer
from service.api.context import Context, context
from service.api.long_poll import IF_NONE_MATCH
from service.api.openapi import answer, blueprint, header_parameter, reads_headers, refusals
from service.api.parameters import JobPath, Parameters
from service.api.problems import Refusal, invalid_parameters
from service.api.snapshots import NO_SNAPSHOT, SNAPSHOT, SnapshotFile, snapshot_file
from service.store import audit, jobs
from service.store.audit import Actor
from service.store.database import Store
from service.store.errors import StoreError

logger = structlog.get_logger(__name__)
resource = blueprint("weights", "Trained parameters as files.", "/v1/jobs")

MEDIA_TYPES = {name: format.media_type for name, format in FORMATS.items()}
DEFAULT: FormatName = "safetensors"
RANGE = header_parameter("Range", "One range of bytes; an interrupted download goes on with it.")
IF_RANGE = header_parameter("If-Range", "The `ETag` of the file begun: of another file the whole is sent.")
HEADERS = {
    "ETag": "The sha256 of the file.",
    "Content-Disposition": "A name for the file.",
    "Sankofa-Step": "The step at which the parameters are; not of a network that was imported.",
    "Accept-Ranges": "bytes",
}
FILE = {"type": "string", "format": "binary"}
CONTENT = {kind: {"schema": {"type": "object"} if kind == "application/json" else FILE} for kind in MEDIA_TYPES.values()}
PART = {kind: {"schema": FILE} for kind in MEDIA_TYPES.values()}


ANSWERS: dict[Any, Any] = {
    200: answer(CONTENT, "The file.", headers=HEADERS),
    206: answer(PART, "The part of the file that was asked for.", headers=HEADERS),
    304: {"description": "The file is what `If-None-Match` says."},
    **refusals(_406="No format that is accepted.", _416="The file has no such part."),
}


class FormatQuery(Parameters):
    format: str | None = Field(None, description=f"{', '.join(FORMATS)}. Goes before `Accept`.", json_schema_extra={"enum": list(FORMATS)})


class WeightsQuery(FormatQuery):
    snapshot: str = SNAPSHOT


@resource.get("/<job_id>/weights", responses={**ANSWERS, **refusals(_404="There is no such job or snapshot.", **NO_SNAPSHOT)})
@reads_headers(IF_NONE_MATCH, RANGE, IF_RANGE)
@needs("read")
def get_job_weights(path: JobPath, query: WeightsQuery) -> Response:
    """Fetch trained parameters.

    safetensors, npz, json: names and layout are those of the equal torch.nn.Sequential: "0.weight" (out, in), "0.bias", "2.weight", ...
    onnx: a graph for any runtime, opset 15; `inputs` (batch, ...) go in, or `inputs.NAME` of each column where a step makes new features
    of one; `outputs` come out, or `logits` and `probabilities`. bag_of_words has no operator there and is refused. python: a script that
    needs numpy alone. The fitted preprocessing and the names of inputs and labels travel in every file.

    While a job runs or is paused it answers from its newest checkpoint. The same parameters give the same bytes.
    """
    here = context()
    detail = jobs.get(here.store, tenant_id(), path.job_id)
    found = snapshot_file(here, detail, query.snapshot)
    return weights_answer(here, found, query.format, filename=detail.job.name or detail.job.id, target=detail.job.id)


def weights_answer(here: Context, found: SnapshotFile, asked: str | None, *, filename: str, target: str, **said: Any) -> Response:
    """The file, or a part of it, in the format that is asked for; that it was sent is written to the audit log.

    filename: without its ending. target: whose parameters they are, as the log names it. said: what else it says. Raises Refusal: 406, 416.
    """
    format = _format(asked)
    size, digest, read = found.size_bytes, found.digest, found.read
    if format != DEFAULT:
        data = formats.write(safetensors.read(found.content()), format)
        size, digest, read = len(data), hashlib.sha256(data).hexdigest(), lambda start, stop: [data[start:stop]]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", filename).strip(".-") or target
    extension = FORMATS[format].extension.lstrip(".")
    response = file_answer(f'"{digest}"', size, read, media_type=MEDIA_TYPES[format], filename=f"{name}.{extension}")
    if found.step is not None:
        response.headers["Sankofa-Step"] = str(found.step)
    response.headers["Vary"] = "Accept"
    if request.method == "GET" and response.status_code in (200, 206):
        said |= {"format": format, "step": found.step, "bytes": response.content_length}
        response.call_on_close(partial(_record, here.store, actor(), target, tenant_id(), said))
    return response


def _record(store: Store, reader: Actor, target: str, owner: str, sent: dict[str, Any]) -> None:
    """Write who fetched the weights, when they have been sent."""
    try:
        audit.record_read(store, reader, "weights.read", target, owner, **sent)
    except StoreError as error:
        logger.error("not written to the audit log", action="weights.read", key=reader.key_id, target=target, error=str(error))


def _format(asked: str | None) -> FormatName:
    """The format that the client wants. Raises Refusal naming those there are."""
    named = next((name for name in FORMATS if name == asked), None)
    if named is not None:
        return named
    if asked is not None:
        message = f"There is no format {asked[:60]!r}; there are {', '.join(FORMATS)}."
        raise invalid_parameters([Fault("/format", "unknown_format", message, ", ".join(FORMATS), asked[:60])])
    if not request.accept_mimetypes:
        return DEFAULT
    ordered = [DEFAULT, *(name for name in FORMATS if name != DEFAULT)]
    accepted = request.accept_mimetypes.best_match([MEDIA_TYPES[name] for name in ordered])
    if accepted is None:
        available = list(MEDIA_TYPES.values())
        raise Refusal(406, "not_acceptable", f"There is {', '.join(available)}; or say ?format={'|'.join(FORMATS)}.", available=available)
    return next(name for name in ordered if MEDIA_TYPES[name] == accepted)
