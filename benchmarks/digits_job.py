"""Seconds from POST to fetched weights, for the digits job on a warm service; and how many of them the training itself took.

    python benchmarks/digits_job.py [--runs 15] [--json FILE]            the embedded default, started and stopped by this script
    SANKOFA_DATABASE_URL=... SANKOFA_BROKER_URL=... python benchmarks/digits_job.py       another database and broker

The job: 1,797 handwritten digits, 64-32-10, Adam, batch 32, 20 epochs, 20 % held out. Polling is the client's long poll.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sankofa

DIGITS = Path(__file__).parents[1] / "examples" / "data" / "digits.csv.gz"
SPEC = {
    "target": "label",
    "network": {"layers": [{"type": "dense", "units": 32, "activation": "relu"}, {"type": "dense", "units": 10}]},
    "optimizer": {"type": "adam", "learning_rate": 0.005},
    "batch_size": 32,
    "epochs": 20,
    "validation": {"fraction": 0.2},
    "preprocess": [{"type": "standardize"}],
    "metrics": ["accuracy"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, client = start(Path(folder))
        try:
            results = measure(client, options.runs)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    spread = f"(min {results['min_seconds']:.3f}, max {results['max_seconds']:.3f})"
    print(f"POST to fetched weights  median {results['median_seconds']:.3f} s  {spread}")
    print(f"of that, training        median {results['median_training_seconds']:.3f} s")
    print(f"best validation accuracy {results['validation_accuracy']:.3f}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def start(folder: Path) -> tuple[subprocess.Popen[bytes], sankofa.Client]:
    """A service of this benchmark's own, with the BLAS environment that a user has."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    command = [sys.executable, "-m", "sankofa", "serve", "--port", str(port), "--data-dir", str(folder / "data")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=(folder / "log").open("wb"))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            client = sankofa.Client(f"http://127.0.0.1:{port}", (folder / "data" / "key").read_text().strip())
            list(client.jobs())
            return process, client
        except (OSError, sankofa.SankofaError):
            time.sleep(0.1)
    raise SystemExit((folder / "log").read_text())


def measure(client: sankofa.Client, runs: int) -> dict[str, float]:
    dataset = client.datasets.upload(gzip.decompress(DIGITS.read_bytes()), name="digits").id
    seconds, training = [], []
    for seed in range(runs + 2):
        started = time.perf_counter()
        job = client.submit({**SPEC, "dataset": dataset, "seed": seed})
        job.wait(60)
        job.weights()
        if seed >= 2:  # two to warm up
            seconds.append(time.perf_counter() - started)
            training.append(job.document["trained_seconds"])
    return {
        "runs": runs,
        "median_seconds": statistics.median(seconds),
        "min_seconds": min(seconds),
        "max_seconds": max(seconds),
        "median_training_seconds": statistics.median(training),
        "validation_accuracy": job.document["result"]["best"]["metrics"]["accuracy"],
    }


if __name__ == "__main__":
    main()
