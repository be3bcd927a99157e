"""The best threshold of many labels at once: their columns are sorted once, then swept in one go.

Does for each column what `threshold_sweep.best_threshold` does for its known cells, in the same whole
units, so that the results are equal to the last bit.

Letters: `N` texts, `L` labels. After `k` cells by falling score, 0 to N, a decision is on for these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.core.goals import Goal
from multihot.decision.threshold_sweep import (
    GroupCounts,
    is_apart,
    largest_scale,
    thresholds_between,
    unit_values,
)

__all__ = ["BLOCK_CELLS", "RowCounts", "SortedColumns", "best_alone", "first_improvement"]

BLOCK_CELLS = 1 << 18
"""Cells that are swept at once."""

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SortedColumns:
    """Columns of scores, each by falling score, with the unknown cells behind the known ones.

    Attributes
    ----------
    order
        The rows of the cells. *Shape:* (N, L).
    right
        How many of the first k cells are positive. *Shape:* (N + 1, L).
    known
        Whether a cell is known; rows in their own order. *Shape:* (N, L).
    positive
        Whether it is positive, likewise. *Shape:* (N, L).
    thresholds
        One that turns on the first k cells and no others. *Shape:* (N + 1, L).
    distance
        How far it is from 0.5; infinite where there is none. *Shape:* (N + 1, L).
    is_outcome
        Whether there is one. *Shape:* (N + 1, L).
    """

    order: IntArray
    right: IntArray
    known: BoolArray
    positive: BoolArray
    thresholds: DoubleArray
    distance: DoubleArray
    is_outcome: BoolArray

    @classmethod
    def of_cells(cls, scores: FloatArray, truth: FloatArray) -> SortedColumns:
        """Sort the columns. *Shapes:* (N, L) both; truth is 0, 1 or NaN (unknown)."""
        known, positive = ~np.isnan(truth), truth == 1
        order = np.argsort(np.where(known, -scores, np.inf), axis=0, kind="stable")
        num_rows, num_labels = scores.shape
        ends = np.zeros((2, num_rows + 1, num_labels), dtype=scores.dtype)
        lower, upper = ends
        lower[:-1] = np.take_along_axis(np.where(known, scores, 0), order, axis=0)
        upper[0], upper[1:] = 1, lower[:-1]
        right = np.zeros((num_rows + 1, num_labels), dtype=np.int64)
        np.cumsum(np.take_along_axis(positive, order, axis=0), axis=0, out=right[1:])
        thresholds = thresholds_between(lower, upper)
        is_outcome = is_apart(lower, upper) & (
            np.arange(num_rows + 1)[:, None] <= known.sum(axis=0)
        )
        distance = np.where(is_outcome, np.abs(thresholds - 0.5), np.inf)
        return cls(order, right, known, positive, thresholds, distance, is_outcome)

    def columns(self, chosen: slice) -> SortedColumns:
        """Return some of the columns."""
        return SortedColumns(
            self.order[:, chosen],
            self.right[:, chosen],
            self.known[:, chosen],
            self.positive[:, chosen],
            self.thresholds[:, chosen],
            self.distance[:, chosen],
            self.is_outcome[:, chosen],
        )

    def best(self, means: DoubleArray, tolerance: float | DoubleArray) -> tuple[DoubleArray, ...]:
        """Return the threshold of the best mean of each column, and that mean.

        Of means that are equal but for `tolerance`, it is the one whose threshold is nearest to 0.5.
        *Shapes:* (N + 1, L) -> (L,) twice.
        """
        means = np.where(self.is_outcome, means, -np.inf)
        distance = np.where(means >= means.max(axis=0) - tolerance, self.distance, np.inf)
        place = distance.argmin(axis=0), np.arange(distance.shape[1])
        return self.thresholds[place], means[place]


def best_alone(goal: Goal, scores: FloatArray, truth: FloatArray, columns: IntArray) -> DoubleArray:
    """Return the best threshold of each of some labels alone, for a goal that is a sum over labels.

    *Shapes:* (N, L), (columns,) -> (columns,). Of costs, the goal has those of these labels.
    """
    found = np.empty(len(columns))
    step = max(1, BLOCK_CELLS // (len(scores) + 1))
    for start in range(0, len(columns), step):
        part = slice(start, start + step)
        block = SortedColumns.of_cells(scores[:, columns[part]], truth[:, columns[part]])
        costs = np.array(goal.costs).reshape(-1, 2)
        means, tolerance = _means_alone(goal, block, costs if len(costs) < 2 else costs[part])
        found[part] = block.best(means, tolerance)[0]
    return found


def _means_alone(
    goal: Goal, block: SortedColumns, costs: DoubleArray
) -> tuple[DoubleArray, float | DoubleArray]:
    right, predicted = block.right, np.arange(len(block.right))[:, None]
    positives = block.positive.sum(axis=0)
    if goal.name == "cost":
        num_cells = (block.known.sum(axis=0) + positives).tolist()
        scale = np.array([min(2.0**40, largest_scale(count)) for count in num_cells])
        units = np.rint(costs / costs.max(axis=1, keepdims=True) * scale[:, None]).astype(np.int64)
        value = -(predicted - right) * units[:, 0] - (positives - right) * units[:, 1]
        return value / scale, 2 / scale
    of_one, one = largest_scale(1), goal.of_label(0)
    counts = GroupCounts(*np.broadcast_arrays(right, predicted, positives))
    value = unit_values(one, counts, np.zeros(0, np.int64), of_one)
    return value / of_one, 2 / of_one


@dataclass
class RowCounts:
    """What the decisions of all labels are so far, row by row. *Shape of each:* (N,)."""

    right: IntArray
    predicted: IntArray
    positives: IntArray

    def turn(self, chosen: BoolArray, positive: BoolArray, by: int) -> None:
        """Add, or with -1 take away, the cells that a label is given in."""
        self.right += by * (chosen & positive)
        self.predicted += by * chosen

    def values(self, goal: Goal, scale: float) -> tuple[IntArray, IntArray]:
        """Return what a row is worth without a label, and what giving it adds, in units of `1 / scale`.

        By whether the row has the label and is given it so far: places 0 and 1 of what is not given
        so far, to rows without and with the label, 2 and 3 of what is. *Shape of each:* (4, N).
        """
        right = self.right + _RIGHT[:, None]
        counts = GroupCounts(right, self.predicted + _PREDICTED[:, None], self.positives)
        values = unit_values(goal, counts, np.zeros(0, np.int64), scale)
        without = values[_WITHOUT]
        return without, values[_GIVEN] - without


# What a row may come to: as now, given wrongly, given rightly, a wrong one taken away, a right one.
_RIGHT, _PREDICTED = np.array([0, 0, 1, 0, -1]), np.array([0, 1, 1, -1, -1])
_WITHOUT, _GIVEN = np.array([0, 0, 3, 4]), np.array([1, 2, 0, 0])


def first_improvement(
    goal: Goal, block: SortedColumns, chosen: BoolArray, counts: RowCounts, above: float
) -> tuple[int, float, float] | None:
    """Return the first column whose best threshold, while all other labels stay, lifts the goal.

    Parameters
    ----------
    goal
        One that couples the labels: `micro_f1`, or a mean over texts.
    block
        Some columns.
    chosen
        Where the decisions of these columns are on now. *Shape:* (N, columns).
    counts
        Of all labels.
    above
        What the goal must exceed.

    Returns
    -------
    (column, threshold, value)
        `None` where no column does.
    """
    if goal.name == "micro_f1":
        hits = chosen & block.positive
        right = counts.right.sum() - hits.sum(axis=0)
        predicted = counts.predicted.sum() - chosen.sum(axis=0)
        total, scale = counts.positives.sum(), largest_scale(1)
        num_before = np.arange(len(block.right))[:, None]
        after = GroupCounts(right + block.right, predicted + num_before, total)
        means = unit_values(goal, after, np.zeros(0, np.int64), scale) / scale
    else:
        scale = largest_scale(len(counts.right))
        without, gain = counts.values(goal, scale)
        cell = (block.positive + 2 * chosen) * len(chosen) + np.arange(len(chosen))[:, None]
        value = np.empty(block.right.shape, dtype=np.int64)
        value[0] = without.ravel()[cell].sum(axis=0)
        value[1:] = gain.ravel()[cell][block.order, np.arange(chosen.shape[1])]
        means = np.cumsum(value, axis=0) / len(chosen) / scale
    higher = block.is_outcome & (means > above)
    for column in np.flatnonzero(higher.any(axis=0)).tolist():
        (threshold,), (value_there,) = block.columns(slice(column, column + 1)).best(
            means[:, [column]], 2 / scale
        )
        if value_there > above:
            return column, float(threshold), float(value_there)
    return None
