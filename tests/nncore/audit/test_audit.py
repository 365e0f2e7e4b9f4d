"""Made data with one flaw each: the flaw is found, with its rows; good data has none."""

from __future__ import annotations

import numpy as np
import pytest

from nncore.audit import Split, audit
from nncore.audit.equal_rows import equal_rows
from nncore.table import Column, Table

ROWS = 200
SPLIT = Split(np.arange(150), np.arange(150, ROWS))


def table(**changed: np.ndarray) -> Table:
    """Two noisy columns, a target that depends on both, and a group of ten rows each."""
    generator = np.random.default_rng(3)
    a, b = generator.normal(size=(2, ROWS))
    columns = {"a": a, "b": b, "y": np.round(a + b > 0).astype(np.float32), "who": (np.arange(ROWS) // 10).astype(np.int64), **changed}
    return Table(Column(name, values) for name, values in columns.items())


def found(made: Table, **options):
    return {finding.code: finding for finding in audit(made, target="y", group="who", split=SPLIT, **options)}


def test_good_data_has_no_findings():
    assert found(table()) == {}


def test_classes_of_unequal_size_are_found():
    y = np.zeros(ROWS, np.float32)
    y[:5] = 1
    finding = found(table(y=y))["class_imbalance"]
    assert (finding.severity, finding.rows, finding.count) == ("warning", [0, 1, 2, 3, 4], 5)
    assert "97.5%" in finding.message


def test_rows_that_repeat_are_found_and_those_across_the_split_are_worse():
    made = table()
    columns = {column.name: column.values.copy() for column in made.columns}
    for values in columns.values():
        values[160:170] = values[20:30]
    columns["who"][:] = made["who"].values
    findings = found(table(**columns))
    assert list(findings) == ["duplicates_across_split", "duplicate_rows"]
    assert findings["duplicate_rows"].rows == list(range(160, 170)) == findings["duplicates_across_split"].rows
    assert findings["duplicates_across_split"].severity == "error"


def test_a_group_on_both_sides_is_found():
    who = (np.arange(ROWS) // 10).astype(np.int64)
    who[150:155] = 3
    finding = found(table(who=who))["group_leakage"]
    assert (finding.severity, finding.rows, finding.count) == ("error", list(range(150, 155)), 1)


def test_a_column_of_one_value_is_found():
    assert found(table(flat=np.full((ROWS, 3), 7.0)))["constant_column"].columns == ["flat"]


@pytest.mark.parametrize("noise", [0, 0.2])
def test_a_column_that_gives_the_target_away_is_found(noise):
    y = table()["y"].values
    leak = y * 3 + np.random.default_rng(1).uniform(-noise, noise, ROWS)
    assert found(table(leak=leak))["giveaway_column"].columns == ["leak"]


def test_a_column_that_is_the_number_to_be_met_in_another_unit_is_found():
    made = table(y=np.random.default_rng(9).normal(size=ROWS))
    assert found(table(y=made["y"].values, celsius=made["y"].values * 1.8 + 32))["giveaway_column"].columns == ["celsius"]


def test_equal_rows_with_unlike_labels_are_found():
    made = table()
    a, b, y = (made[name].values.copy() for name in "aby")
    a[7], b[7], y[7] = a[3], b[3], 1 - y[3]
    finding = found(table(a=a, b=b, y=y))["label_disagreement"]
    assert (finding.severity, finding.rows) == ("warning", [3, 7])


def test_equal_rows_are_those_that_are_equal():
    generator = np.random.default_rng(5)
    columns = [Column("p", generator.integers(0, 3, (500, 2)).astype(np.float32)), Column("q", generator.integers(0, 4, 500))]
    columns[0].values[0, 0], columns[0].values[1] = np.nan, [0.0, -0.0]
    whole = np.concatenate([np.nan_to_num(columns[0].values, nan=99) + 0.0, columns[1].values[:, None]], axis=1)
    _, expected = np.unique(whole, axis=0, return_inverse=True)
    groups = equal_rows(columns)
    assert len(set(zip(groups.tolist(), expected.reshape(-1).tolist(), strict=True))) == groups.max() + 1 == expected.max() + 1
