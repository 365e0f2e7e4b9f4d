"""How fast large things go in and out of a warm service: a CSV file into a dataset, beside np.loadtxt of it, and weights.

    python benchmarks/transfer.py [--megabytes 100] [--rounds 3] [--json FILE]       the embedded default
    SANKOFA_DATABASE_URL=... SANKOFA_BROKER_URL=... python benchmarks/transfer.py    another database and broker

ingest   POST /v1/datasets of a file of numbers, until it is answered as a dataset, in turns with np.loadtxt in a process of its own
weights  GET /v1/jobs/{id}/weights of a network of as many bytes of float32, over loopback, read and thrown away

Of both the best of the rounds is told. Between rounds the dataset is purged, for the same content is not stored twice.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from math import isqrt
from pathlib import Path

from service_speed import clean_environment, free_port
from upload_parts import connected, write_table

import sankofa

LOADTXT = """
import sys, time, numpy
started = time.perf_counter()
numpy.loadtxt(sys.argv[1], delimiter=",", skiprows=1)
print(time.perf_counter() - started)
"""
PIECE_BYTES = 1 << 20


def ingest(client: sankofa.Client, table: Path) -> float:
    """Seconds from the first byte that is sent to the dataset, which is purged again."""
    started = time.perf_counter()
    made = client.datasets._post(lambda: table.open("rb"), "text/csv", {}, None)
    seconds = time.perf_counter() - started
    client.datasets.purge(made.id)
    return seconds


def loadtxt(table: Path) -> float:
    found = subprocess.run([sys.executable, "-c", LOADTXT, str(table)], env=clean_environment(), capture_output=True, text=True, check=True)
    return float(found.stdout)


def trained(client: sankofa.Client, megabytes: float) -> str:
    """The id of an ended job whose network takes so many megabytes."""
    width = isqrt(int(megabytes * 1e6 / 4))
    dataset = client.datasets.upload({"x": [[0.0] * width, [1.0] * width], "y": [0.5, 1.5]}, name="wide").id
    layers = [{"type": "dense", "units": width, "activation": "tanh"}, {"type": "dense", "units": 1}]
    spec = {"dataset": dataset, "target": "y", "network": {"layers": layers}, "optimizer": {"type": "sgd", "learning_rate": 1e-6}}
    job = client.submit({**spec, "batch_size": 2, "epochs": 1})
    job.wait(600)
    return job.id


def fetch(port: int, key: str, job: str) -> tuple[int, float]:
    """(bytes, seconds) of the weights of a job."""
    connection, taken, started = HTTPConnection("127.0.0.1", port), 0, time.perf_counter()
    connection.request("GET", f"/v1/jobs/{job}/weights", headers={"Authorization": f"Bearer {key}"})
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(f"the weights were answered with {response.status}: {response.read(500)!r}")
    piece = bytearray(PIECE_BYTES)
    while got := response.readinto(piece):
        taken += got
    return taken, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table, data, port = Path(folder, "table.csv"), Path(folder, "data"), free_port()
        write_table(table, options.megabytes)
        command = [sys.executable, "-m", "sankofa", "serve", "--port", str(port), "--data-dir", str(data)]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(command, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=log)
        try:
            client = connected(port, data / "key")
            ingests, loads, fetches = [], [], []
            for _ in range(options.rounds):
                ingests.append(ingest(client, table))
                loads.append(loadtxt(table))
            job = trained(client, options.megabytes)
            for _ in range(options.rounds):
                fetches.append(fetch(port, (data / "key").read_text().strip(), job))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        megabytes = table.stat().st_size / 1e6
    rates = [taken / seconds / 1e6 for taken, seconds in fetches]
    found = {
        "csv_megabytes": megabytes,
        "ingest_seconds": ingests,
        "loadtxt_seconds": loads,
        "ingest_ratio": min(ingests) / min(loads),
        "weights_megabytes": fetches[0][0] / 1e6,
        "weights_megabytes_per_second": rates,
    }
    print(f"ingest of {megabytes:.0f} MB CSV   {min(ingests):.2f} s, np.loadtxt {min(loads):.2f} s: {found['ingest_ratio']:.2f}x")
    print(f"weights of {fetches[0][0] / 1e6:.0f} MB      {max(rates):.0f} MB/s")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
