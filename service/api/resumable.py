"""/v1/uploads: files that arrive in parts, so that a connection that breaks costs no more than what was under way.

Offsets and headers are those of the tus protocol, version 1.0 (https://tus.io/protocols/resumable-upload), with its extensions creation,
expiration and termination: its clients send files here. What is made of them, `POST /v1/datasets` says.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from email.utils import formatdate
from typing import IO, Any

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nncore.errors import Fault
from nncore.spec import faults_of
from service.api import idempotency
from service.api.access_log import about
from service.api.answers import answer, encode, etag, iso_time
from service.api.authentication import needs, tenant_id
from service.api.bodies import refuse_encoding
from service.api.context import context
from service.api.openapi import blueprint, header_parameter, json_answer, json_body, reads_headers, refusals
from service.api.parameters import Page, UploadPath, cursor
from service.api.problems import Refusal, invalid
from service.store import blobs
from service.store import idempotency as keys
from service.store import uploads as stored
from service.store.database import Store
from service.store.errors import NotFound, WrongOffset
from service.store.idempotency import Created
from service.store.models import Upload

resource = blueprint("uploads", "Files that arrive in parts, of which datasets are made.", "/v1/uploads")

OCTETS = "application/octet-stream"  # the type that is documented: makers of clients know it
PART = "application/offset+octet-stream"  # of the protocol
TUS_VERSION = "1.0.0"
TUS_EXTENSIONS = "creation,expiration,termination"
SHA256 = r"^[0-9a-f]{64}$"
CREATE = {
    "checked": ("What has arrived is held against the sha256", {"bytes": 24, "sha256": "ab" * 32}),
    "unchecked": ("The size alone", {"bytes": 24}),
}
HEADERS = {
    "Upload-Offset": "How many bytes have arrived: where the next part begins.",
    "Upload-Length": "How many bytes the file has.",
    "Upload-Expires": "When it is dropped, unless a part arrives before.",
}
NO_UPLOAD = "There is no such upload."


class UploadBody(BaseModel):
    """A file that is to arrive in parts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    bytes: int = Field(ge=1, description="How many bytes it has.")
    sha256: str | None = Field(
        None, pattern=SHA256, description="Its sha256: a dataset is made of these bytes alone, and who sends the file again goes on."
    )


class UploadDocument(BaseModel):
    """A file that arrives in parts."""

    model_config = ConfigDict(extra="forbid", title="Upload")

    id: str
    bytes: int = Field(description="Of the whole file; they count as stored.")
    received_bytes: int = Field(description="How many have arrived: where the next part begins.")
    sha256: str | None
    part_bytes: int = Field(description="A good size for a part; any other is taken, too.")
    dataset: str | None = Field(description="What was made of it; its own bytes are gone then.")
    created_at: str
    expires_at: str = Field(description="When it is dropped, unless a part arrives before: within some minutes of it.")


class UploadList(BaseModel):
    """A page of uploads, newest first."""

    model_config = ConfigDict(extra="forbid")

    data: list[UploadDocument]
    next_cursor: str | None


class UploadsQuery(Page):
    cursor: str | None = cursor("upload")


@resource.after_request
def speak_tus(response: Response) -> Response:
    """Tell clients of the protocol that it is spoken here."""
    response.headers["Tus-Resumable"] = TUS_VERSION
    if request.method == "OPTIONS":
        response.headers["Tus-Version"] = TUS_VERSION
        response.headers["Tus-Extension"] = TUS_EXTENSIONS
        response.headers["Tus-Max-Size"] = str(context().settings.max_upload_bytes)
    return response


