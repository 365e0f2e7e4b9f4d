"""Batch predictions: a job of its own kind, and its answers as files."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from service.store import blobs, jobs, quotas
from service.store.quotas import Quota
from tests.service.api.conftest import Service

ROWS = 300
TABLE = {"columns": {"x": [[row % 2, row // 2 % 2] for row in range(ROWS)], "note": [f"row {row}" for row in range(ROWS)]}}


@pytest.fixture
def trained(stored_service: Service) -> str:
    """A network that was trained."""
    job = stored_service.job(epochs=2)
    stored_service.work()
    return job


def batch(service: Service, job: str, **fields: Any) -> str:
    response = service.api.post(f"/v1/jobs/{job}/predictions", json={"dataset": service.dataset(TABLE), **fields})
    assert response.status_code == 202, response.text
    return str(response.json["id"])


def test_every_row_is_answered_as_predict_answers_it(stored_service: Service, trained: str) -> None:
    service = stored_service
    job = batch(service, trained, name="tonight", tags={"night": 1})
    shown = service.api.get(f"/v1/jobs/{job}").json
    assert (shown["kind"], shown["state"], shown["name"], shown["spec"]["rows"]) == ("predict", "queued", "tonight", ROWS)
    assert shown["links"]["network"] == f"/v1/jobs/{trained}"
    assert service.api.get(f"/v1/jobs/{job}/predictions").status_code == 409
    service.work()
    shown = service.api.get(f"/v1/jobs/{job}").json
    assert (shown["state"], shown["progress"]["step"], shown["progress"]["steps"]) == ("succeeded", ROWS, ROWS)
    expected = service.api.post(f"/v1/jobs/{trained}/predict", json={"inputs": {"x": TABLE["columns"]["x"]}}).json
    arrays = np.load(io.BytesIO(service.api.get(f"/v1/jobs/{job}/predictions?format=npz").data))
    np.testing.assert_allclose(arrays["outputs"], expected["outputs"], rtol=1e-6)
    assert arrays["labels"].tolist() == expected["labels"]
    lines = list(csv.DictReader(io.StringIO(service.api.get(f"/v1/jobs/{job}/predictions").text)))
    assert list(lines[0]) == ["label", "probability.0", "probability.1"]
    assert [int(line["label"]) for line in lines] == expected["labels"]
    assert [float(line["probability.1"]) for line in lines] == pytest.approx(expected["probabilities"])


def test_a_file_has_an_etag_and_parts(stored_service: Service, trained: str) -> None:
    job = batch(stored_service, trained)
    stored_service.work()
    url = f"/v1/jobs/{job}/predictions"
    whole = stored_service.api.get(url)
    part = stored_service.api.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.data) == (206, whole.data[10:20])
    assert stored_service.api.get(url, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304


def test_it_goes_on_where_it_was_paused_and_is_told_so_far(stored_service: Service, trained: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = stored_service
    whole = batch(service, trained)
    service.work()
    expected = service.api.get(f"/v1/jobs/{whole}/predictions").data
    job = batch(service, trained)
    monkeypatch.setattr("worker.predicting.MOST_AT_ONCE", 64)
    service.work_a_little()
    shown = service.api.get(f"/v1/jobs/{job}").json
    assert (shown["state"], shown["progress"]["step"]) == ("queued", 64)
    so_far = service.api.get(f"/v1/jobs/{job}/predictions").data
    assert (len(so_far.splitlines()), expected.startswith(so_far)) == (65, True)
    assert service.api.post(f"/v1/jobs/{job}/pause").json["state"] == "paused"
    service.api.post(f"/v1/jobs/{job}/resume")
    service.work()
    assert service.api.get(f"/v1/jobs/{job}/predictions").data == expected


def test_stopped_it_keeps_what_is_answered_and_cancelled_nothing(
    stored_service: Service, trained: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = stored_service
    monkeypatch.setattr("worker.predicting.MOST_AT_ONCE", 64)
    for action, status in (("stop", 200), ("cancel", 409)):
        job = batch(service, trained)
        service.work_a_little()
        service.api.post(f"/v1/jobs/{job}/{action}")
        assert service.api.get(f"/v1/jobs/{job}/predictions").status_code == status


def test_kinds_are_shown_filtered_and_asked_together(stored_service: Service, trained: str) -> None:
    service = stored_service
    job = batch(service, trained)
    assert [each["id"] for each in service.api.get("/v1/jobs?kind=predict").json["data"]] == [job]
    assert [each["id"] for each in service.api.get("/v1/jobs?kind=train").json["data"]] == [trained]
    asked = service.api.post("/v1/jobs/actions", json={"action": "cancel", "kind": ["predict"]}).json
    assert asked["changed"] == [job]


def test_what_only_trainings_have_is_refused_of_others(stored_service: Service, trained: str) -> None:
    service = stored_service
    job = batch(service, trained)
    service.work()
    for path in ("weights", "split", "audit"):
        refused = service.api.get(f"/v1/jobs/{job}/{path}")
        assert (refused.status_code, refused.json["code"]) == (409, "other_kind"), path
    assert service.api.get(f"/v1/jobs/{job}/snapshots").json["data"] == []
    assert service.api.get(f"/v1/jobs/{job}/metrics").json["data"] == []
    assert service.api.get(f"/v1/jobs/{job}/history").status_code == 200
    for url, body in ((f"/v1/jobs/{job}/predict", {"inputs": [[0, 1]]}), ("/v1/jobs", {"parent": {"job": job}})):
        assert service.api.post(url, json=body).json["code"] == "other_kind"
    assert service.api.get(f"/v1/jobs/{trained}/predictions").json["code"] == "other_kind"


def test_a_key_makes_it_once_and_quotas_count_it(stored_service: Service, trained: str) -> None:
    service = stored_service
    body, headers = {"dataset": service.dataset(TABLE)}, {"Idempotency-Key": "tonight"}
    url = f"/v1/jobs/{trained}/predictions"
    first, second = (service.api.post(url, json=body, headers=headers) for _ in range(2))
    assert first.json == second.json
    before = quotas.use(service.store, "default")[Quota.STORED_BYTES].used
    service.work()
    after = quotas.use(service.store, "default")[Quota.STORED_BYTES].used
    files = [service.api.get(f"/v1/jobs/{first.json['id']}/predictions?format={kind}").data for kind in ("csv", "npz")]
    assert after - before == sum(map(len, files))
    with service.store.write() as session:
        session.connection().exec_driver_sql("UPDATE blob_chunk SET created_at = 0")
    blobs.remove_orphans(service.store)
    assert service.api.get(f"/v1/jobs/{first.json['id']}/predictions").data == files[0]


def test_the_network_it_was_accepted_with_is_its_own(stored_service: Service, trained: str) -> None:
    service = stored_service
    job = batch(service, trained)
    assert service.api.delete(f"/v1/jobs/{trained}").status_code == 200
    service.work()
    assert jobs.get(service.store, "default", job).job.state == "succeeded"
    assert service.api.delete(f"/v1/jobs/{job}").json["freed_bytes"] > 0


@pytest.mark.parametrize(
    ("columns", "code"), [({"z": [[0, 1]]}, "missing_input"), ({"x": ["a"]}, "text_input"), ({"x": [[0, 1, 2]]}, "wrong_shape")]
)
def test_a_dataset_that_the_network_cannot_read_is_refused_at_once(columns: dict[str, Any], code: str, service: Service) -> None:
    trained = service.job(epochs=2)
    service.work()
    dataset = service.dataset({"columns": columns})
    refused = service.api.post(f"/v1/jobs/{trained}/predictions", json={"dataset": dataset})
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, code)
    assert refused.json["errors"][0]["pointer"] == "/dataset"
