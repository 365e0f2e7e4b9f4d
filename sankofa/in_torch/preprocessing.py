"""Fitted preprocessing around a torch network: the steps of the inputs that work feature by feature, and what undoes that of the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan, prod
from typing import Any

import torch

from sankofa.errors import InvalidInput

# The numbers that leave a feature as it is, by the type of the step.
SCALING = {"offset": 0.0, "scale": 1.0}
UNCHANGED: dict[str, dict[str, float]] = {"standardize": SCALING, "min_max": SCALING, "image_scale": SCALING, "impute": {"fill": nan}}


class Preprocessing(torch.nn.Module):
    """(rows, ...) numbers as they were uploaded, the columns side by side, to (rows, *input_shape) as the network takes them.

    Computes in float64, as the service does, and gives what comes out in the dtype of the network.
    Raises InvalidInput for steps that make new features.
    """

    def __init__(
        self,
        steps: Sequence[Mapping[str, Any]],
        names: Sequence[str],
        item_shapes: Sequence[Sequence[int] | None],
        input_shape: Sequence[int],
        dtype: str,
    ) -> None:
        super().__init__()
        self.input_shape, self.dtype, self.keys = tuple(input_shape), getattr(torch, dtype), []
        for number, step in enumerate(steps):
            unchanged = UNCHANGED.get(step["type"])
            if unchanged is None:
                raise InvalidInput(
                    f"the preprocessing step {step['type']} has no equal in torch; "
                    "job.to_torch(preprocessing=False) is the network behind it"
                )
            for key, value in unchanged.items():
                numbers: list[float] = []
                for name, shape in zip(names, item_shapes, strict=True):
                    numbers += step["columns"][name][key] if name in step["columns"] else [value] * prod(shape or ())
                self.register_buffer(f"{key}_{number}", torch.tensor(numbers, dtype=torch.float64))
            self.keys.append([f"{key}_{number}" for key in unchanged])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(len(x), -1).double()
        for keys in self.keys:
            numbers = [getattr(self, key) for key in keys]
            x = torch.where(x.isnan(), numbers[0], x) if len(numbers) == 1 else (x - numbers[0]) / numbers[1]
        return x.to(self.dtype).reshape(len(x), *self.input_shape)


class InUnitOfTarget(torch.nn.Module):
    """y * scale + offset: undoes the scaling by which the target was learnt."""

    def __init__(self, offset: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("offset", torch.tensor(offset, dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float64))

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return (y.double() * self.scale + self.offset).to(y.dtype)
