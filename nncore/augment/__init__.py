"""Augmentation of inputs, in training only: `AugmentSpec` is the only list of what there is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nncore.augment.augmentation import Augmentation, Spatial
from nncore.augment.flip import Flip
from nncore.augment.mixup import Mixup
from nncore.augment.noise import Noise
from nncore.augment.shift import Shift

AugmentSpec = Annotated[Noise | Flip | Shift | Mixup, Field(discriminator="type")]

__all__ = ["AugmentSpec", "Augmentation", "Flip", "Mixup", "Noise", "Shift", "Spatial"]
