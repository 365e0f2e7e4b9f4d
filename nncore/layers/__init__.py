"""The layers a network may be made of. `LayerSpec` is the only list of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nncore.layers.dense import Dense
from nncore.layers.dropout import Dropout
from nncore.layers.flatten import Flatten
from nncore.layers.parallel import Parallel
from nncore.layers.residual import Residual

LayerSpec = Annotated[Dense | Dropout | Flatten | Parallel | Residual, Field(discriminator="type")]

for _composition in (Parallel, Residual):  # they hold layers, all of which are known only here
    _composition.model_rebuild(_types_namespace={"LayerSpec": LayerSpec})

__all__ = ["Dense", "Dropout", "Flatten", "LayerSpec", "Parallel", "Residual"]
