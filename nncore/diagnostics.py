"""What goes on inside a network while it is trained: the sizes of gradients, weights and updates, layer by layer, and units that are dead.

    gradient_norm  |g|: of the loss and its penalties in the parameters, as the step found it, before it is clipped
    weight_norm    |W|: of weights and biases, after the step
    update_ratio   |W after - W before| / |W before|: how much of the weights the step moved; about 1e-3 is healthy, 1e-1 is too fast
    dead_share     which part of the units of a relu answers 0 for every row of an evaluation batch: no gradient reaches them

|.| is the Euclidean norm. Nothing is computed at other steps: the gradient of the step that is told is computed once more, by itself, and
its parameters are put aside, in memory that was taken before the first step. Nothing that is told changes what comes out.

Source: Goodfellow et al., Deep Learning (2016), 11.5; Karpathy, "CS231n", ratio of updates to weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, prod
from typing import Any

import numpy as np

from nncore.machine.machine import Machine, Rows
from nncore.machine.run import SUMS


class Diagnostics:
    """Looks at single steps of a machine."""

    def __init__(self, machine: Machine, rows: Rows, evaluated_rows: np.ndarray) -> None:
        """evaluated_rows: (n,) int64, rows of an evaluation; the first block of them shows which units are dead."""
        self._machine, self._rows = machine, rows
        self._batch = evaluated_rows[: machine.program.block_rows]
        self._before = np.empty_like(machine.parameters)
        self._gradient_norms: list[float] | None = None
        training = machine.program.training
        assert training is not None, "a program without an optimizer trains nothing"
        pairs = zip(training.lowered, machine.program.evaluation.lowered, strict=True)
        leaves = [(trained, used) for trained, used in pairs if not trained.layer.inner()]
        self._layers = [pair for pair in leaves if pair[0].parameters or pair[0].layer.relu_axis() is not None]

    def before(self, scalars: np.ndarray, order: np.ndarray, begin: int) -> None:
        """To be called before the step; `scalars`, `order`, `begin`: its own, as `Machine.run_steps` takes them."""
        self._before[:] = self._machine.parameters
        finite = self._machine.run_backward(scalars, self._rows, order, begin)
        self._gradient_norms = self._norms(self._machine.gradients) if finite else None

    def after(self) -> dict[str, Any]:
        """What the step did, as JSON: the numbers above for the whole network, and under "layers" for each that has any of them.

        None stands where a number is not finite, or the layer has none of its kind.
        """
        machine = self._machine
        weights, before = self._norms(machine.parameters), self._norms(self._before)
        np.subtract(machine.parameters, self._before, out=self._before)
        updates = self._norms(self._before)
        gradients: Sequence[float | None] = self._gradient_norms or [None] * len(weights)
        told = [
            {"gradient_norm": _finite(gradient), "weight_norm": _finite(weight), "update_ratio": _finite(update / was if was else None)}
            for gradient, weight, update, was in zip(gradients, weights, updates, before, strict=True)
        ]
        dead = self._dead_shares()
        layers = [
            {"layer": trained.at, "type": trained.layer.model_dump(include={"type"})["type"], **numbers, "dead_share": dead.get(trained.at)}
            for (trained, _), numbers in zip(self._layers, told[1:], strict=True)
        ]
        for layer, (trained, _) in zip(layers, self._layers, strict=True):
            if not trained.parameters:
                layer |= dict.fromkeys(told[0])
        return {**told[0], "layers": layers}

    def _norms(self, vector: np.ndarray) -> list[float]:
        """Of the whole vector, and of the parameters of each layer."""
        parts = [[vector[each.at.offset :][: each.size] for each in trained.parameters] for trained, _ in self._layers]
        return [_norm([vector]), *map(_norm, parts)]

    def _dead_shares(self) -> dict[str, float]:
        used = [(layer, layer.layer.relu_axis()) for _, layer in self._layers]
        found: dict[str, float] = {}
        if all(axis is None for _, axis in used):
            return found
        plan, rows = self._machine.program.evaluation, len(self._batch)
        nowhere = np.empty((0, plan.outputs.size), self._machine.dtype)
        self._machine.run_blocks(np.zeros(SUMS), self._rows, self._batch, nowhere)
        for layer, axis in used:
            if axis is not None:
                shape = layer.output.shape
                numbers = self._machine.arena[plan.resolve(layer.output.at) :][: rows * prod(shape)].reshape(rows, *shape)
                others = tuple(at for at in range(numbers.ndim) if at != axis % len(shape) + 1)
                found[layer.at] = float(np.mean(~numbers.any(axis=others)))
        return found


def _norm(parts: Sequence[np.ndarray]) -> float:
    return float(np.sqrt(sum(float(np.square(part, dtype=np.float64).sum()) for part in parts)))


def _finite(number: float | None) -> float | None:
    return number if number is not None and isfinite(number) else None
