"""Sums over random replicates of rows, and the intervals of ratios of such sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multihot.evaluation.bootstrap import (
    BLOCK_ROWS,
    Draw,
    Estimate,
    ReplicateSums,
    SparseReplicateSums,
    bootstrapped,
    num_replicates,
    poisson_counts,
    swap_masks,
)


def test_counts_are_poisson_with_mean_one() -> None:
    draw = poisson_counts(0)
    counts = np.concatenate([draw(block, BLOCK_ROWS, 200) for block in range(5)])

    assert counts.mean() == pytest.approx(1, abs=0.005)
    assert counts.var() == pytest.approx(1, abs=0.01)
    expected = [np.exp(-1), np.exp(-1), np.exp(-1) / 2, np.exp(-1) / 6]
    assert [(counts == k).mean() for k in range(4)] == pytest.approx(expected, abs=0.003)


def test_every_row_is_swapped_in_half_of_the_replicates() -> None:
    masks = swap_masks(0)(0, BLOCK_ROWS, 999)

    assert set(np.unique(masks)) == {0, 1}
    assert masks.mean() == pytest.approx(0.5, abs=0.002)
    assert masks.mean(axis=0) == pytest.approx(np.full(BLOCK_ROWS, 0.5), abs=0.08)


@pytest.mark.parametrize("weights", [poisson_counts, swap_masks])
def test_weights_depend_on_seed_and_row_alone(weights: type) -> None:
    whole = weights(3)(1, BLOCK_ROWS, 50)

    assert (weights(3)(1, 10, 50) == whole[:, :10]).all()
    assert (weights(4)(1, BLOCK_ROWS, 50) != whole).any()
    assert (weights(3)(2, BLOCK_ROWS, 50) != whole).any()


@pytest.mark.parametrize("draw", [poisson_counts(7), swap_masks(7)])
@given(cuts=st.lists(st.integers(0, 2500), max_size=6))
def test_chunks_make_no_difference_to_the_last_bit(draw: Draw, cuts: list[int]) -> None:
    rows = np.random.default_rng(0).random((2500, 3))
    whole, pieces = (ReplicateSums(3, 20, draw) for _ in range(2))
    whole.update(rows)
    for part in np.split(rows, sorted(cuts)):
        pieces.update(part)

    assert (whole.result() == pieces.result()).all()


def test_sums_are_those_of_rows_that_count_several_times() -> None:
    rows = np.random.default_rng(0).random((1500, 2))
    draw = poisson_counts(7)
    sums = ReplicateSums(2, 10, draw)
    sums.update(rows)
    weights = [draw(0, BLOCK_ROWS, 10), draw(1, 1500 - BLOCK_ROWS, 10)]

    found = sums.result()

    assert found[0] == pytest.approx(rows.sum(axis=0))
    assert found[1:] == pytest.approx(np.concatenate(weights, axis=1) @ rows, rel=1e-5)


def test_no_rows_have_sums_of_zero() -> None:
    assert (ReplicateSums(2, 5, poisson_counts(0)).result() == np.zeros((6, 2))).all()


@pytest.mark.parametrize(
    ("rows", "labels", "expected"),
    [(3000, 11, 1000), (1_000_000, 100, 400), (1000, 20_000, 139), (10, 1_000_000, 100)],
)
def test_replicates_are_fewer_when_there_is_much(rows: int, labels: int, expected: int) -> None:
    assert num_replicates(rows, labels) == expected


def of_ratio(numerators: np.ndarray, denominators: np.ndarray, units: np.ndarray) -> Estimate:
    generator = np.random.default_rng(0)
    return bootstrapped(numerators[:, None], denominators[:, None], units, generator)[0]


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def test_the_value_is_the_ratio_of_the_sums_and_lies_in_its_interval() -> None:
    found = of_ratio(np.array([1.0, 5.0]), np.array([2.0, 8.0]), np.arange(2))

    low, high = ends(found)
    assert found.value == 0.6
    assert 0.5 <= low <= 0.6 <= high <= 0.625


def test_the_interval_of_a_proportion_is_that_of_the_normal_law() -> None:
    hits = np.random.default_rng(1).random(6000) < 0.3
    found = of_ratio(hits.astype(float), np.ones(6000), np.arange(6000))

    half = 1.96 * np.sqrt(hits.mean() * (1 - hits.mean()) / 6000)
    assert found.value == hits.mean()
    expected = hits.mean() - half, hits.mean() + half
    assert ends(found) == pytest.approx(expected, abs=0.12 * half)


def test_units_of_many_rows_widen_the_interval() -> None:
    generator = np.random.default_rng(2)
    rates = np.repeat(generator.random(50), 40)
    hits = (generator.random(2000) < rates).astype(float)

    by_row = of_ratio(hits, np.ones(2000), np.arange(2000))
    by_document = of_ratio(hits, np.ones(2000), np.repeat(np.arange(50), 40))

    assert by_row.value == by_document.value
    assert np.diff(ends(by_document)) > 2 * np.diff(ends(by_row))


def test_nothing_over_nothing_is_undefined() -> None:
    assert of_ratio(np.zeros(1), np.zeros(1), np.arange(1)) == Estimate(None, None, None)


def test_sums_of_a_few_ones_are_those_of_all_cells() -> None:
    generator = np.random.default_rng(0)
    cells = generator.random((2500, 40)) < 0.05
    dense = ReplicateSums(40, 30, poisson_counts(1))
    dense.update(cells.astype(np.float64))
    sparse = SparseReplicateSums(40, 30, poisson_counts(1))
    for start in range(0, len(cells), 700):
        part = cells[start : start + 700]
        sparse.update(*np.nonzero(part), len(part))

    assert (sparse.result() == dense.result()).all()


def test_rows_without_ones_count_in_no_column() -> None:
    nothing = np.zeros(0, np.int64)
    sums = SparseReplicateSums(3, 5, poisson_counts(0))
    sums.update(nothing, nothing, 1500)

    assert (sums.result() == np.zeros((6, 3))).all()
