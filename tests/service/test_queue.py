"""Wakes: sent by name to whatever broker the settings name, dropped when old, and never in anybody's way."""

from __future__ import annotations

import errno
import os
import secrets
import socket
import threading
import time

import pytest
from celery.utils.time import maybe_iso8601

from service import queue
from service.queue import QUEUE, TURN, Waker, make_app, send_wake
from service.settings import Settings


@pytest.fixture(params=["filesystem", "redis", "rabbitmq"])
def app(request, tmp_path):
    """The app on each broker, with a queue of the test's own."""
    url = None if request.param == "filesystem" else request.getfixturevalue(f"{request.param}_url")
    settings = Settings(data_dir=tmp_path / "data", broker_url=url)
    settings.make_data_dir()
    app = make_app(settings)
    app.conf.task_default_queue = f"{QUEUE}_test_{secrets.token_hex(4)}"
    yield app
    with app.connection_for_write() as connection:
        connection.default_channel.queue_delete(app.conf.task_default_queue)
    app.close()


def messages(app, wait_seconds=2.0):
    """The messages that lie in the app's queue, taken out of it."""
    found = []
    with app.connection_for_read() as connection, connection.SimpleQueue(app.amqp.queues[app.conf.task_default_queue]) as waiting:
        try:
            while True:
                message = waiting.get(timeout=wait_seconds)
                message.ack()
                found.append(message)
        except waiting.Empty:
            return found


class TestOnEveryBroker:
    def test_a_wake_is_one_message_that_names_the_task_and_carries_no_job(self, app):
        assert send_wake(app, expiry_seconds=60)
        (message,) = messages(app)
        assert message.headers["task"] == TURN
        assert message.content_type == "application/json"
        arguments, keywords, _ = message.decode()
        assert (arguments, keywords) == ([], {})

    def test_a_wake_says_when_it_is_too_old(self, app):
        before = time.time()
        send_wake(app, expiry_seconds=60)
        (message,) = messages(app)
        assert before + 59 < maybe_iso8601(message.headers["expires"]).timestamp() < time.time() + 61

    def test_every_wake_is_a_message_and_is_taken_once(self, app):
        send_wake(app, 60)
        send_wake(app, 60)
        assert len(messages(app)) == 2
        assert messages(app, wait_seconds=0.3) == []


class TestSettingsOfTheApp:
    """Each was learned from a loss."""

    @pytest.fixture
    def app(self, tmp_path):
        return make_app(Settings(data_dir=tmp_path, turn_seconds=20))

    def test_a_wake_is_acknowledged_late_and_a_lost_worker_brings_none_back(self, app):
        assert app.conf.task_acks_late is True
        assert app.conf.worker_prefetch_multiplier == 1
        assert app.conf.task_reject_on_worker_lost is False

    def test_celery_ends_a_turn_only_when_all_else_has_failed(self, app):
        """A checkpoint of gigabytes may take longer than a turn."""
        assert (app.conf.task_soft_time_limit, app.conf.task_time_limit) == (None, 1820)

    def test_nothing_is_unpickled_and_no_result_is_kept(self, app):
        assert app.conf.accept_content == ["json"]
        assert app.conf.task_ignore_result is True
        assert app.conf.result_backend is None

    def test_redis_does_not_give_a_message_to_two_while_a_turn_runs(self, tmp_path):
        app = make_app(Settings(data_dir=tmp_path, broker_url="redis://127.0.0.1:6379/9"))
        assert app.conf.broker_transport_options["visibility_timeout"] > 3600

    def test_the_embedded_broker_keeps_everything_in_its_own_folder(self, tmp_path):
        settings = Settings(data_dir=tmp_path)
        options = make_app(settings).conf.broker_transport_options
        folders = [value for name, value in options.items() if "folder" in name]
        assert len(folders) == 4
        assert all(os.path.commonpath([value, settings.broker_dir]) == str(settings.broker_dir) for value in folders)


