"""What a kind of job does between its claim and its end. A slice runs it; it knows no lease, no state and no database."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nncore.machine.kernels import Kernel
from service.settings import Settings
from service.store.claims import NewFile, NewSnapshot
from worker.recorder import Recorder

Compile = Callable[[str, Iterable[Kernel]], None]
"""Makes kernels ready for a dtype, however long that takes."""


class CancelAsked(Exception):
    """The job was cancelled while what it leaves was being made or written."""


class Written(NamedTuple):
    """Bytes that lie in a blob now. digest: their sha256 in hexadecimal."""

    blob_id: str
    digest: str
    bytes: int


Write = Callable[[Iterable[bytes]], Written]
"""Stores bytes as a blob."""


@dataclass(frozen=True)
class Left:
    """What a job leaves when it ends, its bytes being written. assessment: of the best snapshot, JSON."""

    snapshots: list[NewSnapshot] = field(default_factory=list)
    files: list[NewFile] = field(default_factory=list)
    assessment: dict[str, Any] | None = None


class Work(ABC):
    """A job under way, and what is known of its last checkpoint."""

    def __init__(self, step: int, recorder: Recorder) -> None:
        self.recorder = recorder
        self.saved_step, self.saved_at, self.save_seconds = step, time.monotonic(), 0.0

    @property
    @abstractmethod
    def step(self) -> int:
        """How much is done."""

    @property
    @abstractmethod
    def epoch(self) -> int:
        """Epochs completed; 0 where there are none."""

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether all is done."""

    @abstractmethod
    def run(self, seconds: float) -> Iterator[None]:
        """Go on until all is done, to be looked up from about every so many seconds. What there is to report goes to the recorder."""

    @abstractmethod
    def state(self) -> bytes:
        """All that is needed to go on elsewhere, bit for bit."""

    @abstractmethod
    def restore(self, step: int, state: bytes) -> None:
        """Go on where `state` was taken. Raises CheckpointMismatch or InvalidFile, and changes nothing, where that cannot be."""

    @abstractmethod
    def left(self, write: Write, between: Callable[[], object]) -> Left:
        """What it leaves as it stands. between: to be called now and then, where that takes a while."""

    def save_is_due(self, settings: Settings) -> bool:
        """Whether to write a checkpoint now: every few seconds, but never for more than a small share of the time."""
        pause = max(settings.checkpoint_seconds, self.save_seconds / settings.checkpoint_share)
        return time.monotonic() - self.saved_at >= pause
