"""The map of labels that are too rare for one of their own: the common temperature and one offset.

A temperature alone cannot correct scores that are all too high, as weighted losses make them. An
offset for each such label would be fitted to a handful of positives and is worse than none.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import sigmoid

__all__ = ["common_offset", "line_map"]

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
    num_positive = int((truth == 1).sum())
    offset = 0.0
    for _ in range(_MAX_STEPS):
        probability = sigmoid(values + offset, np.float64)
        slope = num_positive - float(probability.sum()) - offset / _DEVIATION**2
        curvature = float((probability * (1 - probability)).sum()) + 1 / _DEVIATION**2
        step = float(np.clip(slope / curvature, -1, 1))
        offset += step
        if abs(step) < 1e-9:
            break
    return offset


def line_map(method: str, slope: float, offset: float) -> tuple[tuple[float, ...], ...]:
    """Return the map from a logit to `slope` times it plus `offset`, as a method stores it."""
    if method == "isotonic":
        return (0.0,), (offset,)  # beyond its only corner it goes on with the common slope
    return ((slope, offset),) if method == "platt" else ((slope, slope, offset),)
