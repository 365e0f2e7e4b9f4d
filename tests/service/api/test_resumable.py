"""Uploads in parts: what arrives is kept, a part that does not fit is told where to go on, and equal bytes are one dataset."""

from __future__ import annotations

import base64
import hashlib
import io
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from service.api.resumable import PART
from service.settings import Settings
from service.store import blobs
from service.store.models import BlobChunk
from tests.service.api.conftest import SETTINGS, Caller, Service

CSV = b"x,y\n" + b"".join(b"%d,%d\n" % (row, row % 2) for row in range(100))
SHA256 = hashlib.sha256(CSV).hexdigest()


def begin(api: Caller, content: bytes = CSV, **body: Any) -> str:
    response = api.post("/v1/uploads", json={"bytes": len(content), **body})
    assert response.status_code == 201, response.text
    assert response.headers["Location"] == f"/v1/uploads/{response.json['id']}"
    return str(response.json["id"])


def send(api: Caller, upload: str, offset: object, data: bytes, **headers: str) -> TestResponse:
    return api.patch(f"/v1/uploads/{upload}", data=data, headers={"Content-Type": PART, "Upload-Offset": str(offset), **headers})


def complete(api: Caller, content: bytes = CSV, **body: Any) -> str:
    upload = begin(api, content, **body)
    assert send(api, upload, 0, content).status_code == 204
    return upload


def chunks(service: Service) -> int:
    with service.store.read() as session:
        return session.query(BlobChunk).count()


def test_a_file_in_parts_is_the_dataset_that_it_is_as_a_whole(stored_service: Service) -> None:
    api = stored_service.api
    upload = begin(api, sha256=SHA256)
    for start in range(0, len(CSV), 100):
        part = CSV[start : start + 100]
        response = send(api, upload, start, part)
        assert (response.status_code, response.headers["Upload-Offset"]) == (204, str(start + len(part)))
    made = api.post("/v1/datasets", json={"upload": upload, "name": "rows"})
    assert (made.status_code, made.json["name"], made.json["rows"]) == (201, "rows", 100)
    assert made.json["sniffed"]["format"] == "csv"
    again = api.post("/v1/datasets", json={"upload": upload})
    assert (again.status_code, again.json["id"]) == (200, made.json["id"])
    whole = api.post("/v1/datasets", data=CSV, headers={"Content-Type": "text/csv"})
    assert (whole.status_code, whole.json["digest"]) == (200, made.json["digest"])
    assert api.get(f"/v1/uploads/{upload}").json["dataset"] == made.json["id"]
    assert chunks(stored_service) == 1, "the table, and none of the parts"
    assert api.get("/v1/usage").json["quotas"]["stored_bytes"]["used"] == made.json["bytes"]


def test_the_options_of_a_direct_upload_hold(api: Caller) -> None:
    upload = complete(api, b"a,b\n1,\n2,3\n")
    refused = api.post("/v1/datasets", json={"upload": upload})
    assert refused.status_code == 422
    made = api.post("/v1/datasets?missing=allow&name=gaps", json={"upload": upload})
    assert (made.status_code, made.json["name"]) == (201, "gaps"), "its bytes need not be sent again"


def test_content_that_is_there_already_is_not_stored_again(service: Service) -> None:
    first = service.api.post("/v1/datasets", data=CSV, headers={"Content-Type": "text/csv"}).json
    upload = complete(service.api)
    made = service.api.post("/v1/datasets", json={"upload": upload})
    assert (made.status_code, made.json["id"]) == (200, first["id"])
    assert service.api.get(f"/v1/uploads/{upload}").json["dataset"] == first["id"]
    assert chunks(service) == 1


