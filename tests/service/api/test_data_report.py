"""A dataset's profile and audit through the API."""

from __future__ import annotations

import pytest

from tests.service.api.conftest import Service

ROWS = 40
TABLE = {
    "columns": {
        "a": [row * 0.37 % 1 for row in range(ROWS // 2)] * 2,
        "flat": [1] * ROWS,
        "who": [f"w{row // 3}" for row in range(ROWS)],
        "y": ["yes" if row % 20 < 15 else "no" for row in range(ROWS)],
    }
}


def test_every_column_is_described(stored_service: Service) -> None:
    dataset = stored_service.dataset(TABLE)
    found = stored_service.api.get(f"/v1/datasets/{dataset}/profile")
    columns = {column["name"]: column for column in found.json["columns"]}
    assert columns["a"]["numbers"]["minimum"] == 0
    assert columns["y"]["values"] == [{"value": "yes", "count": 30}, {"value": "no", "count": 10}]


def test_what_is_wrong_is_told_the_worst_first(stored_service: Service) -> None:
    dataset = stored_service.dataset(TABLE)
    audit = stored_service.api.get(f"/v1/datasets/{dataset}/audit?target=y&group=who&fraction=0.3&seed=7").json
    found = {finding["code"]: finding["severity"] for finding in audit["findings"]}
    assert list(found.values()) == sorted(found.values(), key=["error", "warning", "info"].index)
    assert {"duplicates_across_split", "group_leakage", "constant_column", "duplicate_rows", "class_imbalance"} <= set(found)
    bare = stored_service.api.get(f"/v1/datasets/{dataset}/audit").json
    assert [finding["code"] for finding in bare["findings"]] == ["constant_column"]


def test_a_jobs_audit_judges_its_own_inputs_and_split(stored_service: Service) -> None:
    dataset = stored_service.dataset(TABLE)
    network = {"layers": [{"type": "dense", "units": 2}]}
    spec = {"inputs": ["a"], "target": "y", "network": network, "loss": None, "validation": {"fraction": 0.3}, "seed": 7, "epochs": 1}
    job = stored_service.job(dataset=dataset, **spec)
    link = stored_service.api.get(f"/v1/jobs/{job}").json["links"]["audit"]
    found = {finding["code"]: finding for finding in stored_service.api.get(f"{link}?group=who").json["findings"]}
    assert {"group_leakage", "duplicates_across_split"} <= set(found)
    assert "constant_column" not in found
    held_out = stored_service.api.get(f"/v1/jobs/{job}/split").json["validation_rows"]
    assert set(found["group_leakage"]["rows"]) <= set(held_out)
    asked = stored_service.api.get(f"/v1/datasets/{dataset}/audit?target=y&group=who&fraction=0.3&seed=7").json
    assert found["group_leakage"] in asked["findings"], "the same rows are drawn"
    assert stored_service.api.get(f"{link}?group=z").status_code == 422


def test_a_profile_is_made_once_for_equal_content(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    first = service.api.get(f"/v1/datasets/{service.dataset(TABLE)}/profile")
    monkeypatch.setattr("service.api.data_report.profile", None)
    assert service.api.get(f"/v1/datasets/{service.dataset(TABLE)}/profile").get_data() == first.get_data()


@pytest.mark.parametrize("query", ["target=z", "group=z", "fraction=0.999", "fraction=2", "seed=-1"])
def test_what_cannot_be_judged_is_refused_by_name(service: Service, query: str) -> None:
    response = service.api.get(f"/v1/datasets/{service.dataset(TABLE)}/audit?{query}")
    assert response.status_code == 422
    assert response.json["errors"][0]["parameter"] == query.partition("=")[0]
