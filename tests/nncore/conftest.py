"""Networks of one step: their loss and gradient at given parameters, as the machine computes them; and the equal networks of PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from nncore.data import TrainingData
from nncore.layers.layer import shapes_through
from nncore.losses import LossSpec
from nncore.machine.machine import Machine, Rows
from nncore.machine.program import Program
from nncore.network import NetworkSpec
from nncore.optimizers import OptimizerSpec
from nncore.spec import Limits, ResolvedSpec, TrainingSpec, resolve
from nncore.streams import stream
from nncore.table import Table
from nncore.table.json import read_columns

STANDING_STILL = {"type": "sgd", "learning_rate": 1e-300}  # gradients are wanted, updates are not


class OneStep:
    """A network, a loss and a batch: `loss(parameters)` and `gradient(parameters)`, in float64 unless said otherwise."""

    def __init__(
        self,
        layers: list[dict[str, Any]],
        loss: dict[str, Any] | str,
        *,
        input_shape: tuple[int, ...] = (4,),
        rows: int = 5,
        dtype: str = "float64",
        optimizer: dict[str, Any] = STANDING_STILL,
        seed: int = 3,
        weights: np.ndarray | None = None,
    ) -> None:
        self.network = NetworkSpec.model_validate({"layers": layers})
        self.loss_spec = TypeAdapter(LossSpec).validate_python({"type": loss} if isinstance(loss, str) else loss)
        self.optimizer = TypeAdapter(OptimizerSpec).validate_python(optimizer)
        parts = {"loss": self.loss_spec, "optimizer": self.optimizer, "batch_size": rows}
        program = Program(self.network, input_shape, **parts, weighted=weights is not None)
        self.machine = Machine(program, dtype, seed)
        self.machine.initialise(stream(seed, "init"))
        self.parameters = self.machine.parameters.copy()
        random, outputs = np.random.default_rng(seed), self.network.output_shape(input_shape)[0]
        inputs = random.standard_normal((rows, *input_shape)).astype(dtype)
        if (vocabulary := layers[0].get("vocabulary")) is not None:
            inputs = random.integers(0, vocabulary, inputs.shape).astype(dtype)
        targets = random.random((rows, outputs)).astype(dtype)
        self.labels, self.targets, self.inputs = random.integers(0, outputs, rows), targets, inputs
        self.rows = Rows.of(inputs, targets, self.labels, weights)

    def loss(self, parameters: np.ndarray | None = None) -> float:
        """The mean loss of the batch, from the training plan."""
        if parameters is not None:
            self.machine.parameters[:] = parameters
        self.machine.step, sums = 0, np.zeros(2)
        order, scalars = np.arange(len(self.inputs)), self.optimizer.scalars(np.arange(1))
        if self.machine.run_steps(scalars, sums, self.rows, order, 0) != 1:
            raise ArithmeticError(self.machine.verdict)
        return float(sums[0] / sums[1])

    def gradient(self, parameters: np.ndarray | None = None) -> np.ndarray:
        """The gradient of the loss in all parameters."""
        self.loss(parameters)
        return self.machine.gradients.copy()

    def evaluated(self) -> tuple[float, np.ndarray]:
        """Mean loss and outputs, from the evaluation plan."""
        sums, order = np.zeros(2), np.arange(len(self.inputs))
        outputs = np.empty((len(order), self.machine.program.evaluation.outputs.size), self.machine.dtype)
        self.machine.run_blocks(sums, self.rows, order, outputs)
        return float(sums[0] / sums[1]), outputs

    def differences(self, h: float = 1e-5) -> np.ndarray:
        """The gradient by central differences."""
        slopes = np.empty_like(self.parameters)
        for i in range(len(slopes)):
            aside = np.zeros_like(slopes)
            aside[i] = h
            slopes[i] = (self.loss(self.parameters + aside) - self.loss(self.parameters - aside)) / (2 * h)
        return slopes


@pytest.fixture(scope="session")
def one_step() -> type[OneStep]:
    """The class itself: hypothesis and parametrised tests make many."""
    return OneStep


@pytest.fixture(scope="session")
def torch_network() -> Callable[..., Any]:
    """torch.nn.Sequential of a NetworkSpec, in float64, with its parameters set from a vector. Dropout is left out."""
    torch = pytest.importorskip("torch", reason="no torch")
    torch.set_num_threads(1)
    nn = torch.nn
    activations = {
        "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "softmax": lambda: nn.Softmax(dim=-1),
        "log_softmax": lambda: nn.LogSoftmax(dim=-1), "leaky_relu": nn.LeakyReLU,
        "elu": nn.ELU, "selu": nn.SELU, "gelu": nn.GELU, "gelu_tanh": lambda: nn.GELU("tanh"), "softplus": nn.Softplus, "silu": nn.SiLU,
    }  # fmt: skip

    def padded(module: type, fill: float = 0.0) -> type:
        """The module with pads of its own before and after each axis, which torch's modules cannot have."""

        def forward(self: Any, x: Any) -> Any:
            return module.forward(self, nn.functional.pad(x, self.pads, value=fill))

        return type("Padded", (module,), {"forward": forward})

    def sliding(layer: Any, shape: tuple[int, ...]) -> Any:
        """A convolution or a pool."""
        axes, two = layer._axes(shape), len(shape) == 3
        kernel, stride, dilation = (tuple(getattr(axis, name) for axis in axes) for name in ("kernel", "stride", "dilation"))
        if layer.type == "max_pool":
            module = padded(nn.MaxPool2d if two else nn.MaxPool1d, -np.inf)(kernel, stride, dilation=dilation)
        else:
            kind = padded(nn.Conv2d if two else nn.Conv1d)
            numbers = {"stride": stride, "dilation": dilation, "groups": layer.groups, "bias": layer.use_bias}
            module = kind(shape[0], layer.filters, kernel, **numbers)
        module.pads = [pad for axis in reversed(axes) for pad in (axis.before, axis.after)]
        return module

    class AveragePool(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Windows laid out and averaged: torch's own knows neither dilation nor pads that differ before and after."""

        def __init__(self, layer: Any, shape: tuple[int, ...]) -> None:
            super().__init__()
            self.axes, self.include_pad = layer._axes(shape), layer.count_include_pad

        def forward(self, x: Any) -> Any:
            picture = x.unsqueeze(2) if x.ndim == 3 else x
            flat = [axis for axis in self.axes if x.ndim == 3]  # a sequence is a picture of height 1
            pads = [pad for axis in reversed(self.axes) for pad in (axis.before, axis.after)]
            kernel, stride, dilation = (
                [1] * len(flat) + [getattr(axis, name) for axis in self.axes] for name in ("kernel", "stride", "dilation")
            )

            def summed(numbers: Any) -> Any:
                windows = nn.functional.unfold(nn.functional.pad(numbers, pads), kernel, dilation, stride=stride)
                return windows.unflatten(1, (numbers.shape[1], -1)).sum(2)

            counted = summed(torch.ones_like(picture)) if not self.include_pad else float(np.prod(kernel))
            return (summed(picture) / counted).unflatten(2, [axis.outputs for axis in self.axes])

    def globally_pooled(layer: Any, shape: tuple[int, ...]) -> list[Any]:
        names = {"max": ("AdaptiveMaxPool1d", "AdaptiveMaxPool2d"), "average": ("AdaptiveAvgPool1d", "AdaptiveAvgPool2d")}
        return [getattr(nn, names[layer.kind][len(shape) - 2])(1), nn.Flatten()]

    masks: list[Any] = []  # what the last embedding that ran calls padding

    class Embedding(torch.nn.Embedding):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            counts = torch.ones_like(x) if self.padding_idx is None else (x != self.padding_idx).to(x)
            masks[:] = [counts.unsqueeze(2)]
            return super().forward(x.long())

    class MeanOverSequence(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:
            counts = masks[0] if masks else torch.ones_like(x)
            return (x * counts).sum(1) / counts.sum(1).clamp(min=1)

    def recurrent(layer: Any, features: int) -> Any:
        """torch's layer, which also gives its state and reads time first unless told otherwise, made to give what ours gives."""
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[layer.type]

        def forward(self: Any, x: Any) -> Any:
            every, state = kind.forward(self, x)
            final = state[0] if layer.type == "lstm" else state  # (directions, rows, units)
            return every if layer.output == "all" else torch.cat(list(final), dim=1)

        options = {"nonlinearity": layer.nonlinearity} if layer.type == "rnn" else {}
        module = type("Recurrent", (kind,), {"forward": forward})
        return module(features, layer.units, batch_first=True, bidirectional=layer.bidirectional, **options)

    class Residual(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, layers: Any) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, x: Any) -> Any:
            return x + self.layers(x)

    class Parallel(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, branches: list[Any], layer: Any) -> None:
            super().__init__()
            self.branches, self.layer = torch.nn.ModuleList(branches), layer

        def forward(self, x: Any) -> Any:
            found = [branch(x) for branch in self.branches]
            axis = self.layer.axis
            return sum(found) if self.layer.merge == "add" else torch.cat(found, dim=axis + 1 if axis >= 0 else axis)

    def sequential(layers: Any, input_shape: tuple[int, ...]) -> Any:
        modules: list[Any] = []
        for layer, shape in zip(layers, shapes_through(layers, input_shape), strict=False):
            if layer.type == "flatten":
                modules.append(torch.nn.Flatten())
            elif layer.type == "dropout":
                modules.append(torch.nn.Identity())
            elif layer.type == "reshape":
                modules.append(nn.Unflatten(1, layer.output_shape(shape)))
            elif layer.type == "activation":
                modules.append(activations[layer.activation]())
            elif layer.type == "average_pool":
                modules.append(AveragePool(layer, shape))
            elif layer.type == "global_pool":
                modules += globally_pooled(layer, shape)
            elif layer.type in ("conv1d", "conv2d", "max_pool"):
                modules.append(sliding(layer, shape))
                if getattr(layer, "activation", "linear") != "linear":
                    modules.append(activations[layer.activation]())
            elif layer.type == "dense":
                modules.append(torch.nn.Linear(shape[0], layer.units, bias=layer.use_bias))
                if layer.activation != "linear":
                    modules.append(activations[layer.activation]())
            elif layer.type in ("lstm", "gru", "rnn"):
                modules.append(recurrent(layer, shape[1]))
            elif layer.type == "layer_norm":
                modules.append(nn.LayerNorm(shape[-layer.axes :], eps=layer.epsilon, elementwise_affine=layer.affine))
            elif layer.type == "batch_norm":
                kind = [nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d][len(shape) - 1]
                modules.append(kind(shape[0], layer.epsilon, layer.momentum, layer.affine))
            elif layer.type == "embedding":
                modules.append(Embedding(layer.vocabulary, layer.dimensions, padding_idx=layer.padding_index))
            elif layer.type == "mean_over_sequence":
                modules.append(MeanOverSequence())
            elif layer.type == "residual":
                modules.append(Residual(sequential(layer.layers, shape)))
            elif layer.type == "parallel":
                modules.append(Parallel([sequential(branch, shape) for branch in layer.branches], layer))
            else:
                raise NotImplementedError(f"tell tests/nncore/conftest.py what {layer.type} is in torch")
        return torch.nn.Sequential(*modules)

    def build(network: NetworkSpec, input_shape: tuple[int, ...], vector: np.ndarray) -> Any:
        masks.clear()
        model = sequential(network.layers, input_shape).double()
        buffers = [name for name, _ in model.named_buffers() if not name.endswith("num_batches_tracked")]
        names = [*(name for name, _ in model.named_parameters()), *buffers]
        assert names == [info.name for info in network.parameters(input_shape)]
        torch.nn.utils.vector_to_parameters(torch.tensor(vector, dtype=torch.float64), model.parameters())
        return model

    return build


@pytest.fixture(scope="session")
def onnx_cases() -> dict[str, Any]:
    """The node cases of ONNX, by name. They can be collected once in a process, and overflow on purpose."""
    node = pytest.importorskip("onnx.backend.test.case.node", reason="no onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name.removeprefix("test_"): case for case in node.collect_testcases(None)}


@pytest.fixture(scope="session")
def torch_loss() -> Callable[..., Any]:
    """(loss type, outputs, targets, labels) -> the loss as torch computes it."""
    torch = pytest.importorskip("torch", reason="no torch")
    functional = torch.nn.functional

    def compute(loss: str, outputs: Any, targets: np.ndarray, labels: np.ndarray) -> Any:
        if loss == "softmax_cross_entropy":
            return functional.cross_entropy(outputs, torch.tensor(labels))
        if loss == "negative_log_likelihood":
            return functional.nll_loss(outputs, torch.tensor(labels))
        functions = {
            "mean_squared_error": functional.mse_loss,
            "mean_absolute_error": functional.l1_loss,
            "huber": functional.huber_loss,
            "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
        }
        return functions[loss](outputs, torch.tensor(targets))

    return compute


def prepared(table: Table, **spec: Any) -> tuple[ResolvedSpec, TrainingData]:
    """A resolved spec and its data. The network may be given as a list of layers."""
    if isinstance(spec.get("network"), list):
        spec["network"] = {"layers": spec["network"]}
    resolved = resolve(TrainingSpec.model_validate(spec), table.info(), table.rows, Limits())
    return resolved, TrainingData.prepare(resolved, table)


@pytest.fixture(scope="session")
def job() -> Callable[..., tuple[ResolvedSpec, TrainingData]]:
    """`job(columns, **spec)`: a resolved spec and its data, from JSON columns."""
    return lambda columns, **spec: prepared(read_columns(columns), **spec)


@pytest.fixture(scope="session")
def blobs() -> dict[str, Any]:
    """Three classes of points in the plane, 50 rows: `x` (2 numbers), `y` (label), `z` (a number)."""
    random = np.random.default_rng(8)
    labels = random.integers(0, 3, 50)
    points = np.array([[0, 2], [2, -1], [-2, -1]])[labels] + random.standard_normal((50, 2)) * 0.7
    return {"x": points.round(4).tolist(), "y": labels.tolist(), "z": (points[:, 0] * points[:, 1]).round(4).tolist()}
