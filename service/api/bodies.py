"""Request bodies: read to their end, within a limit, as strict JSON.

A body that is cut off is never taken for a whole one: the server below gives no error when a client goes away, only fewer bytes.
"""

from __future__ import annotations

import gc
import io
from functools import cached_property
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

import orjson
from flask import Request as FlaskRequest
from werkzeug.exceptions import ClientDisconnected
from werkzeug.formparser import FormDataParser

from nncore.definition import MOST_FIELDS
from nncore.errors import Fault
from service.api.context import context
from service.api.problems import Refusal, invalid

IN_MEMORY_BYTES = 1 << 20  # a smaller upload needs no file
BLOCK_BYTES = 1 << 20


class Body(io.RawIOBase):
    """The bytes of a body.

    Refused with 413 at the first byte beyond `limit`. Raises ClientDisconnected when it ends before `length`. A body of
    unknown length (chunked) ends where the server says so.
    """

    def __init__(self, source: IO[bytes], length: int | None, limit: int) -> None:
        self._source = source
        self._length = length
        self._limit = limit
        self._taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = (self._limit + 1 if self._length is None else self._length) - self._taken
        data = self._source.read(min(len(buffer), left)) if left else b""
        self._taken += len(data)
        if self._taken > self._limit:
            raise _too_large(self._limit)
        if not data and self._length is not None and left:
            raise ClientDisconnected(f"The body ended after {self._taken:,} of {self._length:,} bytes.")
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(BLOCK_BYTES) or b"", b""))


class Request(FlaskRequest):
    """A request whose body is refused with 400, 413 or 415 where it cannot be read."""

    @cached_property
    def stream(self) -> IO[bytes]:
        """The body, to be read once."""
        limit = self.max_content_length
        assert limit is not None, "create_app sets MAX_CONTENT_LENGTH"
        length = self.content_length
        if length is not None and length > limit:
            raise _too_large(limit)
        if length is None and not self.environ.get("wsgi.input_terminated"):
            length = 0  # where it would end is not known
        return cast(IO[bytes], Body(self.environ["wsgi.input"], length, limit))

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """The object in the body. `force` and `silent` are ignored: what is wrong is said.

        Strict: UTF-8, no NaN or Infinity, no number beyond a double, not nested more than 1,024 deep. Of doubled names the last wins.
        """
        if not self.is_json:
            got = self.mimetype or "none"
            raise Refusal(415, "unsupported_media_type", f"Expected a body with Content-Type application/json, got {got}.")
        refuse_encoding(self)
        data = self.get_data(cache=cache)
        # Where a chunked body breaks off the server below tells nobody.
        cut = " It came in chunks, the last of which may be missing or malformed." if self.content_length is None else ""
        if not data:
            raise Refusal(400, "malformed_json", f"Expected a JSON object, {{ ... }}, as the body; it is empty.{cut}")
        try:
            document = _loads(data)
        except orjson.JSONDecodeError as error:
            detail = f"The body is not JSON: {error.msg}, line {error.lineno} column {error.colno}.{cut}"
            raise Refusal(400, "malformed_json", detail) from None
        if not isinstance(document, dict):
            raise Refusal(400, "not_an_object", "Expected a JSON object, { ... }, as the body.")
        if len(document) > MOST_FIELDS:  # before a fault is made for each
            most, got = f"at most {MOST_FIELDS} fields", f"{len(document):,}"
            raise invalid([Fault("", "too_many_fields", f"the body: expected {most}, got {got}", most, got)])
        return document

    def make_form_data_parser(self) -> FormDataParser:
        """One that does not pass over what it cannot read."""
        parser = super().make_form_data_parser()
        parser.silent = False
        return parser

    def _load_form_data(self) -> None:
        try:
            super()._load_form_data()
        except ValueError as error:
            detail = (
                "The form cannot be read to its end: a part without Content-Disposition, or no closing boundary (--BOUNDARY--, as the "
                "Content-Type names it). Was it cut off? Send it again."
            )
            raise Refusal(400, "malformed_form", detail) from error

    def _get_file_stream(
        self, total_content_length: int | None, content_type: str | None, filename: str | None = None, content_length: int | None = None
    ) -> IO[bytes]:
        """Where werkzeug puts a file of a form."""
        file = spool(context().settings.data_dir)
        self._spooled.append(file)
        return file

    @cached_property
    def _spooled(self) -> list[IO[bytes]]:
        return []

    def close(self) -> None:
        """Close what was opened for this request, also the files of a form that was refused half-way."""
        super().close()
        for file in self._spooled:
            file.close()


def _loads(data: bytes) -> Any:
    """What the JSON says. The collector of garbage rests meanwhile: it would look through millions of new lists time and again."""
    resting = gc.isenabled()
    gc.disable()
    try:
        return orjson.loads(data)
    finally:
        if resting:
            gc.enable()


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "too_large", f"The body is larger than the {limit:,} bytes that are taken here.")


def spool(folder: Path) -> IO[bytes]:
    """A nameless file that is gone when it is closed."""
    return cast(IO[bytes], SpooledTemporaryFile(max_size=IN_MEMORY_BYTES, dir=str(folder)))


def refuse_encoding(request: FlaskRequest) -> None:
    """Refuse a body that is packed: what it unpacks to is not known before."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        detail = f"Expected a plain body, got Content-Encoding {encoding}."
        raise Refusal(415, "unsupported_encoding", detail, headers={"Accept-Encoding": "identity"})
