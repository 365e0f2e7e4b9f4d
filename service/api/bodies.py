"""Request bodies: read once, within a limit, as strict JSON."""

from __future__ import annotations

from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any, cast

import orjson
from flask import Request as FlaskRequest

from service.api.context import context
from service.api.problems import Refusal

IN_MEMORY_BYTES = 1 << 20  # a smaller upload needs no file


class Request(FlaskRequest):
    """A request whose JSON is refused with 400, 413 or 415 where it cannot be read."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """The object in the body. `force` and `silent` are ignored: what is wrong is said.

        Strict: UTF-8, no NaN or Infinity, no number beyond a double, not nested more than 1,024 deep. Of doubled names the last wins.
        """
        if not self.is_json:
            got = self.mimetype or "none"
            raise Refusal(415, "unsupported_media_type", f"Expected a body with Content-Type application/json, got {got}.")
        refuse_encoding(self)
        data = self.get_data(cache=cache)
        try:
            document = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, "malformed_json", f"The body is not JSON: {error.msg}, line {error.lineno} column {error.colno}.") from None
        if not isinstance(document, dict):
            raise Refusal(400, "not_an_object", "Expected a JSON object, { ... }, as the body.")
        return document

    def _get_file_stream(
        self, total_content_length: int | None, content_type: str | None, filename: str | None = None, content_length: int | None = None
    ) -> IO[bytes]:
        """Where werkzeug puts a file of a form."""
        return spool(context().settings.data_dir)


def spool(folder: Path) -> IO[bytes]:
    """A nameless file that is gone when it is closed."""
    return cast(IO[bytes], SpooledTemporaryFile(max_size=IN_MEMORY_BYTES, dir=str(folder)))


def refuse_encoding(request: FlaskRequest) -> None:
    """Refuse a body that is packed: what it unpacks to is not known before."""
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise Refusal(
            415, "unsupported_encoding", f"Expected a plain body, got Content-Encoding {encoding}.", headers={"Accept-Encoding": "identity"}
        )
