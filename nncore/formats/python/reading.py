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
        columns = [np.asarray(inputs[name], dtype=np.float64) for name in names]
        x = np.concatenate([column.reshape(len(column), -1) for column in columns], axis=1)
    else:
        x = np.asarray(inputs, dtype=np.float64)
        x = x.reshape(len(x), -1)
    if x.shape[1] != numbers:
        raise ValueError(f"expected {numbers} numbers in a row, got {x.shape[1]}")
    if np.isinf(x).any() or (np.isnan(x).any() and not may_miss):
        raise ValueError("expected finite numbers, got NaN or infinity")
    return x


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
        header, *lines = [line for line in csv.reader(file) if line]
    if set(names) <= set(header):
        cells = {name: [line[header.index(name)].strip() for line in lines] for name in names}
        return {name: cells[name] if name in texts else [float(meanings.get(cell.lower(), cell)) for cell in cells[name]] for name in names}
    return [
        [float(meanings.get(cell.strip().lower(), cell)) for cell in line] for line in lines
    ]  # of a single input of many numbers: one row a line