def test_a_part_that_was_sent_before_says_where_to_go_on(api: Caller) -> None:
    upload = begin(api)
    send(api, upload, 0, CSV[:50])
    for offset, data in ((0, CSV[:50]), (0, CSV), (60, CSV[60:])):
        refused = send(api, upload, offset, data)
        assert (refused.status_code, refused.json["code"]) == (409, "wrong_offset")
        assert (refused.headers["Upload-Offset"], refused.json["received_bytes"]) == ("50", 50)
    assert send(api, upload, 50, CSV[50:]).status_code == 204


def test_what_has_arrived_is_told_by_get_and_head(api: Caller) -> None:
    upload = begin(api)
    send(api, upload, 0, CSV[:50])
    found = api.get(f"/v1/uploads/{upload}")
    assert (found.json["received_bytes"], found.json["bytes"], found.json["dataset"]) == (50, len(CSV), None)
    head = api("HEAD", f"/v1/uploads/{upload}")
    assert (head.status_code, head.headers["Upload-Offset"], head.headers["Upload-Length"]) == (200, "50", str(len(CSV)))
    assert head.headers["Cache-Control"] == "no-store"
    assert head.headers["Upload-Expires"].endswith("GMT")
    assert [each["id"] for each in api.get("/v1/uploads").json["data"]] == [upload]


def test_a_part_that_is_cut_off_is_kept_as_far_as_it_came(service: Service) -> None:
    upload = begin(service.api)
    cut = {
        "wsgi.input": io.BytesIO(CSV[:70]),
        "CONTENT_LENGTH": str(len(CSV)),
        "CONTENT_TYPE": PART,
        "HTTP_UPLOAD_OFFSET": "0",
    }
    assert service.api.patch(f"/v1/uploads/{upload}", environ_overrides=cut).status_code == 400
    assert service.api.get(f"/v1/uploads/{upload}").json["received_bytes"] == 70
    assert send(service.api, upload, 70, CSV[70:], **{"Content-Type": "application/octet-stream"}).status_code == 204
    assert service.api.post("/v1/datasets", json={"upload": upload}).json["rows"] == 100


