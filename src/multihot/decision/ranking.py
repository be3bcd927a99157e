"""Metrics of the order of scores, for which no threshold is needed; also with tied scores.

Letters: `N` texts, `L` labels. Truth is float32 (N, L) with 1 = has the label, 0 = has it not,
NaN = unknown; unknown cells count in nothing. What is undefined is `None`.
"""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

from multihot.decision.binned_cells import BinnedCells
from multihot.decision.sorted_cells import UNKNOWN, Areas, areas_of, packed_cells
from multihot.errors import LabelError, StorageError

__all__ = ["MAX_EXACT_CELLS", "Ranking", "RankingMetrics"]

FloatArray = npt.NDArray[np.float32]

MAX_EXACT_CELLS = 1 << 28
"""Cells (texts times labels) up to which ranking metrics are exact: 1 GiB in the temporary folder."""

_MAX_CELLS_IN_MEMORY = 1 << 22  # 16 MB; more are kept in a file
_FIXED_POINT = 52  # bits behind the point of a summed share: one share is summed without rounding
_BYTES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class RankingMetrics:
    """What the order of the scores says."""

    metrics: dict[str, float | None]
    """`lrap`, `mean_average_precision`, `micro_roc_auc`, `macro_roc_auc`, each between 0 and 1."""
    errors: dict[str, float]
    """How far the exact value may be from a metric that was computed from bins; else empty."""
    labels: list[Areas]
    """The areas of each label, in column order."""


class Ranking:
    """Ranking metrics of rows that are added chunk by chunk; the chunks make no difference.

    Up to `max_exact_cells` the cells are kept, above about four million in a file without a name in
    the temporary folder (4 bytes a cell), and sorted label by label at the end. Beyond, cells are
    counted in bins; then `RankingMetrics.errors` bounds the error. `lrap` looks at one row at a time
    and is always exact.
    """

    def __init__(
        self, num_rows: int, num_labels: int, *, max_exact_cells: int = MAX_EXACT_CELLS
    ) -> None:
        self._shape = num_labels, num_rows
        self._num_rows = 0
        self._known = np.zeros(num_labels, dtype=np.int64)
        self._lrap_rows = self._lrap_sum = 0
        self._bins: BinnedCells | None = None
        self._keys: npt.NDArray[np.uint32] | None = None
        if num_rows * num_labels > max_exact_cells:
            self._bins = BinnedCells(num_labels)
        else:
            self._keys = _storage(num_labels, num_rows)

    def update(self, truth: FloatArray, scores: FloatArray) -> None:
        """Add rows.

        Parameters
        ----------
        truth
            *Shape:* (rows, L), float32, each 0, 1 or NaN (unknown).
        scores
            *Shape:* (rows, L), float32, each between 0 and 1.

        Raises
        ------
        LabelError
            The shapes differ, there are more rows than announced, or a score is not between 0 and 1.
        """
        scores = np.asarray(scores, dtype=np.float32)
        _check(truth, scores, self._shape, self._num_rows)
        num_used, share_sum = _lrap(truth, scores)
        self._lrap_rows += num_used
        self._lrap_sum += share_sum
        start, self._num_rows = self._num_rows, self._num_rows + len(truth)
        self._known += (~np.isnan(truth)).sum(axis=0)
        if self._bins is not None:
            self._bins.update(truth, scores)
        if self._keys is not None:
            self._keys[:, start : self._num_rows] = packed_cells(truth, scores).T

    def result(self) -> RankingMetrics:
        """Return the metrics; after this no rows can be added.

        The means over labels leave out the labels for which the value is undefined. `lrap` is label
        ranking average precision, the mean over texts of the share of true labels among those scored
        at least as high as each true label (Tsoumakas, Katakis, Vlahavas 2010, section 7.2); a text
        whose known labels are all true or all false counts 1, one with no known cell is left out.
        """
        labels, pooled = self._areas()
        precisions = [(one.average_precision, one.average_precision_error) for one in labels]
        mean_precision, precision_error = _mean(precisions)
        mean_auc, auc_error = _mean([(one.roc_auc, one.roc_auc_error) for one in labels])
        lrap = self._lrap_sum / (self._lrap_rows << _FIXED_POINT) if self._lrap_rows else None
        metrics = {
            "lrap": lrap,
            "mean_average_precision": mean_precision,
            "micro_roc_auc": pooled.roc_auc,
            "macro_roc_auc": mean_auc,
        }
        errors = {
            "mean_average_precision": precision_error,
            "micro_roc_auc": pooled.roc_auc_error,
            "macro_roc_auc": auc_error,
        }
        return RankingMetrics(metrics, errors if self._bins is not None else {}, labels)

    def _areas(self) -> tuple[list[Areas], Areas]:
        """Return the areas of each label and of all cells together."""
        if self._bins is not None:
            return self._bins.per_label(), self._bins.pooled()
        assert self._keys is not None
        keys, self._keys = self._keys, None
        keys[:, self._num_rows :] = UNKNOWN
        labels = []
        for column, num_known in zip(keys, self._known.tolist(), strict=True):
            column.sort()  # where it lies, so that a file is not read into memory
            labels.append(areas_of(column[:num_known]))
        everything = keys.reshape(-1)
        everything.sort()
        return labels, areas_of(everything[: int(self._known.sum())])


