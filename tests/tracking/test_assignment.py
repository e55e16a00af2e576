"""Pairs with the largest sum of gains, against trying all of them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mrcnn_cv.tracking.assignment import assign


def best(gains: NDArray[np.float64]) -> float:
    """The largest sum of gains, by trying every way to give rows to columns or to nobody."""
    rows, columns = gains.shape
    padded = np.hstack([np.maximum(gains, 0), np.zeros((rows, rows))])
    return max(
        (
            sum(padded[row, column] for row, column in enumerate(order))
            for order in permutations(range(columns + rows), rows)
        ),
        default=0.0,
    )


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.7]))
def test_the_sum_is_the_largest_there_is(rows: int, columns: int, seed: int, impossible: float) -> None:
    rng = np.random.default_rng(seed)
    # Few different values, so that many ways are equally good.
    gains = rng.integers(-2, 6, (rows, columns)) / 4
    gains[rng.random((rows, columns)) < impossible] = 0
    chosen, partners = assign(gains)
    assert len(set(chosen.tolist())) == len(set(partners.tolist())) == len(chosen)
    assert chosen.tolist() == sorted(chosen.tolist())
    assert (gains[chosen, partners] > 0).all()
    assert gains[chosen, partners].sum() == pytest.approx(best(gains))


@pytest.mark.parametrize("columns", [5, 6])
def test_where_everything_is_possible(columns: int) -> None:
    rng = np.random.default_rng(columns)
    orders = np.array(list(permutations(range(columns), 5)))
    for _ in range(100):
        gains = rng.random((5, columns)) + 0.01
        for some in (gains, gains.T):
            chosen, partners = assign(some)
            assert some[chosen, partners].sum() == pytest.approx(gains[np.arange(5), orders].sum(axis=1).max())


def test_it_is_not_greedy() -> None:
    rows, columns = assign(np.array([[0.9, 0.8], [0.8, 0.1]]))
    assert list(zip(rows, columns, strict=True)) == [(0, 1), (1, 0)]


def test_a_crowd_of_equal_pairs_is_paired_off() -> None:
    rows, columns = assign(np.ones((40, 60)))
    assert rows.tolist() == list(range(40))
    assert len(set(columns.tolist())) == 40


def test_a_hidden_permutation_is_found() -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(50)
    gains = rng.random((50, 50)) * 0.5
    gains[np.arange(50), order] = 0.51
    _, columns = assign(gains)
    assert columns.tolist() == order.tolist()