def test_bytes_beyond_the_end_are_refused_and_none_of_them_kept(api: Caller) -> None:
    upload = begin(api)
    refused = send(api, upload, 0, CSV + b"1")
    assert (refused.status_code, refused.json["code"]) == (413, "beyond_the_end")
    assert api.get(f"/v1/uploads/{upload}").json["received_bytes"] == 0
    send(api, upload, 0, CSV)
    more = send(api, upload, len(CSV), b"1")
    assert more.status_code == 413
    nothing = {"wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "0", "CONTENT_TYPE": PART, "HTTP_UPLOAD_OFFSET": str(len(CSV))}
    assert api.patch(f"/v1/uploads/{upload}", environ_overrides=nothing).status_code == 204


def test_an_upload_that_is_not_complete_becomes_no_dataset(api: Caller) -> None:
    upload = begin(api)
    send(api, upload, 0, CSV[:50])
    refused = api.post("/v1/datasets", json={"upload": upload})
    assert (refused.status_code, refused.json["code"], refused.json["received_bytes"]) == (409, "upload_unfinished", 50)
    assert "Upload-Offset: 50" in refused.json["detail"]


def test_other_bytes_than_were_announced_become_no_dataset_and_are_dropped(service: Service) -> None:
    upload = begin(service.api, sha256=SHA256)
    send(service.api, upload, 0, CSV.replace(b"99,1", b"99,0"))
    refused = service.api.post("/v1/datasets", json={"upload": upload})
    assert refused.status_code == 422
    (fault,) = refused.json["errors"]
    assert (fault["pointer"], fault["code"], fault["expected"]) == ("/upload", "wrong_digest", f"sha256 {SHA256}")
    assert service.api.get(f"/v1/uploads/{upload}").status_code == 404
    assert chunks(service) == 0


def test_what_became_a_dataset_takes_no_more_and_says_when_that_is_gone(api: Caller) -> None:
    upload = complete(api)
    dataset = api.post("/v1/datasets", json={"upload": upload}).json["id"]
    assert send(api, upload, 0, CSV).status_code == 409
    api.delete(f"/v1/datasets/{dataset}")
    used = api.post("/v1/datasets", json={"upload": upload})
    assert (used.status_code, used.json["code"]) == (409, "upload_used")
    assert "restore" in used.json["detail"]
    api.post(f"/v1/datasets/{dataset}/purge")
    assert api.post("/v1/datasets", json={"upload": upload}).json["code"] == "upload_used"
    assert api.delete(f"/v1/uploads/{upload}").status_code == 204
    assert api.post("/v1/datasets", json={"upload": upload}).status_code == 404


def test_a_file_that_is_on_its_way_is_not_begun_anew(api: Caller) -> None:
    upload = begin(api, sha256=SHA256)
    send(api, upload, 0, CSV[:50])
    again = api.post("/v1/uploads", json={"bytes": len(CSV), "sha256": SHA256})
    assert (again.status_code, again.json["id"], again.json["received_bytes"]) == (200, upload, 50)
    assert again.headers["Location"] == f"/v1/uploads/{upload}"
    assert begin(api) != upload, "nothing is known of its content"


def test_a_repeated_request_with_a_key_makes_one(api: Caller) -> None:
    keyed = {"headers": {"Idempotency-Key": "k"}}
    first, second = (api.post("/v1/uploads", json={"bytes": 5}, **keyed) for _ in range(2))
    assert first.json["id"] == second.json["id"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert api.post("/v1/uploads", json={"bytes": 6}, **keyed).status_code == 422
    upload = complete(api)
    first, second = (api.post("/v1/datasets", json={"upload": upload}, **keyed) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.get_data() == second.get_data()


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"bytes": 0}, 422, "/bytes"),
        ({"bytes": -1}, 422, "/bytes"),
        ({}, 422, "/bytes"),
        ({"bytes": "5"}, 422, "/bytes"),
        ({"bytes": 5, "sha256": "ABC"}, 422, "/sha256"),
        ({"bytes": 5, "name": "x"}, 422, "/name"),
        ({"bytes": (1 << 20) + 1}, 413, "SANKOFA_MAX_UPLOAD_BYTES"),
    ],
)
def test_an_upload_that_cannot_be_is_refused_at_once(api: Caller, body: dict[str, Any], status: int, told: str) -> None:
    refused = api.post("/v1/uploads", json=body)
    assert refused.status_code == status
    assert told in refused.text
    assert api.get("/v1/uploads").json["data"] == []


def test_a_part_with_headers_that_cannot_be_read_is_refused(api: Caller) -> None:
    upload = begin(api)
    for offset in ("-1", "x", "", "1" * 30, "0x0"):
        assert send(api, upload, offset, b"1").json["code"] == "wrong_header", offset
    path = f"/v1/uploads/{upload}"
    assert api.patch(path, data=b"1", headers={"Upload-Offset": "0", "Content-Type": "text/csv"}).status_code == 415
    assert send(api, upload, 0, b"1", **{"Content-Encoding": "gzip"}).status_code == 415
    chunked = {"wsgi.input": io.BytesIO(b"1"), "wsgi.input_terminated": True, "CONTENT_TYPE": PART, "HTTP_UPLOAD_OFFSET": "0"}
    assert api.patch(path, environ_overrides=chunked).status_code == 411
    assert api.get(path).json["received_bytes"] == 0


def test_another_tenants_upload_is_not_there(service: Service) -> None:
    upload = complete(service.api, sha256=SHA256)
    other = service.caller("other", ["read", "write"])
    assert send(other, upload, 0, b"1").status_code == 404
    assert other.post("/v1/datasets", json={"upload": upload}).status_code == 404
    assert other.post("/v1/uploads", json={"bytes": len(CSV), "sha256": SHA256}).status_code == 201


