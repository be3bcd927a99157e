"""What a report keeps of scored rows: histograms of scores, pairs of labels, and the worst errors.

Rows are added chunk by chunk; memory does not grow with them. Letters: `N` rows of a chunk, `L`
labels, `B` bins of the score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.data.examples import Examples
from multihot.decision.counts import Counts, Outcomes
from multihot.decision.decision import Decision
from multihot.evaluation.evaluator import EvaluatedRows

__all__ = ["GRID", "MAX_PAIRED_LABELS", "NUM_HISTOGRAM_BINS", "Mistake", "ScoredRow", "Tallies"]

BoolArray = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MAX_PAIRED_LABELS = 1000
"""Up to so many labels all pairs are counted: 8 MB for each kind of pair."""

NUM_HISTOGRAM_BINS = 32
"""Bins of equal width in which histograms are shown."""

_OCTAVES, _BINS_AN_OCTAVE = 12, 16
_MOST_HALVINGS = 5  # as the grid has all edges of bins down to 2^-10


def _grid() -> Floats:
    """Return scores, ascending, that halve their distance to 0 and to 1 in 16 steps each time.

    Rare labels have their scores at the ends. All multiples of 1/32 are among them, and all are
    float32.
    """
    octaves = 2.0 ** -np.arange(_OCTAVES, 0, -1, dtype=np.float64)
    steps = 1 + np.arange(_BINS_AN_OCTAVE) / _BINS_AN_OCTAVE
    low = (octaves[:, None] * steps / 2).reshape(-1)
    return np.concatenate([low, [0.5], (1 - low)[::-1]])


GRID = _grid()


@dataclass(frozen=True)
class ScoredRow:
    """A row that is shown."""

    id: str
    line: int
    text: str
    truth: tuple[int, ...]
    """Columns of its true labels."""
    decided: tuple[int, ...]
    """Columns of the labels that it was given."""
    unknown: int
    """How many of its cells are unknown."""
    truncated: bool


@dataclass(frozen=True)
class Mistake:
    """A label that was missed, or given and is not true."""

    row: int
    """Number of the row, from 0."""
    column: int
    is_missed: bool
    score: float


class Tallies:
    """Counts of scored rows; `update` is an observer of `evaluate`.

    Attributes
    ----------
    counts
        The counts of decisions: those of the evaluation itself.
    both_true, both_given
        Rows in which two labels are true, and given. *Shape:* (L, L); `None` of too many labels.
    missed_and_extra
        Rows in which the first label was missed and the second given and not true. *Shape:* (L, L).
    """

    def __init__(self, decision: Decision, *, errors_of_a_label: int) -> None:
        num_labels = len(decision.space)
        self._decision = decision
        self._thresholds = np.asarray(decision.thresholds, dtype=np.float64)
        self._histogram = np.zeros((2, num_labels, len(GRID) + 2), dtype=np.int64)
        self.counts = Counts(num_labels)
        self.both_true: IntArray | None = None
        self.both_given: IntArray | None = None
        self.missed_and_extra: IntArray | None = None
        if num_labels <= MAX_PAIRED_LABELS:
            shape = num_labels, num_labels
            self.both_true = np.zeros(shape, np.int64)
            self.both_given, self.missed_and_extra = np.zeros((2, *shape), np.int64)
        self._num_rows = 0
        self._errors = _WorstErrors(errors_of_a_label)

    def update(self, rows: Examples, evaluated: EvaluatedRows, truncated: BoolArray) -> None:
        """Add N rows as they were evaluated, and which texts were truncated (N,)."""
        truth, scores, found = evaluated.truth, evaluated.scores, evaluated.outcomes
        self.counts = evaluated.counts
        used = ~np.isnan(truth).all(axis=1)
        self._count_scores(truth[used], scores[used])
        self._count_pairs(found)
        shown = _Chunk(rows, truth, evaluated.decided, truncated, self._num_rows)
        self._errors.update(shown, np.flatnonzero(used), found, scores)
        self._num_rows += len(rows)

    def errors(self) -> list[Mistake]:
        """Return the worst errors of each label of each kind, the worst first."""
        return self._errors.cells()

    def rows(self) -> dict[int, ScoredRow]:
        """Return the rows of `errors` by their number."""
        return self._errors.rows

    def curve(self, column: int) -> tuple[Floats, IntArray, IntArray]:
        """Return thresholds, ascending, and the true and false positives that each would give.

        The label's own threshold is one of them. *Shapes:* (B,) each.
        """
        edges = np.sort(np.append(GRID, self._thresholds[column]))
        negative, positive = self._histogram[:, column]
        above = [np.cumsum(each[::-1])[::-1][1:] for each in (positive, negative)]
        return edges, above[0], above[1]

    def histogram(self, column: int) -> tuple[float, IntArray, IntArray]:
        """Return counts of positives and negatives in 32 equal bins, behind where these end.

        They end at 1, or at the half, fourth, ... of it that still has all scores and the threshold.
        """
        edges, positive, negative = self.curve(column)
        counted = positive + negative
        end = 1.0
        for _ in range(_MOST_HALVINGS):
            half = end / 2
            if counted[np.searchsorted(edges, half)] or self._thresholds[column] > half:
                break
            end = half
        starts = end * np.arange(1, NUM_HISTOGRAM_BINS) / NUM_HISTOGRAM_BINS
        places = np.searchsorted(edges, starts)
        total = self._histogram[:, column].sum(axis=1)
        bins = []
        for above, whole in ((positive, total[1]), (negative, total[0])):
            bins.append(-np.diff(np.concatenate([[whole], above[places], [0]])))
        return end, bins[0], bins[1]

    def _count_scores(
        self, truth: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]
    ) -> None:
        rows, columns = np.nonzero(~np.isnan(truth))
        values = scores[rows, columns].astype(np.float64)
        bins = np.searchsorted(GRID, values, side="right") + (values >= self._thresholds[columns])
        positive = (truth[rows, columns] == 1).astype(np.int64)
        num_labels, num_bins = self._histogram.shape[1:]
        places = (positive * num_labels + columns) * num_bins + bins
        np.add.at(self._histogram.reshape(-1), places, 1)

    def _count_pairs(self, found: Outcomes) -> None:
        if self.both_true is None or self.both_given is None or self.missed_and_extra is None:
            return
        right, extra, missed = found.true_positive, found.false_positive, found.false_negative
        self.both_true += _paired(right | missed, right | missed)
        self.both_given += _paired(right | extra, right | extra)
        self.missed_and_extra += _paired(missed, extra)


def _paired(first: BoolArray, second: BoolArray) -> IntArray:
    """Return in how many rows both of two labels are set; float32 counts a chunk exactly."""
    return np.asarray((first.T.astype(np.float32) @ second.astype(np.float32)).astype(np.int64))


@dataclass(frozen=True)
class _Chunk:
    rows: Examples
    truth: npt.NDArray[np.float32]
    decided: BoolArray
    truncated: BoolArray
    start: int
    """Number of its first row."""

    def row(self, index: int) -> ScoredRow:
        truth, known = self.truth[index], ~np.isnan(self.truth[index])
        return ScoredRow(
            id=self.rows.ids[index],
            line=self.rows.lines[index],
            text=self.rows.texts[index],
            truth=tuple(np.flatnonzero(truth == 1).tolist()),
            decided=tuple(np.flatnonzero(self.decided[index] & known).tolist()),
            unknown=int((~known).sum()),
            truncated=bool(self.truncated[index]),
        )


class _WorstErrors:
    """The errors whose scores are furthest on the wrong side, so many of each label and kind."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._cells = [_no_cells(), _no_cells()]  # missed, extra
        self.rows: dict[int, ScoredRow] = {}

    def update(
        self,
        chunk: _Chunk,
        used: IntArray,
        found: Outcomes,
        scores: npt.NDArray[np.float32],
    ) -> None:
        for kind, wrong in enumerate((found.false_negative, found.false_positive)):
            places, columns = np.nonzero(wrong)
            indices = used[places]
            values = scores[indices, columns].astype(np.float64)
            new = np.stack([chunk.start + indices, columns, values], axis=1)
            both = np.concatenate([self._cells[kind], new])
            self._cells[kind] = _worst(both, self._most, highest=kind == 1)
        kept = {int(row) for cells in self._cells for row in cells[:, 0]}
        self.rows = {row: shown for row, shown in self.rows.items() if row in kept}
        for row in sorted(kept - set(self.rows)):
            self.rows[row] = chunk.row(row - chunk.start)

    def cells(self) -> list[Mistake]:
        return [
            Mistake(int(row), int(column), kind == 0, float(score))
            for kind, cells in enumerate(self._cells)
            for row, column, score in cells.tolist()
        ]


def _no_cells() -> Floats:
    return np.zeros((0, 3))


def _worst(cells: Floats, most: int, *, highest: bool) -> Floats:
    """Return so many cells of each label: (row, column, score), by column, the worst first."""
    score = -cells[:, 2] if highest else cells[:, 2]
    cells = cells[np.lexsort((cells[:, 0], score, cells[:, 1]))]
    starts = np.flatnonzero(np.diff(cells[:, 1], prepend=-1))
    sizes = np.diff(np.append(starts, len(cells)))
    rank = np.arange(len(cells)) - np.repeat(starts, sizes)
    return cells[rank < most]
