"""Training steps per second of nncore, PyTorch, JAX, Keras on JAX and scikit-learn: the same networks, the same data, in one run.

    python benchmarks/train_step.py [--cases A,B,conv-10,A-float64] [--threads 1,2] [--contestants nncore,torch]
                                    [--rounds 5] [--seconds 0.5] [--no-cold] [--json FILE]

The cases are listed by --help; a dense one with "-float64" behind its name runs in float64, the others in float32. A contestant that is
not installed, or that has no such layer, is left out with a word. All train on softmax cross-entropy and gather their own shuffled batches.

Every contestant is a process of its own, bound to as many processors as it has threads, with a BLAS environment clean of settings of this
machine. They take turns, one round each, so a slow moment of the machine hits all; the median of the rounds counts. Whoever waits is
stopped meanwhile (SIGSTOP): threads that spin while they wait for work would take a processor from whose turn it is. "roofline" is the
matrix products of a step and nothing else, by numpy: what no dense network can pass. The first step is timed from the start of the
process, imports included, with a warm kernel cache. Peak bytes are the most that the process had in memory.

At the end each contestant is started cold --rounds times, and trains a 64-32-10 network on handwritten digits until 95 % of the rows it has
never seen are right: seconds from the start of the process, and peak bytes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from contestants.cases import CASES, Case

CONTESTANTS = {  # module, function that yields after steps
    "nncore": ("with_nncore", "steps"),
    "torch": ("with_torch", "steps"),
    "torch-compiled": ("with_torch", "compiled_steps"),
    "jax-step": ("with_jax", "steps"),
    "jax-scan": ("with_jax", "epoch_steps"),
    "keras-jax": ("with_keras", "steps"),
    "scikit-learn": ("with_sklearn", "steps"),
}
COLD = ("nncore", "torch", "jax-scan", "keras-jax", "scikit-learn")
ROOFLINE = "roofline"
DIGITS = Path(__file__).parents[1] / "examples/data/digits.csv.gz"
ACCURACY, MOST_EPOCHS = 0.95, 300
CLEANED = ("OPENBLAS_", "GOTO_", "MKL_", "BLIS_", "OMP_", "NVPL_", "NUMBA_", "KMP_", "XLA_", "JAX_")


def case_of(name: str) -> tuple[Case, str]:
    """The case and the dtype of a row of the table."""
    plain = name.removesuffix("-float64")
    return CASES[plain], "float64" if plain != name else "float32"


def roofline_steps(case: Case, dtype: str) -> Iterator[int]:
    """The matrix products of one step."""
    random = np.random.default_rng(0)
    products = []
    for number, (m, n, k) in enumerate(case.matrix_products()):
        left, right = random.random((m, k)).astype(dtype), random.random((k, n)).astype(dtype)
        dense = len(case.layers)
        if number < dense:  # x, weight transposed
            right = np.ascontiguousarray(right.T).T
        elif number < 2 * dense:  # output gradient transposed, x
            left = np.ascontiguousarray(left.T).T
        products.append((left, right, np.empty((m, n), dtype)))
    while True:
        for left, right, out in products:
            np.dot(left, right, out)
        yield 1


def contestant(name: str, row: str) -> None:
    """A child: for every line with a number of seconds it trains so long and answers one line of JSON."""
    case, dtype = case_of(row)
    try:
        if name == ROOFLINE:
            steps = roofline_steps(case, dtype)
        else:
            module, function = CONTESTANTS[name]
            steps = getattr(importlib.import_module(f"contestants.{module}"), function)(case, dtype)
        next(steps)
    except (ImportError, NotImplementedError) as error:
        print(json.dumps({"left_out": str(error)}), flush=True)
        return
    print(json.dumps({"ready": time.time(), "blas": blas_core()}), flush=True)
    for line in sys.stdin:
        wanted, done, started = float(line), 0, time.perf_counter()
        while time.perf_counter() - started < wanted:
            done += next(steps)
        rate = done / (time.perf_counter() - started)
        print(json.dumps({"steps_per_second": rate, "peak_bytes": peak_bytes()}), flush=True)


def cold(name: str) -> None:
    """A child that trains digits to a fixed accuracy, and answers one line of JSON."""
    table = np.loadtxt(DIGITS, delimiter=",", skiprows=1, dtype=np.float32)
    order = np.random.default_rng(0).permutation(len(table))
    inputs, labels = table[order, :-1] / 16, table[order, -1].astype(np.int64)
    split = len(labels) * 4 // 5
    try:
        epochs = importlib.import_module(f"contestants.{CONTESTANTS[name][0]}").epochs
        case = CASES["B"]
        for epoch, found in enumerate(epochs(case, inputs[:split].copy(), labels[:split], inputs[split:].copy()), 1):
            if (found.astype(np.int64) == labels[split:]).mean() >= ACCURACY:
                print(json.dumps({"ready": time.time(), "epochs": epoch, "peak_bytes": peak_bytes()}))
                return
            if epoch >= MOST_EPOCHS:
                raise SystemExit(f"{name} did not reach {ACCURACY}")
    except ImportError as error:
        print(json.dumps({"left_out": str(error)}))


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def blas_core() -> str:
    """The kernels that OpenBLAS chose for this processor, as every loaded copy says."""
    from threadpoolctl import threadpool_info

    return ", ".join(sorted({str(info.get("architecture")) for info in threadpool_info() if info["internal_api"] == "openblas"}))


def start(arguments: list[str], threads: int) -> subprocess.Popen[str]:
    """A child with a clean environment, on as many processors as it has threads."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(CLEANED)}
    kept |= {f"{library}_NUM_THREADS": str(threads) for library in ("OPENBLAS", "OMP", "MKL")}
    processors = sorted(os.sched_getaffinity(0))[:threads]
    return subprocess.Popen(
        [sys.executable, str(Path(__file__)), *arguments],
        env=kept,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
        preexec_fn=lambda: os.sched_setaffinity(0, processors),
    )


