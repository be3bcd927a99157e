"""The map of labels that are too rare for one of their own: the common temperature and one offset.

A temperature alone cannot correct scores that are all too high, as weighted losses make them. An
offset for each such label would be fitted to a handful of positives and is worse than none.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import sigmoid
from multihot.decision.calibrators import PART_CELLS

__all__ = ["common_offset", "line_map", "offset_of_many"]

BoolArray = npt.NDArray[np.bool_]
DoubleArray = npt.NDArray[np.float64]

_DEVIATION = 1.0  # of offsets before any row is seen; keeps it finite without a positive
_MAX_STEPS = 50


def common_offset(logits: DoubleArray, truth: npt.NDArray[np.floating]) -> float:
    """Return what to add to calibrated logits: the offset of least log loss, drawn towards 0.

    *Shapes:* (N, L) both; truth is 1, 0 or NaN (unknown; such cells count in nothing).
    """
    cells = ~np.isnan(truth)
    values = np.sort(np.where(cells, logits, 0.0)[cells])  # one order, whatever that of the rows
    return _offset(1.0, [values], int((truth == 1).sum()))


def offset_of_many(slope: float, logits: npt.NDArray[np.float32], num_positive: int) -> float:
    """Return the same of `slope` times logits by rising order, *shape* (C,), some at a time."""
    starts = range(0, len(logits), PART_CELLS)
    return _offset(slope, [logits[start : start + PART_CELLS] for start in starts], num_positive)


def _offset(slope: float, parts: Sequence[npt.NDArray[np.floating]], num_positive: int) -> float:
    """Return the offset of `slope` times logits, of which a part at a time is held in double precision."""
    offset = 0.0
    for _ in range(_MAX_STEPS):
        total = spread = 0.0
        for part in parts:
            probability = sigmoid(slope * part.astype(np.float64) + offset, np.float64)
            total += float(probability.sum())
            spread += float((probability * (1 - probability)).sum())
        gradient = num_positive - total - offset / _DEVIATION**2
        curvature = spread + 1 / _DEVIATION**2
        step = float(np.clip(gradient / curvature, -1, 1))
        offset += step
        if abs(step) < 1e-9:
            break
    return offset


def line_map(method: str, slope: float, offset: float) -> tuple[tuple[float, ...], ...]:
    """Return the map from a logit to `slope` times it plus `offset`, as a method stores it."""
    if method == "isotonic":
        return (0.0,), (offset,)  # beyond its only corner it goes on with the common slope
    return ((slope, offset),) if method == "platt" else ((slope, slope, offset),)
