"""Where the lines of supervised processes go: to stderr under their names, or to files that do not grow without bound."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import BinaryIO

MAX_FILE_BYTES = 10 << 20


class PrefixedStderr:
    """Lines to stderr under the names of their processes, whole ones, whoever writes at the same time."""

    def __init__(self, names: list[str], *, prefix: bool = True) -> None:
        """prefix: off for lines that machines read and that name their process themselves."""
        self._width = max(map(len, names)) if prefix else 0
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        text = f"{name:<{self._width}} | {line}\n" if self._width else line + "\n"
        try:
            with self._lock:
                sys.stderr.write(text)
                sys.stderr.flush()
        except (OSError, ValueError):
            # A terminal that is gone must not stop the reading: a child would block on its full pipe.
            pass


class LogFiles:
    """One file per process in `folder`; each start of the installation begins a new one and keeps the one before as `.1`."""

    def __init__(self, folder: Path, *, max_bytes: int = MAX_FILE_BYTES) -> None:
        self.folder = folder
        self._max_bytes = max_bytes
        self._files: dict[str, BinaryIO] = {}
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """The file of the process `name`."""
        return self.folder / f"{name}.log"

    def __call__(self, name: str, line: str) -> None:
        data = line.encode(errors="replace") + b"\n"
        with self._lock:
            file = self._files.get(name)
            if file is None or file.tell() + len(data) > self._max_bytes:
                file = self._files[name] = self._fresh(name)
            try:
                file.write(data)
                file.flush()
            except OSError:
                # A full disk loses log lines, not the service.
                pass

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for file in self._files.values():
                file.close()
            self._files.clear()

    def _fresh(self, name: str) -> BinaryIO:
        path = self.path(name)
        if name in self._files:
            self._files[name].close()
        if path.exists():
            os.replace(path, path.with_name(path.name + ".1"))
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
