"""Metrics of the order of scores, for which no threshold is needed; exact, also with tied scores.

Letters: `N` texts, `L` labels, `C` known cells. Truth is float32 (N, L) with 1 = has the label,
0 = has it not, NaN = unknown; unknown cells count in nothing. What is undefined is `None`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.errors import LabelError

__all__ = ["LabelRanking", "ranking_metrics", "ranking_per_label"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class LabelRanking:
    """How well one label's scores order the texts."""

    roc_auc: float | None
    """None unless some known cells have the label and some have it not."""
    average_precision: float | None
    """None unless some known cells have the label."""


def ranking_per_label(truth: FloatArray, scores: FloatArray) -> list[LabelRanking]:
    """Return area under the ROC curve and average precision of each label, in column order.

    Parameters
    ----------
    truth
        *Shape:* (N, L), each 0, 1 or NaN (unknown).
    scores
        *Shape:* (N, L); larger means more likely.

    Raises
    ------
    LabelError
        The shapes differ, or a score is NaN.
    """
    _check(truth, scores)
    known = ~np.isnan(truth)
    return [
        _ranking(column_truth[cells] == 1, column_scores[cells])
        for column_truth, column_scores, cells in zip(truth.T, scores.T, known.T, strict=True)
    ]


def ranking_metrics(truth: FloatArray, scores: FloatArray) -> dict[str, float | None]:
    """Return `lrap`, `mean_average_precision`, `micro_roc_auc` and `macro_roc_auc`.

    The means over labels leave out the labels for which the value is undefined. `lrap` is label
    ranking average precision, the mean over texts of the share of true labels among those scored at
    least as high as each true label (Tsoumakas, Katakis, Vlahavas 2010, section 7.2); a text whose
    known labels are all true or all false counts 1, one with no known cell is left out.

    Parameters, errors: as for `ranking_per_label`.
    """
    labels = ranking_per_label(truth, scores)
    known = ~np.isnan(truth)
    return {
        "lrap": _lrap(truth, scores),
        "mean_average_precision": _mean([label.average_precision for label in labels]),
        "micro_roc_auc": _ranking(truth[known] == 1, scores[known]).roc_auc,
        "macro_roc_auc": _mean([label.roc_auc for label in labels]),
    }


def _ranking(positive: BoolArray, scores: FloatArray) -> LabelRanking:
    """Return both metrics of one list of cells. *Shapes:* (C,)."""
    order = np.argsort(-scores, kind="stable")
    positive, scores = positive[order], scores[order]
    # Cells of equal score can only be accepted together: one step of the curves per distinct score.
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True)[: len(scores)])
    hits = np.cumsum(positive)[last]
    gained = np.diff(hits, prepend=0)
    lost = np.diff(last + 1, prepend=0) - gained
    num_positive, num_negative = int(gained.sum()), int(lost.sum())
    if not num_positive:
        return LabelRanking(roc_auc=None, average_precision=None)
    average_precision = float((gained * (hits / (last + 1))).sum() / num_positive)
    if not num_negative:
        return LabelRanking(roc_auc=None, average_precision=average_precision)
    # Twice the number of (positive, negative) pairs in the right order, a tied pair counting one.
    right = int((lost * (2 * hits - gained)).sum())
    return LabelRanking(right / (2 * num_positive * num_negative), average_precision)


def _lrap(truth: FloatArray, scores: FloatArray) -> float | None:
    used = ~np.isnan(truth).all(axis=1)
    truth, scores = truth[used], scores[used]
    if not len(truth):
        return None
    # Unknown cells sort last in each row, where they are counted by no cell before them.
    order = np.lexsort((-scores, np.isnan(truth)), axis=1)
    truth, scores = np.take_along_axis(truth, order, 1), np.take_along_axis(scores, order, 1)
    known, positive = ~np.isnan(truth), truth == 1
    num_labels = truth.shape[1]
    is_last = np.ones(truth.shape, dtype=np.bool_)
    is_last[:, :-1] = (scores[:, 1:] != scores[:, :-1]) | (known[:, 1:] != known[:, :-1])
    # The last position with the same score: the nearest marked one, seen from the right.
    last = np.where(is_last, np.arange(num_labels), num_labels)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    true_above = np.take_along_axis(np.cumsum(positive, axis=1), last, 1)
    num_true = positive.sum(axis=1)
    shares = (positive * true_above / (last + 1)).sum(axis=1) / np.maximum(num_true, 1)
    return float(np.where(num_true > 0, shares, 1.0).mean())


def _mean(values: list[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None


def _check(truth: FloatArray, scores: FloatArray) -> None:
    if truth.ndim != 2 or truth.shape != scores.shape:
        raise LabelError(
            f"Truth has shape {truth.shape} and scores {scores.shape}; "
            "expected (rows, labels) for both."
        )
    if np.isnan(scores).any():
        raise LabelError("A score is NaN; expected a number for every text and label.")
