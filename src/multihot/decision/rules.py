"""From scores to decisions: thresholds, ranks, and texts that would end up without a label.

Letters: `N` texts, `L` labels. *Shapes:* (N, L) unless said otherwise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["at_thresholds", "highest", "logit", "sigmoid", "with_nearest"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]


def sigmoid(logits: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)) in float32, computed so that exp never overflows."""
    logits = logits.astype(np.float32)
    with np.errstate(under="ignore"):
        small = np.exp(-np.abs(logits))
        scores: FloatArray = np.where(logits >= 0, 1, small) / (1 + small)
        return scores


def at_thresholds(scores: FloatArray, thresholds: tuple[float, ...]) -> BoolArray:
    """Return where a score is at least the threshold of its label, compared in float64."""
    return np.greater_equal(scores, np.asarray(thresholds, dtype=np.float64))


def highest(scores: FloatArray, num_labels: int) -> BoolArray:
    """Return the labels of the `num_labels` highest scores of each text; of equals the first."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :num_labels]
    chosen = np.zeros(scores.shape, dtype=np.bool_)
    np.put_along_axis(chosen, order, True, axis=1)
    return chosen


def with_nearest(
    decided: BoolArray, scores: FloatArray, thresholds: tuple[float, ...]
) -> BoolArray:
    """Give every text without a label the one whose score comes nearest to its threshold.

    Nearest is the largest `logit(score) - logit(threshold)`; of equals the first in label order.
    """
    empty = np.flatnonzero(~decided.any(axis=1))
    margin = logit(scores[empty]) - logit(np.asarray(thresholds))
    result = decided.copy()
    result[empty, margin.argmax(axis=1)] = True
    return result


def logit(shares: npt.NDArray[np.floating]) -> DoubleArray:
    """Return log(p / (1 - p)) in float64, finite for 0 and 1 too. *Shape:* any."""
    inside = np.clip(shares.astype(np.float64), 1e-300, 1 - 2.0**-53)
    return np.asarray(np.log(inside) - np.log1p(-inside))
