"""How parameters follow their gradients. `OptimizerSpec` is the only list of optimizers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nncore.optimizers.adam import Adam
from nncore.optimizers.sgd import SGD

OptimizerSpec = Annotated[SGD | Adam, Field(discriminator="type")]

__all__ = ["SGD", "Adam", "OptimizerSpec"]
