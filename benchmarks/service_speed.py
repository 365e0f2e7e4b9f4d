"""How much a warm service takes: job reads, job posts, many small jobs; beside a bare Flask view on the same server, and MLflow's server.

    python benchmarks/service_speed.py [--jobs 500] [--seconds 6] [--connections 16] [--mlflow BINARY] [--json FILE]

reads    GET /v1/jobs/{id} of a finished job, `--connections` clients at once, in turns with a bare Flask view that reads one row by its
         primary key from the same database, on the same server with as many processes and threads
posts    POST /v1/jobs, answered, as many clients at once, while a quota holds the jobs in the queue: nothing is trained meanwhile
jobs     XOR-sized jobs (4 rows, 200 epochs) from the first POST to the last end, with two worker processes
mlflow   runs/get and runs/create of `mlflow server --workers 2` on SQLite, as many clients at once. --mlflow is its command, installed
         in an environment of its own (pip install mlflow); without it that row is not measured

The API has two processes. The embedded default is measured, or the database and broker that SANKOFA_DATABASE_URL and
SANKOFA_BROKER_URL name. The database should be empty: jobs that wait in it would be trained, too.
The clients are processes of their own, on the same processors: rates are what is left for the server beside them. What a request takes
of the processors (not those of a database server) says more than its rate on a machine that others use, too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import sankofa

PROCESSES = 2  # of the API, of the bare view, and of MLflow's server
XOR = {"x": [[0, 0], [0, 1], [1, 0], [1, 1]], "y": [0, 1, 1, 0]}
SPEC: dict[str, Any] = {
    "target": "y",
    "network": {"layers": [{"type": "dense", "units": 8, "activation": "tanh"}, {"type": "dense", "units": 1}]},
    "optimizer": {"type": "adam", "learning_rate": 0.05},
    "batch_size": 4,
    "epochs": 200,
    "seed": 7,
}
BARE = """
import os, sqlalchemy as sa
from flask import Flask
from service.store.database import Store
from service.store.models import Job
app, store = Flask("bare"), Store(os.environ["BARE_DATABASE"])
@app.get("/<job_id>")
def job(job_id):
    with store.read() as session:
        found = session.get(Job, job_id)
        return {"id": found.id, "state": found.state}
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}


def processor_seconds(process: int) -> float:
    """What a process, its children and theirs have taken so far of the processors; 0 where there is no /proc."""
    taken = 0.0
    with suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        taken = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            taken += sum(processor_seconds(int(child)) for child in children.read_text().split())
    return taken


class Service:
    """A service of this benchmark's own, with two workers, and a bare view on the same database."""

    def __init__(self, folder: Path) -> None:
        self.port, self.bare_port = free_port(), free_port()
        command = [sys.executable, "-m", "sankofa", "serve", "--port", str(self.port), "--data-dir", str(folder / "data"), "--workers", "2"]
        environment = clean_environment() | {"SANKOFA_API_PROCESSES": str(PROCESSES)}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=(folder / "log").open("wb"))
        deadline = time.monotonic() + 120
        while True:
            try:
                self.key = (folder / "data" / "key").read_text().strip()
                self.client = sankofa.Client(f"http://127.0.0.1:{self.port}", self.key)
                list(self.client.jobs())
                break
            except (OSError, sankofa.SankofaError):
                if time.monotonic() > deadline:
                    raise SystemExit((folder / "log").read_text()) from None
                time.sleep(0.1)
        (folder / "bare.py").write_text(BARE)
        database = os.environ.get("SANKOFA_DATABASE_URL", f"sqlite:///{folder}/data/sankofa.db")
        granian = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(self.bare_port), "--blocking-threads", "16"]
        bare = [*granian, "--workers", str(PROCESSES), "--no-access-log", "--log-level", "warning", "bare:app"]
        environment = clean_environment() | {"BARE_DATABASE": database}
        self.bare = subprocess.Popen(bare, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.bare_port)

    def stop(self) -> None:
        for process in (self.bare, self.process):
            process.send_signal(signal.SIGTERM)
        for process in (self.bare, self.process):
            process.wait(30)


def wait_for_port(port: int, seconds: float = 10) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(seconds / 200)
    raise SystemExit(f"nothing listens on port {port}")


def ask(arguments: tuple[int, str, str, bytes | None, str, float, int]) -> list[float]:
    """A client: the seconds of each of its requests, for some seconds or a number of requests."""
    port, method, path, body, key, seconds, most = arguments
    connection, took = HTTPConnection("127.0.0.1", port), []
    headers = {"Authorization": f"Bearer {key}"} | ({"Content-Type": "application/json"} if body else {})
    until = time.perf_counter() + seconds
    while len(took) < most and time.perf_counter() < until:
        started = time.perf_counter()
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
        if response.status >= 300:
            raise SystemExit(f"{method} {path} answered {response.status}")
        took.append(time.perf_counter() - started)
    return took


def load(pool: Any, connections: int, *request: Any, seconds: float, most: int = 10**9) -> tuple[float, float]:
    """(requests a second, 99th percentile of their seconds) of as many clients at once."""
    started = time.perf_counter()
    took = [each for one in pool.map(ask, [(*request, seconds, most)] * connections, chunksize=1) for each in one]
    elapsed = time.perf_counter() - started
    return len(took) / elapsed, statistics.quantiles(took, n=100)[98]


