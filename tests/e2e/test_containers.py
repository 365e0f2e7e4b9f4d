"""docker-compose.yml as users run it: built, brought up, a job passed through, worker containers killed, scaled and stopped, taken down.

SANKOFA_TEST_COMPOSE  the compose command, e.g. /some/where/podman-compose; else docker compose or podman-compose, whichever works
SANKOFA_TEST_BUILD    a program that takes the arguments of `docker build`, where that alone cannot reach a package registry
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sankofa import Client, Job

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).parents[2]
IMAGE = "sankofa-test"
PASSWORDS = {"POSTGRES_PASSWORD": secrets.token_hex(16), "REDIS_PASSWORD": secrets.token_hex(16)}
# A lease that no test outlives: a job that goes on was given up, or taken from a process that was seen to be dead.
PATIENT_LEASE = {"SANKOFA_LEASE_SECONDS": "600", "SANKOFA_HEARTBEAT_SECONDS": "1", "SANKOFA_REAPER_SECONDS": "1"}
CHECKPOINTS = {"SANKOFA_CHECKPOINT_SECONDS": "0.5", "SANKOFA_CHECKPOINT_SHARE": "0.2"}
OVERRIDE = {"services": {name: {"environment": {**PATIENT_LEASE, **CHECKPOINTS}} for name in ("api", "worker")}}

LONG: dict[str, Any] = {  # 8 s on an idle machine
    "target": "label",
    "network": {
        "layers": [
            {"type": "dense", "units": 256, "activation": "relu"},
            {"type": "dropout", "rate": 0.1},
            {"type": "dense", "units": 10},
        ]
    },
    "batch_size": 32,
    "validation": {"fraction": 0.2},
    "epochs": 2000,
    "seed": 11,
}


class Containers:
    """One installation in containers, under a project name of its own, from a folder with a compose file and a .env."""

    def __init__(self, compose: list[str], engine: str, folder: Path, port: int) -> None:
        self.engine = engine
        self.project = f"sankofa-test-{secrets.token_hex(4)}"
        self.key = secrets.token_hex(32)
        self.url = f"http://127.0.0.1:{port}"
        self._compose = [*compose, "--project-name", self.project]
        self._folder = folder
        shutil.copy(REPOSITORY / "docker-compose.yml", folder)
        (folder / "docker-compose.override.yml").write_text(json.dumps(OVERRIDE))
        secret = {**PASSWORDS, "SANKOFA_API_KEY": self.key, "SANKOFA_IMAGE": IMAGE, "PUBLISH": f"127.0.0.1:{port}"}
        (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in secret.items()))

    def compose(self, *arguments: str) -> str:
        return run([*self._compose, *arguments], cwd=self._folder)

    def up(self, workers: int) -> None:
        """Bring it up with so many worker containers, and wait until all of them are at work."""
        self.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", f"worker={workers}")
        until(self.is_ready, 120, lambda: self.logs("api") + self.logs("migrate"))
        until(lambda: len(self.workers()) == workers and all(map(self.is_healthy, self.workers())), 180, lambda: self.logs("worker"), 2)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def is_healthy(self, container: str) -> bool:
        return subprocess.run([self.engine, "exec", container, "python", "-m", "worker.health"], capture_output=True).returncode == 0

    def down(self) -> None:
        for worker in self.of("worker"):  # podman-compose takes the second for somebody else's, and then stumbles over it
            run([self.engine, "rm", "--force", worker])
        self.compose("down", "--volumes", "--timeout", "5")

    def of(self, service: str, *, running: bool = False) -> list[str]:
        """The ids of the containers of a service; running: without those that have ended."""
        labels = (f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}")
        listing = [self.engine, "ps", "--quiet", "--no-trunc", *([] if running else ["--all"])]
        return run([*listing, *(word for label in labels for word in ("--filter", f"label={label}"))]).split()

    def workers(self) -> list[str]:
        return self.of("worker", running=True)

    def inspect(self, container: str) -> dict[str, Any]:
        return json.loads(run([self.engine, "inspect", container]))[0]

    def state(self, container: str) -> dict[str, Any]:
        return self.inspect(container)["State"]

    def lines(self, container: str) -> Iterator[dict[str, Any]]:
        """What a container logged as JSON."""
        for line in run([self.engine, "logs", container]).splitlines():
            with contextlib.suppress(ValueError):
                document = json.loads(line)
                if isinstance(document, dict):
                    yield document

    def claims(self, job: Job) -> list[str]:
        """The containers that claimed the job, in the order of time."""
        claimed = [
            (line["timestamp"], container)
            for container in self.of("worker")
            for line in self.lines(container)
            if line.get("event") == "claimed" and line["job_id"] == job.id
        ]
        return [container for _, container in sorted(claimed)]

    def logs(self, service: str) -> str:
        return "\n".join(f"{container[:12]}:\n{run([self.engine, 'logs', container])[-3000:]}" for container in self.of(service))


def run(command: list[str], cwd: Path | None = None, timeout_seconds: float = 600) -> str:
    """What the command said, stdout and stderr; it must succeed."""
    answer = subprocess.run(
        command, cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_seconds
    )
    assert answer.returncode == 0, f"{' '.join(command)}\n{answer.stdout[-6000:]}"
    return answer.stdout


def environment() -> dict[str, str]:
    """Ours, without what would be put in place of the lines of .env."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("SANKOFA_", "POSTGRES_", "REDIS_", "COMPOSE_", "PUBLISH"))
    }


