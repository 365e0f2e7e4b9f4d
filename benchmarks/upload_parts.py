"""Seconds to upload the same CSV file as a whole and in parts, in turns, each until it is a dataset; the embedded default.

    python benchmarks/upload_parts.py [--megabytes 100] [--rounds 3] [--json FILE]
    SANKOFA_DATABASE_URL=... python benchmarks/upload_parts.py                          another database

Of an upload in parts the sending is told, too: what lies between it and the whole is the service reading the file, which a whole
upload takes as well. Between rounds the dataset is purged, for the same content is not stored twice.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from service_speed import clean_environment, free_port

import sankofa
from sankofa.parts import Parts, Watcher, send

COLUMNS, CELL_BYTES = 50, 9.1


def write_table(path: Path, megabytes: float) -> None:
    """Numbers with seven digits, as many rows as fill the file."""
    numbers = np.random.default_rng(0)
    with path.open("w") as file:
        file.write(",".join(f"c{at}" for at in range(COLUMNS)) + "\n")
        for _ in range(max(1, int(megabytes * 1e6 / (COLUMNS * CELL_BYTES * 1000)))):
            np.savetxt(file, numbers.random((1000, COLUMNS)), fmt="%.6f", delimiter=",")


def as_a_whole(client: sankofa.Client, path: Path) -> tuple[dict[str, float], str]:
    started = time.perf_counter()
    made = client.datasets._post(lambda: path.open("rb"), "text/csv", {}, None)
    return {"whole": time.perf_counter() - started}, made.id


def in_parts(client: sankofa.Client, path: Path) -> tuple[dict[str, float], str]:
    started = time.perf_counter()
    upload = send(client._connection, Parts(path), Watcher())
    sent = time.perf_counter()
    made = client.datasets._post(json.dumps({"upload": upload}).encode(), "application/json", {}, None)
    return {"parts": time.perf_counter() - started, "sending": sent - started}, made.id


def connected(port: int, key: Path, seconds: float = 120) -> sankofa.Client:
    """A client of the service, once it answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            client = sankofa.Client(f"http://127.0.0.1:{port}", key.read_text().strip(), timeout_seconds=600)
            list(client.jobs())
            return client
        except (OSError, sankofa.SankofaError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--megabytes", type=float, default=100)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--json", metavar="FILE")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table, data, port = Path(folder, "table.csv"), Path(folder, "data"), free_port()
        write_table(table, options.megabytes)
        command = [sys.executable, "-m", "sankofa", "serve", "--port", str(port), "--data-dir", str(data)]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(command, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=log)
        try:
            client = connected(port, data / "key")
            rounds: list[dict[str, float]] = []
            for _ in range(options.rounds):
                took: dict[str, float] = {}
                for way in (as_a_whole, in_parts):
                    seconds, dataset = way(client, table)
                    took |= seconds
                    client.datasets.purge(dataset)
                rounds.append(took)
                print("  ".join(f"{name} {value:6.2f} s" for name, value in took.items()), f" ratio {took['parts'] / took['whole']:.2f}")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        megabytes = table.stat().st_size / 1e6
    best = {name: min(took[name] for took in rounds) for name in rounds[0]}
    result: dict[str, Any] = {"megabytes": megabytes, "rounds": rounds, "best": best, "ratio": best["parts"] / best["whole"]}
    print(f"{megabytes:.0f} MB, best of {len(rounds)}: in parts {result['ratio']:.2f}x of the whole")
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
