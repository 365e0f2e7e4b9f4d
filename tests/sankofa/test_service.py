"""Client, commands and supervisor with the real service: real processes, real signals."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sankofa import Client, InvalidFile, JobCancelled, read_safetensors, safetensors_metadata
from sankofa.commands.exits import Exit
from sankofa.errors import Conflict, InvalidRequest, NotAllowed, NotFound
from tests.sankofa.processes import processes_of, until

pytestmark = pytest.mark.e2e

XOR = {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}
LAYERS = [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dense", "units": 1}]
OPTIONS: dict[str, Any] = {"optimizer": {"type": "adam", "learning_rate": 0.05}, "batch_size": 4, "seed": 7}
ENDLESS = 5_000_000


class Serve:
    """`sankofa serve --json` on a free port."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.stderr = folder / "stderr"
        command = [sys.executable, "-m", "sankofa", "serve", "--json", "--port", "0", "--data-dir", str(self.data_dir)]
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline() or self.stderr.read_text())
        self.client = Client(self.ready["url"], (self.data_dir / "key").read_text().strip())

    def command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A `sankofa` command of somebody on this machine."""
        environment = {**os.environ, "SANKOFA_URL": self.ready["url"], "SANKOFA_DATA_DIR": str(self.data_dir), **variables}
        return subprocess.run(
            [sys.executable, "-m", "sankofa", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    def rest_of_stdout(self) -> list[dict[str, Any]]:
        assert self.process.stdout is not None
        return [json.loads(line) for line in self.process.stdout]

    def close(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """One that the tests of this module share."""
    service = Serve(tmp_path_factory.mktemp("shared"))
    yield service
    service.close()


@pytest.fixture
def own_serve(tmp_path: Path) -> Iterator[Serve]:
    """One to be stopped and killed."""
    service = Serve(tmp_path)
    yield service
    service.close()


@pytest.fixture(scope="module")
def dataset_id(serve: Serve) -> str:
    return serve.client.datasets.upload(XOR, name="xor").id


@pytest.fixture
def endless(serve: Serve, dataset_id: str) -> Iterator[Any]:
    """A job that is training and would do so for hours."""
    job = serve.client.train(LAYERS, dataset_id, "y", epochs=ENDLESS, **OPTIONS)
    until(lambda: job.refresh().state == "running")
    yield job
    if not job.refresh().terminal:
        job.cancel()


def test_serve_says_where_it_is(serve: Serve) -> None:
    assert serve.ready["event"] == "ready"
    assert serve.ready["pid"] == serve.process.pid
    assert serve.ready["data_dir"] == str(serve.data_dir)
    assert serve.ready["key_path"] == str(serve.data_dir / "key")
    assert stat.S_IMODE((serve.data_dir / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(serve.data_dir.stat().st_mode) == 0o700


def test_what_the_service_writes_is_its_users_alone(tmp_path: Path) -> None:
    """Also where the data folder existed before and others may look into it."""
    (tmp_path / "data").mkdir(mode=0o755)
    service = Serve(tmp_path)
    service.client.train(LAYERS, service.client.datasets.upload(XOR), "y", epochs=1, **OPTIONS).wait(60)
    written = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").rglob("*")}
    service.close()
    assert len(written) > 8
    assert {path: oct(mode) for path, mode in written.items() if mode & 0o077} == {}


def test_from_columns_to_predictions(serve: Serve, tmp_path: Path) -> None:
    dataset = serve.client.datasets.upload({name: np.array(values) for name, values in XOR.items()}, name="xor")
    assert (dataset.rows, dataset.column_names, dataset.name) == (4, ["x", "y"], "xor")
    assert serve.client.datasets.get(dataset.id) == dataset
    assert dataset.id in [one.id for one in itertools.islice(serve.client.datasets.list(), 5)]

    seen = []
    job = serve.client.train(LAYERS, dataset, "y", epochs=400, name="xor", tags={"team": "a"}, **OPTIONS)
    assert job.state == "queued"
    job.wait(60, on_change=lambda job: seen.append(job.state))
    assert seen[0] == "queued"
    assert seen[-1] == "succeeded"
    assert (job.name, job.fraction, job.progress["epoch"]) == ("xor", 1.0, 400)
    assert job.spec["loss"]["type"] == "binary_cross_entropy"
    result = job.result()
    assert job.split()["training_rows"] == 4
    assert len(job.metrics()) == 400
    assert {snapshot["step"] for snapshot in job.snapshots()} == {result[which]["step"] for which in ("best", "last")}

    weights = job.weights()
    assert {name: values.shape for name, values in weights.items()} == {
        "0.weight": (8, 2),
        "0.bias": (8,),
        "2.weight": (1, 8),
        "2.bias": (1,),
    }
    inputs = np.array(XOR["x"], "float32")
    outputs = np.tanh(inputs @ weights["0.weight"].T + weights["0.bias"]) @ weights["2.weight"].T + weights["2.bias"]
    for prediction in (job.predict({"x": inputs}), job.predict(inputs)):
        np.testing.assert_allclose(prediction.outputs, outputs, atol=1e-4)
        assert prediction.labels is not None
        assert prediction.labels.tolist() == [0, 1, 1, 0]
        assert prediction.probabilities is not None
        np.testing.assert_allclose(prediction.probabilities, 1 / (1 + np.exp(-outputs[:, 0])), atol=1e-4)

    assert job.predict(dataset).labels.tolist() == [0, 1, 1, 0]
    batch = job.predict_all(dataset).wait(60)
    assert batch.kind == "predict"
    np.testing.assert_array_equal(batch.predictions().outputs, job.predict(dataset).outputs.astype("float32"))

    data = job.download(tmp_path / "w.safetensors").read_bytes()
    assert list(safetensors_metadata(data)) == ["sankofa"]
    with np.load(job.download(tmp_path / "w.npz")) as arrays:
        for name, values in read_safetensors(data).items():
            np.testing.assert_array_equal(values, arrays[name])
    with pytest.raises(InvalidFile):
        read_safetensors(job.download(tmp_path / "w.json").read_bytes())


def test_the_events_of_a_job_come_once_and_can_be_taken_up(serve: Serve, dataset_id: str) -> None:
    job = serve.client.train(LAYERS, dataset_id, "y", epochs=50, **OPTIONS)
    events = list(job.events())
    assert [event.data["state"] for event in events if event.type == "state"] == ["queued", "running", "succeeded"]
    reports = [event for event in events if event.type == "metrics"]
    assert [report.data["epoch"] for report in reports] == list(range(1, 51))
    middle = reports[24]
    again = list(job.events(after=middle.id))
    assert [event.data["epoch"] for event in again if event.type == "metrics"] == list(range(26, 51))
    assert list(job.events(after=events[-1].id)) == []


def test_a_repeated_post_is_one_job(serve: Serve, dataset_id: str) -> None:
    jobs = [serve.client.train(LAYERS, dataset_id, "y", epochs=2, idempotency_key="the-same", **OPTIONS) for _ in range(2)]
    assert jobs[0].id == jobs[1].id


def test_refusals_are_told_whole(serve: Serve, dataset_id: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        serve.client.train([{"type": "dense", "units": 0}, {"type": "dents", "units": 1}], dataset_id, "y", epochs=-1)
    assert len(caught.value.problem.errors) >= 3
    assert all(fault["pointer"] in str(caught.value) for fault in caught.value.problem.errors)
    with pytest.raises(NotFound):
        serve.client.job("job_nonsense")
    with pytest.raises(NotAllowed, match="The key sent is not one of this service's"), Client(serve.ready["url"], "wrong") as stranger:
        next(stranger.jobs())
    job = serve.client.train(LAYERS, dataset_id, "y", epochs=1, **OPTIONS).wait(30)
    with pytest.raises(Conflict):
        job.pause()


def test_what_is_asked_of_a_job_is_done(endless: Any) -> None:
    endless.pause()
    until(lambda: endless.refresh().state == "paused")
    step = endless.progress["step"]
    endless.resume()
    until(lambda: endless.refresh().progress["step"] > step)
    endless.stop()
    assert endless.wait(20).state == "stopped"
    assert endless.weights()["0.weight"].shape == (8, 2)


def test_a_cancelled_job_raises_where_it_is_waited_for(serve: Serve, dataset_id: str) -> None:
    job = serve.client.train(LAYERS, dataset_id, "y", epochs=ENDLESS, **OPTIONS)
    job.cancel()
    with pytest.raises(JobCancelled):
        job.wait(20)


def test_evaluate_shows_every_step(serve: Serve) -> None:
    layer = {"type": "dense", "units": 1, "activation": "step", "weight": [[1, 4, 3]], "threshold": [6]}
    answer = serve.client.evaluate([layer], np.array([[0, 1, 1]]))
    assert answer["outputs"] == [[1.0]]
    assert answer["layers"][0]["weighted_sums"] == [[7.0]]


def test_the_command_line_walks_the_whole_path(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b,y\n0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n")
    spec = {"network": {"layers": [LAYERS[0], {"type": "dense", "units": 2}]}, "epochs": 300, **OPTIONS}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    arguments = ["train", str(tmp_path / "spec.json"), "--data", str(tmp_path / "rows.csv"), "--target", "y"]
    trained = serve.command(*arguments, "--output", str(tmp_path / "w.safetensors"), "--json")
    assert trained.returncode == Exit.DONE, trained.stderr
    job = json.loads(trained.stdout.splitlines()[-1])
    assert job["state"] == "succeeded"
    assert read_safetensors((tmp_path / "w.safetensors").read_bytes())["0.weight"].shape == (8, 2)

    watched = serve.command("watch", job["id"], "--json")
    assert [json.loads(line)["state"] for line in watched.stdout.splitlines()] == ["succeeded"]
    listed = serve.command("jobs", "--json", "--limit", "1")
    assert json.loads(listed.stdout)["id"] == job["id"]
    assert job["id"] in serve.command("jobs").stdout
    fetched = serve.command("weights", job["id"], "--output", str(tmp_path / "again.safetensors"))
    assert fetched.returncode == Exit.DONE, fetched.stderr
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "w.safetensors").read_bytes()
    predicted = serve.command("predict", job["id"], "--data", str(tmp_path / "rows.csv"))
    assert [line.split("\t")[0] for line in predicted.stdout.splitlines()] == ["no", "yes", "yes", "no"]
    refused = serve.command("pause", job["id"])
    assert refused.returncode == Exit.REFUSED
    assert "Traceback" not in refused.stderr


def test_the_command_line_cancels_and_says_so(serve: Serve, endless: Any) -> None:
    assert json.loads(serve.command("cancel", endless.id, "--json").stdout)["state"] in ("cancelling", "cancelled")
    assert serve.command("watch", endless.id).returncode == Exit.CANCELLED


def test_a_client_in_another_folder_does_not_need_to_be_told_the_key(serve: Serve, tmp_path: Path) -> None:
    answer = serve.command("jobs", "--json", SANKOFA_DATA_DIR=str(tmp_path))
    assert answer.returncode == Exit.REFUSED
    assert "No key was sent" in answer.stderr
    assert serve.command("jobs", "--json").returncode == Exit.DONE


def test_a_second_service_is_refused_on_the_same_folder(serve: Serve) -> None:
    answer = serve.command("serve", "--port", "0")
    assert answer.returncode == Exit.NOT_RUNNING
    assert f"in use by a service that runs already (pid {serve.process.pid}, {serve.ready['url']})" in answer.stderr


def test_a_second_service_is_refused_on_the_same_port(serve: Serve, tmp_path: Path) -> None:
    port = serve.ready["url"].rpartition(":")[2]
    answer = serve.command("serve", "--port", port, SANKOFA_DATA_DIR=str(tmp_path / "other"))
    assert answer.returncode == Exit.NOT_RUNNING
    assert f"port {port} on 127.0.0.1 is in use" in answer.stderr


def test_an_api_that_is_killed_is_back_before_a_client_gives_up(own_serve: Serve) -> None:
    own_serve.client.datasets.upload(XOR)
    of_api = [pid for pid in processes_of(own_serve.data_dir) if b"service.api\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    api = next(pid for pid in of_api if os.getsid(pid) == pid)
    children = set(of_api) - {api}
    os.kill(api, signal.SIGKILL)
    # What it forked would go on answering on its port.
    assert until(lambda: not children & set(processes_of(own_serve.data_dir))) < 1.0
    assert len(list(own_serve.client.datasets.list())) == 1
    own_serve.process.send_signal(signal.SIGTERM)
    assert own_serve.process.wait(30) == 0
    restart, stopped = own_serve.rest_of_stdout()
    assert (restart["event"], restart["process"], restart["exit"]) == ("restart", "api", -9)
    assert stopped == {"event": "stopped", "killed": []}


def test_a_part_is_started_again_also_when_nobody_reads_what_serve_says(own_serve: Serve) -> None:
    def reapers() -> list[int]:
        return [pid for pid in processes_of(own_serve.data_dir) if b"worker.reaper" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    assert own_serve.process.stdout is not None
    own_serve.process.stdout.close()
    for _ in range(2):
        until(lambda: len(reapers()) == 1)
        killed = reapers()
        os.kill(killed[0], signal.SIGKILL)
        until(lambda killed=killed: reapers() not in ([], killed))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_stops_cleanly_in_the_middle_of_a_job(own_serve: Serve, number: signal.Signals) -> None:
    client = own_serve.client
    job = client.train(LAYERS, client.datasets.upload(XOR), "y", epochs=ENDLESS, **OPTIONS)
    until(lambda: job.refresh().progress["step"] > 0)
    assert len(processes_of(own_serve.data_dir)) >= 4
    own_serve.process.send_signal(number)
    assert own_serve.process.wait(30) == 0
    assert processes_of(own_serve.data_dir) == []
    assert own_serve.rest_of_stdout() == [{"event": "stopped", "killed": []}]


def test_a_training_process_that_is_killed_is_one_line_of_the_log(own_serve: Serve) -> None:
    client = own_serve.client
    job = client.train(LAYERS, client.datasets.upload(XOR), "y", epochs=ENDLESS, **OPTIONS)
    until(lambda: job.refresh().progress["step"] > 0)
    workers = [pid for pid in processes_of(own_serve.data_dir) if Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"\0-m\0worker\0")]
    child = next(pid for pid in workers if os.getsid(pid) != pid)
    os.kill(child, signal.SIGKILL)
    until(lambda: own_serve.stderr.read_bytes().count(b"claimed") == 2)
    own_serve.process.send_signal(signal.SIGTERM)
    assert own_serve.process.wait(30) == 0
    log = own_serve.stderr.read_text()
    assert [line for line in log.splitlines() if str(child) in line and "has died" in line and "SIGKILL" in line]
    assert "Traceback" not in log
    assert "WorkerLost" not in log


def test_an_idle_serve_stops_within_seconds_and_its_worker_leaves_the_list(own_serve: Serve) -> None:
    until(lambda: b"ready. [celery" in own_serve.stderr.read_bytes())
    database = sqlite3.connect(own_serve.data_dir / "sankofa.db")
    until(lambda: database.execute("SELECT count(*) FROM worker").fetchone() == (1,))
    started = time.monotonic()
    own_serve.process.send_signal(signal.SIGINT)
    assert own_serve.process.wait(30) == 0
    assert time.monotonic() - started < 2.5
    assert database.execute("SELECT count(*) FROM worker").fetchone() == (0,)
    database.close()
    assert own_serve.rest_of_stdout() == [{"event": "stopped", "killed": []}]


def test_nothing_survives_a_serve_that_is_killed(own_serve: Serve) -> None:
    client = own_serve.client
    job = client.train(LAYERS, client.datasets.upload(XOR), "y", epochs=ENDLESS, **OPTIONS)
    until(lambda: job.refresh().progress["step"] > 0)
    own_serve.process.kill()
    own_serve.process.wait()
    assert until(lambda: processes_of(own_serve.data_dir) == []) < 2.5


def test_the_parts_run_one_by_one(tmp_path: Path) -> None:
    """As on several machines: migrate, then an API here and a worker with its reaper there."""
    data_dir = tmp_path / "data"
    sankofa = [sys.executable, "-m", "sankofa"]
    warm = subprocess.run([*sankofa, "warm", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(warm.stdout)["seconds"] > 0
    migrated = subprocess.run([*sankofa, "migrate", "--json", "--data-dir", str(data_dir)], capture_output=True, text=True, check=True)
    key_path = Path(json.loads(migrated.stdout)["key_path"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--port", str(port), "--data-dir", str(data_dir)]
    api = subprocess.Popen([*sankofa, "api", "--json", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    worker = subprocess.Popen([*sankofa, "worker", "--data-dir", str(data_dir)], stderr=subprocess.DEVNULL)
    try:
        assert api.stdout is not None
        with api.stdout:
            said = json.loads(api.stdout.readline())
        assert said == {"event": "start", "url": f"http://127.0.0.1:{port}", "data_dir": str(data_dir), "pid": api.pid}
        with Client(said["url"], key_path.read_text().strip(), retries=8) as client:
            job = client.train(LAYERS, XOR, "y", epochs=5, **OPTIONS).wait(60)
        assert job.state == "succeeded"
        assert any(b"worker.reaper" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes_of(data_dir))
        for process in (api, worker):
            process.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
        assert api.wait(30) == 0
        assert processes_of(data_dir) == []
    finally:
        api.kill()
        worker.kill()
        api.wait()
        worker.wait()
