"""What "auto" becomes where it is counted."""

from __future__ import annotations

from typing import Any

import pytest

from nncore.checkpoint import spec_digest
from nncore.errors import InvalidSpec
from nncore.minimize.spec import MinimizeSpec
from nncore.spec import Limits, ResolvedSpec, TrainingSpec, resolve
from nncore.table.column import ColumnInfo

X = ColumnInfo(name="x", dtype="float32", item_shape=[4], integral=False)
Y = ColumnInfo(name="y", dtype="float32", item_shape=[], integral=False)


def resolved(rows: int, limits: Limits = Limits(), layers: Any = None, **fields: Any) -> ResolvedSpec:  # noqa: B008 (frozen)
    network = {"layers": layers or [{"type": "dense", "units": 1}]}
    return resolve(TrainingSpec.model_validate({"network": network, "target": "y", "seed": 1, **fields}), [X, Y], rows, limits)


def found(spec: ResolvedSpec) -> dict[str, Any]:
    return {each.pointer: each.value for each in spec.found}


@pytest.mark.parametrize(("rows", "size"), [(3, 3), (150, 8), (1000, 16), (6_400, 128), (1_000_000, 256)])
def test_batches_grow_with_the_rows(rows: int, size: int) -> None:
    spec = resolved(rows, batch_size="auto")
    assert (spec.batch_size, found(spec)) == (size, {"/batch_size": size})
    assert resolved(rows, batch_size="auto", optimizer={"type": "lbfgs"}).batch_size == rows


def test_batches_are_halved_until_they_fit() -> None:
    wide = [{"type": "dense", "units": 10_000}, {"type": "dense", "units": 1}]
    large = resolved(1_000_000, batch_size="auto", layers=wide)
    small = resolved(1_000_000, Limits(max_memory_bytes=large.sizes.memory_bytes - 1), batch_size="auto", layers=wide)
    assert (large.batch_size, small.batch_size) == (256, 128)


def test_every_batch_has_the_rows_that_its_layers_need() -> None:
    spec = resolved(1025, batch_size="auto", layers=[{"type": "batch_norm"}, {"type": "dense", "units": 1}])
    assert spec.batch_size == 17


@pytest.mark.parametrize(("rows", "epochs", "patience"), [(32, 1000, 50), (32 * 100, 200, 10), (32 * 10_000, 20, 5)])
def test_epochs_are_bounded_by_steps_and_end_early(rows: int, epochs: int, patience: int) -> None:
    spec = resolved(rows, epochs="auto")
    assert spec.early_stopping is not None
    assert (spec.epochs, spec.early_stopping.patience, found(spec)) == (epochs, patience, {"/epochs": epochs})
    assert resolved(rows, epochs="auto", early_stopping={"patience": 3}).early_stopping.patience == 3  # type: ignore[union-attr]
    assert resolved(rows, Limits(max_epochs=7), epochs="auto").epochs == 7


def test_a_learning_rate_is_left_to_a_worker_and_lbfgs_needs_none() -> None:
    spec = resolved(100, optimizer={"type": "adam", "learning_rate": "auto"})
    assert (spec.optimizer.learning_rate, found(spec)) == ("auto", {"/optimizer/learning_rate": None})
    assert ResolvedSpec.model_validate(spec.model_dump(mode="json")) == spec
    spec = resolved(100, batch_size=100, optimizer={"type": "lbfgs", "learning_rate": "auto"})
    assert (spec.optimizer.learning_rate, found(spec)) == (1.0, {"/optimizer/learning_rate": 1.0})


def test_what_was_found_names_the_same_run_as_what_was_said() -> None:
    auto, said = resolved(1000, batch_size="auto"), resolved(1000, batch_size=16)
    assert (spec_digest(auto, 1000, 0) == spec_digest(said, 1000, 0)).all()


def test_nothing_is_found_where_there_are_no_rows() -> None:
    spec = {"expression": "x * x", "start": {"x": 1.0}, "optimizer": {"type": "sgd", "learning_rate": "auto"}}
    with pytest.raises(InvalidSpec) as caught:
        MinimizeSpec.model_validate(spec).resolved()
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/optimizer/learning_rate", "needs_rows")]