def _storage(num_labels: int, num_rows: int) -> npt.NDArray[np.uint32]:
    """Return room for all cells: in memory, or in a file that vanishes with the array."""
    num_cells = num_labels * num_rows
    if num_cells <= _MAX_CELLS_IN_MEMORY:
        return np.empty((num_labels, num_rows), dtype=np.uint32)
    try:
        with tempfile.TemporaryFile(prefix="multihot-") as handle:
            _reserve(handle, 4 * num_cells)
            return np.memmap(handle, dtype=np.uint32, mode="r+", shape=(num_labels, num_rows))
    except OSError as error:
        raise StorageError(
            f"Ranking metrics of {num_rows} texts and {num_labels} labels need a temporary file of "
            f"{4e-6 * num_cells:.0f} MB, which {tempfile.gettempdir()} refuses: "
            f"{error.strerror or error}. Free some space, or name another folder in TMPDIR."
        ) from error


def _reserve(handle: IO[bytes], num_bytes: int) -> None:
    """Make a file that large, with all of its room: a full disk is fatal once it is mapped."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle.fileno(), 0, num_bytes)
        return
    for start in range(0, num_bytes, _BYTES_AT_ONCE):
        handle.write(bytes(min(_BYTES_AT_ONCE, num_bytes - start)))
    handle.flush()


def _lrap(truth: FloatArray, scores: FloatArray) -> tuple[int, int]:
    """Return the rows with a known cell, and the sum of their shares in units of 2^-52.

    Whole numbers, because their sum does not depend on its order.
    """
    used = ~np.isnan(truth).all(axis=1)
    truth, scores = truth[used], scores[used]
    # Unknown cells sort last in each row, where they are counted by no cell before them.
    order = np.lexsort((-scores, np.isnan(truth)), axis=1)
    truth, scores = np.take_along_axis(truth, order, 1), np.take_along_axis(scores, order, 1)
    known, positive = ~np.isnan(truth), truth == 1
    num_labels = truth.shape[1]
    is_last = np.ones(truth.shape, dtype=np.bool_)
    is_last[:, :-1] = (scores[:, 1:] != scores[:, :-1]) | (known[:, 1:] != known[:, :-1])
    # The last position with the same score: the nearest marked one, seen from the right.
    last = np.where(is_last, np.arange(num_labels), num_labels)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    true_above = np.take_along_axis(np.cumsum(positive, axis=1), last, 1)
    num_true = positive.sum(axis=1)
    shares = (positive * true_above / (last + 1)).sum(axis=1) / np.maximum(num_true, 1)
    shares = np.where(num_true > 0, shares, 1.0)
    return len(shares), sum(np.rint(shares * 2.0**_FIXED_POINT).astype(np.int64).tolist())


def _mean(values: list[tuple[float | None, float]]) -> tuple[float | None, float]:
    """Return the means of the defined values and of their errors."""
    defined = [(value, error) for value, error in values if value is not None]
    if not defined:
        return None, 0.0
    sums = [math.fsum(column) for column in zip(*defined, strict=True)]
    return sums[0] / len(defined), sums[1] / len(defined)


def _check(truth: FloatArray, scores: FloatArray, shape: tuple[int, int], num_before: int) -> None:
    if truth.ndim != 2 or truth.shape != scores.shape or truth.shape[1] != shape[0]:
        raise LabelError(
            f"Truth has shape {truth.shape} and scores {scores.shape}; "
            f"expected (rows, {shape[0]}) for both."
        )
    if num_before + len(truth) > shape[1]:
        raise LabelError(f"There are more rows than the {shape[1]} that were announced.")
    if not ((scores >= 0) & (scores <= 1)).all():  # also false for NaN
        raise LabelError("A score is not between 0 and 1.")
