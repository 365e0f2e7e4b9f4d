"""Every setting of an installation, as one frozen typed object read from `SANKOFA_*` variables.

The embedded default needs none of them. `docs/settings.md` lists them all; a test holds it to this file.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

PREFIX = "SANKOFA_"
# Read by others than `Settings`: the client's address, where nncore keeps compiled kernels, who supervises this process, and where an
# installation is copied to.
FOREIGN_NAMES = {"SANKOFA_URL", "SANKOFA_PROFILE", "SANKOFA_CACHE_DIR", "SANKOFA_PARENT_PID", "SANKOFA_COPY_TO"}

DATABASE_SCHEMES = ("sqlite", "postgresql+psycopg", "postgresql", "postgres")
BROKER_SCHEMES = ("filesystem", "redis", "rediss", "amqp", "amqps")
LEAST_KEY_CHARACTERS = 32

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class InvalidSettings(Exception):
    """A `SANKOFA_*` variable is unknown or has a value that cannot be used; the message names each one and the remedy."""


def default_data_dir() -> Path:
    """Where an installation lives unless told otherwise: `$XDG_DATA_HOME/sankofa`, else `~/.local/share/sankofa`."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "sankofa"


class Settings(BaseModel):
    """What an installation is told. Field `x` is read from the variable `SANKOFA_X`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ignored_types=(cached_property,))

    data_dir: Path = Field(
        default_factory=default_data_dir, description="Private folder: SQLite database, embedded broker, caches, first key."
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL, e.g. postgresql+psycopg://user:password@host/sankofa. Default: SQLite in data_dir."
    )
    broker_url: str | None = Field(None, description="Celery broker URL (redis://, amqp://, filesystem://). Default: a folder in data_dir.")
    api_key: str | None = Field(
        None,
        description="A key of 32 characters or more, registered with full rights when the service starts. Default: made in data_dir/key.",
    )

    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on; 0 takes a free one.")
    api_processes: Count = Field(1, description="Server processes of the API.")
    api_threads: Count = Field(16, description="Threads of an API process that answer requests.")
    api_streams: Count = Field(
        8, description="Event streams and long polls an API process carries at once; above it answers 503. Less than api_threads."
    )
    workers: Count = Field(1, description="Jobs trained at once by this machine's worker.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log line that is written.")
    log_format: Literal["console", "json"] = Field("console", description="Log lines for people or for machines.")

    max_upload_bytes: Count = Field(1 << 30, description="Largest dataset upload, in bytes.")
    max_unpacked_ratio: Count = Field(100, description="Most bytes of text that a byte of a gzip upload may become; asked beyond 8 MiB.")
    max_json_bytes: Count = Field(64 << 20, description="Largest JSON body, in bytes.")
    max_rows: Count = Field(50_000_000, description="Most rows of a dataset.")
    max_columns: Count = Field(20_000, description="Most columns of a dataset.")
    max_layers: Count = Field(500, description="Most layers of a network.")
    max_parameters: Count = Field(100_000_000, description="Most weights and biases of a network.")
    max_memory_bytes: Count = Field(8 << 30, description="Most memory a job may take, as computed from its plan, in bytes.")
    max_epochs: Count = Field(10_000_000, description="Most epochs of a job.")

    cache_bytes: Count = Field(20 << 30, description="Most disk a machine's workers use to keep datasets at hand, in bytes.")
    lease_seconds: Seconds = Field(30, description="How long a worker may write to a job without renewing.")
    heartbeat_seconds: Seconds = Field(5, description="How often a worker renews its lease.")
    stall_seconds: Seconds = Field(30, description="A job whose step counter stands still this long is no longer renewed.")
    turn_seconds: Seconds = Field(20, description="How long a worker works on jobs before it puts them back into the queue.")
    call_seconds: Seconds = Field(0.2, description="About how long a compiled call trains before the worker looks up.")
    newcomer_seconds: Seconds = Field(2, description="A job that never ran waits this long before a running one makes room for it.")
    checkpoint_seconds: Seconds = Field(5, description="Least time between checkpoints of a job.")
    checkpoint_share: float = Field(0.03, gt=0, le=1, description="Largest part of the time that checkpoints may take.")
    checkpoint_retention_seconds: Seconds = Field(7 * 86400, description="How long the checkpoints of an ended job are kept.")
    trash_retention_seconds: Seconds = Field(30 * 86400, description="How long a dataset stays in the trash before it is deleted for good.")
    upload_retention_seconds: Seconds = Field(
        86400, description="How long an upload in parts waits for its next part before it is dropped."
    )
    reaper_seconds: Seconds = Field(5, description="How often the reaper looks for expired leases.")
    max_losses: Count = Field(5, description="How often in a row a job may be lost before it fails as worker_lost.")
    wake_expiry_seconds: Seconds = Field(60, description="A wake older than this is dropped.")
    shutdown_seconds: Seconds = Field(20, description="How long a stopping worker may take to checkpoint and release its jobs.")
    idempotency_seconds: Seconds = Field(86400, description="How long an Idempotency-Key is remembered.")
    audit_retention_seconds: Seconds = Field(366 * 86400, description="How long entries of the audit log are kept.")

    webhook_private: bool = Field(
        False, description="Webhooks may go to private and loopback addresses, and by plain http: for a closed network."
    )
    webhook_timeout_seconds: Seconds = Field(10, description="How long a webhook's receiver may take for its whole answer.")
    webhook_retention_seconds: Seconds = Field(7 * 86400, description="How long deliveries that ended are kept.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
        """The settings that `environment` (default: this process's) asks for; `overrides` that are not None go before it.

        An empty variable is one that is not set.

        Raises InvalidSettings naming every unknown variable and every value that cannot be used.
        """
        environment = os.environ if environment is None else environment
        names = {PREFIX + name.upper(): name for name in cls.model_fields}
        given: dict[str, object] = {}
        faults = []
        for variable, text in environment.items():
            if not variable.startswith(PREFIX) or variable in FOREIGN_NAMES or not text:
                continue
            if variable in names:
                given[names[variable]] = text
            else:
                close = difflib.get_close_matches(variable.removeprefix(PREFIX).lower(), cls.model_fields, 1)
                faults.append(f"{variable}: there is no such setting" + (f"; did you mean {PREFIX}{close[0].upper()}?" if close else ""))
        given.update({name: value for name, value in overrides.items() if value is not None})
        try:
            settings = cls.model_validate(given)
        except ValidationError as error:
            faults += [_told(fault) for fault in error.errors()]
        if faults:
            raise InvalidSettings("\n".join(faults))
        return settings

    # What these three refuse is not shown: it may hold a password.

    @field_validator("database_url")
    @classmethod
    def _names_a_database(cls, url: str | None) -> str | None:
        """Refuse what is no address of a database that the store knows."""
        if url is None:
            return None
        scheme = _scheme(url, DATABASE_SCHEMES, "sqlite:////folder/sankofa.db or postgresql+psycopg://user:password@host/sankofa")
        if scheme == "sqlite" and not re.fullmatch(r"sqlite:///[^?]+(\?.*)?", url):
            raise ValueError("expected sqlite:///FILE (one more slash before an absolute path); got no file")
        return url

    @field_validator("broker_url")
    @classmethod
    def _names_a_broker(cls, url: str | None) -> str | None:
        """Refuse what is no address of a broker that the queue knows."""
        if url is not None:
            _scheme(url, BROKER_SCHEMES, "redis://:password@host:6379/0 or amqp://user:password@host:5672//")
        return url

    @field_validator("api_key")
    @classmethod
    def _is_hard_to_guess(cls, key: str | None) -> str | None:
        """Refuse a key that is short, or that no header can carry."""
        if key is not None and (len(key) < LEAST_KEY_CHARACTERS or not re.fullmatch(r"[!-~]+", key)):
            raise ValueError(
                f"expected at least {LEAST_KEY_CHARACTERS} characters, without spaces, of ASCII; got {len(key)} characters. "
                "`openssl rand -hex 32` makes one; without the variable the service makes its own"
            )
        return key

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse settings that contradict each other."""
        if self.heartbeat_seconds >= self.lease_seconds:
            raise ValueError(
                f"SANKOFA_HEARTBEAT_SECONDS: {self.heartbeat_seconds:g} is not less than SANKOFA_LEASE_SECONDS, {self.lease_seconds:g}: "
                "every lease would end before it is renewed"
            )
        if self.api_streams >= self.api_threads:
            raise ValueError(
                f"SANKOFA_API_STREAMS: {self.api_streams} is not less than SANKOFA_API_THREADS, {self.api_threads}: "
                "streams would leave no thread for requests"
            )
        return self

    def to_environment(self) -> dict[str, str]:
        """The variables that give these settings to a child process; defaults are left out."""
        return {PREFIX + name.upper(): str(value) for name, value in self.model_dump(exclude_unset=True).items() if value is not None}

    @cached_property
    def database(self) -> str:
        """The SQLAlchemy URL in force, with the driver that is installed."""
        if self.database_url is None:
            return f"sqlite:///{self.database_path.resolve()}"
        return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", self.database_url)

    @cached_property
    def broker(self) -> str:
        """The broker URL in force."""
        return self.broker_url or "filesystem://localhost"

    @property
    def database_path(self) -> Path:
        """File of the embedded database."""
        return self.data_dir / "sankofa.db"

    @property
    def broker_dir(self) -> Path:
        """Folder of the embedded broker's messages."""
        return self.data_dir / "broker"

    @property
    def cache_dir(self) -> Path:
        """Folder of datasets that workers keep at hand, one file per digest."""
        return self.data_dir / "cache"

    @property
    def key_path(self) -> Path:
        """File of the first API key, readable by its owner alone."""
        return self.data_dir / "key"

    def make_data_dir(self) -> None:
        """Make data_dir and what lies in it, private to this user. What exists keeps its mode."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.cache_dir.mkdir(mode=0o700, exist_ok=True)
        if self.broker.startswith("filesystem:"):
            for folder in (self.broker_dir, self.broker_dir / "processed", self.broker_dir / "control"):
                folder.mkdir(mode=0o700, exist_ok=True)
        if self.database_url is None:  # SQLite would make it readable for all; its -wal and -shm take its mode
            self.database_path.touch(mode=0o600)


def _told(fault: ErrorDetails) -> str:
    """One line about a fault that pydantic found."""
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:  # one of `_agree`, which names its variables
        return message
    got = "" if fault["type"] == "value_error" else f", got {fault['input']!r}"  # our own say it where it may be said
    return f"{PREFIX}{str(fault['loc'][0]).upper()}: {message}{got}"


def _scheme(url: str, known: tuple[str, ...], example: str) -> str:
    """The scheme of `url`. Raises ValueError unless it is one of `known`, or where the port is no number."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in known:
        got = f"the scheme {scheme!r}" if mark else "no scheme"
        raise ValueError(f"expected a URL that begins with {'://, '.join(known)}://, e.g. {example}; got {got}")
    address = rest.rpartition("@")[2].partition("/")[0].partition("?")[0]
    port = re.search(r":([^\]:]*)$", address)
    if port and not port[1].isdecimal():
        raise ValueError(f"expected a number as its port, got {port[1]!r}")
    return scheme


def main() -> int:
    """Print the settings in force as JSON, without those that hold secrets. Returns the exit code: 2 when they are invalid."""
    try:
        settings = Settings.from_environment()
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    public = settings.model_dump(mode="json", exclude={"api_key", "database_url", "broker_url"})
    print(json.dumps({**public, "data_dir": str(settings.data_dir.resolve()), "key_path": str(settings.key_path.resolve())}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
