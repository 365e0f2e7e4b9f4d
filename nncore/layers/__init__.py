"""The layers a network may be made of. `LayerSpec` is the only list of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nncore.layers.activation import Activation
from nncore.layers.average_pool import AveragePool
from nncore.layers.batch_norm import BatchNorm
from nncore.layers.convolution import Conv1d, Conv2d
from nncore.layers.dense import Dense
from nncore.layers.dropout import Dropout
from nncore.layers.embedding import Embedding
from nncore.layers.flatten import Flatten
from nncore.layers.global_pool import GlobalPool
from nncore.layers.gru import GRU
from nncore.layers.layer_norm import LayerNorm
from nncore.layers.lstm import LSTM
from nncore.layers.max_pool import MaxPool
from nncore.layers.mean_over_sequence import MeanOverSequence
from nncore.layers.parallel import Parallel
from nncore.layers.reshape import Reshape
from nncore.layers.residual import Residual
from nncore.layers.rnn import RNN

LayerSpec = Annotated[
    Dense
    | Dropout
    | Flatten
    | GRU
    | LSTM
    | Parallel
    | Residual
    | RNN
    | Reshape
    | Activation
    | Conv1d
    | Conv2d
    | MaxPool
    | AveragePool
    | GlobalPool
    | LayerNorm
    | BatchNorm
    | Embedding
    | MeanOverSequence,
    Field(discriminator="type"),
]  # fmt: skip

for _composition in (Parallel, Residual):  # they hold layers, all of which are known only here
    _composition.model_rebuild(_types_namespace={"LayerSpec": LayerSpec})

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "AveragePool",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalPool",
    "LayerNorm",
    "LayerSpec",
    "MaxPool",
    "MeanOverSequence",
    "Parallel",
    "Reshape",
    "Residual",
]