def until(condition: Callable[[], Any], seconds: float, explain: Callable[[], object], look_seconds: float = 0.3) -> None:
    """Wait for `condition`, looking at it every `look_seconds`: a look may start programs, and shares the machine with what it looks at."""
    ends_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends_at, f"not within {seconds} s: {explain()}"
        time.sleep(look_seconds)


@pytest.fixture(scope="module")
def compose_command(test_variables: Mapping[str, str]) -> list[str]:
    """The compose command whose engine really runs containers here."""
    beside_us = Path(sys.executable).parent / "podman-compose"
    candidates = [["docker", "compose"], ["podman-compose"], [str(beside_us)]]
    if named := test_variables.get("SANKOFA_TEST_COMPOSE"):
        candidates = [named.split()]
    base = (REPOSITORY / "Dockerfile").read_text().partition("ARG PYTHON=")[2].split()[0]
    for command in candidates:
        probes = ([*command, "version"], [engine_of(command), "run", "--rm", base, "python", "-c", ""])
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if all(subprocess.run(probe, capture_output=True, timeout=180).returncode == 0 for probe in probes):
                return command
    pytest.skip("neither docker compose nor podman-compose can run containers here")


def engine_of(command: list[str]) -> str:
    return "podman" if "podman" in Path(command[0]).name else "docker"


@pytest.fixture(scope="module")
def image(compose_command: list[str], test_variables: Mapping[str, str]) -> str:
    """The image, built from the working tree."""
    engine = engine_of(compose_command)
    build = [test_variables["SANKOFA_TEST_BUILD"]] if "SANKOFA_TEST_BUILD" in test_variables else [engine, "build"]
    before = set(run([engine, "images", "--quiet", IMAGE]).split())
    run([*build, "--tag", IMAGE, str(REPOSITORY)])
    for old in before - set(run([engine, "images", "--quiet", IMAGE]).split()):
        subprocess.run([engine, "rmi", old], capture_output=True)
    return IMAGE


