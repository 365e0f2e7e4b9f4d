"""Many at once: slow clients keep nobody waiting, and more pollers than there is room for are told when to come again."""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest

pytestmark = pytest.mark.e2e

SLOW, POLLS, AT_ONCE = 200, 10_000, 200


@contextlib.contextmanager
def slow_clients(port: int) -> Iterator[None]:
    """So many connections whose requests arrive letter by letter, and are never complete."""
    sockets = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(SLOW)]
    over = threading.Event()

    def trickle() -> None:
        for letter in b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 10_000:
            for each in sockets:
                with contextlib.suppress(OSError):  # the server may have had enough of it
                    each.send(bytes([letter]))
            if over.wait(0.1):
                return

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for each in sockets:
            each.close()


def test_two_hundred_slow_clients_keep_nobody_waiting(embedded) -> None:
    client = embedded.start()
    list(client.jobs())
    with slow_clients(embedded.port):
        time.sleep(1)
        seconds = []
        for _ in range(200):
            started = time.monotonic()
            list(client.jobs())
            seconds.append(time.monotonic() - started)
    assert statistics.quantiles(seconds, n=100)[98] < 1.0


def test_ten_thousand_polls_are_answered_or_told_when_to_come_again(embedded) -> None:
    """Long polls of a job that does not end, two hundred at a time: far more than may wait at once."""
    client = embedded.start()
    job = client.train([{"type": "dense", "units": 1}], {"x": [0, 1, 2, 3], "y": [0, 1, 2, 3]}, target="y", epochs=1_000_000, batch_size=4)
    job.pause()
    while job.refresh().state != "paused":
        time.sleep(0.05)
    headers = {"Authorization": f"Bearer {(embedded.data_dir / 'key').read_text().strip()}", "Prefer": "wait=1"}
    answers: Counter[int] = Counter()
    lock = threading.Lock()

    def poll(times: int) -> None:
        seen: Counter[int] = Counter()
        connection = HTTPConnection("127.0.0.1", embedded.port, timeout=60)
        for _ in range(times):
            connection.request("GET", f"/v1/jobs/{job.id}", headers=headers)
            response = connection.getresponse()
            response.read()
            if response.status in (429, 503):
                assert int(response.headers["Retry-After"]) > 0
            seen[response.status] += 1
        connection.close()
        with lock:
            answers.update(seen)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(poll, [POLLS // AT_ONCE] * AT_ONCE))
    assert sum(answers.values()) == POLLS
    assert set(answers) <= {200, 304, 429, 503}
    assert answers[200] + answers[304] > 0
    assert job.cancel().state == "cancelled"
