"""An installation moves from SQLite to Postgres and goes on there; a copy that is killed leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import sankofa

pytestmark = pytest.mark.e2e

LAYERS = [{"type": "dense", "units": 64, "activation": "relu"}, {"type": "dense", "units": 10}]
OPTIONS: dict[str, Any] = {"optimizer": {"type": "adam", "learning_rate": 0.001}, "batch_size": 32, "seed": 11}
LONG, SHORT = 1500, 2
BIG_CHUNKS = 150


def copy(data_dir: Path, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sankofa", "migrate", "--data-dir", str(data_dir), "--copy-to", url, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_an_installation_moves_and_goes_on(embedded, new_postgres, redis_url, digits, until) -> None:
    client = embedded.start(SANKOFA_WEBHOOK_PRIVATE="1")
    data = client.datasets.upload(digits, name="digits")

    def train(epochs: int, name: str, **more: Any) -> sankofa.Job:
        return client.train(LAYERS, data, "label", epochs=epochs, name=name, **{**OPTIONS, **more})

    done = train(SHORT, "done").wait(60)
    unbroken = train(LONG, "unbroken").wait(120).weights_file()
    client.models.create("digits")
    client.models.add("digits", done.id)
    webhook = client.webhooks.create("http://127.0.0.1:9/", events=["job.succeeded"])
    client.tenants.create("acme", quotas={"running_jobs": 3})
    key = client.keys.create("second", tenant="acme", scopes=["read", "write"])["key"]
    paused = train(LONG, "paused")
    until(lambda: paused.refresh().state == "running" and paused.fraction > 0.1, 30)
    paused.pause()
    until(lambda: paused.refresh().state == "paused", 20)
    broken = train(LONG, "broken off")
    until(lambda: broken.refresh().state == "running" and broken.fraction > 0.1, 30)
    queued = train(SHORT, "queued", priority=-5)
    weights = done.weights_file()

    refused = copy(embedded.data_dir, new_postgres)
    _, stderr = refused.communicate(timeout=60)
    assert refused.returncode == 5
    assert "sankofa.db open. Stop the service first" in stderr
    embedded.stop()

    copied = copy(embedded.data_dir, new_postgres)
    stdout, stderr = copied.communicate(timeout=60)
    assert copied.returncode == 0, stderr
    said = json.loads(stdout)
    assert (said["rows"]["job"], said["rows"]["model_version"], said["rows"]["webhook"]) == (5, 1, 1)
    assert said["blobs"] >= 6
    assert said["damaged"] == []

    (embedded.data_dir / "sankofa.db").rename(embedded.data_dir / "before.db")  # nothing is read from it any more
    client = embedded.start(SANKOFA_DATABASE_URL=new_postgres, SANKOFA_BROKER_URL=redis_url, SANKOFA_WEBHOOK_PRIVATE="1")
    assert client.job(queued.id).wait(60).state == "succeeded"
    assert client.job(broken.id).wait(120).weights_file() == unbroken
    assert client.job(paused.id).state == "paused"
    assert client.job(paused.id).resume().wait(120).weights_file() == unbroken
    assert client.job(done.id).weights_file() == weights
    assert client.models.weights_file("digits@1") == weights
    assert [each["id"] for each in client.webhooks.list()] == [webhook["id"]]
    assert client.tenants.get("acme")["quotas"]["running_jobs"] == 3
    with sankofa.Client(client.url, key) as other:
        assert list(other.jobs()) == []
    again = client.train(LAYERS, client.datasets.upload(digits), "label", epochs=SHORT, **OPTIONS)
    assert again.document["dataset"] == data.id
    assert again.wait(60).weights_file() == weights


@pytest.mark.parametrize("victim", ["the command", "its process"])
def test_a_killed_copy_leaves_nothing_and_is_made_again(victim, migrated_sqlite, new_postgres, tmp_path, until, alive, descendants) -> None:
    path = tmp_path / "sankofa.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO blob_chunk VALUES ('blob_big', ?, ?, 0.0)", ((seq, os.urandom(1 << 20)) for seq in range(BIG_CHUNKS))
        )
    connection.close()
    engine = sa.create_engine(new_postgres, isolation_level="AUTOCOMMIT")

    def asked(query: str) -> Any:
        with engine.connect() as connection:
            return connection.scalar(sa.text(query))

    process = copy(tmp_path, new_postgres)
    written = "SELECT coalesce(pg_total_relation_size(to_regclass('blob_chunk')), 0)"
    until(lambda: asked(written) > 20 << 20, 60, lambda: process.poll())
    family = descendants(process.pid)
    copier = next(pid for pid in family if "service.store.copying" in Path(f"/proc/{pid}/cmdline").read_text())
    os.kill(process.pid if victim == "the command" else copier, signal.SIGKILL)
    process.wait(20)
    process.communicate()
    until(lambda: not alive(copier), 10)
    until(lambda: asked("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") == 1, 20)
    assert asked("SELECT count(*) FROM blob_chunk") == 0
    assert asked("SELECT count(*) FROM tenant") == 1

    process = copy(tmp_path, new_postgres)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["rows"]["blob_chunk"] == asked("SELECT count(*) FROM blob_chunk") == BIG_CHUNKS
    engine.dispose()
