"""What will be deleted, and when: told before it happens, for every rule there is."""

from __future__ import annotations

from datetime import datetime

from tests.service.api.conftest import Service


def test_every_rule_names_its_setting_and_its_time(service: Service) -> None:
    rules = service.api.get("/v1/retention").json["rules"]
    told = {rule["setting"]: rule["after_seconds"] for rule in rules if rule["setting"]}
    settings = service.settings
    assert told == {
        "SANKOFA_CHECKPOINT_RETENTION_SECONDS": settings.checkpoint_retention_seconds,
        "SANKOFA_TRASH_RETENTION_SECONDS": settings.trash_retention_seconds,
        "SANKOFA_UPLOAD_RETENTION_SECONDS": settings.upload_retention_seconds,
        "SANKOFA_AUDIT_RETENTION_SECONDS": settings.audit_retention_seconds,
        "SANKOFA_WEBHOOK_RETENTION_SECONDS": settings.webhook_retention_seconds,
        "SANKOFA_IDEMPOTENCY_SECONDS": settings.idempotency_seconds,
    }
    retained = {f"SANKOFA_{name.upper()}" for name in type(settings).model_fields if name.endswith("retention_seconds")}
    assert retained <= set(told)


def test_the_checkpoints_of_an_ended_job_are_told_with_their_time(stored_service: Service) -> None:
    job_id = stored_service.job(epochs=500)
    stored_service.work_a_little()
    assert stored_service.api.get("/v1/retention").json["data"] == []
    stored_service.api.post(f"/v1/jobs/{job_id}/cancel")
    (leaving,) = stored_service.api.get("/v1/retention").json["data"]
    finished_at = stored_service.api.get(f"/v1/jobs/{job_id}").json["finished_at"]
    assert (leaving["what"], leaving["id"], leaving["webhook"]) == ("checkpoints", job_id, None)
    assert leaving["bytes"] > 0
    passed = datetime.fromisoformat(leaving["deleted_after"]) - datetime.fromisoformat(finished_at)
    assert passed.total_seconds() == stored_service.settings.checkpoint_retention_seconds


def test_what_will_be_deleted_comes_in_pages(stored_service: Service) -> None:
    jobs = [stored_service.job(epochs=500) for _ in range(3)]
    for _ in jobs:
        stored_service.work_a_little()
    for job_id in jobs:
        stored_service.api.post(f"/v1/jobs/{job_id}/cancel")
    first = stored_service.api.get("/v1/retention?limit=2").json
    rest = stored_service.api.get(f"/v1/retention?limit=2&cursor={first['next_cursor']}").json
    assert [leaving["id"] for leaving in (*first["data"], *rest["data"])] == jobs
    assert rest["next_cursor"] is None


def test_a_dataset_in_the_trash_and_an_upload_are_told_with_the_times_that_they_tell_themselves(stored_service: Service) -> None:
    api, dataset = stored_service.api, stored_service.dataset()
    upload = api.post("/v1/uploads", json={"bytes": 10}).json
    api.delete(f"/v1/datasets/{dataset}")
    trashed = api.get(f"/v1/datasets/{dataset}").json
    found = api.get("/v1/retention").json
    assert [(each["what"], each["id"], each["deleted_after"]) for each in found["data"]] == [
        ("upload", upload["id"], upload["expires_at"]),
        ("dataset", dataset, trashed["purged_after"]),
    ]
    assert [each["bytes"] for each in found["data"]] == [0, trashed["bytes"]]
    (only,) = api.get("/v1/retention?what=dataset").json["data"]
    assert only == found["data"][1]
    assert api.get("/v1/retention?what=jobs").status_code == 422
    rules = {rule["setting"]: rule["next_after"] for rule in found["rules"]}
    assert rules["SANKOFA_TRASH_RETENTION_SECONDS"] == trashed["purged_after"]
    assert rules["SANKOFA_CHECKPOINT_RETENTION_SECONDS"] is None
    assert rules["SANKOFA_AUDIT_RETENTION_SECONDS"] is not None


def test_every_time_of_a_rule_is_written_alike(service: Service) -> None:
    assert {type(rule["after_seconds"]) for rule in service.api.get("/v1/retention").json["rules"]} == {float}


def test_versions_of_models_that_keep_a_job_are_named(stored_service: Service) -> None:
    """Its checkpoints go all the same; the job does not, until the versions have gone."""
    api, job_id = stored_service.api, stored_service.job(epochs=500)
    stored_service.work_a_little()
    api.post("/v1/models", json={"name": "xor"})
    for _ in range(2):
        assert api.post("/v1/models/xor/versions", json={"job": job_id}).status_code == 201
    api.post(f"/v1/jobs/{job_id}/cancel")
    (leaving,) = api.get("/v1/retention").json["data"]
    assert leaving["versions"] == ["xor@1", "xor@2"]
    assert api.delete(f"/v1/jobs/{job_id}").json["versions"] == leaving["versions"]
    for version in (1, 2):
        assert api.delete(f"/v1/models/xor/versions/{version}").status_code == 200
    assert [each["versions"] for each in api.get("/v1/retention").json["data"]] == [[]]
    assert api.delete(f"/v1/jobs/{job_id}").status_code == 200
    assert api.get("/v1/retention").json["data"] == []
