"""Thresholds that are exactly the best for one named goal, on the rows they are fitted on.

Letters: `N` texts, `L` labels. See `threshold_sweep` for how one threshold is found, and for the goals.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.core.goals import Goal
from multihot.decision.objective import as_goal, check_scores, goal_value
from multihot.decision.threshold_sweep import ChangePoints, GroupCounts, best_threshold, resolution
from multihot.errors import OptionError

__all__ = ["fit_global", "fit_per_label"]

FloatArray = npt.NDArray[np.floating]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MAX_ROUNDS = 20  # of coordinate ascent; in practice it stops after three to six


def fit_global(scores: FloatArray, truth: FloatArray, goal: str | Goal) -> float:
    """Return the one threshold for all labels that is best for the goal.

    Every distinct outcome is counted. Among equal optima the threshold nearest to 0.5 is taken, so
    0.5 itself wins ties, and the result is never worse than 0.5 on these rows. Without any known
    positive there is nothing to fit, and 0.5 is returned. Where no threshold meets a least precision
    or recall, the one that comes nearest is taken.

    Parameters
    ----------
    scores
        *Shape:* (N, L), each between 0 and 1.
    truth
        *Shape:* (N, L), each 0, 1 or NaN (unknown; such cells count in nothing).
    goal
        A goal or its text (see `parse_goal`); `top_k` has no thresholds.

    Raises
    ------
    LabelError
        The shapes differ, or a score is not between 0 and 1.
    OptionError
        The goal is unknown, or has no thresholds.
    """
    goal = _checked(scores, truth, goal)
    return _best_common(scores, truth, goal) if (truth == 1).any() else 0.5


def _best_common(scores: FloatArray, truth: FloatArray, goal: Goal) -> float:
    """Return the best threshold for all known cells, of which there must be one."""
    rows, columns = np.nonzero(~np.isnan(truth))
    positive = truth[rows, columns] == 1
    if goal.name in ("micro_f1", "precision", "recall"):
        group = np.zeros_like(rows)
    elif goal.name in ("macro_f1", "cost"):
        group = columns
    else:
        # Numbering only the rows that have a known cell excludes the others.
        group = np.unique(rows, return_inverse=True)[1]
    positives = _sum_by_group(group, positive)
    nothing = np.zeros_like(positives)
    threshold, _ = best_threshold(
        goal,
        ChangePoints(scores[rows, columns], positive, group),
        GroupCounts(true_positives=nothing, predicted=nothing, positives=positives),
    )
    return threshold


def fit_per_label(scores: FloatArray, truth: FloatArray, goal: str | Goal) -> DoubleArray:
    """Return one threshold per label.

    `macro_f1`, costs, and a least precision or recall (asked here of every label alone, see
    `Goal.each_label`) are sums over labels, so each label is fitted alone and the result is the
    optimum. The other goals couple the labels: starting from the global threshold, one label after
    another takes its best threshold given all others, until none improves the goal. Labels without
    a known positive keep the global threshold; for costs they too have an optimum, which is silence.
    Never worse than `fit_global` on these rows.

    Parameters, errors: as for `fit_global`.

    Returns
    -------
    thresholds
        *Shape:* (L,), float64, each above 0 and at most 1.
    """
    goal = as_goal(goal).of_each_label()
    start = fit_global(scores, truth, goal)
    thresholds = np.full(scores.shape[1], start)
    fitted = np.flatnonzero((truth == 1).any(axis=0))
    if goal.is_sum_over_labels:
        if goal.name == "cost" and len(fitted):
            fitted = np.flatnonzero(~np.isnan(truth).all(axis=0))
        for column in fitted:
            alone = scores[:, [column]], truth[:, [column]]
            thresholds[column] = _best_common(*alone, goal.of_label(int(column)))
        return thresholds
    used = ~np.isnan(truth).all(axis=1)
    columns = fitted[_order_of_columns(scores[used][:, fitted], truth[used][:, fitted])]
    return _ascend(goal, scores[used], truth[used], thresholds, columns)


def _order_of_columns(scores: FloatArray, truth: FloatArray) -> IntArray:
    """Return the columns, frequent ones first: an order that no renaming of labels changes."""
    known, positive = ~np.isnan(truth), truth == 1
    # Sums of sorted numbers do not depend on the order of the rows.
    of_all = np.sort(np.where(known, scores, 0.0), axis=0).sum(axis=0, dtype=np.float64)
    of_positive = np.sort(np.where(positive, scores, 0.0), axis=0).sum(axis=0, dtype=np.float64)
    return np.lexsort((of_all, of_positive, -positive.sum(axis=0)))


def _ascend(
    goal: Goal, scores: FloatArray, truth: FloatArray, thresholds: DoubleArray, columns: IntArray
) -> DoubleArray:
    """Improve the thresholds of `columns` one at a time until none improves the goal."""
    thresholds = thresholds.copy()
    known, positive = ~np.isnan(truth), truth == 1
    predicted = known & (scores >= thresholds)
    row_right, row_predicted = (predicted & positive).sum(axis=1), predicted.sum(axis=1)
    group = np.zeros(len(scores), np.int64) if goal.name == "micro_f1" else np.arange(len(scores))
    positives = _sum_by_group(group, positive.sum(axis=1))
    reached = goal_value(scores, truth, thresholds, goal) or 0.0
    for _ in range(_MAX_ROUNDS):
        improved = False
        for column in columns:
            cells, has_label, score = known[:, column], positive[:, column], scores[:, column]
            chosen = cells & (score >= thresholds[column])
            row_right, row_predicted = row_right - (chosen & has_label), row_predicted - chosen
            threshold, value = best_threshold(
                goal,
                ChangePoints(score[cells], has_label[cells], group[cells]),
                GroupCounts(
                    true_positives=_sum_by_group(group, row_right),
                    predicted=_sum_by_group(group, row_predicted),
                    positives=positives,
                ),
            )
            if value > reached + resolution(len(positives)):
                improved, reached, thresholds[column] = True, value, threshold
                chosen = cells & (score >= threshold)
            row_right, row_predicted = row_right + (chosen & has_label), row_predicted + chosen
        if not improved:
            break
    return thresholds


def _sum_by_group(group: IntArray, counts: npt.NDArray[np.int64 | np.bool_]) -> IntArray:
    return np.bincount(group, weights=counts).astype(np.int64)


def _checked(scores: FloatArray, truth: FloatArray, goal: str | Goal) -> Goal:
    goal = as_goal(goal)
    if goal.name == "top_k":
        raise OptionError(f"The goal {goal} takes labels by rank; there are no thresholds to fit.")
    check_scores(scores, truth)
    return goal