@resource.post(
    "",
    request_body=json_body(UploadBody, CREATE),
    responses={
        200: json_answer(
            UploadDocument, "This file is on its way already: go on where it stands.", headers={"Location": "Where it is.", **HEADERS}
        ),
        201: json_answer(UploadDocument, "The upload.", headers={"Location": "Where it is.", **HEADERS}),
        **refusals(
            _400="The body is not JSON.", _413="The file is larger than the server takes.", _415="The body is not application/json."
        ),
    },
)
@reads_headers(idempotency.HEADER)
@needs("write")
def create_upload() -> Response:
    """Begin an upload in parts.

    Send the file with `PATCH /v1/uploads/{id}`, in one part or many, then make a dataset of it with `POST /v1/datasets` and
    `{"upload": id}`. After a lost connection `GET` says where to go on. A file whose `sha256` is told and that is on its way already is
    not begun anew: the answer is 200 with the upload there is. tus clients send `Upload-Length` and no body.
    """
    here = context()
    body = _asked()
    if body.bytes > here.settings.max_upload_bytes:
        detail = f"The file has {body.bytes:,} bytes; the server takes up to {here.settings.max_upload_bytes:,} (SANKOFA_MAX_UPLOAD_BYTES)."
        raise Refusal(413, "too_large", detail)
    once = idempotency.once(hashlib.sha256(encode(body.model_dump())).hexdigest())
    if once and (made := keys.earlier(here.store, tenant_id(), once)):
        return _begun(made)
    if body.sha256 and (found := stored.with_content(here.store, tenant_id(), body.bytes, body.sha256)):
        about(upload_id=found.id)
        response = _shown(found)
        response.headers["Location"] = f"/v1/uploads/{found.id}"
        return response
    made = stored.create(here.store, tenant_id(), body.bytes, body.sha256, answer=lambda upload: encode(document(upload)), once=once)
    return _begun(made)


def _begun(made: Created) -> Response:
    about(upload_id=made.id)
    response = idempotency.created(made, 201, f"/v1/uploads/{made.id}")
    response.headers["Upload-Offset"] = "0"
    return response


@resource.get("", responses={200: json_answer(UploadList, "A page of uploads.")})
@needs("read")
def list_uploads(query: UploadsQuery) -> Response:
    """List the uploads in parts, newest first, also those of which a dataset was made, until their time is over."""
    found = stored.page(context().store, tenant_id(), limit=query.limit + 1, before=query.cursor)
    shown = found[: query.limit]
    following = shown[-1].id if len(found) > query.limit else None
    return answer(encode({"data": [document(upload) for upload in shown], "next_cursor": following}))


@resource.get(
    "/<upload_id>",
    responses={200: json_answer(UploadDocument, "The upload.", headers=HEADERS), **refusals(_404=NO_UPLOAD)},
)
@needs("read")
def get_upload(path: UploadPath) -> Response:
    """Say how much of an upload has arrived. HEAD says it in `Upload-Offset` alone."""
    return _shown(stored.get(context().store, tenant_id(), path.upload_id))


@resource.patch(
    "/<upload_id>",
    request_body={
        "required": True,
        "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}, "example": "a,b,c\n1,2,3\n4,5,6\n7,8,9"}},
    },
    responses={
        204: {
            "description": "The part has arrived.",
            "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in HEADERS.items()},
        },
        **refusals(
            _400="The body was cut off; what of it arrived is kept.",
            _404=NO_UPLOAD,
            _409="The upload stands elsewhere (`wrong_offset`): `received_bytes` and `Upload-Offset` say where.",
            _411="A part whose length is not said before.",
            _413="The part goes beyond the end of the file.",
            _415=f"The body is neither {OCTETS} nor {PART}.",
            _507="No room left.",
        ),
    },
)
@reads_headers(
    header_parameter(
        "Upload-Offset", "Where the part begins in the file.", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}, required=True
    )
)
@needs("write")
def append_to_upload(path: UploadPath) -> Response:
    """Send a part of a file: the body, whose first byte is the file's at `Upload-Offset`.

    What arrives is kept, also where the connection breaks in the midst of a part: ask where to go on and send the rest. A part that is
    sent again is refused with 409, which says where to go on. Of two who send at once, one gets 409; nothing is mixed up within a part.
    """
    here = context()
    upload = stored.get(here.store, tenant_id(), path.upload_id)
    offset, length = _part()
    if upload.received_bytes != offset:
        raise WrongOffset(upload.id, offset, upload.received_bytes)
    if offset + length > upload.bytes:
        detail = (
            f"The file has {upload.bytes:,} bytes, of which {offset:,} have arrived; this part of {length:,} goes beyond its end. Send the "
            "rest alone, or begin another upload if the file has become longer."
        )
        raise Refusal(413, "beyond_the_end", detail, headers={"Upload-Offset": str(offset)})
    request.max_content_length = upload.bytes
    while piece := request.stream.read(blobs.CHUNK_BYTES):
        offset = stored.append(here.store, tenant_id(), upload.id, offset, piece)
    response = Response(status=204)
    response.headers.update(_headers(stored.get(here.store, tenant_id(), upload.id)))
    return response


@resource.delete("/<upload_id>", responses={204: {"description": "It is gone, and its bytes with it."}, **refusals(_404=NO_UPLOAD)})
@needs("write")
def delete_upload(path: UploadPath) -> Response:
    """Drop an upload and what has arrived of it. A dataset that was made of it stays."""
    stored.delete(context().store, tenant_id(), path.upload_id)
    return Response(status=204)


