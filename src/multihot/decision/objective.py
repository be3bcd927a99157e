"""What a goal reaches, from decisions or from their counts; larger is always better.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from multihot.core.blocks import row_blocks
from multihot.core.goals import Goal, parse_goal
from multihot.decision.counts import Counts
from multihot.errors import LabelError

__all__ = [
    "as_goal",
    "check_scores",
    "constrained_value",
    "counted_value",
    "counts_in_blocks",
    "decided_value",
    "goal_value",
]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]
DoubleArray = npt.NDArray[np.float64]


def goal_value(
    scores: FloatArray, truth: FloatArray, thresholds: npt.ArrayLike, goal: str | Goal
) -> float | None:
    """Return the goal that `score >= threshold` reaches, or `None` where it is undefined.

    Parameters
    ----------
    scores
        *Shape:* (N, L), each between 0 and 1.
    truth
        *Shape:* (N, L), each 0, 1 or NaN (unknown; such cells count in nothing).
    thresholds
        One number, or one per label. *Shape:* () or (L,).
    goal
        A goal, or its text.
    """
    goal = as_goal(goal)
    check_scores(scores, truth)
    # At least one dimension, so that every numpy compares in float64.
    least = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    return counted_value(counts_in_blocks(truth, lambda rows: scores[rows] >= least), goal)


def decided_value(decided: BoolArray, truth: FloatArray, goal: Goal) -> float | None:
    """Return the goal that decisions reach. *Shapes:* (N, L) both."""
    return counted_value(counts_in_blocks(truth, lambda rows: decided[rows]), goal)


def counts_in_blocks(truth: FloatArray, decide: Callable[[slice], BoolArray]) -> Counts:
    """Return the counts of all rows, of which `decide` is asked for some at a time. *Shape:* (N, L)."""
    counts = Counts(truth.shape[1])
    for rows in row_blocks(truth.shape):
        counts.update(truth[rows], decide(rows))
    return counts


def counted_value(counts: Counts, goal: Goal) -> float | None:
    """Return the goal that counts show; `None` where it is undefined.

    Metrics are themselves. `top_k` is the recall over all cells. A cost is minus the cost of a text on
    average. `precision>=P` is the recall where the precision is at least P, and else how far below P
    the precision is, which is negative; no decision at all counts as precision 0. `recall>=R` is
    its mirror image. With `each_label` it is the mean over the labels that have a positive, where
    a label that is never given counts 0 for `precision>=P`.
    """
    right, positives = counts.true_positive, counts.true_positive + counts.false_negative
    predicted = right + counts.false_positive
    if goal.name == "cost":
        per_label = np.broadcast_to(np.array(goal.costs), (len(right), 2))
        cost = counts.false_positive * per_label[:, 0] + counts.false_negative * per_label[:, 1]
        return -float(cost.sum()) / counts.num_rows if counts.num_rows else None
    if goal.name not in ("precision", "recall", "top_k"):
        value: float | None = counts.metrics()[goal.name]
        return value
    if not positives.any():
        return None
    if goal.name == "top_k":
        return float(right.sum() / positives.sum())
    if goal.each_label:
        used = positives > 0
        values = constrained_value(goal, right[used], predicted[used], positives[used])
        return float(values.mean())
    totals = (np.atleast_1d(count.sum()) for count in (right, predicted, positives))
    return float(constrained_value(goal, *totals)[0])


def constrained_value(
    goal: Goal,
    true_positives: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
    positives: npt.NDArray[np.int64],
) -> DoubleArray:
    """Return `precision>=P` or `recall>=R` of counts, each -1 to 1. *Shapes:* (G,) all.

    Asked of a label alone, silence is worth 0: less than any recall at a precision of P, and more
    than giving the label to texts that mostly lack it.
    """
    precision = np.divide(
        true_positives, predicted, out=np.zeros(predicted.shape), where=predicted > 0
    )
    recall = np.divide(
        true_positives, positives, out=np.zeros(positives.shape), where=positives > 0
    )
    bound, wanted = (precision, recall) if goal.name == "precision" else (recall, precision)
    value = np.where(bound >= goal.level, wanted, bound - goal.level)
    is_silence = predicted == 0
    return np.where(is_silence, 0.0, value) if goal.each_label and bound is precision else value


def as_goal(goal: str | Goal) -> Goal:
    """Return a goal from its text; raise `OptionError` where it names none."""
    return goal if isinstance(goal, Goal) else parse_goal(goal)


def check_scores(scores: FloatArray, truth: FloatArray) -> None:
    """Raise `LabelError` unless scores and truth are (N, L) both, and scores between 0 and 1."""
    if scores.ndim != 2 or scores.shape != truth.shape:
        raise LabelError(
            f"The scores have shape {scores.shape} and the truth {truth.shape}; "
            "expected (rows, labels) for both."
        )
    inside = (
        ((scores[rows] >= 0) & (scores[rows] <= 1)).all() for rows in row_blocks(scores.shape)
    )
    if not all(inside):
        raise LabelError("A score is not between 0 and 1; pass probabilities, not logits.")
