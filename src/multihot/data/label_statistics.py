"""How often labels and label sets occur, and whether two files differ in it significantly.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import holm
from multihot.data.label_bits import LabelBits

__all__ = [
    "LabelFrequency",
    "RowCounts",
    "Shift",
    "UnseenSets",
    "count_rows",
    "label_frequencies",
    "prior_shifts",
    "two_proportion_p_value",
    "unseen_label_sets",
]

IntArray = npt.NDArray[np.int64]

SIGNIFICANCE = 0.01
"""A shift is significant when its p-value, corrected for all labels, is below this."""

_MAX_EXAMPLES = 5


@dataclass(frozen=True)
class LabelFrequency:
    """How often one label occurs in one file."""

    positives: int
    """Texts that have the label."""
    unknown: int
    """Texts for which the label is unknown, unlabelled ones included."""
    share: float | None
    """Positives divided by the texts for which it is known; `None` when there are none."""


@dataclass(frozen=True)
class RowCounts:
    """Rows by what is known of their labels."""

    unlabelled: int
    """Rows without a known cell; the following fields leave them out."""
    without_label: int
    """Rows without a known positive."""
    with_one_label: int
    with_several_labels: int
    mean_labels: float | None
    """Positives per row; `None` when all rows are unlabelled."""
    label_sets: int
    """Different sets of labels among the rows without an unknown cell."""


@dataclass(frozen=True)
class Shift:
    """A label's frequency in the first file and in another."""

    first: float
    second: float
    difference: float
    """Second minus first, a fraction."""
    p_value: float
    """Of equal frequencies in the populations of both files, Holm-corrected over the labels."""

    @property
    def significant(self) -> bool:
        """Whether the p-value is below 0.01."""
        return self.p_value < SIGNIFICANCE


@dataclass(frozen=True)
class UnseenSets:
    """Sets of labels in a file that never occur in the first, among completely known rows."""

    rows: int
    sets: int
    examples: tuple[tuple[str, ...], ...]
    """The most frequent ones."""


def label_frequencies(labels: LabelBits) -> dict[str, LabelFrequency]:
    """Return by name how often each label occurs."""
    positives, known = _counts(labels)
    return {
        name: LabelFrequency(
            count, len(labels) - num_known, count / num_known if num_known else None
        )
        for name, count, num_known in zip(
            labels.space.names, positives.tolist(), known.tolist(), strict=True
        )
    }


def count_rows(labels: LabelBits) -> RowCounts:
    """Count rows by their number of labels."""
    sizes = [np.zeros(0, dtype=np.int64)]
    for positive, known in labels.windows():
        sizes.append(positive[known.any(axis=1)].sum(axis=1))
    size = np.concatenate(sizes)
    return RowCounts(
        unlabelled=len(labels) - len(size),
        without_label=int((size == 0).sum()),
        with_one_label=int((size == 1).sum()),
        with_several_labels=int((size > 1).sum()),
        mean_labels=float(size.mean()) if len(size) else None,
        label_sets=len(set(labels.label_sets())),
    )


def unseen_label_sets(first: LabelBits, second: LabelBits) -> UnseenSets:
    """Return the label sets of `second` that `first` never has; both have the same columns."""
    seen = set(first.label_sets())
    counts = Counter(each for each in second.label_sets() if each not in seen)
    examples = tuple(second.names(each) for each, _ in counts.most_common(_MAX_EXAMPLES))
    return UnseenSets(counts.total(), len(counts), examples)


def prior_shifts(first: LabelBits, second: LabelBits) -> dict[str, Shift]:
    """Compare the frequency of every label that is known in both files, by name.

    A two-proportion z-test per label, corrected over the labels by Holm's method.
    """
    before, after = label_frequencies(first), label_frequencies(second)
    names = [
        name
        for name, old in before.items()
        if old.share is not None and after[name].share is not None
    ]
    p_values = [
        two_proportion_p_value(
            before[name].positives,
            len(first) - before[name].unknown,
            after[name].positives,
            len(second) - after[name].unknown,
        )
        for name in names
    ]
    shifts = {}
    for name, p_value in zip(names, holm(p_values), strict=True):
        old, new = before[name].share or 0.0, after[name].share or 0.0
        shifts[name] = Shift(old, new, new - old, p_value)
    return shifts


def two_proportion_p_value(positives: int, total: int, positives_2: int, total_2: int) -> float:
    """Return the two-sided p-value of the pooled two-proportion z-test.

    z = (p1 - p2) / sqrt(p (1 - p) (1/n1 + 1/n2)), with p the proportion in both samples together
    (Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, section 3.2, without the
    continuity correction). Samples that are all positive or all negative do not differ: 1. It assumes
    independent rows and is rough for fewer than about five positives.
    """
    pooled = (positives + positives_2) / (total + total_2)
    variance = pooled * (1 - pooled) * (1 / total + 1 / total_2)
    if variance <= 0:
        return 1.0
    z = (positives / total - positives_2 / total_2) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2))


def _counts(labels: LabelBits) -> tuple[IntArray, IntArray]:
    """Return the positives and the known cells of each label. *Shapes:* (L,) each, int64."""
    positives = np.zeros(len(labels.space), dtype=np.int64)
    num_known = np.zeros_like(positives)
    for positive, known in labels.windows():
        positives += positive.sum(axis=0)
        num_known += known.sum(axis=0)
    return positives, num_known
