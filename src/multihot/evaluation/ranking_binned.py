"""Scores and truth counted in bins, and what the order of the bins says, with a bound on the error.

Letters: `L` labels, `B` bins, `C` cells. A cell is one text and one label.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.evaluation.ranking_exact import Areas

__all__ = ["BinnedCells"]

FloatArray = npt.NDArray[np.float32]

_NUM_OCTAVES = 16  # halvings of 1/2 that are told apart at either end
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