def arrived(upload_id: str, file: IO[bytes]) -> Upload:
    """The tenant's upload, whose bytes are written into `file`; not those of one that has become a dataset.

    Raises Refusal: 409 while parts are missing; 422 where the bytes are not those that were announced, and drops them.
    """
    store = context().store
    upload = stored.get(store, tenant_id(), upload_id)
    if upload.dataset_id is None:
        try:
            _assemble(store, upload, file)
        except NotFound:  # another request may have made a dataset of it meanwhile
            upload = stored.get(store, tenant_id(), upload_id)
            if upload.dataset_id is None:
                raise
    return upload


def _assemble(store: Store, upload: Upload, file: IO[bytes]) -> None:
    if upload.received_bytes < upload.bytes:
        detail = (
            f"Of the {upload.bytes:,} bytes of the upload {upload.id} {upload.received_bytes:,} have arrived. Send the rest with PATCH "
            f"/v1/uploads/{upload.id} and Upload-Offset: {upload.received_bytes}."
        )
        raise Refusal(409, "upload_unfinished", detail, received_bytes=upload.received_bytes)
    sha256 = hashlib.sha256()
    for chunk in stored.read(store, upload):
        sha256.update(chunk)
        file.write(chunk)
    file.seek(0)
    if upload.sha256 not in (None, sha256.hexdigest()):
        stored.delete(store, upload.tenant_id, upload.id)
        told = "upload: its bytes are not those that were announced, and were dropped; did the file change on its way? Upload it again"
        raise invalid([Fault("/upload", "wrong_digest", told, f"sha256 {upload.sha256}", f"sha256 {sha256.hexdigest()}")])


def document(upload: Upload) -> dict[str, Any]:
    """The upload as the API shows it."""
    return {
        "id": upload.id,
        "bytes": upload.bytes,
        "received_bytes": upload.received_bytes,
        "sha256": upload.sha256,
        "part_bytes": stored.PART_BYTES,
        "dataset": upload.dataset_id,
        "created_at": iso_time(upload.created_at),
        "expires_at": iso_time(_expires_at(upload)),
    }


def _shown(upload: Upload) -> Response:
    body = encode(document(upload))
    response = answer(body, ETag=etag(body), Cache_Control="no-store")
    response.headers.update(_headers(upload))
    return response


def _headers(upload: Upload) -> dict[str, str]:
    """What clients of the protocol read."""
    return {
        "Upload-Offset": str(upload.received_bytes),
        "Upload-Length": str(upload.bytes),
        "Upload-Expires": formatdate(_expires_at(upload), usegmt=True),
    }


def _expires_at(upload: Upload) -> float:
    return upload.changed_at + context().settings.upload_retention_seconds


def _asked() -> UploadBody:
    """The upload that the request asks for: in its JSON, or in the headers of a tus client."""
    length = request.headers.get("Upload-Length")
    if length is None or request.content_length:
        given: dict[str, Any] = request.get_json()
    else:
        given = {"bytes": int(length) if re.fullmatch(r"[0-9]{1,18}", length) else length}
        pairs = [pair.split() for pair in request.headers.get("Upload-Metadata", "").split(",")]
        if packed := next((pair[1] for pair in pairs if len(pair) == 2 and pair[0] == "sha256"), None):  # other metadata says nothing here
            try:
                given["sha256"] = base64.b64decode(packed, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                given["sha256"] = packed
    try:
        return UploadBody.model_validate(given)
    except ValidationError as error:
        raise invalid(faults_of(error)) from None


def _part() -> tuple[int, int]:
    """Where the part in the current request begins, and how long it is. Raises Refusal."""
    if request.mimetype not in (OCTETS, PART):
        expected = f"{OCTETS} or {PART}"
        raise Refusal(415, "unsupported_media_type", f"Expected a body with Content-Type {expected}; got {request.mimetype or 'none'}.")
    refuse_encoding(request)
    text = request.headers.get("Upload-Offset", "")
    if not re.fullmatch(r"[0-9]{1,18}", text):
        expected = "Expected a header Upload-Offset, a whole number of bytes: where in the file this part begins"
        raise Refusal(400, "wrong_header", f"{expected}; got {text[:30]!r}.")
    if request.content_length is None:
        raise Refusal(411, "length_required", "Send Content-Length with a part: whether it fits is looked at before.")
    return int(text), request.content_length