def answer(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        return {"left_out": f"it ended with {child.wait()}"}
    return dict(json.loads(line))


def measure(row: str, threads: int, contestants: list[str], rounds: int, seconds: float) -> list[dict[str, Any]]:
    """One object for each contestant that runs this case."""
    case, _ = case_of(row)
    children, rows = {}, []
    for name in [*contestants, *([ROOFLINE] if case.is_dense else [])]:
        started = time.time()
        child = start(["--contestant", name, "--cases", row], threads)
        said = answer(child)
        if "left_out" in said:
            print(f"{row}: {name} is left out: {said['left_out']}", file=sys.stderr)
            child.communicate()
            continue
        child.send_signal(signal.SIGSTOP)
        children[name] = child
        rows.append({"case": row, "threads": threads, "contestant": name, "seconds_to_first_step": said.pop("ready") - started} | said)
    rates: dict[str, list[float]] = {name: [] for name in children}
    try:
        for _ in range(rounds + 1):
            for each in rows:
                child = children[each["contestant"]]
                assert child.stdin is not None
                child.send_signal(signal.SIGCONT)
                child.stdin.write(f"{seconds}\n")
                said = answer(child)
                child.send_signal(signal.SIGSTOP)
                rates[each["contestant"]].append(said["steps_per_second"])
                each["peak_bytes"] = said["peak_bytes"]
    finally:
        for child in children.values():
            child.send_signal(signal.SIGCONT)  # who is stopped does not see that its input has ended
            child.communicate()
    medians = {name: statistics.median(found[1:]) for name, found in rates.items()}  # the first round warms up
    peers = [rate for name, rate in medians.items() if name not in ("nncore", ROOFLINE)]
    for each in rows:
        rate = medians[each["contestant"]]
        each["steps_per_second"] = rate
        each["ratio_to_best_peer"] = rate / max(peers) if peers else None
        each["ratio_to_pytorch"] = rate / medians["torch"] if "torch" in medians else None
        each["share_of_roofline"] = rate / medians[ROOFLINE] if ROOFLINE in medians else None
    return rows


def measure_cold(contestants: list[str], rounds: int) -> list[dict[str, Any]]:
    """Seconds and peak bytes from a cold process to trained digits, one object for each contestant."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in COLD if name in contestants}
    for _ in range(rounds):
        for name, said in found.items():
            started = time.time()
            child = start(["--cold", name], 1)
            line = answer(child)
            child.communicate()
            if "left_out" not in line:
                said.append(line | {"seconds": line["ready"] - started})
    unmeasured = dict.fromkeys(
        ("seconds_to_first_step", "steps_per_second", "ratio_to_best_peer", "ratio_to_pytorch", "share_of_roofline", "blas")
    )
    return [
        {
            "case": "digits to 95 %, cold",
            "threads": 1,
            "contestant": name,
            **unmeasured,  # whoever reads the file finds the keys of every case
            "seconds_to_accuracy": statistics.median(each["seconds"] for each in said),
            "epochs": said[-1]["epochs"],
            "peak_bytes": max(each["peak_bytes"] for each in said),
        }
        for name, said in found.items()
        if said
    ]


def show(each: dict[str, Any]) -> str:
    """A line of the table."""

    def ratio(name: str) -> str:
        return "" if each[name] is None else f"{each[name]:.2f}x"

    return (
        f"{each['case']:12} {each['threads']:7} {each['contestant']:14} {each['steps_per_second']:11,.1f} {ratio('ratio_to_best_peer'):>9} "
        f"{ratio('ratio_to_pytorch'):>9} {ratio('share_of_roofline'):>9} {each['seconds_to_first_step']:8.2f} s "
        f"{each['peak_bytes'] >> 20:5} MiB  {each['blas']}"
    )


def main() -> None:
    listed = "\n".join(f"    {name:10} {case.title}" for name, case in CASES.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\ncases:\n{listed}", formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS
    )
    default = [*CASES, *(f"{name}-float64" for name in "ABCDE")]
    parser.add_argument("--cases", type=lambda text: text.split(","), default=default)
    parser.add_argument("--threads", type=lambda text: [int(each) for each in text.split(",")], default=[1, 2])
    parser.add_argument("--contestants", type=lambda text: text.split(","), default=list(CONTESTANTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn")
    parser.add_argument("--no-cold", action="store_true", help="leave out the cold starts")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--contestant", choices=[*CONTESTANTS, ROOFLINE], help=argparse.SUPPRESS)
    parser.add_argument("--cold", choices=COLD, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := [name for name in options.cases if name.removesuffix("-float64") not in CASES]:
        parser.error(f"there is no case {', '.join(unknown)}; the cases are {', '.join(default)}")
    if options.contestant:
        contestant(options.contestant, options.cases[0])
    elif options.cold:
        cold(options.cold)
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Run all cases, print the table, write the JSON."""
    everything = []
    print(
        f"{'case':12} threads {'contestant':14} {'steps/s':>11} {'best peer':>9} {'torch':>9} {'roofline':>9} first step    peak  BLAS core"
    )
    for threads in options.threads:
        for row in options.cases:
            for each in measure(row, threads, options.contestants, options.rounds, options.seconds):
                everything.append(each)
                print(show(each), flush=True)
    if not options.no_cold:
        for each in measure_cold(options.contestants, options.rounds):
            everything.append(each)
            print(
                f"{each['case']}: {each['contestant']:14} {each['seconds_to_accuracy']:6.2f} s, {each['epochs']:3} epochs, "
                f"{each['peak_bytes'] >> 20:5} MiB",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(everything, indent=1) + "\n")


if __name__ == "__main__":
    main()
