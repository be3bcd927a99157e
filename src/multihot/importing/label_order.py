"""Which output of a model answers to which label, as its scores on labelled texts show.

An output that was trained on a label ranks the texts that have it before the others: its area under
the ROC curve (AUC) for that label is far above 0.5, and for others seldom. So outputs and labels are
assigned to each other by the largest sum of these areas (the Hungarian method).

Letters: `N` texts, `L` labels and as many outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LabelOrder", "areas", "compare_order"]

FloatArray = npt.NDArray[np.float32]

_FEWEST = 8  # texts with a label, and as many without, that an area is computed from
_CLEAR_GAIN = 0.15  # of the mean area over the labels that would move
_GOOD, _SOUND = 0.75, 0.6  # mean areas: to believe another order, and to believe this one


@dataclass(frozen=True)
class LabelOrder:
    """Whether outputs answer to the labels that they are said to."""

    verdict: str
    """`agrees`, `differs` or `unclear`."""
    column_of: tuple[int, ...]
    """By output: the label that its scores fit best; with `agrees` and `unclear` its own number."""
    area: float | None
    """Mean area of each output for its own label; `None` where too few texts have or lack the labels."""
    best_area: float | None
    """The same for `column_of`."""
    num_measured: int
    """Labels with enough texts."""


def areas(scores: FloatArray, truth: FloatArray) -> npt.NDArray[np.float64]:
    """Return the area under the ROC curve of every output for every label.

    Parameters
    ----------
    scores
        *Shape:* (N, L).
    truth
        0, 1 or NaN (unknown). *Shape:* (N, L).

    Returns
    -------
    areas
        *Shape:* (L, L): outputs, labels. NaN for labels with too few texts.
    """
    num_outputs, num_labels = scores.shape[1], truth.shape[1]
    found = np.full((num_outputs, num_labels), np.nan)
    for label in range(num_labels):
        known = ~np.isnan(truth[:, label])
        positive = truth[known, label] == 1
        num_positive = int(positive.sum())
        num_negative = len(positive) - num_positive
        if min(num_positive, num_negative) < _FEWEST:
            continue
        ranks = _mean_ranks(scores[known])
        above = ranks[positive].sum(axis=0) - num_positive * (num_positive + 1) / 2
        found[:, label] = above / (num_positive * num_negative)
    return found


def _mean_ranks(scores: FloatArray) -> npt.NDArray[np.float64]:
    """Return the rank of each score in its column, from 1; equal ones share their mean."""
    ranks = np.empty(scores.shape)
    for column in range(scores.shape[1]):
        _, inverse, counts = np.unique(scores[:, column], return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        ranks[:, column] = (last - (counts - 1) / 2)[inverse.reshape(-1)]
    return ranks


def compare_order(scores: FloatArray, truth: FloatArray) -> LabelOrder:
    """Return whether output `n` answers to label `n`, or which one it answers to instead.

    Labels that too few texts have or lack stay where they are.

    Parameters
    ----------
    scores
        Of the model, before or after the sigmoid. *Shape:* (N, L).
    truth
        0, 1 or NaN (unknown); the columns in the order that is to be compared. *Shape:* (N, L).
    """
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    found = areas(scores, truth)
    measured = np.flatnonzero(~np.isnan(found).any(axis=0))
    own = tuple(range(scores.shape[1]))
    if not len(measured):
        return LabelOrder("unclear", own, None, None, 0)
    among = found[np.ix_(measured, measured)]
    best = np.asarray(linear_sum_assignment(among, maximize=True)[1])
    here = np.arange(len(measured))
    area, best_area = float(among.diagonal().mean()), float(among[here, best].mean())
    moved = best != here
    if moved.any():
        gained = float((among[here, best] - among[here, here])[moved].mean())
        if gained >= _CLEAR_GAIN and float(among[here, best][moved].mean()) >= _GOOD:
            column_of = np.arange(scores.shape[1])
            column_of[measured] = measured[best]
            order = tuple(column_of.tolist())
            return LabelOrder("differs", order, area, best_area, len(measured))
    verdict = "agrees" if area >= _SOUND else "unclear"
    return LabelOrder(verdict, own, area, area, len(measured))
