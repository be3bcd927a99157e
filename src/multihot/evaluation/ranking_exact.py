"""Scores and truth in one number per cell, sorted, and what the order says: exact, in any amount.

Letters: `C` cells, `N` texts, `L` labels. A cell is one text and one label.

A score between 0 and 1 is a float32 whose bits, read as a whole number, have the same order and stay
below 2^30. Shifted by one, with the truth as lowest bit, a cell is a uint32. Such numbers can be
sorted where they lie, also in a file that is mapped into memory, and are gone through in blocks.
Label ranking average precision needs no order over all cells and is computed row by row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK_CELLS", "UNKNOWN", "Areas", "areas_of", "packed_cells", "ranking_precisions"]

KeyArray = npt.NDArray[np.uint32]

UNKNOWN = np.uint32(0xFFFFFFFF)
"""What an unknown cell is packed as; it sorts behind all others."""

BLOCK_CELLS = 1 << 16
"""Cells that are unpacked at once: a few MB of temporary arrays."""


@dataclass(frozen=True)
class Areas:
    """What the order of some cells says; each is `None` where it is undefined.

    The errors say how far the exact value may be from the one given; 0 unless cells were binned.
    """

    roc_auc: float | None
    """None unless some cells are positive and some are negative."""
    average_precision: float | None
    """None unless some cells are positive."""
    roc_auc_error: float = 0.0
    average_precision_error: float = 0.0


def packed_cells(truth: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> KeyArray:
    """Return cells as whole numbers in the order of their scores.

    Parameters
    ----------
    truth
        Any shape, float32, each 1, 0 or NaN (unknown).
    scores
        The same shape, float32, each between 0 and 1.
    """
    bits = (scores + np.float32(0)).view(np.uint32)  # -0.0 becomes 0.0
    keys = (bits << np.uint32(1)) | (truth == 1)
    return np.where(np.isnan(truth), UNKNOWN, keys)


def areas_of(keys: KeyArray, *, block_cells: int = BLOCK_CELLS) -> Areas:
    """Return area under the ROC curve and average precision of cells that are all known.

    Tied scores are one step of both curves: a tied pair counts half in the ROC curve, and average
    precision is the sum over steps of precision times gained recall (Manning, Raghavan, Schuetze
    2008, section 8.4, without interpolation).

    Parameters
    ----------
    keys
        *Shape:* (C,), uint32, ascending, as from `packed_cells`; it may be mapped from a file.
    block_cells
        Cells that are unpacked at once; no area depends on it.
    """
    num_cells = len(keys)
    num_positive, right, stop = 0, 0, num_cells
    precisions: list[float] = []
    while stop:
        start = max(0, stop - block_cells)
        if start:
            start = _after_ties(keys, start)
        if start >= stop:  # more cells of one score than fit in a block
            start, gained = _ties_below(keys, stop)
            lost = stop - start - gained
            right += lost * (2 * num_positive + gained)
            num_positive += gained
            precisions.append(gained * (num_positive / (num_cells - start)))
        else:
            block = np.asarray(keys[start:stop])[::-1]
            num_positive, gained_right, precision = _block_sums(
                block, num_positive, num_cells - stop
            )
            right += gained_right
            precisions.append(precision)
        stop = start
    num_negative = num_cells - num_positive
    if not num_positive:
        return Areas(None, None)
    average_precision = math.fsum(precisions) / num_positive
    # `right` is twice the number of pairs in the right order.
    return Areas(
        right / (2 * num_positive * num_negative) if num_negative else None, average_precision
    )


def _block_sums(block: KeyArray, num_positive: int, num_before: int) -> tuple[int, int, float]:
    """Return positives so far, doubled pairs in the right order, and the sum of precisions.

    `block` is descending and begins and ends with whole groups of one score; `num_positive` positives
    are among the `num_before` cells above it.
    """
    scores = block >> np.uint32(1)
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    positives_at = np.cumsum(block & np.uint32(1), dtype=np.int64)[last] + num_positive
    cells_at = last + (num_before + 1)
    gained = np.diff(positives_at, prepend=num_positive)
    lost = np.diff(cells_at, prepend=num_before) - gained
    right = int((lost * (2 * positives_at - gained)).sum())
    return int(positives_at[-1]), right, float((gained * (positives_at / cells_at)).sum())


def _after_ties(keys: KeyArray, place: int) -> int:
    """Return the first place whose score is above that of the cell before `place`."""
    return int(np.searchsorted(keys, keys[place - 1] | np.uint32(1), side="right"))


def _ties_below(keys: KeyArray, stop: int) -> tuple[int, int]:
    """Return where the cells with the score of `keys[stop - 1]` begin, and how many are positive."""
    highest = keys[stop - 1] | np.uint32(1)
    start = int(np.searchsorted(keys, highest - np.uint32(1), side="left"))
    return start, stop - int(np.searchsorted(keys, highest, side="left"))


FloatArray = npt.NDArray[np.float32]


def ranking_precisions(truth: FloatArray, scores: FloatArray) -> npt.NDArray[np.float64]:
    """Return the ranking precision of each row that has a known cell, in their order.

    It is the mean, over the true labels of a text, of the fraction of true labels among those scored
    at least as high (Tsoumakas, Katakis, Vlahavas 2010, section 7.2); 1 for a text whose known labels
    are all true or all false. Its mean over texts is label ranking average precision.

    Parameters
    ----------
    truth
        *Shape:* (N, L), each 0, 1 or NaN (unknown).
    scores
        *Shape:* (N, L), each between 0 and 1.
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
    precisions = (positive * true_above / (last + 1)).sum(axis=1) / np.maximum(num_true, 1)
    return np.where(num_true > 0, precisions, 1.0)
