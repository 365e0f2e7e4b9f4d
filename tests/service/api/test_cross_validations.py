"""Cross-validations: all folds or none, disjoint and whole, and a summary of those that have a result."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from sankofa import Client, InvalidRequest
from service.store import claims
from service.store.claims import Ending, Progress
from service.store.ids import new_id
from service.store.models import CrossValidation, IdempotencyKey, Job
from service.store.states import Outcome
from tests.service.api.conftest import KEY, Caller, Service

ROWS = 40
POINTS = {"columns": {"x": [[row % 7, row % 3] for row in range(ROWS)], "y": [row % 2 for row in range(ROWS)]}}


def body(service: Service, **fields: Any) -> dict[str, Any]:
    return service.spec(dataset=service.dataset(POINTS), **{"epochs": 3, "folds": 3, **fields})


def created(service: Service, **fields: Any) -> dict[str, Any]:
    """A new cross-validation, as it was answered."""
    response = service.api.post("/v1/cross_validations", json=body(service, **fields))
    assert response.status_code == 202, response.text
    found: dict[str, Any] = response.json
    assert response.headers["Location"] == found["links"]["self"]
    return found


def shown(service: Service, made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = service.api.get(made["links"]["self"]).json
    return found


def work(service: Service, made: dict[str, Any]) -> dict[str, Any]:
    """The cross-validation when all its jobs have ended."""
    while not shown(service, made)["terminal"]:  # compiling may take longer than a turn
        service.work()
    return shown(service, made)


def rows_in(service: Service, *tables: type) -> list[int]:
    with service.store.read() as session:
        return [session.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in tables]


def test_the_folds_are_trained_and_told_together(stored_service: Service) -> None:
    service = stored_service
    made = created(service, name="points", tags={"lesson": 1}, test={"fraction": 0.1}, priority=3)
    assert (made["name"], made["folds"], made["counts"], made["terminal"]) == ("points", 3, {"queued": 3}, False)
    assert [fold["fold"] for fold in made["jobs"]] == [0, 1, 2]
    assert made["summary"] == {"folds": 0, "validation": {}, "test": None}
    found = work(service, made)
    assert (found["counts"], found["deleted"], found["summary"]["folds"]) == ({"succeeded": 3}, 0, 3)
    jobs = [service.api.get(f"/v1/jobs/{fold['job']}").json for fold in found["jobs"]]
    for fold, job in zip(found["jobs"], jobs, strict=True):
        assert (job["cross_validation"], job["links"]["cross_validation"]) == (made["id"], made["links"]["self"])
        assert (job["name"], job["tags"], job["priority"]) == ("points", {"lesson": 1}, 3)
        assert job["spec"]["fold"] == {"of": 3, "number": fold["fold"]}
        assert (fold["state"], fold["fraction"], fold["epoch"]) == ("succeeded", 1.0, 3)
        assert (fold["best"], fold["test"]) == (job["result"]["best"], job["result"]["test"])
    for kind, measures in (
        ("validation", [{"loss": job["result"]["best"]["validation_loss"], **job["result"]["best"]["metrics"]} for job in jobs]),
        ("test", [{"loss": job["result"]["test"]["loss"], **job["result"]["test"]["metrics"]} for job in jobs]),
    ):
        assert set(found["summary"][kind]) == {"loss", "accuracy"}
        for name, spread in found["summary"][kind].items():
            numbers = [measure[name] for measure in measures]
            assert spread["mean"] == pytest.approx(fmean(numbers))
            assert spread["standard_deviation"] == pytest.approx(stdev(numbers))
            assert (spread["minimum"], spread["maximum"], spread["folds"]) == (min(numbers), max(numbers), 3)


def test_the_folds_are_disjoint_and_hold_every_row_once_but_those_of_the_test(stored_service: Service) -> None:
    """Also where no seed is given."""
    made = created(stored_service, folds=4, seed=None, test={"fraction": 0.25})
    splits = [stored_service.api.get(f"/v1/jobs/{fold['job']}/split").json for fold in made["jobs"]]
    held_out = [row for split in splits for row in split["validation_rows"]]
    assert {tuple(split["test_rows"]) for split in splits} == {tuple(splits[0]["test_rows"])}
    assert sorted(held_out + splits[0]["test_rows"]) == list(range(ROWS))
    assert [fold["validation_rows"] for fold in made["jobs"]] == [len(split["validation_rows"]) for split in splits]


def test_the_same_seed_gives_the_same_result(service: Service) -> None:
    first, second = (work(service, created(service, folds=2)) for _ in range(2))
    assert first["summary"] == second["summary"]
    assert first["summary"]["folds"] == 2
    assert [fold["best"] for fold in first["jobs"]] == [fold["best"] for fold in second["jobs"]]
    other = work(service, created(service, folds=2, seed=8))
    assert other["summary"]["validation"]["loss"] != first["summary"]["validation"]["loss"]


def test_the_client_waits_for_the_folds_that_a_worker_trains(service: Service) -> None:
    with Client("http://service.example", KEY, transport=httpx2.WSGITransport(app=service.app)) as client:
        layers, loss = [{"type": "dense", "units": 1}], {"type": "binary_cross_entropy"}
        made = client.cross_validate(layers, POINTS["columns"], "y", folds=2, loss=loss, epochs=2, metrics=["accuracy", "f1_macro"])
        assert [job.spec["fold"]["number"] for job in made.jobs] == [0, 1]
        work(service, made.document)
        found = made.wait()
        assert found.counts == {"succeeded": 2}
        assert set(found.summary["validation"]) == {"loss", "accuracy", "f1_macro"}
        assert [each["id"] for each in client.cross_validations()] == [made.id]
        assert client.cross_validation(made.id).document == found.document
        assert [job.id for job in client.jobs()] == [job.id for job in made.jobs][::-1]
        with pytest.raises(InvalidRequest, match="leave it out"):
            client.cross_validate(layers, POINTS["columns"], "y", validation={"fraction": 0.2})


def test_only_folds_with_a_result_count(stored_service: Service) -> None:
    """One fails, one is cancelled, one succeeds: of one fold there is no deviation."""
    service = stored_service
    made = created(service)
    claim = claims.claim(service.store, "worker_1", "cpu", 30)
    assert claim is not None
    assert claim.job_id == made["jobs"][0]["job"]  # folds are taken in their order
    claims.finish(service.store, claim, Ending(Outcome.FAILED, reason=("diverged", "The loss is not finite.")), Progress(1, 0, {}, 0.0))
    service.api.post(f"/v1/jobs/{made['jobs'][2]['job']}/cancel")
    found = work(service, made)
    assert found["counts"] == {"succeeded": 1, "failed": 1, "cancelled": 1}
    assert [fold["best"] is not None for fold in found["jobs"]] == [False, True, False]
    assert found["jobs"][0]["reason"] == {"code": "diverged", "message": "The loss is not finite."}
    loss = found["jobs"][1]["best"]["validation_loss"]
    spread = {"mean": loss, "standard_deviation": None, "minimum": loss, "maximum": loss, "folds": 1}
    assert (found["summary"]["folds"], found["summary"]["validation"]["loss"]) == (1, spread)


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"folds": 1}, ["/folds"]),
        ({"folds": 21}, ["/folds"]),
        ({"folds": "five", "epochs": 0, "target": "z"}, ["/epochs", "/folds", "/target"]),
        ({"folds": 20, "test": {"fraction": 0.6}}, ["/folds"]),
        ({"fold": {"of": 5, "number": 0}, "validation": {}}, ["/fold", "/validation"]),
        ({"split_column": "x", "parent": {"job": new_id("job")}}, ["/parent", "/split_column"]),
        ({"nonsense": 1, "metrics": ["nonsense"]}, ["/metrics/0", "/nonsense"]),
    ],
)
def test_what_is_wrong_is_named_at_once_and_nothing_is_written(service: Service, fields: dict[str, Any], pointers: list[str]) -> None:
    refused = service.api.post("/v1/cross_validations", json=body(service, **fields), headers={"Idempotency-Key": "once"})
    assert refused.status_code == 422
    assert sorted(fault["pointer"] for fault in refused.json["errors"]) == pointers
    assert rows_in(service, CrossValidation, Job, IdempotencyKey) == [0, 0, 0]


def test_what_the_folds_stand_for_is_not_said_to_be_allowed(service: Service) -> None:
    (fault,) = service.api.post("/v1/cross_validations", json=body(service, flods=3)).json["errors"]
    assert 'Did you mean "folds"?' in fault["message"]
    assert {"folds", "test", "seed"} < set(fault["expected"].split(", "))
    assert not {"fold", "validation", "split_column", "parent"} & set(fault["expected"].split(", "))


def test_what_is_wrong_with_one_fold_alone_is_named_and_nothing_is_written(service: Service) -> None:
    """Whichever holds out the group of 3 rows trains on 9: in batches of 4 a single row is left."""
    groups = ["a"] * 4 + ["b"] * 3 + ["c"] * 5
    dataset = service.dataset({"columns": {"x": list(range(12)), "y": [row % 2 for row in range(12)], "whose": groups}})
    layers = [{"type": "dense", "units": 2}, {"type": "batch_norm"}, {"type": "dense", "units": 1}]
    sent = service.spec(dataset=dataset, inputs=["x"], group="whose", batch_size=4, network={"layers": layers})
    alone = [service.api.post("/v1/jobs", json={**sent, "fold": {"of": 3, "number": fold}}).status_code for fold in range(3)]
    assert sorted(alone) == [202, 202, 422]
    assert alone[0] == 202
    refused = service.api.post("/v1/cross_validations", json={**sent, "folds": 3})
    assert (refused.status_code, [fault["pointer"] for fault in refused.json["errors"]]) == (422, ["/batch_size"])
    assert rows_in(service, CrossValidation, Job) == [0, 2]


def test_nulls_in_place_of_what_the_folds_do_are_taken(service: Service) -> None:
    made = created(service, fold=None, validation=None, split_column=None, parent=None)
    assert made["folds"] == 3


def test_a_dataset_that_is_not_there_is_told_as_such(service: Service) -> None:
    refused = service.api.post("/v1/cross_validations", json=service.spec(dataset=new_id("ds")))
    assert (refused.status_code, refused.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(("limit", "status"), [(3, 429), (4, 202)])
def test_all_folds_have_a_place_in_the_queue_or_none(stored_service: Service, limit: int, status: int) -> None:
    service = stored_service
    service.job()
    service.api.patch("/v1/tenants/default", json={"quotas": {"queued_jobs": limit}})
    response = service.api.post("/v1/cross_validations", json=body(service), headers={"Idempotency-Key": "once"})
    assert response.status_code == status
    if status == 429:
        told = (response.json["quota"], response.json["limit"], response.json["used"])
        assert told == ("queued_jobs", 3, 1)
        assert "this would add 3" in response.json["detail"]
        assert rows_in(service, CrossValidation, Job, IdempotencyKey) == [0, 1, 0]


def test_a_request_that_is_sent_again_makes_nothing(stored_service: Service) -> None:
    service = stored_service
    sent = body(service, seed=None)
    first, again = (service.api.post("/v1/cross_validations", json=sent, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert (again.data, again.headers["Idempotent-Replayed"]) == (first.data, "true")
    assert rows_in(service, CrossValidation, Job) == [1, 3]
    other = service.api.post("/v1/cross_validations", json={**sent, "folds": 4}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json["code"]) == (422, "idempotency_conflict")


def test_jobs_are_found_and_asked_by_their_cross_validation(stored_service: Service) -> None:
    service = stored_service
    alone, made, other = service.job(), created(service), created(service, folds=2)
    ids = [fold["job"] for fold in made["jobs"]]
    assert [job["id"] for job in service.api.get(made["links"]["jobs"]).json["data"]] == ids[::-1]
    asked = service.api.post("/v1/jobs/actions", json={"action": "pause", "cross_validation": made["id"]}).json
    assert asked == {"changed": ids, "more": False}
    assert (shown(service, made)["counts"], shown(service, other)["counts"]) == ({"paused": 3}, {"queued": 2})
    assert service.api.get(f"/v1/jobs/{alone}").json["cross_validation"] is None


def test_cancelled_it_ends_every_fold_that_has_not_ended(stored_service: Service) -> None:
    service = stored_service
    made, other = created(service), created(service)
    service.api.post(f"/v1/jobs/{made['jobs'][0]['job']}/stop")
    response = service.api.post(f"{made['links']['self']}/cancel")
    assert (response.status_code, response.json["counts"], response.json["terminal"]) == (202, {"stopped": 1, "cancelled": 2}, True)
    assert "cancel" not in response.json["links"]
    assert service.api.post(f"{made['links']['self']}/cancel").status_code == 200
    assert shown(service, other)["counts"] == {"queued": 3}


def test_it_is_listed_newest_first_page_by_page(stored_service: Service) -> None:
    service = stored_service
    ids = [created(service, name=f"number {number}", folds=2)["id"] for number in range(3)][::-1]
    service.api.post(f"/v1/cross_validations/{ids[0]}/cancel")
    first = service.api.get("/v1/cross_validations?limit=2").json
    second = service.api.get(f"/v1/cross_validations?limit=2&cursor={first['next_cursor']}").json
    assert [each["id"] for each in first["data"] + second["data"]] == ids
    assert second["next_cursor"] is None
    told = [(each["counts"], each["deleted"], each["terminal"]) for each in first["data"]]
    assert told == [({"cancelled": 2}, 0, True), ({"queued": 2}, 0, False)]


def test_of_jobs_that_were_deleted_it_says_that_they_are_gone(stored_service: Service) -> None:
    service = stored_service
    made = created(service, folds=2)
    service.api.post(f"{made['links']['self']}/cancel")
    assert service.api.delete(f"/v1/jobs/{made['jobs'][0]['job']}").status_code == 200
    found = shown(service, made)
    assert (found["folds"], found["deleted"], found["counts"], [fold["fold"] for fold in found["jobs"]]) == (2, 1, {"cancelled": 1}, [1])
    service.api.delete(f"/v1/jobs/{made['jobs'][1]['job']}")
    found = shown(service, made)
    assert (found["deleted"], found["counts"], found["jobs"], found["terminal"]) == (2, {}, [], True)


def test_it_is_deleted_with_all_its_jobs_or_not_at_all(stored_service: Service) -> None:
    service = stored_service
    alone, made = service.job(), created(service, folds=2)
    service.api.post(f"/v1/jobs/{made['jobs'][0]['job']}/cancel")
    refused = service.api.delete(made["links"]["self"])
    assert (refused.status_code, refused.json["code"]) == (409, "illegal_action")
    assert refused.json["detail"].startswith(f"The job {made['jobs'][1]['job']} is queued; it cannot be deleted.")
    assert shown(service, made)["deleted"] == 0
    work(service, made)
    freed = service.api.delete(made["links"]["self"]).json
    assert (freed["id"], freed["freed_bytes"] > 0) == (made["id"], True)
    assert service.api.get(made["links"]["self"]).status_code == 404
    assert [job["id"] for job in service.api.get("/v1/jobs").json["data"]] == [alone]
    assert rows_in(service, CrossValidation) == [0]


def test_another_tenant_knows_nothing_of_it(stored_service: Service) -> None:
    service = stored_service
    made, stranger = created(service), service.caller("acme", ["read", "write"])
    address = made["links"]["self"]
    answers = [stranger.get(address), stranger.post(f"{address}/cancel"), stranger.delete(address)]
    assert [(answer.status_code, answer.json["code"]) for answer in answers] == [(404, "not_found")] * 3
    assert stranger.get("/v1/cross_validations").json["data"] == []
    assert stranger.get(made["links"]["jobs"]).json["data"] == []
    assert shown(service, made)["counts"] == {"queued": 3}
    reader: Caller = service.caller("default", ["read"])
    assert reader.get(address).status_code == 200
    assert reader.post(f"{address}/cancel").status_code == 403


def test_it_can_be_waited_for(service: Service) -> None:
    made = created(service, folds=2)
    first = service.api.get(made["links"]["self"])
    known = {"If-None-Match": first.headers["ETag"]}
    assert service.api.get(made["links"]["self"], headers=known).status_code == 304
    held = service.api.get(made["links"]["self"], headers={**known, "Prefer": "wait=1"})
    assert (held.status_code, held.headers["Preference-Applied"]) == (304, "wait=1")
    service.api.post(f"{made['links']['self']}/cancel")
    changed = service.api.get(made["links"]["self"], headers={**known, "Prefer": "wait=30"})
    assert (changed.status_code, changed.json["terminal"]) == (200, True)
