"""An installation copied into another database, from SQLite to Postgres or back: `sankofa migrate --copy-to URL`.

Nobody may have the source open meanwhile. On the target one transaction writes every row, compares it with the source and hashes every
blob: afterwards the target holds the whole installation, or nothing.

The rows are those of the tables, but for what belongs to a machine: the clock of an SQLite database is set anew by the first process
that opens it. JSON is copied as the text that it is stored as.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from service import log
from service.settings import InvalidSettings, Settings
from service.store import alone, blobs, migrate
from service.store.database import Store
from service.store.models import (
    ApiKey,
    AuditLog,
    Base,
    BlobChunk,
    Job,
    JobEvent,
    Tenant,
    Worker,
)

TARGET_VARIABLE = "SANKOFA_COPY_TO"  # the URL may hold a password, which arguments would show to every user of the machine
WITH_DAMAGED = "--with-damaged"
BATCH_ROWS, BATCH_BYTES = 500, 4 << 20  # written at once
BUFFERED_ROWS, BUFFERED_BLOBS = 100, 4  # fetched from a server at once
SHOWN = 5  # of what is wrong, in a message
REPORT_SECONDS = 0.2
CLOCK_SECONDS = 60.0  # a target's clock that is behind by no more is waited for
NAMING = [Base.metadata.tables[named.__tablename__] for named in blobs.NAMING]  # whose rows name a blob and its digest
# What the first migration puts there: rows that are replaced.
PRESENT = {"installation": 1, "tenant": 1}
# The newest of these is not later than the source's clock.
TIMES = (AuditLog.at, ApiKey.last_used_at, Worker.heartbeat_at, Tenant.used_at, Job.runnable_since, Job.heartbeat_at, JobEvent.at)
# What belongs to a machine, and what it becomes elsewhere.
OF_THE_MACHINE: Mapping[tuple[str, str], Any] = {("installation", "boot_id"): None, ("installation", "clock_offset"): 0.0}


class _JsonAsText(sa.types.UserDefinedType[str]):
    """JSON of Postgres as the text that is stored: what no reader and no writer of JSON has been over."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"

    def bind_expression(self, bindvalue: sa.BindParameter[str]) -> sa.ColumnElement[str]:
        return sa.cast(sa.type_coerce(bindvalue, sa.Text), self)

    def column_expression(self, colexpr: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
        return sa.cast(colexpr, sa.Text)


def _stored(table: sa.Table) -> sa.Table:
    """The table, with JSON as text."""
    as_text = sa.Text().with_variant(_JsonAsText(), "postgresql")
    types = {column.name: as_text if isinstance(column.type, sa.JSON) else column.type for column in table.c}
    return sa.Table(table.name, sa.MetaData(), *(sa.Column(c.name, types[c.name], primary_key=c.primary_key) for c in table.c))


TABLES = [_stored(table) for table in Base.metadata.sorted_tables]  # what a row names comes before it

Progressed = Callable[[str, int, int], object]  # (what is done, how many of it, of how many)
Row = Sequence[Any]


class NotCopied(Exception):
    """The target holds nothing; the message says why, and what to do."""


@dataclass(frozen=True)
class Copied:
    """What the target holds. rows: by table. damaged: what was so in the source already."""

    source: str
    target: str
    rows: dict[str, int]
    blobs: int
    blob_bytes: int
    damaged: list[str] = field(default_factory=list)


def copy(source: Store, target: Store, *, with_damaged: bool = False, progressed: Progressed = lambda *_: None) -> Copied:
    """Copy everything. with_damaged: also blobs that do not have their digest in the source.

    Raises NotCopied, InUse, or the database's own errors; then the target holds nothing.
    """
    _check_that_they_are_two(source, target)
    if not source.is_sqlite:  # of which a second connection would be one too many
        with source.engine.connect() as connection:
            _check_revision(source, connection)
    with alone.opened(source) as reading:
        _check_revision(source, reading)
        _make_schema(target)
        with target.engine.execution_options(begin="BEGIN EXCLUSIVE").begin() as writing:
            if not target.is_sqlite:
                alone.take_its_time(writing)
                alone.lock(writing, "SHARE ROW EXCLUSIVE")
            _check_that_it_is_empty(target, writing)
            _wait_for_the_clock(reading, target, writing)
            rows = _copy_rows(reading, writing, progressed)
            _compare_rows(reading, writing, rows, progressed)
            count, size_bytes, damaged = _hash_blobs(reading, writing, progressed)
            if damaged and not with_damaged:
                raise NotCopied(
                    f"In the source, bytes are missing or not those that were written: {_some(damaged)}. Nothing was copied. "
                    f"Purge such a dataset and delete such a job or version before, or copy them as they are with {WITH_DAMAGED}."
                )
    return Copied(migrate.address(source), migrate.address(target), rows, count, size_bytes, damaged)


def _check_that_they_are_two(source: Store, target: Store) -> None:
    if source.is_sqlite and not Path(source.url.database or "").exists():
        raise NotCopied(
            f"There is no database {source.url.database} to be copied; SANKOFA_DATA_DIR or SANKOFA_DATABASE_URL names the installation."
        )
    if migrate.address(source) == migrate.address(target) or _is_one_file(source, target):
        raise NotCopied(f"{migrate.address(target)} is the installation itself; --copy-to names another database.")


def _is_one_file(source: Store, target: Store) -> bool:
    paths = [Path(store.url.database or "") for store in (source, target) if store.is_sqlite]
    return len(paths) == 2 and paths[1].exists() and paths[0].samefile(paths[1])


def _check_revision(source: Store, reading: sa.Connection) -> None:
    found, wanted = migrate.revisions(reading), migrate.newest_revisions()
    if found != wanted:
        raise NotCopied(
            f"The schema of {migrate.address(source)} is {migrate.named(found)}, this version needs {migrate.named(wanted)}; "
            "`sankofa migrate` without --copy-to brings it there."
        )


def _make_schema(target: Store) -> None:
    """The tables, in a database that has none."""
    with target.engine.connect() as connection:
        found, tables = migrate.revisions(connection), set(sa.inspect(connection).get_table_names())
    if found == migrate.newest_revisions():
        return
    if found or tables & set(Base.metadata.tables):
        raise NotCopied(f"{migrate.address(target)} has tables already, of the schema {migrate.named(found)}. {_empty_one(target)}")
    migrate.upgrade(target)


def _check_that_it_is_empty(target: Store, writing: sa.Connection) -> None:
    held = {table.name: _count(writing, table) for table in TABLES}
    if full := {name: count for name, count in held.items() if count > PRESENT.get(name, 0)}:
        told = _some([f"{count:,} in {name}" for name, count in full.items()])
        raise NotCopied(f"{migrate.address(target)} holds rows already ({told}): nothing is copied among them. {_empty_one(target)}")
    for name in PRESENT:
        writing.execute(sa.delete(Base.metadata.tables[name]))


def _empty_one(target: Store) -> str:
    how = "a file that is not there yet" if target.is_sqlite else "a new one, made by CREATE DATABASE"
    return f"--copy-to names a database that holds nothing: {how}. Its tables are made here; `sankofa migrate` there would add a key."


def _wait_for_the_clock(reading: sa.Connection, target: Store, writing: sa.Connection) -> None:
    """Until nothing in the source lies in the target's future. An SQLite database begins no earlier than its newest time by itself."""
    if target.is_sqlite:
        return
    newest = max(reading.scalar(sa.select(sa.func.max(column))) or 0.0 for column in TIMES)
    ahead = newest - target.now(writing)
    if ahead > CLOCK_SECONDS:
        raise NotCopied(
            f"The newest time in the source is {ahead:,.0f} s ahead of the clock of {migrate.address(target)}: "
            "leases and queue would stand still so long. Set the clocks right, or wait so long, and copy then."
        )
    time.sleep(max(0.0, ahead))


def _copy_rows(reading: sa.Connection, writing: sa.Connection, progressed: Progressed) -> dict[str, int]:
    """Write every row; answer how many there are, by table."""
    counts = {table.name: _count(reading, table) for table in TABLES}
    done, total = 0, sum(counts.values())
    for table in TABLES:
        with _rows(reading, table) as rows:
            for batch in _batches(rows):
                _write(writing, table, [dict(zip(table.c.keys(), row, strict=True)) for row in batch])
                done += len(batch)
                progressed("copy rows", done, total)
        if writing.dialect.name == "postgresql":
            writing.exec_driver_sql(f"ANALYZE {writing.dialect.identifier_preparer.quote(table.name)}")  # else queries are planned blindly
    return counts


def _write(writing: sa.Connection, table: sa.Table, batch: list[dict[str, Any]]) -> None:
    """Write rows. Raises NotCopied naming the first one that the target does not take."""
    try:
        with writing.begin_nested():
            writing.execute(sa.insert(table), batch)
    except (exc.DataError, exc.IntegrityError) as error:
        if len(batch) > 1:
            half = len(batch) // 2
            _write(writing, table, batch[:half])
            _write(writing, table, batch[half:])
        told = f"A row of {table.name} ({_key(table, batch[0])}) cannot be written there: {migrate.line(error)}. Nothing was copied."
        raise NotCopied(told) from error


def _key(table: sa.Table, row: Mapping[str, Any]) -> str:
    return ", ".join(f"{column.name} {row[column.name]!r}" for column in table.primary_key)


def _compare_rows(reading: sa.Connection, writing: sa.Connection, rows: Mapping[str, int], progressed: Progressed) -> None:
    """Raise NotCopied unless both hold the same rows, value by value."""
    done, total = 0, sum(rows.values())
    for table in TABLES:
        with _rows(reading, table, ordered=True) as of_source, _rows(writing, table, ordered=True) as of_target:
            for here, there in zip_longest(of_source, of_target):
                if here is None or there is None or not all(map(_is_same, here, there)):
                    key = _key(table, dict(zip(table.c.keys(), here or there or (), strict=True)))
                    raise NotCopied(f"A row of {table.name} ({key}) is not in the target as it is in the source. Nothing was copied.")
                done += 1
                if done % BATCH_ROWS == 0 or done == total:
                    progressed("compare rows", done, total)


def _is_same(here: Any, there: Any) -> bool:
    return type(here) is type(there) and bool(here == there)


def _hash_blobs(reading: sa.Connection, writing: sa.Connection, progressed: Progressed) -> tuple[int, int, list[str]]:
    """(how many blobs the target has, their bytes, those that do not have the digest that their row names)."""
    count, size_bytes, damaged = 0, 0, []
    total = sum(_count(reading, table) for table in NAMING)
    for table in NAMING:
        columns = [column for column in table.c if column.primary_key or column.name in ("blob_id", "digest", "bytes", "header")]
        with _stream(reading, sa.select(*columns), BUFFERED_ROWS) as rows:
            for row in rows.mappings():
                if not row["blob_id"]:  # of a dataset that was purged
                    continue
                digest, its_bytes = _digest(writing, row["blob_id"], row["bytes"], row.get("header"))
                if digest != row["digest"].removeprefix("sha256:"):
                    damaged.append(f"{table.name} {' '.join(str(row[column.name]) for column in table.primary_key)}")
                count, size_bytes = count + 1, size_bytes + its_bytes
                progressed("hash blobs", count, total)
    return count, size_bytes, damaged


def _digest(connection: sa.Connection, blob_id: str, expected_bytes: int, header: Mapping[str, Any] | None) -> tuple[str, int]:
    """(sha256, size) of a blob. That of a dataset is taken over its header, too."""
    sha256, size_bytes = hashlib.sha256(), 0
    if header is not None:
        sha256.update(json.dumps(header, sort_keys=True, separators=(",", ":")).encode("ascii"))
    chunks = sa.select(BlobChunk.data).where(BlobChunk.blob_id == blob_id).order_by(BlobChunk.seq)
    # A cursor on the server takes several round trips: for those alone that are not to be in memory as a whole.
    with connection.execute(chunks) if expected_bytes <= BATCH_BYTES else _stream(connection, chunks, BUFFERED_BLOBS) as found:
        for data in found.scalars():
            sha256.update(data)
            size_bytes += len(data)
    return sha256.hexdigest(), size_bytes


@contextmanager
def _rows(connection: sa.Connection, table: sa.Table, *, ordered: bool = False) -> Iterator[Iterator[Row]]:
    """The rows of a table as they are to be in the target; ordered: by the bytes of their primary keys."""
    query = sa.select(table)
    if ordered:
        in_bytes = connection.dialect.name == "sqlite"
        keys = ((column, isinstance(column.type, sa.String) and not in_bytes) for column in table.primary_key)
        query = query.order_by(*(sa.collate(column, "C") if by_language else column for column, by_language in keys))
    holds_bytes = any(isinstance(column.type, sa.LargeBinary) for column in table.c)
    changed = [(at, OF_THE_MACHINE[table.name, name]) for at, name in enumerate(table.c.keys()) if (table.name, name) in OF_THE_MACHINE]
    with _stream(connection, query, BUFFERED_BLOBS if holds_bytes else BUFFERED_ROWS) as rows:
        yield (_changed(row, changed) for row in rows) if changed else iter(rows)


def _changed(row: Row, changed: Sequence[tuple[int, Any]]) -> Row:
    values = list(row)
    for at, value in changed:
        values[at] = value
    return values


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    """The rows, at most BATCH_ROWS together, and so many that they are of about BATCH_BYTES."""
    batch: list[Row] = []
    size_bytes = 0
    for row in rows:
        batch.append(row)
        size_bytes += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(batch) == BATCH_ROWS or size_bytes >= BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _stream(connection: sa.Connection, query: sa.Select[Any], buffered: int) -> sa.CursorResult[Any]:
    """The answer, of which no more than `buffered` rows are in memory."""
    return connection.execute(query, execution_options={"stream_results": True, "max_row_buffer": buffered})


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def _some(things: Sequence[str]) -> str:
    return ", ".join(things[:SHOWN]) + (f" and {len(things) - SHOWN:,} more" if len(things) > SHOWN else "")


def _reporter() -> Progressed:
    """Writes a JSON line now and then, for who started this process."""
    said_at = 0.0

    def progressed(what: str, done: int, total: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= REPORT_SECONDS or done == total:
            said_at = time.monotonic()
            print(json.dumps({"doing": what, "done": done, "total": total}), flush=True)

    return progressed


def main() -> int:
    """Copy the installation that SANKOFA_* variables name to where SANKOFA_COPY_TO says; the last line is what was copied, as JSON."""
    try:
        settings = Settings.from_environment()
        log.configure(settings)
        to = Settings.from_environment({"SANKOFA_DATABASE_URL": os.environ[TARGET_VARIABLE]})
    except InvalidSettings as error:
        print(str(error).replace("SANKOFA_DATABASE_URL", "--copy-to"), file=sys.stderr)
        return migrate.EXIT_UNUSABLE
    source, target = Store(settings.database), Store(to.database)
    try:
        copied = copy(source, target, with_damaged=WITH_DAMAGED in sys.argv[1:], progressed=_reporter())
    except (NotCopied, alone.InUse) as error:
        print(error, file=sys.stderr)
        return migrate.EXIT_UNUSABLE
    except exc.DBAPIError as error:
        if not isinstance(error, exc.OperationalError | exc.InterfaceError) and not migrate.remedy_of(error):
            raise
        remedy = migrate.remedy_of(error) or "look at both databases, and copy again"
        print(f"Nothing was copied: {migrate.line(error)}; {remedy}", file=sys.stderr)
        return migrate.EXIT_UNUSABLE
    finally:
        source.close()
        target.close()
    print(json.dumps({"copied": asdict(copied)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
