"""Coordinate ascent on micro-F1, which needs no more of a label than how many it is given, and rightly.

Does what `thresholds` does for goals that couple the labels, to the last bit, in far fewer steps:

    F1 = 2 R / (P + T)   of R right ones among P predicted, and T positives

While F1 rises from where it starts to the most that any thresholds reach, the best outcome of a label
maximises `2 right - F1 predicted`. So it lies between those that are best for either end, and all
others are left out. The most is found as Dinkelbach (1967, On nonlinear fractional programming) does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.decision.column_sweep import SortedColumns
from multihot.decision.threshold_sweep import largest_scale, resolution

__all__ = ["ascend_micro_f1"]

BoolArray = npt.NDArray[np.bool_]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MOST_TOLD_APART = 1 << 24
"""Two different quotients of numbers up to here differ by more than `resolution`."""


@dataclass(frozen=True)
class _Outcomes:
    """What thresholds of some labels can make: label after label, each by rising `predicted`.

    Attributes
    ----------
    first
        Where each label begins, and the end. *Shape:* (L + 1,).
    predicted, right
        Cells the label is given in, and those of them that have it. *Shape:* (outcomes,).
    thresholds, distance
        A threshold that does it, and how far it is from 0.5. *Shape:* (outcomes,).
    """

    first: IntArray
    predicted: IntArray
    right: IntArray
    thresholds: DoubleArray
    distance: DoubleArray

    @classmethod
    def of_columns(cls, blocks: Iterator[SortedColumns]) -> _Outcomes:
        """Collect the outcomes of sorted columns that can be best for micro-F1.

        One that is given more often than another, and not more often rightly, cannot.
        """
        found = [_useful(block) for block in blocks]
        counts, *cells = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return cls(np.append(0, np.cumsum(counts)), *cells)

    def best(self, above: int, below: int, *, last: bool) -> IntArray:
        """Return the outcome of each label that is best where F1 is `above / below`.

        Of equally good ones it is the first or the last. *Shape:* (L,).
        """
        value = 2 * self.right * below - above * self.predicted
        most = np.maximum.reduceat(value, self.first[:-1])
        places = np.flatnonzero(value == np.repeat(most, np.diff(self.first)))
        if last:
            return places[np.searchsorted(places, self.first[1:]) - 1]
        return places[np.searchsorted(places, self.first[:-1])]

    def between(self, start: IntArray, end: IntArray) -> _Outcomes:
        """Return the outcomes of each label from one to another, both included."""
        number = np.arange(len(self.right))
        lengths = np.diff(self.first)
        kept = (number >= np.repeat(start, lengths)) & (number <= np.repeat(end, lengths))
        return _Outcomes(
            np.append(0, np.cumsum(end - start + 1)),
            self.predicted[kept],
            self.right[kept],
            self.thresholds[kept],
            self.distance[kept],
        )


def _useful(block: SortedColumns) -> tuple[npt.NDArray[np.int64 | np.float64], ...]:
    """Return how many outcomes each column has, and what `_Outcomes` holds of them."""
    column, predicted = np.nonzero(np.isfinite(block.distance).T)
    right = block.right[predicted, column]
    useful = np.ones(len(column), dtype=bool)
    useful[1:] = (column[1:] != column[:-1]) | (right[1:] > right[:-1])
    column, predicted = column[useful], predicted[useful]
    places = (predicted, column)
    counts = np.bincount(column, minlength=block.right.shape[1])
    return counts, predicted, right[useful], block.thresholds[places], block.distance[places]


@dataclass
class _State:
    """What the thresholds so far make of each label, and of all."""

    predicted: IntArray
    right: IntArray
    num_positive: int

    def quotient(self) -> tuple[int, int]:
        """Return F1 as a fraction of whole numbers."""
        return 2 * int(self.right.sum()), int(self.predicted.sum()) + self.num_positive

    def replaced(self, columns: IntArray, outcomes: _Outcomes, chosen: IntArray) -> _State:
        """Return the state with the chosen outcomes of some labels."""
        predicted, right = self.predicted.copy(), self.right.copy()
        predicted[columns], right[columns] = outcomes.predicted[chosen], outcomes.right[chosen]
        return _State(predicted, right, self.num_positive)


def ascend_micro_f1(
    decided: BoolArray,
    positive: BoolArray,
    columns: IntArray,
    blocks: Iterator[SortedColumns],
    *,
    reached: float,
    max_rounds: int,
) -> dict[int, float] | None:
    """Return the thresholds that change, by column; `None` where there is too much to count.

    Parameters
    ----------
    decided, positive
        Decisions at the start, and the truth; unknown cells are False in both. *Shape:* (N, L).
    columns
        The labels that may change, in their order; each has a positive. *Shape:* (C,).
    blocks
        These columns, sorted.
    reached
        Micro-F1 at the start.
    max_rounds
        How often to go through the columns at most.
    """
    if not len(columns):
        return {}
    outcomes = _Outcomes.of_columns(blocks)
    right = (decided & positive).sum(axis=0)
    state = _State(decided.sum(axis=0), right, int(positive.sum()))
    outcomes = _within_reach(outcomes, columns, state)
    most = np.maximum(outcomes.predicted[outcomes.first[1:] - 1], state.predicted[columns])
    others = int(state.predicted.sum() - state.predicted[columns].sum())
    if int(most.sum()) + others + state.num_positive + len(decided) >= _MOST_TOLD_APART:
        return None
    found = _ascend(outcomes, columns, state, reached, max_rounds)
    return {int(columns[place]): threshold for place, threshold in found.items()}


def _within_reach(outcomes: _Outcomes, columns: IntArray, state: _State) -> _Outcomes:
    """Leave out what is best neither now nor at any F1 up to the most that can be reached."""
    now = state.quotient()
    end, above, below = outcomes.best(*now, last=True), *now
    while True:
        start = outcomes.best(above, below, last=False)
        better = state.replaced(columns, outcomes, start).quotient()
        if better[0] * below <= above * better[1]:
            return outcomes.between(start, end)
        above, below = better


def _ascend(
    outcomes: _Outcomes, columns: IntArray, state: _State, reached: float, max_rounds: int
) -> dict[int, float]:
    """Give one label after another its best outcome until none improves; return their thresholds."""
    found: dict[int, float] = {}
    scale, least = largest_scale(1), resolution(1)
    # Python's own numbers: a handful of outcomes a label is too few for numpy to be of use.
    first, distance = outcomes.first.tolist(), outcomes.distance.tolist()
    all_predicted, all_right = outcomes.predicted.tolist(), outcomes.right.tolist()
    predicted, right = state.predicted[columns].tolist(), state.right[columns].tolist()
    double_right, size = state.quotient()
    for _ in range(max_rounds):
        improved = False
        for label in range(len(columns)):
            start, end = first[label], first[label + 1]
            if end - start == 1 and all_predicted[start] == predicted[label]:
                continue
            others, other_size = double_right - 2 * right[label], size - predicted[label]
            values = [
                round((others + 2 * all_right[place]) / (other_size + all_predicted[place]) * scale)
                / scale
                for place in range(start, end)
            ]
            best = max(values)
            if best <= reached + least:
                continue
            equal = [start + at for at, value in enumerate(values) if value >= best - least]
            chosen = min(equal, key=distance.__getitem__)
            improved, reached = True, values[chosen - start]
            found[label] = float(outcomes.thresholds[chosen])
            predicted[label], right[label] = all_predicted[chosen], all_right[chosen]
            double_right, size = others + 2 * right[label], other_size + predicted[label]
        if not improved:
            break
    return found
