"""Averaged weights: beside the parameters a running mean of them is kept, which often generalises better than they do.

    a = p after the first update, then   a = decay a + (1 - decay) p   after each

As torch.optim.swa_utils.AveragedModel with get_ema_multi_avg_fn(decay). Updates are made with the parameters, as ever; what is evaluated,
called the best, and saved are the averages. A mean over about 1 / (1 - decay) steps: with few steps take a smaller decay.

Running statistics (of batch_norm) are not averaged: those of the last step go with the averages, as torch's AveragedModel has it.

Source: Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", 1992; the exponential form: Tarvainen, Valpola, 2017
(arXiv 1703.01780).
"""

from __future__ import annotations

from nncore.machine.kernels import STEP, Array, Op, kernel, view


@kernel
def average(op: Op, arena: Array, integers: Array) -> None:
    averages_at, parameters_at, size, part_at = op[:4]
    averages, parameters, part = view(arena, averages_at, size), view(arena, parameters_at, size), arena[part_at]
    if integers[STEP] == 0:
        for i in range(size):
            averages[i] = parameters[i]
    else:
        for i in range(size):
            averages[i] += part * (parameters[i] - averages[i])
