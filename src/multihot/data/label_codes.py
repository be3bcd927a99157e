"""Label values in one byte a cell, wherever they lie: in memory or in a mapped file.

Soft labels, which may be any fraction, take four.

Letters: `N` texts, `L` labels, `B` rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix, LabelSpace

__all__ = ["LabelCells", "label_codes"]

CodeArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.int64]

_UNKNOWN = 2
_VALUES = np.array([0, 1, np.nan], dtype=np.float32)  # what the codes stand for
_WINDOW_CELLS = 2**24  # cells looked at together; bounds memory, whatever N is


def label_codes(values: FloatArray) -> CodeArray:
    """Return 0, 1 and NaN as 0, 1 and 2. *Shapes:* (N, L), float32 -> (N, L), uint8."""
    return np.where(np.isnan(values), _UNKNOWN, values).astype(np.uint8)


@dataclass(frozen=True)
class LabelCells:
    """Label values of N texts.

    Attributes
    ----------
    space
        The names of the L columns.
    codes
        *Shape:* (M, L). uint8: 0 = has it not, 1 = has the label, 2 = unknown. Of soft labels
        float32: the values themselves, NaN = unknown.
    rows
        *Shape:* (N,), int64. Which rows of `codes` these are; `None` = all, in their order.
    """

    space: LabelSpace
    codes: CodeArray | FloatArray
    rows: IndexArray | None = None

    @classmethod
    def of_matrix(cls, labels: LabelMatrix) -> LabelCells:
        """Return the cells of a matrix in memory."""
        values = labels.values
        return cls(labels.space, values if labels.is_soft else label_codes(values))

    def __len__(self) -> int:
        return len(self.codes if self.rows is None else self.rows)

    def values(self, rows: IndexArray) -> FloatArray:
        """Return the values of the given rows, NaN = unknown. *Shapes:* (B,) -> (B, L), float32."""
        codes = self.codes[self._places(rows)]
        return np.asarray(codes, np.float32) if _is_soft(codes) else _VALUES[codes.astype(np.uint8)]

    def take(self, rows: IndexArray) -> LabelCells:
        """Return the given rows in the given order, without a copy of their cells."""
        return replace(self, rows=self._places(rows))

    def matrix(self) -> LabelMatrix:
        """Return all values in memory, at four bytes a cell."""
        return LabelMatrix(self.space, self.values(np.arange(len(self))))

    def is_positive(self, rows: IndexArray) -> npt.NDArray[np.bool_]:
        """Return which of the given rows have which label (above 0.5). *Shapes:* (B,) -> (B, L)."""
        found = np.empty((len(rows), len(self.space)), dtype=np.bool_)
        for start, codes in self._windows(rows):
            found[start : start + len(codes)] = _has(codes)
        return found

    def positives(self) -> IndexArray:
        """Return the number of texts that have each label. *Shape:* (L,), int64."""
        count = np.zeros(len(self.space), dtype=np.int64)
        for _, codes in self._windows():
            count += _has(codes).sum(axis=0)
        return count

    def sums(self) -> npt.NDArray[np.float64]:
        """Return the sum of the known values of each label; without fractions its positives. (L,)."""
        total = np.zeros(len(self.space), dtype=np.float64)
        for _, codes in self._windows():
            values = codes if _is_soft(codes) else _has(codes)
            total += np.nansum(values, axis=0, dtype=np.float64)
        return total

    def known(self) -> IndexArray:
        """Return the number of texts of which each label is known. *Shape:* (L,), int64."""
        count = np.zeros(len(self.space), dtype=np.int64)
        for _, codes in self._windows():
            count += _known(codes).sum(axis=0)
        return count

    def num_unknown(self) -> int:
        """Return the number of unknown cells."""
        return sum(int((~_known(codes)).sum()) for _, codes in self._windows())

    def labelled(self) -> npt.NDArray[np.bool_]:
        """Return which texts have a known cell. *Shape:* (N,)."""
        found = np.empty(len(self), dtype=np.bool_)
        for start, codes in self._windows():
            found[start : start + len(codes)] = _known(codes).any(axis=1)
        return found

    def _places(self, rows: IndexArray) -> IndexArray:
        return rows if self.rows is None else self.rows[rows]

    def _windows(
        self, rows: IndexArray | None = None
    ) -> Iterator[tuple[int, CodeArray | FloatArray]]:
        """Yield position and codes of so many rows at a time that little memory is taken."""
        size = max(1, _WINDOW_CELLS // len(self.space))
        for start in range(0, len(self) if rows is None else len(rows), size):
            end = start + size
            part = np.arange(start, min(end, len(self))) if rows is None else rows[start:end]
            yield start, self.codes[self._places(part)]


def _has(codes: CodeArray | FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray(codes > 0.5 if _is_soft(codes) else codes == 1)


def _known(codes: CodeArray | FloatArray) -> npt.NDArray[np.bool_]:
    return np.asarray(~np.isnan(codes) if _is_soft(codes) else codes != _UNKNOWN)


def _is_soft(codes: CodeArray | FloatArray) -> bool:
    return codes.dtype == np.float32
