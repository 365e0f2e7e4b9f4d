"""Long short-term memory: a state of two vectors, h and c, from step to step; gates decide what c keeps, what is new, what h shows.

    i = sigmoid(W_ii x + b_ii + W_hi h + b_hi)      what is written        c' = f * c + i * g
    f = sigmoid(W_if x + b_if + W_hf h + b_hf)      what is kept           h' = o * tanh(c')
    g = tanh(W_ig x + b_ig + W_hg h + b_hg)         what might be written
    o = sigmoid(W_io x + b_io + W_ho h + b_ho)      what is shown

Items of shape (steps, features) become (units,), or (steps, units) with output "all"; twice the units where it is bidirectional: the
forward direction's, then the backward one's. The gates lie in the order i, f, g, o, as in torch.nn.LSTM(features, units,
batch_first=True), whose parameters these are (see recurrence.py). "last" of a bidirectional layer is torch's h_n, not its output[:, -1].

Source: Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from nncore.definition import shown
from nncore.layers.recurrence import Recurrent, add_state_gradient, batch_first, give_states, sigmoids, sum_over_rows, tangents, time_first
from nncore.machine.kernels import ROWS, Array, Kernel, Op, clear, kernel, view


class LSTM(Recurrent):
    """Reads a sequence step by step, with a memory and gates: (steps, features) becomes (units,), or (steps, units). torch.nn.LSTM."""

    model_config = shown(type="lstm", units=32, bidirectional=True)

    type: Literal["lstm"] = "lstm"
    gates: ClassVar[int] = 4

    def kernels(self) -> tuple[Kernel, Kernel]:
        return lstm_forward, lstm_backward

    def kept(self, steps: int) -> int:
        """Gates and tanh(c) of every step; h and c before every step and after the last; what comes from h, or dh and dc."""
        return self.units * (steps * 5 + (steps + 1) * 2 + 4)


@kernel
def lstm_forward(op: Op, arena: Array, integers: Array) -> None:
    """The states of one direction; `space` keeps what backward needs. All four gates go through one loop: tanh z = 2 sigmoid(2 z) - 1."""
    x_at, p_at, y_at, space, steps, features, units, reverse, every, width = op[:10]
    rows, four, one = integers[ROWS], 4 * units, arena.dtype.type(1)
    inputs, at = view(arena, space, steps, rows, features), space + steps * rows * features
    gates, at = view(arena, at, steps, rows, four), at + steps * rows * four
    bent, at = view(arena, at, steps, rows, units), at + steps * rows * units
    hidden, at = view(arena, at, steps + 1, rows, units), at + (steps + 1) * rows * units
    cells, at = view(arena, at, steps + 1, rows, units), at + (steps + 1) * rows * units
    recurrent = view(arena, at, rows, four)
    weight_ih, weight_hh = view(arena, p_at, four, features), view(arena, p_at + four * features, four, units)
    biases = view(arena, p_at + four * (features + units), 2, four)

    time_first(view(arena, x_at, rows, steps, features), inputs, reverse)
    np.dot(view(inputs, 0, steps * rows, features), weight_ih.T, view(gates, 0, steps * rows, four))
    clear(view(hidden, 0, rows * units))
    clear(view(cells, 0, rows * units))
    for t in range(steps):
        np.dot(hidden[t], weight_hh.T, recurrent)
        for row in range(rows):
            gate, extra = gates[t, row], recurrent[row]
            for j in range(four):
                gate[j] += extra[j] + biases[0, j] + biases[1, j]
            for j in range(2 * units, 3 * units):
                gate[j] += gate[j]
        sigmoids(view(gates, t * rows * four, rows * four))
        for row in range(rows):
            gate, before, cell = gates[t, row], cells[t, row], cells[t + 1, row]
            for j in range(2 * units, 3 * units):
                gate[j] += gate[j] - one
            for j in range(units):
                cell[j] = gate[units + j] * before[j] + gate[j] * gate[2 * units + j]
        tangents(view(cells, (t + 1) * rows * units, rows * units), view(bent, t * rows * units, rows * units))
        for row in range(rows):
            gate, shown, tanh_c = gates[t, row], hidden[t + 1, row], bent[t, row]
            for j in range(units):
                shown[j] = gate[3 * units + j] * tanh_c[j]
    give_states(hidden, view(arena, y_at, rows, steps if every else 1, width), reverse)


@kernel
def lstm_backward(op: Op, arena: Array, integers: Array) -> None:
    """Overwrites the gates with the gradients of what went into them; then dW, db and (where wanted) dx from all steps at once."""
    dx_at, p_at, dp_at, dy_at, space, steps, features, units, reverse, every, width = op[:11]
    rows, four, one = integers[ROWS], 4 * units, arena.dtype.type(1)
    inputs, at = view(arena, space, steps * rows, features), space + steps * rows * features
    gates, at = view(arena, at, steps, rows, four), at + steps * rows * four
    bent, at = view(arena, at, steps, rows, units), at + steps * rows * units
    hidden, at = view(arena, at, steps + 1, rows, units), at + (steps + 1) * rows * units
    cells, at = view(arena, at, steps + 1, rows, units), at + (steps + 1) * rows * units
    dhidden, dcell = view(arena, at, rows, units), view(arena, at + rows * units, rows, units)
    weight_ih, weight_hh = view(arena, p_at, four, features), view(arena, p_at + four * features, four, units)
    dbiases, dy = view(arena, dp_at + four * (features + units), 2, four), view(arena, dy_at, rows, steps if every else 1, width)

    clear(view(dhidden, 0, rows * units))
    clear(view(dcell, 0, rows * units))
    for t in range(steps - 1, -1, -1):
        add_state_gradient(dy, dhidden, t, steps, reverse)
        for row in range(rows):
            gate, before, tanh_c, dh, dc = gates[t, row], cells[t, row], bent[t, row], dhidden[row], dcell[row]
            i, f, g, o = gate[:units], gate[units : 2 * units], gate[2 * units : 3 * units], gate[3 * units :]
            # Four loops, so that each has few arrays: with all of them in one, the compiler does not vectorise.
            for j in range(units):
                dc[j] += dh[j] * o[j] * (one - tanh_c[j] * tanh_c[j])
            for j in range(units):
                o[j] = dh[j] * tanh_c[j] * o[j] * (one - o[j])
            for j in range(units):
                written, new = i[j], g[j]
                i[j] = dc[j] * new * written * (one - written)
                g[j] = dc[j] * written * (one - new * new)
            for j in range(units):
                passed = dc[j]
                dc[j] = passed * f[j]
                f[j] = passed * before[j] * f[j] * (one - f[j])
        if t > 0:
            np.dot(gates[t], weight_hh, dhidden)
    deltas = view(gates, 0, steps * rows, four)
    np.dot(deltas.T, inputs, view(arena, dp_at, four, features))
    np.dot(deltas.T, view(hidden, 0, steps * rows, units), view(arena, dp_at + four * features, four, units))
    sum_over_rows(deltas, dbiases[0])
    for j in range(four):
        dbiases[1, j] = dbiases[0, j]  # as a copy of rows it took 2 s to compile
    if dx_at >= 0:
        np.dot(deltas, weight_ih, inputs)
        batch_first(view(inputs, 0, steps, rows, features), view(arena, dx_at, rows, steps, features), reverse)
