"""A network that comes as a file: the parts of a form, received before anything is made of them, and read within limits."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

from flask import request
from pydantic import TypeAdapter, ValidationError

from nncore.artifact import Artifact
from nncore.errors import Fault, InvalidFile, InvalidSpec
from nncore.formats import importing
from nncore.formats.importing import MOST_HEADER_BYTES, NetworkDefinition
from nncore.spec import Limits, faults_of
from service.api.bodies import BLOCK_BYTES
from service.api.context import Context
from service.api.models import Description
from service.api.problems import invalid

PARTS = {"file", "definition", "description"}


@dataclass(frozen=True)
class Sent:
    """A file, what it was called, and the definition of what its tensors mean. digest: of all parts. file_digest: of the file."""

    file: IO[bytes]
    name: str | None
    bytes: int
    digest: str
    file_digest: str
    format: importing.FileFormat
    definition: NetworkDefinition | None
    description: str | None

    def read(self, limits: Limits) -> Artifact:
        """The network in it. Raises Refusal (422) with everything that is wrong; no memory is taken for a file that is too large."""
        try:
            most = importing.most_bytes(self.definition, limits)
            if self.bytes > most:
                of = "the network that is defined" if self.definition else "a network"
                message = f"the file is larger than {of} can be: expected at most {most:,} bytes, got {self.bytes:,}"
                raise invalid([Fault("/file", "too_large", message, f"at most {most:,} bytes", f"{self.bytes:,}")])
            self.file.seek(0)
            return importing.read(self.file.read(), self.definition, limits)
        except InvalidFile as error:
            raise invalid([Fault("/file", "invalid_file", str(error))]) from None
        except InvalidSpec as refused:
            prefix = "/file" if self.definition is None else "/definition"
            raise invalid(fault.under(prefix) for fault in refused.faults) from None

    def told(self) -> dict[str, Any]:
        """What is remembered of the file."""
        digest = f"sha256:{self.file_digest}"
        return {"file": self.name, "format": self.format, "digest": digest, "bytes": self.bytes, "described": self.definition is None}


@contextmanager
def sent_file(here: Context) -> Iterator[Sent]:
    """The parts of the form in the current request. Raises Refusal: 400, 413 or 422."""
    request.max_content_length = here.settings.max_upload_bytes
    faults = [
        Fault(f"/{part[:60]}", "unknown_part", f"there is no part {part[:60]!r} here; expected file, definition and description")
        for part in {str(name or "") for name in (*request.files, *request.form)} - PARTS  # a part may have no name
    ]
    if len(request.files.getlist("file")) != 1:
        message = "expected one part `file` that holds the network, with a file name"
        faults.append(Fault("/file", "missing_file", message, "one file", str(len(request.files.getlist("file")))))
    texts = {name: _text(name, faults) for name in ("definition", "description")}
    definition = None if texts["definition"] is None else _definition(texts["definition"], faults)
    try:
        TypeAdapter(Description | None).validate_python(texts["description"])
    except ValidationError as error:
        faults += faults_of(error, "/description")
    if faults:
        raise invalid(faults)
    sent = request.files["file"]
    with sent.stream as file:
        of_file = hashlib.sha256()
        while block := file.read(BLOCK_BYTES):
            of_file.update(block)
        size = file.tell()
        file.seek(0)
        digest = hashlib.sha256(repr((texts, of_file.hexdigest())).encode()).hexdigest()
        format = importing.format_of(file.read(2))
        yield Sent(file, _name(sent.filename), size, digest, of_file.hexdigest(), format, definition, texts["description"])


def _text(name: str, faults: list[Fault]) -> str | None:
    """A part that is text, however it was sent."""
    sent, files = request.form.getlist(name), request.files.getlist(name)
    if len(sent) + len(files) > 1:
        faults.append(Fault(f"/{name}", "doubled_part", f"expected one part `{name}`, got {len(sent) + len(files)}", "one part"))
    if sent:
        return sent[0]
    if not files:
        return None
    data = files[0].stream.read(MOST_HEADER_BYTES + 1)
    if len(data) > MOST_HEADER_BYTES:
        most = f"at most {MOST_HEADER_BYTES:,} bytes"
        faults.append(Fault(f"/{name}", "too_large", f"{name}: expected {most}", most))
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        faults.append(Fault(f"/{name}", "not_text", f"{name}: expected text in UTF-8", "UTF-8"))
        return None


def _definition(text: str, faults: list[Fault]) -> NetworkDefinition | None:
    try:
        return NetworkDefinition.model_validate(json.loads(text))
    except ValidationError as error:
        faults += faults_of(error, "/definition", NetworkDefinition)
    except (ValueError, RecursionError) as error:
        where = f"; line {error.lineno} column {error.colno} is no JSON" if isinstance(error, json.JSONDecodeError) else ""
        faults.append(Fault("/definition", "malformed_json", f"definition: expected a JSON object{where}", "a JSON object"))
    return None


def _name(filename: str | None) -> str | None:
    """What a file was called, without folders, as far as it can be printed."""
    name = PurePosixPath((filename or "").replace(os.sep, "/").replace("\\", "/")).name
    return "".join(character for character in name if character.isprintable())[:200] or None
