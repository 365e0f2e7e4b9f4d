"""Commands as they are typed, in a process of their own: what is told before anything starts."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from sankofa.commands.exits import Exit


def sankofa(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command as it is typed."""
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-m", "sankofa", *arguments], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_command_itself_tells_without_a_traceback() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = sankofa("jobs", SANKOFA_URL=f"http://127.0.0.1:{free.getsockname()[1]}")
    assert answer.returncode == Exit.UNREACHABLE
    assert answer.stdout == ""
    assert "Connection refused" in answer.stderr
    assert "sankofa serve" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", ["serve", "worker", "migrate"])
def test_settings_that_cannot_be_used_are_told_before_anything_starts(command: str, tmp_path: Path) -> None:
    answer = sankofa(command, "--data-dir", str(tmp_path / "data"), SANKOFA_LEASE_SECONDS="soon", SANKOFA_PORTT="1")
    assert answer.returncode == Exit.NOT_RUNNING
    assert "SANKOFA_LEASE_SECONDS" in answer.stderr
    assert "did you mean SANKOFA_PORT?" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("key", "told"),
    [("secr\u00e9t", "character 5 is none of these"), ("secret\n1", "character 7 is a line end"), ("my key", "3 is a space")],
)
@pytest.mark.parametrize("source", ["SANKOFA_API_KEY", "--api-key", "key"])
def test_a_key_that_no_header_can_carry_is_told_without_showing_it(source: str, key: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(key if source == "key" else "sk_good")
    environment = {"SANKOFA_DATA_DIR": str(tmp_path)} | ({source: key} if source == "SANKOFA_API_KEY" else {})
    answer = sankofa("jobs", *([source, key] if source == "--api-key" else []), "--url", "http://127.0.0.1:1", **environment)
    assert answer.returncode == Exit.USAGE
    (line,) = answer.stderr.splitlines()
    assert source in line
    assert told in line
    assert not any(part in line for part in ("secr", "my key"))


def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        answer = sankofa("serve", "--data-dir", str(tmp_path / "data"), "--port", str(port))
    assert answer.returncode == Exit.NOT_RUNNING
    assert f"port {port} on 127.0.0.1 is in use" in answer.stderr
    assert "1/3" not in answer.stderr


@pytest.mark.parametrize("host", ["203.0.113.5", "nonsense.invalid", "a" * 70])
@pytest.mark.parametrize("port", ["0", "8765"])
def test_a_host_that_is_not_this_machine_is_told(host: str, port: str, tmp_path: Path) -> None:
    answer = sankofa("serve", "--data-dir", str(tmp_path / "data"), "--host", host, "--port", port)
    assert answer.returncode == Exit.NOT_RUNNING
    assert "the API cannot listen on" in answer.stderr
    assert "--host names an address of this machine" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", ["serve", "worker", "api", "migrate"])
@pytest.mark.parametrize(
    ("variable", "value"), [("SANKOFA_DATABASE_URL", "nonsense"), ("SANKOFA_BROKER_URL", "foo://bar"), ("SANKOFA_API_KEY", "guess-me")]
)
def test_an_address_or_a_key_that_cannot_be_used_is_told(command: str, variable: str, value: str, tmp_path: Path) -> None:
    answer = sankofa(command, "--data-dir", str(tmp_path / "data"), **{variable: value})
    assert answer.returncode == Exit.NOT_RUNNING
    assert f"{variable}: expected" in answer.stderr
    assert value not in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/sankofa.db"
    answer = sankofa("migrate", "--data-dir", str(tmp_path / "data"), SANKOFA_DATABASE_URL=url)
    assert answer.returncode == Exit.NOT_RUNNING
    assert "the database cannot be opened (unable to open database file); SANKOFA_DATABASE_URL" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_file_that_is_no_database_is_told_in_one_line(command: str, tmp_path: Path) -> None:
    (tmp_path / "sankofa.db").write_text("anything but a database " * 100)
    answer = sankofa(command, "--data-dir", str(tmp_path), *(["--port", "0"] if command == "serve" else []))
    assert answer.returncode == Exit.NOT_RUNNING
    told = f"sankofa: {tmp_path}/sankofa.db cannot be read as a SQLite database (file is not a database); move that file away, "
    assert answer.stderr.splitlines()[-1].startswith(told)
    assert len(answer.stderr.splitlines()) == 2  # after the step that was not done


def test_a_server_that_refuses_connections_is_waited_for_and_that_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "SANKOFA_DATABASE_URL": f"postgresql://user:secret@127.0.0.1:{port}/jobs"}
    command = [sys.executable, "-m", "sankofa", "migrate", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        process.terminate()
        assert process.wait(20) == Exit.INTERRUPTED
    assert "waiting for the database for up to 120 s" in said
    assert f"127.0.0.1:{port}/jobs" in said
    assert "Connection refused" in said
    assert "secret" not in said


class TestCopyTo:
    @pytest.fixture
    def installation(self, migrated_sqlite: Path, tmp_path: Path) -> Path:
        """A data folder with a database that is not in use."""
        (tmp_path / "data").mkdir()
        shutil.copyfile(migrated_sqlite, tmp_path / "data" / "sankofa.db")
        return tmp_path / "data"

    def test_copies_and_says_what(self, installation: Path, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/copy.db"
        answer = sankofa("migrate", "--data-dir", str(installation), "--copy-to", url, "--json")
        assert answer.returncode == Exit.DONE, answer.stderr
        said = json.loads(answer.stdout)
        assert said["source"] == f"sqlite:///{installation}/sankofa.db"
        assert said["target"] == url
        assert {name: count for name, count in said["rows"].items() if count} == {"installation": 1, "tenant": 1}
        assert (said["blobs"], said["blob_bytes"], said["damaged"]) == (0, 0, [])
        assert said["seconds"] > 0
        assert "copy the database" in answer.stderr
        assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600

    def test_tells_a_person_what_to_do_next(self, installation: Path, tmp_path: Path) -> None:
        answer = sankofa("migrate", "--data-dir", str(installation), "--copy-to", f"sqlite:///{tmp_path}/copy.db")
        assert (
            answer.stdout
            == f"sqlite:///{tmp_path}/copy.db holds the installation. Set SANKOFA_DATABASE_URL to it, and start the service.\n"
        )

    def test_says_why_it_did_not_and_what_to_do(self, installation: Path, tmp_path: Path) -> None:
        with sqlite3.connect(installation / "sankofa.db") as other:
            other.execute("SELECT * FROM tenant").fetchone()
            answer = sankofa("migrate", "--data-dir", str(installation), "--copy-to", f"sqlite:///{tmp_path}/copy.db", "--json")
        other.close()
        assert (answer.returncode, answer.stdout) == (Exit.NOT_RUNNING, "")
        assert f"sankofa: Another process has {installation}/sankofa.db open. Stop the service first" in answer.stderr
        assert "Traceback" not in answer.stderr

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("nonsense", "--copy-to: expected a URL that begins with"),
            ("postgresql://u:secret@127.0.0.1:1/x", "Nothing was copied: "),
            ("sqlite:////nowhere/at/all.db", "Nothing was copied: unable to open database file"),
        ],
    )
    def test_an_address_that_cannot_be_used_is_told(self, installation: Path, url: str, told: str) -> None:
        answer = sankofa("migrate", "--data-dir", str(installation), "--copy-to", url)
        assert answer.returncode == Exit.NOT_RUNNING
        assert told in answer.stderr
        assert "secret" not in answer.stderr
        assert "Traceback" not in answer.stderr

    @pytest.mark.parametrize("arguments", [["--copy-to", ""], ["--with-damaged"]])
    def test_options_that_say_nothing_are_refused(self, arguments: list[str], installation: Path) -> None:
        assert sankofa("migrate", "--data-dir", str(installation), *arguments).returncode == Exit.USAGE


@pytest.mark.parametrize("command", ["serve", "worker", "api", "migrate"])
def test_an_empty_data_folder_is_refused(command: str) -> None:
    answer = sankofa(command, "--data-dir", "")
    assert answer.returncode == Exit.USAGE
    assert "--data-dir': expected a folder, got an empty text" in answer.stderr


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = sankofa("serve", "--data-dir", str(tmp_path / "file" / "data"), "--port", "0")
    assert answer.returncode == Exit.NOT_RUNNING
    assert "the data folder cannot be used (Not a directory); --data-dir names another" in answer.stderr


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_data_folder_in_use_is_refused(command: str, tmp_path: Path) -> None:
    from sankofa.installation import Installation

    with Installation.find(data_dir=tmp_path / "data", port=0).lock():
        answer = sankofa(command, "--data-dir", str(tmp_path / "data"), *(["--port", "0"] if command == "serve" else []))
    assert answer.returncode == Exit.NOT_RUNNING
    assert f"{tmp_path / 'data'} is in use by a service that runs already (pid {os.getpid()}, http://127.0.0.1:" in answer.stderr
