"""Ranking metrics: definitions by hand, ties, unknown cells, what is undefined."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from multihot.decision.ranking import LabelRanking, ranking_metrics, ranking_per_label
from multihot.errors import LabelError

NAN = np.nan


def column(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, dtype=np.float32)[:, None]


def test_a_perfect_order_is_1_and_the_reverse_has_no_pair_right() -> None:
    truth = column(1, 1, 0)

    assert ranking_per_label(truth, column(0.9, 0.8, 0.1)) == [LabelRanking(1.0, 1.0)]
    assert ranking_per_label(truth, column(0.1, 0.2, 0.9))[0].roc_auc == 0.0


def test_equal_scores_are_half_right() -> None:
    (label,) = ranking_per_label(column(1, 0, 1, 0), column(0.5, 0.5, 0.5, 0.5))

    assert label == LabelRanking(roc_auc=0.5, average_precision=0.5)


def test_a_label_with_one_class_has_no_roc_auc() -> None:
    truth = np.array([[1, 0, NAN], [1, 0, NAN]], dtype=np.float32)

    labels = ranking_per_label(truth, np.full((2, 3), 0.3))

    assert labels == [LabelRanking(None, 1.0), LabelRanking(None, None), LabelRanking(None, None)]


def test_without_any_known_cell_everything_is_undefined() -> None:
    truth = np.full((2, 2), NAN, dtype=np.float32)

    assert set(ranking_metrics(truth, np.zeros((2, 2))).values()) == {None}
    assert set(ranking_metrics(truth[:0], np.zeros((0, 2))).values()) == {None}


def test_unknown_cells_take_no_place_in_a_row() -> None:
    truth = np.array([[1, 0, NAN], [NAN, NAN, NAN]], dtype=np.float32)
    scores = np.array([[0.5, 0.4, 0.9], [0.1, 0.2, 0.3]])

    assert ranking_metrics(truth, scores)["lrap"] == 1.0


def test_unknown_cells_tied_with_known_ones_take_no_place_either() -> None:
    truth = np.array([[NAN, 1, 0, NAN]], dtype=np.float32)
    scores = np.array([[0.5, 0.5, 0.5, 0.5]])

    assert ranking_metrics(truth, scores)["lrap"] == 0.5


def test_wrong_shapes_and_nan_scores_are_refused() -> None:
    with pytest.raises(LabelError, match=r"Truth has shape \(1, 2\) and scores \(1, 3\)"):
        ranking_metrics(np.zeros((1, 2)), np.zeros((1, 3)))
    with pytest.raises(LabelError, match="A score is NaN"):
        ranking_per_label(np.zeros((1, 1)), np.full((1, 1), NAN))
