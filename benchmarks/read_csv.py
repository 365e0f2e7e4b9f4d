"""Seconds to read CSV files with nncore.table.csv, beside np.loadtxt of the same bytes in the same run.

    python benchmarks/read_csv.py [--megabytes 20] [--json FILE]

np.loadtxt skips the header and reads numbers only (float64); for the file with labels it gets the numeric columns alone.
Peak bytes are what tracemalloc saw, so they leave out nothing that numpy allocates; that run is not the timed one.
"""

from __future__ import annotations

import argparse
import io
import json
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from nncore.table.csv import read_csv


def files(megabytes: float) -> dict[str, tuple[bytes, range]]:
    """Name -> (the file, its numeric columns)."""
    generator = np.random.default_rng(0)
    made = {}
    for name, columns, bytes_per_cell, cell in (
        ("pixels, 785 columns", 785, 3.6, lambda shape: generator.integers(0, 256, shape).astype(str)),
        ("fractions, 100 columns", 100, 10.2, lambda shape: np.char.mod("%.7g", generator.normal(size=shape))),
        ("fractions, 4 columns and a label", 4, 10.2, lambda shape: np.char.mod("%.7g", generator.normal(size=shape))),
    ):
        rows = max(1, int(megabytes * 1e6 / (columns * bytes_per_cell)))
        cells = cell((rows, columns))
        names = [f"c{at}" for at in range(columns)]
        if "label" in name:
            cells = np.column_stack([cells, generator.choice(["setosa", "versicolor", "virginica"], rows)])
            names.append("label")
        text = ",".join(names) + "\n" + "\n".join(map(",".join, cells.tolist())) + "\n"
        made[name] = (text.encode(), range(columns))
    return made


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def peak_bytes(call: Callable[[], object]) -> int:
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--megabytes", type=float, default=20)
    arguments.add_argument("--json", metavar="FILE")
    options = arguments.parse_args()
    results = []
    print(f"{'file':36}{'MB':>8}{'read_csv s':>12}{'loadtxt s':>12}{'ratio':>8}{'peak MB':>10}{'loadtxt MB':>12}")
    for name, (data, numeric) in files(options.megabytes).items():
        ours = lambda data=data: read_csv(io.BytesIO(data))  # noqa: E731
        theirs = lambda data=data, numeric=numeric: np.loadtxt(io.BytesIO(data), delimiter=",", skiprows=1, usecols=numeric)  # noqa: E731
        pairs = [(seconds(ours), seconds(theirs)) for _ in range(3)]  # interleaved
        mine, loadtxt = (min(column) for column in zip(*pairs, strict=True))
        row = {
            "file": name,
            "megabytes": len(data) / 1e6,
            "read_csv_seconds": mine,
            "loadtxt_seconds": loadtxt,
            "ratio": mine / loadtxt,
            "read_csv_peak_bytes": peak_bytes(ours),
            "loadtxt_peak_bytes": peak_bytes(theirs),
        }
        results.append(row)
        print(
            f"{name:36}{row['megabytes']:8.1f}{mine:12.3f}{loadtxt:12.3f}{row['ratio']:8.2f}"
            f"{row['read_csv_peak_bytes'] / 1e6:10.1f}{row['loadtxt_peak_bytes'] / 1e6:12.1f}"
        )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
