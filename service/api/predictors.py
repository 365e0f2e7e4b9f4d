"""Networks kept ready for predictions: the most recently used ones, by the digest of their file."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from nncore.predictor import Predictor

MAX_BYTES = 256 << 20
MAX_COUNT = 64


class Predictors:
    """Predictors by digest, together no larger than `max_bytes`, as their files are."""

    def __init__(self, max_bytes: int = MAX_BYTES, max_count: int = MAX_COUNT) -> None:
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._kept: OrderedDict[str, tuple[int, Predictor]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, digest: str, size_bytes: int, load: Callable[[], Predictor]) -> Predictor:
        """The predictor of the file with this digest; `load` makes it when it is not at hand."""
        with self._lock:
            kept = self._kept.get(digest)
            if kept is not None:
                self._kept.move_to_end(digest)
                return kept[1]
        predictor = load()
        with self._lock:
            self._kept[digest] = (size_bytes, predictor)
            while len(self._kept) > self._max_count or (len(self._kept) > 1 and self._size_bytes > self._max_bytes):
                self._kept.popitem(last=False)
        return predictor

    @property
    def _size_bytes(self) -> int:
        return sum(size for size, _ in self._kept.values())
