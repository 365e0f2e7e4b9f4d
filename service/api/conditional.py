"""`Range`, `If-Range` and `If-None-Match` of a file that is sent from wherever it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flask import Response, request
from werkzeug.datastructures import Range
from werkzeug.http import parse_range_header

from service.api.answers import is_known, not_modified
from service.api.problems import Refusal


def file_answer(tag: str, size_bytes: int, read: Callable[[int, int], Iterable[bytes]], *, media_type: str, filename: str) -> Response:
    """The file, the part of it that was asked for (206), or 304. Raises Refusal (416) when it has no such part.

    tag: its entity tag. read: gives the bytes [start, stop). Of a request for several parts the whole is sent.
    """
    headers = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Disposition": f'attachment; filename="{filename}"'}
    if is_known(tag):
        response = not_modified(tag)
        response.headers.update(headers)
        return response
    start, stop, status = 0, size_bytes, 200
    asked = parse_range_header(request.headers.get("Range"))
    fresh = "If-Range" not in request.headers or request.headers["If-Range"] == tag
    if asked is not None and asked.units == "bytes" and len(asked.ranges) == 1 and fresh and request.method == "GET":
        found = _part(asked, size_bytes)
        if found is None:
            detail = f"The file has {size_bytes} bytes; the range asked for lies outside."
            raise Refusal(416, "range_not_satisfiable", detail, headers={"Content-Range": f"bytes */{size_bytes}"})
        (start, stop), status = found, 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size_bytes}"
    response = Response(() if request.method == "HEAD" else read(start, stop), status, content_type=media_type)
    response.headers.update(headers)
    response.content_length = stop - start
    return response


def _part(asked: Range, size_bytes: int) -> tuple[int, int] | None:
    """[start, stop) of what was asked for, or None where there is nothing. The last N bytes of a shorter file are all it has."""
    ((first, _),) = asked.ranges
    return (0, size_bytes) if first < -size_bytes else asked.range_for_length(size_bytes)
