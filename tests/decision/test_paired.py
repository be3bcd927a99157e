"""Differences of two models on the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from multihot.decision.metrics import Counts
from multihot.decision.paired import COUNT_METRICS, paired_difference, weighted_metric
from multihot.errors import LabelError


def _rows(num_rows: int, seed: int, *, unknown: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_rows, 4)) < [0.5, 0.3, 0.05, 0.0]).astype(np.float32)
    predicted = np.where(generator.random(truth.shape) < 0.7, truth == 1, truth == 0)
    predicted[:, 3] = False  # a label that occurs nowhere
    truth[generator.random(truth.shape) < unknown] = np.nan
    truth[:, 0] = np.nan_to_num(truth[:, 0])  # every row counts
    return truth, predicted


@pytest.mark.parametrize("metric", COUNT_METRICS)
@pytest.mark.parametrize("seed", range(3))
def test_a_weighted_metric_is_the_metric_of_repeated_rows(metric: str, seed: int) -> None:
    truth, predicted = _rows(30, seed)
    weights = np.random.default_rng(seed + 10).integers(0, 4, (5, 30))
    found = weighted_metric(metric, truth, predicted)(weights.astype(float))

    for value, row in zip(found, weights, strict=True):
        counts = Counts(4)
        counts.update(np.repeat(truth, row, axis=0), np.repeat(predicted, row, axis=0))
        assert value == pytest.approx(counts.metrics()[metric])


def test_every_count_metric_of_a_report_is_known() -> None:
    assert set(COUNT_METRICS) == set(Counts(1).metrics())


def test_the_metric_of_nothing_is_undefined() -> None:
    truth, predicted = np.zeros((2, 1), np.float32), np.zeros((2, 1), bool)
    found = paired_difference(
        truth, predicted, predicted, metric="micro_f1", generator=np.random.default_rng(0)
    )

    assert (found.first, found.difference, found.low, found.share_above_zero) == (None,) * 4
    assert not found.is_clear


def test_a_model_does_not_differ_from_itself() -> None:
    truth, predicted = _rows(50, 0)
    found = paired_difference(
        truth, predicted, predicted, metric="jaccard", generator=np.random.default_rng(0)
    )

    assert (found.difference, found.low, found.high, found.share_above_zero) == (0, 0, 0, 0)
    assert not found.is_clear


def test_a_better_model_is_clearly_better_and_turned_round_clearly_worse() -> None:
    truth, worse = _rows(400, 1, unknown=0.0)
    better = np.where(np.random.default_rng(5).random(truth.shape) < 0.5, truth == 1, worse)

    def compare(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
        found = paired_difference(
            truth, first, second, metric="macro_f1", generator=np.random.default_rng(0)
        )
        assert found.is_clear
        assert found.difference is not None
        assert found.low is not None
        assert found.high is not None
        return found.low, found.difference, found.high

    one, other = compare(better, worse), compare(worse, better)
    assert 0 < one[0] < one[1] < one[2]
    assert other == pytest.approx([-one[2], -one[1], -one[0]])


def test_pairing_takes_out_what_both_find_hard() -> None:
    generator = np.random.default_rng(0)
    truth = np.ones((500, 1), np.float32)
    first = generator.random((500, 1)) < 0.5  # half of the rows are hard for both
    second = first.copy()
    second[np.flatnonzero(first)[:5]] = False
    found = paired_difference(
        truth, first, second, metric="subset_accuracy", generator=np.random.default_rng(0)
    )

    assert found.difference == pytest.approx(0.01)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low < 0.02  # unpaired: about 0.12


def test_the_interval_is_that_of_the_ordinary_bootstrap() -> None:
    truth, first = _rows(60, 3, unknown=0.0)
    second = np.roll(first, 1, axis=0)
    found = paired_difference(
        truth, first, second, metric="jaccard", generator=np.random.default_rng(1)
    )
    generator, drawn = np.random.default_rng(2), []
    for _ in range(2000):
        rows = generator.integers(0, 60, 60)
        values = []
        for predicted in (first, second):
            counts = Counts(4)
            counts.update(truth[rows], predicted[rows])
            values.append(counts.metrics()["jaccard"] or 0.0)
        drawn.append(values[0] - values[1])

    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.015)


def test_rows_without_a_known_cell_are_left_out() -> None:
    truth, first = _rows(20, 4, unknown=0.0)
    empty = np.full((5, 4), np.nan, np.float32)
    both = [
        paired_difference(
            rows, cells, ~cells, metric="micro_f1", generator=np.random.default_rng(0)
        )
        for rows, cells in (
            (truth, first),
            (np.concatenate([truth, empty]), np.concatenate([first, first[:5]])),
        )
    ]

    assert both[0] == both[1]
    assert both[0].rows == 20


def test_no_rows_at_all_are_undefined() -> None:
    none = np.zeros((0, 2), np.float32)
    found = paired_difference(
        none, none == 1, none == 1, metric="jaccard", generator=np.random.default_rng(0)
    )

    assert (found.rows, found.difference, found.low) == (0, None, None)


def test_wrong_shapes_and_metrics_are_refused() -> None:
    truth, first = _rows(5, 0)
    generator = np.random.default_rng(0)

    with pytest.raises(LabelError, match=r"expected \(rows, labels\) for all three"):
        paired_difference(truth, first, first[:4], metric="jaccard", generator=generator)
    with pytest.raises(LabelError, match="There is no metric 'lrap'; known: jaccard"):
        paired_difference(truth, first, first, metric="lrap", generator=generator)
