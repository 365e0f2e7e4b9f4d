"""The folder broker: kombu's filesystem transport, with messages that appear whole or not at all, and are taken whole or put by.

kombu writes a message into the file that its readers look for: one that looks in between, or a disk that fills up, leaves a reader with
half a message, and Celery's main process ends over it. Here a message is written under a name of its own first, and one that cannot be
read is logged and dropped: a message only says "there is work", and the reaper says it again.
"""

from __future__ import annotations

import logging
import os
import uuid
from pathlib import Path
from queue import Empty
from time import monotonic_ns
from typing import Any

import orjson
from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem

SCHEME = "filesystem"

logger = logging.getLogger(__name__)


class Channel(filesystem.Channel):  # type: ignore[misc]
    """Reads and writes one file a message, `<time>_<random>.<queue>.msg`. Names that begin with a dot are being written or read."""

    def _put(self, queue: str, payload: dict[str, Any], **_: object) -> None:
        name = f"{monotonic_ns():020}_{uuid.uuid4()}.{queue}.msg"
        written = Path(self.data_folder_out) / f".{name}"
        try:
            written.write_bytes(orjson.dumps(payload))
            written.rename(written.with_name(name))
        except OSError as error:
            written.unlink(missing_ok=True)
            raise ChannelError(f"Cannot add a message to {self.data_folder_out}: {error.strerror}") from error

    def _get(self, queue: str) -> dict[str, Any]:
        folder = Path(self.data_folder_in)
        for name in sorted(os.listdir(folder)):
            if name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = folder / f".{name}"
            try:
                (folder / name).rename(taken)
            except FileNotFoundError:  # another worker was quicker
                continue
            content = taken.read_bytes()
            taken.unlink()
            try:
                payload = orjson.loads(content)
                self.Message(payload, channel=self)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                logger.warning("message %s cannot be read and is dropped: %r", name, error)
                continue
            return dict(payload)
        raise Empty


class Transport(filesystem.Transport):  # type: ignore[misc]
    """kombu's, with our channel."""

    Channel = Channel


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
