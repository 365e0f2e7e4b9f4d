"""Permutation importance: what a column is worth, by theory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nncore.artifact import Artifact
from nncore.errors import InvalidData
from nncore.explain import permutation_importance
from nncore.network import NetworkSpec


def linear(weight: list[list[float]], **changed: Any) -> Artifact:
    """y = W x of the columns a, b, c, each a number."""
    network = NetworkSpec.model_validate({"layers": [{"type": "dense", "units": len(weight), "use_bias": False}]})
    names = tuple("abcdef"[: len(weight[0])])
    plain = Artifact(network, "mean_squared_error", names, (len(names),), "y", None, [], "float64", {"0.weight": np.array(weight)})
    return replace(plain, **changed)


def columns(rows: int = 4000) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {name: random.standard_normal(rows) for name in "abc"}


def test_it_is_twice_the_share_of_the_variance_that_a_column_explains() -> None:
    """Dealt values are independent of the right ones, so the mean squared error is 2 w^2 and r2 falls by 2 w^2 / variance."""
    given = columns()
    wanted = 3 * given["a"] + 1 * given["b"]
    found = {each.column: each for each in permutation_importance(linear([[3.0, 1.0, 0.0]]), given, wanted, repeats=8)}
    assert found["a"].mean == pytest.approx(2 * 9 / 10, rel=0.05)
    assert found["b"].mean == pytest.approx(2 * 1 / 10, rel=0.05)
    assert found["c"].drops == (0.0,) * 8
    assert 0 < found["a"].deviation < 0.1


def test_an_error_that_grows_is_a_drop_too() -> None:
    given = columns()
    wanted = 3 * given["a"] + 1 * given["b"]
    found = permutation_importance(linear([[3.0, 1.0, 0.0]]), given, wanted, metric="root_mean_squared_error")
    assert [round(each.mean / np.sqrt(2), 1) for each in found] == [3.0, 1.0, 0.0]


def test_numbers_of_an_item_are_dealt_one_by_one_where_asked_for() -> None:
    artifact = linear([[3.0, 0.0, 1.0]], input_names=("x",), item_shapes=((3,),))
    x = np.stack(list(columns().values()), axis=1)
    together = permutation_importance(artifact, {"x": x}, x @ [3.0, 0.0, 1.0])
    apart = permutation_importance(artifact, {"x": x}, x @ [3.0, 0.0, 1.0], features=True)
    assert [(each.column, each.feature) for each in together] == [("x", None)]
    assert [(each.column, each.feature, round(each.mean, 1)) for each in apart] == [("x", 0, 1.8), ("x", 1, 0.0), ("x", 2, 0.2)]
    assert permutation_importance(artifact, {"x": x.tolist()}, x @ [3.0, 0.0, 1.0], features=True) == apart


def test_labels_may_be_told_by_their_names() -> None:
    given = columns(500)
    artifact = linear([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], loss="softmax_cross_entropy", classes=("yes", "no"))
    names = np.where(given["a"] > 0, "yes", "no")
    by_name = permutation_importance(artifact, given, names.tolist())
    assert by_name == permutation_importance(artifact, given, (given["a"] <= 0).astype(int))
    assert by_name[0].mean == pytest.approx(0.5, abs=0.05)
    assert [each.mean for each in by_name[1:]] == [0.0, 0.0]


def test_the_same_seed_deals_the_same_whatever_the_other_columns() -> None:
    given = columns(50)
    wanted = given["a"] + given["b"] + given["c"]
    one, other = (permutation_importance(linear([[1.0, 1.0, 1.0]]), given, wanted, seed=seed) for seed in (1, 2))
    assert one == permutation_importance(linear([[1.0, 1.0, 1.0]]), given, wanted, seed=1)
    assert one != other
    assert given["a"].tobytes() == columns(50)["a"].tobytes()


@pytest.mark.parametrize("ignored", [-1, 1, 255])
def test_rows_with_an_ignored_label_count_nowhere(ignored: int) -> None:
    given = columns(50)
    artifact = linear([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], loss="softmax_cross_entropy", classes=("yes", "no"))
    kept = np.arange(50) % 3 > 0
    labels = np.where(kept, 0, ignored)
    found = permutation_importance(artifact, given, labels, ignore_index=ignored)
    assert found == permutation_importance(artifact, {name: values[kept].tolist() for name, values in given.items()}, labels[kept])
    assert found[0].mean == 0  # of a single class


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (["maybe"] * 50, "expected the labels yes, no, got 'maybe'"),
        ([0] * 3, "as many answers"),
        (1, "a label or targets"),
        ([0, -1] * 25, "row 2: expected labels from 0 to 1, got -1"),
    ],
)
def test_what_cannot_be_compared_is_refused(expected: Any, message: str) -> None:
    artifact = linear([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], loss="softmax_cross_entropy", classes=("yes", "no"))
    with pytest.raises(InvalidData, match=message):
        permutation_importance(artifact, columns(50), expected)
