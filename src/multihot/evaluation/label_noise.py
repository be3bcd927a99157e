"""How often given labels are wrong, and which: from scores of networks that were not trained on them.

A label that is given is the true one passed through a channel that turns some of it over, label by
label: `P(given | not true)` and `P(not given | true)` are the same in all rows (Northcutt, Jiang and
Chuang 2021, "Confident Learning", JAIR 70). With the true label's probability a logistic function of
the out-of-fold logit, the channel is fitted by expectation maximisation (Raykar et al. 2010, "Learning
From Crowds", JMLR 11, with a single annotator), and Bayes' rule says how likely each given value is
wrong. Unknown cells count in no fit; for them it says how likely the label is true.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import sigmoid
from multihot.decision.calibrators import targets

__all__ = ["LabelNoise", "confident_joint", "fit_label_noise", "probability_wrong"]

DoubleArray = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_SLACK = 1e-6  # of a threshold of confident learning
_STEPS = 200  # of expectation maximisation
_ENOUGH = 1e-5  # change of a rate between two steps
_LARGEST = 30.0  # absolute logit
_PRIOR_ROWS = 10.0
"""How many rows a prior for a rate counts: the rate of all labels together, for labels with few rows."""
_LEAST, _MOST = 1e-4, 0.45  # of a rate; a label given at random could not be told from its opposite


@dataclass(frozen=True)
class LabelNoise:
    """The channel of each label.

    Attributes
    ----------
    slopes, offsets
        *Shape:* (L,). The label is true with probability `sigmoid(slope * logit + offset)`.
    added
        *Shape:* (L,). The probability that the label is given where it is not true.
    dropped
        *Shape:* (L,). The probability that it is not given where it is true.
    """

    slopes: DoubleArray
    offsets: DoubleArray
    added: DoubleArray
    dropped: DoubleArray

    def log_odds(self, logits: npt.NDArray[np.floating]) -> DoubleArray:
        """Return the log odds that each label is true before its given value is seen. *Shape:* (N, L)."""
        inside = np.clip(logits.astype(np.float64), -_LARGEST, _LARGEST)
        return np.asarray(inside * self.slopes + self.offsets)

    def vote(
        self, positive: npt.NDArray[np.generic], negative: npt.NDArray[np.generic]
    ) -> DoubleArray:
        """Return what values given for a text add to the log odds that its labels are true.

        `positive` and `negative` count them. *Shapes:* (M, L) -> (M, L).
        """
        for_given = np.log1p(-self.dropped) - np.log(self.added)
        for_absent = np.log(self.dropped) - np.log1p(-self.added)
        return np.asarray(positive * for_given + negative * for_absent)


def fit_label_noise(logits: FloatArray, given: FloatArray) -> LabelNoise:
    """Fit the channel of every label to out-of-fold logits.

    Parameters
    ----------
    logits
        *Shape:* (N, L), no NaN.
    given
        *Shape:* (N, L), each 0, 1 or NaN (unknown).

    Returns
    -------
    noise
        A label with few rows leans on the rates of all labels together. One without both values has
        these rates, and the logits as they are.
    """
    columns = [_column(logits[:, label], given[:, label]) for label in range(given.shape[1])]
    alone = [_fit(values, positive, (0.0, 0.0), 0.0) for values, positive in columns]
    common = _common_rates(columns, alone)
    fitted = [_fit(values, positive, common, _PRIOR_ROWS) for values, positive in columns]
    slopes, offsets, added, dropped = (np.array(part) for part in zip(*fitted, strict=True))
    return LabelNoise(slopes, offsets, added, dropped)


def probability_wrong(
    noise: LabelNoise,
    logits: FloatArray,
    given: FloatArray,
    evidence: npt.NDArray[np.floating] | None = None,
) -> DoubleArray:
    """Return how likely each given value is wrong; of unknown cells, how likely the label is true.

    Parameters
    ----------
    evidence
        What is known besides, such as `noise.vote(...)`: it is added to the log odds that labels are
        true. *Shape:* (N, L).
    """
    odds = noise.log_odds(logits)
    if evidence is not None:
        odds = odds + evidence
    odds = odds + noise.vote(given == 1, given == 0)
    true = sigmoid(odds, np.float64)
    return np.where(given == 1, sigmoid(-odds, np.float64), true)


def confident_joint(logits: FloatArray, given: FloatArray) -> tuple[int, int]:
    """Count the wrong values of one label by confident learning: those given, and those not given.

    A text counts for the value whose probability is at least what it is on average where that value is
    given (Northcutt et al. 2021, section 3.1); the counts are scaled to the numbers of given values.
    Unknown cells do not count. *Shapes:* (N,), (N,).
    """
    known = ~np.isnan(given)
    probability, positive = sigmoid(logits[known], np.float64), given[known] == 1
    if not positive.any() or positive.all():
        return 0, 0
    as_positive = probability >= probability[positive].mean() - _SLACK
    as_negative = 1 - probability >= (1 - probability[~positive]).mean() - _SLACK
    both = as_positive & as_negative
    as_positive &= ~both | (probability > 0.5)
    as_negative &= ~both | (probability <= 0.5)
    counts = [
        _scaled(int((as_negative & kind).sum()), int((as_positive & kind).sum()), kind)
        for kind in (positive, ~positive)
    ]
    return round(counts[0][0]), round(counts[1][1])


def _scaled(negative: int, positive: int, kind: BoolArray) -> tuple[float, float]:
    total = negative + positive
    if not total:
        return 0.0, 0.0
    return kind.sum() * negative / total, kind.sum() * positive / total


def _column(logits: FloatArray, given: FloatArray) -> tuple[DoubleArray, BoolArray]:
    """Return the logits and the values of the known cells of one label."""
    known = ~np.isnan(given)
    values = np.clip(logits[known].astype(np.float64), -_LARGEST, _LARGEST)
    return values, given[known] == 1


_Channel = tuple[float, float, float, float]


def _fit(
    values: DoubleArray, positive: BoolArray, rates: tuple[float, float], prior_rows: float
) -> _Channel:
    """Return slope, offset and rates of one label, by expectation maximisation.

    `rates` are what the prior expects, as if seen in so many rows.
    """
    if not positive.any() or positive.all():
        return 1.0, 0.0, max(rates[0], _LEAST), max(rates[1], _LEAST)
    slope, offset = _logistic(values, targets(positive), 1.0, 0.0, steps=25)
    added = dropped = 0.02
    for _ in range(_STEPS):
        prior = sigmoid(slope * values + offset, np.float64)
        for_given = prior * (1 - dropped)
        for_absent = prior * dropped
        true = np.where(
            positive,
            for_given / np.maximum(for_given + (1 - prior) * added, 1e-300),
            for_absent / np.maximum(for_absent + (1 - prior) * (1 - added), 1e-300),
        )
        num_true = true.sum()
        before = added, dropped
        added = (((1 - true) * positive).sum() + prior_rows * rates[0]) / (
            len(true) - num_true + prior_rows
        )
        dropped = ((true * ~positive).sum() + prior_rows * rates[1]) / (num_true + prior_rows)
        added, dropped = (min(max(rate, _LEAST), _MOST) for rate in (added, dropped))
        slope, offset = _logistic(values, true, slope, offset, steps=2)
        if abs(added - before[0]) + abs(dropped - before[1]) < _ENOUGH:
            break
    return slope, offset, added, dropped


def _logistic(
    values: DoubleArray, target: DoubleArray, slope: float, offset: float, *, steps: int
) -> tuple[float, float]:
    """Return slope and offset after some Newton steps towards the least log loss."""
    for _ in range(steps):
        probability = sigmoid(slope * values + offset, np.float64)
        weight = probability * (1 - probability) + 1e-9
        error = probability - target
        hessian = np.array(
            [
                [(weight * values**2).sum() + 1e-3, (weight * values).sum()],
                [(weight * values).sum(), weight.sum() + 1e-3],
            ]
        )
        gradient = np.array([(error * values).sum(), error.sum()])
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))
        slope, offset = float(slope - step[0]), float(offset - step[1])
    return max(slope, 0.05), offset


def _common_rates(
    columns: list[tuple[DoubleArray, BoolArray]], fitted: list[_Channel]
) -> tuple[float, float]:
    """Return the rates of all labels together."""
    with_values = [
        (len(positive) - positive.sum(), positive.sum(), channel)
        for (_, positive), channel in zip(columns, fitted, strict=True)
        if positive.any() and not positive.all()
    ]
    if not with_values:
        return _LEAST, _LEAST
    negatives, positives, channels = zip(*with_values, strict=True)
    added = float(np.average([channel[2] for channel in channels], weights=negatives))
    dropped = float(np.average([channel[3] for channel in channels], weights=positives))
    return added, dropped
