"""PyTorch, eager with the fused optimizer; and the same with forward and loss compiled."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from contestants.cases import CLASSES, RATES, Case

ACTIVATIONS = {"relu": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid}


class LastState(torch.nn.Module):
    """An LSTM of which only the last output goes on."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(features, units, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0][:, -1]


def steps(case: Case, dtype: str, compiled: bool = False) -> Iterator[int]:
    """Trains; yields after every step."""
    torch.manual_seed(0)
    inputs, labels = (torch.from_numpy(array) for array in case.data(dtype))
    _, train = _training(case, inputs, dtype, compiled)
    inputs = inputs.long() if case.tokens else inputs
    while True:
        for rows in torch.randperm(len(inputs)).split(case.batch_size):
            train(inputs[rows], labels[rows])
            yield 1


compiled_steps = partial(steps, compiled=True)


def epochs(case: Case, inputs: np.ndarray, labels: np.ndarray, test_inputs: np.ndarray) -> Iterator[np.ndarray]:
    """Trains; yields after every epoch the labels it gives to `test_inputs`."""
    torch.manual_seed(0)
    x, y, tested = torch.from_numpy(inputs), torch.from_numpy(labels), torch.from_numpy(test_inputs)
    model, train = _training(case, x, inputs.dtype.name, compiled=False)
    while True:
        for rows in torch.randperm(len(x)).split(case.batch_size):
            train(x[rows], y[rows])
        with torch.no_grad():
            yield model(tested).argmax(1).numpy()


def _training(case: Case, inputs: torch.Tensor, dtype: str, compiled: bool):
    """The model, and a function that makes one step of it."""
    model = _model(case).to(getattr(torch, dtype))
    loss = torch.nn.CrossEntropyLoss()
    kind = torch.optim.SGD if case.optimizer == "sgd" else torch.optim.Adam
    optimizer = kind(model.parameters(), lr=RATES[case.optimizer], fused=True)

    def judged(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return loss(model(x), y)

    judge = torch.compile(judged) if compiled else judged

    def train(x: torch.Tensor, y: torch.Tensor) -> None:
        optimizer.zero_grad()
        judge(x, y).backward()
        optimizer.step()

    return model, train


def _model(case: Case) -> torch.nn.Sequential:
    modules: list[torch.nn.Module] = []
    shape = case.input_shape
    for layer in case.layers:
        match layer["type"]:
            case "dense":
                modules.append(torch.nn.Linear(shape[0], layer["units"]))
                shape = (layer["units"],)
            case "reshape":
                modules.append(torch.nn.Unflatten(1, layer["shape"]))
                shape = tuple(layer["shape"])
            case "conv2d":
                same, size = layer.get("padding") == "same", layer["kernel_size"]
                modules.append(torch.nn.Conv2d(shape[0], layer["filters"], size, padding=size // 2 if same else 0))
                shape = (layer["filters"], *(side if same else side - size + 1 for side in shape[1:]))
            case "max_pool":
                modules.append(torch.nn.MaxPool2d(layer["kernel_size"]))
                shape = (shape[0], *(side // layer["kernel_size"] for side in shape[1:]))
            case "flatten":
                modules.append(torch.nn.Flatten())
                shape = (int(np.prod(shape)),)
            case "batch_norm":
                modules.append(torch.nn.BatchNorm2d(shape[0]))
            case "lstm":
                modules.append(LastState(shape[1], layer["units"]))
                shape = (layer["units"],)
            case "embedding":
                modules.append(torch.nn.EmbeddingBag(layer["vocabulary"], layer["dimensions"], mode="mean"))  # the mean is in it
                shape = (layer["dimensions"],)
        if "activation" in layer:
            modules.append(ACTIVATIONS[layer["activation"]]())
    assert shape == (CLASSES,)
    return torch.nn.Sequential(*modules)
