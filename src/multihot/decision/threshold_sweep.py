"""The exact optimum over one threshold: a sweep over every distinct outcome as a running sum.

Letters: `C` change points, `G` groups. Lowering a threshold past a score turns one decision on: that
is a *change point*. Each goal is a sum or a mean over *groups* of cells of a value of three counts of
the group, true positives (TP), predicted (PP) and positives (P):

    micro_f1                one group of all cells     2 TP / (PP + P)
    macro_f1                one group per label        the same; a group of 0/0 does not count
    jaccard                 one group per text         TP / (PP + P - TP), 0/0 = 1
    subset_accuracy         one group per text         1 if TP = PP = P else 0
    precision>=P, recall>=R one group of all cells     see `constrained_value`
    cost=FP:FN              one group per label        - FP (PP - TP) - FN (P - TP)

so the goal at every possible threshold is a running sum over the change points by falling score.
Values are counted in whole units, so that sums are exact and equal outcomes compare as equal in
whatever order the rows come. A decision is `score >= threshold`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.core.goals import Goal
from multihot.decision.objective import constrained_value

__all__ = [
    "ChangePoints",
    "GroupCounts",
    "best_threshold",
    "group_values",
    "is_apart",
    "largest_scale",
    "resolution",
    "running_sums",
    "scale_of",
    "thresholds_between",
    "unit_values",
]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_ROOM = 2.0**-21  # fp32 backends were seen to differ by 2e-7, relative to the score


@dataclass(frozen=True)
class ChangePoints:
    """Known cells whose decisions a threshold turns on, by falling score. *Shape:* (C,) each, C >= 1."""

    scores: FloatArray
    positive: BoolArray
    group: IntArray


@dataclass(frozen=True)
class GroupCounts:
    """Counts of each group, int64. *Shape:* (G,) each; in `group_values` any shape but for costs."""

    true_positives: IntArray
    predicted: IntArray
    positives: IntArray


def best_threshold(goal: Goal, points: ChangePoints, start: GroupCounts) -> tuple[float, float]:
    """Return the best threshold for the change points, and the goal it reaches.

    `start` holds the counts of each group before any of the change points. Among equal optima it is the
    threshold nearest to 0.5. A cost is reached in units of the largest cost, summed over all cells.
    """
    scores, scale = points.scores, scale_of(goal, len(points.scores), start)
    value, counted = running_sums(goal, points, start, scale)
    # Change points of equal score happen together, so only the last of them ends in a possible outcome.
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    upper = np.append(scores.dtype.type(1), scores[last])
    lower = np.append(scores[last], scores.dtype.type(0))
    apart = is_apart(lower, upper)
    outcomes = np.append(0, last + 1)[apart]
    thresholds = thresholds_between(lower[apart], upper[apart])
    means = value[outcomes] / np.maximum(counted[outcomes], 1) / scale
    optimal = np.flatnonzero(means >= means.max() - 2 / scale)
    best = optimal[np.argmin(np.abs(thresholds[optimal] - 0.5))]
    return float(thresholds[best]), float(means[best])


def running_sums(
    goal: Goal, points: ChangePoints, start: GroupCounts, scale: float
) -> tuple[IntArray, IntArray]:
    """Return the summed value of all groups, and how many count, after 0, 1, ... C points.

    Values are whole numbers in units of `1 / scale`: their sums are exact, so that equal outcomes
    compare as equal however the rows are ordered.
    """
    if len(start.positives) == 1:
        return _sums_of_one(goal, points, start, scale)
    small = np.uint16 if len(start.positives) < 1 << 16 else np.int64  # sorted by digits
    by_group = np.argsort(points.group.astype(small), kind="stable")
    group, gain = points.group[by_group], points.positive[by_group].astype(np.int64)
    first = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    lengths = np.diff(np.append(first, len(group)))
    earlier = np.arange(len(group)) - np.repeat(first, lengths)  # points of the group so far
    earlier_gain = np.cumsum(gain) - gain
    earlier_gain -= np.repeat(earlier_gain[first], lengths)

    true_positives, predicted = (
        start.true_positives[group] + earlier_gain,
        start.predicted[group] + earlier,
    )
    positives = start.positives[group]
    before, counted_before = group_values(
        goal, GroupCounts(true_positives, predicted, positives), group, scale
    )
    later = GroupCounts(true_positives + gain, predicted + 1, positives)
    after, counted_after = group_values(goal, later, group, scale)
    change, count_change = np.empty_like(gain), np.empty_like(gain)
    change[by_group] = after - before
    count_change[by_group] = counted_after - counted_before

    value, counted = group_values(goal, start, np.arange(len(start.positives)), scale)
    return (
        np.cumsum(np.append(value.sum(), change)),
        np.cumsum(np.append(counted.sum(), count_change)),
    )


def _sums_of_one(
    goal: Goal, points: ChangePoints, start: GroupCounts, scale: float
) -> tuple[IntArray, IntArray]:
    """Do the same for a single group."""
    num_points = len(points.scores)
    right = np.zeros(num_points + 1, dtype=np.int64)
    np.cumsum(points.positive, out=right[1:])
    counts = GroupCounts(
        start.true_positives + right,
        start.predicted + np.arange(num_points + 1),
        np.broadcast_to(start.positives, right.shape),
    )
    return group_values(goal, counts, np.zeros(num_points + 1, dtype=np.int64), scale)


def group_values(
    goal: Goal, groups: GroupCounts, number: IntArray, scale: float
) -> tuple[IntArray, IntArray]:
    """Return the value of each group in units of `1 / scale`, and 1 where the group counts.

    `number` is the number of each group, by which its costs are found.
    """
    predicted = groups.predicted
    if goal.name == "cost":
        counted = np.zeros(predicted.shape, dtype=np.int64)
    elif goal.name in ("subset_accuracy", "jaccard", "precision", "recall"):
        counted = np.ones(predicted.shape, dtype=np.int64)
    else:
        counted = (predicted + groups.positives > 0).astype(np.int64)
    return unit_values(goal, groups, number, scale), counted


def unit_values(goal: Goal, groups: GroupCounts, number: IntArray, scale: float) -> IntArray:
    """Return the values alone, as `group_values`."""
    true_positives, predicted, positives = groups.true_positives, groups.predicted, groups.positives
    if goal.name == "cost":
        # Whole units for each cost, relative to the largest: the goal is a sum and not a mean.
        units = np.rint(np.array(goal.costs) / np.max(goal.costs) * scale).astype(np.int64)
        cost = units[number if len(units) > 1 else np.zeros_like(number)]
        false_positives, false_negatives = predicted - true_positives, positives - true_positives
        paid: IntArray = false_positives * cost[:, 0] + false_negatives * cost[:, 1]
        return -paid
    if goal.name == "subset_accuracy":
        values = ((true_positives == predicted) & (true_positives == positives)).astype(np.float64)
    elif goal.name == "jaccard":
        union = predicted + positives - true_positives
        values = np.divide(
            true_positives, union, out=np.ones(true_positives.shape), where=union > 0
        )
    elif goal.name in ("precision", "recall"):
        values = constrained_value(goal, true_positives, predicted, positives)
    else:
        sizes = predicted + positives
        values = np.divide(2 * true_positives, sizes, out=np.zeros(sizes.shape), where=sizes > 0)
    worth: IntArray = np.rint(values * scale).astype(np.int64)
    return worth


def is_apart(lower: FloatArray, upper: FloatArray) -> BoolArray:
    """Return which pairs of scores have room for a threshold that decides alike on every backend. Any shape.

    Backends add in other orders, so their scores differ by a few steps of float32; nearer ones count as
    equal. But 0.5, which nobody fitted, may lie between any two, and 1 silences a label whatever its scores.
    """
    low, high = lower.astype(np.float64), upper.astype(np.float64)
    is_given = ((low < 0.5) & (high >= 0.5)) | ((low < 1) & (high == 1))
    apart: BoolArray = (high - low > _ROOM * high) | is_given
    return apart


def thresholds_between(lower: FloatArray, upper: FloatArray) -> DoubleArray:
    """Return for each pair a threshold t with lower < t <= upper, float64. Any shape.

    0.5 where it separates the pair, else the middle rounded to float32, which decides alike in both
    precisions; where the pair is too close for that, the upper score itself.
    """
    low, high = lower.astype(np.float64), upper.astype(np.float64)
    middle = ((low + high) / 2).astype(np.float32).astype(np.float64)
    middle = np.where((low < middle) & (middle < high), middle, high)
    return np.where((low < 0.5) & (high >= 0.5), 0.5, middle)


def resolution(num_groups: int) -> float:
    """Return the difference below which two means over the groups count as equal."""
    return 2 / largest_scale(num_groups)


def scale_of(goal: Goal, num_points: int, start: GroupCounts) -> float:
    """Return the units in which values are counted: as fine as the sums of so many points allow.

    A group's value is at most 1, a cell's cost at most the largest cost.
    """
    if goal.name == "cost":
        num_cells = num_points + int((start.positives + start.predicted).sum())
        return min(2.0**40, largest_scale(num_cells))
    return largest_scale(len(start.positives))


def largest_scale(count: int) -> float:
    """Return the largest power of two at which a sum of so many ones fits a 64-bit integer."""
    return float(2 ** min(52, 62 - count.bit_length()))
