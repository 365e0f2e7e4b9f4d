"""How parameters follow their gradients. `OptimizerSpec` is the only list of optimizers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nncore.optimizers.adagrad import Adagrad
from nncore.optimizers.adam import Adam
from nncore.optimizers.adamw import AdamW
from nncore.optimizers.lbfgs import LBFGS
from nncore.optimizers.lion import Lion
from nncore.optimizers.rmsprop import RMSprop
from nncore.optimizers.sgd import SGD

OptimizerSpec = Annotated[SGD | Adagrad | RMSprop | Lion | Adam | AdamW | LBFGS, Field(discriminator="type")]

__all__ = ["LBFGS", "SGD", "Adagrad", "Adam", "AdamW", "Lion", "OptimizerSpec", "RMSprop"]
