"""A network learns handwritten digits, through the real API, queue and store, before your eyes.

Digits: UCI "Optical Recognition of Handwritten Digits", 1797 pictures of 8 x 8 pixels with values 0..16, and the digit each shows.
"""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from sankofa.client import Client
from sankofa.display import Steps
from sankofa.errors import SankofaError
from sankofa.installation import Installation
from sankofa.jobs import Job
from sankofa.logs import LogFiles
from sankofa.preparation import compile_kernels, migrate
from sankofa.process import describe_exit
from sankofa.progress import measures, shower
from sankofa.supervisor import Supervisor
from sankofa.tensors import read_safetensors

STEPS = 9
NETWORK = [{"type": "dense", "units": 32, "activation": "relu"}, {"type": "dense", "units": 10}]
EPOCHS = 60
JOB_SECONDS = 300.0
# Its accuracy on rows never trained on, below which the demo counts as failed.
LEAST_ACCURACY = 0.95
# Two ways of adding the same float32 products may differ by this much, relative to the largest.
TOLERANCE = 1e-4
# Variables that a private installation may inherit; all others speak of the user's own.
INHERITED = {"SANKOFA_CACHE_DIR", "SANKOFA_LOG_LEVEL"}


class DemoFailed(SankofaError):
    """The network did not learn, or the service predicts something else than its own weights say."""


def private_installation(data_dir: Path) -> Installation:
    """An installation in `data_dir` with SQLite and the embedded broker, on a free port, whatever this user's own is like."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SANKOFA_") or name in INHERITED}
    return Installation.find(inherited, data_dir=data_dir, host="127.0.0.1", port=0)


def run_demo(installation: Installation, output: Path, steps: Steps) -> dict[str, Any]:
    """Do the whole demo and leave nothing running; its numbers, ready for JSON.

    output: where the weights are written. Raises SankofaError.
    """
    started = time.monotonic()
    with installation.lock():
        logs = LogFiles(installation.data_dir / "logs")

        def restarted(name: str, code: int, delay_seconds: float) -> None:
            steps.say(f"       {name} ended {describe_exit(code)} and is started again; see {logs.path(name)}")

        try:
            migrate(installation, steps)
            compile_kernels(installation, steps, only_usual=True)
            parts = [installation.part(name) for name in ("api", "worker", "reaper")]
            with Supervisor(parts, grace_seconds=installation.grace_seconds, on_line=logs, on_restart=restarted) as supervisor:
                with steps.step("start API, worker and reaper") as step:
                    installation.wait_until_ready(supervisor)
                    step.note = installation.url
                with Client(installation.url, installation.read_key()) as client:
                    numbers = learn(client, output, steps)
                with steps.step("stop the service") as step:
                    killed = supervisor.stop()
                    step.note = f"had to kill {', '.join(killed)}" if killed else "nothing is left running"
        finally:
            logs.close()
    return {
        **numbers,
        "seconds": round(time.monotonic() - started, 3),
        "data_dir": str(installation.data_dir),
        "key_path": str(installation.key_path),
        "logs": str(logs.folder),
        "steps": steps.done,
    }


def learn(client: Client, output: Path, steps: Steps) -> dict[str, Any]:
    """Train the network with a running service, fetch its weights, and check what they predict; the numbers of it."""
    with as_file(files("sankofa") / "digits.csv.gz") as path:
        with gzip.open(path) as file:
            table = np.loadtxt(file, delimiter=",", skiprows=1, dtype=np.float32)
        with steps.step("upload digits.csv.gz") as step:
            dataset = client.datasets.upload(path, name="digits")
            step.note = f"{dataset.rows} rows, {len(dataset.columns)} columns"
    pixel_names = [name for name in dataset.column_names if name != "label"]
    pixels, digits = table[:, :-1], table[:, -1].astype(np.int64)

    with steps.step("train a 64-32-10 network") as step:
        job = client.train(
            NETWORK,
            dataset,
            "label",
            name="digits",
            optimizer={"type": "adam", "learning_rate": 0.005},
            batch_size=32,
            epochs=EPOCHS,
            seed=7,
            validation={"fraction": 0.2},
            metrics=["accuracy"],
        )
        job.wait(JOB_SECONDS, on_change=shower(step.bar))
        step.note = f"{EPOCHS} epochs, {job.progress.get('step')} steps"
    for line in learning_curve(job):
        steps.say(f"         {line}")

    with steps.step(f"fetch {output.name}") as step:
        job.download(output, "safetensors")
        step.note = f"{output.stat().st_size:,} bytes"
    with steps.step("read it with plain numpy") as step:
        weights = read_safetensors(output.read_bytes())
        step.note = ", ".join(f"{name} {'x'.join(map(str, values.shape))}" for name, values in weights.items())

    held_out = np.asarray(job.split()["validation_rows"], dtype=np.int64)
    with steps.step(f"predict {len(held_out)} rows it never trained on") as step:
        outputs = forward(weights, pixels[held_out])
        predicted = outputs.argmax(axis=1)
        accuracy = float((predicted == digits[held_out]).mean())
        answer = job.predict({name: pixels[held_out, place] for place, name in enumerate(pixel_names)})
        difference = float(np.abs(answer.outputs - outputs).max() / np.abs(outputs).max())
        step.note = f"numpy here and POST /predict there agree (relative difference {difference:.0e})"
        if (
            difference > TOLERANCE
            or answer.labels is None
            or [str(label) for label in answer.labels] != [str(label) for label in predicted]
        ):
            raise DemoFailed(
                f"POST /predict and the fetched weights disagree: relative difference {difference:.1e}, expected at most {TOLERANCE:g}"
            )
    if accuracy < LEAST_ACCURACY:
        raise DemoFailed(f"accuracy on {len(held_out)} rows never trained on: expected at least {LEAST_ACCURACY}, got {accuracy:.4f}")
    return {
        "accuracy": round(accuracy, 6),
        "rows": len(held_out),
        "right": int((predicted == digits[held_out]).sum()),
        "relative_difference": difference,
        "result": job.result(),
        "job": job.id,
        "dataset": dataset.id,
        "weights": str(output.resolve()),
    }


def forward(weights: Mapping[str, np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """The network in plain numpy: what anybody may do with the file. A row of ten numbers per picture; the largest names the digit."""
    hidden = np.maximum(pixels @ weights["0.weight"].T + weights["0.bias"], 0)
    return np.asarray(hidden @ weights["2.weight"].T + weights["2.bias"])


def learning_curve(job: Job) -> list[str]:
    """A line for a few of the epochs, spread as learning is: many early, few late."""
    by_epoch = {report["epoch"]: report for report in job.metrics()}
    wanted = [epoch for epoch in (1, 2, 5, 10, 20, 40) if epoch < EPOCHS] + [EPOCHS]
    return [f"epoch {epoch:3d}   {measures(by_epoch[epoch])}" for epoch in wanted if epoch in by_epoch]
