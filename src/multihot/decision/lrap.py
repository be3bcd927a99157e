"""Label ranking average precision, row by row.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["lrap_shares"]

FloatArray = npt.NDArray[np.float32]


def lrap_shares(truth: FloatArray, scores: FloatArray) -> npt.NDArray[np.float64]:
    """Return the share of each row that has a known cell, in their order.

    It is the mean, over the true labels of a text, of the share of true labels among those scored at
    least as high (Tsoumakas, Katakis, Vlahavas 2010, section 7.2); 1 for a text whose known labels
    are all true or all false.

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
    shares = (positive * true_above / (last + 1)).sum(axis=1) / np.maximum(num_true, 1)
    return np.where(num_true > 0, shares, 1.0)
