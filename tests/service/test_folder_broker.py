"""Messages in a folder: whole or not at all; what cannot be read is dropped, and nobody ends over it."""

from __future__ import annotations

import pytest

from service.queue import make_app, send_wake
from service.settings import Settings


@pytest.fixture
def settings(tmp_path):
    settings = Settings(data_dir=tmp_path)
    settings.make_data_dir()
    return settings


@pytest.fixture
def waiting(settings):
    app = make_app(settings)
    with app.connection_for_read() as connection, connection.SimpleQueue(app.amqp.queues["turns"]) as queue:
        yield queue


def files(settings):
    return sorted(file.name for file in settings.broker_dir.iterdir() if file.is_file())


@pytest.mark.parametrize("content", [b"", b"{xx", b"[]", b"7", b"null", b'{"body": "x"}', b'{"properties": []}', b"\xff\xfe"])
def test_a_message_that_cannot_be_read_is_dropped_and_the_next_is_taken(settings, waiting, content, caplog):
    (settings.broker_dir / "!first.turns.msg").write_bytes(content)
    assert send_wake(make_app(settings), 60)
    assert waiting.get(timeout=2).headers["task"] == "worker.turn"
    assert "!first.turns.msg" in caplog.text
    assert files(settings) == []


def test_a_message_that_is_being_written_is_not_seen(settings, waiting):
    (settings.broker_dir / ".1_half.turns.msg").write_bytes(b'{"bo')
    with pytest.raises(waiting.Empty):
        waiting.get(timeout=0.3)
    assert files(settings) == [".1_half.turns.msg"]
