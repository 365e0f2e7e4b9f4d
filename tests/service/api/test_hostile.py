"""Whatever is sent, the answer is a problem document that says what is wrong; never a 500, never a stack trace."""

from __future__ import annotations

import gc
import io
import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from service.store.errors import StoreError
from tests.service.api.conftest import KEY, Caller, Service

JSON = {"Content-Type": "application/json"}
CUT_FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na,b\n1,2\n3'
POSTS = [
    "/v1/datasets",
    "/v1/jobs",
    "/v1/networks/evaluate",
    f"/v1/jobs/job_{'0' * 26}/predict",
    "/v1/keys",
    f"/v1/keys/key_{'0' * 26}/rotate",
    "/v1/tenants",
    "/v1/webhooks",
    f"/v1/webhooks/wh_{'0' * 26}/rotate",
]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b'{"x": NaN}',
        b'{"x": Infinity}',
        b'{"x": 1e999}',
        b'{"x": ' + b"1" * 5000 + b"}",
        b'{"x": "\\ud800"}',
        b'\xff\xfe{"x": 1}',
        b"[" * 50_000 + b"]" * 50_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"x": 1} {"y": 2}',
        b"{'x': 1}",
        b"[1, 2]",
        b'"text"',
        b"null",
        b"7",
        json.dumps(json.dumps({"columns": {"x": [1]}})).encode(),
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_what_is_not_a_json_object_is_400(api: Caller, path: str, body: bytes) -> None:
    response = api.post(path, data=body, headers=JSON)
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")
    assert response.json["code"] in ("malformed_json", "not_an_object")
    assert "Traceback" not in response.text


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("depth", [9, 200, 1000])
def test_json_that_is_nested_deep_is_refused_wherever_it_stands(api: Caller, path: str, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    for name in ("inputs", "columns", "network", "tags", "dataset"):
        for value in (deep, f'{{"x": {deep}}}'):
            assert api.post(path, data=f'{{"{name}": {value}}}', headers=JSON).status_code in (400, 404, 422)


def test_a_whole_spec_with_something_deep_in_it_is_refused(service: Service) -> None:
    deep = "[" * 1000 + "]" * 1000
    layer = {"type": "dense", "units": 1}
    specs = [
        {"tags": {"a": "DEEP"}},
        {"network": {"layers": "DEEP"}},
        {"network": {"layers": [{**layer, "weight": "DEEP"}]}},
        {"inputs": "DEEP"},
    ]
    for fields in specs:
        body = json.dumps(service.spec(**fields)).replace('"DEEP"', deep)
        assert service.api.post("/v1/jobs", data=body, headers=JSON).status_code in (400, 422)


@pytest.mark.parametrize("path", POSTS[1:])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/csv", "", "application/jsonx", "x" * 500])
def test_a_media_type_that_is_not_taken_is_415(api: Caller, path: str, kind: str) -> None:
    response = api.post(path, data=b"{}", headers={"Content-Type": kind})
    takes_text = path.endswith("/predict") and kind.startswith("text/")
    assert (response.status_code, response.json["code"]) == ((404, "not_found") if takes_text else (415, "unsupported_media_type"))


def test_packed_json_is_415(api: Caller) -> None:
    assert api.post("/v1/jobs", data=b"{}", headers={**JSON, "Content-Encoding": "gzip"}).status_code == 415


class Endless(io.RawIOBase):
    """A body that goes on as long as it is read."""

    def __init__(self) -> None:
        self.taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.taken += len(buffer)
        buffer[:] = b" " * len(buffer)
        return len(buffer)


def environment(body: Any, kind: str, length: int | None = None) -> dict[str, Any]:
    """What a server says of a request with this body; without a length it is chunked."""
    said = {"HTTP_TRANSFER_ENCODING": "chunked"} if length is None else {"CONTENT_LENGTH": str(length)}
    return {"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_TYPE": kind, **said}


def test_a_body_beyond_the_limit_is_413_and_not_read(service: Service) -> None:
    body = Endless()
    response = service.api.post("/v1/jobs", environ_overrides=environment(body, "application/json", 1 << 40))
    assert body.taken == 0
    assert (response.status_code, response.json["code"]) == (413, "too_large")
    assert f"{service.settings.max_json_bytes:,}" in response.json["detail"]
    size = service.settings.max_upload_bytes + 1
    assert service.api.post("/v1/datasets", environ_overrides=environment(body, "text/csv", size)).status_code == 413
    assert body.taken == 0


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_a_chunked_body_beyond_the_limit_is_413_and_no_more_of_it_is_read(service: Service, kind: str) -> None:
    body = Endless()
    response = service.api.post("/v1/datasets", environ_overrides=environment(body, kind))
    assert response.status_code == 413
    assert body.taken < 3 << 20


def test_a_chunked_body_within_the_limit_is_read_whole(service: Service) -> None:
    text = json.dumps({"columns": {"x": list(range(1000))}}).encode()
    response = service.api.post("/v1/datasets", environ_overrides=environment(io.BytesIO(text), "application/json"))
    assert (response.status_code, response.json["rows"]) == (201, 1000)


@pytest.mark.parametrize("kind", ["text/csv", "application/json", "multipart/form-data; boundary=x"])
def test_a_body_that_is_cut_off_makes_nothing(service: Service, kind: str) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' if "form" in kind else b""
    body = part + (b'{"columns": {"x": [1]}}' if "json" in kind else b"a,b\n1,2\n3,4\n")
    sent = environment(io.BytesIO(body), kind, len(body) + 50)
    response = service.api.post("/v1/datasets", headers={"Idempotency-Key": "k"}, environ_overrides=sent)
    assert response.status_code == 400
    assert service.api.get("/v1/datasets").json["data"] == []


def test_csv_of_unknown_length_is_refused_because_a_cut_would_not_show(service: Service) -> None:
    response = service.api.post("/v1/datasets", environ_overrides=environment(io.BytesIO(b"a\n1\n"), "text/csv"))
    assert (response.status_code, response.json["code"]) == (411, "length_required")


def test_a_form_of_many_parts_or_long_fields_is_refused(api: Caller) -> None:
    many = {f"part{number}": "x" for number in range(500)}
    for sent in (many | {"file": (io.BytesIO(b"a"), "a")}, {"name": "x" * 300_000, "file": (io.BytesIO(b"a\n1\n"), "a.csv")}):
        response = api.post("/v1/datasets", data=sent)
        assert response.status_code == 413
        assert response.json["detail"].startswith("The form has more than 16 parts, or more than 262,144 bytes in a part that is no file.")


@pytest.mark.parametrize("body", [CUT_FORM, CUT_FORM[:40], b"--x\r\n\r\na\r\n--x--\r\n"])
def test_a_form_that_is_cut_off_is_told_so(api: Caller, body: bytes) -> None:
    response = api.post("/v1/datasets", data=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (response.status_code, response.json["code"]) == (400, "malformed_form")
    assert "Was it cut off?" in response.json["detail"]


@pytest.mark.parametrize("path", ["/v1/datasets", "/v1/models/digits/versions"])
def test_a_part_without_a_name_is_one_that_is_not_known(api: Caller, path: str) -> None:
    assert api.post("/v1/models", json={"name": "digits"}).status_code == 201
    part = b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n"
    response = api.post(path, data=part, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert response.status_code == 422
    assert {error["code"] for error in response.json["errors"]} == {"unknown_part", "missing_file"}


def test_a_form_that_names_the_dataset_twice_is_refused(api: Caller) -> None:
    response = api.post("/v1/datasets", data={"name": ["one", "two"], "file": (io.BytesIO(b"a\n1\n"), "a.csv")})
    assert response.json["detail"] == "expected one part `name`, got 2"


@pytest.mark.parametrize("body", [b"", b'{"columns": {"x": [1'])
def test_a_chunked_body_that_breaks_off_is_told_so(service: Service, body: bytes) -> None:
    response = service.api.post("/v1/datasets", environ_overrides=environment(io.BytesIO(body), "application/json"))
    assert (response.status_code, response.json["code"]) == (400, "malformed_json")
    assert response.json["detail"].endswith("It came in chunks, the last of which may be missing or malformed.")


@pytest.mark.parametrize("path", ["/v1/networks/evaluate", "/v1/datasets"])
def test_a_body_of_a_hundred_thousand_fields_is_refused_before_each_is_looked_at(api: Caller, path: str) -> None:
    body = json.dumps({f"f{at}": 1 for at in range(50_000)})
    response = api.post(path, data=body, headers=JSON)
    assert (response.status_code, response.json["detail"]) == (422, "the body: expected at most 200 fields, got 50,000")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/jobs?limit=5&limit=6", "limit: expected one value, got 2"),
        (f"/v1/jobs/job_{'0' * 26}/weights?format=npz&format=json&format=npz", "format: expected one value, got 3"),
        (f"/v1/jobs?cursor=zz_{'0' * 26}", "cursor: expected text that matches ^job_"),
        (f"/v1/datasets?cursor=job_{'0' * 26}", "cursor: expected text that matches ^ds_"),
        (f"/v1/keys?cursor=job_{'0' * 26}", "cursor: expected text that matches ^key_"),
        (f"/v1/audit?cursor=job_{'0' * 26}", "cursor: expected text that matches ^audit_"),
    ],
)
def test_a_doubled_parameter_and_a_cursor_of_another_list_are_refused(api: Caller, path: str, message: str) -> None:
    response = api.get(path)
    assert response.status_code == 422
    assert [fault["message"][: len(message)] for fault in response.json["errors"]] == [message]


def test_reading_a_large_body_leaves_the_collector_of_garbage_as_it_was(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    loads, bodies = orjson.loads, [b'{"columns": {"x": [1]}}', b"{"]

    def watched(data: Any) -> Any:
        if data in bodies:  # the store reads JSON, too
            seen.append(gc.isenabled())
        return loads(data)

    monkeypatch.setattr("orjson.loads", watched)
    assert [api.post("/v1/datasets", data=body, headers=JSON).status_code for body in bodies] == [201, 400]
    assert (seen, gc.isenabled()) == ([False, False], True)


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\x.csv", "/etc/passwd", "a\x00b.csv", "." * 300, "𝕩" * 300, "con.csv"])
def test_the_name_of_a_file_is_a_name_and_no_path(api: Caller, name: str) -> None:
    response = api.post("/v1/datasets", data={"file": (io.BytesIO(b"a\n1\n2\n"), name)})
    assert response.status_code == 201
    given = response.json["name"]
    assert given is None or ("/" not in given and "\\" not in given and "\x00" not in given and len(given) <= 200)


@pytest.mark.parametrize(
    "job",
    [
        "job_1",
        "%00",
        "..%2f..%2fetc",
        "job_" + "0" * 26 + "%0a",
        "JOB_" + "0" * 26,
        "job_" + "0" * 5000,
        "%ff%fe",
        "'--",
        "job_" + "u" * 26,
    ],
)
def test_an_id_that_is_none_names_nothing(api: Caller, job: str) -> None:
    for end in ("", "/weights", "/events", "/metrics", "/snapshots", "/split"):
        response = api.get(f"/v1/jobs/{job}{end}")
        assert (response.status_code, response.mimetype) == (404, "application/problem+json")
        assert len(response.get_data()) < 12_000


def test_an_unknown_route_or_method_is_a_problem_too(api: Caller) -> None:
    for path in ("/v1", "/v1/", "/v1/jobs/", "//v1/jobs", "/v2/jobs", "/v1/jobs/a/b/c", "/docs/../../etc/passwd", "/docs/%2e%2e/x"):
        assert (api.get(path).status_code, api.get(path).mimetype) == (404, "application/problem+json"), path
    response = api("DELETE", "/v1/jobs")
    assert (response.status_code, response.json["code"]) == (405, "method_not_allowed")
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


def test_an_error_of_ours_says_nothing_but_where_to_look(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the secret of the house")

    monkeypatch.setattr("service.api.jobs.stored.page", fail)
    response = service.api.get("/v1/jobs", headers={"X-Request-ID": "look-here"})
    assert (response.status_code, response.json["code"], response.json["request_id"]) == (500, "internal", "look-here")
    assert "secret" not in response.text
    assert "Traceback" not in response.text


def test_a_request_that_takes_too_much_memory_is_sent_away(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("service.api.networks.evaluate", fail)
    body = {"network": {"layers": [{"type": "dense", "units": 1, "weight": [[1]]}]}, "inputs": [[1]]}
    response = service.api.post("/v1/networks/evaluate", json=body)
    assert (response.status_code, response.json["code"]) == (503, "out_of_memory")
    assert service.api.get("/v1/jobs").status_code == 200


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-1.2_3", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("é", False), ("", False)]
)
def test_a_sane_request_id_is_kept_and_another_is_replaced(api: Caller, sent: str, kept: bool) -> None:
    found = api.get("/v1/jobs", headers={"X-Request-ID": sent}).headers["X-Request-ID"]
    assert (found == sent) is kept
    assert found


json_values = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**70), 2**70)
    | some.floats(allow_nan=False, allow_infinity=False)
    | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    "network",
    "layers",
    "inputs",
    "target",
    "loss",
    "optimizer",
    "type",
    "units",
    "weight",
    "bias",
    "epochs",
    "validation",
    "columns",
    "name",
]
bodies = some.dictionaries(some.sampled_from(FIELDS), json_values, max_size=6)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies, path=some.sampled_from(POSTS))
def test_no_body_makes_an_error_of_ours(service: Service, body: dict[str, Any], path: str) -> None:
    if path == "/v1/jobs":
        body = {**service.spec(), **body}
    assert service.api.post(path, json=body).status_code < 500


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=some.binary(max_size=300) | some.text(max_size=200).map(str.encode))
def test_no_upload_makes_an_error_of_ours(service: Service, content: bytes) -> None:
    assert (
        service.api.post(
            "/v1/datasets", data=content, headers={"Content-Type": "text/csv", "Content-Length": str(len(content))}
        ).status_code
        < 500
    )


def test_a_store_error_without_a_name_is_an_error_of_ours(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError(f"something with {KEY}")

    monkeypatch.setattr("service.api.jobs.stored.page", fail)
    response = service.api.get("/v1/jobs")
    assert response.status_code == 500
    assert KEY not in response.text
