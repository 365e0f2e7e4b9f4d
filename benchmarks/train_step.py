"""Training steps per second of nncore, PyTorch (eager, fused optimizer) and scikit-learn, on the same networks and data.

    python benchmarks/train_step.py [--cases ABCDEFG] [--threads 1] [--dtype float32] [--rounds 7] [--seconds 0.5] [--json FILE]

    A  784-30-10 sigmoid, SGD, batch 10          D  784-512-512-10 relu, Adam, batch 128
    B  64-32-10 relu, Adam, batch 32             E  784-2048-2048-10 relu, Adam, batch 512
    C  784-128-10 relu, Adam, batch 128          all: softmax cross-entropy, shuffled epochs over random rows
    F, G  pictures of 28 x 28: 20 filters 5 x 5, pool 2, 40 filters 5 x 5, pool 2, 100, 10, relu, SGD, batch 10 and 128 (not scikit-learn)

Every contestant is a process of its own, with a BLAS environment clean of settings of this machine. They take turns, one round each, so a
slow moment of the machine hits all; the median of the rounds counts. The first step is timed from the start of the process, imports
included, with a warm kernel cache. Peak bytes are the most that the process had in memory. Each contestant gathers its own batches.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

CASES: dict[str, tuple[list[int], str, str, int]] = {  # layer sizes, activation, optimizer, batch size
    "A": ([784, 30, 10], "sigmoid", "sgd", 10),
    "B": ([64, 32, 10], "relu", "adam", 32),
    "C": ([784, 128, 10], "relu", "adam", 128),
    "D": ([784, 512, 512, 10], "relu", "adam", 128),
    "E": ([784, 2048, 2048, 10], "relu", "adam", 512),
    "F": ([784, 100, 10], "relu", "sgd", 10),
    "G": ([784, 100, 10], "relu", "sgd", 128),
}
CONVOLUTIONAL = "FG"  # two convolutions and pools stand before the dense layers
PICTURES: list[dict[str, Any]] = [
    {"type": "reshape", "shape": [1, 28, 28]},
    {"type": "conv2d", "filters": 20, "kernel_size": 5, "activation": "relu"},
    {"type": "max_pool", "kernel_size": 2},
    {"type": "conv2d", "filters": 40, "kernel_size": 5, "activation": "relu"},
    {"type": "max_pool", "kernel_size": 2},
    {"type": "flatten"},
]
ROWS = 6400
RATES = {"sgd": 0.1, "adam": 1e-3}
CLEANED = ("OPENBLAS_", "GOTO_", "MKL_", "BLIS_", "OMP_", "NVPL_", "NUMBA_", "KMP_")

Steps = Iterator[int]
"""How many steps were done since the number before."""


def data(case: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.random((ROWS, CASES[case][0][0])).astype(dtype), random.integers(0, 10, ROWS)


def nncore_steps(case: str, dtype: str, threads: int) -> Steps:
    from nncore.data import TrainingData
    from nncore.spec import Limits, TrainingSpec, resolve
    from nncore.table import Column, Table
    from nncore.trainer import Trainer

    sizes, activation, optimizer, batch_size = CASES[case]
    inputs, labels = data(case, dtype)
    hidden = [{"type": "dense", "units": units, "activation": activation} for units in sizes[1:-1]]
    spec = TrainingSpec.model_validate(
        {
            "inputs": ["x"],
            "target": "y",
            "network": {"layers": [*(PICTURES if case in CONVOLUTIONAL else []), *hidden, {"type": "dense", "units": sizes[-1]}]},
            "optimizer": {"type": optimizer, "learning_rate": RATES[optimizer]},
            "batch_size": batch_size,
            "epochs": 10_000_000,
            "seed": 0,
            "dtype": dtype,
            "metrics": [],
        }
    )
    table = Table([Column("x", inputs), Column("y", labels)])
    resolved = resolve(spec, table.info(), ROWS, Limits(max_epochs=10**9, max_steps=10**12))
    trainer, before = Trainer(resolved, TrainingData.prepare(resolved, table)), 0
    for report in trainer.run(call_seconds=0.05):
        yield report.step - before
        before = report.step


def torch_steps(case: str, dtype: str, threads: int) -> Steps:
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    sizes, activation, optimizer, batch_size = CASES[case]
    inputs, labels = (torch.from_numpy(array) for array in data(case, dtype))
    modules: list[torch.nn.Module] = []
    if case in CONVOLUTIONAL:
        modules += [torch.nn.Unflatten(1, (1, 28, 28)), torch.nn.Conv2d(1, 20, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
        modules += [torch.nn.Conv2d(20, 40, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten()]
        sizes = [640, *sizes[1:]]
    for before, after in pairwise(sizes):
        modules += [torch.nn.Linear(before, after), torch.nn.Sigmoid() if activation == "sigmoid" else torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1]).to(getattr(torch, dtype))
    loss = torch.nn.CrossEntropyLoss()
    kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
    update = kind(model.parameters(), lr=RATES[optimizer], fused=True)
    while True:
        for rows in torch.randperm(ROWS).split(batch_size):
            update.zero_grad()
            loss(model(inputs[rows]), labels[rows]).backward()
            update.step()
            yield 1


def sklearn_steps(case: str, dtype: str, threads: int) -> Steps:
    from sklearn.neural_network import MLPClassifier

    sizes, activation, optimizer, batch_size = CASES[case]
    inputs, labels = data(case, dtype)
    model = MLPClassifier(
        hidden_layer_sizes=sizes[1:-1],
        activation="logistic" if activation == "sigmoid" else activation,
        solver=optimizer,
        alpha=0,
        batch_size=batch_size,
        learning_rate_init=RATES[optimizer],
        momentum=0,
    )
    model.partial_fit(inputs[:batch_size], labels[:batch_size], classes=range(10))
    yield 1
    # An epoch over a part, so that a turn ends in time: partial_fit shuffles and cuts it into batches.
    part = batch_size * max(1, {"A": 640, "B": 200, "C": 50, "D": 10}.get(case, 2))
    while True:
        model.partial_fit(inputs[:part], labels[:part])
        yield -(-min(part, ROWS) // batch_size)


CONTESTANTS: dict[str, Callable[[str, str, int], Steps]] = {"nncore": nncore_steps, "torch": torch_steps, "scikit-learn": sklearn_steps}


def contestant(name: str, case: str, dtype: str, threads: int) -> None:
    """A child: for every line with a number of seconds it trains so long and answers one line of JSON."""
    steps = CONTESTANTS[name](case, dtype, threads)
    next(steps)
    print(json.dumps({"ready": time.time(), "blas": blas_core()}), flush=True)
    for line in sys.stdin:
        wanted, done, started = float(line), 0, time.perf_counter()
        while time.perf_counter() - started < wanted:
            done += next(steps)
        rate = done / (time.perf_counter() - started)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"steps_per_second": rate, "peak_bytes": peak}), flush=True)


def blas_core() -> str:
    """The kernels that OpenBLAS chose for this processor, as every loaded copy says."""
    from threadpoolctl import threadpool_info

    return ", ".join(sorted({str(info.get("architecture")) for info in threadpool_info() if info["internal_api"] == "openblas"}))


def clean_environment(threads: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CLEANED)}
    return kept | {f"{library}_NUM_THREADS": str(threads) for library in ("OPENBLAS", "OMP", "MKL")}


def measure(case: str, dtype: str, threads: int, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """One row for each contestant."""
    children, started, rows = {}, {}, []
    contestants = [name for name in CONTESTANTS if name != "scikit-learn" or case not in CONVOLUTIONAL]
    for name in contestants:
        command = [sys.executable, str(Path(__file__)), "--contestant", name, "--cases", case, "--dtype", dtype, "--threads", str(threads)]
        started[name] = time.time()
        children[name] = subprocess.Popen(
            command, env=clean_environment(threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        rows.append({"case": case, "threads": threads, "dtype": dtype, "contestant": name} | answer(children[name]))
        rows[-1]["seconds_to_first_step"] = rows[-1].pop("ready") - started[name]
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for row in rows:
            name = row["contestant"]
            children[name].stdin.write(f"{seconds}\n")
            said = answer(children[name])
            rates[name].append(said["steps_per_second"])
            row["peak_bytes"] = said["peak_bytes"]
    for child in children.values():
        child.stdin.close()
        child.wait()
    medians = {name: statistics.median(found[1:]) for name, found in rates.items()}  # the first round warms up
    best_peer = max(rate for name, rate in medians.items() if name != "nncore")
    for row in rows:
        rate = medians[row["contestant"]]
        row |= {"steps_per_second": rate, "ratio_to_best_peer": rate / best_peer, "ratio_to_pytorch": rate / medians["torch"]}
    return rows


def answer(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise SystemExit(f"{child.args} ended with {child.wait()}")
    return dict(json.loads(line))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="ABCDEFG")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        contestant(options.contestant, options.cases, options.dtype, options.threads)
        return

    everything = []
    print(f"{'case':4} {'contestant':13} {'steps/s':>10} {'of best peer':>13} {'of torch':>9} {'first step':>11} {'peak':>8}  BLAS core")
    for case in options.cases:
        for row in measure(case, options.dtype, options.threads, options.rounds, options.seconds):
            everything.append(row)
            print(
                f"{case:4} {row['contestant']:13} {row['steps_per_second']:10,.1f} {row['ratio_to_best_peer']:12.2f}x "
                f"{row['ratio_to_pytorch']:8.2f}x {row['seconds_to_first_step']:9.2f} s {row['peak_bytes'] >> 20:4} MiB  {row['blas']}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
