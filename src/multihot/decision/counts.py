"""Metrics built on counts of true and false positives: exact, streamed, memory O(L).

Letters: `N` texts, `L` labels. Truth is float32 (N, L) with 1 = has the label, 0 = has it not,
NaN = unknown. Unknown cells are removed from truth and prediction alike, and a row with no known
cell is excluded and counted.

An undefined ratio (0/0) is `None`, never silently 0 or 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.decision.intervals import wilson_interval
from multihot.errors import LabelError

__all__ = ["COUNT_METRICS", "Counts", "LabelCounts"]

IntArray = npt.NDArray[np.int64]

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


@dataclass(frozen=True)
class LabelCounts:
    """What the counts say about one label; a ratio of 0/0 is `None`."""

    support: int
    """Known cells that have the label."""
    precision: float | None
    recall: float | None
    f1: float | None


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
        self._overlap_by_union = np.zeros(num_labels + 1, dtype=np.int64)
        self._overlap_by_sizes = np.zeros(2 * num_labels + 1, dtype=np.int64)
        self._num_empty = 0
        self._num_equal = 0

    def update(self, truth: npt.NDArray[np.floating], predicted: npt.NDArray[np.bool_]) -> None:
        """Add rows.

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
        known = ~np.isnan(truth)
        used = known.any(axis=1)
        truth, predicted, known = truth[used], predicted[used], known[used]
        positive = truth == 1
        hit, extra, missed = (
            positive & predicted,
            known & ~positive & predicted,
            positive & ~predicted,
        )

        self.num_rows += len(truth)
        self.num_rows_excluded += int(np.count_nonzero(~used))
        self.known += known.sum(axis=0)
        self.true_positive += hit.sum(axis=0)
        self.false_positive += extra.sum(axis=0)
        self.false_negative += missed.sum(axis=0)

        overlap, wrong = hit.sum(axis=1), (extra | missed).sum(axis=1)
        np.add.at(self._overlap_by_union, overlap + wrong, overlap)
        np.add.at(self._overlap_by_sizes, 2 * overlap + wrong, overlap)
        self._num_empty += int(np.count_nonzero(overlap + wrong == 0))
        self._num_equal += int(np.count_nonzero(wrong == 0))

    def per_label(self) -> list[LabelCounts]:
        """Return support, precision, recall and F1 of each label, in column order."""
        return [
            LabelCounts(
                support=hit + missed,
                precision=_ratio(hit, hit + extra),
                recall=_ratio(hit, hit + missed),
                f1=_ratio(2 * hit, 2 * hit + extra + missed),
            )
            for hit, extra, missed in zip(
                self.true_positive.tolist(),
                self.false_positive.tolist(),
                self.false_negative.tolist(),
                strict=True,
            )
        ]

    def label_intervals(self) -> dict[str, list[float | None]]:
        """Return the ends of 95 % intervals of precision, recall and F1 of each label.

        Given how many texts count, each is a share of independent texts or a rising function of one:
        with J = true positives / (true positives + errors), F1 = 2 J / (1 + J). So the interval of
        Wilson 1927 holds, also for labels that few texts have. The keys are those of a report, such
        as `f1_low`; `None` where undefined.
        """
        hit, extra, missed = self.true_positive, self.false_positive, self.false_negative
        low, high = wilson_interval(hit, hit + extra + missed)
        ends = {
            "precision": wilson_interval(hit, hit + extra),
            "recall": wilson_interval(hit, hit + missed),
            "f1": (2 * low / (1 + low), 2 * high / (1 + high)),
        }
        return {
            f"{name}_{end}": [None if math.isnan(value) else value for value in values.tolist()]
            for name, both in ends.items()
            for end, values in zip(("low", "high"), both, strict=True)
        }

    def metrics(self) -> dict[str, float | None]:
        """Return every metric, each between 0 and 1, or `None` where it is undefined.

        `jaccard` and `samples_f1` count a row without any label in truth and prediction as 1
        (scikit-learn: `zero_division=1`), `jaccard_empty_zero` counts it as 0. `macro_f1` is the mean
        over the labels that occur in truth or prediction (scikit-learn: `zero_division=nan`);
        `weighted_f1` weighs them by support.
        """
        hit, extra, missed, known = (
            int(count.sum())
            for count in (self.true_positive, self.false_positive, self.false_negative, self.known)
        )
        labels = self.per_label()
        defined = [label.f1 for label in labels if label.f1 is not None]
        weighted = math.fsum(label.support * (label.f1 or 0.0) for label in labels)
        jaccard_sum = _sum_of_ratios(self._overlap_by_union)
        samples_sum = _sum_of_ratios(2 * self._overlap_by_sizes)
        return {
            "jaccard": _ratio(jaccard_sum + self._num_empty, self.num_rows),
            "jaccard_empty_zero": _ratio(jaccard_sum, self.num_rows),
            "micro_f1": _ratio(2 * hit, 2 * hit + extra + missed),
            "macro_f1": _ratio(math.fsum(defined), len(defined)),
            "weighted_f1": _ratio(weighted, hit + missed),
            "samples_f1": _ratio(samples_sum + self._num_empty, self.num_rows),
            "micro_precision": _ratio(hit, hit + extra),
            "micro_recall": _ratio(hit, hit + missed),
            "subset_accuracy": _ratio(self._num_equal, self.num_rows),
            "hamming_loss": _ratio(extra + missed, known),
        }


def _ratio(numerator: float, denominator: int) -> float | None:
    """Return the ratio, or `None` for a denominator of 0."""
    return numerator / denominator if denominator else None


def _sum_of_ratios(numerators: IntArray) -> float:
    """Return the sum of `numerators[d] / d` over all denominators `d` above 0."""
    return math.fsum(count / number for number, count in enumerate(numerators.tolist()) if number)
