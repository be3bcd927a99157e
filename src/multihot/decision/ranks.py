"""Labels that are given by rank: the highest scores of a text, or the one nearest to its threshold.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import logit

__all__ = ["highest", "with_nearest"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


def highest(scores: FloatArray, num_labels: int, columns: IntArray | None) -> BoolArray:
    """Return the labels of the `num_labels` highest scores of each text; of equals the first.

    The first in the order of `columns`: with parents first, the labels of closed scores are closed.
    """
    if columns is None:
        order = np.argsort(-scores, axis=1, kind="stable")[:, :num_labels]
    else:
        order = columns[np.argsort(-scores[:, columns], axis=1, kind="stable")[:, :num_labels]]
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
