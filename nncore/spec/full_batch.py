"""What an optimizer that searches along lines wants of a training: every row in every step, and the same loss at the same place."""

from __future__ import annotations

from nncore.faults import Faults, pointer
from nncore.optimizers import LBFGS
from nncore.spec.resolved import CountedSpec, Sizes

UNSTEADY = {"dropout": "draws anew at every step", "batch_norm": "keeps statistics that follow the steps"}


def check_full_batch(spec: CountedSpec, optimizer: LBFGS, sizes: Sizes, faults: Faults) -> None:
    faults.extend(optimizer.faults_of_line_search(), "/optimizer")
    if sizes.steps_per_epoch > 1:
        rows = f"{sizes.training_rows:,}"
        message = (
            f"lbfgs takes all {rows} training rows in every step, but a step has {spec.batch_size * spec.accumulate:,}; "
            f"set batch_size to {rows}, or accumulate more batches"
        )
        faults.add("/batch_size", "not_all_rows", message, expected=rows, got=f"{spec.batch_size * spec.accumulate:,}")
    for at, layer in spec.network.every_layer():
        kind: str = getattr(layer, "type")  # noqa: B009 (the union has it, the layers' base does not)
        if kind in UNSTEADY:
            message = f"lbfgs needs the same loss at the same place, but {kind} {UNSTEADY[kind]}; take it out, or another optimizer"
            faults.add(f"/network{at}", "unsteady_loss", message)
    for number, augmentation in enumerate(spec.augment):
        message = f"lbfgs needs the same loss at the same place, but {augmentation.type} draws anew at every step; leave it out"
        faults.add(pointer("augment", number), "unsteady_loss", message)
