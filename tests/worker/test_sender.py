"""The sender against real receivers: what is recorded arrives, a slow receiver holds nobody up, and who dies loses nothing."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import structlog

import sankofa
from service.settings import Settings
from service.store import audit, deliveries, webhooks
from service.store.audit import Filter
from service.store.database import Store
from service.store.deliveries import Room
from service.store.models import Tenant
from service.store.webhooks import NewWebhook
from tests.receiver import Received, receiving
from worker import sender as module
from worker.sender import Sender


@pytest.fixture
def settings(store: Store, tmp_path: Path) -> Settings:
    url = store.url.render_as_string(hide_password=False)
    return Settings(data_dir=tmp_path, database_url=url, webhook_private=True, webhook_timeout_seconds=2)


@pytest.fixture
def sender(settings: Settings) -> Iterator[Sender]:
    made = Sender(settings)
    yield made
    made.end()
    if made.is_alive():
        made.join()
    for thread in list(made._under_way):
        thread.join()
    made._store.close()


def hook(store: Store, url: str, count: int = 1) -> tuple[str, str, list[str]]:
    """A webhook with so many deliveries: its id, its secret, and theirs."""
    made, secret = webhooks.create(store, NewWebhook("default", url, ["job.failed"]), answer=lambda _: b"")
    sent = [webhooks.send_test(store, "default", made.id, answer=lambda _: b"").id for _ in range(count)]
    return made.id, secret, sent


def state(store: Store, webhook_id: str) -> list[str]:
    return [row.state for row in deliveries.page(store, "default", webhook_id, limit=500)]


def until_delivered(store: Store, webhook_id: str, seconds: float = 20.0) -> None:
    ends_at = time.monotonic() + seconds
    while set(state(store, webhook_id)) != {"succeeded"}:
        assert time.monotonic() < ends_at, state(store, webhook_id)
        time.sleep(0.02)


def test_what_is_recorded_arrives_once_and_signed(store: Store, sender: Sender) -> None:
    sender.start()
    with receiving() as receiver:
        webhook_id, secret, sent = hook(store, receiver.url, 10)
        until_delivered(store, webhook_id)
        assert sorted(receiver.ids()) == sorted(sent)
        for received in receiver.received:
            assert sankofa.verify_webhook(received.body, received.headers, secret)["type"] == "webhook.test"


def test_a_failure_is_made_good_later_with_the_same_id(store: Store, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "FIRST_RETRY_SECONDS", 0.05)

    def at_the_third_time(handler: BaseHTTPRequestHandler, received: Received) -> None:
        handler.send_response(204 if len(receiver.received) >= 3 else 503)
        handler.end_headers()

    with receiving(at_the_third_time) as receiver:
        sender.start()
        webhook_id, _, (sent,) = hook(store, receiver.url)
        until_delivered(store, webhook_id)
        assert receiver.ids() == [sent] * 3
        assert len({received.body for received in receiver.received}) == 1


def test_410_disables_and_the_service_is_named_in_the_log(store: Store, sender: Sender) -> None:
    with receiving(410) as receiver:
        webhook_id, _, _ = hook(store, receiver.url)
        sender.start()
        receiver.wait_for(1)
        ends_at = time.monotonic() + 10
        while webhooks.get(store, "default", webhook_id).enabled and time.monotonic() < ends_at:
            time.sleep(0.02)
    (entry,) = audit.page(store, Filter(action="webhook.disable"), limit=10)
    assert (entry.key_id, entry.target, entry.data["reason"]) == ("service", webhook_id, "gone")


def test_what_was_not_taken_is_told_with_its_reason(store: Store, sender: Sender) -> None:
    with receiving(503) as receiver, structlog.testing.capture_logs() as lines:
        hook(store, receiver.url)
        sender.start()
        receiver.wait_for(1)
        ends_at = time.monotonic() + 10
        while not lines and time.monotonic() < ends_at:
            time.sleep(0.02)
    told = next(line for line in lines if line["event"] == "webhook not taken")
    assert (told["log_level"], told["status"]) == ("warning", 503)
    assert "503" in told["error"]


def test_receivers_that_never_answer_hold_up_no_other(store: Store, sender: Sender) -> None:
    """More deliveries than there are threads, to receivers that accept and say nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=500) as silent, receiving() as receiver:
        for _ in range(20):
            hook(store, f"http://127.0.0.1:{silent.getsockname()[1]}/", module.OF_A_WEBHOOK)
        with store.write() as session:
            session.add(Tenant(id="other", name="other", created_at=0.0))
        made, _ = webhooks.create(store, NewWebhook("other", receiver.url, ["job.failed"]), answer=lambda _: b"")
        webhooks.send_test(store, "other", made.id, answer=lambda _: b"")
        started = time.monotonic()
        sender.start()
        receiver.wait_for(1)
        assert time.monotonic() - started < 1.5  # less than one of the silent ones takes


def test_what_a_dead_sender_had_is_sent_by_another(store: Store, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        webhook_id, _, (sent,) = hook(store, receiver.url)
        one = Room(1, 1, 1, 1, Counter(), Counter())
        assert [taken.id for taken in deliveries.claim(store, one, 0.5)] == [sent]  # by one that dies now
        sender.start()
        until_delivered(store, webhook_id)
        assert receiver.ids() == [sent]


def test_addresses_that_are_not_public_are_not_sent_to_without_the_setting(store: Store, settings: Settings) -> None:
    careful = Sender(settings.model_copy(update={"webhook_private": False}))
    with receiving() as receiver:
        webhook_id, _, _ = hook(store, receiver.url)
        careful.start()
        ends_at = time.monotonic() + 10
        while (row := deliveries.page(store, "default", webhook_id, limit=1)[0]).error is None and time.monotonic() < ends_at:
            time.sleep(0.02)
        careful.end()
        careful.join()
        assert receiver.received == []
    assert row.error is not None
    assert row.error.startswith("Not sent: ")
    careful._store.close()


def test_a_sender_that_is_asked_to_end_does_not_wait_for_a_receiver(store: Store, sender: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hook(store, f"http://127.0.0.1:{silent.getsockname()[1]}/", 3)
        sender.start()
        with silent.accept()[0] as connection:
            connection.recv(1)
            started = time.monotonic()
            sender.end()
            sender.join()
            assert time.monotonic() - started < module.END_SECONDS + 0.8
