"""A large file goes in parts; where the connection breaks, it goes on where the service says, and says so."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sankofa import display, parts, sending
from sankofa.errors import Conflict, InvalidInput, Unreachable
from sankofa.parts import Parts, Watcher, send
from tests.sankofa.fake_service import DATASET, Answer, FakeService, Request, Unplugged, problem

CONTENT = bytes(range(100))
UPLOAD = {"id": "up_1", "bytes": 100, "received_bytes": 0, "part_bytes": 40}
DONE = Answer(204)


def wrong_offset(received: int) -> Answer:
    return problem(409, "wrong_offset", {"Upload-Offset": str(received)}, received_bytes=received)


class Kept(Watcher):
    """Keeps what it sees."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.went_on: list[int] = []

    def sent(self, at: int) -> None:
        self.seen.append(at)

    def resumed(self, at: int, why: str) -> None:
        assert why
        self.went_on.append(at)


def sends(*answers: Any, source: Path | bytes = CONTENT) -> tuple[list[Request], Kept, FakeService]:
    service, watcher = FakeService(Answer(201, UPLOAD), *answers), Kept()
    assert send(service.connection(), Parts(source), watcher) == "up_1"
    return service.requests, watcher, service


def parts_of(requests: list[Request]) -> list[tuple[str, bytes]]:
    return [(request.headers["upload-offset"], request.body) for request in requests if request.method == "PATCH"]


def test_a_file_goes_in_parts_of_the_size_that_the_service_likes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    for source in (CONTENT, path):
        requests, watcher, _ = sends(DONE, DONE, DONE, source=source)
        assert requests[0].json == {"bytes": 100, "sha256": hashlib.sha256(CONTENT).hexdigest()}
        assert parts_of(requests) == [("0", CONTENT[:40]), ("40", CONTENT[40:80]), ("80", CONTENT[80:])]
        assert (watcher.seen, watcher.went_on) == ([0, 40, 80, 100], [])


def test_a_broken_connection_goes_on_where_the_service_says() -> None:
    here = Answer(200, {**UPLOAD, "received_bytes": 47})
    requests, watcher, service = sends(DONE, Unplugged(), here, DONE, DONE)
    assert parts_of(requests) == [("0", CONTENT[:40]), ("40", CONTENT[40:80]), ("47", CONTENT[47:87]), ("87", CONTENT[87:])]
    assert watcher.went_on == [47]
    assert len(service.slept) == 1


def test_a_part_whose_answer_was_lost_is_not_sent_again() -> None:
    requests, watcher, _ = sends(DONE, wrong_offset(80), DONE)
    assert [offset for offset, _ in parts_of(requests)] == ["0", "40", "80"]
    assert watcher.went_on == [80]


def test_a_busy_service_is_given_time() -> None:
    requests, _, service = sends(problem(503, "busy"), Answer(200, UPLOAD), DONE, DONE, DONE)
    assert len(parts_of(requests)) == 4
    assert len(service.slept) == 1


def test_an_upload_that_was_begun_before_goes_on() -> None:
    service, watcher = FakeService(Answer(200, {**UPLOAD, "received_bytes": 90}), DONE), Kept()
    send(service.connection(), Parts(CONTENT), watcher)
    assert parts_of(service.requests) == [("90", CONTENT[90:])]
    assert (watcher.went_on, watcher.seen) == ([90], [90, 100])


def test_one_that_has_arrived_already_sends_nothing() -> None:
    service = FakeService(Answer(200, {**UPLOAD, "received_bytes": 100}))
    assert send(service.connection(), Parts(CONTENT), Watcher()) == "up_1"


def test_patience_ends_where_nothing_arrives_and_the_error_says_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(0, 10_000, 50))
    monkeypatch.setattr("sankofa.parts.time.monotonic", lambda: next(seconds))
    service = FakeService(Answer(201, UPLOAD), DONE, *[Unplugged(), Answer(200, {**UPLOAD, "received_bytes": 40})] * 5)
    with pytest.raises(Unreachable, match=r"40 of 100 bytes have arrived; upload the file again"):
        send(service.connection(), Parts(CONTENT), Watcher())
    assert len(service.requests) < 12


def test_what_the_service_refuses_is_not_sent_again() -> None:
    service = FakeService(Answer(201, UPLOAD), problem(409, "another"))
    with pytest.raises(Conflict):
        send(service.connection(), Parts(CONTENT), Watcher())


