"""Modules that torch lacks: its own with pads of any kind, recurrences that give one tensor, and what branches and joins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn


class PaddedConv1d(nn.Conv1d):
    """A convolution with other pads before an axis than after it."""

    pads: Sequence[int]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(x, self.pads))


class PaddedConv2d(nn.Conv2d):
    """The same for pictures."""

    pads: Sequence[int]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(x, self.pads))


class AveragePool(nn.Module):
    """Windows laid out and averaged: torch's own pool knows neither dilation nor pads that differ before and after."""

    def __init__(
        self, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], pads: Sequence[int], count_include_pad: bool
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.dilation, self.pads = list(kernel), list(stride), list(dilation), list(pads)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        # A sequence is a picture of height 1.
        ones = [1] * (2 - len(self.kernel))
        picture = x.unsqueeze(2) if ones else x
        padded = nn.functional.pad(picture, self.pads)
        counts = self._summed(torch.ones_like(padded) if self.count_include_pad else nn.functional.pad(torch.ones_like(picture), self.pads))
        each = zip(padded.shape[2:], ones + self.kernel, ones + self.stride, ones + self.dilation, strict=True)
        places = [(length - (kernel - 1) * dilation - 1) // stride + 1 for length, kernel, stride, dilation in each]
        means = (self._summed(padded) / counts).unflatten(2, places)
        return means.squeeze(2) if ones else means

    def _summed(self, padded: Tensor) -> Tensor:
        """(rows, channels, windows)"""
        ones = [1] * (2 - len(self.kernel))
        windows = nn.functional.unfold(padded, ones + self.kernel, ones + self.dilation, stride=ones + self.stride)
        return windows.unflatten(1, (padded.shape[1], -1)).sum(2)


class Step(nn.Module):
    """1 above 0, else 0."""

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0).to(x.dtype)


class LSTM(nn.LSTM):
    """Gives the state after the last step, or after every step, and nothing else."""

    every: bool

    def forward(self, x: Tensor) -> Tensor:
        states, (final, _) = super().forward(x)
        return states if self.every else torch.cat(list(final), dim=1)


class GRU(nn.GRU):
    """The same of a gated recurrent unit."""

    every: bool

    def forward(self, x: Tensor) -> Tensor:
        states, final = super().forward(x)
        return states if self.every else torch.cat(list(final), dim=1)


class RNN(nn.RNN):
    """The same of a simple recurrence."""

    every: bool

    def forward(self, x: Tensor) -> Tensor:
        states, final = super().forward(x)
        return states if self.every else torch.cat(list(final), dim=1)


class Padding:
    """Which steps of the present rows are not padding, (rows, steps, 1): the embedding says it, the mean over the sequence reads it."""

    counts: Tensor


class Embedding(nn.Embedding):
    """Takes tokens as whole numbers of any dtype."""

    padding: Padding | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.padding is not None:
            self.padding.counts = (x != self.padding_idx).unsqueeze(2)
        return super().forward(x.long())


class MeanOverSequence(nn.Module):
    """The mean of the steps that are not padding."""

    def __init__(self, padding: Padding | None) -> None:
        super().__init__()
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        if self.padding is None:
            return x.mean(1)
        counts = self.padding.counts.to(x)
        return (x * counts).sum(1) / counts.sum(1).clamp(min=1)


class Residual(nn.Module):
    """x + f(x)"""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Parallel(nn.Module):
    """f1(x), f2(x), ... summed or side by side."""

    def __init__(self, branches: list[nn.Sequential], merge: Literal["concat", "add"], axis: int) -> None:
        super().__init__()
        self.branches, self.merge, self.dim = nn.ModuleList(branches), merge, axis + 1 if axis >= 0 else axis

    def forward(self, x: Tensor) -> Tensor:
        found = [branch(x) for branch in self.branches]
        return torch.stack(found).sum(0) if self.merge == "add" else torch.cat(found, dim=self.dim)
