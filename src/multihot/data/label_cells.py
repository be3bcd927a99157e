"""Label values in one byte a cell, wherever they lie: in memory or in a mapped file.

Letters: `N` texts, `L` labels, `B` rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from multihot.labels import LabelMatrix, LabelSpace

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
        *Shape:* (M, L), uint8: 0 = has it not, 1 = has the label, 2 = unknown.
    rows
        *Shape:* (N,), int64. Which rows of `codes` these are; `None` = all, in their order.
    """

    space: LabelSpace
    codes: CodeArray
    rows: IndexArray | None = None

    @classmethod
    def of_matrix(cls, labels: LabelMatrix) -> LabelCells:
        """Return the cells of a matrix in memory."""
        return cls(labels.space, label_codes(labels.values))

    def __len__(self) -> int:
        return len(self.codes if self.rows is None else self.rows)

    def values(self, rows: IndexArray) -> FloatArray:
        """Return the values of the given rows: 0, 1 or NaN. *Shapes:* (B,) -> (B, L), float32."""
        return _VALUES[self.codes[self._places(rows)]]

    def take(self, rows: IndexArray) -> LabelCells:
        """Return the given rows in the given order, without a copy of their cells."""
        return replace(self, rows=self._places(rows))

    def matrix(self) -> LabelMatrix:
        """Return all values in memory, at four bytes a cell."""
        return LabelMatrix(self.space, self.values(np.arange(len(self))))

    def is_positive(self, rows: IndexArray) -> npt.NDArray[np.bool_]:
        """Return which of the given rows have which label. *Shapes:* (B,) -> (B, L)."""
        found = np.empty((len(rows), len(self.space)), dtype=np.bool_)
        for start, codes in self._windows(rows):
            found[start : start + len(codes)] = codes == 1
        return found

    def positives(self) -> IndexArray:
        """Return the number of texts that have each label. *Shape:* (L,), int64."""
        count = np.zeros(len(self.space), dtype=np.int64)
        for _, codes in self._windows():
            count += (codes == 1).sum(axis=0)
        return count

    def num_unknown(self) -> int:
        """Return the number of unknown cells."""
        return sum(int((codes == _UNKNOWN).sum()) for _, codes in self._windows())

    def labelled(self) -> npt.NDArray[np.bool_]:
        """Return which texts have a known cell. *Shape:* (N,)."""
        found = np.empty(len(self), dtype=np.bool_)
        for start, codes in self._windows():
            found[start : start + len(codes)] = (codes != _UNKNOWN).any(axis=1)
        return found

    def _places(self, rows: IndexArray) -> IndexArray:
        return rows if self.rows is None else self.rows[rows]

    def _windows(self, rows: IndexArray | None = None) -> Iterator[tuple[int, CodeArray]]:
        """Yield position and codes of so many rows at a time that little memory is taken."""
        size = max(1, _WINDOW_CELLS // len(self.space))
        for start in range(0, len(self) if rows is None else len(rows), size):
            end = start + size
            part = np.arange(start, min(end, len(self))) if rows is None else rows[start:end]
            yield start, self.codes[self._places(part)]
