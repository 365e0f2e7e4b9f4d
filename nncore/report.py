"""What a trainer says about its progress, and the best it has seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

_RECORDED = ("step", "epoch", "epoch_ended", "loss", "validation_loss", "metrics", "is_best", "learning_rate", "tables")


@dataclass(slots=True)  # frozen, making one takes twice as long, in every epoch of a small network
class Report:
    """Where training stands.

    step: updates applied. epoch: epochs completed; epoch_ended: this report is the one of the epoch that just was.
    loss: mean training loss of the rows seen in the present epoch (in the one that ended, if it ended).
    validation_loss, metrics: at epoch ends only; of the validation rows, or metrics of the training rows when none are held out.
    is_best: the epoch that ended is the best so far. seconds: of training and evaluation in this trainer; not part of its state.
    learning_rate: of the last update, its schedule applied; None before the first. tables: of the same rows as the metrics, those asked
    for that are no single number, as JSON (see nncore/metrics/tables.py). recent_loss: of the reports that are made every so many steps,
    the mean training loss of the rows since the one before; None in all others. diagnostics: of the last step, as JSON, in both of these
    where they were asked for (see nncore/diagnostics.py).
    """

    step: int
    epoch: int
    epoch_ended: bool
    loss: float
    validation_loss: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    is_best: bool = False
    seconds: float = 0.0
    learning_rate: float | None = None
    tables: dict[str, Any] = field(default_factory=dict)
    recent_loss: float | None = None
    diagnostics: dict[str, Any] | None = None

    @property
    def judged_by(self) -> float:
        """What makes an epoch the best: the validation loss, or the training loss when no rows are held out. Lower is better."""
        return self.loss if self.validation_loss is None else self.validation_loss

    def to_json(self) -> dict[str, Any]:
        """What of it belongs to the state: all but the seconds, which no two runs share."""
        return {name: getattr(self, name) for name in _RECORDED}


@dataclass(frozen=True)
class Best:
    """The epoch end with the lowest validation loss, or training loss when no rows are held out; the earlier on a tie."""

    step: int
    epoch: int
    loss: float
    validation_loss: float | None
    metrics: dict[str, float]
    parameters: np.ndarray = field(repr=False)
    """The parameter vector, a copy."""
