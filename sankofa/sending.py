"""A file that is sent, before a person's eyes: bytes, rate and time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sankofa.notebook import is_notebook, update_in_place
from sankofa.parts import Watcher

SHOWN_SECONDS = 0.1  # least time between two looks
RATE_SECONDS = 5.0  # over which the rate is taken
UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


class Progress(Watcher):
    """Tells `show` (fraction, text) and `say` (a line to stay) how a file goes."""

    def __init__(
        self,
        total: int,
        show: Callable[[float, str], object],
        say: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._show, self._say, self._clock = total, show, say, clock
        self._shown_at = float("-inf")
        self._seen: deque[tuple[float, int]] = deque()

    def sent(self, at: int) -> None:
        now = self._clock()
        if self._seen and at < self._seen[-1][1]:  # some of it did not arrive
            self._seen.clear()
        self._seen.append((now, at))
        while len(self._seen) > 2 and now - self._seen[0][0] > RATE_SECONDS:
            self._seen.popleft()
        if now - self._shown_at >= SHOWN_SECONDS or at == self._total:
            self._shown_at = now
            self._show(at / self._total, self._text(now, at))

    def resumed(self, at: int, why: str) -> None:
        self._seen.clear()
        self._say(f"went on at {size(at)} of {size(self._total)}: {why}")

    def reading(self) -> None:
        self._show(1.0, f"{size(self._total)} sent; the service reads it")

    def _text(self, now: float, at: int) -> str:
        told = f"{size(at)} of {size(self._total)}"
        began, first = self._seen[0]
        if now <= began or at <= first:
            return told
        rate = (at - first) / (now - began)
        return f"{told}  {size(rate)}/s" + (f"  {duration((self._total - at) / rate)} left" if at < self._total else "")


@contextmanager
def shown(title: str, total: int, progress: bool | None) -> Iterator[Watcher]:
    """A watcher that shows how `total` bytes go: a bar in a terminal, a line in a notebook, else lines on stderr now and then.

    progress: None shows it only where it is seen moving; False never.
    """
    from sankofa.display import Bar, terminal_console  # rich is a quarter of what importing this package would take

    console = terminal_console()
    if progress is False or (progress is None and not console.is_terminal and not is_notebook()):
        yield Watcher()
    elif is_notebook():
        put = update_in_place()
        yield Progress(total, lambda fraction, text: put(line(f"{title}  {fraction:4.0%}  {text}")), lambda _: None)
    else:
        with Bar(console, title) as bar:
            yield Progress(total, bar.show, lambda text: console.print(f"{title}: {text}", markup=False, soft_wrap=True))


def line(text: str) -> dict[str, Any]:
    """A line of text as the output of a notebook's cell."""
    return {"text/plain": text}


def size(count: float) -> str:
    """Bytes for people, e.g. 61.0 MB."""
    for unit, name in UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} bytes"


def duration(seconds: float) -> str:
    """A time for people, e.g. 48 s, 2:05 min."""
    whole = max(1, round(seconds))
    if whole < 100:
        return f"{whole} s"
    return f"{whole // 60}:{whole % 60:02} min" if whole < 6000 else f"{whole // 3600}:{whole // 60 % 60:02} h"
