"""Thresholds that are exactly the best for one named goal, on the rows they are fitted on.

Letters: `N` texts, `L` labels, `E` events, `G` groups. Lowering a threshold past a score turns one
decision on: that is an *event*. Each goal is a mean over *groups* of cells of a ratio of three
counts of the group (hits, predicted, positives):

    micro_f1          one group of all cells     2 hits / (predicted + positives)
    macro_f1          one group per label        the same; a group of 0/0 does not count
    jaccard           one group per text         hits / (predicted + positives - hits), 0/0 = 1
    subset_accuracy   one group per text         1 if hits = predicted = positives else 0

so the goal at every possible threshold is a running sum over the events by falling score.
A decision is `score >= threshold`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.decision.metrics import Counts
from multihot.errors import LabelError, OptionError
from multihot.options import GOALS

__all__ = ["fit_global", "fit_per_label", "goal_value"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MAX_ROUNDS = 20  # of coordinate ascent; in practice it stops after three to six


@dataclass(frozen=True)
class _Events:
    """Known cells whose decisions a threshold turns on. *Shape:* (E,) each, E at least 1."""

    scores: FloatArray
    positive: BoolArray
    group: IntArray

    def take(self, order: IntArray) -> _Events:
        return _Events(self.scores[order], self.positive[order], self.group[order])


@dataclass(frozen=True)
class _Groups:
    """Counts of each group. *Shape:* (G,) each, int64."""

    hits: IntArray
    predicted: IntArray
    positives: IntArray


def goal_value(
    scores: FloatArray, truth: FloatArray, thresholds: npt.ArrayLike, goal: str
) -> float | None:
    """Return the goal that the thresholds reach, or `None` where it is undefined.

    Parameters
    ----------
    scores, truth
        As for `fit_global`.
    thresholds
        One number, or one per label. *Shape:* () or (L,).
    goal
        One of `GOALS`.
    """
    _check(scores, truth, goal)
    counts = Counts(truth.shape[1])
    # At least one dimension, so that every numpy compares in float64.
    counts.update(truth, scores >= np.atleast_1d(np.asarray(thresholds, dtype=np.float64)))
    value: float | None = counts.metrics()[goal]
    return value


def fit_global(scores: FloatArray, truth: FloatArray, goal: str) -> float:
    """Return the one threshold for all labels that is best for the goal.

    Every distinct outcome is counted. Among equal optima the threshold nearest to 0.5 is taken, so
    0.5 itself wins ties, and the result is never worse than 0.5 on these rows. Without any known
    positive there is nothing to fit, and 0.5 is returned.

    Parameters
    ----------
    scores
        *Shape:* (N, L), each between 0 and 1.
    truth
        *Shape:* (N, L), each 0, 1 or NaN (unknown; such cells count in nothing).
    goal
        One of `GOALS`.

    Raises
    ------
    LabelError
        The shapes differ, or a score is not between 0 and 1.
    OptionError
        The goal is unknown.
    """
    _check(scores, truth, goal)
    rows, columns = np.nonzero(~np.isnan(truth))
    positive = truth[rows, columns] == 1
    if not positive.any():
        return 0.5
    if goal == "micro_f1":
        group = np.zeros_like(rows)
    elif goal == "macro_f1":
        group = columns
    else:
        # Numbering only the rows that have a known cell excludes the others.
        group = np.unique(rows, return_inverse=True)[1]
    positives = _sum_by_group(group, positive)
    nothing = np.zeros_like(positives)
    threshold, _ = _best(
        goal,
        _Events(scores[rows, columns], positive, group),
        _Groups(hits=nothing, predicted=nothing, positives=positives),
    )
    return threshold


def fit_per_label(scores: FloatArray, truth: FloatArray, goal: str) -> DoubleArray:
    """Return one threshold per label.

    `macro_f1` is a sum over labels, so each label is fitted alone and the result is the optimum. The
    other goals couple the labels: starting from the global threshold, one label after another takes
    its best threshold given all others, until none improves the goal. Labels without a known
    positive keep the global threshold. Never worse than `fit_global` on these rows.

    Parameters, errors: as for `fit_global`.

    Returns
    -------
    thresholds
        *Shape:* (L,), float64, each above 0 and at most 1.
    """
    start = fit_global(scores, truth, goal)
    thresholds = np.full(scores.shape[1], start)
    fitted = np.flatnonzero((truth == 1).any(axis=0))
    if goal == "macro_f1":
        for column in fitted:
            thresholds[column] = fit_global(scores[:, [column]], truth[:, [column]], "micro_f1")
        return thresholds
    used = ~np.isnan(truth).all(axis=1)
    return _ascend(goal, scores[used], truth[used], thresholds, fitted)


def _ascend(
    goal: str, scores: FloatArray, truth: FloatArray, thresholds: DoubleArray, columns: IntArray
) -> DoubleArray:
    """Improve the thresholds of `columns` one at a time until none improves the goal."""
    thresholds = thresholds.copy()
    known, positive = ~np.isnan(truth), truth == 1
    predicted = known & (scores >= thresholds)
    row_hits, row_predicted = (predicted & positive).sum(axis=1), predicted.sum(axis=1)
    group = np.zeros(len(scores), np.int64) if goal == "micro_f1" else np.arange(len(scores))
    positives = _sum_by_group(group, positive.sum(axis=1))
    reached = goal_value(scores, truth, thresholds, goal) or 0.0
    for _ in range(_MAX_ROUNDS):
        improved = False
        for column in columns:
            cells, has_label, score = known[:, column], positive[:, column], scores[:, column]
            chosen = cells & (score >= thresholds[column])
            row_hits, row_predicted = row_hits - (chosen & has_label), row_predicted - chosen
            threshold, value = _best(
                goal,
                _Events(score[cells], has_label[cells], group[cells]),
                _Groups(
                    hits=_sum_by_group(group, row_hits),
                    predicted=_sum_by_group(group, row_predicted),
                    positives=positives,
                ),
            )
            if value > reached + 2 / _scale(len(positives)):
                improved, reached, thresholds[column] = True, value, threshold
                chosen = cells & (score >= threshold)
            row_hits, row_predicted = row_hits + (chosen & has_label), row_predicted + chosen
        if not improved:
            break
    return thresholds


def _best(goal: str, events: _Events, start: _Groups) -> tuple[float, float]:
    """Return the best threshold for the events, and the goal it reaches.

    `start` holds the counts of each group before any of the events.
    """
    events = events.take(np.argsort(-events.scores, kind="stable"))
    scores, scale = events.scores, _scale(len(start.positives))
    value, counted = _running_sums(goal, events, start)
    # Events of equal score happen together, so only the last of them ends in a possible outcome.
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    upper = np.append(scores.dtype.type(1), scores[last])
    lower = np.append(scores[last], scores.dtype.type(0))
    outcomes = np.append(0, last + 1)[upper > lower]
    thresholds = _between(lower[upper > lower], upper[upper > lower])
    means = value[outcomes] / np.maximum(counted[outcomes], 1) / scale
    optimal = np.flatnonzero(means >= means.max() - 2 / scale)
    best = optimal[np.argmin(np.abs(thresholds[optimal] - 0.5))]
    return float(thresholds[best]), float(means[best])


def _running_sums(goal: str, events: _Events, start: _Groups) -> tuple[IntArray, IntArray]:
    """Return the summed value of all groups, and how many count, after 0, 1, ... E events.

    Values are whole numbers in units of `1 / _scale(G)`: their sums are exact, so that equal
    outcomes compare as equal however the rows are ordered.
    """
    by_group = np.argsort(events.group, kind="stable")
    group, gain = events.group[by_group], events.positive[by_group].astype(np.int64)
    first = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    lengths = np.diff(np.append(first, len(group)))
    earlier = np.arange(len(group)) - np.repeat(first, lengths)  # events of the group so far
    earlier_gain = np.cumsum(gain) - gain
    earlier_gain -= np.repeat(earlier_gain[first], lengths)

    hits, predicted = start.hits[group] + earlier_gain, start.predicted[group] + earlier
    positives, scale = start.positives[group], _scale(len(start.positives))
    before, counted_before = _values(goal, _Groups(hits, predicted, positives), scale)
    after, counted_after = _values(goal, _Groups(hits + gain, predicted + 1, positives), scale)
    change, count_change = np.empty_like(gain), np.empty_like(gain)
    change[by_group] = after - before
    count_change[by_group] = counted_after - counted_before

    value, counted = _values(goal, start, scale)
    return (
        np.cumsum(np.append(value.sum(), change)),
        np.cumsum(np.append(counted.sum(), count_change)),
    )


def _values(goal: str, groups: _Groups, scale: float) -> tuple[IntArray, IntArray]:
    """Return the value of each group in units of `1 / scale`, and 1 where the group counts."""
    hits, predicted, positives = groups.hits, groups.predicted, groups.positives
    counted = np.ones_like(hits)
    if goal == "subset_accuracy":
        values = ((hits == predicted) & (hits == positives)).astype(np.float64)
    elif goal == "jaccard":
        union = predicted + positives - hits
        values = np.divide(hits, union, out=np.ones(hits.shape), where=union > 0)
    else:
        sizes = predicted + positives
        values = np.divide(2 * hits, sizes, out=np.zeros(hits.shape), where=sizes > 0)
        counted = (sizes > 0).astype(np.int64)
    return np.rint(values * scale).astype(np.int64), counted


def _between(lower: FloatArray, upper: FloatArray) -> DoubleArray:
    """Return for each pair a threshold t with lower < t <= upper, *shape* (E,), float64.

    0.5 where it separates the pair, else the middle rounded to float32, which decides alike in both
    precisions; where the pair is too close for that, the upper score itself.
    """
    low, high = lower.astype(np.float64), upper.astype(np.float64)
    middle = ((low + high) / 2).astype(np.float32).astype(np.float64)
    middle = np.where((low < middle) & (middle < high), middle, high)
    return np.where((low < 0.5) & (high >= 0.5), 0.5, middle)


def _scale(num_groups: int) -> float:
    """Return the largest power of two at which a sum over the groups fits a 64-bit integer."""
    return float(2 ** min(52, 62 - num_groups.bit_length()))


def _sum_by_group(group: IntArray, counts: npt.NDArray[np.int64 | np.bool_]) -> IntArray:
    return np.bincount(group, weights=counts).astype(np.int64)


def _check(scores: FloatArray, truth: FloatArray, goal: str) -> None:
    if goal not in GOALS:
        raise OptionError(f"Unknown goal '{goal}'. The goals are: {', '.join(GOALS)}")
    if scores.ndim != 2 or scores.shape != truth.shape:
        raise LabelError(
            f"The scores have shape {scores.shape} and the truth {truth.shape}; "
            "expected (rows, labels) for both."
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise LabelError("A score is not between 0 and 1; pass probabilities, not logits.")
