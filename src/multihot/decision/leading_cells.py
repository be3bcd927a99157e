"""The best global threshold for micro-F1 from the highest scores alone, where there are very many cells.

    F1 = 2 R / (n + P)   of R right ones among n given cells, and P positives

is at most `2 P / (n + P)`, which falls with n. So once some threshold reaches a value, no threshold that
gives many more cells can be as good: the cells below need neither be sorted nor be counted.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from multihot.core.goals import Goal
from multihot.decision.threshold_sweep import ChangePoints, GroupCounts, best_threshold

__all__ = ["threshold_of_leading_cells"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]

_WINDOW_CELLS = 1 << 22
_DROPPED_BITS = 14  # of a score between 0 and 1 as float32: what remains numbers its bin
_NUM_BINS = (0x3F800000 >> _DROPPED_BITS) + 1
_ROOM = 1e-9  # equal outcomes compare as equal within less
_SPARE_CELLS = 1000


def threshold_of_leading_cells(scores: FloatArray, truth: FloatArray, goal: Goal) -> float | None:
    """Return what `threshold_sweep.best_threshold` finds among all cells.

    `None` where the highest scores do not prove it, or are not much fewer than all.

    Parameters
    ----------
    scores
        *Shape:* (N, L), each between 0 and 1.
    truth
        *Shape:* (N, L), each 0, 1 or NaN (unknown).
    goal
        `micro_f1`.
    """
    given, right = _histograms(scores, truth)
    num_positive = int(right.sum())
    # What thresholds at the lower edge of each bin reach, the highest bin first.
    given, right = np.cumsum(given[::-1]), np.cumsum(right[::-1])
    reached = (2 * right / (given + num_positive)).max() if num_positive else 0.0
    if reached <= 0:
        return None
    enough = 1.05 * (2 * num_positive / reached - num_positive) + _SPARE_CELLS
    last = int(np.searchsorted(given, enough))
    if last >= _NUM_BINS or given[last] * 2 > given[-1]:
        return None
    points = _points(scores, truth, _NUM_BINS - 1 - last)
    nothing = np.zeros(1, dtype=np.int64)
    start = GroupCounts(nothing, nothing, np.array([num_positive]))
    threshold, value = best_threshold(goal, points, start)
    best_of_others = 2 * num_positive / (len(points.scores) + num_positive)
    return threshold if best_of_others < value - _ROOM else None


def _windows(
    scores: FloatArray, truth: FloatArray
) -> Iterator[tuple[FloatArray, FloatArray, IntArray]]:
    """Yield scores and truth of some known cells at a time, and the bin of each."""
    num_rows = max(1, _WINDOW_CELLS // scores.shape[1])
    for start in range(0, len(scores), num_rows):
        part = truth[start : start + num_rows]
        known = ~np.isnan(part)
        own = scores[start : start + num_rows][known]
        bits = own.astype(np.float32, copy=False).view(np.uint32)
        yield own, part[known], (bits >> _DROPPED_BITS).astype(np.int64)


def _histograms(scores: FloatArray, truth: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the known cells in each bin of scores, and the positive ones. *Shape:* (bins,) each."""
    given, right = np.zeros((2, _NUM_BINS), dtype=np.int64)
    for _, known, bins in _windows(scores, truth):
        given += np.bincount(bins, minlength=_NUM_BINS)
        right += np.bincount(bins[known == 1], minlength=_NUM_BINS)
    return given, right


def _points(scores: FloatArray, truth: FloatArray, first_bin: int) -> ChangePoints:
    """Return the known cells from a bin on, by falling score."""
    found = []
    for own, known, bins in _windows(scores, truth):
        kept = bins >= first_bin
        found.append((own[kept], known[kept] == 1))
    kept_scores, positive = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(-kept_scores)
    return ChangePoints(kept_scores[order], positive[order], np.zeros(len(order), dtype=np.int64))
