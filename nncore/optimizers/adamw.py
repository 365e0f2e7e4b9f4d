"""AdamW: Adam, and beside it a decay of the weights that is not divided by the root of the squared gradients.

    p -= rate weight_decay p, then Adam's update (see adam.py)

As torch.optim.AdamW, but that one decays biases, too: set `decay_biases` for its update. A schedule acts on both, as in PyTorch.
Source: Loshchilov, Hutter, "Decoupled weight decay regularization", 2019 (arXiv 1711.05101).
"""

from __future__ import annotations

from typing import Literal

from nncore.definition import shown
from nncore.optimizers.adam import Adam
from nncore.optimizers.optimizer import WeightDecay


class AdamW(Adam):
    """Adam, and beside it a decay of the weights, p -= rate weight_decay p."""

    model_config = shown(type="adamw", learning_rate=0.001, weight_decay=0.01)

    type: Literal["adamw"] = "adamw"  # type: ignore[assignment]
    weight_decay: WeightDecay = 1e-2
