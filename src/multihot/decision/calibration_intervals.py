"""How far the expected calibration error would scatter on other texts of the same kind.

Letters: `N` texts, `L` labels, `R` replicates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from multihot.decision.calibration_metrics import Reliability
from multihot.decision.intervals import Interval
from multihot.decision.replicates import BLOCK_ROWS, ReplicateSums, num_replicates
from multihot.decision.sorted_cells import UNKNOWN

__all__ = ["error_intervals"]

Floats = npt.NDArray[np.float64]
KeyArray = npt.NDArray[np.uint32]


def error_intervals(
    keys: KeyArray, labels: Sequence[Reliability], pooled: Reliability, seed: int
) -> list[Interval | None]:
    """Return the intervals of the errors of each label, of all cells, and of the mean over labels.

    Texts are resampled with the bins as they are. A resample adds noise, and noise makes the error
    larger; so the quantiles are moved down by as much as the resamples lie above the error. What is
    left is the scatter of the estimate, and not a test of whether the scores are calibrated: for
    that, compare with the error that perfectly calibrated scores would show.

    Parameters
    ----------
    keys
        Cells as from `packed_cells`, not sorted. *Shape:* (L, N), uint32.
    labels, pooled
        The bins of each label and of all cells.
    """
    known = (keys != UNKNOWN).any(axis=0)
    widths = [len(one.counts) for one in [*labels, pooled]]
    ends = np.cumsum(widths)
    num_columns = int(ends[-1]) + len(labels)
    sums = ReplicateSums(num_columns, num_replicates(keys.shape[1], 6 * len(labels)), seed)
    used = np.flatnonzero(known)
    for start in range(0, len(used), BLOCK_ROWS):
        sums.update(_gaps(keys[:, used[start : start + BLOCK_ROWS]], labels, pooled, num_columns))
    totals = sums.result()
    cells = totals[:, int(ends[-1]) :]
    found = []
    for number, (end, width) in enumerate(zip(ends.tolist(), widths, strict=True)):
        total = cells[:, number] if number < len(labels) else cells.sum(axis=1)
        gaps = np.abs(totals[:, end - width : end]).sum(axis=1)
        found.append(np.where(total > 0, gaps / np.maximum(total, 1), np.nan))
    with_cells = [values for values in found[:-1] if not np.isnan(values[0])]
    found.append(_mean(with_cells) if with_cells else np.full(1, np.nan))
    return [_moved(values) for values in found]


def _gaps(
    block: KeyArray, labels: Sequence[Reliability], pooled: Reliability, num_columns: int
) -> Floats:
    """Return truth less score of each cell in the column of its bin, then known cells. (N, columns)."""
    gaps = np.zeros((block.shape[1], num_columns))
    start, rows = 0, np.arange(block.shape[1])
    end_of_pooled = num_columns - len(labels)
    for number, (keys, one) in enumerate(zip(block, labels, strict=True)):
        known = keys != UNKNOWN
        scores = (keys[known] >> np.uint32(1)).view(np.float32)
        difference = (keys[known] & np.uint32(1)).astype(np.float64) - scores
        gaps[rows[known], start + np.searchsorted(one.highest, scores)] = difference
        places = end_of_pooled - len(pooled.counts) + np.searchsorted(pooled.highest, scores)
        np.add.at(gaps, (rows[known], places), difference)
        gaps[:, end_of_pooled + number] = known
        start += len(one.counts)
    return gaps


def _mean(values: list[Floats]) -> Floats:
    """Return the mean of those that are defined, replicate by replicate; NaN where none is."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=0)
    return np.where(defined.any(axis=0), total / np.maximum(defined.sum(axis=0), 1), np.nan)


def _moved(values: Floats) -> Interval | None:
    """Return the quantiles of the replicates, moved so that their mean is the value; 0 to 1."""
    drawn = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(drawn):
        return None
    low, high = np.quantile(drawn, [0.025, 0.975]) - (drawn.mean() - values[0])
    return float(max(low, 0.0)), float(min(high, 1.0))
