"""The node cases of ONNX that concern our layers, losses and optimizers: each is run and equal, or not ours for a reason.

What ONNX takes as inputs of a node (weights, statistics) is given to our layer in its spec; axes that our layers do not work along are
moved to where they do. Cases that ONNX wrote out in simpler operators (..._expanded) have the numbers of the case itself, and its node.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from nncore.evaluate import evaluate
from nncore.losses import NegativeLogLikelihood, SoftmaxCrossEntropy
from nncore.losses.of_classes import LossOfClasses
from nncore.machine.arena import memory_of
from nncore.machine.kernels import RATE, ROOT_SCALE
from nncore.machine.machine import Machine, Rows
from nncore.machine.plan import Layout, Plan
from nncore.machine.program import Program
from nncore.machine.run import _run_rows
from nncore.network import NetworkSpec
from nncore.optimizers import OptimizerSpec

pytestmark = pytest.mark.oracle

Arrays = list[np.ndarray]
Pairs = list[tuple[Any, Any]]  # what we computed, what ONNX says

_PLANES = "pools slide over sequences and pictures, not over volumes"
_SLOPE = "its parameters are fixed to the defaults"
_NO_SUCH = "not among the activations"
_MASKED = "which elements are dropped is drawn by another generator"
_RESET = "the reset gate stands before the product: the same in a single step from zero, not in several"

NOT_OURS: dict[str, str] = {
    **dict.fromkeys(["averagepool_3d_default", "averagepool_3d_dilations_small", "maxpool_3d_default", "maxpool_3d_dilations"], _PLANES),
    **dict.fromkeys(["maxpool_3d_dilations_use_ref_impl", "maxpool_3d_dilations_use_ref_impl_large"], _PLANES),
    **{
        f"averagepool_3d_dilations_large_count_include_pad_is_{include}_ceil_mode_is_{ceil}": _PLANES
        for include in (0, 1)
        for ceil in (True, False)
    },
    **dict.fromkeys(["leakyrelu_example", "leakyrelu", "elu_example", "elu", "selu_example", "selu"], _SLOPE),
    **dict.fromkeys(["celu", "celu_float16", "celu_bfloat16", "hardswish", "mish", "prelu_example", "prelu_broadcast"], _NO_SUCH),
    **dict.fromkeys(["hardsigmoid_example", "hardsigmoid", "hardsigmoid_default", "softsign_example", "softsign"], _NO_SUCH),
    **dict.fromkeys(["thresholdedrelu_example", "thresholdedrelu", "thresholdedrelu_default"], _NO_SUCH),
    **dict.fromkeys([f"training_dropout{more}" for more in ("_default", "_default_mask", "", "_mask")], _MASKED),
    **dict.fromkeys(["gru_seq_length", "gru_reverse", "gru_bidirectional"], _RESET),
    "lstm_with_peepholes": "peepholes, and states given before the first step",
    "gemm_default_matrix_bias": "a bias has one number per unit, not one per row",
    "gather_negative_indices": "tokens are counted from 0, not from the end",
    "add_bcast": "what is added has one shape; nothing is broadcast",
    "reshape_allowzero_reordered": "an item without numbers",
}

# Expected numbers that ONNX has written down with few digits.
ROUNDED = {"averagepool_2d_ceil_last_window_starts_on_pad": 1e-4}

# How many cases each operator has, those written out in simpler ones too.
RELEVANT = {
    "Adagrad": 2, "Adam": 2, "Add": 2, "AveragePool": 20, "BatchNormalization": 4, "Celu": 6, "Concat": 12, "Conv": 6, "Dropout": 12,
    "Elu": 6, "Flatten": 9, "GRU": 6, "Gather": 4, "Gelu": 8, "Gemm": 11, "GlobalAveragePool": 2, "GlobalMaxPool": 2, "HardSigmoid": 6,
    "HardSwish": 2, "LSTM": 6, "LayerNormalization": 57, "LeakyRelu": 6, "LogSoftmax": 21, "MatMul": 7, "MaxPool": 19, "Mish": 2,
    "Momentum": 3, "NegativeLogLikelihoodLoss": 36, "PRelu": 4, "RNN": 6, "Relu": 2, "Reshape": 10, "Selu": 6, "Sigmoid": 2, "Softmax": 21,
    "SoftmaxCrossEntropyLoss": 68, "Softplus": 4, "Softsign": 4, "Swish": 2, "Tanh": 2, "ThresholdedRelu": 6,
}  # fmt: skip


def reason(base: str) -> str | None:
    """Why a case is not ours; None where it is run."""
    return NOT_OURS.get(base)


def computed(layers: list[dict[str, Any]], x: np.ndarray) -> np.ndarray:
    """What a network of given weights answers, in float64."""
    return np.array(evaluate(NetworkSpec.model_validate({"layers": layers}), np.asarray(x, np.float64).tolist())["outputs"])


def in_one_row(layers: list[dict[str, Any]], x: np.ndarray) -> np.ndarray:
    return computed(layers, x[None])[0]


# Layers


def gemm(a: dict[str, Any], inputs: Arrays) -> np.ndarray:
    x, weight = (part.T if a.get(f"trans{name}") else part for part, name in zip(inputs[:2], "AB", strict=True))
    layer = {"type": "dense", "units": weight.shape[1], "weight": (a.get("alpha", 1.0) * weight.T.astype(float)).tolist()}
    if len(inputs) > 2:
        layer["bias"] = np.broadcast_to(a.get("beta", 1.0) * inputs[2].astype(float), (1, weight.shape[1]))[0].tolist()
    return computed([layer], x)


def matmul(a: dict[str, Any], inputs: Arrays) -> np.ndarray:
    left, right = inputs[0], inputs[1]
    x, weight = np.atleast_2d(left), right[:, None] if right.ndim == 1 else right
    outer = np.broadcast_shapes(x.shape[:-2], weight.shape[:-2])
    x, weight = np.broadcast_to(x, (*outer, *x.shape[-2:])), np.broadcast_to(weight, (*outer, *weight.shape[-2:]))
    found = np.empty((*outer, x.shape[-2], weight.shape[-1]))
    for at in np.ndindex(outer):
        found[at] = computed([{"type": "dense", "units": weight.shape[-1], "weight": weight[at].T.tolist()}], x[at])
    return found.reshape([*outer, *([] if left.ndim == 1 else [x.shape[-2]]), *([] if right.ndim == 1 else [weight.shape[-1]])])


def windows(a: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """kernel_size, stride, dilation and padding in our terms. Where ONNX rounds the number of windows up, there is more padding behind."""
    axes = len(shape) - 2
    kernel, stride, dilation = a["kernel_shape"], a.get("strides", [1] * axes), a.get("dilations", [1] * axes)
    before, after = list(a.get("pads", [0] * 2 * axes))[:axes], list(a.get("pads", [0] * 2 * axes))[axes:]
    for i, length in enumerate(shape[2:]):
        extent = (kernel[i] - 1) * dilation[i] + 1
        if a.get("auto_pad", b"NOTSET") != b"NOTSET":
            total = max(0, (-(-length // stride[i]) - 1) * stride[i] + extent - length)
            before[i] = total // 2 if a["auto_pad"] == b"SAME_UPPER" else total - total // 2
            after[i] = total - before[i]
        elif a.get("ceil_mode"):
            count = -(-(length + before[i] + after[i] - extent) // stride[i]) + 1
            if (count - 1) * stride[i] >= length + before[i]:
                count -= 1  # no window starts in the padding behind
            after[i] = max(0, (count - 1) * stride[i] + extent - length - before[i])
    return {"kernel_size": list(kernel), "stride": list(stride), "dilation": list(dilation), "padding": [*before, *after]}


def conv(a: dict[str, Any], inputs: Arrays) -> np.ndarray:
    x, weight = inputs
    fields = windows(a, x.shape) | {"groups": a.get("group", 1), "filters": len(weight), "use_bias": False, "weight": weight.tolist()}
    return computed([{"type": "conv2d", **fields}], x)


def pool(kind: str) -> Callable[[dict[str, Any], Arrays], np.ndarray]:
    def run(a: dict[str, Any], inputs: Arrays) -> np.ndarray:
        more = {"count_include_pad": bool(a.get("count_include_pad", 0))} if kind == "average_pool" else {}
        return computed([{"type": kind, **windows(a, inputs[0].shape), **more}], inputs[0])

    return run


def global_pool(kind: str) -> Callable[[dict[str, Any], Arrays], np.ndarray]:
    return lambda a, inputs: computed([{"type": "global_pool", "kind": kind}], inputs[0])[:, :, None, None]


def batch_norm(a: dict[str, Any], inputs: Arrays) -> np.ndarray | list[np.ndarray]:
    x, *parts = (part.astype(float) for part in inputs)
    given = dict(zip(("weight", "bias", "running_mean", "running_var"), (part.tolist() for part in parts), strict=True))
    layer = {"type": "batch_norm", "epsilon": a.get("epsilon", 1e-5), **given}
    if not a.get("training_mode"):
        return computed([layer], x)
    network = NetworkSpec.model_validate({"layers": [layer]})
    optimizer = TypeAdapter(OptimizerSpec).validate_python({"type": "sgd", "learning_rate": 1e-300})
    loss = TypeAdapter(SoftmaxCrossEntropy).validate_python({})
    machine = Machine(Program(network, x.shape[1:], loss=loss, optimizer=optimizer, batch_size=len(x)), "float64")
    machine.initialise(np.random.default_rng(0))
    rows = Rows.of(x, None, np.zeros(len(x), np.int64))
    assert machine.run_steps(optimizer.scalars(np.arange(1)), np.zeros(2), rows, np.arange(len(x)), 0) == 1
    plan = machine.program.training
    assert plan is not None
    y = machine.arena[plan.resolve(plan.outputs.at) :][: x.size].reshape(x.shape)
    mean, variance = np.split(machine.learned[-2 * x.shape[1] :], 2)
    count = x.size / x.shape[1]  # ONNX lets the variance divided by n into the running one
    return [y, mean, parts[3] * 0.9 + (variance - parts[3] * 0.9) * (count - 1) / count]


def layer_norm(a: dict[str, Any], inputs: Arrays) -> np.ndarray:
    x = inputs[0]
    axis = a.get("axis", -1) % x.ndim
    fields = {"axes": x.ndim - axis, "epsilon": a.get("epsilon", 1e-5), "weight": inputs[1].tolist(), "bias": inputs[2].tolist()}
    return in_one_row([{"type": "layer_norm", **fields}], x)


def activation(name: str) -> Callable[[dict[str, Any], Arrays], np.ndarray]:
    def run(a: dict[str, Any], inputs: Arrays) -> np.ndarray:
        called = "gelu_tanh" if a.get("approximate") == b"tanh" else name
        return in_one_row([{"type": "activation", "activation": called}], inputs[0])

    return run


def along_an_axis(name: str) -> Callable[[dict[str, Any], Arrays], np.ndarray]:
    def run(a: dict[str, Any], inputs: Arrays) -> np.ndarray:
        moved = np.moveaxis(inputs[0], a.get("axis", -1), -1)
        return np.moveaxis(in_one_row([{"type": "activation", "activation": name}], moved), -1, a.get("axis", -1))

    return run


def dropout(a: dict[str, Any], inputs: Arrays) -> np.ndarray:
    return in_one_row([{"type": "dropout", "rate": 0.0 if len(inputs) > 2 else 0.5}], inputs[0])


def flatten(a: dict[str, Any], inputs: Arrays) -> np.ndarray:
    x = inputs[0]
    axis = a.get("axis", 1) % x.ndim
    return computed([{"type": "flatten"}], x.reshape(-1, *x.shape[axis:]))


def gather(a: dict[str, Any], inputs: Arrays) -> np.ndarray:
    data, indices = np.moveaxis(inputs[0], a.get("axis", 0), 0), inputs[1]
    table = data.reshape(len(data), -1)
    layer = {"type": "embedding", "vocabulary": len(table), "dimensions": table.shape[1], "weight": table.tolist()}
    found = in_one_row([layer], indices.ravel()).reshape(*indices.shape, *data.shape[1:])
    axis = a.get("axis", 0)
    return np.moveaxis(found, list(range(indices.ndim)), list(range(axis, axis + indices.ndim)))


def reshape(a: dict[str, Any], inputs: Arrays) -> np.ndarray:
    x = inputs[0]
    shape = [x.shape[i] if length == 0 else int(length) for i, length in enumerate(inputs[1])]
    return in_one_row([{"type": "reshape", "shape": shape}], x)


def merged(merge: str, axis: int, inputs: Arrays) -> np.ndarray:
    """Both inputs come in as one vector; each branch picks its part by a dense layer of zeros and ones."""
    branches, at, total = [], 0, sum(x.size for x in inputs)
    for x in inputs:
        pick = {"type": "dense", "units": x.size, "weight": np.eye(total)[at : at + x.size].tolist()}
        branches.append([pick, {"type": "reshape", "shape": list(x.shape)}])
        at += x.size
    layer = {"type": "parallel", "merge": merge, "axis": axis, "branches": branches}
    return in_one_row([layer], np.concatenate([x.ravel() for x in inputs]))


# ONNX has the gates in the order i, o, f, c and z, r, h.
GATES = {"lstm": [0, 2, 3, 1], "gru": [1, 0, 2], "rnn": [0]}


def recurrent(kind: str) -> Callable[[dict[str, Any], Arrays, list[str]], dict[str, np.ndarray]]:
    order = GATES[kind]

    def permuted(values: np.ndarray) -> list[Any]:
        return np.concatenate([np.split(values.astype(float), len(order))[gate] for gate in order]).tolist()  # type: ignore[no-any-return]

    def run(a: dict[str, Any], inputs: Arrays, names: list[str]) -> dict[str, np.ndarray]:
        given = dict(zip(names, inputs, strict=True))
        units, direction, batch_first = a["hidden_size"], a.get("direction", b"forward").decode(), bool(a.get("layout"))
        biases = np.split(given.get("B", np.zeros((len(given["W"]), 2 * len(order) * units))), 2, axis=1)
        x = (given["X"] if batch_first else given["X"].swapaxes(0, 1)).astype(np.float64)
        if direction == "reverse":
            x = x[:, ::-1]
        fields: dict[str, Any] = {"type": kind, "units": units, "bidirectional": direction == "bidirectional"}
        for name, values in (("weight_ih", given["W"]), ("weight_hh", given["R"]), ("bias_ih", biases[0]), ("bias_hh", biases[1])):
            parts = [permuted(part) for part in values]
            fields[name] = parts if fields["bidirectional"] else parts[0]
        last, every = (computed([fields | {"output": output}], x) for output in ("last", "all"))
        last, every = last.reshape(len(x), -1, units), every.reshape(*x.shape[:2], -1, units)  # (rows, [steps,] directions, units)
        if direction == "reverse":
            every = every[:, ::-1]
        if not batch_first:
            last, every = last.swapaxes(0, 1), every.transpose(1, 2, 0, 3)
        return {"Y": every, "Y_h": last}

    return run


# Losses


def losses(kind: type[LossOfClasses], x: np.ndarray, labels: np.ndarray, **fields: Any) -> tuple[np.ndarray, float, float]:
    """Of a loss over outputs (rows, classes): every row's loss, their sum, the sum of what rows count."""
    loss, network = kind(**fields), NetworkSpec.model_validate({"layers": [{"type": "flatten"}]})
    machine = Machine(Program(network, x.shape[1:], loss=loss), "float64")
    rows, none = Rows.of(x.astype(np.float64), None, labels), np.empty((0, x.shape[1]))
    whole, each = np.zeros(2), np.empty(len(x))
    machine.run_blocks(whole, rows, np.arange(len(x)), none)
    for row in range(len(x)):
        alone = np.zeros(2)
        machine.run_blocks(alone, rows, np.array([row]), none)
        each[row] = alone[0]
    return each, float(whole[0]), float(whole[1])


