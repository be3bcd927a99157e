"""How often given labels are wrong, and which: from scores of networks that were not trained on them.

A label that is given is the true one passed through a channel that turns some of it over, whatever the
text says: `P(given | not true)` of each label and `P(not given | true)` are the same in all rows
(Northcutt, Jiang and Chuang 2021, "Confident Learning", JAIR 70). How likely a label is true follows from
its out-of-fold logit and from the other labels of the row: most texts have some label, so that the only
one of a text is seldom wrong, and one of a text without any is often missing. Both are fitted together by
expectation maximisation (Raykar et al. 2010, "Learning From Crowds", JMLR 11, with a single annotator),
and Bayes' rule says how likely each given value is wrong. Unknown cells count in no fit; for them it
says how likely the label is true.

Letters: `N` rows, `L` labels, `C` cells, `F` features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import sigmoid

__all__ = ["LabelNoise", "confident_joint", "fit_label_noise", "probability_wrong"]

DoubleArray = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_SLACK = 1e-6  # of a threshold of confident learning
_FIRST_STEPS, _STEPS = 15, 40  # of Newton, and of expectation maximisation
_ENOUGH = 1e-5  # change of a rate between two steps
_LARGEST = 8.0  # absolute logit; beyond, networks are too sure of what they were told
_MOST_OTHERS = 4.0
_LEAST, _MOST_ADDED, _MOST_DROPPED = 1e-4, 0.45, 0.05
"""Of rates. Where scores are poor, true labels look dropped, so that this rate is bounded."""
_PRIOR_SHARE = 0.3  # of its rows that the rate of all labels counts for each
_MOST_CELLS = 2_000_000  # that rates are fitted to
_WINDOW_CELLS = 1 << 20


@dataclass(frozen=True)
class _Channel:
    """Weights of the features of a cell, and the rates of the channel."""

    weights: DoubleArray
    added: DoubleArray
    dropped: float

    def vote(self, positive: DoubleArray, negative: DoubleArray) -> DoubleArray:
        """Return what given values add to the log odds that labels are true. *Shapes:* (N, L)."""
        for_given = np.log1p(-self.dropped) - np.log(self.added)
        for_absent = np.log(self.dropped) - np.log1p(-self.added)
        return np.asarray(positive * for_given + negative * for_absent)


@dataclass(frozen=True)
class LabelNoise:
    """The channel of each label.

    Attributes
    ----------
    added
        *Shape:* (L,). The probability that the label is given where it is not true.
    dropped
        The probability that a label is not given where it is true.
    """

    _alone: _Channel
    _with_others: _Channel

    @property
    def added(self) -> DoubleArray:  # noqa: D102 - an attribute
        return self._with_others.added

    @property
    def dropped(self) -> float:  # noqa: D102
        return self._with_others.dropped

    def log_odds(self, logits: FloatArray, given: FloatArray) -> DoubleArray:
        """Return the log odds that each label is true before its own given value is seen.

        The values of the other labels of the row count. *Shapes:* (N, L) -> (N, L).
        """
        odds = np.empty(logits.shape)
        step = max(1, _WINDOW_CELLS // logits.shape[1])
        for start in range(0, len(logits), step):
            rows = slice(start, start + step)
            features = _features_with_others(self._alone, logits[rows], given[rows])
            odds[rows] = features @ self._with_others.weights
        return odds

    def probability_wrong(
        self, odds: DoubleArray, given: FloatArray, evidence: npt.NDArray[np.floating] | None = None
    ) -> DoubleArray:
        """Return the same as `probability_wrong`, from log odds that are known already."""
        if evidence is not None:
            odds = odds + evidence
        odds = odds + self.vote(given == 1, given == 0)
        return np.where(given == 1, sigmoid(-odds, np.float64), sigmoid(odds, np.float64))

    def vote(
        self, positive: npt.NDArray[np.generic], negative: npt.NDArray[np.generic]
    ) -> DoubleArray:
        """Return what values given for a text add to the log odds that its labels are true.

        `positive` and `negative` count them. *Shapes:* (M, L) -> (M, L).
        """
        return self._with_others.vote(positive.astype(np.float64), negative.astype(np.float64))


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
        The rate of each label leans on that of all labels together. Of very many rows, some are fitted
        to: the same ones every time.
    """
    most = max(1, _MOST_CELLS // logits.shape[1])
    if len(logits) > most:
        rows = np.sort(np.random.default_rng(0).permutation(len(logits))[:most])
        logits, given = logits[rows], given[rows]
    alone = _fit(_features_alone(logits), given)
    return LabelNoise(alone, _fit(_features_with_others(alone, logits, given), given))


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
    return noise.probability_wrong(noise.log_odds(logits, given), given, evidence)


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


def _features_alone(logits: FloatArray) -> DoubleArray:
    """Return the logit and a constant of each cell. *Shapes:* (N, L) -> (N, L, 2)."""
    inside = np.clip(logits.astype(np.float64), -_LARGEST, _LARGEST)
    return np.stack([inside, np.ones_like(inside)], axis=2)


def _features_with_others(alone: _Channel, logits: FloatArray, given: FloatArray) -> DoubleArray:
    """Return what the logit of each cell and the other labels of its row say.

    How likely these are true was found from their own logits and values alone, so that the value of the
    cell itself is in none of its features. *Shapes:* (N, L) -> (N, L, 5).
    """
    features = _features_alone(logits)
    odds = features @ alone.weights
    votes = alone.vote((given == 1).astype(np.float64), (given == 0).astype(np.float64))
    true = sigmoid(odds + votes, np.float64)
    logs = np.log1p(-np.minimum(true, 1 - 1e-6))
    no_other = np.exp(logs.sum(axis=1, keepdims=True) - logs)
    others = np.minimum(true.sum(axis=1, keepdims=True) - true, _MOST_OTHERS)
    inside = features[:, :, 0]
    more = np.stack([no_other, no_other * inside, others], axis=2)
    return np.concatenate([features, more], axis=2)


def _fit(features: DoubleArray, given: FloatArray) -> _Channel:
    """Fit a channel by expectation maximisation. *Shapes:* (N, L, F), (N, L)."""
    known, num_labels = ~np.isnan(given), given.shape[1]
    cells, positive = features[known], given[known] == 1
    label = np.broadcast_to(np.arange(num_labels), given.shape)[known]
    added, dropped = np.full(num_labels, 0.02), 0.05
    weights = np.zeros(features.shape[2])
    weights[0] = 1.0
    if not positive.any() or positive.all():
        return _Channel(weights, added, dropped)
    weights = _newton(cells, positive.astype(np.float64), weights, steps=_FIRST_STEPS)
    for _ in range(_STEPS):
        true = sigmoid(
            cells @ weights
            + np.where(
                positive,
                np.log1p(-dropped) - np.log(added[label]),
                np.log(dropped) - np.log1p(-added[label]),
            ),
            np.float64,
        )
        before = added, dropped
        added, dropped = _rates(true, positive, label, num_labels)
        weights = _newton(cells, true, weights, steps=1)
        if np.abs(added - before[0]).max() + abs(dropped - before[1]) < _ENOUGH:
            break
    return _Channel(weights, added, dropped)


def _rates(
    true: DoubleArray, positive: BoolArray, label: npt.NDArray[np.int64], num_labels: int
) -> tuple[DoubleArray, float]:
    """Return the rates that fit probabilities of true labels. *Shapes:* (C,)."""
    extra = np.bincount(label, (1 - true) * positive, num_labels)
    absent = np.bincount(label, 1 - true, num_labels)
    common = extra.sum() / max(absent.sum(), _SLACK)
    prior_rows = max(1.0, _PRIOR_SHARE * len(true) / num_labels)
    added = (extra + prior_rows * common) / (absent + prior_rows)
    dropped = float((true * ~positive).sum() / max(true.sum(), _SLACK))
    return (
        np.asarray(np.clip(added, _LEAST, _MOST_ADDED)),
        min(max(dropped, 0.005), _MOST_DROPPED),
    )


def _newton(
    cells: DoubleArray, target: DoubleArray, weights: DoubleArray, *, steps: int
) -> DoubleArray:
    """Return weights after some Newton steps towards the least log loss. *Shapes:* (C, F), (C,), (F,)."""
    for _ in range(steps):
        probability = sigmoid(cells @ weights, np.float64)
        curvature = probability * (1 - probability) + 1e-9
        gradient = cells.T @ (probability - target) + 1e-3 * weights
        hessian = (cells * curvature[:, None]).T @ cells + 1e-3 * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step * min(1.0, 3.0 / max(float(np.abs(step).max()), 1e-12))
    return weights
