"""Lines drawn with the dots of braille letters: what a terminal can show of a curve.

A letter is two dots wide and four high. The first line of a chart is solid, the others are dotted more and more thinly, so that they can be
told apart without colours, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from rich.text import Text

BLANK = 0x2800
# The bits of a letter's dots, by row and column.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
STYLES = ("cyan", "yellow", "magenta", "green", "red", "blue")
MARKS = "━╍┅┉┄┈"
LABEL_WIDTH = 8
# Numbers that span more than this are drawn by their logarithms.
LOGARITHMIC = 50.0

Line = Sequence[tuple[float, float]]


def chart(lines: Mapping[str, Line], width: int, height: int, *, logarithmic: bool = False) -> list[Text]:
    """Lines by name, points (x, y) of each, as `height` + 2 rows of text: the drawing with its scales, and a legend with the last numbers.

    logarithmic: draw logarithms where all numbers are above 0 and span much. What is not finite is left out.
    """
    shown = {name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in lines.items()}
    shown = {name: points for name, points in shown.items() if points}
    if not shown:
        return [Text("nothing to draw yet")]
    every = [point for points in shown.values() for point in points]
    (first, last), (low, high) = _range([x for x, _ in every]), _range([y for _, y in every])
    by_logarithm = logarithmic and low > 0 and high / low > LOGARITHMIC
    floor, ceiling = (math.log(low), math.log(high)) if by_logarithm else (low, high)
    canvas = _Canvas(max(4, width - LABEL_WIDTH - 1), height)
    for number, points in enumerate(shown.values()):
        scaled = [(_share(x, first, last), _share(math.log(y) if by_logarithm else y, floor, ceiling)) for x, y in points]
        canvas.draw(scaled, number)
    labels = {0: high, height - 1: low} if high > low else {height - 1: low}
    rows = []
    for row, drawn in enumerate(canvas.rows()):
        label = short(labels[row]) if row in labels else ""
        rows.append(Text.assemble((f"{label:>{LABEL_WIDTH}} ", "dim"), drawn, no_wrap=True))
    ends = f"{short(first)}{'log' if by_logarithm else '':^{max(1, canvas.width - len(short(first)) - len(short(last)))}}{short(last)}"
    rows.append(Text(" " * (LABEL_WIDTH + 1) + ends, "dim", no_wrap=True))
    rows.append(_legend(shown, width))
    return rows


def beside(left: Sequence[Text], right: Sequence[Text], width: int) -> list[Text]:
    """Two charts side by side; the left one is `width` wide."""
    rows = []
    for number in range(max(len(left), len(right))):
        row = left[number].copy() if number < len(left) else Text()
        row.truncate(width, pad=True)
        rows.append(row + (right[number] if number < len(right) else Text()))
    return rows


def short(number: float) -> str:
    """A number in seven letters at the most."""
    if number == int(number) and abs(number) < 1e6:
        return str(int(number))
    return f"{number:.4f}"[:7] if 1e-3 <= abs(number) < 1e3 else f"{number:.0f}" if 1 < abs(number) < 1e6 else f"{number:.1e}"


def _range(numbers: Sequence[float]) -> tuple[float, float]:
    return min(numbers), max(numbers)


def _share(number: float, low: float, high: float) -> float:
    """Where the number lies between both, from 0 to 1."""
    return (number - low) / (high - low) if high > low else 0.0


def _legend(shown: Mapping[str, Line], width: int) -> Text:
    legend = Text(no_wrap=True)
    for number, (name, points) in enumerate(shown.items()):
        legend.append(f"{'  ' if number else ''}{MARKS[number % len(MARKS)]} ", STYLES[number % len(STYLES)])
        legend.append(f"{name} {short(points[-1][1])}")
    legend.pad_left(max(0, min(LABEL_WIDTH + 1, width - legend.cell_len)))
    legend.truncate(width, overflow="ellipsis")
    return legend


class _Canvas:
    """Letters of dots, and whose line each shows."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._bits = [[0] * width for _ in range(height)]
        self._styles: list[list[str]] = [[""] * width for _ in range(height)]

    def draw(self, points: Line, number: int) -> None:
        """A line through points from 0 to 1 along both axes; the `number`th line has a dot in every number + 1 columns."""
        wide, tall = 2 * self.width - 1, 4 * self.height - 1
        places = [(round(x * wide), round((1 - y) * tall)) for x, y in points]
        for (left, upper), (right, lower) in pairwise(places) if len(places) > 1 else [(places[0], places[0])]:
            for step in range(steps := max(abs(right - left), abs(lower - upper), 1)):
                self._dot(left + round((right - left) * step / steps), upper + round((lower - upper) * step / steps), number)
        self._dot(*places[-1], 0, STYLES[number % len(STYLES)])

    def rows(self) -> list[Text]:
        rows = []
        for bits, styles in zip(self._bits, self._styles, strict=True):
            row = Text(no_wrap=True)
            for letter, style in zip(bits, styles, strict=True):
                row.append(chr(BLANK + letter) if letter else " ", style)
            rows.append(row)
        return rows

    def _dot(self, x: int, y: int, number: int, style: str | None = None) -> None:
        if x % (number + 1) and y % (number + 1):
            return
        self._bits[y // 4][x // 2] |= DOTS[y % 4][x % 2]
        self._styles[y // 4][x // 2] = style or STYLES[number % len(STYLES)]