def some_wait(service: Service) -> bool:
    """Whether a job is queued or running. It asks for one of them: a page of them would take as long as a job."""
    connection = HTTPConnection("127.0.0.1", service.port)
    connection.request("GET", "/v1/jobs?state=queued&state=running&limit=1", headers={"Authorization": f"Bearer {service.key}"})
    return bool(json.loads(connection.getresponse().read())["data"])


def measure(service: Service, options: argparse.Namespace) -> dict[str, Any]:
    client = service.client
    dataset = client.datasets.upload(XOR, name="xor").id
    spec = {**SPEC, "dataset": dataset}
    job = client.submit(spec)
    job.wait(120)
    read = (service.port, "GET", f"/v1/jobs/{job.id}", None, service.key)
    bare = (service.bare_port, "GET", f"/{job.id}", None, service.key)
    rates: dict[str, list[tuple[float, float]]] = {"read": [], "bare": []}
    with multiprocessing.Pool(options.connections) as pool:
        for _ in range(3):
            for name, request in (("read", read), ("bare", bare)):
                rates[name].append(load(pool, options.connections, *request, seconds=options.seconds / 3))
        post = (service.port, "POST", "/v1/jobs", json.dumps(spec).encode(), service.key)
        client.tenants.change("default", quotas={"running_jobs": 0})
        each = -(-options.jobs // options.connections)
        taken = [processor_seconds(service.process.pid)]
        posts, post_p99 = load(pool, options.connections, *post, seconds=60, most=each)
        taken.append(processor_seconds(service.process.pid))
        client.request_all("cancel", state=["queued"])
        client.tenants.change("default", quotas={"running_jobs": None})
        started, begun = time.perf_counter(), processor_seconds(service.process.pid)
        load(pool, options.connections, *post, seconds=60, most=each)
        jobs = each * options.connections
        while some_wait(service):
            time.sleep(0.05)
        elapsed = time.perf_counter() - started
        taken.append(processor_seconds(service.process.pid) - begun)
        mlflow = measure_mlflow(pool, options) if options.mlflow else {}
    reads, bares = (statistics.median(rate for rate, _ in rates[name]) for name in ("read", "bare"))
    return {
        "reads_per_second": reads,
        "read_p99_seconds": statistics.median(p99 for _, p99 in rates["read"]),
        "bare_reads_per_second": bares,
        "bare_p99_seconds": statistics.median(p99 for _, p99 in rates["bare"]),
        "ratio_to_bare": reads / bares,
        "posts_per_second": posts,
        "post_p99_seconds": post_p99,
        "post_processor_seconds": (taken[1] - taken[0]) / jobs,
        "jobs": jobs,
        "jobs_per_second": jobs / elapsed,
        "job_processor_seconds": taken[2] / jobs,
        **mlflow,
    }


def measure_mlflow(pool: Any, options: argparse.Namespace) -> dict[str, float]:
    """What MLflow's server does in the same time: reads of a run, and new ones."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        places = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"]
        command = [str(options.mlflow), "server", "--workers", str(PROCESSES), "--host", "127.0.0.1", "--port", str(port), *places]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(command, env=clean_environment(), cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for_port(port, 180)
            create = (port, "POST", "/api/2.0/mlflow/runs/create", b'{"experiment_id": "0"}', "")
            connection = HTTPConnection("127.0.0.1", port)
            connection.request("POST", create[2], create[3], {"Content-Type": "application/json"})
            run = json.loads(connection.getresponse().read())["run"]["info"]["run_id"]
            reads, _ = load(
                pool, options.connections, port, "GET", f"/api/2.0/mlflow/runs/get?run_id={run}", None, "", seconds=options.seconds
            )
            creations, _ = load(pool, options.connections, *create, seconds=options.seconds)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
    return {"mlflow_reads_per_second": reads, "mlflow_creations_per_second": creations}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--mlflow", type=Path, help="MLflow's command, to be measured, too")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder))
        try:
            found = measure(service, options)
        finally:
            service.stop()
    print(f"GET /v1/jobs/{{id}}   {found['reads_per_second']:7.0f} /s, p99 {found['read_p99_seconds'] * 1000:.0f} ms; ", end="")
    bare_p99 = found["bare_p99_seconds"] * 1000
    print(f"bare view {found['bare_reads_per_second']:.0f} /s, p99 {bare_p99:.0f} ms: {found['ratio_to_bare']:.2f}x")
    print(f"POST /v1/jobs       {found['posts_per_second']:7.0f} /s, p99 {found['post_p99_seconds'] * 1000:.0f} ms, ", end="")
    print(f"{found['post_processor_seconds'] * 1000:.1f} ms of the service's processors each")
    print(f"{found['jobs']} XOR jobs        {found['jobs_per_second']:7.0f} /s from the first POST to the last end, ", end="")
    print(f"{found['job_processor_seconds'] * 1000:.1f} ms of the service's processors each, its POST included")
    if options.mlflow:
        print(f"MLflow's server     {found['mlflow_reads_per_second']:7.0f} reads/s, ", end="")
        print(f"{found['mlflow_creations_per_second']:.0f} creations/s of runs")
    else:
        print("MLflow's server     not measured (--mlflow)")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
