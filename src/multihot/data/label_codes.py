"""Label values as stored codes, and what is asked of them a few rows at a time.

Label values take one byte a cell; soft labels, which may be any fraction, take four. Of many labels
only the cells that are not negative are stored.

Letters: `M` rows of the arrays, `N` rows that are selected, `L` labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import numpy.typing as npt

from multihot.data.sparse_codes import UNKNOWN, SparseCodes

__all__ = [
    "CodeArray",
    "DenseCodes",
    "LabelTotals",
    "hard_codes",
    "has_known_label",
    "is_soft",
    "label_codes",
    "label_totals",
    "label_values",
    "positive_cells",
    "weighted_totals",
]

DenseCodes = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
CodeArray = DenseCodes | SparseCodes
"""*Shape:* (M, L). uint8: 0 = negative, 1 = positive, 2 = unknown; of many labels in compressed rows. Of
soft labels float32: the values themselves, NaN = unknown."""
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_SPARSE_LABELS = 512  # from so many, hard labels are kept in compressed rows
_VALUES = np.array([0, 1, np.nan], dtype=np.float32)  # what the codes stand for
_WINDOW_CELLS = 2**24  # cells in memory at once, whatever N is


def label_codes(values: FloatArray) -> npt.NDArray[np.uint8]:
    """Return 0, 1 and NaN as 0, 1 and 2. *Shapes:* (N, L), float32 -> (N, L), uint8."""
    return np.where(np.isnan(values), UNKNOWN, values).astype(np.uint8)


def hard_codes(values: FloatArray) -> CodeArray:
    """Return 0, 1 and NaN as they are stored; of many labels in compressed rows."""
    codes = label_codes(values)
    return codes if codes.shape[1] < _SPARSE_LABELS else SparseCodes.of(codes)


def label_values(codes: CodeArray, indices: IntArray | None = None) -> FloatArray:
    """Return the values of the given rows (default: all), NaN = unknown. *Shape:* (N, L), float32."""
    chosen = codes[slice(None) if indices is None else indices]
    return np.asarray(chosen, np.float32) if is_soft(chosen) else _VALUES[chosen]


@dataclass(frozen=True)
class LabelTotals:
    """Counts over the selected rows, one for each of L labels."""

    known: IntArray
    """Rows in which the label is known."""
    positives: IntArray
    """Rows that have the label (above 0.5)."""
    sums: npt.NDArray[np.float64]
    """Sums of the known values; equal to `positives` where no value is a fraction."""


def label_totals(
    codes: CodeArray, indices: IntArray, *, window_cells: int = _WINDOW_CELLS
) -> LabelTotals:
    """Count labels over the given rows in one pass, `window_cells` cells at a time."""
    if isinstance(codes, SparseCodes):
        known, positives = codes.counts(indices)
        return LabelTotals(known, positives, positives.astype(np.float64))
    num_labels = codes.shape[1]
    known, positives = np.zeros((2, num_labels), dtype=np.int64)
    sums = np.zeros(num_labels, dtype=np.float64)
    for _, part in _windows(codes, indices, window_cells):
        known += _known(part).sum(axis=0)
        positives += _positive(part).sum(axis=0)
        if is_soft(part):
            sums += np.nansum(part, axis=0, dtype=np.float64)
    return LabelTotals(known, positives, sums if is_soft(codes) else positives.astype(np.float64))


def weighted_totals(
    codes: CodeArray, indices: IntArray, weights: FloatArray, *, window_cells: int = _WINDOW_CELLS
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the sums over the known cells of each label: of weight times value, and of the weights.

    *Shapes:* of the weights (N,), of the sums (L,) each.
    """
    sums, known = np.zeros((2, codes.shape[1]))
    for start, part in _windows(codes, indices, window_cells):
        counted = weights[start : start + len(part)].astype(np.float64)
        sums += counted @ np.nan_to_num(label_values(part))
        known += counted @ _known(part)
    return sums, known


def has_known_label(
    codes: CodeArray, indices: IntArray, *, window_cells: int = _WINDOW_CELLS
) -> BoolArray:
    """Return which of the given rows have a known cell. *Shape:* (N,)."""
    if isinstance(codes, SparseCodes):
        return codes.has_known(indices)
    result = np.empty(len(indices), dtype=np.bool_)
    for start, part in _windows(codes, indices, window_cells):
        result[start : start + len(part)] = _known(part).any(axis=1)
    return result


def positive_cells(
    codes: CodeArray, indices: IntArray, *, window_cells: int = _WINDOW_CELLS
) -> BoolArray:
    """Return which of the given rows have which label (above 0.5). *Shape:* (N, L)."""
    result = np.empty((len(indices), codes.shape[1]), dtype=np.bool_)
    for start, part in _windows(codes, indices, window_cells):
        result[start : start + len(part)] = _positive(part)
    return result


def _windows(
    codes: CodeArray, indices: IntArray, window_cells: int
) -> Iterator[tuple[int, DenseCodes]]:
    """Yield position and codes of a few rows at a time."""
    num_rows = max(1, window_cells // codes.shape[1])
    for start in range(0, len(indices), num_rows):
        yield start, codes[indices[start : start + num_rows]]


def _positive(codes: DenseCodes) -> BoolArray:
    return np.asarray(codes > 0.5 if is_soft(codes) else codes == 1)


def _known(codes: DenseCodes) -> BoolArray:
    return np.asarray(~np.isnan(codes) if is_soft(codes) else codes != UNKNOWN)


def is_soft(codes: CodeArray) -> TypeGuard[FloatArray]:
    """Return whether these are values of soft labels, which may be any fraction."""
    return codes.dtype == np.float32
