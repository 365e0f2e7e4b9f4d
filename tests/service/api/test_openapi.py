"""The OpenAPI document is whole, and what it shows works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.api import (
    examples,
    explain,
    job_changes,
    keys,
    minimize,
    model_aliases,
    model_versions,
    models,
    predict,
    predictions,
    resumable,
    tenants,
    webhooks,
)
from service.api.datasets import XOR as XOR_DATASET
from tests.service.api.conftest import Caller, Service, model_of

OPERATIONS = {
    "create_dataset",
    "create_upload",
    "list_uploads",
    "get_upload",
    "append_to_upload",
    "delete_upload",
    "list_datasets",
    "get_dataset",
    "get_dataset_profile",
    "get_dataset_audit",
    "trash_dataset",
    "restore_dataset",
    "purge_dataset",
    "create_job",
    "list_jobs",
    "get_job",
    "minimize_expression",
    "change_job",
    "delete_job",
    "act_on_jobs",
    "cancel_job",
    "stop_job",
    "pause_job",
    "preflight_job",
    "compare_jobs",
    "create_cross_validation",
    "list_cross_validations",
    "get_cross_validation",
    "cancel_cross_validation",
    "delete_cross_validation",
    "resume_job",
    "get_job_history",
    "list_job_metrics",
    "list_job_events",
    "list_job_snapshots",
    "get_job_split",
    "get_job_audit",
    "get_job_assessment",
    "get_job_card",
    "get_job_weights",
    "predict_with_job",
    "create_predictions",
    "explain_job",
    "explain_model",
    "get_explanation",
    "get_predictions",
    "create_model",
    "list_models",
    "get_model",
    "change_model",
    "delete_model",
    "create_model_version",
    "list_model_versions",
    "get_model_version",
    "delete_model_version",
    "get_model_weights",
    "predict_with_model",
    "create_model_predictions",
    "get_model_card",
    "get_model_alias",
    "move_model_alias",
    "delete_model_alias",
    "get_model_alias_history",
    "evaluate_network",
    "get_usage",
    "create_key",
    "list_keys",
    "get_key",
    "rotate_key",
    "revoke_key",
    "create_tenant",
    "list_tenants",
    "get_tenant",
    "change_tenant",
    "list_audit",
    "get_retention",
    "create_webhook",
    "list_webhooks",
    "get_webhook",
    "change_webhook",
    "delete_webhook",
    "rotate_webhook",
    "test_webhook",
    "list_webhook_deliveries",
    "redeliver_webhook_delivery",
    "check_health",
    "check_readiness",
}


@pytest.fixture
def document(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = Caller(service.app, None).get("/openapi.json").json
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for name, inner in part.items():
            # The values of examples are data, not schemas.
            if name not in ("example", "examples"):
                yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def test_every_view_is_an_operation_with_its_own_name(service: Service, document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert sorted(names) == sorted(OPERATIONS)
    served = {view.__name__ for endpoint, view in service.app.view_functions.items() if not endpoint.startswith("docs.")}
    assert served == OPERATIONS


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        assert "<br" not in operation["description"]
        assert operation["tags"]
        statuses = set(operation["responses"])
        assert any(status.startswith("2") for status in statuses)
        if operation["security"]:
            assert {"401", "403", "429", "500", "503"} <= statuses
        if method in ("post", "patch") and "requestBody" in operation:
            assert {"400", "413", "415", "422"} <= statuses
        for status, response in operation["responses"].items():
            assert response["description"], (path, status)
            if status >= "400" and path != "/readyz":
                assert list(response["content"]) == ["application/problem+json"], (path, status)


def test_every_reference_leads_somewhere_and_every_schema_is_used(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    found = set(references(document))
    assert found == {f"#/components/schemas/{name}" for name in schemas}
    discriminators = re.findall(r"'mapping': \{([^}]*)\}", str(schemas))
    assert discriminators
    for mapping in discriminators:
        for name in re.findall(r"schemas/(\w+)", mapping):
            assert name in schemas


def test_the_parameters_of_a_path_are_those_of_its_template(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        described = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}
        assert described == set(re.findall(r"\{(\w+)\}", path))
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (path, parameter["name"])
            assert "anyOf" not in parameter["schema"]


def test_every_example_is_accepted(service: Service, document: dict[str, Any]) -> None:
    dataset = service.dataset(XOR_DATASET)
    job = service.job(dataset=dataset)
    service.work()
    key = service.api.post("/v1/keys", json={"name": "rotated", "scopes": ["read"]}).json["id"]
    webhook = service.api.post("/v1/webhooks", json={"url": "https://93.184.215.14/"}).json["id"]
    model = model_of(service, job, "trained")
    complete, begun = (service.api.post("/v1/uploads", json={"bytes": 24}).json["id"] for _ in range(2))
    part = {"Content-Type": resumable.PART, "Upload-Offset": "0"}
    service.api.patch(f"/v1/uploads/{complete}", data="a,b,c,d\n1,2,3,4\n5,6,7,8\n", headers=part)
    sent = 0
    for path, method, operation in operations(document):
        ids = {
            "job_id": job,
            "dataset_id": dataset,
            "key_id": key,
            "tenant_id": "default",
            "webhook_id": webhook,
            "delivery_id": "",
            "upload_id": begun,
            "cross_validation_id": "",
            **model,
        }
        address = path.format(**ids)
        for kind, media in operation.get("requestBody", {}).get("content", {}).items():
            shown = [example["value"] for example in media.get("examples", {}).values()]
            if "example" in media:
                shown.append(media["example"])
            for body in shown:
                sending = {"data": body} if isinstance(body, str) else {"json": _with_ids(body, dataset, job, complete)}
                response = service.api(
                    method.upper(), address, headers={"Content-Type": kind, "If-Match": "*", "Upload-Offset": "0"}, **sending
                )
                assert response.status_code in (200, 201, 202, 204), response.text
                sent += 1
    told = len(webhooks.CREATE) + len(webhooks.CHANGE) + len(webhooks.ROTATE)
    administered = len(keys.CREATE) + len(keys.ROTATE) + len(tenants.CREATE) + len(tenants.CHANGE)
    assert (
        sent
        == 4
        + len(resumable.CREATE)
        + 1  # a part
        + 2 * len(examples.JOBS)
        + len(examples.CROSS_VALIDATIONS)
        + len(examples.NETWORKS)
        + 2 * (len(predict.EXAMPLES) + 1)  # of jobs and of models; the one is CSV
        + 2 * len(predictions.EXAMPLES)  # of jobs and of models
        + 2 * len(explain.EXAMPLES)  # of jobs and of models
        + len(minimize.EXAMPLES)
        + len(job_changes.CHANGE)
        + len(job_changes.ACTIONS)
        + len(models.CREATE)
        + len(models.CHANGE)
        + len(model_versions.CREATE)
        + len(model_aliases.MOVE)
        + administered
        + told
    )


def _with_ids(body: Any, dataset: str, job: str, upload: str) -> Any:
    if not isinstance(body, dict):
        return body
    body = {**body, "parent": {**body["parent"], "job": job}} if "parent" in body else body
    body = {**body, "upload": upload} if "upload" in body else body
    body = {**body, "job": job} if body.get("job") == examples.JOB else body
    return {**body, "dataset": dataset} if body.get("dataset") == examples.DATASET else body


def test_what_answers_with_parts_says_by_which_headers_they_are_asked_for(document: dict[str, Any]) -> None:
    in_parts = 0
    for path, method, operation in operations(document):
        headers = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "header"}
        assert ({"206", "416"} <= set(operation["responses"])) == ({"Range", "If-Range"} <= headers), (path, method)
        in_parts += "206" in operation["responses"]
    assert in_parts >= 4


def test_the_document_is_sent_once(service: Service) -> None:
    nobody = Caller(service.app, None)
    first = nobody.get("/openapi.json")
    assert nobody.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_the_page_needs_nothing_from_elsewhere(service: Service) -> None:
    nobody = Caller(service.app, None)
    page = nobody.get("/docs")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 4
    for link in links:
        assert "//" not in link
        assert nobody.get(f"/{link}").status_code == 200
    assert 'url: "openapi.json"' in nobody.get("/docs/start.js").text


def test_the_start_leads_to_the_page(service: Service) -> None:
    response = service.app.test_client().get("/")
    assert (response.status_code, response.headers["Location"]) == (302, "/docs")
