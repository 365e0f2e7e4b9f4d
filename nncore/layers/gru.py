"""Gated recurrent unit: a state h from step to step; gates decide how much of it is renewed, and how much it says of the renewal.

    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)           what of the state is heard
    z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)           what of the state is kept
    n = tanh(W_in x + b_in + r * (W_hn h + b_hn))        what is new
    h' = (1 - z) * n + z * h

Items of shape (steps, features) become (units,), or (steps, units) with output "all"; twice the units where it is bidirectional: the
forward direction's, then the backward one's. The gates lie in the order r, z, n, as in torch.nn.GRU(features, units, batch_first=True),
whose parameters these are (see recurrence.py). r is applied behind the product, as cuDNN does (ONNX: linear_before_reset = 1); the paper
applies it to h. "last" of a bidirectional layer is torch's h_n, not its output[:, -1].

Source: Cho et al. (2014), "Learning Phrase Representations using RNN Encoder-Decoder".
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from nncore.definition import shown
from nncore.layers.recurrence import Recurrent, add_state_gradient, batch_first, give_states, sigmoids, sum_over_rows, tangents, time_first
from nncore.machine.kernels import ROWS, Array, Kernel, Op, clear, kernel, view


class GRU(Recurrent):
    """Reads a sequence step by step, with one state and two gates: (steps, features) becomes (units,), or (steps, units). torch.nn.GRU."""

    model_config = shown(type="gru", units=32)

    type: Literal["gru"] = "gru"
    gates: ClassVar[int] = 3

    def kernels(self) -> tuple[Kernel, Kernel]:
        return gru_forward, gru_backward

    def kept(self, steps: int) -> int:
        """What came from x (then the gates) and what came from h of every step; h before every step and after the last; dh in two parts."""
        return self.units * (steps * 6 + (steps + 1) + 2)


@kernel
def gru_forward(op: Op, arena: Array, integers: Array) -> None:
    """The states of one direction; `space` keeps what backward needs."""
    x_at, p_at, y_at, space, steps, features, units, reverse, every, width = op[:10]
    rows, three = integers[ROWS], 3 * units
    inputs, at = view(arena, space, steps, rows, features), space + steps * rows * features
    gates, at = view(arena, at, steps, rows, three), at + steps * rows * three
    recurrent, at = view(arena, at, steps, rows, three), at + steps * rows * three
    hidden = view(arena, at, steps + 1, rows, units)
    weight_ih, weight_hh = view(arena, p_at, three, features), view(arena, p_at + three * features, three, units)
    biases = view(arena, p_at + three * (features + units), 2, three)

    time_first(view(arena, x_at, rows, steps, features), inputs, reverse)
    np.dot(view(inputs, 0, steps * rows, features), weight_ih.T, view(gates, 0, steps * rows, three))
    clear(view(hidden, 0, rows * units))
    for t in range(steps):
        np.dot(hidden[t], weight_hh.T, recurrent[t])
        for row in range(rows):
            gate, extra, before, shown = gates[t, row], recurrent[t, row], hidden[t, row], hidden[t + 1, row]
            for j in range(three):
                extra[j] += biases[1, j]
            for j in range(2 * units):
                gate[j] += extra[j] + biases[0, j]
            sigmoids(gate[: 2 * units])
            for j in range(units):
                gate[2 * units + j] += biases[0, 2 * units + j] + gate[j] * extra[2 * units + j]
            tangents(gate[2 * units :], gate[2 * units :])
            for j in range(units):
                shown[j] = gate[2 * units + j] + gate[units + j] * (before[j] - gate[2 * units + j])
    give_states(hidden, view(arena, y_at, rows, steps if every else 1, width), reverse)


@kernel
def gru_backward(op: Op, arena: Array, integers: Array) -> None:
    """Overwrites the gates with the gradients of what came from x, and what came from h with its own; then dW, db and, where wanted, dx."""
    dx_at, p_at, dp_at, dy_at, space, steps, features, units, reverse, every, width = op[:11]
    rows, three, one = integers[ROWS], 3 * units, arena.dtype.type(1)
    inputs, at = view(arena, space, steps * rows, features), space + steps * rows * features
    gates, at = view(arena, at, steps, rows, three), at + steps * rows * three
    recurrent, at = view(arena, at, steps, rows, three), at + steps * rows * three
    hidden, at = view(arena, at, steps + 1, rows, units), at + (steps + 1) * rows * units
    dhidden, through = view(arena, at, rows, units), view(arena, at + rows * units, rows, units)
    weight_ih, weight_hh = view(arena, p_at, three, features), view(arena, p_at + three * features, three, units)
    dbiases, dy = view(arena, dp_at + three * (features + units), 2, three), view(arena, dy_at, rows, steps if every else 1, width)

    clear(view(dhidden, 0, rows * units))
    for t in range(steps - 1, -1, -1):
        add_state_gradient(dy, dhidden, t, steps, reverse)
        for row in range(rows):
            gate, extra, before, dh = gates[t, row], recurrent[t, row], hidden[t, row], dhidden[row]
            r, z, n = gate[:units], gate[units : 2 * units], gate[2 * units :]
            dr, dz, dheard = extra[:units], extra[units : 2 * units], extra[2 * units :]
            # Several loops, so that each has few arrays: with all of them in one, the compiler does not vectorise.
            for j in range(units):
                dz[j] = dh[j] * (before[j] - n[j]) * z[j] * (one - z[j])
            for j in range(units):
                n[j] = dh[j] * (one - z[j]) * (one - n[j] * n[j])
                dh[j] *= z[j]
            for j in range(units):
                dr[j] = n[j] * dheard[j] * r[j] * (one - r[j])
                dheard[j] = n[j] * r[j]
            for j in range(units):
                r[j] = dr[j]
                z[j] = dz[j]
        if t > 0:
            np.dot(recurrent[t], weight_hh, through)
            for row in range(rows):
                for j in range(units):
                    dhidden[row, j] += through[row, j]
    deltas, recurrent_deltas = view(gates, 0, steps * rows, three), view(recurrent, 0, steps * rows, three)
    np.dot(deltas.T, inputs, view(arena, dp_at, three, features))
    np.dot(recurrent_deltas.T, view(hidden, 0, steps * rows, units), view(arena, dp_at + three * features, three, units))
    sum_over_rows(deltas, dbiases[0])
    sum_over_rows(recurrent_deltas, dbiases[1])
    if dx_at >= 0:
        np.dot(deltas, weight_ih, inputs)
        batch_first(view(inputs, 0, steps, rows, features), view(arena, dx_at, rows, steps, features), reverse)
