"""An installation of the service on this machine: its settings, its parts as processes, and the checks before they start.

Nothing of the service is imported here: its settings are asked of `python -m service.settings`, its programs are started by `-m`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from sankofa.errors import InstallationFault
from sankofa.process import Part
from sankofa.supervisor import Supervisor

MODULES = {
    "migrate": "service.store.migrate",
    "copy": "service.store.copying",
    "warm": "nncore.machine",
    "api": "service.api",
    "worker": "worker",
    "reaper": "worker.reaper",
}
READY_SECONDS = 60.0
# What a worker may need beyond SANKOFA_SHUTDOWN_SECONDS to end: to write its last checkpoint, and to unwind.
STOP_MARGIN_SECONDS = 10.0


@dataclass(frozen=True)
class Installation:
    """The settings in force that a supervisor needs, and the environment that gives all of them to a process."""

    environment: Mapping[str, str]
    data_dir: Path
    key_path: Path
    host: str
    port: int
    log_format: str
    shutdown_seconds: float

    @classmethod
    def find(cls, environment: Mapping[str, str] | None = None, **overrides: object) -> Installation:
        """The installation that `environment` (default: this process's) names, with `overrides` that are not None before it.

        A port of 0 is replaced by a free one. Raises InstallationFault naming every setting that cannot be used.
        """
        variables = dict(os.environ if environment is None else environment)
        variables |= {f"SANKOFA_{name.upper()}": str(value) for name, value in overrides.items() if value is not None}
        answer = subprocess.run(python("service.settings"), env=variables, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            raise InstallationFault("the settings cannot be used:\n" + answer.stderr.rstrip())
        settings: dict[str, Any] = json.loads(answer.stdout)
        port = settings["port"] or free_port(settings["host"])
        return cls(
            # The folder is written out, so that no process depends on the folder it was started in.
            environment={**variables, "SANKOFA_PORT": str(port), "SANKOFA_DATA_DIR": settings["data_dir"]},
            data_dir=Path(settings["data_dir"]),
            key_path=Path(settings["key_path"]),
            host=settings["host"],
            port=port,
            log_format=settings["log_format"],
            shutdown_seconds=settings["shutdown_seconds"],
        )

    @property
    def url(self) -> str:
        """Where the API answers, as seen from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def grace_seconds(self) -> float:
        """How long stopping processes are waited for."""
        return self.shutdown_seconds + STOP_MARGIN_SECONDS

    def part(self, name: str, *arguments: str) -> Part:
        """The program `name` of the service."""
        return Part(name, [*python(MODULES[name]), *arguments], self.environment)

    def read_key(self) -> str:
        """The API key of this installation."""
        given = self.environment.get("SANKOFA_API_KEY")
        if given:
            return given
        try:
            return self.key_path.read_text().strip()
        except OSError as error:
            raise InstallationFault(f"{self.key_path}: the first API key cannot be read ({error.strerror})") from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the data folder, made if need be: one supervisor at a time. Raises InstallationFault naming the one that holds it."""
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.data_dir / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InstallationFault(
                f"{self.data_dir}: the data folder cannot be used ({error.strerror}); --data-dir names another"
            ) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
                raise InstallationFault(
                    f"{self.data_dir} is in use by a service that runs already ({holder}). "
                    "Stop that one, or give this one its own --data-dir."
                ) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"pid {os.getpid()}, {self.url}\n".encode(), 0)
            yield
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def check_port(self) -> None:
        """Raise InstallationFault when the API could not listen on its address."""
        with _listening(self.host, self.port):
            for family, kind, _, _, address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
                with socket.socket(family, kind) as probe:
                    # As servers do: connections that were closed a minute ago do not count as use.
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(address)
                    probe.listen()

    def wait_until_ready(self, supervisor: Supervisor, timeout_seconds: float = READY_SECONDS) -> float:
        """Wait for the API to say that it is ready; the seconds it took. Raises InstallationFault when it does not say so."""
        started = time.monotonic()
        said = "nothing"
        with httpx2.Client(trust_env=False, timeout=5.0) as http:
            while time.monotonic() - started < timeout_seconds:
                try:
                    answer = http.get(f"{self.url}/readyz")
                    if answer.status_code == 200:
                        return time.monotonic() - started
                    said = f"{answer.status_code} {answer.text[:500]}"
                except httpx2.TransportError as error:
                    said = str(error) or type(error).__name__
                supervisor.wait(0.03)
        raise InstallationFault(
            f"the service is not ready after {timeout_seconds:.0f} s; {self.url}/readyz said: {said}\n{supervisor.last_lines()}"
        )


def python(module: str) -> list[str]:
    """The command that runs `module` with this Python. -P: a folder of the same name where the user stands is not taken for ours."""
    return [sys.executable, "-P", "-m", module]


def free_port(host: str) -> int:
    """A port on which nobody listens now. Raises InstallationFault when the API could not listen on any."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with _listening(host, 0), socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[None]:
    """Within it, that this machine cannot listen there becomes an InstallationFault which says why."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise InstallationFault(
                f"port {port} on {host} is in use. Stop what listens there, or choose another --port (0: any free one)."
            ) from error
        where = f"port {port} on {host}" if port else host
        reason = error.strerror if isinstance(error, OSError) else "not a host's name"
        raise InstallationFault(
            f"the API cannot listen on {where} ({reason}). "
            "--host names an address of this machine: 127.0.0.1 for itself alone, 0.0.0.0 for all its networks."
        ) from error
