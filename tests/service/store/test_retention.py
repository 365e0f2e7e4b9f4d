"""What will be deleted, and when: exactly what the clean-up deletes then, soonest first, and nobody else's."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from service.store import audit, checkpoints, claims, deliveries, idempotency, jobs, retention, trash, uploads, webhooks
from service.store.audit import Actor
from service.store.deliveries import EventType, Outcome
from service.store.idempotency import Once
from service.store.retention import Leaving, What
from service.store.states import Action
from service.store.webhooks import NewWebhook
from tests.service.store.conftest import Scene
from tests.service.store.test_deliveries import claim as claim_deliveries

AGES: dict[retention.Counted, float] = {
    "checkpoints": 100,
    "dataset": 200,
    "upload": 50,
    "delivery": 10,
    "audit": 1000,
    "idempotency": 70,
}


def told(scene: Scene, tenant_id: str = "default", limit: int = 100, after: Leaving | None = None, only: Sequence[What] = ()):
    ages = {what: AGES[what] for what in retention.ONE_BY_ONE}
    behind = after and (after.at, after.id)
    return list(retention.leaving(scene.store, tenant_id, ages, limit=limit, after=behind, only=only))


def ended(scene: Scene, outcome: str, tenant_id: str = "default") -> str:
    """A job of 100 steps that ended so, with checkpoints of 5 bytes at 10 and 20."""
    scene.job(tenant_id)
    claim = scene.claim()
    for step in (10, 20):
        checkpoints.save(scene.store, claim, step, 1, b"state")
    if outcome == "succeeded":
        scene.finish_with_snapshot(claim)
    else:
        jobs.request(scene.store, tenant_id, claim.job_id, Action(outcome))
        claims.release(scene.store, claim, scene.progress(20))
    return claim.job_id


class TestCheckpoints:
    def test_are_told_soonest_first_and_then_deleted(self, scene):
        first = ended(scene, "succeeded")
        scene.clock.step(5)
        second = ended(scene, "cancel")
        scene.clock.step(5)
        stopped = ended(scene, "stop")
        began = scene.clock() - 10
        found = told(scene)
        rows = [(first, 10, began + 100), (second, 10, began + 105), (stopped, 5, began + 110)]
        assert found == [Leaving("checkpoints", *row) for row in rows]
        assert told(scene, limit=1) == found[:1]
        assert told(scene, after=found[0]) == found[1:]
        scene.clock.step(92)
        checkpoints.remove_old(scene.store, 100)
        assert told(scene) == found[1:]
        scene.clock.step(20)
        checkpoints.remove_old(scene.store, 100)
        assert told(scene) == []
        assert checkpoints.newest(scene.store, stopped) == (20, 1, b"state")

    def test_of_another_tenant_are_not_told(self, scene):
        scene.tenant("other")
        ended(scene, "succeeded", "other")
        assert told(scene) == []
        assert len(told(scene, "other")) == 1

    def test_from_which_a_job_may_still_be_continued_are_not_told(self, scene):
        scene.job()
        checkpoints.save(scene.store, scene.claim(), 10, 1, b"state")
        assert told(scene) == []


def a_delivery(scene: Scene, tenant_id: str = "default") -> tuple[str, str, int]:
    """(webhook, delivery, bytes) of one that has arrived."""
    new = NewWebhook(tenant_id=tenant_id, url="https://example.com/", events=list(EventType))
    hook = webhooks.create(scene.store, new, answer=lambda _: b"{}")[0].id
    jobs.request(scene.store, tenant_id, scene.job(tenant_id), Action.CANCEL)
    (sent,) = claim_deliveries(scene)
    assert told(scene, tenant_id, only=["delivery"]) == [], "what is still to be sent stays"
    deliveries.finish(scene.store, sent, Outcome(204, None))
    return hook, sent.id, len(sent.body)


class TestEveryKind:
    @pytest.fixture
    def things(self, scene: Scene) -> list[Leaving]:
        """One of each, in the order in which they go."""
        now = scene.clock()
        hook, delivery, size = a_delivery(scene)
        upload = uploads.create(scene.store, "default", 9, None, answer=lambda _: b"").id
        uploads.append(scene.store, "default", upload, 0, b"abc")
        job = ended(scene, "succeeded")
        trash.put(scene.store, "default", scene.dataset())
        return [
            Leaving("delivery", delivery, size, now + 10, hook),
            Leaving("upload", upload, 3, now + 50),
            Leaving("checkpoints", job, 10, now + 100),
            Leaving("dataset", scene.dataset(), 48, now + 200),
        ]

    def test_is_told_soonest_first_in_pages_and_by_itself(self, scene, things):
        assert told(scene) == things
        assert [*told(scene, limit=2), *told(scene, after=things[1])] == things
        for thing in things:
            assert told(scene, only=[thing.what]) == [thing]
        scene.tenant("other")
        assert told(scene, "other") == []

    def test_is_gone_when_its_time_is_over_and_not_before(self, scene, things):
        removes = {
            "delivery": deliveries.remove_old,
            "upload": uploads.remove_expired,
            "checkpoints": checkpoints.remove_old,
            "dataset": trash.purge_old,
        }
        for number, thing in enumerate(things):
            scene.clock.seconds = thing.at - 1
            removes[thing.what](scene.store, AGES[thing.what])
            assert told(scene) == things[number:]
            scene.clock.seconds = thing.at + 1
            removes[thing.what](scene.store, AGES[thing.what])
            assert told(scene) == things[number + 1 :]

    def test_an_upload_that_became_a_dataset_frees_nothing(self, scene):
        upload = uploads.create(scene.store, "default", 3, None, answer=lambda _: b"").id
        uploads.append(scene.store, "default", upload, 0, b"abc")
        uploads.became(scene.store, uploads.get(scene.store, "default", upload), scene.dataset())
        assert [(each.id, each.bytes) for each in told(scene)] == [(upload, 0)]

    def test_says_when_the_next_goes(self, scene, things):
        assert retention.soonest(scene.store, "default", AGES) == {
            **{thing.what: thing.at for thing in things},
            "audit": None,
            "idempotency": None,
        }


def test_when_the_next_audit_entry_and_the_next_kept_answer_go_is_told(scene):
    began = scene.clock()
    audit.acts(Actor("key_1", None))
    try:
        for number in range(2):
            once = Once("/v1/jobs", f"key-{number}", "digest")
            jobs.create(scene.store, scene.new_job(), answer=lambda _: b"{}", once=once)
            scene.clock.step(5)
    finally:
        audit.acts(None)
    found = retention.soonest(scene.store, "default", AGES)
    assert (found["audit"], found["idempotency"]) == (began + 1000, began + 70)
    scene.clock.seconds = began + 71
    idempotency.remove_expired(scene.store, 70)
    assert retention.soonest(scene.store, "default", AGES)["idempotency"] == began + 75
    scene.tenant("other")
    assert set(retention.soonest(scene.store, "other", AGES).values()) == {None}
