"""Pictures from 0..255 to 0..1, or as told: (x - offset) / scale, then, channel by channel, (that - mean) / deviation.

Nothing is fitted: every number is given, as in torchvision's ToTensor and Normalize. Items with means or deviations of channels are of
shape (channels, height, width).

    {"type": "image_scale", "mean": [0.485, 0.456, 0.406], "deviation": [0.229, 0.224, 0.225]}
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from nncore.definition import shown
from nncore.faults import counted
from nncore.preprocess.scaling import ScalingStep
from nncore.preprocess.step import Item

Positive = Annotated[float, Field(ge=1e-30, le=1e30)]
Mean = Annotated[float, Field(ge=-1e30, le=1e30)]


class ImageScale(ScalingStep):
    """Brings pictures to the numbers that networks like."""

    model_config = shown(type="image_scale", mean=[0.485, 0.456, 0.406], deviation=[0.229, 0.224, 0.225])

    type: Literal["image_scale"] = "image_scale"
    offset: Annotated[float, Field(ge=-1e30, le=1e30, description="Taken away first.")] = 0.0
    scale: Annotated[Positive, Field(description="What the rest is divided by.")] = 255.0
    mean: Annotated[list[Mean] | None, Field(min_length=1, max_length=1000, description="Then taken away, one of each channel.")] = None
    deviation: Annotated[
        list[Positive] | None, Field(min_length=1, max_length=1000, description="What that is divided by, one of each channel.")
    ] = None

    def unfit(self, item: Item) -> str | None:
        for name in ("mean", "deviation"):
            given = getattr(self, name)
            if given is not None and not item.is_text and (len(item.shape) != 3 or item.shape[0] != len(given)):
                return f"{name} is of {counted(len(given), 'channel')}, so it works on items of shape [{len(given)}, height, width]"
        return super().unfit(item)

    def fit(self, training: np.ndarray, channels: np.ndarray) -> dict[str, np.ndarray]:
        mean = 0.0 if self.mean is None else np.array(self.mean)[channels]
        deviation = 1.0 if self.deviation is None else np.array(self.deviation)[channels]
        features = np.zeros(len(channels))
        return {"offset": self.offset + mean * self.scale + features, "scale": self.scale * deviation + features}
