from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nncore.minimize.path import Path


def walked(steps: int, max_points: int) -> Path:
    path = Path(["x"], max_points)
    for step in range(steps + 1):
        path.add(step, -float(step), [float(step) / 2])
    return path


@given(steps=st.integers(0, 500), max_points=st.integers(2, 40))
def test_a_path_has_its_first_and_last_point_and_never_too_many(steps: int, max_points: int) -> None:
    points = walked(steps, max_points).points()
    assert points[0].step == 0
    assert points[-1].step == steps
    assert len(points) <= max_points
    assert len(points) >= min(steps + 1, max_points // 2)
    gaps = {after.step - before.step for before, after in pairwise(points[:-1])}
    assert len(gaps) <= 1  # all but the last are equally far apart
    assert all((point.value, point.variables) == (-point.step, {"x": point.step / 2}) for point in points)


def test_a_short_path_is_kept_whole() -> None:
    assert [point.step for point in walked(9, 11).points()] == list(range(10))


@given(steps=st.integers(0, 200), cut=st.integers(0, 200), max_points=st.integers(2, 20))
def test_a_path_that_was_put_away_goes_on_as_if_it_had_not_been(steps: int, cut: int, max_points: int) -> None:
    first, second = walked(min(cut, steps), max_points), Path(["x"], max_points)
    second.restore(first.state())
    for step in range(cut + 1, steps + 1):
        second.add(step, -float(step), [float(step) / 2])
    assert second.points() == walked(steps, max_points).points()
