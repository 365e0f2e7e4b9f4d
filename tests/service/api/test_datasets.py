"""Datasets come in as CSV, as a form or as JSON; what is wrong with them is said, and then nothing is kept."""

from __future__ import annotations

import base64
import errno
import gzip
import io
import tracemalloc
from datetime import datetime
from typing import Any

import numpy as np
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
    assert (plain.status_code, form.status_code, packed.status_code) == (201, 200, 200)
    assert plain.get_data() == form.get_data()
    assert (plain.json["name"], plain.headers["ETag"]) == ("doors", form.headers["ETag"])
    assert packed.headers["Location"] == plain.headers["Location"]
    found = {"format": "csv", "delimiter": ",", "header": True, "quoting": False, "packed": None, "missing": {}}
    assert plain.json["sniffed"] == found
    assert packed.json == {**plain.json, "sniffed": {**found, "packed": "gzip"}}, "what was sent now was packed"
    assert api.get(plain.headers["Location"]).json["sniffed"] == found, "which is not kept"
    assert plain.json["rows"] == 3
    assert [(column["name"], column["dtype"]) for column in plain.json["columns"]] == [
        ("height", "float32"),
        ("width", "float32"),
        ("kind", "category"),
    ]
    assert plain.json["columns"][2]["categories"] == ["door", "window"]


def test_what_may_be_missing_is_told_when_it_is_refused_and_counted_when_it_is_not(api: Caller) -> None:
    text = "a,b,c\n1,NA,x\n2,?,y\n3,nan,z\n,5,\n"
    refused = post_csv(api, text)
    assert [error["code"] for error in refused.json["errors"]] == ["empty_cell"] * 3
    allowed = ', or allow it: missing=allow (--missing allow; in Python missing="allow")'
    assert all(error["message"].endswith(f"; fill it in or leave the row out{allowed}") for error in refused.json["errors"])
    assert refused.json["errors"][1]["message"].startswith('row 1 (line 2), column "b": expected a number, got "NA"')
    made = post_csv(api, text, "?missing=allow")
    assert (made.status_code, [column["missing"] for column in made.json["columns"]]) == (201, [1, 3, 1])
    assert made.json["sniffed"]["missing"] == {"a": {"": 1}, "b": {"NA": 1, "?": 1, "nan": 1}, "c": {"": 1}}
    assert made.json["columns"][2]["categories"] == ["", "x", "y", "z"]
    again = api.post(
        "/v1/datasets?missing=allow", json={"columns": {"a": [1, 2, 3, None], "b": [None] * 3 + [5], "c": ["x", "y", "z", None]}}
    )
    assert (again.status_code, again.json["id"], again.json["sniffed"]) == (200, made.json["id"], {"format": "json"})
    nulls = api.post("/v1/datasets", json={"columns": {"c": ["x", None]}}).json["errors"]
    assert [(error["pointer"], error["message"].endswith(allowed)) for error in nulls] == [("/columns/c/1", True)]


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
    monkeypatch.setattr("service.api.uploads.read_file", None)
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


def npz(**columns: Any) -> bytes:
    into = io.BytesIO()
    np.savez(into, **columns)
    return into.getvalue()


@pytest.mark.parametrize("kind", ["application/x-npz", "application/octet-stream", "form"])
def test_arrays_are_columns_with_an_item_shape_and_are_trained_on(service: Service, kind: str) -> None:
    data = npz(x=np.zeros((500, 30, 30), np.uint8), y=np.array(["a", "b"] * 250))
    sent: Any = {"data": data, "headers": {"Content-Type": kind}} if kind != "form" else {"data": {"file": (io.BytesIO(data), "a.npz")}}
    made = service.api.post("/v1/datasets", **sent)
    assert (made.status_code, made.json["rows"], made.json["sniffed"]) == (201, 500, {"format": "npz"}), made.text
    assert [(column["dtype"], column["item_shape"]) for column in made.json["columns"]] == [("float32", [30, 30]), ("category", [])]
    network = {"layers": [{"type": "flatten"}, {"type": "dense", "units": 2}]}
    job = service.job(dataset=made.json["id"], network=network, loss=None, epochs=1)
    service.work()
    assert service.api.get(f"/v1/jobs/{job}").json["state"] == "succeeded"


