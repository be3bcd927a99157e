"""Labels of many texts in two bits a cell: whether a label is known, and whether it is positive.

Letters: `N` texts, `L` labels, `B` = ceil(L / 8) bytes of a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix, LabelSpace

__all__ = ["LabelBits"]

BoolArray = npt.NDArray[np.bool_]
ByteArray = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]

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
        """Return the values in memory, at four bytes a cell."""
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
