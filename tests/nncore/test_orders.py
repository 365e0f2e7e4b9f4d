from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nncore.orders import MOST_ORDERS, Orders
from nncore.streams import stream


@given(seed=st.integers(0, 2**63 - 1), rows=st.integers(1, 9))
def test_an_order_is_what_numpy_permutes(seed: int, rows: int) -> None:
    numbers, generator = np.arange(rows) * 3, stream(seed, "shuffle")
    orders = Orders(seed, numbers, shuffled=True)
    for _ in range(4):
        np.testing.assert_array_equal(orders.present(), generator.permutation(numbers))
        assert orders.present() is orders.present()
        orders.end_epoch()
    np.testing.assert_array_equal(numbers, np.arange(rows) * 3)


@given(epochs=st.integers(0, 2 * MOST_ORDERS + 3), begun=st.booleans(), rows=st.sampled_from([1, 5, 40_000, 200_000]))
def test_it_goes_on_from_a_state_bit_for_bit(epochs: int, begun: bool, rows: int) -> None:
    """A state taken in the midst of an epoch gives the order of that epoch again."""
    epochs = min(epochs, 3) if rows > 100 else epochs
    orders, again = (Orders(seed, np.arange(rows), shuffled=True) for seed in (7, 8))
    for _ in range(epochs):
        orders.present()
        orders.end_epoch()
    if begun:
        orders.present()
    again.restore(orders.state(), begun=begun)
    if begun:  # what is not looked at any more has been drawn
        orders.end_epoch()
        again.end_epoch()
    for _ in range(3):
        np.testing.assert_array_equal(again.present(), orders.present())
        orders.end_epoch()
        again.end_epoch()


def test_without_shuffling_an_epoch_has_the_rows_as_they_are() -> None:
    orders = Orders(1, rows := np.array([4, 2, 7]), shuffled=False)
    before = orders.state()
    for _ in range(3):
        np.testing.assert_array_equal(orders.present(), rows)
        orders.end_epoch()
    np.testing.assert_array_equal(orders.state(), before)