def test_packed_columns_come_as_json(api: Caller) -> None:
    packed = {"dtype": "uint8", "shape": [4, 2], "base64": base64.b64encode(bytes([0, 0, 0, 1, 1, 0, 1, 1])).decode()}
    assert api.post("/v1/datasets", json=XOR).status_code == 201
    assert api.post("/v1/datasets", json={"columns": {**XOR["columns"], "x": packed}}).status_code == 200


def test_a_bomb_and_a_huge_header_take_no_memory(service: Service) -> None:
    into = io.BytesIO()
    np.savez_compressed(into, x=np.zeros(10**6))
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }"
    for data in (into.getvalue(), b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header):
        tracemalloc.start()
        response = service.api.post("/v1/datasets", data=data, headers={"Content-Type": "application/octet-stream"})
        assert tracemalloc.get_traced_memory()[1] < 2e6
        tracemalloc.stop()
        assert response.status_code == 422
    assert count(service, Dataset) == 0


def test_a_full_disk_is_said_before_a_large_array_is_put_there(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("service.api.uploads.os.posix_fallocate", full)
    response = service.api.post("/v1/datasets", data=npz(x=np.zeros((900, 900), np.uint8)), headers={"Content-Type": "application/x-npz"})
    assert (response.status_code, response.json["code"]) == (507, "storage_full")


class TestTheTrash:
    def test_takes_a_dataset_out_of_the_lists_until_it_is_restored(self, stored_service: Service) -> None:
        api, dataset = stored_service.api, stored_service.dataset()
        gone = api.delete(f"/v1/datasets/{dataset}").json
        passed = datetime.fromisoformat(gone["purged_after"]) - datetime.fromisoformat(gone["trashed_at"])
        assert passed.total_seconds() == stored_service.settings.trash_retention_seconds
        assert api.get("/v1/datasets").json["data"] == []
        assert api.get("/v1/datasets?trash=true").json["data"] == [gone] == [api.get(f"/v1/datasets/{dataset}").json]
        refused = api.post("/v1/jobs", json=stored_service.spec(dataset=dataset))
        assert (refused.status_code, "restore" in refused.text) == (404, True)
        assert api.post(f"/v1/datasets/{dataset}/restore").json["trashed_at"] is None
        assert [one["id"] for one in api.get("/v1/datasets").json["data"]] == [dataset]

    def test_does_not_take_what_a_job_needs(self, stored_service: Service) -> None:
        job = stored_service.job()
        dataset = stored_service.dataset()
        for method, path in (("DELETE", ""), ("POST", "/purge")):
            refused = stored_service.api(method, f"/v1/datasets/{dataset}{path}")
            assert (refused.status_code, refused.json["code"], refused.json["jobs"]) == (409, "dataset_in_use", [job])
        stored_service.work()
        assert stored_service.api.delete(f"/v1/datasets/{dataset}").status_code == 200
        assert stored_service.api.get(f"/v1/jobs/{job}/split").status_code == 200

    def test_gives_the_bytes_back(self, stored_service: Service) -> None:
        job = stored_service.job(validation={"fraction": 0.5, "stratified": True})
        stored_service.work()
        dataset = stored_service.dataset()
        size = stored_service.api.get(f"/v1/datasets/{dataset}").json["bytes"]
        freed = stored_service.api.post(f"/v1/datasets/{dataset}/purge")
        assert freed.json == {"id": dataset, "freed_bytes": size}
        assert stored_service.api.get(f"/v1/datasets/{dataset}").status_code == 404
        assert stored_service.api.get(f"/v1/jobs/{job}").json["state"] == "succeeded"
        assert stored_service.api.get(f"/v1/jobs/{job}/split").status_code == 404
        assert stored_service.dataset() != dataset
