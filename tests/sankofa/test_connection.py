"""Retries, keys and problem documents."""

from __future__ import annotations

import socket
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from sankofa import InvalidInput, Refused, Unreachable
from sankofa.address import find
from sankofa.connection import Connection
from sankofa.errors import BadRequest, Busy, Conflict, InvalidRequest, NotAllowed, NotFound, ServiceFault
from tests.sankofa.fake_service import Answer, FakeService, Unplugged, problem


@pytest.mark.parametrize("trouble", [Unplugged(), problem(503), problem(429), problem(502)])
def test_a_post_is_repeated_under_one_idempotency_key(trouble: Answer | Unplugged) -> None:
    service = FakeService(trouble, trouble, Answer(201, {"id": 1}))
    answer = service.connection().request("POST", "/v1/jobs", body={"a": 1})
    assert answer.json() == {"id": 1}
    assert [request.json for request in service.requests] == [{"a": 1}] * 3
    keys = {request.headers["idempotency-key"] for request in service.requests}
    assert len(keys) == 1
    assert len(keys.pop()) >= 32


def test_two_posts_have_two_keys() -> None:
    service = FakeService(Answer(201, {}), Answer(201, {}))
    connection = service.connection()
    connection.request("POST", "/v1/jobs")
    connection.request("POST", "/v1/jobs")
    assert service.requests[0].headers["idempotency-key"] != service.requests[1].headers["idempotency-key"]


def test_retry_after_is_honoured_in_both_forms() -> None:
    service = FakeService(
        problem(503, headers={"retry-after": "7"}), problem(429, headers={"retry-after": formatdate(time.time() + 20)}), Answer()
    )
    service.connection().request("GET", "/v1/jobs")
    assert 7.0 <= service.slept[0] <= 7.2
    assert 18.0 <= service.slept[1] <= 20.2


def test_delays_grow_and_end() -> None:
    service = FakeService(*[Unplugged()] * 6)
    with pytest.raises(Unreachable, match=r"cannot reach http://service\.example \(connection refused; tried 6 times"):
        service.connection().request("GET", "/v1/jobs")
    assert len(service.slept) == 5
    assert all(0.5 * 0.25 * 2**n <= delay <= 0.25 * 2**n for n, delay in enumerate(service.slept))


def test_a_service_that_asks_for_an_hour_is_not_waited_for() -> None:
    service = FakeService(problem(429, headers={"retry-after": "3600"}))
    with pytest.raises(Busy, match="come back in 3600 s"):
        service.connection().request("GET", "/v1/jobs")
    assert service.slept == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (401, NotAllowed),
        (403, NotAllowed),
        (404, NotFound),
        (409, Conflict),
        (413, BadRequest),
        (422, InvalidRequest),
        (500, ServiceFault),
    ],
)
def test_each_refusal_has_its_class_and_is_not_repeated(status: int, kind: type[Refused]) -> None:
    service = FakeService(problem(status))
    with pytest.raises(kind) as caught:
        service.connection().request("GET", "/v1/jobs")
    assert type(caught.value) is kind
    assert caught.value.problem.status == status
    assert caught.value.problem.code == "some_code"
    assert len(service.requests) == 1


def test_a_refusal_reads_well() -> None:
    errors = [
        {"pointer": "/network/layers/0/units", "code": "greater_than", "message": "must be at least 1", "expected": ">= 1", "got": "0"},
        {"pointer": "", "code": "missing", "message": "target is missing", "expected": None, "got": None},
    ]
    service = FakeService(problem(422, title="Invalid job", detail="2 faults", errors=errors))
    with pytest.raises(InvalidRequest) as caught:
        service.connection().request("POST", "/v1/jobs")
    assert str(caught.value) == (
        "Invalid job: 2 faults\n  /network/layers/0/units: must be at least 1; expected >= 1; got 0\n  (the whole body): target is missing"
    )


def test_what_was_expected_is_a_sentence_of_its_own_behind_one() -> None:
    errors = [
        {"pointer": "/target", "message": 'there is no column "lable". Did you mean "label"?', "expected": "a column", "got": "nosuch"},
        {"pointer": "/inputs", "message": "there is no such column.", "expected": "a column", "got": None},
    ]
    with pytest.raises(InvalidRequest) as caught:
        FakeService(problem(422, title="Invalid job", detail="2 faults", errors=errors)).connection().request("POST", "/v1/jobs")
    assert 'Did you mean "label"? Expected a column, got nosuch.\n' in str(caught.value)
    assert str(caught.value).endswith("there is no such column. Expected a column.")


def test_a_refusal_without_a_problem_document_is_still_one() -> None:
    service = FakeService(Answer(404, b"<html>nginx</html>", {"content-type": "text/html"}))
    with pytest.raises(NotFound, match="HTTP status 404"):
        service.connection().request("GET", "/v1/jobs")


def test_another_kind_of_server_is_noticed() -> None:
    service = FakeService(Answer(200, b"<html>hello</html>", {"content-type": "text/html"}))
    with pytest.raises(Unreachable, match="answered text/html where JSON was expected"):
        service.connection().get("/v1/jobs/1")


def test_a_missing_key_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SANKOFA_API_KEY", raising=False)
    service = FakeService(problem(401))
    with pytest.raises(NotAllowed, match=r"No key was sent\. Give it by SANKOFA_API_KEY"):
        service.connection(api_key=None).request("GET", "/v1/jobs")
    assert "authorization" not in service.requests[0].headers


def test_a_silent_service_is_unreachable_within_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_seconds=0.2, retries=1)
        with pytest.raises(Unreachable, match=r"timed out; tried 2 times.*sankofa serve"):
            connection.request("GET", "/v1/jobs")
        connection.close()


def test_url_and_key_come_from_arguments_then_environment_then_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SANKOFA_URL", "SANKOFA_API_KEY", "SANKOFA_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SANKOFA_DATA_DIR", str(tmp_path))
    assert find().url == "http://127.0.0.1:8000"
    assert find("http://127.0.0.1:8000").key is None
    (tmp_path / "key").write_text("from-file\n")
    assert [find(url).key for url in ("http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:1")] == ["from-file"] * 3
    assert find("https://sankofa.example").key is None, "a local key must not leave this machine"
    monkeypatch.setenv("SANKOFA_API_KEY", "from-environment")
    monkeypatch.setenv("SANKOFA_URL", "http://there.example/")
    assert find().url == "http://there.example"
    assert find("http://there.example").key == "from-environment"
    assert find("http://here.example").url == "http://here.example"
    assert find("http://there.example", "from-argument").key == "from-argument"


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "nonsense", "http://[::1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="expected http://HOST:PORT"):
        find(url)
