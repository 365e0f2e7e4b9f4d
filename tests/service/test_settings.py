"""Settings: each documented, read from its variable, and refused with a message that helps."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

import pydantic
import pytest

from service import settings as settings_module
from service.settings import FOREIGN_NAMES, InvalidSettings, Settings
from service.store import migrate
from service.store.database import Store

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
ROW = re.compile(r"^\| `(SANKOFA_\w+)` \| (.*?) \| (.*) \|$", re.MULTILINE)


KEY = "sk_" + "secret" * 10


def documented():
    return {variable: (default, meaning) for variable, default, meaning in ROW.findall(PAGE.read_text())}


def test_every_setting_is_documented_with_its_default_and_meaning():
    rows = documented()
    assert set(rows) == {f"SANKOFA_{name.upper()}" for name in Settings.model_fields} | FOREIGN_NAMES
    for name, field in Settings.model_fields.items():
        default, meaning = rows[f"SANKOFA_{name.upper()}"]
        assert meaning == field.description
        assert default == ("`~/.local/share/sankofa`" if name == "data_dir" else f"`{field.default}`" if field.default is not None else "")


def test_without_variables_the_installation_lies_in_the_users_data_folder(monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", "")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    assert Settings.from_environment({}).data_dir == Path("/home/ada/.local/share/sankofa")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert Settings.from_environment({}).data_dir == Path("/data/sankofa")


def test_every_setting_is_read_from_its_variable():
    other = {bool: "True", int: "3", float: "0.5", str: "x", str | None: "x", Path: "/x"}
    given = {"LOG_LEVEL": "debug", "LOG_FORMAT": "json", "HEARTBEAT_SECONDS": "0.25", "API_STREAMS": "2"}
    given |= {"DATABASE_URL": "sqlite:///x.db", "BROKER_URL": "redis://x", "API_KEY": KEY}
    for name, field in Settings.model_fields.items():
        variable = name.upper()
        given.setdefault(variable, other.get(field.annotation, ""))
        assert given[variable], f"no other value is known here for {name}"
    found = Settings.from_environment({f"SANKOFA_{variable}": text for variable, text in given.items()})
    for name in Settings.model_fields:
        assert str(getattr(found, name)) == given[name.upper()]
        assert getattr(found, name) != Settings.model_fields[name].default


def test_overrides_go_before_variables_unless_they_are_none():
    found = Settings.from_environment({"SANKOFA_PORT": "9000", "SANKOFA_HOST": "::1"}, port=9001, host=None)
    assert (found.port, found.host) == (9001, "::1")


def test_other_programs_variables_and_empty_ones_are_passed_over():
    environment = {"PATH": "/bin", "SANKOFA_URL": "http://x", "SANKOFA_API_KEY": "", "SANKOFA_DATA_DIR": "", "SANKOFA_NONSENSE": ""}
    assert Settings.from_environment(environment) == Settings()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SANKOFA_WORKER": "2"}, "SANKOFA_WORKER: there is no such setting; did you mean SANKOFA_WORKERS?"),
        ({"SANKOFA_QQQQ": "2"}, "SANKOFA_QQQQ: there is no such setting"),
        ({"SANKOFA_PORT": "many"}, "SANKOFA_PORT: Input should be a valid integer, unable to parse string as an integer, got 'many'"),
        ({"SANKOFA_PORT": "70000"}, "SANKOFA_PORT: Input should be less than or equal to 65535, got '70000'"),
        ({"SANKOFA_WORKERS": "0"}, "SANKOFA_WORKERS: Input should be greater than or equal to 1, got '0'"),
        ({"SANKOFA_TURN_SECONDS": "0"}, "SANKOFA_TURN_SECONDS: Input should be greater than 0, got '0'"),
        ({"SANKOFA_LEASE_SECONDS": "inf"}, "SANKOFA_LEASE_SECONDS: Input should be a finite number, got 'inf'"),
        ({"SANKOFA_LOG_LEVEL": "loud"}, "SANKOFA_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error', got 'loud'"),
        (
            {"SANKOFA_LEASE_SECONDS": "5"},
            "SANKOFA_HEARTBEAT_SECONDS: 5 is not less than SANKOFA_LEASE_SECONDS, 5: every lease would end before it is renewed",
        ),
        (
            {"SANKOFA_API_THREADS": "4"},
            "SANKOFA_API_STREAMS: 8 is not less than SANKOFA_API_THREADS, 4: streams would leave no thread for requests",
        ),
        (
            {"SANKOFA_DATABASE_URL": "nonsense"},
            "SANKOFA_DATABASE_URL: expected a URL that begins with sqlite://, postgresql+psycopg://, postgresql://, postgres://, "
            "e.g. sqlite:////folder/sankofa.db or postgresql+psycopg://user:password@host/sankofa; got no scheme",
        ),
        (
            {"SANKOFA_DATABASE_URL": "sqlite://"},
            "SANKOFA_DATABASE_URL: expected sqlite:///FILE (one more slash before an absolute path); got no file",
        ),
        (
            {"SANKOFA_DATABASE_URL": "postgresql://ada:secret@[::1]:many/sankofa"},
            "SANKOFA_DATABASE_URL: expected a number as its port, got 'many'",
        ),
        (
            {"SANKOFA_BROKER_URL": "foo://bar"},
            "SANKOFA_BROKER_URL: expected a URL that begins with filesystem://, redis://, rediss://, amqp://, amqps://, "
            "e.g. redis://:password@host:6379/0 or amqp://user:password@host:5672//; got the scheme 'foo'",
        ),
        (
            {"SANKOFA_API_KEY": "secret"},
            "SANKOFA_API_KEY: expected at least 32 characters, without spaces, of ASCII; got 6 characters. "
            "`openssl rand -hex 32` makes one; without the variable the service makes its own",
        ),
    ],
)
def test_what_cannot_be_used_is_named_with_what_was_expected_and_got(environment, message):
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_environment(environment)
    assert str(caught.value) == message


@pytest.mark.parametrize("key", ["k" * 31, "k" * 40 + " ", "ö" * 40])
def test_a_key_that_can_be_guessed_or_not_be_sent_is_refused_and_not_shown(key):
    with pytest.raises(InvalidSettings, match="SANKOFA_API_KEY: expected at least 32 characters") as caught:
        Settings.from_environment({"SANKOFA_API_KEY": key})
    assert key.strip() not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["sqlite:///x.db", "postgresql+psycopg:///x", "postgres://a:b@[::1]/x?sslmode=require", "postgresql://a:p:w@h:5432/x"]
)
def test_an_address_of_a_database_is_taken_with_the_driver_that_is_installed(url):
    assert Settings(database_url=url).database.partition("://")[0] in ("sqlite", "postgresql+psycopg")


@pytest.mark.parametrize("url", ["redis://:p@h:6379/0", "rediss://h", "amqp://a:b@h:5672//", "amqps://h", "filesystem://localhost"])
def test_an_address_of_a_broker_is_taken(url):
    assert Settings(broker_url=url).broker == url


def test_the_database_is_its_users_alone_also_in_a_folder_that_others_may_read(tmp_path):
    tmp_path.chmod(0o755)
    settings = Settings(data_dir=tmp_path)
    settings.make_data_dir()
    store = Store(settings.database)
    migrate.upgrade(store)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("sankofa.db*")} == {0o600}
    store.close()
    settings.database_path.chmod(0o640)
    settings.make_data_dir()
    assert stat.S_IMODE(settings.database_path.stat().st_mode) == 0o640, "what its owner allowed is left"


def test_all_faults_are_told_at_once():
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_environment({"SANKOFA_PORT": "x", "SANKOFA_WORKERS": "0", "SANKOFA_NONSENSE": "1"})
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["SANKOFA_NONSENSE", "SANKOFA_PORT", "SANKOFA_WORKERS"]


def test_settings_cannot_be_changed():
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Settings().port = 1


def test_a_child_process_gets_the_same_settings():
    given = Settings.from_environment({"SANKOFA_PORT": "9000", "SANKOFA_DATA_DIR": "/data", "SANKOFA_CALL_SECONDS": "0.5"}, workers=3)
    environment = given.to_environment()
    assert set(environment) == {"SANKOFA_PORT", "SANKOFA_DATA_DIR", "SANKOFA_CALL_SECONDS", "SANKOFA_WORKERS"}
    assert Settings.from_environment(environment) == given


def test_database_and_broker_lie_in_the_data_folder_unless_named(tmp_path):
    embedded = Settings(data_dir=tmp_path)
    assert embedded.database == f"sqlite:///{tmp_path}/sankofa.db"
    assert embedded.broker.startswith("filesystem://")
    assert embedded.broker_dir.is_relative_to(tmp_path)
    named = Settings(data_dir=tmp_path, database_url="postgresql+psycopg://db/x", broker_url="redis://broker")
    assert (named.database, named.broker) == ("postgresql+psycopg://db/x", "redis://broker")


def test_the_data_folder_is_private_and_an_existing_one_keeps_its_mode(tmp_path):
    fresh = Settings(data_dir=tmp_path / "a" / "b")
    fresh.make_data_dir()
    fresh.make_data_dir()
    for folder in (fresh.data_dir, fresh.cache_dir, fresh.broker_dir, fresh.broker_dir / "processed", fresh.broker_dir / "control"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (tmp_path / "shared").mkdir(mode=0o750)
    Settings(data_dir=tmp_path / "shared").make_data_dir()
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o750


def run_main(**environment):
    return subprocess.run(
        [sys.executable, "-m", "service.settings"], env={"PATH": "/bin", "HOME": "/nowhere", **environment}, capture_output=True, text=True
    )


def test_what_is_in_force_can_be_printed_without_secrets(tmp_path):
    secrets = {
        "SANKOFA_API_KEY": KEY,
        "SANKOFA_DATABASE_URL": "postgresql+psycopg://u:secret@h/d",
        "SANKOFA_BROKER_URL": "redis://:secret@h",
    }
    printed = run_main(SANKOFA_DATA_DIR=str(tmp_path), SANKOFA_PORT="9000", **secrets)
    found = json.loads(printed.stdout)
    assert (found["port"], found["data_dir"], found["key_path"]) == (9000, str(tmp_path), str(tmp_path / "key"))
    assert "secret" not in printed.stdout + printed.stderr


def test_settings_that_cannot_be_used_end_the_process_with_2_and_no_traceback():
    refused = run_main(SANKOFA_PORT="x")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("SANKOFA_PORT: ")


def test_importing_settings_is_light():
    """Command line and supervisor read them before anything else."""
    program = "import sys, service.settings; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert settings_module.__name__ in modules
    assert not {"flask", "celery", "sqlalchemy", "numpy", "numba"} & set(modules)
