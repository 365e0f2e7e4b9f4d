"""Datasets come in as CSV, as a form or as JSON; what is wrong with them is said, and then nothing is kept."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest
import sqlalchemy as sa

from service.store.errors import StorageFull
from service.store.models import BlobChunk, Dataset
from tests.service.api.conftest import XOR, Caller, Service

CSV = "height,width,kind\n1.5,2.0,door\n1.0,1.0,window\n2.5,1.0,door\n"


def post_csv(api: Caller, text: str | bytes, query: str = "", **headers: str) -> Any:
    return api.post(f"/v1/datasets{query}", data=text, headers={"Content-Type": "text/csv", **headers})


def count(service: Service, table: Any) -> int:
    with service.store.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_csv_form_and_packed_csv_give_the_same_table(api: Caller) -> None:
    plain = post_csv(api, CSV, "?name=doors")
    form = api.post("/v1/datasets", data={"file": (io.BytesIO(CSV.encode()), "doors.csv")})
    packed = post_csv(api, gzip.compress(CSV.encode()))
    assert {plain.json["digest"], form.json["digest"], packed.json["digest"]} == {plain.json["digest"]}
    assert (plain.json["name"], form.json["name"], packed.json["name"]) == ("doors", "doors", None)
    assert plain.json["rows"] == 3
    assert [(column["name"], column["dtype"]) for column in plain.json["columns"]] == [
        ("height", "float32"),
        ("width", "float32"),
        ("kind", "category"),
    ]
    assert plain.json["columns"][2]["categories"] == ["door", "window"]


def test_a_created_dataset_is_read_back_and_listed(api: Caller) -> None:
    made = api.post("/v1/datasets", json=XOR)
    assert made.status_code == 201
    again = api.get(made.headers["Location"])
    assert again.get_data() == made.get_data()
    assert again.headers["ETag"] == made.headers["ETag"]
    assert again.json["columns"][0]["item_shape"] == [2]
    assert [dataset["id"] for dataset in api.get("/v1/datasets").json["data"]] == [made.json["id"]]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a,b\n1,2\n3,x\n", "mixed_column"),
        ("a,b\n1,nan\n", None),
        ("a,b\n1,inf\n", None),
        ("a,b\n1,\n", None),
        ("a,b\n1,2,3\n", None),
        ("a,b\n1\n", None),
        ("a,b\n", None),
        ("\n\n", "empty"),
        ("a,a\n1,2\n", "duplicate_name"),
        ('a,b\n"1,2\n', None),
        ("\x00\x01\x02", None),
    ],
)
def test_a_faulty_table_is_refused_and_nothing_is_kept(service: Service, text: str, code: str | None) -> None:
    response = post_csv(service.api, text)
    assert response.status_code == 422
    assert response.json["errors"]
    assert code is None or response.json["errors"][0]["code"] == code
    assert all(fault["message"] for fault in response.json["errors"])
    assert (count(service, Dataset), count(service, BlobChunk)) == (0, 0)


def test_the_row_and_column_of_a_fault_are_named(api: Caller) -> None:
    (fault,) = post_csv(api, "a,b\n1,2\n3,4\n5,x\n").json["errors"]
    assert 'row 3 (line 4), column "b"' in fault["message"]
    assert (fault["pointer"], fault["got"]) == ("/b/2", '"x"')


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"columns": {"x": [1, "two"]}}, "/columns/x/1"),
        ({"columns": {"x": [1, None]}}, "/columns/x/1"),
        ({"columns": {"x": [[1, 2], [3]]}}, "/columns/x/1"),
        ({"columns": {"x": [1, 2], "y": [1]}}, "/columns/y"),
        ({"columns": {}}, "/columns"),
        ({"columns": [1]}, "/columns"),
        ({}, "/columns"),
        ({"columns": {"x": [1]}, "colour": 1}, "/colour"),
        ({"columns": {"x": [1]}, "name": "a\x00b"}, "/name"),
        ({"columns": {"x": [1]}, "name": ""}, "/name"),
    ],
)
def test_faults_of_json_columns_point_into_the_body(service: Service, document: dict[str, Any], pointer: str) -> None:
    response = service.api.post("/v1/datasets", json=document)
    assert response.status_code == 422
    assert pointer in [fault["pointer"] for fault in response.json["errors"]]
    assert count(service, Dataset) == 0


def test_a_form_without_a_file_or_with_other_parts_is_refused(api: Caller) -> None:
    response = api.post("/v1/datasets", data={"fle": (io.BytesIO(b"a\n1\n"), "a.csv"), "color": "red"})
    assert response.status_code == 422
    assert {fault["pointer"] for fault in response.json["errors"]} == {"/file", "/fle", "/color"}


def test_a_repeated_upload_is_answered_without_reading_it_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Idempotency-Key": "upload 1"}
    first = post_csv(service.api, CSV, "?name=a", **headers)
    monkeypatch.setattr("service.api.uploads.read_csv", None)
    again = post_csv(service.api, CSV, "?name=a", **headers)
    assert (again.status_code, again.get_data(), again.headers["Location"]) == (201, first.get_data(), first.headers["Location"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert count(service, Dataset) == 1


def test_a_form_that_is_sent_again_with_another_boundary_is_the_same(service: Service) -> None:
    def send(boundary: str, cell: str) -> Any:
        part = f'Content-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na\n{cell}\n\r\n'
        body = f"--{boundary}\r\n{part}--{boundary}--\r\n"
        headers = {"Idempotency-Key": "form", "Content-Type": f"multipart/form-data; boundary={boundary}"}
        return service.api.post("/v1/datasets", data=body, headers=headers)

    first = send("one", "1")
    assert first.status_code == 201
    assert send("two", "1").headers["Idempotent-Replayed"] == "true"
    assert send("two", "2").status_code == 422


@pytest.mark.parametrize("change", [{"text": CSV + "9,9,door\n"}, {"query": "?name=b"}])
def test_another_upload_under_the_same_key_is_refused(service: Service, change: dict[str, str]) -> None:
    sent = {"text": CSV, "query": "?name=a"}
    assert post_csv(service.api, **sent, **{"Idempotency-Key": "k"}).status_code == 201
    response = post_csv(service.api, **(sent | change), **{"Idempotency-Key": "k"})
    assert (response.status_code, response.json["code"]) == (422, "idempotency_conflict")
    assert count(service, Dataset) == 1


def test_a_refused_upload_leaves_no_key_behind(api: Caller) -> None:
    assert post_csv(api, "a\nx\n1\n", **{"Idempotency-Key": "k"}).status_code == 422
    assert post_csv(api, "a\n2\n1\n", **{"Idempotency-Key": "k"}).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "naïve"])
def test_an_unusable_idempotency_key_is_refused(api: Caller, key: str) -> None:
    response = post_csv(api, CSV, **{"Idempotency-Key": key})
    assert (response.status_code, response.json["code"]) == (422, "invalid_idempotency_key")


def test_a_full_disk_is_said_and_nothing_is_kept(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise StorageFull("no room")

    monkeypatch.setattr("service.api.datasets.blobs.write", full)
    response = post_csv(service.api, CSV)
    assert (response.status_code, response.json["code"]) == (507, "storage_full")
    assert service.api.get("/v1/datasets").json["data"] == []
