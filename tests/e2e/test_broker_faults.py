"""The broker only carries wakes: without it, with a wiped one, or with every message doubled, each job runs exactly once."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sankofa import Client, Job

pytestmark = pytest.mark.e2e

QUICK = {
    "target": "label",
    "network": {"layers": [{"type": "dense", "units": 32, "activation": "relu"}, {"type": "dense", "units": 10}]},
    "epochs": 3,
    "seed": 5,
}


class OwnRedis:
    """A Redis server of this test, to be killed, wiped and started again."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self._command = [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(folder),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def own_redis(tmp_path: Path, free_port: int) -> Iterator[OwnRedis]:
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server")
    redis = OwnRedis(tmp_path, free_port)
    yield redis
    redis.kill()


def submit(client: Client, dataset_id: str, seed: int = 5) -> Job:
    return client.submit({**QUICK, "dataset": dataset_id, "seed": seed})


def test_jobs_survive_a_broker_that_is_down_killed_and_wiped(networked, own_redis, digits) -> None:
    networked.environment["SANKOFA_BROKER_URL"] = own_redis.url
    own_redis.start()
    client = networked.start()
    data = client.datasets.upload(digits).id
    assert submit(client, data).wait(30).state == "succeeded"

    own_redis.kill()  # a dead broker delays no answer
    asked_at = time.monotonic()
    waiting = [submit(client, data, seed) for seed in range(5)]
    assert time.monotonic() - asked_at < 5.0
    time.sleep(2)
    own_redis.start()  # empty: whatever it held is gone
    for job in waiting:
        assert job.wait(60).state == "succeeded"

    long = client.submit({**QUICK, "dataset": data, "epochs": 20_000, "validation": {"fraction": 0.2}})
    deadline = time.monotonic() + 20
    while long.refresh().state != "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    own_redis.kill()
    own_redis.start()
    assert long.wait(120).state == "succeeded"
    assert [event.data["state"] for event in long.events() if event.type == "state"].count("succeeded") == 1


def test_a_hundred_wakes_for_one_job_are_one_claim(service, digits) -> None:
    client = service.start(SANKOFA_WORKERS="2")
    data = client.datasets.upload(digits).id
    from service.queue import make_app, send_wake
    from service.settings import Settings

    settings = Settings.from_environment(
        {name: value for name, value in service.environment.items() if name.startswith("SANKOFA_")}, data_dir=service.data_dir
    )
    app = make_app(settings)
    for _ in range(50):
        assert send_wake(app, 60)
    job = submit(client, data)
    for _ in range(50):
        assert send_wake(app, 60)
    assert job.wait(60).state == "succeeded"
    time.sleep(3)
    assert [event.data["state"] for event in job.events() if event.type == "state"] == ["queued", "running", "succeeded"]
