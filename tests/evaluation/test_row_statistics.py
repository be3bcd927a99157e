"""Metrics of sums over rows: equal to the exact ones, which equal scikit-learn's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from multihot.evaluation import row_statistics as module
from multihot.evaluation.ranking_cells import ranking_precisions
from multihot.evaluation.row_statistics import (
    METRICS_OF_SUMS,
    SummedMetrics,
    f1_of_labels,
    label_counts,
    metrics_of_sums,
    num_statistics,
    row_statistics,
)

Array = npt.NDArray[np.float32]


def cells(seed: int, num_rows: int = 40, unknown: float = 0.2) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_rows, 4)) < [0.5, 0.3, 0.1, 0.0]).astype(np.float32)
    truth[generator.random(truth.shape) < unknown] = np.nan
    scores = generator.random(truth.shape).astype(np.float32)
    scores[:, 3] = 0.0  # a label that no row has or gets
    return truth, scores


def summed(truth: Array, scores: Array, chunk_rows: int = 1000) -> SummedMetrics:
    found = SummedMetrics(truth.shape[1])
    for start in range(0, len(truth), chunk_rows):
        rows = slice(start, start + chunk_rows)
        found.update(truth[rows], scores[rows] > 0.5, scores[rows])
    return found


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), unknown=st.sampled_from([0.0, 0.2, 0.95]))
def test_sums_over_rows_give_the_exact_metrics(seed: int, unknown: float) -> None:
    truth, scores = cells(seed, unknown=unknown)
    exact = summed(truth, scores)

    sums = row_statistics(truth, scores > 0.5, scores).sum(axis=0)[None]

    found = metrics_of_sums(sums)
    assert tuple(found) == tuple(exact.metrics()) == METRICS_OF_SUMS
    assert sums.shape == (1, num_statistics(4))
    for name, value in exact.metrics().items():
        wanted = np.nan if value is None else value
        assert found[name][0] == pytest.approx(wanted, abs=1e-9, nan_ok=True), name
    f1 = [np.nan if label.f1 is None else label.f1 for label in exact.counts.per_label()]
    assert f1_of_labels(sums)[0] == pytest.approx(f1, nan_ok=True)
    counts = exact.counts
    cells_of_labels = counts.true_positive + counts.false_positive + counts.false_negative
    assert label_counts(sums)[0].tolist() == cells_of_labels.tolist()


@pytest.mark.parametrize("chunk_rows", [1, 7, 64])
def test_neither_chunks_nor_order_change_a_metric_to_the_last_bit(chunk_rows: int) -> None:
    truth, scores = cells(2, num_rows=200)

    assert summed(truth, scores).metrics() == summed(truth, scores, chunk_rows).metrics()
    assert summed(truth[::-1], scores[::-1], 7).metrics() == summed(truth, scores).metrics()


def test_losses_are_those_of_scikit_learn_also_for_scores_of_zero_and_one() -> None:
    truth, scores = cells(1, num_rows=300, unknown=0.1)
    scores[:20] = np.round(scores[:20])
    known = ~np.isnan(truth)

    found = summed(truth, scores).metrics()

    brier, log = (found[name] for name in ("brier_score", "log_loss"))
    assert brier == pytest.approx(brier_score_loss(truth[known], scores[known]), rel=1e-6)
    assert log == pytest.approx(log_loss(truth[known], scores[known]), rel=1e-6)


def test_without_a_known_cell_every_metric_is_undefined() -> None:
    nothing = np.full((3, 2), np.nan, np.float32)
    zeros = np.zeros((3, 2), np.float32)

    assert set(summed(nothing, zeros).metrics().values()) == {None}
    assert row_statistics(nothing, zeros > 0, zeros).shape == (0, 15)
    assert all(np.isnan(v[0]) for v in metrics_of_sums(np.zeros((1, 15))).values())


def test_unknown_cells_take_no_rank_in_a_row_also_where_they_are_tied() -> None:
    truth = np.array([[1, 0, np.nan], [np.nan] * 3], np.float32)
    scores = np.array([[0.5, 0.4, 0.9], [0.1, 0.2, 0.3]], np.float32)
    tied = np.array([[np.nan, 1, 0, np.nan]], np.float32)

    assert ranking_precisions(truth, scores).tolist() == [1.0]
    assert ranking_precisions(tied, np.full((1, 4), 0.5, np.float32)).tolist() == [0.5]


def test_ranking_precision_by_hand() -> None:
    truth = np.array([[1, 0, 1], [0, 0, 0], [np.nan] * 3, [1, 1, np.nan]], np.float32)
    scores = np.array([[0.9, 0.8, 0.7], [0.1, 0.2, 0.3], [0, 0, 0], [0.1, 0.2, 0.9]], np.float32)

    assert ranking_precisions(truth, scores) == pytest.approx([(1 + 2 / 3) / 2, 1, 1])


@pytest.mark.parametrize("decimals", [1, 7])
def test_of_many_labels_the_few_true_ones_find_their_rank(decimals: int) -> None:
    generator = np.random.default_rng(decimals)
    truth = (generator.random((40, 600)) < 0.01).astype(np.float32)
    truth[generator.random(truth.shape) < 0.05] = np.nan
    scores = generator.random(truth.shape).round(decimals).astype(np.float32)
    many = np.concatenate([np.ones((40, 20), np.float32), truth], axis=1)
    low = np.concatenate([np.zeros((40, 20), np.float32) - 1, scores], axis=1)

    found = ranking_precisions(truth, scores)

    # Twenty true labels below all others make the other way of counting: they only add their own terms.
    num_true, known = (truth == 1).sum(axis=1), (~np.isnan(truth)).sum(axis=1)
    added = np.array(
        [(count + 20) / (all_ + 20) * 20 for count, all_ in zip(num_true, known, strict=True)]
    )
    expected = (ranking_precisions(many, low) * (num_true + 20) - added) / np.maximum(num_true, 1)
    np.testing.assert_allclose(found, np.where(num_true > 0, expected, 1.0), rtol=1e-12)


def test_intervals_of_many_labels_differ_by_rounding_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, scores = cells(3, num_rows=1300)

    def intervals() -> dict[str, tuple[float, float]]:
        found = SummedMetrics(truth.shape[1], 100, seed=1)
        for start in range(0, len(truth), 300):
            rows = slice(start, start + 300)
            found.update(truth[rows], scores[rows] > 0.5, scores[rows])
        return found.intervals()

    expected = intervals()
    monkeypatch.setattr(module, "_MANY_LABELS", 1)
    many = intervals()

    assert many.keys() == expected.keys()
    assert many["macro_f1"] == expected["macro_f1"]  # of counts, which are exact
    for name, ends in expected.items():
        assert many[name] == pytest.approx(ends, rel=1e-6)
