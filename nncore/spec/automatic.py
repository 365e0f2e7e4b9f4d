"""What "auto" stands for where it can be counted: batch_size from rows and memory, epochs from steps, with early stopping.

    batch_size  the power of two at or below a fiftieth of the training rows, from 8 to 256, halved until it fits into memory
                (lbfgs: all rows)
    epochs      as many as make 20,000 steps, from 20 to 1,000, and early stopping where none was asked for, its patience a twentieth

A learning rate has to be tried: a worker does that, see learning_rates.py.
"""

from __future__ import annotations

from collections.abc import Callable

from nncore.optimizers import LBFGS
from nncore.spec.limits import Limits
from nncore.spec.resolved import CountedSpec, Found
from nncore.spec.training import EarlyStopping, TrainingSpec

RATE_POINTER = "/optimizer/learning_rate"
STEPS_PER_EPOCH, SMALLEST_BATCH, LARGEST_BATCH = 50, 8, 256
STEPS, FEWEST_EPOCHS, MOST_EPOCHS = 20_000, 20, 1_000
PATIENCE_SHARE, LEAST_PATIENCE = 20, 5


def counted_spec(spec: TrainingSpec, training_rows: int, fits: Callable[[int], bool], limits: Limits) -> tuple[CountedSpec, list[Found]]:
    """The spec with every "auto" that can be counted as a number, and how each was found.

    fits: whether batches of so many rows fit into memory.
    """
    found, early_stopping = list[Found](), spec.early_stopping
    if isinstance(spec.batch_size, str):
        batch_size = _batch_size(spec, training_rows, fits)
        how = "all training rows: lbfgs takes them in every step" if isinstance(spec.optimizer, LBFGS) else f"from {training_rows:,} rows"
        found.append(Found(pointer="/batch_size", value=batch_size, how=how))
    else:
        batch_size = spec.batch_size
    if isinstance(spec.epochs, str):
        steps_per_epoch = -(-training_rows // (batch_size * spec.accumulate))
        epochs = min(max(STEPS // steps_per_epoch, FEWEST_EPOCHS), MOST_EPOCHS, limits.max_epochs)
        early_stopping = early_stopping or EarlyStopping(patience=max(epochs // PATIENCE_SHARE, LEAST_PATIENCE))
        how = f"the most; early stopping ends it after {early_stopping.patience:,} that were no better"
        found.append(Found(pointer="/epochs", value=epochs, how=how))
    else:
        epochs = spec.epochs
    fields = {name: getattr(spec, name) for name in TrainingSpec.model_fields}
    return CountedSpec.model_construct(**fields | {"batch_size": batch_size, "epochs": epochs, "early_stopping": early_stopping}), found


def _batch_size(spec: TrainingSpec, rows: int, fits: Callable[[int], bool]) -> int:
    if isinstance(spec.optimizer, LBFGS):
        return rows
    part = max(rows // STEPS_PER_EPOCH, 1)
    size = min(max(1 << (part.bit_length() - 1), SMALLEST_BATCH), LARGEST_BATCH, rows)
    while size > 1 and not fits(size):
        size //= 2
    fewest = max(layer.fewest_rows for _, layer in spec.network.every_layer())
    while size < rows and 0 < rows % size < fewest:  # every batch has the rows that each layer needs
        size += 1
    return size
