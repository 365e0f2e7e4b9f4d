"""Whatever stands in a header or a cursor, the answer is one that the document tells of, and never an error of ours."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tests.service.api.conftest import XOR, Service

# What a server lets through: a line of latin-1.
LINES = some.text(string.printable.replace("\n", "").replace("\r", "").replace("\x0b", "").replace("\x0c", "") + "äß\xff", max_size=40)
NUMBERS = some.integers(-(10**30), 10**30).map(str) | some.sampled_from(["", "-0", "0x1", "1e9", "९", " 7 "])
HEADERS = {
    "Prefer": some.builds("wait{}{}".format, some.sampled_from(["=", " = ", ";", '="']), some.sampled_from(["0", "", "-1", "x", '0"']))
    | LINES,
    "Range": some.builds("{}{}-{}".format, some.sampled_from(["bytes=", "bytes=0-1,", "rows=", ""]), NUMBERS, NUMBERS) | LINES,
    "If-Range": LINES,
    "If-Match": some.builds('"{}"'.format, NUMBERS) | some.sampled_from(["*", '"', 'W/"1"', '"a", *']) | LINES,
    "If-None-Match": some.builds('"{}"'.format, NUMBERS) | some.sampled_from(["*", '"', 'W/"1"', '"a", *']) | LINES,
    "Last-Event-ID": some.builds("{}.{}".format, NUMBERS, NUMBERS) | NUMBERS | LINES,
    "Accept": some.sampled_from(["*/*", "text/csv", "application/json;q=x", "text/*;q=0"]) | LINES,
    "Idempotency-Key": LINES,
    "X-Request-ID": LINES,
    "Authorization": LINES | LINES.map("Bearer {}".format),
    "Content-Encoding": some.sampled_from(["gzip", "br", "identity", "gzip, gzip"]) | LINES,
}
PATHS = ["", "/weights", "/events", "/metrics", "/snapshots"]
ONE_SERVICE = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def job(service: Service) -> str:
    """The address of a job that has ended."""
    made = service.job(epochs=2)
    while service.api.get(f"/v1/jobs/{made}").json["state"] != "succeeded":
        service.work()
    return f"/v1/jobs/{made}"


@ONE_SERVICE
@given(headers=some.fixed_dictionaries({}, optional=HEADERS), path=some.sampled_from(PATHS))
def test_odd_headers_of_a_read(service: Service, job: str, headers: dict[str, str], path: str) -> None:
    assert service.api.get(f"{job}{path}", headers=headers).status_code in (200, 204, 206, 304, 401, 406, 416)


@ONE_SERVICE
@given(headers=some.fixed_dictionaries({}, optional=HEADERS))
def test_odd_headers_of_a_write(service: Service, job: str, headers: dict[str, str]) -> None:
    changed = service.api.patch(job, json={"tags": {"seen": True}}, headers=headers)
    assert changed.status_code in (200, 401, 412, 415, 428)
    made = service.api.post("/v1/datasets", json=XOR, headers=headers)
    assert made.status_code in (200, 201, 401, 415, 422)


@ONE_SERVICE
@given(start=NUMBERS, stop=NUMBERS)
def test_a_part_is_the_part_that_was_asked_for(service: Service, job: str, start: str, stop: str) -> None:
    whole = service.api.get(f"{job}/weights").get_data()
    part = service.api.get(f"{job}/weights", headers={"Range": f"bytes={start}-{stop}"})
    assert part.status_code in (200, 206, 416)
    if part.status_code == 206:
        first, last = (int(number) for number in part.headers["Content-Range"].removeprefix("bytes ").partition("/")[0].split("-"))
        assert part.get_data() == whole[first : last + 1]


@ONE_SERVICE
@given(cursor=NUMBERS | LINES | some.sampled_from(["job_", "job_" + "0" * 26, "ds_" + "z" * 26, "\x00"]), limit=NUMBERS)
def test_odd_cursors_of_every_list(service: Service, job: str, cursor: str, limit: str) -> None:
    document: dict[str, Any] = service.app.api_doc  # type: ignore[attr-defined]
    ids = {"job_id": job.rpartition("/")[2]}
    for path, methods in document["paths"].items():
        known = {parameter["name"] for parameter in methods.get("get", {}).get("parameters", [])}
        if "cursor" in known and path.count("{") <= path.count("{job_id}"):
            asked = {"cursor": cursor, **({"limit": limit} if "limit" in known else {})}
            assert service.api.get(path.format(**ids), query_string=asked).status_code in (200, 404, 422), path
