"""What a person sees of work that takes a while: numbered steps with their seconds, and bars where there is a terminal.

Without a terminal the same comes as plain lines, few of them. All of it goes to stderr: stdout is for answers.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn

# Without a terminal, a piece of work says where it is after this long, and then every so often.
PLAIN_SECONDS = 3.0
LONGEST_BAR, LEAST_BAR = 30, 5


def terminal_console() -> Console:
    """The console on stderr."""
    return Console(file=sys.stderr, highlight=False)


class Below(Progress):
    """A progress that stands below something else."""

    above: RenderableType | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        if self.above is not None:
            yield self.above
        yield from super().get_renderables()


class Bar:
    """How far one piece of work is; a bar in a terminal, else a line now and then. Used in a `with`, it is gone at its end."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._progress: Below | None = None
        self._task = TaskID(0)
        self._column = BarColumn(LONGEST_BAR)
        self._next_line_at = time.monotonic() + PLAIN_SECONDS

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away, if it is there."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    @property
    def is_live(self) -> bool:
        """Whether what is shown is seen moving."""
        return self._console.is_terminal

    def show(
        self, fraction: float, text: str, *, title: str | None = None, urgent: bool = False, above: RenderableType | None = None
    ) -> None:
        """Show `text` at `fraction` of the work. urgent: worth a line of its own where there is no terminal. above: shown there."""
        self._title = title or self._title
        if not self.is_live:
            if urgent or time.monotonic() >= self._next_line_at:
                self._next_line_at = time.monotonic() + PLAIN_SECONDS
                self._console.print(f"     {self._title}: {fraction:4.0%}  {text}", markup=False, soft_wrap=True)
            return
        title, text = self._fitted(text)
        if self._progress is None:
            columns = (TextColumn("    {task.description}", markup=False), self._column, TextColumn("{task.percentage:3.0f}%"))
            self._progress = Below(*columns, TextColumn("{task.fields[text]}", markup=False), console=self._console, transient=True)
            self._task = self._progress.add_task(title, total=1.0, text=text)
            self._progress.update(self._task, completed=fraction)
            self._progress.start()
        self._progress.above = above
        self._progress.update(self._task, completed=fraction, text=text, description=title, refresh=True)

    def _fitted(self, text: str) -> tuple[str, str]:
        """Title and text as they fit into one line: first the bar becomes shorter, then the title goes, then the text is cut."""
        room = self._console.width - len("      100%  ") - len(text)
        title = f" {self._title}" if room - len(self._title) - 1 >= LEAST_BAR else ""
        # It never becomes longer again: a bar that changes its length with every number is no bar.
        self._column.bar_width = max(LEAST_BAR, min(self._column.bar_width or LEAST_BAR, room - len(title)))
        cut = room - len(title) - LEAST_BAR
        return title, text if cut >= 0 else text[: cut - 1] + "…"


class Step:
    """A step under way."""

    def __init__(self, bar: Bar, title: str) -> None:
        self.bar = bar
        self.title = title  # what it turned out to be
        self.note = ""


class Steps:
    """Numbered steps, each with the seconds it took; kept in `done`, and shown where there is a console."""

    def __init__(self, total: int, console: Console | None, *, live: bool = True) -> None:
        """live: show a step already while it is done; not where others write to the same terminal meanwhile."""
        self.done: list[dict[str, Any]] = []
        self._total = total
        self._console = console
        self._live = live and console is not None and console.is_terminal

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Do one step inside; what it leaves in `note` is shown behind its seconds."""
        quiet = Console(file=None, quiet=True)
        started = time.monotonic()
        number = f"{len(self.done) + 1:2d}/{self._total}"
        if self._live:
            # The cursor goes back, so that what is shown next is written over it.
            self.say(f"{number}  {title} ...", end="\r")
        try:
            with Bar(self._console or quiet, title) as bar:
                step = Step(bar, title)
                yield step
        except BaseException:
            self.say(f"{number}  {title}: not done, after {time.monotonic() - started:.1f} s")
            raise
        seconds = time.monotonic() - started
        self.done.append({"step": step.title, "seconds": round(seconds, 3), "note": step.note})
        line = f"{number}  {step.title:<36}{seconds:7.2f} s   "
        below = self._console is not None and self._console.is_terminal and len(line + step.note) > self._console.width
        self.say(line.rstrip() + f"\n{' ' * 9}{step.note}" if below else (line + step.note).rstrip())

    def say(self, text: str, end: str = "\n") -> None:
        """Show lines, as they are."""
        if self._console is not None:
            self._console.print(text, markup=False, soft_wrap=True, end=end)
