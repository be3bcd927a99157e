"""How much each text moves the ROC areas and average precision: standard errors without resampling.

A metric changes by its influence function when a text counts a little more; the sum of squares over
texts is its variance (the infinitesimal jackknife, Efron 1982, chapter 6). For a ROC area the
influence of a cell is its placement value (DeLong, DeLong and Clarke-Pearson 1988). The cells of a
text are not independent, so their influences are summed before they are squared (Obuchowski 1997,
"Nonparametric analysis of clustered ROC curve data"). For two models on the same texts, the same of
the differences gives the paired test.

Scores are rounded to the bins of `BinnedCells` here, which changes an influence in its third digit.

Letters: `N` texts, `L` labels, `B` bins.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from multihot.decision.binned_cells import BinnedCells
from multihot.decision.sorted_cells import UNKNOWN

__all__ = ["INFLUENCED", "influences", "standard_errors"]

Floats = npt.NDArray[np.float64]
KeyArray = npt.NDArray[np.uint32]

INFLUENCED = ("mean_average_precision", "micro_roc_auc", "macro_roc_auc")
"""The metrics, in the order of the columns."""

_BLOCK_CELLS = 1 << 18


def influences(keys: KeyArray, bins: BinnedCells) -> Iterator[Floats]:
    """Go through the texts in blocks and return the influence of each on each metric.

    Parameters
    ----------
    keys
        Cells as from `packed_cells`, not sorted. *Shape:* (L, N), uint32.
    bins
        The counts of the same cells.

    Yields
    ------
    influences
        *Shape:* (texts of the block, 3), float64; 0 for texts without a known cell.
    """
    num_labels, num_rows = keys.shape
    precision, area, pooled = _tables(bins.counts)
    step = max(1, _BLOCK_CELLS // num_labels)
    for start in range(0, num_rows, step):
        block = np.ascontiguousarray(keys[:, start : start + step])
        known = block != UNKNOWN
        scores = np.where(known, block >> np.uint32(1), np.uint32(0)).view(np.float32)
        truth = (block & np.uint32(1)).astype(np.int64)
        places = bins.bins(scores)
        label = np.arange(num_labels)[:, None]
        found = (precision[truth, label, places], pooled[truth, places], area[truth, label, places])
        yield np.stack([np.where(known, one, 0.0).sum(axis=0) for one in found], axis=1)


def standard_errors(blocks: Iterator[Floats], num_rows: int) -> Floats:
    """Return the standard error of each column. *Shape:* (3,); `num_rows` texts have a known cell."""
    total = np.zeros(len(INFLUENCED))
    for block in blocks:
        total += (block**2).sum(axis=0)
    return np.asarray(np.sqrt(total * num_rows / max(1, num_rows - 1)))


def _tables(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float32], ...]:
    """Return the influence of a negative and a positive cell of each label and bin.

    *Shapes:* (2, L, B) -> mean average precision (2, L, B), mean ROC area (2, L, B), and the ROC area
    of all cells together (2, B).
    """
    num_positive, num_negative = counts[1].sum(axis=1), counts[0].sum(axis=1)
    ranked, contrasted = num_positive > 0, (num_positive > 0) & (num_negative > 0)
    precision, area = np.zeros(counts.shape, np.float32), np.zeros(counts.shape, np.float32)
    for label in np.flatnonzero(ranked):
        precision[:, label] = _of_precision(counts[:, label]) / ranked.sum()
    for label in np.flatnonzero(contrasted):
        area[:, label] = _of_area(counts[:, label]) / contrasted.sum()
    pooled = counts.sum(axis=1)
    both = pooled.sum(axis=1).all()
    return (
        precision,
        area,
        (_of_area(pooled) if both else np.zeros(pooled.shape)).astype(np.float32),
    )


def _of_area(counts: npt.NDArray[np.int64]) -> Floats:
    """Return placement values less the ROC area, by class size. *Shapes:* (2, B) -> (2, B)."""
    negative, positive = counts.astype(np.float64)
    num_negative, num_positive = negative.sum(), positive.sum()
    below = (np.cumsum(negative) - negative / 2) / num_negative
    above = (num_positive - np.cumsum(positive) + positive / 2) / num_positive
    area = (positive * below).sum() / num_positive
    return np.stack([(above - area) / num_negative, (below - area) / num_positive])


def _of_precision(counts: npt.NDArray[np.int64]) -> Floats:
    """Return the derivative of average precision by the weight of a cell. *Shapes:* as above.

    With T(b) positives and A(b) cells in bins from b up, it is the mean over positives of T/A. One
    more negative raises A in all bins up to its own; one more positive raises T there, too.
    """
    negative, positive = counts.astype(np.float64)
    hits = np.cumsum(positive[::-1])[::-1]
    cells = np.maximum(hits + np.cumsum(negative[::-1])[::-1], 1.0)
    precision = hits / cells
    mean = (positive * precision).sum() / positive.sum()
    gained, lost = np.cumsum(positive / cells), np.cumsum(positive * precision / cells)
    return np.stack([-lost, precision - mean + gained - lost]) / float(positive.sum())
