"""Log lines on stderr: one line an event, for people ("console") or machines ("json"), the same in the API and the worker.

What is bound with `structlog.contextvars.bind_contextvars(request_id=...)` or `bound_contextvars(job_id=...)` stands on every
line of that thread. Lines of libraries that use `logging` look the same.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import orjson
import structlog

from service.settings import Settings

# Libraries that say at a level what interests nobody who reads at that level.
LEVELS = {"alembic.runtime.plugins": logging.WARNING, "kombu.connection": logging.ERROR}

CHATTY = ("alembic", "celery.app.trace", "celery.worker.strategy", "celery.worker.consumer.connection")  # a line for every look and wake


def configure(settings: Settings) -> None:
    """Send the lines of structlog and of `logging` to stderr, as `settings.log_level` and `settings.log_format` say."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    shown: list[structlog.typing.Processor]
    if settings.log_format == "json":
        shown = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_as_json)]
    else:
        shown = [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0)
        ]
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[*shared, _add_logger], processors=[remove_meta, *shown]))
    handler.addFilter(_once_per_death)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger("multiprocessing").handlers[:] = [handler]  # the worker's pool, whose lines do not reach the root
    root.setLevel(level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name, least in LEVELS.items():
        logging.getLogger(name).setLevel(max(level, least))
    structlog.configure(  # our own lines do not go through `logging`, whose way takes a twentieth of a small request longer
        processors=[*shared, structlog.processors.StackInfoRenderer(), *shown],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Forgiving(sys.stderr))),
        cache_logger_on_first_use=False,  # a logger made before this call, or before a fork, follows later calls too
    )


class _Forgiving:
    """A file that drops what cannot be written, as `logging` does: a full disk or a closed pipe behind the log ends no request."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._file.flush()


def _once_per_death(record: logging.LogRecord) -> bool:
    """Keeps one clear line of a worker's child that was killed: the pool tells it, then Celery with two tracebacks of its own code."""
    if record.name == "multiprocessing" and str(record.msg).startswith("Process %r pid:%r exited with"):
        record.msg = "a training process has died, another takes its place: %s, pid %s, %s"
    return not (record.name.startswith("celery.") and "WorkerLostError" in record.getMessage())


def _add_logger(logger: Any, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say which library wrote a line that is not ours."""
    record = event.get("_record")
    if record is not None:
        event["logger"] = record.name
    return event


def _as_json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
