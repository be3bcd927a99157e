"""One fitted number, moved for each label by how rare the label is.

A measure such as the Jaccard score is served best by thresholds at which rare labels are hardly ever
given. Here a share of the log odds of each label's frequency is taken out of its logit before the
one threshold is fitted: the post-hoc logit adjustment of Menon et al. 2021 (section 5.1), label by
label. 0 is the global threshold; at 1 a text that says nothing is as near to a rare label as to a
frequent one.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.decision.goals import Goal
from multihot.decision.rules import logit
from multihot.decision.thresholds import fit_global

__all__ = ["fit_by_frequency"]

FloatArray = npt.NDArray[np.floating]
DoubleArray = npt.NDArray[np.float64]


def fit_by_frequency(
    scores: FloatArray, truth: FloatArray, goal: str | Goal, share: float
) -> DoubleArray:
    """Return one threshold per label, all from one number that is best for the goal.

    Parameters
    ----------
    scores, truth, goal
        As for `fit_global`.
    share
        How much of the log odds of a label's frequency in `truth` its threshold follows, 0 to 1.

    Returns
    -------
    thresholds
        *Shape:* (L,), float64, each above 0 and at most 1; 0.5 without any known positive.
    """
    if not (truth == 1).any():
        return np.full(truth.shape[1], 0.5)
    shift = share * _log_odds(truth)
    moved = _sigmoid(logit(scores) - shift)
    common = fit_global(moved, truth, goal)
    return _sigmoid(logit(np.asarray(common)) + shift).astype(np.float32).astype(np.float64)


def _log_odds(truth: FloatArray) -> DoubleArray:
    """Return log(positives / negatives) of each label, with half a row more of each. *Shape:* (L,)."""
    positives, negatives = ((truth == value).sum(axis=0) + 0.5 for value in (1, 0))
    return np.asarray(np.log(positives / negatives))


def _sigmoid(values: DoubleArray) -> DoubleArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30.0, 30.0))))
