"""Sums over random replicates of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihot.evaluation.bootstrap import (
    BLOCK_ROWS,
    ReplicateSums,
    coins,
    num_replicates,
    poisson_counts,
)


def test_counts_are_poisson_with_mean_one() -> None:
    counts = np.concatenate([poisson_counts(0, block, BLOCK_ROWS, 200) for block in range(5)])

    assert counts.mean() == pytest.approx(1, abs=0.005)
    assert counts.var() == pytest.approx(1, abs=0.01)
    shares = [np.exp(-1), np.exp(-1), np.exp(-1) / 2, np.exp(-1) / 6]
    assert [(counts == k).mean() for k in range(4)] == pytest.approx(shares, abs=0.003)


def test_swaps_are_fair_coins() -> None:
    found = coins(0, 0, BLOCK_ROWS, 999)

    assert set(np.unique(found)) == {0, 1}
    assert found.mean() == pytest.approx(0.5, abs=0.002)
    assert found.mean(axis=0) == pytest.approx(np.full(BLOCK_ROWS, 0.5), abs=0.08)


def test_weights_depend_on_seed_and_row_alone() -> None:
    whole = poisson_counts(3, 1, BLOCK_ROWS, 50)

    assert (poisson_counts(3, 1, 10, 50) == whole[:, :10]).all()
    assert (poisson_counts(4, 1, BLOCK_ROWS, 50) != whole).any()
    assert (poisson_counts(3, 2, BLOCK_ROWS, 50) != whole).any()


@pytest.mark.parametrize("swaps", [False, True])
@given(cuts=st.lists(st.integers(0, 2500), max_size=6))
def test_chunks_make_no_difference_to_the_last_bit(swaps: bool, cuts: list[int]) -> None:
    rows = np.random.default_rng(0).random((2500, 3))
    whole, pieces = (ReplicateSums(3, 20, 7, swaps=swaps) for _ in range(2))
    whole.update(rows)
    for part in np.split(rows, sorted(cuts)):
        pieces.update(part)

    assert (whole.result() == pieces.result()).all()


def test_sums_are_those_of_rows_that_count_several_times() -> None:
    rows = np.random.default_rng(0).random((1500, 2))
    sums = ReplicateSums(2, 10, 7)
    sums.update(rows)
    weights = np.concatenate(
        [poisson_counts(7, 0, BLOCK_ROWS, 10), poisson_counts(7, 1, 1500 - BLOCK_ROWS, 10)], axis=1
    )

    found = sums.result()

    assert found[0] == pytest.approx(rows.sum(axis=0))
    assert found[1:] == pytest.approx(weights @ rows, rel=1e-5)


def test_no_rows_have_sums_of_zero() -> None:
    assert (ReplicateSums(2, 5, 0).result() == np.zeros((6, 2))).all()


@pytest.mark.parametrize(
    ("rows", "labels", "expected"),
    [(3000, 11, 1000), (1_000_000, 100, 400), (1000, 20_000, 139), (10, 1_000_000, 100)],
)
def test_replicates_are_fewer_when_there_is_much(rows: int, labels: int, expected: int) -> None:
    assert num_replicates(rows, labels) == expected
