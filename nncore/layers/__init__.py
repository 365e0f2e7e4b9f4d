"""The layers a network may be made of. `LayerSpec` is the only list of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nncore.layers.dense import Dense
from nncore.layers.dropout import Dropout
from nncore.layers.flatten import Flatten

LayerSpec = Annotated[Dense | Dropout | Flatten, Field(discriminator="type")]

__all__ = ["Dense", "Dropout", "Flatten", "LayerSpec"]
