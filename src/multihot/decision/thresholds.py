"""Thresholds that are exactly the best for one named goal, on the rows they are fitted on.

Letters: `N` texts, `L` labels. See `threshold_sweep` for how one threshold is found, and for the goals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.goals import Goal
from multihot.decision.column_sweep import (
    BLOCK_CELLS,
    RowCounts,
    SortedColumns,
    best_alone,
    best_beside,
)
from multihot.decision.micro_f1_ascent import ascend_micro_f1
from multihot.decision.objective import as_goal, check_scores, goal_value
from multihot.decision.threshold_sweep import ChangePoints, GroupCounts, best_threshold, resolution
from multihot.errors import OptionError

__all__ = ["MAX_ROUNDS", "fit_global", "fit_per_label"]

FloatArray = npt.NDArray[np.floating]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_FIRST_BLOCK = 4  # columns that are tried at once at first
_MAX_SORTED_CELLS = 1 << 22  # of about 50 bytes each

MAX_ROUNDS = 20
"""Rounds of coordinate ascent; in practice it stops after three to six."""


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


def fit_per_label(
    scores: FloatArray, truth: FloatArray, goal: str | Goal, *, max_rounds: int = MAX_ROUNDS
) -> DoubleArray:
    """Return one threshold per label.

    `macro_f1`, costs, and a least precision or recall (asked here of every label alone, see
    `Goal.each_label`) are sums over labels, so each label is fitted alone and the result is the
    optimum. The other goals couple the labels: starting from the global threshold, one label after
    another takes its best threshold given all others, until none improves the goal. Labels without
    a known positive keep the global threshold; for costs they too have an optimum, which is silence.
    Never worse than `fit_global` on these rows.

    Parameters, errors: as for `fit_global`; `max_rounds` bounds how often the labels are gone through.

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
        of_fitted = goal if len(goal.costs) < 2 else replace(goal, costs=_some(goal.costs, fitted))
        thresholds[fitted] = best_alone(of_fitted, scores[:, fitted], truth[:, fitted])
        return thresholds
    used = ~np.isnan(truth).all(axis=1)
    columns = fitted[_order_of_columns(scores[used][:, fitted], truth[used][:, fitted])]
    return _ascend(goal, scores[used], truth[used], thresholds, columns, max_rounds=max_rounds)


def _order_of_columns(scores: FloatArray, truth: FloatArray) -> IntArray:
    """Return the columns, frequent ones first: an order that no renaming of labels changes."""
    known, positive = ~np.isnan(truth), truth == 1
    # Sums of sorted numbers do not depend on the order of the rows.
    of_all = np.sort(np.where(known, scores, 0.0), axis=0).sum(axis=0, dtype=np.float64)
    of_positive = np.sort(np.where(positive, scores, 0.0), axis=0).sum(axis=0, dtype=np.float64)
    return np.lexsort((of_all, of_positive, -positive.sum(axis=0)))


def _ascend(
    goal: Goal,
    scores: FloatArray,
    truth: FloatArray,
    thresholds: DoubleArray,
    columns: IntArray,
    *,
    max_rounds: int,
) -> DoubleArray:
    """Improve the thresholds of `columns` one at a time until none improves the goal.

    Several columns are tried at once; what was found for those behind one that improves is thrown away.
    """
    known, positive = ~np.isnan(truth), truth == 1
    predicted = known & (scores >= thresholds)
    counts = RowCounts(
        (predicted & positive).sum(axis=1), predicted.sum(axis=1), positive.sum(axis=1)
    )
    reached = goal_value(scores, truth, thresholds, goal) or 0.0
    thresholds, least = thresholds.copy(), resolution(1 if goal.name == "micro_f1" else len(scores))
    sorted_columns = _sorted_columns(scores, truth, columns)
    most = max(1, BLOCK_CELLS // (len(scores) + 1))
    if goal.name == "micro_f1":
        blocks = (sorted_columns(slice(at, at + most)) for at in range(0, len(columns), most))
        changed = ascend_micro_f1(
            predicted, positive, columns, blocks, reached=reached, max_rounds=max_rounds
        )
        if changed is not None:
            thresholds[list(changed)] = list(changed.values())
            return thresholds
    for _ in range(max_rounds):
        improved, start, size = False, 0, _FIRST_BLOCK
        while start < len(columns):
            tried = columns[start : start + size]
            block = sorted_columns(slice(start, start + size))
            chosen = block.known & (scores[:, tried] >= thresholds[tried])
            found, values = best_beside(goal, block, chosen, counts)
            better = np.flatnonzero(values > reached + least)
            if not len(better):
                start, size = start + len(tried), min(2 * size, most)
                continue
            first = int(better[0])
            column, has_label = tried[first], block.positive[:, first]
            improved, reached, thresholds[column] = True, float(values[first]), found[first]
            counts.turn(chosen[:, first], has_label, -1)
            counts.turn(block.known[:, first] & (scores[:, column] >= found[first]), has_label, 1)
            start, size = start + first + 1, min(2 * (first + 1), most)
        if not improved:
            break
    return thresholds


def _sorted_columns(
    scores: FloatArray, truth: FloatArray, columns: IntArray
) -> Callable[[slice], SortedColumns]:
    """Return what gives some of the columns sorted; they are sorted at once, unless there are many."""
    if len(scores) * len(columns) <= _MAX_SORTED_CELLS:
        return SortedColumns.of_cells(scores[:, columns], truth[:, columns]).columns

    def block(part: slice) -> SortedColumns:
        return SortedColumns.of_cells(scores[:, columns[part]], truth[:, columns[part]])

    return block


def _some(costs: tuple[tuple[float, float], ...], columns: IntArray) -> tuple[Any, ...]:
    return tuple(costs[column] for column in columns)


def _sum_by_group(group: IntArray, counts: npt.NDArray[np.int64 | np.bool_]) -> IntArray:
    return np.bincount(group, weights=counts).astype(np.int64)


def _checked(scores: FloatArray, truth: FloatArray, goal: str | Goal) -> Goal:
    goal = as_goal(goal)
    if goal.name == "top_k":
        raise OptionError(f"The goal {goal} takes labels by rank; there are no thresholds to fit.")
    check_scores(scores, truth)
    return goal
