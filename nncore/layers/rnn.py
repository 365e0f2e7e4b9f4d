"""The simple recurrence: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or with relu in place of tanh, from step to step.

Items of shape (steps, features) become (units,), or (steps, units) with output "all"; twice the units where it is bidirectional: the
forward direction's, then the backward one's. It is torch.nn.RNN(features, units, nonlinearity=..., batch_first=True), whose parameters
these are (see recurrence.py). "last" of a bidirectional layer is torch's h_n, not its output[:, -1].

What it remembers fades, or explodes, within some ten steps: lstm and gru were invented for that.

Source: Elman, "Finding Structure in Time" (1990); Goodfellow et al., Deep Learning (2016), 10.2.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from nncore.definition import shown
from nncore.layers.recurrence import Recurrent, add_state_gradient, batch_first, give_states, sum_over_rows, tangents, time_first
from nncore.machine.kernels import ROWS, Array, Kernel, Op, clear, kernel, view


class RNN(Recurrent):
    """Reads a sequence step by step, with one state and no gate: (steps, features) becomes (units,), or (steps, units). torch.nn.RNN."""

    model_config = shown(type="rnn", units=32)

    type: Literal["rnn"] = "rnn"
    gates: ClassVar[int] = 1
    nonlinearity: Annotated[Literal["tanh", "relu"], Field(description="What the state goes through at every step.")] = "tanh"

    def kernels(self) -> tuple[Kernel, Kernel]:
        return rnn_forward, rnn_backward

    def kept(self, steps: int) -> int:
        """The gradients of what went into each step (before: that itself); h before every step and after the last; dh."""
        return self.units * (steps + (steps + 1) + 1)

    def relu_axis(self) -> int | None:
        return -1 if self.nonlinearity == "relu" else None

    def variant(self) -> int:
        return int(self.nonlinearity == "relu")


@kernel
def rnn_forward(op: Op, arena: Array, integers: Array) -> None:
    """The states of one direction; `space` keeps what backward needs."""
    x_at, p_at, y_at, space, steps, features, units, reverse, every, width, relu = op[:11]
    rows, zero = integers[ROWS], arena.dtype.type(0)
    inputs, at = view(arena, space, steps, rows, features), space + steps * rows * features
    sums, at = view(arena, at, steps, rows, units), at + steps * rows * units
    hidden, at = view(arena, at, steps + 1, rows, units), at + (steps + 1) * rows * units
    recurrent = view(arena, at, rows, units)
    weight_ih, weight_hh = view(arena, p_at, units, features), view(arena, p_at + units * features, units, units)
    biases = view(arena, p_at + units * (features + units), 2, units)

    time_first(view(arena, x_at, rows, steps, features), inputs, reverse)
    np.dot(view(inputs, 0, steps * rows, features), weight_ih.T, view(sums, 0, steps * rows, units))
    clear(view(hidden, 0, rows * units))
    for t in range(steps):
        np.dot(hidden[t], weight_hh.T, recurrent)
        for row in range(rows):
            for j in range(units):
                sums[t, row, j] += recurrent[row, j] + biases[0, j] + biases[1, j]
        if relu:
            for row in range(rows):
                for j in range(units):
                    hidden[t + 1, row, j] = zero if sums[t, row, j] < zero else sums[t, row, j]
        else:
            tangents(view(sums, t * rows * units, rows * units), view(hidden, (t + 1) * rows * units, rows * units))
    give_states(hidden, view(arena, y_at, rows, steps if every else 1, width), reverse)


@kernel
def rnn_backward(op: Op, arena: Array, integers: Array) -> None:
    """Overwrites what went into each step with its gradient; then dW, db and (where wanted) dx from all steps at once."""
    dx_at, p_at, dp_at, dy_at, space, steps, features, units, reverse, every, width, relu = op[:12]
    rows, zero, one = integers[ROWS], arena.dtype.type(0), arena.dtype.type(1)
    inputs, at = view(arena, space, steps * rows, features), space + steps * rows * features
    sums, at = view(arena, at, steps, rows, units), at + steps * rows * units
    hidden, at = view(arena, at, steps + 1, rows, units), at + (steps + 1) * rows * units
    dhidden = view(arena, at, rows, units)
    weight_ih, weight_hh = view(arena, p_at, units, features), view(arena, p_at + units * features, units, units)
    dbiases, dy = view(arena, dp_at + units * (features + units), 2, units), view(arena, dy_at, rows, steps if every else 1, width)

    clear(view(dhidden, 0, rows * units))
    for t in range(steps - 1, -1, -1):
        add_state_gradient(dy, dhidden, t, steps, reverse)
        for row in range(rows):
            for j in range(units):
                h = hidden[t + 1, row, j]
                slope = (one if h > zero else zero) if relu else one - h * h
                sums[t, row, j] = dhidden[row, j] * slope
        if t > 0:
            np.dot(sums[t], weight_hh, dhidden)
    deltas = view(sums, 0, steps * rows, units)
    np.dot(deltas.T, inputs, view(arena, dp_at, units, features))
    np.dot(deltas.T, view(hidden, 0, steps * rows, units), view(arena, dp_at + units * features, units, units))
    sum_over_rows(deltas, dbiases[0])
    for j in range(units):
        dbiases[1, j] = dbiases[0, j]
    if dx_at >= 0:
        np.dot(deltas, weight_ih, inputs)
        batch_first(view(inputs, 0, steps, rows, features), view(arena, dx_at, rows, steps, features), reverse)
