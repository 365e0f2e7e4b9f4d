"""y = weight * (x - mean) / sqrt(variance + epsilon) + bias: every feature is brought to mean 0 and variance 1 over the rows of a batch.

Items (features,) are normalised feature by feature, items (channels, length) and (channels, height, width), as convolutions take them,
channel by channel over all their places: torch.nn.BatchNorm1d and 2d. weight and bias, a number for each feature, are 1 and 0 at first.

While training, mean and variance are those of the batch (the variance divided by the count n), and two running statistics follow them:

    running_mean = (1 - momentum) running_mean + momentum mean                          0 at first
    running_var  = (1 - momentum) running_var + momentum variance n / (n - 1)           1 at first

In use they stand in place of the batch's. They are no parameters: no gradient moves them, but every snapshot and checkpoint holds them.
momentum is PyTorch's, 1 less that of Keras and ONNX. A batch of one row has no variance and is refused before training.

Source: Ioffe, Szegedy, "Batch normalization" (2015), arXiv 1502.03167.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from nncore.definition import shown
from nncore.errors import Fault, InvalidSpec
from nncore.layers.given import Given, check_given
from nncore.layers.layer import Layer, Shape
from nncore.layers.layer_norm import Epsilon, affine_places
from nncore.machine.kernels import FIRST_ROW, ROWS, ROWS_AT_ONCE, Array, Op, clear, kernel, view
from nncore.machine.plan import Plan, Value


class BatchNorm(Layer):
    """Brings each feature, or channel, to mean 0 and variance 1 over the rows of a batch, then weight * that + bias.

    In use the running statistics stand for those of a batch: torch.nn.BatchNorm1d and 2d. Shapes stay.
    """

    model_config = shown(type="batch_norm")

    type: Literal["batch_norm"] = "batch_norm"
    given_names: ClassVar[tuple[str, ...]] = ("weight", "bias", "running_mean", "running_var")
    fewest_rows: ClassVar[int] = 2
    momentum: Annotated[float, Field(gt=0, le=1, description="How much of a batch goes into the running statistics.")] = 0.1
    epsilon: Epsilon = 1e-5
    affine: Annotated[bool, Field(description="Whether a weight and a bias are learned.")] = True
    weight: Annotated[Given | None, Field(description="Of shape (features,). Default: ones.")] = None
    bias: Annotated[Given | None, Field(description="Of shape (features,). Default: zeros.")] = None
    running_mean: Annotated[Given | None, Field(description="Of shape (features,). Default: zeros.")] = None
    running_var: Annotated[Given | None, Field(description="Of shape (features,). Default: ones.")] = None

    def output_shape(self, input_shape: Shape) -> Shape:
        if not 1 <= len(input_shape) <= 3 or min(input_shape) < 1:
            wanted = "(features,), (channels, length) or (channels, height, width)"
            message = f"a batch_norm layer takes items of shape {wanted}, got items of shape {list(input_shape)}"
            message += '; put {"type": "flatten"} or {"type": "reshape"} before it'
            raise InvalidSpec(Fault("", "shape_mismatch", message, wanted, str(list(input_shape))))
        width = input_shape[:1]
        check_given(self, **dict.fromkeys(("weight", "bias"), width if self.affine else None), running_mean=width, running_var=width)
        if any(number < 0 for number in self.running_var or ()):
            message = f"a variance is never negative, but running_var holds {min(self.running_var or ()):g}"
            raise InvalidSpec(Fault("/running_var", "negative_variance", message, "at least 0"))
        return input_shape

    def lower(self, plan: Plan, x: Value) -> Value:
        channels, area = self.output_shape(x.shape)[0], prod(x.shape[1:])
        module, y = plan.module(), plan.value(*x.shape)
        weight, bias = affine_places(self, plan, module, (channels,))
        running_mean = plan.statistic(f"{module}.running_mean", (channels,), 0.0, self.running_mean)
        running_var = plan.statistic(f"{module}.running_var", (channels,), 1.0, self.running_var)
        epsilon, kept = plan.constant(self.epsilon), plan.batch_workspace(7 * channels)
        if not plan.training:
            statistics = (running_mean.at, running_var.at, kept, channels, area, epsilon)
            plan.forward.append((batch_norm_in_use, x.at, weight[0], bias[0], y.at, *statistics))
            if plan.gradients:
                plan.backward.append([(batch_norm_in_use_backward, x.at, x.gradient, weight[1], bias[1], y.gradient, *statistics)])
            return y
        plan.forward.append((batch_norm_forward, x.at, weight[0], bias[0], y.at, kept, channels, area, epsilon))
        plan.backward.append([(batch_norm_backward, x.at, x.gradient, *weight, bias[1], y.gradient, kept, channels, area)])
        plan.forward.append(
            (follow, running_mean.at, running_var.at, kept, channels, area, plan.constant(self.momentum, 1 - self.momentum))
        )
        plan.update.append((keep, running_mean.at, running_var.at, kept, channels))
        return y


@kernel
def batch_norm_forward(op: Op, arena: Array, integers: Array) -> None:
    """Keeps mean, variance and 1 / deviation of every channel; a variance that is not finite makes NaN of its channel."""
    x_at, weight_at, bias_at, y_at, kept_at, channels, area, epsilon_at = op[:8]
    rows, kind, affine = integers[ROWS], arena.dtype.type, weight_at >= 0
    zero, one, epsilon, share = kind(0), kind(1), arena[epsilon_at], kind(1) / kind(rows * area)
    x, y, kept = view(arena, x_at, rows, channels, area), view(arena, y_at, rows, channels, area), view(arena, kept_at, 4, channels)
    weight, bias = view(arena, weight_at if affine else kept_at, channels), view(arena, bias_at if affine else kept_at, channels)
    mean, variance, inverse, part = kept[0], kept[1], kept[2], kept[3]
    clear(view(arena, kept_at, 4 * channels))
    if area == 1:
        wide = view(arena, x_at, rows, channels)
        for row in range(rows):
            for j in range(channels):
                part[j] += wide[row, j]
            if (row + 1) % ROWS_AT_ONCE == 0 or row + 1 == rows:
                for j in range(channels):
                    mean[j] += part[j]
                clear(part)
        for j in range(channels):
            mean[j] *= share
        for row in range(rows):
            for j in range(channels):
                apart = wide[row, j] - mean[j]
                part[j] += apart * apart
            if (row + 1) % ROWS_AT_ONCE == 0 or row + 1 == rows:
                for j in range(channels):
                    variance[j] += part[j]
                clear(part)
    else:
        for row in range(rows):
            for channel in range(channels):
                numbers, total = x[row, channel], zero
                for j in range(area):
                    total += numbers[j]
                part[channel] += total
            if (row + 1) % ROWS_AT_ONCE == 0 or row + 1 == rows:
                for channel in range(channels):
                    mean[channel] += part[channel]
                clear(part)
        for channel in range(channels):
            mean[channel] *= share
        for row in range(rows):
            for channel in range(channels):
                numbers, middle, squares = x[row, channel], mean[channel], zero
                for j in range(area):
                    apart = numbers[j] - middle
                    squares += apart * apart
                part[channel] += squares
            if (row + 1) % ROWS_AT_ONCE == 0 or row + 1 == rows:
                for channel in range(channels):
                    variance[channel] += part[channel]
                clear(part)
    for j in range(channels):
        variance[j] *= share
        inverse[j] = one / np.sqrt(variance[j] + epsilon) if np.isfinite(variance[j]) else kind(np.nan)
    if area == 1:
        wide, out = view(arena, x_at, rows, channels), view(arena, y_at, rows, channels)
        for row in range(rows):
            for j in range(channels):
                z = (wide[row, j] - mean[j]) * inverse[j]
                out[row, j] = z * weight[j] + bias[j] if affine else z
    else:
        for row in range(rows):
            for channel in range(channels):
                scale, middle, shift = inverse[channel], mean[channel], zero
                if affine:
                    scale, shift = scale * weight[channel], bias[channel]
                for j in range(area):
                    y[row, channel, j] = (x[row, channel, j] - middle) * scale + shift


@kernel
def batch_norm_backward(op: Op, arena: Array, integers: Array) -> None:
    """dx = weight / deviation * (dy - mean(dy) - z mean(dy z)), z: the normalised numbers; dweight = dy z and dbias = dy, summed."""
    x_at, dx_at, weight_at, dweight_at, dbias_at, dy_at, kept_at, channels, area = op[:9]
    rows, kind, affine = integers[ROWS], arena.dtype.type, weight_at >= 0
    zero, share = kind(0), kind(1) / kind(rows * area)
    x, dy, kept = view(arena, x_at, rows, channels, area), view(arena, dy_at, rows, channels, area), view(arena, kept_at, 5, channels)
    mean, inverse, weight = kept[0], kept[2], view(arena, weight_at if affine else kept_at, channels)
    along = view(arena, dweight_at if affine else kept_at + 3 * channels, channels)
    total = view(arena, dbias_at if affine else kept_at + 4 * channels, channels)
    clear(along)
    clear(total)
    wide, slopes = view(arena, x_at, rows, channels * area), view(arena, dy_at, rows, channels * area)
    for row in range(rows if area == 1 else 0):
        for j in range(channels):
            total[j] += slopes[row, j]
            along[j] += slopes[row, j] * (wide[row, j] - mean[j])
    for row in range(0 if area == 1 else rows):
        for channel in range(channels):
            numbers, slope, middle, plain, weighted = x[row, channel], dy[row, channel], mean[channel], zero, zero
            for j in range(area):
                plain += slope[j]
                weighted += slope[j] * (numbers[j] - middle)
            total[channel] += plain
            along[channel] += weighted
    for j in range(channels):
        along[j] *= inverse[j]
    if dx_at >= 0:
        dx, narrow = view(arena, dx_at, rows, channels, area), view(arena, dx_at, rows, channels * area)
        for row in range(rows if area == 1 else 0):
            for j in range(channels):
                scale = inverse[j] * weight[j] if affine else inverse[j]
                narrow[row, j] = scale * (slopes[row, j] - share * (total[j] + (wide[row, j] - mean[j]) * inverse[j] * along[j]))
        for row in range(0 if area == 1 else rows):
            for channel in range(channels):
                scale = inverse[channel] * weight[channel] if affine else inverse[channel]
                middle, shift, lean = mean[channel], share * total[channel], share * inverse[channel] * along[channel]
                for j in range(area):
                    dx[row, channel, j] = scale * (dy[row, channel, j] - shift - (x[row, channel, j] - middle) * lean)


@kernel
def follow(op: Op, arena: Array, integers: Array) -> None:
    """What the running statistics will be: moved towards those of every batch of the step, one after the other."""
    mean_at, variance_at, kept_at, channels, area, momentum_at = op[:6]
    kind, count, first = arena.dtype.type, integers[ROWS] * area, integers[FIRST_ROW] == 0
    part, stay, unbiased = arena[momentum_at], arena[momentum_at + 1], kind(count) / kind(max(count - 1, 1))
    kept = view(arena, kept_at, 7, channels)
    mean, variance = view(arena, mean_at, channels), view(arena, variance_at, channels)
    for j in range(channels):
        kept[5, j] = stay * (mean[j] if first else kept[5, j]) + part * kept[0, j]
        kept[6, j] = stay * (variance[j] if first else kept[6, j]) + part * unbiased * kept[1, j]


@kernel
def keep(op: Op, arena: Array, integers: Array) -> None:
    """It belongs to the update: a step that diverges leaves the running statistics as they were."""
    mean_at, variance_at, kept_at, channels = op[:4]
    mean, variance, kept = view(arena, mean_at, channels), view(arena, variance_at, channels), view(arena, kept_at, 7, channels)
    for j in range(channels):
        mean[j], variance[j] = kept[5, j], kept[6, j]


@kernel
def batch_norm_in_use(op: Op, arena: Array, integers: Array) -> None:
    """The same from the running statistics: every channel is multiplied and shifted."""
    x_at, weight_at, bias_at, y_at, mean_at, variance_at, kept_at, channels, area, epsilon_at = op[:10]
    rows, affine, one = integers[ROWS], weight_at >= 0, arena.dtype.type(1)
    x, y = view(arena, x_at, rows, channels, area), view(arena, y_at, rows, channels, area)
    mean, variance, kept = view(arena, mean_at, channels), view(arena, variance_at, channels), view(arena, kept_at, 2, channels)
    weight, bias = view(arena, weight_at if affine else mean_at, channels), view(arena, bias_at if affine else mean_at, channels)
    scales, shifts, epsilon = kept[0], kept[1], arena[epsilon_at]
    for j in range(channels):
        scale = one / np.sqrt(variance[j] + epsilon)
        scales[j] = scale * weight[j] if affine else scale
        shifts[j] = bias[j] - mean[j] * scales[j] if affine else -mean[j] * scales[j]
    wide, out = view(arena, x_at, rows, channels * area), view(arena, y_at, rows, channels * area)
    for row in range(rows if area == 1 else 0):
        for j in range(channels):
            out[row, j] = wide[row, j] * scales[j] + shifts[j]
    for row in range(0 if area == 1 else rows):
        for channel in range(channels):
            scale, shift = scales[channel], shifts[channel]
            for j in range(area):
                y[row, channel, j] = x[row, channel, j] * scale + shift


@kernel
def batch_norm_in_use_backward(op: Op, arena: Array, integers: Array) -> None:
    """dx = dy times what its channel is multiplied by; dweight = dy (x - mean) / deviation and dbias = dy, summed."""
    x_at, dx_at, dweight_at, dbias_at, dy_at, mean_at, variance_at, kept_at, channels, area, epsilon_at = op[:11]
    rows, zero, one, epsilon = integers[ROWS], arena.dtype.type(0), arena.dtype.type(1), arena[epsilon_at]
    x, dy, scales = view(arena, x_at, rows, channels, area), view(arena, dy_at, rows, channels, area), view(arena, kept_at, channels)
    mean, variance = view(arena, mean_at, channels), view(arena, variance_at, channels)
    for channel in range(channels if dweight_at >= 0 else 0):
        along, total, middle = zero, zero, mean[channel]
        for row in range(rows):
            for j in range(area):
                along += dy[row, channel, j] * (x[row, channel, j] - middle)
                total += dy[row, channel, j]
        arena[dweight_at + channel] = along * (one / np.sqrt(variance[channel] + epsilon))
        arena[dbias_at + channel] = total
    if dx_at >= 0:
        dx = view(arena, dx_at, rows, channels, area)
        for row in range(rows):
            for channel in range(channels):
                scale = scales[channel]
                for j in range(area):
                    dx[row, channel, j] = dy[row, channel, j] * scale
