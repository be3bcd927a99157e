"""Thresholds of single labels that are pulled towards the global one.

Shrunk thresholds follow it where few rows support one of their own. Thresholds by frequency are one
fitted number, moved for each label by how rare the label is: a measure such as Jaccard is served best
by thresholds at which rare labels are hardly ever given, so a part T of the log odds of each label's
frequency is taken out of its logit before the one threshold is fitted (the post-hoc logit adjustment
of Menon et al. 2021, section 5.1, label by label). T = 0 is the global threshold; at 1 a text that
says nothing is as near to a rare label as to a frequent one.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from multihot.core.blocks import row_blocks
from multihot.core.goals import Goal
from multihot.core.numeric import frequency_logit, logit, sigmoid
from multihot.decision.counts import Counts
from multihot.decision.objective import counted_value, goal_value
from multihot.decision.scored_cells import ScoredCells
from multihot.decision.thresholds import fit_global, global_threshold, label_thresholds

__all__ = ["STRENGTHS", "blend", "fit_by_frequency", "fit_shrunk"]

STRENGTHS = (0.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, math.inf)
"""How many positive rows the global threshold counts as: 0 is `per_label`, infinity is `global`."""

FloatArray = npt.NDArray[np.floating]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def fit_shrunk(cells: ScoredCells, goal: Goal, folds: IntArray) -> tuple[DoubleArray, float]:
    """Return one threshold per label and the strength of shrinkage that they were fitted with.

    The strength is the one of `STRENGTHS` that is best on rows that did not fit the thresholds, the
    larger of equals. Strengths that are worse than the global threshold on these rows are left out,
    so the result is never worse than `fit_global` here, nor in the cross-fitted value than
    `fit_global` or `fit_per_label`.

    Parameters
    ----------
    cells
        With a positive.
    goal
        Of each label.
    folds
        The fold of each row. *Shape:* (N,).

    Returns
    -------
    (thresholds, strength)
        *Shape:* (L,), float64; a number 0 to infinity.
    """
    scores, truth = cells.scores, cells.truth
    common, own = global_threshold(cells, goal), label_thresholds(cells, goal)
    support = (truth == 1).sum(axis=0)
    candidates = [blend(own, common, support, strength) for strength in STRENGTHS]
    values = [goal_value(scores, truth, thresholds, goal) or 0.0 for thresholds in candidates]
    outside = _cross_fitted(scores, truth, goal, folds)
    least = goal_value(scores, truth, common, goal) or 0.0
    best = max(
        (number for number, value in enumerate(values) if value >= least),
        key=lambda number: (outside[number], number),
    )
    return candidates[best], STRENGTHS[best]


def blend(own: DoubleArray, common: float, support: IntArray, strength: float) -> DoubleArray:
    """Return thresholds between a label's own and the common one, weighted by support.

    The weight of its own is n / (n + strength) for n positives, and the mean is taken of logits.
    *Shapes:* (L,).
    """
    if strength == 0:
        return own
    if math.isinf(strength):
        return np.full(own.shape, common)
    weight = support / (support + strength)
    inside, common_inside = (np.clip(each, 1e-7, 1 - 1e-7) for each in (own, np.array([common])))
    mean = weight * logit(inside) + (1 - weight) * logit(common_inside)
    between = sigmoid(mean, np.float64).astype(np.float32).astype(np.float64)
    # Where both are one number the rounding of the logits must not move it.
    return np.where(own == common, own, between)


def _cross_fitted(
    scores: FloatArray, truth: FloatArray, goal: Goal, folds: IntArray
) -> list[float]:
    """Return what each strength reaches on rows that did not fit the thresholds."""
    counts = [Counts(truth.shape[1]) for _ in STRENGTHS]
    for fold in np.unique(folds):
        held_out, rest = folds == fold, folds != fold
        part = ScoredCells(scores[rest], truth[rest])
        common, own = global_threshold(part, goal), label_thresholds(part, goal)
        support = (part.truth == 1).sum(axis=0)
        del part
        for each, strength in zip(counts, STRENGTHS, strict=True):
            thresholds = blend(own, common, support, strength)
            for rows in row_blocks(scores.shape):
                some = held_out[rows]
                each.update(truth[rows][some], scores[rows][some] >= thresholds)
    values = (counted_value(each, goal) for each in counts)
    return [-math.inf if value is None else value for value in values]


def fit_by_frequency(
    scores: FloatArray, truth: FloatArray, goal: str | Goal, fraction: float
) -> DoubleArray:
    """Return one threshold per label, all from one number that is best for the goal.

    Parameters
    ----------
    scores, truth, goal
        As for `fit_global`.
    fraction
        How much of the log odds of a label's frequency in `truth` its threshold follows, 0 to 1.

    Returns
    -------
    thresholds
        *Shape:* (L,), float64, each above 0 and at most 1; 0.5 without any known positive.
    """
    if not (truth == 1).any():
        return np.full(truth.shape[1], 0.5)
    positives, negatives = (truth == 1).sum(axis=0), (truth == 0).sum(axis=0)
    shift = fraction * frequency_logit(positives, positives + negatives)
    common = fit_global(_moved(scores, -shift), truth, goal)
    return _moved(np.array(common), shift).astype(np.float32).astype(np.float64)


def _moved(probabilities: FloatArray, shift: DoubleArray) -> DoubleArray:
    """Return probabilities with their logits moved, kept so far from 0 and 1 that float32 holds them."""
    if probabilities.ndim < 2:
        return sigmoid(np.clip(logit(probabilities) + shift, -30.0, 30.0), np.float64)
    moved = np.empty(probabilities.shape)
    for rows in row_blocks(moved.shape):
        moved[rows] = sigmoid(np.clip(logit(probabilities[rows]) + shift, -30.0, 30.0), np.float64)
    return moved
