"""Thresholds that are exactly the best for one named goal, on the rows they are fitted on.

Letters: `N` texts, `L` labels. See `threshold_sweep` for how one threshold is found, and for the goals.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.goals import Goal
from multihot.decision.column_sweep import (
    BLOCK_CELLS,
    RowCounts,
    best_alone,
    first_improvement,
)
from multihot.decision.micro_f1_ascent import ascend_micro_f1
from multihot.decision.objective import as_goal, check_scores, goal_value
from multihot.decision.scored_cells import CoupledLabels, ScoredCells
from multihot.decision.sweep_in_parts import threshold_in_parts
from multihot.decision.threshold_sweep import GroupCounts, best_threshold, resolution
from multihot.errors import OptionError

__all__ = ["MAX_ROUNDS", "fit_global", "fit_per_label", "global_threshold", "label_thresholds"]

FloatArray = npt.NDArray[np.floating]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_FIRST_BLOCK = 4  # columns that are tried at once at first
_VERY_MANY_CELLS = 1 << 20

MAX_ROUNDS = 20
"""Rounds of coordinate ascent; in practice it stops after three to six."""


def fit_global(scores: FloatArray, truth: FloatArray, goal: str | Goal) -> float:
    """Return the one threshold for all labels that is best for the goal.

    Every outcome is tried that all backends agree on (see `is_apart`). Among equal optima the threshold nearest to 0.5 is taken, so
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
    return global_threshold(ScoredCells(scores, truth), goal)


def global_threshold(cells: ScoredCells, goal: Goal) -> float:
    """Do the same for cells and a goal that passed the checks."""
    if not (cells.truth == 1).any():
        return 0.5
    if cells.scores.size >= _VERY_MANY_CELLS:
        return threshold_in_parts(cells.scores, cells.truth, goal)
    points = cells.points(goal)
    positives = _sum_by_group(points.group, points.positive)
    nothing = np.zeros_like(positives)
    start = GroupCounts(true_positives=nothing, predicted=nothing, positives=positives)
    return best_threshold(goal, points, start)[0]


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
    goal = _checked(scores, truth, goal).of_each_label()
    return label_thresholds(ScoredCells(scores, truth), goal, max_rounds=max_rounds)


def label_thresholds(
    cells: ScoredCells, goal: Goal, *, max_rounds: int = MAX_ROUNDS
) -> DoubleArray:
    """Do the same for cells and a goal of each label that passed the checks."""
    scores, truth = cells.scores, cells.truth
    thresholds = np.full(scores.shape[1], global_threshold(cells, goal))
    if not goal.is_sum_over_labels:
        return _ascend(goal, cells.coupled, thresholds, max_rounds=max_rounds)
    fitted = np.flatnonzero((truth == 1).any(axis=0))
    if goal.name == "cost" and len(fitted):
        fitted = np.flatnonzero(~np.isnan(truth).all(axis=0))
    of_fitted = goal if len(goal.costs) < 2 else replace(goal, costs=_some(goal.costs, fitted))
    thresholds[fitted] = best_alone(of_fitted, scores, truth, fitted)
    return thresholds


def _ascend(
    goal: Goal, labels: CoupledLabels, thresholds: DoubleArray, *, max_rounds: int
) -> DoubleArray:
    """Improve the thresholds one at a time until none improves the goal.

    Several columns are tried at once; what was found for those behind one that improves is thrown away.
    """
    scores, columns = labels.scores, labels.columns
    predicted, positive = labels.decided(thresholds)
    counts = RowCounts(
        (predicted & positive).sum(axis=1), predicted.sum(axis=1), positive.sum(axis=1)
    )
    reached = goal_value(scores, labels.truth, thresholds, goal) or 0.0
    thresholds, least = thresholds.copy(), resolution(1 if goal.name == "micro_f1" else len(scores))
    most = max(1, BLOCK_CELLS // (len(scores) + 1))
    if goal.name == "micro_f1":
        blocks = (
            labels.sorted_columns(slice(at, at + most)) for at in range(0, len(columns), most)
        )
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
            block = labels.sorted_columns(slice(start, start + size))
            chosen = block.known & (scores[:, tried] >= thresholds[tried])
            better = first_improvement(goal, block, chosen, counts, reached + least)
            if better is None:
                start, size = start + len(tried), min(2 * size, most)
                continue
            first, threshold, reached = better
            column, has_label = tried[first], block.positive[:, first]
            improved, thresholds[column] = True, threshold
            counts.turn(chosen[:, first], has_label, -1)
            counts.turn(block.known[:, first] & (scores[:, column] >= threshold), has_label, 1)
            start, size = start + first + 1, min(2 * (first + 1), most)
        if not improved:
            break
    return thresholds


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
