"""Scores and truth in one number per cell, sorted, and what the order says: exact, or in bins.

Letters: `C` cells, `N` texts, `L` labels, `B` bins. A cell is one text and one label.

A score between 0 and 1 is a float32 whose bits, read as a whole number, have the same order and stay
below 2^30. Shifted by one, with the truth as lowest bit, a cell is a uint32. Such numbers can be
sorted where they lie, also in a file that is mapped into memory, and are gone through in blocks.
Label ranking average precision needs no order over all cells and is computed row by row.

Beyond a stated number of cells they are counted in bins, with a bound on the error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "BLOCK_CELLS",
    "UNKNOWN",
    "Areas",
    "BinnedCells",
    "areas_of",
    "packed_cells",
    "ranking_precisions",
]

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
    if truth.shape[1] >= _MANY_LABELS and np.count_nonzero(truth == 1) <= _FEW_TRUE * len(truth):
        return _precisions_of_few(truth, scores)
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


def _precisions_of_few(truth: FloatArray, scores: FloatArray) -> npt.NDArray[np.float64]:
    """Do the same where a text has a few of many labels: only these look for their rank."""
    precisions = np.ones(len(truth))
    for row, (own, given) in enumerate(zip(truth, scores, strict=True)):
        true = np.sort(given[own == 1])[::-1]
        if not len(true):
            continue
        known = np.where(np.isnan(own), np.float32(-1), given)
        place = np.array([np.count_nonzero(known >= score) for score in true])
        true_above = np.searchsorted(-true, -true, side="right")
        precisions[row] = (true_above / place).sum() / len(true)
    return precisions


_MANY_LABELS, _FEW_TRUE = 512, 16
_NUM_OCTAVES = 16  # halvings of 1/2 that are distinguished at either end
_LOWEST_BITS = int(np.float32(2.0 ** -(1 + _NUM_OCTAVES)).view(np.uint32))
_MAX_COUNTS = 1 << 20  # bins of all labels together: 16 MB of counts
_FINEST, _COARSEST = 8, 2  # 2^8 bins for each octave at most, 2^2 at least


class BinnedCells:
    """Counts of positive and negative cells of each label in bins of the score.

    The bins halve in width from 1/2 towards 0 and towards 1, as scores of rare labels crowd at the
    ends: each octave has the same number of bins, 256 up to 127 labels and fewer for more.

    Attributes
    ----------
    counts
        Negative cells, then positive ones. *Shape:* (2, L, B), int64.
    """

    def __init__(self, num_labels: int) -> None:
        detail = _COARSEST
        while detail < _FINEST and num_labels * _num_bins(detail + 1) <= _MAX_COUNTS:
            detail += 1
        self._shift = np.uint32(23 - detail)  # a float32 has 23 bits within its octave
        self.counts = np.zeros((2, num_labels, _num_bins(detail)), dtype=np.int64)

    def update(self, truth: FloatArray, scores: FloatArray) -> None:
        """Add rows of cells: *shapes* (N, L), truth 1, 0 or NaN (unknown), scores 0 to 1."""
        rows, labels = np.nonzero(~np.isnan(truth))
        positive = truth[rows, labels] == 1
        num_labels, num_bins = self.counts.shape[1:]
        places = (positive * num_labels + labels) * num_bins + self.bins(scores[rows, labels])
        np.add.at(self.counts.reshape(-1), places, 1)

    def per_label(self) -> list[Areas]:
        """Return the areas of each label, in column order."""
        negative, positive = self.counts
        return [_areas(*pair) for pair in zip(positive, negative, strict=True)]

    def pooled(self) -> Areas:
        """Return the areas of the cells of all labels together."""
        negative, positive = self.counts.sum(axis=1)
        return _areas(positive, negative)

    def bins(self, scores: FloatArray) -> npt.NDArray[np.int64]:
        """Return the bin of each score; a larger score never has a smaller bin. Any shape."""
        is_low = scores <= 0.5
        distance = np.where(is_low, scores, np.float32(1) - scores)  # to the nearer end; exact
        bits = np.maximum(distance.view(np.uint32), np.uint32(_LOWEST_BITS))
        place = ((bits - np.uint32(_LOWEST_BITS)) >> self._shift).astype(np.int64)
        return np.where(is_low, place, self.counts.shape[2] - 1 - place)

    def edges(self) -> npt.NDArray[np.float64]:
        """Return the lowest and highest score of each bin. *Shape:* (2, B), float64."""
        half = self.counts.shape[2] // 2
        places = np.arange(half + 1, dtype=np.uint32)
        starts = ((places << self._shift) + np.uint32(_LOWEST_BITS)).view(np.float32)
        low = starts.astype(np.float64)
        low[0] = 0.0
        below, above = np.append(low[:-1], 0.5), np.append(low[1:], 0.5)
        return np.stack([np.append(below, 1 - above[-2::-1]), np.append(above, 1 - below[-2::-1])])


def _num_bins(detail: int) -> int:
    """Return the bins for 2^`detail` per octave; a score of 1/2 has one of its own."""
    return (2 * _NUM_OCTAVES << detail) + 1


def _areas(positive: npt.NDArray[np.int64], negative: npt.NDArray[np.int64]) -> Areas:
    """Return both areas of bins from the lowest score to the highest. *Shapes:* (B,).

    Inside a bin the order is not known. A pair inside one counts half in the ROC curve, which is
    wrong by a half at most. Average precision is the middle between the worst order (all negatives
    above, then one positive after the other) and the best (all positives at one score, above).
    """
    num_positive, num_negative = int(positive.sum()), int(negative.sum())
    if not num_positive:
        return Areas(None, None)
    p, n = positive[::-1].astype(np.float64), negative[::-1].astype(np.float64)
    above = np.cumsum(p) - p
    positives_above, misses = above + p, np.cumsum(n)
    filled = p > 0
    p, n, above, positives_above, misses = (
        p[filled],
        n[filled],
        above[filled],
        positives_above[filled],
        misses[filled],
    )
    best = float((p * (positives_above / (positives_above + misses - n))).sum()) / num_positive
    # The i-th positive has precision of at least (above + i) / (above + i + misses), which grows with
    # i: the sum over i is at least the integral from 0 to p.
    worst = float((p - misses * np.log1p(p / (above + misses + (misses == 0)))).sum())
    worst /= num_positive
    middle, half = (best + worst) / 2, (best - worst) / 2
    if not num_negative:
        return Areas(None, middle, 0.0, half)
    pairs = float(num_positive) * num_negative
    lost_below = num_negative - misses
    ties = float((p * n).sum()) / 2
    return Areas((float((p * lost_below).sum()) + ties) / pairs, middle, ties / pairs, half)
