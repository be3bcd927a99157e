"""Sums over rows give the metrics that counts give; losses equal scikit-learn's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from multihot.decision.counts import Counts
from multihot.evaluation.ranking import Ranking
from multihot.evaluation.ranking_exact import lrap_shares
from multihot.evaluation.row_statistics import (
    METRICS_OF_SUMS,
    Losses,
    label_counts,
    label_figures,
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


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), unknown=st.sampled_from([0.0, 0.2, 0.95]))
def test_the_metrics_of_sums_are_those_of_counts(seed: int, unknown: float) -> None:
    truth, scores = cells(seed, unknown=unknown)
    counts, ranking, losses = Counts(4), Ranking(40, 4), Losses()
    counts.update(truth, scores > 0.5)
    ranking.update(truth, scores)
    losses.update(truth, scores)
    expected = {**counts.metrics(), **ranking.result().metrics, **losses.metrics()}

    sums = row_statistics(truth, scores > 0.5, scores).sum(axis=0)[None]

    found = metrics_of_sums(sums)
    assert tuple(found) == METRICS_OF_SUMS
    assert sums.shape == (1, num_statistics(4))
    for name, values in found.items():
        value = expected[name]
        assert values[0] == pytest.approx(np.nan if value is None else value, nan_ok=True), name
    figures = label_figures(sums)
    for column, label in enumerate(counts.per_label()):
        for name in ("precision", "recall", "f1"):
            value = getattr(label, name)
            wanted = np.nan if value is None else value
            assert figures[name][0, column] == pytest.approx(wanted, nan_ok=True)
    events = counts.true_positive + counts.false_positive + counts.false_negative
    assert label_counts(sums)[0].tolist() == events.tolist()


def test_losses_are_those_of_scikit_learn_also_for_scores_of_zero_and_one() -> None:
    truth, scores = cells(1, num_rows=300, unknown=0.1)
    scores[:20] = np.round(scores[:20])
    known = ~np.isnan(truth)
    losses = Losses()
    for start in range(0, 300, 7):
        losses.update(truth[start : start + 7], scores[start : start + 7])

    whole = Losses()
    whole.update(truth, scores)
    assert losses.metrics() == whole.metrics()
    assert whole.metrics() == pytest.approx(
        {
            "brier_score": brier_score_loss(truth[known], scores[known]),
            "log_loss": log_loss(truth[known], scores[known]),
        },
        rel=1e-6,
    )


def test_without_a_known_cell_there_is_no_loss() -> None:
    losses = Losses()
    nothing = np.full((3, 2), np.nan, np.float32)
    losses.update(nothing, np.zeros((3, 2), np.float32))

    assert losses.metrics() == {"brier_score": None, "log_loss": None}
    assert row_statistics(nothing, nothing > 0, np.zeros((3, 2), np.float32)).shape == (0, 15)
    assert all(np.isnan(v[0]) for v in metrics_of_sums(np.zeros((1, 15))).values())


def test_lrap_by_hand() -> None:
    truth = np.array([[1, 0, 1], [0, 0, 0], [np.nan] * 3, [1, 1, np.nan]], np.float32)
    scores = np.array([[0.9, 0.8, 0.7], [0.1, 0.2, 0.3], [0, 0, 0], [0.1, 0.2, 0.9]], np.float32)

    assert lrap_shares(truth, scores) == pytest.approx([(1 + 2 / 3) / 2, 1, 1])
