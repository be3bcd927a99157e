"""How often labels and label sets occur, and whether two files differ in it beyond chance.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from multihot.core.labels import LabelMatrix
from multihot.core.numeric import holm

__all__ = [
    "LabelShare",
    "RowCounts",
    "Shift",
    "UnseenSets",
    "count_rows",
    "label_shares",
    "prior_shifts",
    "two_proportion_p_value",
    "unseen_label_sets",
]

SIGNIFICANCE = 0.01
"""A shift is called one when its p-value, corrected for all labels, is below this."""

_MAX_EXAMPLES = 5


@dataclass(frozen=True)
class LabelShare:
    """How often one label occurs in one file."""

    positives: int
    """Texts that have the label."""
    unknown: int
    """Texts of which it is not known, unlabelled ones included."""
    share: float | None
    """Positives among the texts of which it is known; `None` when there are none."""


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
    """Different sets of labels among the rows of which every cell is known."""


@dataclass(frozen=True)
class Shift:
    """A label's share in the first file and in another."""

    first: float
    second: float
    difference: float
    """Second minus first, a fraction."""
    p_value: float
    """Of equal shares in what both files were drawn from, Holm-corrected over the labels."""

    @property
    def significant(self) -> bool:
        """Whether chance alone would hardly give this difference."""
        return self.p_value < SIGNIFICANCE


@dataclass(frozen=True)
class UnseenSets:
    """Sets of labels in a file that never occur in the first, among completely known rows."""

    rows: int
    sets: int
    examples: tuple[tuple[str, ...], ...]
    """The most frequent ones."""


def label_shares(labels: LabelMatrix) -> dict[str, LabelShare]:
    """Return by name how often each label occurs; a fraction counts as what it decides for."""
    labels = labels.hard()
    known = labels.known.sum(axis=0).tolist()
    return {
        name: LabelShare(count, len(labels) - num_known, count / num_known if num_known else None)
        for name, count, num_known in zip(
            labels.space.names, labels.positives().tolist(), known, strict=True
        )
    }


def count_rows(labels: LabelMatrix) -> RowCounts:
    """Count rows by their number of labels; a fraction counts as what it decides for."""
    labels = labels.hard()
    labelled = labels.known.any(axis=1)
    sizes = (labels.values[labelled] == 1).sum(axis=1)
    return RowCounts(
        unlabelled=int((~labelled).sum()),
        without_label=int((sizes == 0).sum()),
        with_one_label=int((sizes == 1).sum()),
        with_several_labels=int((sizes > 1).sum()),
        mean_labels=float(sizes.mean()) if len(sizes) else None,
        label_sets=len(set(_label_sets(labels))),
    )


def unseen_label_sets(first: LabelMatrix, second: LabelMatrix) -> UnseenSets:
    """Return the label sets of `second` that `first` never has; both have the same columns."""
    seen = set(_label_sets(first))
    counts: dict[bytes, int] = {}
    for found in _label_sets(second):
        if found not in seen:
            counts[found] = counts.get(found, 0) + 1
    frequent = sorted(counts, key=lambda found: -counts[found])[:_MAX_EXAMPLES]
    names = np.asarray(first.space.names, dtype=object)
    examples = tuple(tuple(names[np.frombuffer(found, dtype=np.bool_)]) for found in frequent)
    return UnseenSets(sum(counts.values()), len(counts), examples)


def _label_sets(labels: LabelMatrix) -> list[bytes]:
    """Return one hashable label set per completely known row: L bytes, 1 = has the label."""
    labels = labels.hard()
    complete = labels.known.all(axis=1)
    return [row.tobytes() for row in labels.values[complete] == 1]


def prior_shifts(first: LabelMatrix, second: LabelMatrix) -> dict[str, Shift]:
    """Compare the share of every label that both files know something of, by name.

    A two-proportion z-test per label, corrected over the labels by Holm's method.
    """
    before, after = label_shares(first), label_shares(second)
    names = [
        name
        for name in first.space.names
        if before[name].share is not None and after[name].share is not None
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

    z = (p1 - p2) / sqrt(p (1 - p) (1/n1 + 1/n2)), with p the share of both samples together (Fleiss,
    Levin and Paik, Statistical Methods for Rates and Proportions, section 3.2, without the
    continuity correction). Samples that are all positive or all negative do not differ: 1. It
    supposes independent rows and is rough for fewer than about five positives.
    """
    pooled = (positives + positives_2) / (total + total_2)
    variance = pooled * (1 - pooled) * (1 / total + 1 / total_2)
    if variance <= 0:
        return 1.0
    z = (positives / total - positives_2 / total_2) / math.sqrt(variance)
    return math.erfc(abs(z) / math.sqrt(2))
