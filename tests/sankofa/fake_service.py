"""A service of scripted answers behind httpx2's WSGITransport: what it was asked is kept, what it answers is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

from sankofa import Client
from sankofa.connection import Connection


@dataclass
class Request:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """An answer to give; `body` is JSON unless it is bytes or an iterator of bytes."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Unplugged(Exception):
    """Told instead of an answer: the connection breaks."""


class FakeService:
    """Answers in the order told, or by a function of the request."""

    def __init__(self, *answers: Answer | Unplugged | Callable[[Request], Answer]) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []
        self.slept: list[float] = []

    def connection(self, api_key: str | None = "secret", **options: Any) -> Connection:
        return Connection("http://service.example", api_key, transport=self.transport(), sleep=self.slept.append, **options)

    def client(self) -> Client:
        client = Client("http://service.example", "secret", transport=self.transport())
        client._connection._sleep = self.slept.append
        return client

    def transport(self) -> httpx2.BaseTransport:
        return _Transport(self)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        request = Request(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            dict(httpx2.QueryParams(environ["QUERY_STRING"])),
            {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
            | {"content-type": environ.get("CONTENT_TYPE", "")},
            environ["wsgi.input"].read(),
        )
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Unplugged):
            raise answer
        if not isinstance(answer, Answer):
            answer = answer(request)
        kind = "application/problem+json" if answer.status >= 400 else "application/json"
        body = answer.body
        if not isinstance(body, bytes | Iterator):
            body = b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": kind, **answer.headers}
        start_response(f"{answer.status} told", list(headers.items()))
        return [body] if isinstance(body, bytes) else body


class _Transport(httpx2.WSGITransport):
    """WSGITransport, with Unplugged as a connection that breaks."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return super().handle_request(request)
        except Unplugged as error:
            raise httpx2.ConnectError("connection refused") from error


def problem(status: int, code: str = "some_code", headers: dict[str, str] | None = None, **more: Any) -> Answer:
    document = {"type": "about:blank", "title": "No", "status": status, "detail": "because", "code": code, "request_id": "req_1", **more}
    return Answer(status, document, headers or {})


def job_document(state: str = "running", **more: Any) -> dict[str, Any]:
    return {
        "id": "job_1",
        "kind": "train",
        "name": None,
        "state": state,
        "terminal": state in {"succeeded", "failed", "stopped", "cancelled"},
        "allowed_actions": ["cancel"],
        "reason": None,
        "progress": {"fraction": 0.5, "epoch": 5, "epochs": 10, "step": 50, "steps": 100, "loss": 0.25, "metrics": {}},
        "result": None,
        "spec": {"inputs": ["x"]},
        **more,
    }


DATASET = {
    "id": "ds_1",
    "name": "xor",
    "digest": "sha256:0",
    "rows": 4,
    "bytes": 48,
    "columns": [{"name": "x"}, {"name": "y"}],
    "created_at": "2025-01-01T00:00:00Z",
}


def sse(*events: tuple[str, str, dict[str, Any]], broken: bool = False) -> Answer:
    """A stream as the service sends it: (id, type, data); history in an envelope, reports and progress without one."""

    def body() -> Iterator[bytes]:
        yield b"retry: 1000\n\n: heartbeat\n\n"
        for position, kind, data in events:
            document = (
                {"seq": int(position.partition(".")[0]), "type": kind, "at": "2025-01-01T00:00:00Z", "data": data}
                if kind == "state"
                else data
            )
            yield (f"id: {position}\n" if position else "").encode() + f"event: {kind}\ndata: {json.dumps(document)}\n\n".encode()
        if broken:
            raise httpx2.ReadError("connection reset")

    return Answer(200, body(), {"content-type": "text/event-stream"})