def loss_of_classes(kind: type[LossOfClasses]) -> Callable[[dict[str, Any], Arrays], np.ndarray]:
    """Classes are the second axis; all others are rows."""

    def run(a: dict[str, Any], inputs: Arrays) -> np.ndarray:
        x, labels = np.moveaxis(inputs[0], 1, -1), inputs[1]
        fields: dict[str, Any] = {"ignore_index": a["ignore_index"]} if "ignore_index" in a else {}
        if len(inputs) > 2:
            fields["class_weights"] = inputs[2].astype(float).tolist()
        each, total, count = losses(kind, x.reshape(-1, x.shape[-1]), labels.reshape(-1), **fields)
        reduction = a.get("reduction", b"mean")
        return {b"none": each.reshape(labels.shape), b"sum": np.array(total), b"mean": np.array(total / count)}[reduction]

    return run


# Optimizers


def optimized(kind: str, vectors: int) -> Callable[[dict[str, Any], Arrays], list[np.ndarray]]:
    """One update of a parameter, from its gradient and the optimizer's `vectors` of memory. ONNX corrects no bias at its T = 0."""

    def run(a: dict[str, Any], inputs: Arrays) -> list[np.ndarray]:
        rate, iteration, *rest = inputs
        assert iteration == 0
        fields = {"adam": {"epsilon_mode": "hat", "beta1": a.get("alpha"), "beta2": a.get("beta"), "epsilon": a.get("epsilon")}}
        fields |= {"sgd": {"momentum": a.get("alpha"), "nesterov": a.get("mode") == b"nesterov"}, "adagrad": {"epsilon": a.get("epsilon")}}
        common = {"type": kind, "learning_rate": float(rate), "l2": a["norm_coefficient"], "decay_biases": True}
        optimizer = TypeAdapter(OptimizerSpec).validate_python(common | fields[kind])
        count = len(rest) // (2 + vectors)
        groups = [np.concatenate([rest[i * count + j] for j in range(count)]) for i in range(2 + vectors)]
        plan = Plan(Layout(), 1, training=True)
        plan.parameter("all", groups[0].shape, 1.0)
        optimizer.lower(plan)
        arena, integers = memory_of(plan.layout, np.dtype(np.float64))
        bases, size = plan.layout.bases(), groups[0].size
        places = [bases["parameters"], bases["gradients"], *(bases["optimizer"] + i * (-(-size // 16) * 16) for i in range(vectors))]
        for place, values in zip(places, groups, strict=True):
            arena[place : place + size] = values
        arena[RATE], arena[ROOT_SCALE] = float(rate), 1
        addresses, table = np.array([kernel.address(arena.dtype) for kernel in plan.kernels()]), plan.table()
        _run_rows(addresses, table, 0, len(table), arena, integers)
        found = [arena[place : place + size] for place in (places[0], *places[2:])]
        cuts = np.cumsum([part.size for part in rest[:count]])[:-1]
        return [part for each in found for part in np.split(each, cuts)]

    return run


RUNNERS: dict[str, Any] = {
    "Gemm": gemm, "MatMul": matmul, "Conv": conv, "MaxPool": pool("max_pool"), "AveragePool": pool("average_pool"),
    "GlobalMaxPool": global_pool("max"), "GlobalAveragePool": global_pool("average"), "BatchNormalization": batch_norm,
    "LayerNormalization": layer_norm, "Softmax": along_an_axis("softmax"), "LogSoftmax": along_an_axis("log_softmax"),
    "Dropout": dropout, "Flatten": flatten, "Gather": gather, "Reshape": reshape,
    "SoftmaxCrossEntropyLoss": loss_of_classes(SoftmaxCrossEntropy), "NegativeLogLikelihoodLoss": loss_of_classes(NegativeLogLikelihood),
    "Concat": lambda a, inputs: merged("concat", a["axis"], inputs), "Add": lambda a, inputs: merged("add", 0, inputs),
    "Adam": optimized("adam", 2), "Momentum": optimized("sgd", 1), "Adagrad": optimized("adagrad", 1),
    "LSTM": recurrent("lstm"), "GRU": recurrent("gru"), "RNN": recurrent("rnn"),
    "Relu": activation("relu"), "LeakyRelu": activation("leaky_relu"), "Elu": activation("elu"), "Selu": activation("selu"),
    "Gelu": activation("gelu"), "Sigmoid": activation("sigmoid"), "Tanh": activation("tanh"), "Softplus": activation("softplus"),
    "Swish": activation("silu"),
}  # fmt: skip


def base_of(name: str) -> str:
    return re.sub(r"_expanded(_ver\d+)?$", "", name)


def relevant(cases: dict[str, Any]) -> dict[str, list[str]]:
    """Names of cases by operator. Of Add only those of floats: the others differ by their dtype."""
    found: dict[str, list[str]] = {}
    for name in cases:
        nodes = cases[base_of(name)].model.graph.node if base_of(name) in cases else []
        if len(nodes) == 1 and nodes[0].op_type in RELEVANT and not re.match(r"add_u?int", name):
            found.setdefault(nodes[0].op_type, []).append(name)
    return found


def pairs(name: str, cases: dict[str, Any]) -> Pairs:
    """What we compute of a case, and what ONNX expects."""
    import onnx

    (node,) = cases[base_of(name)].model.graph.node
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    ((inputs, outputs),) = cases[name].data_sets
    run = RUNNERS[node.op_type]
    if node.op_type in ("LSTM", "GRU", "RNN"):
        names = [each for each in node.input if each]
        found = run(attributes, [values for key, values in zip(names, inputs, strict=True)], names)
        expected = dict(zip([output for output in node.output if output], outputs, strict=True))
        return [(found[key], values) for key, values in expected.items() if key in found]
    found = run(attributes, inputs)
    if isinstance(found, list):
        return list(zip(found, outputs, strict=True))
    return [(found, outputs[0])]  # the others: where a pool's largest lay, dropout's mask, means and log-probabilities on the way


@pytest.mark.parametrize("operator", RELEVANT)
def test_every_case_of_an_operator_is_equal_or_not_ours_for_a_reason(operator: str, onnx_cases: dict[str, Any]) -> None:
    names = relevant(onnx_cases)[operator]
    assert len(names) == RELEVANT[operator]
    for name in names:
        if reason(base_of(name)) is None:
            for found, expected in pairs(name, onnx_cases):
                assert np.shape(found) == np.shape(expected), name
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=ROUNDED.get(name, 1e-6), err_msg=name)


def test_the_report_counts_every_relevant_case(onnx_cases: dict[str, Any], record_property: Any) -> None:
    """Run and equal (the test above fails otherwise), or not ours. `pytest -rA` or --junitxml shows the reasons."""
    names = [name for found in relevant(onnx_cases).values() for name in found]
    reasons = Counter(reason(base_of(name)) or "run and equal" for name in names)
    for told, count in reasons.most_common():
        record_property(told, count)
        print(f"{count:4} {told}")
    assert len(names) == sum(RELEVANT.values()) == 416
    assert {base_of(name) for name in names if base_of(name) in NOT_OURS} == set(NOT_OURS)
    assert reasons["run and equal"] == 352