@pytest.fixture(scope="module")
def containers(compose_command: list[str], image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """The installation, up with one worker; taken down at the end, whatever happens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    installation = Containers(compose_command, engine_of(compose_command), tmp_path_factory.mktemp("containers"), port)
    try:
        installation.up(workers=1)
        yield installation
    finally:
        installation.down()


@pytest.fixture(scope="module")
def client(containers: Containers) -> Iterator[Client]:
    with Client(containers.url, containers.key) as client:
        yield client


@pytest.fixture(scope="module")
def dataset_id(client: Client, digits: bytes) -> str:
    return client.datasets.upload(digits, name="digits").id


@pytest.fixture(scope="module")
def unbroken(client: Client, dataset_id: str) -> bytes:
    """The file of a run that nothing happened to."""
    return client.submit({**LONG, "dataset": dataset_id}).wait(180).weights_file()


def started(client: Client, containers: Containers, dataset_id: str) -> Job:
    """A job that trains and has a checkpoint behind it."""
    job = client.submit({**LONG, "dataset": dataset_id})
    until(lambda: job.refresh().fraction >= 0.15, 60, lambda: (job.document, containers.logs("worker")))
    assert job.state == "running"
    return job


def went_on_from_a_checkpoint(job: Job, broken_at: datetime) -> None:
    """Its first epochs were reported before it was broken off: who begins anew reports them anew."""
    assert datetime.fromisoformat(job.metrics()[0]["at"]) < broken_at


def test_a_missing_secret_is_named_before_anything_starts(compose_command: list[str], tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "docker-compose.yml", tmp_path)
    shutil.copy(REPOSITORY / ".env.example", tmp_path / ".env")
    answer = subprocess.run([*compose_command, "config"], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert answer.returncode != 0
    assert "set it in .env, see .env.example" in answer.stdout + answer.stderr


def test_a_job_passes_through(client: Client, unbroken: bytes) -> None:
    assert len(unbroken) > 4 * (64 * 256 + 256 * 10)
    assert [job.state for job in client.jobs()] == ["succeeded"]


def test_nothing_but_the_api_is_published_and_that_on_loopback(containers: Containers) -> None:
    for service in ("postgres", "redis", "worker"):
        (container,) = containers.of(service)
        assert not [port for port in (containers.inspect(container)["HostConfig"]["PortBindings"] or {}).values() if port], service
    (api,) = containers.of("api")
    ((binding,),) = containers.inspect(api)["HostConfig"]["PortBindings"].values()
    assert binding["HostIp"] == "127.0.0.1"


@pytest.mark.parametrize("service", ["api", "worker"])
def test_our_processes_are_not_root_and_cannot_change_their_program(containers: Containers, service: str) -> None:
    (container,) = containers.of(service)
    look = "import os; print(os.getuid(), os.access('/opt/sankofa', os.W_OK), os.access('/data', os.W_OK))"
    assert run([containers.engine, "exec", container, "python", "-c", look]).split() == ["10001", "False", "True"]
    assert containers.inspect(container)["HostConfig"]["ReadonlyRootfs"] is True


def test_kernels_of_the_image_need_no_compiling(containers: Containers, image: str) -> None:
    said = run([containers.engine, "run", "--rm", image, "warm", "--json"])
    assert json.loads(said.splitlines()[-1])["seconds"] < 5, said


def test_a_job_goes_on_when_its_workers_container_is_killed(
    containers: Containers, client: Client, dataset_id: str, unbroken: bytes
) -> None:
    job = started(client, containers, dataset_id)
    (worker,) = containers.workers()
    pid = containers.state(worker)["Pid"]
    killed_at = datetime.now(UTC)
    run([containers.engine, "kill", "--signal", "KILL", worker])
    until(lambda: containers.state(worker)["Pid"] != pid, 20, lambda: containers.state(worker))
    if not containers.state(worker)["Running"]:  # an engine may take a kill for a wish of its user, and not restart it
        run([containers.engine, "start", worker])
    until(lambda: len(containers.claims(job)) > 1, 60, lambda: containers.logs("worker"))
    job.wait(180)
    assert job.state == "succeeded"
    went_on_from_a_checkpoint(job, killed_at)
    assert job.weights_file() == unbroken


def test_two_workers_train_two_jobs_and_one_that_is_stopped_gives_its_job_to_the_other(
    containers: Containers, client: Client, dataset_id: str, unbroken: bytes
) -> None:
    containers.up(workers=2)
    job, other = started(client, containers, dataset_id), client.submit({**LONG, "epochs": 1_000_000, "dataset": dataset_id})
    until(lambda: containers.claims(other), 30, lambda: containers.logs("worker"))
    holder, other_holder = containers.claims(job)[-1], containers.claims(other)[-1]
    assert holder != other_holder

    stopped_at = datetime.now(UTC)
    run([containers.engine, "stop", "-t", "40", holder])
    assert datetime.now(UTC) - stopped_at < timedelta(seconds=25)
    assert containers.state(holder)["ExitCode"] in (0, 128 + signal.SIGTERM)
    other.cancel()
    job.wait(180)
    assert job.state == "succeeded"
    assert containers.claims(job)[-1] == other_holder
    went_on_from_a_checkpoint(job, stopped_at)
    assert not [line for line in containers.lines(other_holder) if line.get("event") == "lease expired" and line["job_id"] == job.id]
    assert job.weights_file() == unbroken


def test_taken_down_it_leaves_nothing(containers: Containers) -> None:
    containers.down()
    label = f"label=com.docker.compose.project={containers.project}"
    assert run([containers.engine, "ps", "--all", "--quiet", "--filter", label]) == ""
    assert run([containers.engine, "volume", "ls", "--quiet", "--filter", label]) == ""
    assert run([containers.engine, "network", "ls", "--quiet", "--filter", label]) == ""
