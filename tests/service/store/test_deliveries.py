"""Deliveries: one for every webhook that hears of an event, in its transaction; claimed by one sender; made again, ever later."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from service.store import audit, claims, deliveries, jobs, reaping, webhooks
from service.store.audit import Actor, Filter
from service.store.claims import Ending
from service.store.database import Store
from service.store.deliveries import DeliveryState, EventType, Outcome, Outgoing, Room
from service.store.errors import NotFound, TooMany, WebhookDisabled
from service.store.models import Job, Webhook, WebhookDelivery
from service.store.states import Action
from service.store.webhooks import NewWebhook
from tests.service.store.conftest import Scene

LOST_SECONDS = 40.0
TAKEN, REFUSED = Outcome(204, None), Outcome(500, "The receiver answered 500.")


def hook(scene: Scene, tenant_id: str = "default", **fields: Any) -> str:
    new = NewWebhook(**{"tenant_id": tenant_id, "url": "https://example.com/", "events": list(EventType), **fields})
    return webhooks.create(scene.store, new, answer=lambda _: b"{}")[0].id


def room(**changes: Any) -> Room:
    wide: dict[str, Any] = {"free": 100, "failing_free": 100, "of_a_webhook": 100, "of_a_tenant": 100}
    return Room(**{**wide, "by_webhook": Counter(), "by_tenant": Counter(), **changes})


def claim(scene: Scene, **changes: Any) -> list[Outgoing]:
    return deliveries.claim(scene.store, room(**changes), LOST_SECONDS)


def rows(scene: Scene) -> list[WebhookDelivery]:
    with scene.store.read() as session:
        return list(session.scalars(sa.select(WebhookDelivery).order_by(WebhookDelivery.created_at, WebhookDelivery.id)))


def stored(scene: Scene, webhook_id: str) -> Webhook:
    return webhooks.get(scene.store, "default", webhook_id)


class TestAnnouncing:
    def test_tells_of_the_start_and_the_end_of_a_job(self, scene: Scene) -> None:
        hook(scene)
        job_id = scene.job(name="digits", tags={"lesson": 1})
        claim = scene.claim()
        claims.release(scene.store, claim, scene.progress(10))
        scene.finish_with_snapshot(scene.claim())
        bodies = [json.loads(row.body) for row in rows(scene)]
        assert [body["type"] for body in bodies] == ["job.started", "job.succeeded"]  # once, though it had two slices
        end = bodies[1]["data"]
        assert (end["id"], end["name"], end["tags"], end["state"], end["step"]) == (job_id, "digits", {"lesson": 1}, "succeeded", 100)
        assert end["result"]["best"]["loss"] == 0.1
        assert end["finished_at"] == bodies[1]["timestamp"]
        assert "spec" not in end

    @pytest.mark.parametrize(
        ("action", "told"), [(Action.PAUSE, ["job.paused"]), (Action.STOP, ["job.stopped"]), (Action.CANCEL, ["job.cancelled"])]
    )
    def test_tells_of_what_was_asked_for(self, scene: Scene, action: Action, told: list[str]) -> None:
        hook(scene)
        scene.request(scene.job(), action)
        assert [row.type for row in rows(scene)] == told

    def test_tells_of_a_job_that_was_lost_for_good(self, scene: Scene) -> None:
        hook(scene, events=["job.failed"])
        scene.job()
        scene.claim()
        scene.clock.step(1000)
        reaping.reap(scene.store, max_losses=1)
        (row,) = rows(scene)
        assert json.loads(row.body)["data"]["reason"]["code"] == "worker_lost"
        assert json.loads(row.body)["data"]["finished_at"] is not None

    def test_asks_only_webhooks_of_the_tenant_that_want_it(self, scene: Scene) -> None:
        scene.tenant("other")
        hook(scene, "other")
        hook(scene, enabled=False)
        hook(scene, events=["job.failed"])
        for tags in ({"lesson": 2}, {"lesson": "1"}, {"lesson": 1, "more": None}):
            hook(scene, tags=tags)
        wanted = [hook(scene, tags={"lesson": 1}), hook(scene)]
        scene.request(scene.job(tags={"lesson": 1, "kept": True}), Action.CANCEL)
        assert sorted(row.webhook_id for row in rows(scene)) == sorted(wanted)

    def test_is_undone_with_the_event(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        """No delivery without its event, and no event without its deliveries."""
        hook(scene)
        job_id = scene.job()
        monkeypatch.setattr(jobs.audit, "record", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scene.request(job_id, Action.CANCEL)
        assert rows(scene) == []
        assert scene.row(job_id).state == "queued"

    def test_of_a_webhook_that_is_deleted_meanwhile_ends_the_job_all_the_same(
        self, scene: Scene, another_store: Callable[[], Store]
    ) -> None:
        webhook_id = hook(scene)
        scene.job()
        claim = scene.claim()
        webhooks.delete(another_store(), "default", webhook_id)
        assert claims.finish(scene.store, claim, Ending(claims.Outcome.SUCCEEDED), scene.progress(100)) == "succeeded"


class TestClaiming:
    @pytest.fixture
    def due(self, scene: Scene) -> Callable[..., list[str]]:
        """Makes a webhook with so many deliveries that are due; answers it and them."""

        def make(count: int = 1, tenant_id: str = "default", **fields: Any) -> list[str]:
            webhook_id = hook(scene, tenant_id, **fields)
            made = [webhooks.send_test(scene.store, tenant_id, webhook_id, answer=lambda _: b"") for _ in range(count)]
            return [webhook_id, *(one.id for one in made)]

        return make

    def test_gives_a_delivery_to_one_sender_alone(self, scene: Scene, due: Any, store_url: str, scene_on: Callable[[str], Scene]) -> None:
        _, delivery_id = due()
        (sent,) = claim(scene)
        assert (sent.id, sent.attempt, sent.url, len(sent.secrets)) == (delivery_id, 1, "https://example.com/", 1)
        assert claim(scene_on(store_url)) == []

    def test_of_a_sender_that_died_goes_to_another_and_the_dead_one_writes_nothing(self, scene: Scene, due: Any) -> None:
        due()
        (lost,) = claim(scene)
        scene.clock.step(LOST_SECONDS)
        (again,) = claim(scene)
        assert (again.id, again.body, again.attempt) == (lost.id, lost.body, 2)
        deliveries.finish(scene.store, lost, TAKEN)
        assert rows(scene)[0].state == "pending"
        deliveries.finish(scene.store, again, TAKEN)
        assert (rows(scene)[0].state, claim(scene)) == ("succeeded", [])

    def test_leaves_room_for_others(self, scene: Scene, due: Any) -> None:
        scene.tenant("other")
        many, *_ = due(20)
        due(20)
        few, _ = due(1, tenant_id="other")
        taken = Counter(sent.webhook_id for sent in claim(scene, of_a_webhook=3, of_a_tenant=5))
        assert (taken[many] <= 3, taken[few], taken.total()) == (True, 1, 6)
        assert claim(scene, of_a_webhook=3, of_a_tenant=5, by_tenant=Counter(default=5)) == []
        assert len(claim(scene, free=2)) == 2

    def test_of_webhooks_that_take_nothing_comes_last_and_in_less_room(self, scene: Scene, due: Any) -> None:
        dead, *_ = due(10)
        (sent,) = claim(scene, free=1)
        deliveries.finish(scene.store, sent, REFUSED)
        scene.clock.step(1)
        well, *_ = due(3)
        assert [sent.webhook_id for sent in claim(scene, failing_free=2)] == [well] * 3 + [dead] * 2

    def test_signs_with_the_former_secret_while_it_lasts(self, scene: Scene, due: Any) -> None:
        webhook_id, _ = due()
        _, second = webhooks.rotate(scene.store, "default", webhook_id, overlap_seconds=100, answer=lambda _: b"")
        _, third = webhooks.rotate(scene.store, "default", webhook_id, overlap_seconds=200, answer=lambda _: b"")
        (sent,) = claim(scene)
        assert sent.secrets[:2] == (third, second)
        assert len(sent.secrets) == 3
        scene.clock.step(150)
        assert claim(scene)[0].secrets == (third, second)
        webhooks.rotate(scene.store, "default", webhook_id, overlap_seconds=0, answer=lambda _: b"")
        scene.clock.step(LOST_SECONDS)
        assert len(claim(scene)[0].secrets) == 1


class TestFailing:
    @pytest.fixture
    def webhook_id(self, scene: Scene) -> str:
        webhook_id = hook(scene)
        webhooks.send_test(scene.store, "default", webhook_id, answer=lambda _: b"")
        return webhook_id

    def fail(self, scene: Scene, outcome: Outcome = REFUSED) -> float | None:
        """Let the next attempt fail; answer in how many seconds there is another."""
        next_at = rows(scene)[0].next_at
        assert next_at is not None
        scene.clock.seconds = max(scene.clock.seconds, next_at)
        (sent,) = claim(scene)
        deliveries.finish(scene.store, sent, outcome)
        again = rows(scene)[0].next_at
        return None if again is None else again - scene.clock.seconds

    def test_is_tried_again_ever_later_for_about_a_day(self, scene: Scene, webhook_id: str) -> None:
        waits = []
        while (wait := self.fail(scene)) is not None:
            waits.append(wait)
        assert len(waits) == deliveries.MOST_ATTEMPTS - 1
        for wait, expected in zip(waits, (5, 20, 80, 320, 1280, 5120, 20480, 21600, 21600, 21600), strict=True):
            assert 0.8 * expected <= wait <= 1.2 * expected
        assert 0.75 * 86400 < sum(waits) < 1.3 * 86400
        (row,) = rows(scene)
        assert (row.state, row.attempts, row.status, row.error) == ("failed", 11, 500, "The receiver answered 500.")
        assert stored(scene, webhook_id).enabled

    def test_waits_as_long_as_the_receiver_asks_within_bounds(self, scene: Scene, webhook_id: str) -> None:
        assert self.fail(scene, Outcome(429, "busy", 1000.0)) == 1000.0
        assert self.fail(scene, Outcome(503, "busy", 1e9)) == deliveries.LONGEST_RETRY_SECONDS

    def test_with_410_disables_the_webhook_at_once_and_says_so_in_the_log(self, scene: Scene, webhook_id: str) -> None:
        webhooks.send_test(scene.store, "default", webhook_id, answer=lambda _: b"")
        audit.acts(Actor("service", None))
        try:
            (sent, _) = claim(scene)
            deliveries.finish(scene.store, sent, Outcome(410, "The receiver answered 410."))
        finally:
            audit.acts(None)
        found = stored(scene, webhook_id)
        assert (found.enabled, found.disabled_reason) == (False, "gone")
        assert {row.error for row in rows(scene)} == {"The receiver answered 410.", deliveries.DISABLED}
        assert {row.state for row in rows(scene)} == {"failed"}
        (entry,) = audit.page(scene.store, Filter(action="webhook.disable"), limit=10)
        assert (entry.key_id, entry.target, entry.tenant_id, entry.data["reason"]) == ("service", webhook_id, "default", "gone")

    def test_for_days_disables_the_webhook_and_a_success_in_between_does_not(self, scene: Scene, webhook_id: str) -> None:
        self.fail(scene)
        scene.clock.step(2 * 86400)
        (sent,) = claim(scene)
        deliveries.finish(scene.store, sent, TAKEN)
        assert stored(scene, webhook_id).failing_since is None
        for days in (0, 2, 1):
            scene.clock.step(days * 86400)
            assert stored(scene, webhook_id).enabled
            sent = Outgoing("msg_none", webhook_id, "default", 1, "", (), "")
            webhooks.send_test(scene.store, "default", webhook_id, answer=lambda _: b"")
            for sent in claim(scene):
                deliveries.finish(scene.store, sent, REFUSED)
        found = stored(scene, webhook_id)
        assert (found.enabled, found.disabled_reason) == (False, "failing")

    def test_is_forgotten_when_it_is_enabled_again(self, scene: Scene, webhook_id: str) -> None:
        self.fail(scene, Outcome(410, "gone"))
        with pytest.raises(WebhookDisabled):
            webhooks.send_test(scene.store, "default", webhook_id, answer=lambda _: b"")
        (row,) = rows(scene)
        with pytest.raises(WebhookDisabled):
            deliveries.redeliver(scene.store, "default", webhook_id, row.id)
        found = webhooks.change(scene.store, "default", webhook_id, {"enabled": True})
        assert (found.enabled, found.disabled_reason, found.failing_since) == (True, None, None)
        deliveries.redeliver(scene.store, "default", webhook_id, row.id)
        (again,) = claim(scene)
        assert (again.id, again.attempt) == (row.id, 1)


def test_a_disabled_webhook_drops_what_waits(scene: Scene) -> None:
    webhook_id = hook(scene)
    scene.request(scene.job(), Action.CANCEL)
    webhooks.change(scene.store, "default", webhook_id, {"enabled": False})
    assert [(row.state, row.error) for row in rows(scene)] == [("failed", deliveries.DISABLED)]
    webhooks.change(scene.store, "default", webhook_id, {"enabled": True})
    assert claim(scene) == []


def test_there_is_a_bound_to_webhooks_and_another_tenants_are_not_there(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST_WEBHOOKS", 2)
    webhook_id, _ = hook(scene), hook(scene)
    with pytest.raises(TooMany, match="There are 2 webhooks of this tenant"):
        hook(scene)
    scene.tenant("other")
    hook(scene, "other")
    for ask in (
        lambda: webhooks.get(scene.store, "other", webhook_id),
        lambda: webhooks.change(scene.store, "other", webhook_id, {}),
        lambda: webhooks.delete(scene.store, "other", webhook_id),
        lambda: deliveries.page(scene.store, "other", webhook_id, limit=1),
        lambda: deliveries.redeliver(scene.store, "other", webhook_id, "msg"),
    ):
        with pytest.raises(NotFound):
            ask()


def test_old_deliveries_and_those_of_no_webhook_are_removed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "REMOVED_ROWS", 2)
    webhook_id, gone = hook(scene), hook(scene)
    for _ in range(3):
        scene.request(scene.job(), Action.CANCEL)
    for sent in claim(scene):
        if sent.webhook_id == webhook_id:
            deliveries.finish(scene.store, sent, TAKEN)
    with scene.store.write() as session:
        session.delete(session.get(Webhook, gone))
    deliveries.remove_old(scene.store, 100.0)
    assert {(row.webhook_id, row.state) for row in rows(scene)} == {(webhook_id, DeliveryState.SUCCEEDED)}
    scene.clock.step(101)
    scene.request(scene.job(), Action.CANCEL)
    deliveries.remove_old(scene.store, 100.0)
    assert [row.state for row in rows(scene)] == ["pending"]


def test_without_webhooks_a_job_writes_nothing_more(scene: Scene) -> None:
    scene.job()
    scene.finish_with_snapshot(scene.claim())
    assert rows(scene) == []
    with scene.store.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Job)) == 1
