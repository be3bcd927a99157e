"""Labels in two bits a cell, how often they and their sets occur, and whether two files differ.

Letters: `N` texts, `L` labels, `B` = ceil(L / 8) bytes of a row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.memory import require_label_memory
from multihot.core.numeric import holm

__all__ = [
    "LabelBits",
    "LabelCardinality",
    "LabelFrequency",
    "Shift",
    "UnseenSets",
    "label_cardinality",
    "label_frequencies",
    "prior_shifts",
    "two_proportion_p_value",
    "unseen_label_sets",
]

BoolArray = npt.NDArray[np.bool_]
ByteArray = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]

SIGNIFICANCE = 0.01
"""A shift is significant when its p-value, corrected for all labels, is below this."""

_MAX_EXAMPLES = 5
_WINDOW_CELLS = 2**21  # unpacked at once


@dataclass(frozen=True)
class LabelBits:
    """Labels of N texts. A fraction counts as the decision it stands for (`LabelMatrix.hard`).

    Attributes
    ----------
    space
        The names of the L columns.
    positive, known
        *Shape:* (N, B), uint8: rows of L bits as `numpy.packbits` writes them, the rest 0. What is
        positive is known. `known` is `None` when every cell is.
    lists_all
        As in `LabelMatrix`.
    """

    space: LabelSpace
    positive: ByteArray
    known: ByteArray | None
    lists_all: bool = False

    @classmethod
    def from_chunks(cls, space: LabelSpace, chunks: Iterable[LabelMatrix]) -> LabelBits:
        """Pack the rows of matrices that all have the columns of `space`."""
        positive, known = [np.zeros((0, _num_bytes(space)), dtype=np.uint8)], list[ByteArray]()
        all_known = lists_all = True
        for chunk in chunks:
            labels = chunk.hard()
            positive.append(np.packbits(labels.values == 1, axis=1))
            known.append(np.packbits(labels.known, axis=1))
            all_known = all_known and bool(labels.known.all())
            lists_all = lists_all and labels.lists_all
        packed = None if all_known else np.concatenate(known)
        return cls(space, np.concatenate(positive), packed, lists_all)

    @classmethod
    def from_matrix(cls, labels: LabelMatrix) -> LabelBits:
        """Pack a matrix in memory."""
        return cls.from_chunks(labels.space, [labels])

    def __len__(self) -> int:
        return len(self.positive)

    def windows(self) -> Iterator[tuple[BoolArray, BoolArray]]:
        """Yield which cells are positive and which are known, some rows at a time, in order.

        *Shapes:* (rows, L) each.
        """
        size = max(1, _WINDOW_CELLS // len(self.space))
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            positive = self._unpacked(self.positive[rows])
            known = np.ones_like(positive)
            if self.known is not None:
                known = self._unpacked(self.known[rows])
            yield positive, known

    def matrix(self) -> LabelMatrix:
        """Return the values in memory, at four bytes a cell; raise `DataError` where they do not fit."""
        require_label_memory(len(self), len(self.space))
        values = np.empty((len(self), len(self.space)), dtype=np.float32)
        start = 0
        for positive, known in self.windows():
            window = values[start : start + len(positive)]
            window[:] = positive
            window[~known] = np.nan
            start += len(positive)
        return LabelMatrix(self.space, values, self.lists_all)

    def take(self, rows: IntArray) -> LabelBits:
        """Return the given rows in the given order."""
        known = None if self.known is None else self.known[rows]
        return replace(self, positive=self.positive[rows], known=known)

    def aligned_to(self, space: LabelSpace) -> LabelBits:
        """Return the same labels with the columns of `space`; see `LabelMatrix.aligned_to`."""
        if space == self.space:
            return self
        size = max(1, _WINDOW_CELLS // len(space))
        rows = (
            np.arange(start, min(start + size, len(self))) for start in range(0, len(self), size)
        )
        chunks = (self.take(window).matrix().aligned_to(space) for window in rows)
        return replace(self.from_chunks(space, chunks), lists_all=self.lists_all)

    def label_sets(self) -> list[bytes]:
        """Return the set of labels of every completely known row, as B bytes; see `names`."""
        rows: ByteArray = self.positive
        if self.known is not None:
            complete = np.packbits(np.ones(len(self.space), dtype=np.bool_))
            rows = rows[(self.known == complete).all(axis=1)]
        return [row.tobytes() for row in rows]

    def names(self, packed: ByteArray | bytes) -> tuple[str, ...]:
        """Return the names of the labels of a packed row, in column order."""
        row = np.frombuffer(packed, dtype=np.uint8) if isinstance(packed, bytes) else packed
        bits = np.unpackbits(row, count=len(self.space))
        return tuple(self.space.names[column] for column in np.flatnonzero(bits))

    def contrast(self, rows: IntArray) -> tuple[ByteArray, ByteArray]:
        """Return which labels some of the rows have, and which some of them are known to lack.

        *Shapes:* (B,) each, packed.
        """
        positive = self.positive[rows]
        negative = ~positive if self.known is None else self.known[rows] & ~positive
        return np.bitwise_or.reduce(positive, axis=0), np.bitwise_or.reduce(negative, axis=0)

    def _unpacked(self, packed: ByteArray) -> BoolArray:
        return np.unpackbits(packed, axis=1, count=len(self.space)).view(np.bool_)


def _num_bytes(space: LabelSpace) -> int:
    return -(-len(space) // 8)


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
class LabelCardinality:
    """Rows by their number of labels."""

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


def label_cardinality(labels: LabelBits) -> LabelCardinality:
    """Count rows by their number of labels."""
    sizes = [np.zeros(0, dtype=np.int64)]
    for positive, known in labels.windows():
        sizes.append(positive[known.any(axis=1)].sum(axis=1))
    size = np.concatenate(sizes)
    return LabelCardinality(
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
