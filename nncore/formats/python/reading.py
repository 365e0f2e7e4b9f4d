"""How a script reads its inputs, in plain numpy: the source of these functions is written into every script."""

from __future__ import annotations

import base64
import csv
import json
import sys

import numpy as np


def decoded(shape: tuple, dtype: str, text: str) -> np.ndarray:
    """The array whose little-endian bytes are `text` in base64."""
    return np.frombuffer(base64.b64decode(text), dtype=np.dtype(dtype).newbyteorder("<")).astype(dtype).reshape(shape)


def side_by_side(inputs: dict | list, names: list, numbers: int, may_miss: bool = False) -> np.ndarray:
    """(rows, numbers) float64. inputs: columns by name, or an array (or lists) of one row after the other. may_miss: NaN may be there."""
    if isinstance(inputs, list) and len(names) > 1 and all(len(row) == len(names) for row in inputs):
        inputs = dict(zip(names, zip(*inputs, strict=True), strict=True))  # a row has a value, or a list of them, for each column
    if isinstance(inputs, dict):
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ValueError(f"expected the columns {names}; missing: {missing}")
        columns = [numbers_of(inputs[name], f", column {name!r}") for name in names]
        x = np.concatenate([column.reshape(len(column), -1) for column in columns], axis=1)
    else:
        x = numbers_of(inputs)
        x = x.reshape(len(x), -1)
    if x.shape[1] != numbers:
        raise ValueError(f"expected {numbers} numbers in a row, got {x.shape[1]}")
    if np.isinf(x).any() or (np.isnan(x).any() and not may_miss):
        raise ValueError("expected finite numbers, got NaN or infinity")
    return x


def numbers_of(rows: list, place: str = "") -> np.ndarray:
    """The rows as float64. place: where they stand, for the message of what is no number."""
    try:
        return np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        for row, value in enumerate(rows, 1):
            try:
                np.asarray(value, dtype=np.float64)
            except (TypeError, ValueError):
                raise ValueError(f"row {row}{place}: expected numbers, got {str(value)[:80]!r}") from None
        raise ValueError(f"expected as many numbers in each row{place}") from None


def read_file(path: str, names: list, texts: list) -> dict | list:
    """Columns by name, or rows. path: a CSV file whose first line names its columns, a JSON file, or - for JSON from standard input.

    texts: columns whose cells are no numbers. Elsewhere true and false are 1 and 0, and an empty cell, or a word for it, is NaN.
    """
    meanings = {"true": "1", "false": "0"} | dict.fromkeys(["", "na", "n/a", "#n/a", "#na", "#n/a n/a", "<na>", "null", "none"], "nan")
    meanings |= dict.fromkeys(["1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "?", "-", "."], "nan")
    if not path.lower().endswith(".csv"):
        with sys.stdin if path == "-" else open(path, encoding="utf-8") as file:
            return json.load(file)
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = [[cell.strip() for cell in line] for line in csv.reader(file) if len(line) > 1 or "".join(line).strip()]
    if len(lines) < 2:
        raise ValueError(f"expected a line that names the columns {names} and rows under it, got {'a line' if lines else 'nothing'}")
    header, *lines = lines
    for row, line in enumerate(lines, 1):
        if len(line) != len(header):
            raise ValueError(f"row {row}: expected {len(header)} cells, as many as the first line names, got {len(line)}")
    places = {name: header.index(name.strip()) for name in names if name.strip() in header}
    is_headless = all(is_number(meanings.get(cell.lower(), cell)) for cell in header)
    if len(places) < len(names) and (len(names) > 1 or texts or len(header) == 1 or is_headless):
        missing = [name for name in names if name not in places]
        raise ValueError(f"expected a first line that names the columns {names}, got {header[:20]}; missing: {missing[:20]}")
    columns: dict = {}
    for at in places.values() or range(len(header)):
        cells = [line[at] for line in lines]
        if any(places.get(name) == at for name in texts):
            columns[at] = cells
            continue
        meant = [meanings.get(cell.lower(), cell) for cell in cells]
        for row, cell in enumerate(meant, 1):
            if not is_number(cell):
                raise ValueError(f"row {row}, column {header[at]!r}: expected a number, got {cell!r}")
        columns[at] = [float(cell) for cell in meant]
    if places:
        return {name: columns[at] for name, at in places.items()}
    return [list(row) for row in zip(*columns.values(), strict=True)]  # of a single input of many numbers: one row a line


def is_number(cell: str) -> bool:
    """Whether a cell holds a number, or nan."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