def test_a_file_that_becomes_shorter_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    source = Parts(path)
    path.write_bytes(CONTENT[:60])
    service = FakeService(Answer(201, UPLOAD), DONE, DONE)
    with pytest.raises(InvalidInput, match="ended at 60 of 100 bytes"):
        send(service.connection(), source, Watcher())


class TestUpload:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sankofa.datasets.PARTS_FROM_BYTES", 100)

    @pytest.mark.parametrize("kind", ["path", "bytes", "open"])
    def test_a_large_file_becomes_a_dataset_by_its_upload(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "rows.csv"
        path.write_bytes(CONTENT)
        table: Any = {"path": path, "bytes": CONTENT, "open": io.BytesIO(CONTENT)}[kind]
        service = FakeService(Answer(201, UPLOAD), DONE, DONE, DONE, Answer(201, DATASET))
        assert service.client().datasets.upload(table, name="rows", missing="allow").id == "ds_1"
        last = service.requests[-1]
        assert (last.path, last.json, last.query) == ("/v1/datasets", {"upload": "up_1"}, {"name": "rows", "missing": "allow"})

    def test_a_smaller_one_goes_as_it_is(self) -> None:
        service = FakeService(Answer(201, DATASET))
        service.client().datasets.upload(CONTENT[:99])
        assert [(request.path, request.body) for request in service.requests] == [("/v1/datasets", CONTENT[:99])]

    @pytest.mark.parametrize("progress", [None, False])
    def test_without_a_terminal_nothing_is_said(self, progress: bool | None, capsys: pytest.CaptureFixture[str]) -> None:
        service = FakeService(Answer(200, {**UPLOAD, "received_bytes": 60}), DONE, Answer(201, DATASET))
        service.client().datasets.upload(CONTENT, progress=progress)
        assert capsys.readouterr() == ("", "")

    def test_lines_are_said_where_they_are_asked_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        service = FakeService(Answer(200, {**UPLOAD, "received_bytes": 60}), DONE, Answer(201, DATASET))
        service.client().datasets.upload(CONTENT, name="rows", progress=True)
        out, err = capsys.readouterr()
        assert (out, err) == ("", "rows: went on at 60 bytes of 100 bytes: an earlier upload of this file had come so far\n")

    def test_a_terminal_shows_a_bar(self, monkeypatch: pytest.MonkeyPatch) -> None:
        file = io.StringIO()
        console = Console(file=file, force_terminal=True, width=100, highlight=False)
        monkeypatch.setattr(display, "terminal_console", lambda: console)
        service = FakeService(Answer(201, UPLOAD), DONE, DONE, DONE, Answer(201, DATASET))
        service.client().datasets.upload(CONTENT, name="rows")
        assert "100 bytes of 100 bytes" in file.getvalue()
        assert "100 bytes sent; the service reads it" in file.getvalue()

    def test_a_notebook_shows_one_line_that_changes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        put: list[Any] = []
        monkeypatch.setattr(sending, "is_notebook", lambda: True)
        monkeypatch.setattr(sending, "update_in_place", lambda: put.append)
        service = FakeService(Answer(201, UPLOAD), DONE, DONE, DONE, Answer(201, DATASET))
        service.client().datasets.upload(CONTENT, name="rows")
        assert put[0] == {"text/plain": "rows    0%  0 bytes of 100 bytes"}
        assert put[-1] == {"text/plain": "rows  100%  100 bytes sent; the service reads it"}


def test_rate_and_time_left_are_those_of_the_last_seconds() -> None:
    now = 0.0
    shown: list[tuple[float, str]] = []
    progress = sending.Progress(1_000_000_000, lambda fraction, text: shown.append((fraction, text)), lambda _: None, clock=lambda: now)
    for second in range(11):
        now = float(second)
        progress.sent(second * 1_000_000 if second < 5 else second * 10_000_000)
    assert shown[0] == (0.0, "0 bytes of 1.0 GB")
    assert shown[2][1] == "2.0 MB of 1.0 GB  1.0 MB/s  16:38 min left"
    assert shown[-1] == (0.1, "100.0 MB of 1.0 GB  10.0 MB/s  90 s left")
    progress.sent(50_000_000)
    assert shown[-1] == (0.1, "100.0 MB of 1.0 GB  10.0 MB/s  90 s left"), "too soon after the last look"


def test_parts_are_no_larger_than_what_goes_as_a_whole() -> None:
    assert parts.BLOCK_BYTES < parts.PARTS_FROM_BYTES
