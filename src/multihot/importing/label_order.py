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
_MOST_LABELS = 512  # that are compared with each other
_CLEAR_GAIN = 0.15  # of the mean area over the labels that would move
_FITS = 0.65  # the area of a single output for its label, to be named by it
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
    """The same for the order that fits best, believed or not."""
    num_measured: int
    """Labels with enough texts."""
    is_certain: bool = False
    """Whether either half of the texts alone gives the same order, and every output fits its label."""
    least_area: float | None = None
    """The area of the output that fits its own label least."""


def areas(
    scores: FloatArray, truth: FloatArray, *, fewest: int = _FEWEST
) -> npt.NDArray[np.float64]:
    """Return the area under the ROC curve of every output for every label.

    Parameters
    ----------
    scores
        *Shape:* (N, L).
    truth
        0, 1 or NaN (unknown). *Shape:* (N, L).
    fewest
        Texts with a label, and as many without, that an area is computed from.

    Returns
    -------
    areas
        *Shape:* (L, L): outputs, labels. NaN for labels with too few texts.
    """
    found = np.full((scores.shape[1], truth.shape[1]), np.nan)
    known = ~np.isnan(truth)
    # Labels that are known in the same texts share the ranks of the scores.
    patterns, pattern_of = np.unique(known, axis=1, return_inverse=True)
    for number, rows in enumerate(patterns.T):
        labels = np.flatnonzero(pattern_of.reshape(-1) == number)
        positive = truth[np.ix_(rows, labels)] == 1
        num_positive = positive.sum(axis=0)
        num_negative = len(positive) - num_positive
        enough = np.minimum(num_positive, num_negative) >= fewest
        if not enough.any():
            continue
        above = _mean_ranks(scores[rows]).T @ positive - num_positive * (num_positive + 1) / 2
        pairs = np.maximum(num_positive * num_negative, 1)
        found[:, labels] = np.where(enough, above / pairs, np.nan)
    return found


def _mean_ranks(scores: FloatArray) -> npt.NDArray[np.float64]:
    """Return the rank of each score in its column, from 1; equal ones share their mean."""
    ranks = np.empty(scores.shape)
    for column in range(scores.shape[1]):
        _, inverse, counts = np.unique(scores[:, column], return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        ranks[:, column] = (last - (counts - 1) / 2)[inverse.reshape(-1)]
    return ranks


def _most_frequent(truth: FloatArray) -> npt.NDArray[np.int64]:
    """Return the labels that are compared, in their order: those that the most texts have."""
    counts = (truth == 1).sum(axis=0)
    return np.sort(np.argsort(-counts, kind="stable")[:_MOST_LABELS])


def compare_order(scores: FloatArray, truth: FloatArray) -> LabelOrder:
    """Return whether output `n` answers to label `n`, or which one it answers to instead.

    Labels that too few texts have or lack stay where they are. Another order is believed only where the
    one that fits one half of the texts fits the other half clearly better than that as it stands.

    Parameters
    ----------
    scores
        Of the model, before or after the sigmoid. *Shape:* (N, L).
    truth
        0, 1 or NaN (unknown); the columns in the order that is to be compared. *Shape:* (N, L).
    """
    own = tuple(range(scores.shape[1]))
    candidates = _most_frequent(truth)
    scores, truth = scores[:, candidates], truth[:, candidates]
    found = areas(scores, truth)
    halves = [areas(scores[n::2], truth[n::2], fewest=_FEWEST // 2) for n in (0, 1)]
    has_area = ~np.isnan(np.concatenate([found, *halves])).any(axis=0)
    measured = candidates[has_area]
    if not len(measured):
        return LabelOrder("unclear", own, None, None, 0)
    among, *parts = (each[np.ix_(has_area, has_area)] for each in (found, *halves))
    here = np.arange(len(measured))
    best = _assignment(among)
    area, least = float(among.diagonal().mean()), float(among.diagonal().min())
    best_area = float(among[here, best].mean())
    of_parts = [_assignment(part) for part in parts]
    is_same = all((each == best).all() for each in of_parts)
    is_certain = bool(is_same and among[here, best].min() >= _FITS)
    others = zip(of_parts, reversed(parts), strict=True)
    if (best != here).any() and all(_is_better(part, order) for order, part in others):
        column_of = np.arange(len(own))
        column_of[measured] = measured[best]
        moved = tuple(column_of.tolist())
        return LabelOrder("differs", moved, area, best_area, len(measured), is_certain, least)
    verdict = "agrees" if area >= _SOUND else "unclear"
    is_own = is_certain and bool((best == here).all())
    return LabelOrder(verdict, own, area, best_area, len(measured), is_own, least)


def _assignment(found: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the label of each output with the largest sum of areas."""
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    return np.asarray(linear_sum_assignment(found, maximize=True)[1], dtype=np.int64)


def _is_better(found: npt.NDArray[np.float64], order: npt.NDArray[np.int64]) -> bool:
    """Return whether an order fits the areas of other texts clearly better than that as it stands."""
    here = np.arange(len(order))
    moved = order != here
    if not moved.any():
        return False
    gained = (found[here, order] - found[here, here])[moved].mean()
    return bool(gained >= _CLEAR_GAIN and found[here, order][moved].mean() >= _GOOD)
