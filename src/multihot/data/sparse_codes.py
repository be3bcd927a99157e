"""Label codes of many labels, of which a text has a few: only the cells that differ from their row.

Letters: `M` rows, `L` labels, `K` stored cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["UNKNOWN", "SparseCodes"]

IntArray = npt.NDArray[np.int64]

UNKNOWN = 2
"""The code of an unknown label; 0 is negative and 1 positive."""


@dataclass(frozen=True, eq=False)
class SparseCodes:
    """Codes as compressed rows; indexing with rows returns them dense.

    Attributes
    ----------
    num_labels
        L.
    common
        *Shape:* (M,), uint8. The code of all cells of a row that are not stored: negative or unknown.
    offsets
        *Shape:* (M + 1,), int64. Where the stored cells of each row begin, and the end.
    columns
        *Shape:* (K,), int32. The label of each stored cell, rising in each row.
    cells
        *Shape:* (K,), uint8. Its code.
    """

    num_labels: int
    common: npt.NDArray[np.uint8]
    offsets: IntArray
    columns: npt.NDArray[np.int32]
    cells: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, codes: npt.NDArray[np.uint8]) -> SparseCodes:
        """Return codes, *shape* (M, L), in compressed rows."""
        negative, unknown = (np.count_nonzero(codes == code, axis=1) for code in (0, UNKNOWN))
        common = np.where(unknown > negative, UNKNOWN, 0).astype(np.uint8)
        differs = codes != common[:, None]
        offsets = np.zeros(len(codes) + 1, dtype=np.int64)
        np.cumsum(differs.sum(axis=1), out=offsets[1:])
        columns = np.nonzero(differs)[1].astype(np.int32)
        return cls(codes.shape[1], common, offsets, columns, codes[differs])

    @property
    def shape(self) -> tuple[int, int]:
        """M and L."""
        return len(self.common), self.num_labels

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """The type of a cell."""
        return self.cells.dtype

    def __len__(self) -> int:
        return len(self.common)

    def __getitem__(self, rows: slice | IntArray) -> npt.NDArray[np.uint8]:
        """Return the given rows. *Shape:* (N, L), uint8."""
        wanted = np.arange(len(self))[rows]
        dense = np.repeat(self.common[wanted, None], self.num_labels, axis=1)
        owners, places = self._stored(wanted)
        dense[owners, self.columns[places]] = self.cells[places]
        return dense

    def counts(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Return in how many of the rows each label is known, and positive. *Shape:* (L,) each."""
        owners, places = self._stored(rows)
        columns, cells = self.columns[places], self.cells[places]
        is_unknown = self.common[rows] == UNKNOWN
        of_unknown = is_unknown[owners]
        known = np.full(self.num_labels, len(rows) - int(is_unknown.sum()), dtype=np.int64)
        known += self._count(columns[of_unknown & (cells != UNKNOWN)])
        known -= self._count(columns[~of_unknown & (cells == UNKNOWN)])
        return known, self._count(columns[cells == 1])

    def has_known(self, rows: IntArray) -> npt.NDArray[np.bool_]:
        """Return which of the rows have a known cell. *Shape:* (N,)."""
        owners, places = self._stored(rows)
        stored_unknown = owners[self.cells[places] == UNKNOWN]
        num_unknown = np.bincount(stored_unknown, minlength=len(rows))
        stored = self.offsets[rows + 1] - self.offsets[rows]
        is_unknown = self.common[rows] == UNKNOWN
        return np.where(is_unknown, stored > num_unknown, num_unknown < self.num_labels)

    def _stored(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Return of each stored cell of the rows which of them it belongs to, and its place."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        owners = np.repeat(np.arange(len(rows)), lengths)
        first = np.cumsum(lengths) - lengths
        return owners, np.arange(len(owners)) + (starts - first)[owners]

    def _count(self, columns: npt.NDArray[np.int32]) -> IntArray:
        return np.bincount(columns, minlength=self.num_labels).astype(np.int64)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what `joined` puts together again, by name; offsets as the lengths of rows."""
        return {
            "code_common": self.common,
            "code_lengths": np.diff(self.offsets),
            "code_columns": self.columns,
            "code_cells": self.cells,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]], num_labels: int) -> SparseCodes:
        """Return the codes that `arrays` of one part, or of several in a row, hold."""
        offsets = np.zeros(len(arrays["code_lengths"]) + 1, dtype=np.int64)
        np.cumsum(arrays["code_lengths"], out=offsets[1:])
        return cls(
            num_labels,
            arrays["code_common"],
            offsets,
            arrays["code_columns"],
            arrays["code_cells"],
        )
