"""Webhooks of a whole installation, whose processes are killed meanwhile: every end of a job arrives, and no receiver delays a job."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

import sankofa
from tests.receiver import Received, receiving

pytestmark = pytest.mark.e2e

XOR = {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}
LAYERS = [{"type": "dense", "units": 4, "activation": "tanh"}, {"type": "dense", "units": 1}]
CLOSED_NETWORK = {"SANKOFA_WEBHOOK_PRIVATE": "1", "SANKOFA_WEBHOOK_TIMEOUT_SECONDS": "1"}


def test_every_end_arrives_though_the_sender_is_killed(service: Any, until: Callable[..., Any]) -> None:
    """It is killed while a receiver has the first message and has not answered: that one comes again, under the same id."""
    client = service.start(**CLOSED_NETWORK)
    killed = threading.Event()

    def hold_the_first(handler: BaseHTTPRequestHandler, received: Received) -> None:
        if not killed.is_set():
            (reaper,) = service.pids("worker.reaper")
            os.kill(reaper, signal.SIGKILL)
            killed.set()
            return
        handler.send_response(204)
        handler.end_headers()

    with receiving(hold_the_first) as receiver:
        webhook = client.webhooks.create(receiver.url)
        dataset = client.datasets.upload(XOR)
        jobs = [client.train(LAYERS, dataset, "y", epochs=5, batch_size=4, seed=seed) for seed in range(5)]
        for job in jobs:
            job.wait(60)
        ends_at = time.monotonic() + 60
        while {one.json["data"]["id"] for one in list(receiver.received)[1:]} != {job.id for job in jobs}:
            assert time.monotonic() < ends_at, list(client.webhooks.deliveries(webhook["id"]))
            time.sleep(0.05)
        first = receiver.received[0]
        assert receiver.ids().count(first.id) == 2
        until(lambda: {one["state"] for one in client.webhooks.deliveries(webhook["id"])} == {"succeeded"}, 10)
        for received in receiver.received[1:]:
            told = sankofa.verify_webhook(received.body, received.headers, webhook["secret"])
            assert (told["type"], told["data"]["state"]) == ("job.succeeded", "succeeded")


def test_a_receiver_that_never_answers_delays_no_job_and_no_lease(embedded: Any) -> None:
    client = embedded.start(**CLOSED_NETWORK)
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        for _ in range(5):
            client.webhooks.create(f"http://127.0.0.1:{silent.getsockname()[1]}/", ["job.started", "job.succeeded"])
        dataset = client.datasets.upload(XOR)
        client.train(LAYERS, dataset, "y", epochs=5, batch_size=4).wait(60)
        endless = client.train(LAYERS, dataset, "y", epochs=5_000_000, batch_size=4)
        while endless.refresh().state != "running":
            time.sleep(0.05)
        (child, *_) = embedded.worker_children()
        os.kill(child, signal.SIGKILL)
        started, slices = time.monotonic(), endless.document["slices"]
        while endless.refresh().document["slices"] == slices:  # its lease is ended, and it is taken again
            assert time.monotonic() - started < 15
            time.sleep(0.05)
        endless.cancel()
        assert client.train(LAYERS, dataset, "y", epochs=5, batch_size=4).wait(60).state == "succeeded"
        stopped = time.monotonic()
        assert embedded.stop() == 0
        assert time.monotonic() - stopped < 10
