"""The table of MNIST-1D: four networks on 4,000 short signals, judged on 1,000 others, beside the published accuracies.

    pip install mnist1d; python benchmarks/mnist1d_table.py [--seeds 3] [--json FILE]

Adam at 1e-2, batch 100, 6,000 steps, PyTorch's initial parameters; the accuracy is that of the last parameters.
Source of data, networks and accuracies: Greydanus and Kobak, "Scaling down deep learning with MNIST-1D" (2020/2024).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from nncore.data import TrainingData
from nncore.predictor import Predictor
from nncore.spec import Limits, TrainingSpec, resolve
from nncore.table import Column, Table
from nncore.trainer import Trainer

SIGNAL: list[dict[str, Any]] = [{"type": "reshape", "shape": [1, 40]}]
LAST = [{"type": "flatten"}, {"type": "dense", "units": 10}]


def convolution(kernel_size: int) -> dict[str, Any]:
    return {"type": "conv1d", "filters": 25, "kernel_size": kernel_size, "stride": 2, "padding": 1, "activation": "relu"}


NETWORKS: dict[str, tuple[list[dict[str, Any]], str]] = {  # layers, published accuracy in percent
    "linear": ([{"type": "dense", "units": 10}], "31.6 +- 0.5"),
    "MLP": (
        [
            {"type": "dense", "units": 100, "activation": "relu"},
            {"type": "residual", "layers": [{"type": "dense", "units": 100, "activation": "relu"}]},
            {"type": "dense", "units": 10},
        ],
        "64 to 68",
    ),
    "CNN": ([*SIGNAL, convolution(5), convolution(3), convolution(3), *LAST], "92 to 94"),
    "GRU": (
        [{"type": "reshape", "shape": [40, 1]}, {"type": "gru", "units": 6, "bidirectional": True, "output": "all"}, *LAST],
        "89 to 92",
    ),
}


def train(layers: list[dict[str, Any]], data: dict[str, np.ndarray], seed: int) -> float:
    """The accuracy on the test rows when training has ended."""
    spec = TrainingSpec.model_validate(
        {
            "inputs": ["x"],
            "target": "y",
            "network": {"layers": layers},
            "optimizer": {"type": "adam", "learning_rate": 1e-2},
            "batch_size": 100,
            "epochs": 150,
            "seed": seed,
            "metrics": [],
        }
    )
    table = Table([Column("x", data["x"].astype(np.float32)), Column("y", data["y"].astype(np.int64))])
    resolved = resolve(spec, table.info(), len(data["y"]), Limits())
    trainer = Trainer(resolved, TrainingData.prepare(resolved, table))
    for _ in trainer.run():
        pass
    labels = Predictor(trainer.artifact("last")).predict({"x": data["x_test"].astype(np.float32)}).labels
    return float((labels == data["y_test"]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    from mnist1d.data import get_dataset_args, make_dataset

    data, found = make_dataset(get_dataset_args()), {}
    print(f"{'network':8} {'accuracy, %':>12} {'of seeds':22} {'published':>12} {'seconds a run':>14}")
    for name, (layers, published) in NETWORKS.items():
        started = time.perf_counter()
        accuracies = [100 * train(layers, data, seed) for seed in range(options.seeds)]
        seconds = (time.perf_counter() - started) / options.seeds
        found[name] = {"accuracies": accuracies, "published": published, "seconds": seconds}
        listed = ", ".join(f"{each:.1f}" for each in accuracies)
        print(f"{name:8} {statistics.mean(accuracies):12.1f} {listed:22} {published:>12} {seconds:14.1f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
