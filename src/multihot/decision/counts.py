"""Metrics built on counts of true and false positives: exact, streamed, memory O(L).

Letters: `N` texts, `L` labels, `R` sums, `K` = 3 L + 6 counts. Truth is float32 (N, L) with 1 =
positive, 0 = negative, NaN = unknown. Unknown cells are removed from truth and prediction alike, and
a row with no known cell is excluded and counted.

An undefined ratio (0/0) is NaN in arrays and `None` elsewhere, never silently 0 or 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.errors import LabelError

__all__ = [
    "COUNT_METRICS",
    "NUM_ROW_COUNTS",
    "Counts",
    "LabelCounts",
    "Outcomes",
    "count_metrics",
    "label_f1",
    "label_metrics",
    "number",
    "outcomes",
    "ratio",
]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

COUNT_METRICS = (
    "jaccard",
    "jaccard_empty_zero",
    "micro_f1",
    "macro_f1",
    "weighted_f1",
    "samples_f1",
    "micro_precision",
    "micro_recall",
    "subset_accuracy",
    "hamming_loss",
)
"""The metrics that are built on counts, in the order in which they are shown."""

NUM_ROW_COUNTS = 6
"""Counts of rows behind those of the labels, see `Outcomes.per_row`."""


@dataclass(frozen=True)
class LabelCounts:
    """What the counts say about one label; a ratio of 0/0 is `None`."""

    support: int
    """Known cells that have the label."""
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Outcomes:
    """Decisions against truth, of the rows that have a known cell.

    Attributes
    ----------
    known, true_positive, false_positive, false_negative
        *Shape:* (rows, L) each, bool.
    """

    known: BoolArray
    true_positive: BoolArray
    false_positive: BoolArray
    false_negative: BoolArray

    @property
    def num_right(self) -> IntArray:
        """True positives of each row. *Shape:* (rows,)."""
        return np.asarray(self.true_positive.sum(axis=1))

    @property
    def num_wrong(self) -> IntArray:
        """Errors of each row. *Shape:* (rows,)."""
        return np.asarray((self.false_positive | self.false_negative).sum(axis=1))

    def per_row(self) -> Floats:
        """Return what each row adds to the sums of `count_metrics`. *Shape:* (rows, K), float64.

        True positives, false positives and false negatives of each label; then the Jaccard index of
        the row with empty sets as 1 and as 0, its F1, whether it is all right, 1, and its known cells.
        """
        cells = [self.true_positive, self.false_positive, self.false_negative]
        return np.concatenate([*cells, self.row_counts()], axis=1, dtype=np.float64)

    def row_counts(self) -> Floats:
        """Return the last of these, which are not of single labels. *Shape:* (rows, 6), float64."""
        right, wrong = self.num_right, self.num_wrong
        empty = right + wrong == 0
        jaccard = right / np.maximum(right + wrong, 1)
        f1 = 2 * right / np.maximum(2 * right + wrong, 1)
        ones = np.ones(len(right))
        rows = [jaccard + empty, jaccard, f1 + empty, wrong == 0, ones, self.known.sum(axis=1)]
        return np.stack(rows, axis=1, dtype=np.float64)


def outcomes(truth: npt.NDArray[np.floating], predicted: BoolArray) -> Outcomes:
    """Return the outcomes of the rows that have a known cell. *Shapes:* (N, L) both."""
    known = ~np.isnan(truth)
    used = known.any(axis=1)
    truth, predicted, known = truth[used], predicted[used], known[used]
    positive = truth == 1
    return Outcomes(
        known, positive & predicted, known & ~positive & predicted, positive & ~predicted
    )


class Counts:
    """Counts of decisions against truth, to which any number of chunks may be added.

    Only whole numbers are kept, so the metrics do not depend on how the rows were cut into chunks
    or ordered, to the last bit.

    Attributes
    ----------
    true_positive, false_positive, false_negative, known
        Cells of each label. *Shape:* (L,), int64.
    num_rows
        Rows that entered the counts.
    num_rows_excluded
        Rows left out because none of their cells is known.
    """

    def __init__(self, num_labels: int) -> None:
        self.true_positive = np.zeros(num_labels, dtype=np.int64)
        self.false_positive = np.zeros(num_labels, dtype=np.int64)
        self.false_negative = np.zeros(num_labels, dtype=np.int64)
        self.known = np.zeros(num_labels, dtype=np.int64)
        self.num_rows = 0
        self.num_rows_excluded = 0
        # Per-row ratios are summed as numerators per denominator, which keeps the sums exact.
        self._right_by_union = np.zeros(num_labels + 1, dtype=np.int64)
        self._right_by_sizes = np.zeros(2 * num_labels + 1, dtype=np.int64)
        self._num_empty = 0
        self._num_equal = 0

    def update(self, truth: npt.NDArray[np.floating], predicted: BoolArray) -> Outcomes:
        """Add rows, and return their outcomes.

        Parameters
        ----------
        truth
            *Shape:* (N, L), each 0, 1 or NaN (unknown).
        predicted
            Whether each label was given. *Shape:* (N, L), bool.

        Raises
        ------
        LabelError
            The shapes are not both (N, L).
        """
        truth = np.asarray(truth, dtype=np.float32)
        predicted = np.asarray(predicted, dtype=np.bool_)
        num_labels = len(self.known)
        if truth.ndim != 2 or truth.shape[1] != num_labels or truth.shape != predicted.shape:
            raise LabelError(
                f"Truth has shape {truth.shape} and prediction {predicted.shape}; "
                f"expected (rows, {num_labels}) for both."
            )
        found = outcomes(truth, predicted)
        self.num_rows += len(found.known)
        self.num_rows_excluded += len(truth) - len(found.known)
        self.known += found.known.sum(axis=0)
        self.true_positive += found.true_positive.sum(axis=0)
        self.false_positive += found.false_positive.sum(axis=0)
        self.false_negative += found.false_negative.sum(axis=0)
        right, wrong = found.num_right, found.num_wrong
        np.add.at(self._right_by_union, right + wrong, right)
        np.add.at(self._right_by_sizes, 2 * right + wrong, right)
        self._num_empty += int(np.count_nonzero(right + wrong == 0))
        self._num_equal += int(np.count_nonzero(wrong == 0))
        return found

    def sums(self) -> Floats:
        """Return the sums that `count_metrics` takes. *Shape:* (1, K)."""
        jaccard = _sum_of_ratios(self._right_by_union)
        rows = (
            jaccard + self._num_empty,
            jaccard,
            _sum_of_ratios(2 * self._right_by_sizes) + self._num_empty,
            self._num_equal,
            self.num_rows,
            int(self.known.sum()),
        )
        cells = (self.true_positive, self.false_positive, self.false_negative)
        return np.concatenate([*cells, rows], dtype=np.float64)[None]

    def per_label(self) -> list[LabelCounts]:
        """Return support, precision, recall and F1 of each label, in column order."""
        support = (self.true_positive + self.false_negative).tolist()
        figures = [values[0].tolist() for values in label_metrics(self.sums()).values()]
        return [
            LabelCounts(count, *map(number, values))
            for count, *values in zip(support, *figures, strict=True)
        ]

    def metrics(self) -> dict[str, float | None]:
        """Return each of `COUNT_METRICS`, between 0 and 1, or `None` where it is undefined."""
        return {name: number(values[0]) for name, values in count_metrics(self.sums()).items()}


def count_metrics(sums: Floats) -> dict[str, Floats]:
    """Return each of `COUNT_METRICS` of each sum of `Outcomes.per_row`. *Shapes:* (R, K) -> (R,).

    `jaccard` and `samples_f1` count a row without any label in truth and prediction as 1
    (scikit-learn: `zero_division=1`), `jaccard_empty_zero` counts it as 0. `macro_f1` is the mean
    over the labels that occur in truth or prediction (scikit-learn: `zero_division=nan`);
    `weighted_f1` weighs them by support.
    """
    labels = sums[:, :-NUM_ROW_COUNTS].reshape(len(sums), 3, -1)
    right, extra, missed = np.moveaxis(labels.sum(axis=2), 1, 0)
    jaccard, jaccard_zero, samples, equal, rows, known = sums[:, -NUM_ROW_COUNTS:].T
    f1 = label_f1(sums)
    defined = ~np.isnan(f1)
    f1, support = np.where(defined, f1, 0.0), labels[:, 0] + labels[:, 2]
    found = (
        ratio(jaccard, rows),
        ratio(jaccard_zero, rows),
        ratio(2 * right, 2 * right + extra + missed),
        ratio(_row_sums(f1), defined.sum(axis=1)),
        ratio(_row_sums(f1 * support), right + missed),
        ratio(samples, rows),
        ratio(right, right + extra),
        ratio(right, right + missed),
        ratio(equal, rows),
        ratio(extra + missed, known),
    )
    return dict(zip(COUNT_METRICS, found, strict=True))


def label_f1(sums: Floats) -> Floats:
    """Return the F1 of each label. *Shapes:* (R, K) -> (R, L)."""
    right, extra, missed = np.moveaxis(sums[:, :-NUM_ROW_COUNTS].reshape(len(sums), 3, -1), 1, 0)
    return ratio(2 * right, 2 * right + extra + missed)


def label_metrics(sums: Floats) -> dict[str, Floats]:
    """Return precision, recall and F1 of each label. *Shapes:* (R, K) -> (R, L)."""
    labels = sums[:, :-NUM_ROW_COUNTS].reshape(len(sums), 3, -1)
    right, extra, missed = np.moveaxis(labels, 1, 0)
    return {
        "precision": ratio(right, right + extra),
        "recall": ratio(right, right + missed),
        "f1": label_f1(sums),
    }


def ratio(numerator: npt.NDArray[np.generic], denominator: npt.NDArray[np.generic]) -> Floats:
    """Divide in float64; 0/0 is NaN."""
    top, bottom = numerator.astype(np.float64), denominator.astype(np.float64)
    result = np.full(np.broadcast(top, bottom).shape, np.nan)
    np.divide(top, bottom, out=result, where=bottom != 0)
    return result


def number(value: float | np.float64) -> float | None:
    """Return a plain number, `None` for NaN."""
    return None if math.isnan(value) else float(value)


def _row_sums(values: Floats) -> Floats:
    """Return the exact sum of each row, whatever the order of the labels. *Shapes:* (R, L) -> (R,)."""
    return np.array([math.fsum(row.tolist()) for row in values])


def _sum_of_ratios(numerators: IntArray) -> float:
    """Return the sum of `numerators[d] / d` over all denominators `d` above 0."""
    sizes = np.flatnonzero(numerators)
    sizes = sizes[sizes > 0]
    return math.fsum((numerators[sizes] / sizes).tolist())
