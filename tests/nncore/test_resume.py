"""Stop at any step, anywhere; go on in another trainer: the unbroken run, bit for bit. Over small random specs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nncore import checkpoint
from nncore.errors import Diverged
from nncore.layers import LayerSpec
from nncore.optimizers import OptimizerSpec
from nncore.report import Report
from nncore.trainer import Trainer

ACTIVATIONS = st.sampled_from(["linear", "sigmoid", "tanh", "relu", "softmax"])


def bent(units: int) -> list[dict[str, Any]]:
    """A dense layer, then a residual."""
    dense = {"type": "dense", "units": units, "activation": "tanh"}
    return [dense, {"type": "residual", "layers": [dense]}]


HIDDEN = st.one_of(
    st.builds(
        lambda units, activation, bias: {"type": "dense", "units": units, "activation": activation, "use_bias": bias},
        st.integers(1, 5),
        ACTIVATIONS,
        st.booleans(),
    ),
    st.builds(lambda rate: {"type": "dropout", "rate": rate}, st.sampled_from([0.0, 0.25, 0.5])),
    st.builds(
        lambda units, rate: {"type": "parallel", "branches": [bent(units), [{"type": "dropout", "rate": rate}]]},
        st.integers(1, 3),
        st.sampled_from([0.0, 0.25]),
    ),
)
PLANE, FLAT = {"type": "reshape", "shape": [1, 1, 2]}, {"type": "flatten"}
FRONTS = st.sampled_from(
    [
        [],
        [{"type": "activation", "activation": "gelu"}],
        [{"type": "layer_norm"}],
        [{"type": "batch_norm"}],
        [PLANE, {"type": "conv2d", "filters": 3, "kernel_size": [1, 2]}, {"type": "batch_norm", "momentum": 0.5}, FLAT],
        [PLANE, {"type": "conv2d", "filters": 4, "kernel_size": [1, 2], "padding": "same", "groups": 1, "activation": "silu"}, FLAT],
        [{"type": "reshape", "shape": [2, 1]}, {"type": "conv1d", "filters": 4, "kernel_size": 1, "groups": 2, "activation": "relu"}, FLAT],
        [PLANE, {"type": "max_pool", "kernel_size": [1, 2], "stride": 1, "padding": [0, 1]}, FLAT],
        [PLANE, {"type": "average_pool", "kernel_size": [1, 2], "stride": 1, "padding": [0, 1], "count_include_pad": False}, FLAT],
        [PLANE, {"type": "conv2d", "filters": 3, "kernel_size": [1, 2]}, {"type": "global_pool", "kind": "average"}],
    ]
)
RECURRENT = st.builds(
    lambda kind, units, both, inner: [
        {"type": kind, "units": units, "bidirectional": both, "output": "all"},
        {"type": inner, "units": 2},
    ],
    st.sampled_from(["lstm", "gru", "rnn"]),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from(["lstm", "gru", "rnn"]),
)
OPTIMIZERS: list[dict[str, Any]] = [
    {"type": "sgd", "learning_rate": 0.1},
    {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    {"type": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
    {"type": "adam", "learning_rate": 0.02},
    {"type": "adam", "learning_rate": 0.02, "epsilon_mode": "hat"},
    {"type": "sgd", "learning_rate": 0.1, "l1": 0.01, "l2": 0.1, "clip_norm": 0.3},
    {"type": "adagrad", "learning_rate": 0.1, "clip_value": 0.05},
    {"type": "rmsprop", "momentum": 0.5, "centered": True},
    {"type": "lion", "learning_rate": 0.01, "weight_decay": 0.1},
    {"type": "adamw", "learning_rate": 0.02, "weight_decay": 0.1, "schedule": {"type": "one_cycle"}},
    {"type": "sgd", "learning_rate": 0.1, "schedule": {"type": "cosine", "final": 0.1}},
    {"type": "sgd", "learning_rate": 0.1, "schedule": {"type": "exponential", "factor": 0.9, "every_steps": 2}},
    {"type": "sgd", "learning_rate": 0.1, "schedule": {"type": "step", "every_steps": 3, "warmup_steps": 1}},
    {"type": "adam", "learning_rate": 0.02, "average_decay": 0.8},
    {"type": "lbfgs", "history": 2},
    {"type": "sgd", "learning_rate": 0.01, "momentum": 0.5, "average_decay": 0.9, "maximize": True, "l2": 0.1},
    {"type": "adam", "learning_rate": 0.2, "schedule": {"type": "reduce_on_plateau", "patience": 0, "threshold": 0.1}},
]
BAG = [
    {"type": "embedding", "vocabulary": 5, "dimensions": 3, "padding_index": 0},
    {"type": "mean_over_sequence"},
]
TASKS = st.sampled_from(
    [
        ("y", 3, {"type": "softmax_cross_entropy"}),
        ("y", 3, {"type": "softmax_cross_entropy", "class_weights": [1.0, 0.5, 3.0], "label_smoothing": 0.1, "ignore_index": 0}),
        ("y", 3, {"type": "negative_log_likelihood"}),
        ("z", 1, {"type": "mean_squared_error"}),
        ("z", 1, {"type": "mean_absolute_error"}),
        ("z", 1, {"type": "huber", "delta": 0.3}),
        ("b", 1, {"type": "binary_cross_entropy"}),
    ]
)
AUGMENTATIONS = st.lists(
    st.sampled_from(
        [
            {"type": "noise", "deviation": 0.3},
            {"type": "flip"},
            {"type": "shift", "most": [1]},
            {"type": "mixup", "alpha": 0.5},
        ]
    ),
    max_size=3,
    unique_by=lambda augmentation: augmentation["type"],
)


# Every layer at the front of a network: the column that it reads, and what stands there.
LAYERS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "dense": ("x", [{"type": "dense", "units": 3, "activation": "softplus"}]),
    "dropout": ("x", [{"type": "dropout", "rate": 0.4}]),
    "residual": ("x", bent(3)),
    "parallel": ("x", [{"type": "parallel", "branches": [bent(2), [{"type": "dropout", "rate": 0.25}]]}]),
    "activation": ("x", [{"type": "activation", "activation": "elu"}]),
    "flatten": ("s", [FLAT]),
    "reshape": ("x", [{"type": "reshape", "shape": [2, 1]}, FLAT]),
    "conv1d": ("s", [{"type": "conv1d", "filters": 2, "kernel_size": 2}, FLAT]),
    "conv2d": ("x", [PLANE, {"type": "conv2d", "filters": 3, "kernel_size": [1, 2], "padding": "same"}, FLAT]),
    "max_pool": ("s", [{"type": "max_pool", "kernel_size": 2}, FLAT]),
    "average_pool": ("s", [{"type": "average_pool", "kernel_size": 2}, FLAT]),
    "global_pool": ("s", [{"type": "conv1d", "filters": 2, "kernel_size": 1}, {"type": "global_pool", "kind": "max"}]),
    "layer_norm": ("s", [{"type": "layer_norm", "axes": 2}, FLAT]),
    "batch_norm": ("s", [{"type": "batch_norm"}, FLAT]),
    "embedding": ("t", [BAG[0], FLAT]),
    "mean_over_sequence": ("s", [{"type": "mean_over_sequence"}]),
    **{
        name: ("s", [{"type": name, "units": 2, "bidirectional": True, "output": "all"}, {"type": name, "units": 2}])
        for name in ("lstm", "gru", "rnn")
    },
}


@st.composite
def specs(draw: Any, layer: str | None = None, optimizers: list[dict[str, Any]] = OPTIMIZERS) -> dict[str, Any]:
    target, units, loss = draw(TASKS)
    if layer is None:
        column = draw(st.sampled_from(["x", "x", "s", "t"]))
        front = draw({"x": FRONTS, "s": RECURRENT, "t": st.just(BAG)}[column])
    else:
        column, front = LAYERS[layer]
    network = [
        *front,
        *draw(st.lists(HIDDEN, max_size=(3 if column == "x" else 2) if layer is None else 0)),
        {"type": "dense", "units": units, "activation": "log_softmax" if loss["type"] == "negative_log_likelihood" else "linear"},
    ]
    sizes = range(1, 31)
    if any(layer["type"] == "batch_norm" for layer in network):  # no batch of one of the 23 rows, or of the 16 that validation leaves
        sizes = [size for size in sizes[1:] if 1 not in (23 % size, 16 % size)]
    optimizer, weights = draw(st.sampled_from(optimizers)), draw(st.sampled_from([None, None, "w"]))
    augment = draw(AUGMENTATIONS) if column != "t" and not loss.get("class_weights") else []
    augment = [each for each in augment if weights is None or each["type"] != "mixup"]
    if optimizer["type"] == "lbfgs":  # all rows in every step, and nothing that draws or follows the steps
        sizes, augment = [30], []
        if "dropout" in str(network) or "batch_norm" in str(network):
            optimizer = {"type": "adam"}
    return {
        "inputs": [column],
        "target": target,
        "network": network,
        "loss": loss,
        "optimizer": optimizer,
        "batch_size": draw(st.sampled_from(sizes)),
        "epochs": draw(st.integers(1, 4)),
        "seed": draw(st.integers(0, 1000)),
        "shuffle": draw(st.booleans()),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "validation": draw(st.sampled_from([None, {"fraction": 0.3}])),
        "test": draw(st.sampled_from([None, {"fraction": 0.1}])) if "batch_norm" not in str(network) else None,
        "early_stopping": draw(st.sampled_from([None, None, {"patience": 1}, {"patience": 1, "min_delta": 0.05}])),
        "accumulate": draw(st.sampled_from([1, 1, 2, 3])),
        "sample_weight": weights,
        "preprocess": draw(st.sampled_from([[], [{"type": "standardize"}]])) if column != "t" else [],
        "augment": augment,
        "report_every_steps": draw(st.sampled_from([None, 1, 2, 3, 5])),
        "diagnostics": draw(st.booleans()),
    }


def rows() -> dict[str, Any]:
    random = np.random.default_rng(4)
    x = random.standard_normal((23, 2)).round(3)
    return {
        "x": x.tolist(),
        "s": random.standard_normal((23, 3, 2)).round(3).tolist(),
        "t": random.integers(0, 5, (23, 4)).tolist(),
        "y": random.integers(0, 3, 23).tolist(),
        "z": random.random(23).tolist(),
        "b": (x[:, 0] > 0).astype(int).tolist(),
        "w": random.choice([0.0, 0.5, 1.0, 3.0], 23).tolist(),
    }


def cut(trainer: Trainer, lengths: list[int]) -> Iterator[Report]:
    """Run with compiled calls of these lengths in turn, a report after every one."""
    turn = 0
    while not trainer.finished:
        trainer._steps_per_call = lengths[turn % len(lengths)]
        turn += 1
        yield next(trainer.run(call_seconds=0))


def kept(report: Report) -> bool:
    return report.epoch_ended or report.recent_loss is not None


def told(report: Report) -> Any:
    return report.step, report.epoch, report.loss, report.recent_loss, report.diagnostics


LENGTHS, STOPS = st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 60)


@settings(max_examples=60)
@given(spec=specs(), lengths=LENGTHS, stop=STOPS)
def test_a_run_resumed_at_any_step_equals_the_unbroken_one(job: Any, spec: dict[str, Any], lengths: list[int], stop: int) -> None:
    check_resumed(job, spec, lengths, stop)


@pytest.mark.parametrize("layer", [each.model_fields["type"].default for each in get_args(get_args(LayerSpec)[0])])
@settings(max_examples=6)
@given(draws=st.data(), lengths=LENGTHS, stop=STOPS)
def test_a_run_of_every_layer_is_resumed(layer: str, job: Any, draws: Any, lengths: list[int], stop: int) -> None:
    check_resumed(job, draws.draw(specs(layer)), lengths, stop)


@pytest.mark.parametrize("optimizer", [each.model_fields["type"].default for each in get_args(get_args(OptimizerSpec)[0])])
@settings(max_examples=6)
@given(draws=st.data(), lengths=LENGTHS, stop=STOPS)
def test_a_run_with_every_optimizer_is_resumed(optimizer: str, job: Any, draws: Any, lengths: list[int], stop: int) -> None:
    variants = [each for each in OPTIMIZERS if each["type"] == optimizer]
    spec = draws.draw(specs("dense", variants))
    assert spec["optimizer"] in variants
    check_resumed(job, spec, lengths, stop)


def check_resumed(job: Any, spec: dict[str, Any], lengths: list[int], stop: int) -> None:
    resolved, data = job(rows(), **spec)
    unbroken, broken, resumed = (Trainer(resolved, data) for _ in range(3))
    expected = list(unbroken.run())

    before = []
    for report in cut(broken, lengths):
        before.append(report)
        if broken.step >= stop:
            break
    list(resumed.run()) if stop % 2 else None  # whatever the trainer did before must not matter
    resumed.restore(checkpoint.decode(checkpoint.encode(broken.state())))
    assert (resumed.step, resumed.epoch, resumed.fraction) == (broken.step, broken.epoch, broken.fraction)
    assert checkpoint.encode(resumed.state()) == checkpoint.encode(broken.state())

    after = list(cut(resumed, lengths[::-1]))
    assert checkpoint.encode(resumed.state()) == checkpoint.encode(unbroken.state())
    ends = [report.to_json() for report in before + after if report.epoch_ended]
    assert ends == [report.to_json() for report in expected if report.epoch_ended]
    assert [told(report) for report in before + after if kept(report)] == [told(report) for report in expected if kept(report)]
    every = spec["report_every_steps"]
    assert [report.step for report in expected if report.recent_loss is not None] == list(
        range(every, unbroken.step + 1, every) if every else []
    )

    plain = Trainer(resolved.model_copy(update={"report_every_steps": None, "diagnostics": False}), data)
    list(plain.run())
    for name in ("parameters", "optimizer", "sums", "shuffle"):
        assert plain.state()[name].tobytes() == unbroken.state()[name].tobytes()
    for which in ("best", "last"):
        artifact, known = resumed.artifact(which), unbroken.artifact(which)
        for name, values in known.parameters.items():
            assert artifact.parameters[name].tobytes() == values.tobytes()


def test_a_run_resumed_before_it_diverged_diverges_at_the_same_step(job: Any) -> None:
    wild = {"type": "sgd", "learning_rate": 30.0}
    network = [{"type": "dense", "units": 4}, {"type": "dense", "units": 1}]
    resolved, data = job(rows(), inputs=["x"], target="z", network=network, optimizer=wild, epochs=100, batch_size=5, seed=1)
    unbroken, broken, resumed = (Trainer(resolved, data) for _ in range(3))
    steps = []
    next(cut(broken, [2]))
    resumed.restore(broken.state())
    for trainer in (unbroken, resumed):
        try:
            list(trainer.run())
        except Diverged as diverged:
            steps.append((diverged.step, diverged.what))
    assert steps[0] == steps[1]
    assert steps[0][0] > 2
    assert checkpoint.encode(resumed.state()) == checkpoint.encode(unbroken.state())