class TestWaker:
    @pytest.fixture
    def sends(self, monkeypatch):
        """Sends that the test lets through one by one; `begun` counts those that have begun."""

        class Sends:
            def __init__(self):
                self.begun, self.let_through, self.raises = 0, threading.Semaphore(0), None

            def __call__(self, app, expiry_seconds):
                self.begun += 1
                assert self.let_through.acquire(timeout=10)

            def wait_for(self, number):
                give_up_at = time.monotonic() + 5
                while self.begun < number and time.monotonic() < give_up_at:
                    time.sleep(0.005)
                assert self.begun == number

        sends = Sends()
        monkeypatch.setattr(queue, "send_wake", sends)
        yield sends
        sends.let_through.release(1000)

    def test_wakes_asked_for_while_one_is_sent_become_one(self, sends):
        waker = Waker(None, 60)
        waker.wake()
        sends.wait_for(1)
        for _ in range(100):
            waker.wake()
        sends.let_through.release()
        sends.wait_for(2)
        sends.let_through.release()
        time.sleep(0.05)
        assert sends.begun == 2

    def test_wakes_asked_for_shortly_after_one_was_sent_become_one(self, sends, monkeypatch):
        monkeypatch.setattr(queue, "PAUSE_SECONDS", 0.3)
        sends.let_through.release(10)
        waker = Waker(None, 60)
        waker.wake()
        sends.wait_for(1)
        for _ in range(10):
            waker.wake()
            time.sleep(0.005)
        assert sends.begun == 1
        sends.wait_for(2)
        time.sleep(0.4)
        assert sends.begun == 2

    def test_a_wake_asked_for_after_one_was_sent_is_sent(self, sends):
        waker = Waker(None, 60)
        for number in (1, 2, 3):
            waker.wake()
            sends.wait_for(number)
            sends.let_through.release()
            time.sleep(0.02)
        assert sends.begun == 3

    def test_asking_returns_at_once_while_the_broker_hangs(self, sends):
        waker = Waker(None, 60)
        started = time.monotonic()
        for _ in range(100):
            waker.wake()
        assert time.monotonic() - started < 0.5


class TestABrokerThatDoesNotTakeIt:
    """The wake is dropped and said so; the reaper sends another."""

    @pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}/0", "amqp://guest:guest@127.0.0.1:{port}//"])
    def test_nobody_listens(self, tmp_path, caplog, url):
        """It is told within a second: a worker's lease runs on meanwhile."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        app = make_app(Settings(data_dir=tmp_path, broker_url=url.format(port=port)))
        started = time.monotonic()
        assert not send_wake(app, 60)
        assert time.monotonic() - started < 1
        assert "wake not sent" in caplog.text

    def test_it_accepts_and_never_answers(self, tmp_path):
        """Told within half a lease."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            app = make_app(Settings(data_dir=tmp_path, broker_url=f"redis://127.0.0.1:{server.getsockname()[1]}/0"))
            started = time.monotonic()
            assert not send_wake(app, 60)
            assert time.monotonic() - started < 15

    def test_its_disk_is_full(self, tmp_path, monkeypatch, caplog):
        settings = Settings(data_dir=tmp_path)
        settings.make_data_dir()
        app = make_app(settings)

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("pathlib.Path.write_bytes", full)
        assert not send_wake(app, 60)
        assert "No space left" in caplog.text
        assert [file for file in settings.broker_dir.iterdir() if file.is_file()] == []

    def test_its_folder_is_gone(self, tmp_path):
        app = make_app(Settings(data_dir=tmp_path / "gone"))
        assert not send_wake(app, 60)

    def test_the_waker_goes_on_with_the_next(self, tmp_path):
        settings = Settings(data_dir=tmp_path / "later")
        app = make_app(settings)
        waker = Waker(app, 60)
        waker.wake()
        time.sleep(0.2)
        settings.make_data_dir()
        give_up_at = time.monotonic() + 10
        while time.monotonic() < give_up_at and not any(file.is_file() for file in settings.broker_dir.iterdir()):
            waker.wake()
            time.sleep(0.05)
        assert messages(app)
