"""What holds for every operation there is, also for one that was added a minute ago: it is called as its document shows, and wrongly.

An operation that wants something else than a job that has succeeded, a dataset or a key is named in `WANTED`; without that its test fails.
What the service answers is shown in the OpenAPI document out of service/api/shown.json, by the name of the schema:

    SANKOFA_TEST_RECORD=1 python -m pytest tests/service/api/test_contract.py        writes that file anew
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from werkzeug.test import TestResponse

from service.api import examples, openapi
from service.api.resumable import PART
from tests.service.api.conftest import KEY, Caller, Service, model_of

SECRET, LONGEST_HINT = ("sk_", "whsec_"), 20
SHOWN = Path(openapi.__file__).with_name("shown.json")
JSON = "application/json"
ODD_BODIES = [b"", b"{", b"[1, 2]", b"null", b'"text"', b'{"x": NaN}', b"\xff\xfe{}", b"[" * 50_000 + b"]" * 50_000]
# The state of the job that an operation is about; of all others it has succeeded.
WANTED = {"cancel_job": "queued", "stop_job": "queued", "pause_job": "queued", "resume_job": "paused", "act_on_jobs": "queued"}
WANTED |= {"cancel_cross_validation": "queued"}
WANTED |= {"get_predictions": "predict", "get_explanation": "explain"}
# Or the state of the upload in parts: a dataset is made of a complete one.
WANTED |= {"create_dataset": "uploaded"}
# Or the state of the model: no alias may stand for what is deleted.
WANTED |= {"delete_model": "unnamed", "delete_model_version": "unnamed"}
# Of the kinds of jobs that work with a network: what makes one.
MADE: dict[str, tuple[str, Any]] = {
    "predict": ("predictions", {}),
    "explain": ("explain", {"explain": {"type": "loss_line", "points": 3}, "run": "job"}),
}


# What an operation that cannot be called without a query is called with.
QUERIES = {"compare_jobs": "?job={job_id}&job={other_job_id}"}


@dataclass(frozen=True)
class Operation:
    """A method of a path, and what the document tells of it."""

    method: str
    path: str
    told: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.told["operationId"])

    def bodies(self) -> list[tuple[str | None, Any]]:
        """(media type, body) of every example there is; one without a body where it takes none."""
        content = self.told.get("requestBody", {}).get("content", {})
        shown = [(kind, example["value"]) for kind, media in content.items() for example in media.get("examples", {}).values()]
        shown += [(kind, media["example"]) for kind, media in content.items() if "example" in media]
        return shown if content else [(None, None)]


def operations(service: Service) -> list[Operation]:
    """All there are."""
    document: dict[str, Any] = service.app.api_doc  # type: ignore[attr-defined]
    return [Operation(method.upper(), path, told) for path, methods in document["paths"].items() for method, told in methods.items()]


def things(service: Service, state: str, number: int) -> dict[str, str]:
    """The ids of new things: a job in this state, its dataset, an upload, a key, the tenant, a model of another job, a webhook, ..."""
    dataset = service.dataset({"name": "xor", "columns": {"x": [[0, 0], [0, 1], [1, 0], [1, number]], "y": [0, 1, 1, 0]}})
    service.api.post("/v1/jobs/actions", json={"action": "cancel", "state": ["queued", "paused"]})
    job = service.job(dataset=dataset, epochs=2, tags={"lesson": 1})
    other, model = job, {"model": "nothing", "version": "1", "alias": "production"}
    if state in ("succeeded", "unnamed"):
        other = service.job(dataset=dataset, epochs=3)
        while service.api.get(f"/v1/jobs/{other}").json["state"] != "succeeded":  # compiling may take longer than a turn
            service.work()
        model = model_of(service, other, f"digits-{number}")
        if state == "unnamed":
            service.api.delete(f"/v1/models/{model['model']}/aliases/production", headers={"If-Match": "*"})
    elif state in MADE:
        service.work()
        part, body = MADE[state]
        job = service.api.post(f"/v1/jobs/{job}/{part}", json=body).json["id"]
        service.work()
    elif state == "paused":
        service.api.post(f"/v1/jobs/{job}/pause")
    key = service.api.post("/v1/keys", json={"name": "spare", "scopes": ["read"]}).json["id"]
    for earlier in service.api.get("/v1/webhooks").json["data"]:  # there may be no more than so many
        service.api.delete(f"/v1/webhooks/{earlier['id']}")
    webhook = service.api.post("/v1/webhooks", json={"url": "https://93.184.215.14/"}).json["id"]  # no name has to be looked up
    told = {"webhook_id": webhook, "delivery_id": service.api.post(f"/v1/webhooks/{webhook}/test").json["id"]}
    folds = {**examples.CROSS_VALIDATIONS["folds"][1], "dataset": dataset, "epochs": 2}
    told["cross_validation_id"] = service.api.post("/v1/cross_validations", json=folds).json["id"]
    if state == "succeeded":
        while not service.api.get(f"/v1/cross_validations/{told['cross_validation_id']}").json["terminal"]:
            service.work()
    told["upload_id"] = upload(service, number, complete=state == "uploaded")
    return {"job_id": job, "other_job_id": other, "dataset_id": dataset, "key_id": key, "tenant_id": "default", **model, **told}


def upload(service: Service, number: int, *, complete: bool) -> str:
    """The id of a new upload in parts, of which all or nothing has arrived."""
    content = f"a,b,c\n1,2,3\n4,5,{number:06}\n".encode()
    found: str = service.api.post("/v1/uploads", json={"bytes": len(content)}).json["id"]
    if complete:
        service.api.patch(f"/v1/uploads/{found}", data=content, headers={"Content-Type": PART, "Upload-Offset": "0"})
    return found


def filled(body: Any, ids: Mapping[str, str]) -> Any:
    """The example with ids of things that are there."""
    text = json.dumps(body).replace(examples.DATASET, ids["dataset_id"]).replace(examples.JOB, ids["job_id"])
    text = text.replace(examples.UPLOAD, ids["upload_id"])
    return json.loads(text)


def answers(service: Service) -> Iterator[tuple[Operation, TestResponse]]:
    """What every operation answers to each of its examples; a `Caller` holds it against the document."""
    number = 1
    for operation in operations(service):
        for kind, body in operation.bodies():
            number += 1
            ids = things(service, WANTED.get(operation.name, "succeeded"), number)
            path = (operation.path + QUERIES.get(operation.name, "")).format(
                **ids
            )  # an id of a new kind wants a thing of that kind in `things`
            sent: dict[str, Any] = {"headers": {"If-Match": "*", "Upload-Offset": "0", **({"Content-Type": kind} if kind else {})}}
            if kind is not None:
                sent |= {"data": body} if isinstance(body, str) else {"json": filled(body, ids)}
            yield operation, service.api(operation.method, path, **sent)


def schema_of(operation: Operation, response: TestResponse) -> str | None:
    """The name of the schema of a JSON answer."""
    media = operation.told["responses"][str(response.status_code)].get("content", {}).get(JSON, {})
    return str(media["schema"]["$ref"]).rpartition("/")[2] if "$ref" in media.get("schema", {}) else None


def shortened(document: Any) -> Any:
    """The document with no more of each list of objects than its first, and no key or secret."""
    if isinstance(document, dict):
        return {name: shortened(part) for name, part in document.items()}
    if isinstance(document, str) and document.startswith(SECRET) and len(document) > LONGEST_HINT:
        return document[: document.index("_") + 1] + "..."
    if isinstance(document, list):
        return [shortened(part) for part in (document[:1] if document and isinstance(document[0], dict) else document)]
    return document


def test_every_example_of_every_operation_is_answered_as_documented(service: Service, test_variables: Mapping[str, str]) -> None:
    seen, shown = set(), {}
    for operation, response in answers(service):
        assert 200 <= response.status_code < 300, (operation.name, response.status_code, response.text[:500])
        seen.add(operation.name)
        name = schema_of(operation, response)
        if response.mimetype == JSON and name is not None and shown.get(name, {"data": []}).get("data") == []:
            shown[name] = shortened(response.json)
    assert seen == {operation.name for operation in operations(service)}
    if test_variables.get("SANKOFA_TEST_RECORD"):
        SHOWN.write_text(json.dumps(shown, indent=1, sort_keys=True) + "\n")


def test_every_json_body_and_every_json_answer_is_shown(service: Service) -> None:
    document: dict[str, Any] = service.app.api_doc  # type: ignore[attr-defined]
    stale = set()
    for operation in operations(service):
        if JSON in operation.told.get("requestBody", {}).get("content", {}):
            assert JSON in [kind for kind, _ in operation.bodies()], f"{operation.name}: its JSON body has no example"
        for status, response in operation.told["responses"].items():
            name = response.get("content", {}).get(JSON, {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
            if status < "300" and name:
                shown = document["components"]["schemas"][name].get("examples", [])
                if not shown or not all(_is(openapi._models[name], one) for one in shown):
                    stale.add(name)
    assert not stale, f"not shown as they are now; record them, as the head of {Path(__file__).name} says, and commit {SHOWN.name}"


def _is(model: type[BaseModel], document: Any) -> bool:
    try:
        model.model_validate_json(json.dumps(document))
    except ValidationError:
        return False
    return True


def test_nothing_is_shown_that_no_operation_answers(service: Service) -> None:
    document: dict[str, Any] = service.app.api_doc  # type: ignore[attr-defined]
    assert set(json.loads(SHOWN.read_text())) <= set(document["components"]["schemas"])


def test_every_operation_refuses_a_query_that_it_does_not_know(service: Service) -> None:
    ids = things(service, "succeeded", 2)
    for operation in operations(service):
        if any(parameter["in"] == "query" for parameter in operation.told.get("parameters", [])):
            response = service.api(operation.method, operation.path.format(**ids) + "?nonsense=1", json={})
            assert response.status_code == 422, operation.name
            assert "nonsense" in [error["parameter"] for error in response.json["errors"]], operation.name


def test_every_operation_with_a_json_body_refuses_what_is_none(service: Service) -> None:
    ids = things(service, "succeeded", 2)
    for operation in operations(service):
        content = operation.told.get("requestBody", {}).get("content", {})
        if JSON not in content:
            continue
        path = operation.path.format(**ids)
        for body in ODD_BODIES:
            response = service.api(operation.method, path, data=body, headers={"Content-Type": JSON, "If-Match": "*"})
            assert (response.status_code, response.json["code"]) in {(400, "malformed_json"), (400, "not_an_object")}, (
                operation.name,
                body[:20],
            )
        odd = service.api(operation.method, path, json={"nonsense": 1}, headers={"If-Match": "*"})
        assert odd.status_code == 422, operation.name
        if len(content) == 1:
            other = service.api(operation.method, path, data=b"{}", headers={"Content-Type": "text/plain", "If-Match": "*"})
            assert (other.status_code, other.json["code"]) == (415, "unsupported_media_type"), operation.name


def test_a_path_knows_the_methods_that_are_documented_and_no_others(service: Service) -> None:
    """A word where an id may stand (/v1/jobs/actions) is in service.api.openapi.NO_IDS."""
    ids = things(service, "succeeded", 2)
    paths: dict[str, set[str]] = {}
    for operation in operations(service):
        paths.setdefault(operation.path.format(**ids), set()).add(operation.method)
    for path, methods in paths.items():
        known = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - methods:
            response = service.app.test_client().open(path, method=method, headers={"Authorization": f"Bearer {KEY}"})
            assert response.status_code == (200 if method == "OPTIONS" else 405), (method, path)
            assert set(response.headers["Allow"].split(", ")) == known, (method, path)


@pytest.mark.parametrize("key", [None, "sk_unknown"])
def test_what_nobody_may_do_changes_nothing(service: Service, key: str | None) -> None:
    ids = things(service, "queued", 2)
    before = service.api.get(f"/v1/jobs/{ids['job_id']}").get_data()
    for operation in operations(service):
        if operation.told["security"]:
            assert Caller(service.app, key)(operation.method, operation.path.format(**ids), json={}).status_code == 401
    assert service.api.get(f"/v1/jobs/{ids['job_id']}").get_data() == before
