"""The best threshold for all labels where there are very many cells: a sweep over some of them at a time.

Finds what `threshold_sweep.best_threshold` finds for all cells, to the last bit: the cells between two
scores are sorted and swept, from the highest scores down, and each group's counts are handed on from one
part to the next. Memory is that of a part.

It ends early. Where PP cells of a group are given, and P are positive, no lower threshold makes more of the
group than P right ones among max(PP, P) given, and every goal falls as these grow. So once some threshold
reaches more than all groups can from there on, the cells below need neither be sorted nor be counted.

Letters: `N` texts, `L` labels, `C` cells, `G` groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from multihot.core.blocks import row_blocks
from multihot.core.goals import Goal
from multihot.decision.threshold_sweep import (
    ChangePoints,
    GroupCounts,
    group_values,
    is_apart,
    running_sums,
    scale_of,
    thresholds_between,
)

__all__ = ["threshold_in_parts"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_DROPPED_BITS = 14  # of a score between 0 and 1 as float32: what remains numbers its bin
_NUM_BINS = (0x3F800000 >> _DROPPED_BITS) + 1
_LOWEST = -(1 << 31)  # what the bits of -0.0 are
_FIRST_PART, _LARGEST_PART = 1 << 17, 1 << 22  # cells
_SWEPT_CELLS = 1 << 20
_ROOM = 1e-9  # relative; equal outcomes compare as equal within less

Range = tuple[int, int]
"""Bits of scores as float32, which have their order: from the first to before the second."""


def threshold_in_parts(
    scores: FloatArray, truth: FloatArray, goal: Goal, *, largest_part: int = _LARGEST_PART
) -> float:
    """Return the best threshold; of equals the nearest to 0.5.

    Parameters
    ----------
    scores
        *Shape:* (N, L), each between 0 and 1.
    truth
        *Shape:* (N, L), each 0, 1 or NaN (unknown); some are 1.
    goal
        One that thresholds are fitted for.
    largest_part
        Cells that are sorted at once.
    """
    cells = _GroupedCells.of_goal(scores, truth, goal)
    nothing = np.zeros_like(cells.positives)
    counts = GroupCounts(nothing, nothing, cells.positives)
    scale = scale_of(goal, cells.num_known, counts)
    best, last = _Best(2 / scale), scores.dtype.type(1)
    for bits in _parts(cells, largest_part):
        for points in cells.points(bits, largest_part):
            best.add(*_outcomes(goal, points, counts, scale, last))
            counts, last = _with_points(counts, points), points.scores[-1]
        if _most(goal, counts, scale) < best.mean - _ROOM * max(1.0, abs(best.mean)):
            return best.threshold()
    ends = np.array([last]), np.zeros(1, scores.dtype)
    best.add(*_apart(*ends, _mean(goal, counts, scale)))
    return best.threshold()


@dataclass(frozen=True)
class _GroupedCells:
    """All cells.

    Attributes
    ----------
    scores, truth
        *Shape:* (N, L) each.
    row_groups, column_groups
        The group of each row, *shape* (N,), or of each column, (L,); neither: all are one.
    positives
        Positive cells of each group. *Shape:* (G,), int64.
    num_known
        Known cells.
    """

    scores: FloatArray
    truth: FloatArray
    row_groups: IntArray | None
    column_groups: IntArray | None
    positives: IntArray
    num_known: int

    @classmethod
    def of_goal(cls, scores: FloatArray, truth: FloatArray, goal: Goal) -> _GroupedCells:
        """Count what the groups of a goal need; rows without a known cell are in none."""
        of_rows, of_columns = np.zeros((2, len(truth)), np.int64), np.zeros((2, truth.shape[1]))
        for rows in row_blocks(truth.shape):
            for number, is_counted in enumerate((~np.isnan(truth[rows]), truth[rows] == 1)):
                of_rows[number, rows] = is_counted.sum(axis=1)
                of_columns[number] += is_counted.sum(axis=0)
        known_columns = np.flatnonzero(of_columns[0])
        row_groups = column_groups = None
        if goal.name in ("micro_f1", "precision", "recall"):
            positives = of_rows[1].sum(keepdims=True)
        elif goal.is_sum_over_labels:
            column_groups = np.arange(truth.shape[1])
            positives = of_columns[1, : known_columns[-1] + 1].astype(np.int64)
        else:
            row_groups = np.cumsum(of_rows[0] > 0) - 1
            positives = of_rows[1, of_rows[0] > 0]
        return cls(scores, truth, row_groups, column_groups, positives, int(of_rows[0].sum()))

    def histogram(self, bits: Range, dropped: int, num_bins: int) -> IntArray:
        """Return how many cells lie in each bin of a range. *Shape:* (bins,)."""
        found = np.zeros(num_bins, dtype=np.int64)
        for rows, _, keys in self._blocks():
            used = ~np.isnan(self.truth[rows]) & (keys >= bits[0]) & (keys < bits[1])
            places = (np.maximum(keys[used], 0) - max(bits[0], 0)) >> dropped
            found += np.bincount(places, minlength=num_bins)
        return found

    def points(self, bits: Range, most: int) -> Iterator[ChangePoints]:
        """Yield the known cells of a range by falling score, some at a time.

        All of them are held to be sorted, unless they have one score: then about `most` are.
        """
        found: list[ChangePoints] = []
        is_one_score = bits[1] == max(bits[0], 0) + 1 and self.scores.dtype == np.float32
        for rows, own, keys in self._blocks():
            place = np.flatnonzero((keys >= bits[0]) & (keys < bits[1]))
            truth = self.truth[rows].reshape(-1)[place]
            place, truth = place[known := ~np.isnan(truth)], truth[known]
            group = self._group(rows.start, place)
            found.append(ChangePoints(own.reshape(-1)[place], truth == 1, group))
            if is_one_score and sum(len(some.scores) for some in found) >= most:
                yield from _slices(_joined(found))
                found = []
        if any(len(some.scores) for some in found):
            yield from _slices(_joined(found))

    def _group(self, first_row: int, place: IntArray) -> IntArray:
        """Return the groups of cells, numbered row after row from `first_row` on."""
        num_columns = self.scores.shape[1]
        if self.row_groups is not None:
            return np.asarray(self.row_groups[first_row + place // num_columns])
        if self.column_groups is not None:
            return np.asarray(self.column_groups[place % num_columns])
        return np.zeros_like(place)

    def _blocks(self) -> Iterator[tuple[slice, FloatArray, npt.NDArray[np.int32]]]:
        """Yield rows, their scores, and the bits of these. *Shapes:* (rows, L)."""
        for rows in row_blocks(self.scores.shape):
            own = self.scores[rows]
            yield rows, own, own.astype(np.float32, copy=False).view(np.int32)


def _joined(found: list[ChangePoints]) -> ChangePoints:
    scores, positive, group = (
        np.concatenate([getattr(some, name) for some in found])
        for name in ("scores", "positive", "group")
    )
    if scores.dtype == np.float32:
        # Numbers that carry the rest of the cell are sorted several times faster than places are.
        bits = np.maximum(scores.view(np.int32), 0).astype(np.int64)
        carried = (bits << 33) | (group << 1) | positive
        carried.sort()
        carried = carried[::-1]
        scores = (carried >> 33).astype(np.int32).view(np.float32)
        return ChangePoints(scores, (carried & 1) == 1, (carried >> 1) & 0xFFFFFFFF)
    order = np.argsort(-scores)
    return ChangePoints(scores[order], positive[order], group[order])


def _slices(points: ChangePoints) -> Iterator[ChangePoints]:
    for start in range(0, len(points.scores), _SWEPT_CELLS):
        part = slice(start, start + _SWEPT_CELLS)
        yield ChangePoints(points.scores[part], points.positive[part], points.group[part])


def _parts(cells: _GroupedCells, largest: int) -> Iterator[Range]:
    """Yield ranges of scores that hold all known cells, the highest first.

    They have at most `largest` cells, or a single score; the first ones have fewer.
    """
    everything = _LOWEST, _NUM_BINS << _DROPPED_BITS
    counts = cells.histogram(everything, _DROPPED_BITS, _NUM_BINS)
    size = min(_FIRST_PART, largest)
    high, held = _NUM_BINS, 0
    for number in np.flatnonzero(counts)[::-1].tolist():
        if held and held + counts[number] > size:
            yield (number + 1) << _DROPPED_BITS, high << _DROPPED_BITS
            high, held, size = number + 1, 0, min(2 * size, largest)
        if counts[number] <= largest:
            held += int(counts[number])
            continue
        bits = (number << _DROPPED_BITS) if number else _LOWEST, (number + 1) << _DROPPED_BITS
        yield from _parts_of_bin(cells, bits, largest)
        high = number
    if held:
        yield _LOWEST, high << _DROPPED_BITS


def _parts_of_bin(cells: _GroupedCells, bits: Range, largest: int) -> Iterator[Range]:
    """Yield the ranges of a bin of too many cells."""
    first = max(bits[0], 0)
    counts = cells.histogram(bits, 0, bits[1] - first)
    high, held = bits[1], 0
    for number in np.flatnonzero(counts)[::-1].tolist():
        place, count = first + number, int(counts[number])
        if held and held + count > largest:
            yield place + 1, high
            high, held = place + 1, 0
        held += count
        if count > largest:
            yield place if place else _LOWEST, place + 1
            high, held = place, 0
    if held:
        yield bits[0], high


def _outcomes(
    goal: Goal, points: ChangePoints, counts: GroupCounts, scale: float, last: np.floating
) -> tuple[DoubleArray, DoubleArray]:
    """Return thresholds above each score of a part, and the mean that each reaches.

    `counts` are those of all cells above the part, and `last` is the lowest of their scores.
    """
    scores = points.scores
    value, counted = running_sums(goal, points, counts, scale)
    first = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
    upper = np.append(scores.dtype.type(last), scores[first[1:] - 1])
    return _apart(upper, scores[first], value[first] / np.maximum(counted[first], 1) / scale)


def _apart(
    upper: FloatArray, lower: FloatArray, means: DoubleArray
) -> tuple[DoubleArray, DoubleArray]:
    apart = is_apart(lower, upper)
    return thresholds_between(lower[apart], upper[apart]), means[apart]


def _with_points(counts: GroupCounts, points: ChangePoints) -> GroupCounts:
    size = len(counts.positives)
    return GroupCounts(
        counts.true_positives + np.bincount(points.group[points.positive], minlength=size),
        counts.predicted + np.bincount(points.group, minlength=size),
        counts.positives,
    )


def _mean(goal: Goal, counts: GroupCounts, scale: float) -> DoubleArray:
    """Return the mean that the counts reach. *Shape:* (1,)."""
    values = group_values(goal, counts, np.arange(len(counts.positives)), scale)
    value, counted = (np.atleast_1d(each.sum()) for each in values)
    return np.asarray(value / np.maximum(counted, 1) / scale)


def _most(goal: Goal, counts: GroupCounts, scale: float) -> float:
    """Return what no threshold exceeds that gives at least as many cells of each group."""
    given = np.maximum(counts.predicted, counts.positives)
    return float(_mean(goal, GroupCounts(counts.positives, given, counts.positives), scale)[0])


@dataclass
class _Best:
    """The best outcomes so far, by falling threshold."""

    tolerance: float
    """Means that differ by less count as equal."""
    mean: float = -np.inf
    _kept: list[tuple[float, float]] = field(default_factory=list)

    def add(self, thresholds: DoubleArray, means: DoubleArray) -> None:
        """Add outcomes; of those with one mean, only the first one nearest to 0.5 can be the best."""
        if not len(means):
            return
        self.mean = max(self.mean, float(means.max()))
        good = np.flatnonzero(means >= self.mean - self.tolerance)
        for mean in np.unique(means[good]):
            equal = good[means[good] == mean]
            chosen = equal[np.argmin(np.abs(thresholds[equal] - 0.5))]
            self._kept.append((float(mean), float(thresholds[chosen])))

    def threshold(self) -> float:
        """Return the one of the best that is nearest to 0.5."""
        good = [value for mean, value in self._kept if mean >= self.mean - self.tolerance]
        return min(good, key=lambda value: abs(value - 0.5))
