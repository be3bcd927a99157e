"""Labels about which new rows say nothing keep what was decided of them before.

A new calibration changes scores, so a former threshold is carried over by the logit that reaches it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from multihot.decision.decision import Decision

__all__ = ["with_former_thresholds"]

_LARGEST = np.float32(1e4)


def with_former_thresholds(
    decision: Decision, before: Decision, columns: npt.NDArray[np.int64]
) -> Decision:
    """Return a decision that decides the labels of `columns` as `before` does.

    Parameters
    ----------
    decision
        Fitted on rows whose cells of these labels are all unknown, so that its calibration of them
        rises strictly. One by rank (`top_k`) is returned as it is.
    before
        The former decision of the same labels; one by rank has no thresholds to keep.
    columns
        The labels, as columns.
    """
    if not len(columns) or "top_k" in (decision.kind, before.kind):
        return decision
    thresholds = np.array(decision.thresholds)
    former = np.array(before.thresholds)
    if decision.calibration == before.calibration:
        thresholds[columns] = former[columns]
    else:
        least = _least_logits(before)
        scores = decision.own_scores(least[None])[0].astype(np.float64)
        never = least >= _LARGEST
        thresholds[columns] = np.where(never, 1.0, scores)[columns]
    return replace(decision, thresholds=tuple(thresholds.tolist()))


def _least_logits(decision: Decision) -> npt.NDArray[np.float32]:
    """Return the least logit of each label, to float32, with which it is given. *Shape:* (L,)."""
    thresholds = np.array(decision.thresholds)
    low = np.full(len(thresholds), -_LARGEST, dtype=np.float64)  # not given, unless it always is
    high = -low
    for _ in range(64):
        middle = (low + high) / 2
        given = decision.own_scores(middle.astype(np.float32)[None])[0] >= thresholds
        low, high = np.where(given, low, middle), np.where(given, middle, high)
    return high.astype(np.float32)