def test_a_full_quota_refuses_an_upload_before_it_is_sent(service: Service) -> None:
    service.api.patch("/v1/tenants/default", json={"quotas": {"stored_bytes": 1000}})
    refused = service.api.post("/v1/uploads", json={"bytes": 1001})
    assert (refused.status_code, refused.json["code"]) == (403, "quota_exceeded")
    upload = complete(service.api, CSV + b"1,1\n" * 40)
    assert service.api.post("/v1/uploads", json={"bytes": 900}).status_code == 403
    assert service.api.post("/v1/datasets", json={"upload": upload}).status_code == 403, "140 rows of two float32 and their header"
    service.api.patch("/v1/tenants/default", json={"quotas": {"stored_bytes": 3000}})
    assert service.api.post("/v1/datasets", json={"upload": upload}).status_code == 201


def test_an_upload_to_which_nothing_comes_says_when_it_ends(service: Service) -> None:
    found = service.api.get(f"/v1/uploads/{begin(service.api)}").json
    assert found["created_at"] < found["expires_at"]
    rules = service.api.get("/v1/retention").json["rules"]
    assert "SANKOFA_UPLOAD_RETENTION_SECONDS" in [rule["setting"] for rule in rules]


class TestTus:
    """What clients of tus 1.0 send and read."""

    def test_they_learn_what_is_spoken(self, api: Caller) -> None:
        told = api("OPTIONS", "/v1/uploads").headers
        assert (told["Tus-Version"], told["Tus-Resumable"]) == ("1.0.0", "1.0.0")
        assert told["Tus-Extension"] == "creation,expiration,termination"
        assert told["Tus-Max-Size"] == str(1 << 20)

    def test_they_begin_with_headers_and_no_body(self, api: Caller) -> None:
        packed = base64.b64encode(SHA256.encode()).decode()
        metadata = f"filename cm93cy5jc3Y=,sha256 {packed},empty"
        made = api.post("/v1/uploads", headers={"Upload-Length": str(len(CSV)), "Upload-Metadata": metadata, "Tus-Resumable": "1.0.0"})
        assert (made.status_code, made.headers["Tus-Resumable"]) == (201, "1.0.0")
        assert (made.json["bytes"], made.json["sha256"]) == (len(CSV), SHA256)
        assert send(api, made.json["id"], 0, CSV).headers["Tus-Resumable"] == "1.0.0"

    @pytest.mark.parametrize(
        "headers",
        [{"Upload-Length": "x"}, {"Upload-Length": "0"}, {"Upload-Length": "-5"}, {"Upload-Length": "5", "Upload-Metadata": "sha256 !"}],
    )
    def test_headers_that_cannot_be_read_are_refused(self, api: Caller, headers: dict[str, str]) -> None:
        assert api.post("/v1/uploads", headers=headers).status_code == 422


@pytest.fixture
def roomy(store_url: str, tmp_path: Any) -> Iterator[Service]:
    """An installation that takes large uploads."""
    made = Service(Settings(data_dir=tmp_path, database_url=store_url, **{**SETTINGS, "max_upload_bytes": 1 << 26}))
    yield made
    made.context.streams.close()
    made.store.close()


def test_a_large_part_is_not_held_in_memory(roomy: Service) -> None:
    size = 16 * blobs.CHUNK_BYTES
    upload = begin(roomy.api, b"", bytes=size)
    send(roomy.api, upload, 0, b"")

    class Zeros(io.RawIOBase):
        left = size

        def read(self, count: int = -1) -> bytes:
            count = min(count, self.left)
            self.left -= count
            return bytes(count)

    body = {"wsgi.input": Zeros(), "CONTENT_LENGTH": str(size), "CONTENT_TYPE": PART, "HTTP_UPLOAD_OFFSET": "0"}
    tracemalloc.start()
    assert roomy.api.patch(f"/v1/uploads/{upload}", environ_overrides=body).status_code == 204
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * blobs.CHUNK_BYTES, "some copies of a chunk of 2 MB, however long the part"
