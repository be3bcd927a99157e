"""Expected calibration error: by hand, against simulation, whatever the order of labels and rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multihot.evaluation.calibration_error import (
    Reliability,
    num_simulations,
    reliability_of,
    reliability_of_bins,
)
from multihot.evaluation.ranking import Ranking, RankingMetrics
from multihot.evaluation.ranking_cells import packed_cells

Array = npt.NDArray[np.float32]


def of_cells(
    truth: npt.ArrayLike, scores: npt.ArrayLike, simulations: int = 0, **options: int
) -> Reliability:
    values, chances = np.asarray(truth, np.float32), np.asarray(scores, np.float32)
    return reliability_of(np.sort(packed_cells(values, chances)), 0, simulations, **options)


def calibrated(num_rows: int, num_labels: int = 3, seed: int = 0) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    scores = generator.beta(0.6, 2, (num_rows, num_labels)).astype(np.float32)
    return (generator.random(scores.shape) < scores).astype(np.float32), scores


def metrics_of(truth: Array, scores: Array, chunk_rows: int = 10_000) -> RankingMetrics:
    ranking = Ranking(*truth.shape, intervals=True)
    for start in range(0, len(truth), chunk_rows):
        rows = slice(start, start + chunk_rows)
        ranking.update(truth[rows], scores[rows])
    return ranking.result()


def test_thirty_cells_are_fifteen_bins_of_two() -> None:
    scores = np.arange(1, 31) / 32
    truth = np.tile([0, 1], 15)
    found = of_cells(truth, scores)

    pairs = np.abs(truth.reshape(15, 2).mean(axis=1) - scores.reshape(15, 2).mean(axis=1))
    assert found.counts.tolist() == [2] * 15
    assert found.error == pytest.approx(pairs.mean())
    assert found.highest == pytest.approx(scores[1::2])


def test_equal_scores_stay_in_one_bin() -> None:
    truth = np.arange(90) % 3 == 0
    found = of_cells(truth, np.full(90, 0.25))

    assert (found.counts.tolist(), found.positives.tolist()) == ([90], [30])
    assert found.error == pytest.approx(1 / 3 - 0.25)


def test_no_cells_have_no_error() -> None:
    empty = of_cells([], [], 20)

    assert (empty.error, empty.error_if_calibrated, empty.to_json()) == (None, None, [])
    nothing = np.zeros(0, np.int64)
    assert reliability_of_bins(nothing, nothing, np.zeros((2, 0)), 0, 5).error is None


def test_calibrated_scores_show_what_is_simulated() -> None:
    found = []
    for seed in range(40):
        truth, scores = calibrated(500, 1, seed)
        found.append(of_cells(truth[:, 0], scores[:, 0], 100))

    errors = [one.error for one in found]
    expected = [one.error_if_calibrated for one in found]
    assert np.mean(errors) == pytest.approx(np.mean(expected), rel=0.1)
    assert 0.03 < np.mean(expected) < 0.06


def test_large_bins_are_simulated_as_exactly_as_small_ones() -> None:
    truth, scores = (values[:, 0] for values in calibrated(20_000, 1))
    small = of_cells(truth, scores, 400).error_if_calibrated

    large = of_cells(truth, scores, 400, few_cells=100).error_if_calibrated

    assert large == pytest.approx(small, rel=0.05)


def test_overconfident_scores_show_more_than_calibrated_ones_would() -> None:
    truth, scores = calibrated(2000)
    found = metrics_of(truth, np.clip(2 * scores, 0, 1)).metrics

    for name in ("expected_calibration_error", "mean_label_ece"):
        error, if_calibrated = found[name], found[f"{name}_if_calibrated"]
        assert error is not None
        assert if_calibrated is not None
        assert error > 3 * if_calibrated


def test_intervals_hold_the_error_and_shrink_with_rows() -> None:
    widths = []
    for num_rows in (300, 4800):
        truth, scores = calibrated(num_rows)
        found = metrics_of(truth, np.clip(1.5 * scores, 0, 1))
        for name in ("expected_calibration_error", "mean_label_ece"):
            low, high = found.intervals[name]
            assert low <= (found.metrics[name] or 0.0) <= high
        widths.append(high - low)
        assert len(found.label_error_intervals) == 3

    assert widths[0] / widths[1] == pytest.approx(4, rel=0.3)


@settings(max_examples=8)
@given(seed=st.integers(0, 1000), chunk_rows=st.integers(1, 70))
def test_chunks_labels_and_unknown_cells_make_no_difference(seed: int, chunk_rows: int) -> None:
    generator = np.random.default_rng(seed)
    truth, scores = calibrated(60, 3, seed)
    truth[generator.random(truth.shape) < 0.2] = np.nan
    whole = metrics_of(truth, scores)

    changed = np.where(np.isnan(truth), generator.random(scores.shape), scores).astype(np.float32)
    assert metrics_of(truth, changed, chunk_rows) == whole
    order = generator.permutation(3)
    permuted = metrics_of(truth[:, order], scores[:, order])
    assert permuted.metrics == pytest.approx(whole.metrics)
    for name, interval in whole.intervals.items():
        assert permuted.intervals[name] == pytest.approx(interval, rel=1e-4, abs=1e-6)
    empty = np.full((5, 3), np.nan, np.float32)
    more = metrics_of(np.concatenate([empty, truth]), np.concatenate([scores[:5], scores]))
    assert more.metrics == whole.metrics
    for name, interval in whole.intervals.items():
        assert more.intervals[name] == pytest.approx(interval)


def test_simulations_are_fewer_when_there_are_many_cells() -> None:
    assert [num_simulations(cells) for cells in (0, 10_000, 200_000, 10**9)] == [200, 200, 83, 20]
