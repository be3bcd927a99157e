"""Scores and truth that thresholds are fitted on, for one goal or for several: sorted once.

Letters: `N` texts, `L` labels, `C` known cells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from multihot.core.blocks import column_blocks
from multihot.core.goals import Goal
from multihot.decision.column_sweep import SortedColumns
from multihot.decision.threshold_sweep import ChangePoints

__all__ = ["CoupledLabels", "ScoredCells"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]

_MAX_SORTED_CELLS = 1 << 22  # of about 50 bytes each


@dataclass(frozen=True)
class ScoredCells:
    """Scores and what is true.

    Attributes
    ----------
    scores
        *Shape:* (N, L), each between 0 and 1.
    truth
        *Shape:* (N, L), each 0, 1 or NaN (unknown; such cells count in nothing).
    """

    scores: FloatArray
    truth: FloatArray

    def points(self, goal: Goal) -> ChangePoints:
        """Return the known cells by falling score, in the groups of the goal."""
        scores, positive, row, column = self._by_score
        if goal.name in ("micro_f1", "precision", "recall"):
            return ChangePoints(scores, positive, np.zeros_like(row))
        return ChangePoints(scores, positive, column if goal.is_sum_over_labels else row)

    @cached_property
    def _by_score(self) -> tuple[FloatArray, BoolArray, IntArray, IntArray]:
        """Return score, truth, row and column of the known cells; rows without one have no number."""
        known = ~np.isnan(self.truth)
        row, column = np.nonzero(known)
        order = np.argsort(-self.scores[row, column])
        row, column = row[order], column[order]
        number = np.cumsum(known.any(axis=1)) - 1
        return self.scores[row, column], self.truth[row, column] == 1, number[row], column

    @cached_property
    def coupled(self) -> CoupledLabels:
        """What goals that couple the labels are fitted on."""
        used = ~np.isnan(self.truth).all(axis=1)
        scores, truth = self.scores, self.truth
        if not used.all():
            scores, truth = scores[used], truth[used]
        fitted = np.flatnonzero((truth == 1).any(axis=0))
        columns = fitted[_order_of_columns(scores, truth, fitted)]
        return CoupledLabels(scores, truth, columns, _sorted_columns(scores, truth, columns))


@dataclass(frozen=True)
class CoupledLabels:
    """Labels whose thresholds are fitted one after another, and the rows that have a known cell.

    Attributes
    ----------
    scores, truth
        *Shape:* (rows, L).
    columns
        Those with a positive, frequent ones first: an order that no renaming of labels changes.
    sorted_columns
        Gives some of `columns`, sorted.
    """

    scores: FloatArray
    truth: FloatArray
    columns: IntArray
    sorted_columns: Callable[[slice], SortedColumns]

    def decided(self, thresholds: npt.NDArray[np.float64]) -> tuple[BoolArray, BoolArray]:
        """Return which known cells are given, and which are positive. *Shape:* (rows, L)."""
        return ~np.isnan(self.truth) & (self.scores >= thresholds), self.truth == 1


def _order_of_columns(scores: FloatArray, truth: FloatArray, fitted: IntArray) -> IntArray:
    """Return the order of the columns `fitted`, as places among them."""
    of_all, of_positive = np.empty((2, len(fitted)))
    num_positive = np.empty(len(fitted), dtype=np.int64)
    for some in column_blocks((len(truth), len(fitted))):
        own, cells = scores[:, fitted[some]], truth[:, fitted[some]]
        known, positive = ~np.isnan(cells), cells == 1
        # Sums of sorted numbers do not depend on the order of the rows.
        for sums, used in ((of_all, known), (of_positive, positive)):
            sums[some] = np.sort(np.where(used, own, 0.0), axis=0).sum(axis=0, dtype=np.float64)
        num_positive[some] = positive.sum(axis=0)
    return np.lexsort((of_all, of_positive, -num_positive))


def _sorted_columns(
    scores: FloatArray, truth: FloatArray, columns: IntArray
) -> Callable[[slice], SortedColumns]:
    """Return what gives some of the columns sorted; they are sorted at once, unless there are many."""
    if len(scores) * len(columns) <= _MAX_SORTED_CELLS:
        return SortedColumns.of_cells(scores[:, columns], truth[:, columns]).columns

    def block(part: slice) -> SortedColumns:
        return SortedColumns.of_cells(scores[:, columns[part]], truth[:, columns[part]])

    return block
