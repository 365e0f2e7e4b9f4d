"""/v1/webhooks: made with a secret shown once, changed, tried; told of jobs; and nowhere that is not public."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from service.store import deliveries
from tests.service.api.conftest import Service

URL = "https://93.184.215.14/hook"  # an address, so that no name has to be looked up
ENDS = ["job.succeeded", "job.failed", "job.stopped", "job.cancelled"]


def make(service: Service, **fields: Any) -> dict[str, Any]:
    response = service.api.post("/v1/webhooks", json={"url": URL, **fields})
    assert response.status_code == 201, response.text
    assert response.headers["Location"] == f"/v1/webhooks/{response.json['id']}"
    assert response.headers["Cache-Control"] == "no-store"
    made: dict[str, Any] = response.json
    return made


def test_a_webhook_is_made_shown_and_listed_and_its_secret_only_once(stored_service: Service) -> None:
    made = make(stored_service, name="mine")
    secret = made.pop("secret")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert (made["name"], made["events"], made["tags"], made["enabled"]) == ("mine", ENDS, {}, True)
    assert stored_service.api.get(f"/v1/webhooks/{made['id']}").json == made
    another = make(stored_service)
    first = stored_service.api.get("/v1/webhooks?limit=1").json
    rest = stored_service.api.get(f"/v1/webhooks?limit=1&cursor={first['next_cursor']}").json
    assert [one["id"] for one in (*first["data"], *rest["data"])] == [another["id"], made["id"]]
    assert secret not in stored_service.api.get("/v1/audit").text


def test_a_repeated_request_makes_one_webhook_and_shows_no_secret(service: Service) -> None:
    sent: dict[str, Any] = {"json": {"url": URL}, "headers": {"Idempotency-Key": "once"}}
    first, again = (service.api.post("/v1/webhooks", **sent) for _ in range(2))
    assert (again.json["id"], again.json["secret"], again.headers["Idempotent-Replayed"]) == (first.json["id"], None, "true")
    assert len(service.api.get("/v1/webhooks").json["data"]) == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/url"),
        ({"url": "http://93.184.215.14/"}, "/url"),
        ({"url": "https://127.0.0.1/"}, "/url"),
        ({"url": "https://localhost/"}, "/url"),
        ({"url": "https://[::ffff:169.254.169.254]/latest/meta-data"}, "/url"),
        ({"url": "https://me:secret@93.184.215.14/"}, "/url"),
        ({"url": "nonsense"}, "/url"),
        ({"url": "https://x/" + "x" * 3000}, "/url"),
        ({"url": URL, "events": []}, "/events"),
        ({"url": URL, "events": ["job.exploded"]}, "/events/0"),
        ({"url": URL, "enabled": "yes"}, "/enabled"),
        ({"url": URL, "tags": {"a": []}}, "/tags/a"),
        ({"url": URL, "secret": "whsec_mine"}, "/secret"),
    ],
)
def test_what_is_wrong_with_a_webhook_is_named(service: Service, body: dict[str, Any], pointer: str) -> None:
    response = service.api.post("/v1/webhooks", json=body)
    assert response.status_code == 422
    assert [fault["pointer"] for fault in response.json["errors"]] == [pointer]


def test_a_webhook_cannot_be_sent_elsewhere_than_it_might_have_been_made_for(service: Service) -> None:
    made = make(service)
    refused = service.api.patch(f"/v1/webhooks/{made['id']}", json={"url": "https://10.0.0.1/"})
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "forbidden_receiver")
    assert "10.0.0.1, which is no public address" in refused.json["detail"]
    assert service.api.get(f"/v1/webhooks/{made['id']}").json["url"] == URL


def test_a_name_that_leads_nowhere_yet_is_taken(service: Service) -> None:
    assert make(service, url="https://nowhere.invalid/")["enabled"]


def test_a_change_leaves_what_it_does_not_name(stored_service: Service) -> None:
    made = make(stored_service, name="mine", tags={"lesson": 1})
    changed = stored_service.api.patch(f"/v1/webhooks/{made['id']}", json={"events": ["job.started"], "name": None})
    assert (changed.json["events"], changed.json["name"], changed.json["tags"]) == (["job.started"], None, {"lesson": 1})
    (entry, _) = stored_service.api.get("/v1/audit").json["data"]
    assert (entry["action"], entry["data"]["changed"]["name"]) == ("webhook.change", ["mine", None])


def test_a_rotation_gives_a_new_secret(stored_service: Service) -> None:
    made = make(stored_service)
    rotated = stored_service.api.post(f"/v1/webhooks/{made['id']}/rotate", json={"overlap_seconds": 60})
    assert rotated.status_code == 200
    assert (rotated.json["id"], rotated.json["secret"] != made["secret"]) == (made["id"], True)


def test_jobs_are_told_of_and_can_be_told_again(stored_service: Service) -> None:
    made = make(stored_service, tags={"lesson": 1})
    stored_service.job()
    job = stored_service.job(tags={"lesson": 1}, name="xor")
    while stored_service.work():  # a first turn may go by with compiling kernels
        pass
    address = f"/v1/webhooks/{made['id']}/deliveries"
    (delivery,) = stored_service.api.get(address).json["data"]
    assert (delivery["type"], delivery["job"], delivery["state"], delivery["attempts"]) == ("job.succeeded", job, "pending", 0)
    document = stored_service.api.get(f"/v1/jobs/{job}").json
    told = delivery["payload"]["data"]
    assert {name: told[name] for name in ("id", "name", "state", "finished_at", "tags")} == {
        name: document[name] for name in ("id", "name", "state", "finished_at", "tags")
    }
    for which in ("best", "last"):
        result = {name: value for name, value in document["result"][which].items() if name != "tables"}
        assert told["result"][which] == result
    again = stored_service.api.post(f"{address}/{delivery['id']}/redeliver")
    assert (again.status_code, again.json["id"], again.json["state"]) == (202, delivery["id"], "pending")
    assert stored_service.api.get(f"{address}?state=succeeded").json["data"] == []
    stored_service.api.delete(f"/v1/webhooks/{made['id']}")
    assert stored_service.api.get(address).status_code == 404


def test_a_webhook_can_be_tried_unless_it_is_disabled(stored_service: Service) -> None:
    made = make(stored_service)
    tried = stored_service.api.post(f"/v1/webhooks/{made['id']}/test")
    assert (tried.status_code, tried.json["type"], tried.json["payload"]["data"]["webhook"]) == (202, "webhook.test", made["id"])
    stored_service.api.patch(f"/v1/webhooks/{made['id']}", json={"enabled": False})
    refused = stored_service.api.post(f"/v1/webhooks/{made['id']}/test")
    assert (refused.status_code, refused.json["code"]) == (409, "webhook_disabled")
    (dropped,) = stored_service.api.get(f"/v1/webhooks/{made['id']}/deliveries").json["data"]
    assert (dropped["state"], dropped["error"]) == ("failed", deliveries.DISABLED)


def test_a_webhook_of_one_address_has_no_delivery_of_another(service: Service) -> None:
    made, another = make(service), make(service)
    delivery = service.api.post(f"/v1/webhooks/{made['id']}/test").json["id"]
    assert service.api.post(f"/v1/webhooks/{another['id']}/deliveries/{delivery}/redeliver").status_code == 404
