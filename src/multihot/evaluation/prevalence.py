"""How frequent labels are in texts that nobody has labelled, from scores alone.

Letters: `L` labels, `B` bins, `R` bootstrap samples. Three estimates, which differ in what they assume:

* `counted`: the mean of calibrated scores (Bella et al. 2010, "Quantification via probability
  estimators"). It is right where a score still means what it meant, whichever texts come more often.
* `em`: expectation maximisation (Saerens, Latinne and Decaestecker 2002). It is right where texts of
  a label, and texts without it, are as before and only their numbers differ.
* `bbse`: black-box shift estimation (Lipton, Wang and Smola 2018), from decisions alone; as `em`.

Scores are calibrated by their histogram on the rows that fitted the decision. With several labels a text,
more texts of one label change which texts the others occur in, which `em` and `bbse` take for a shift of
those; so `counted` is what is reported, and the others are shown beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import Z_95, logit, sigmoid
from multihot.decision.fitting_facts import LabelFacts

__all__ = ["PrevalenceEstimate", "estimate_prevalence"]

Floats = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_PRIOR = 1.0  # cells with the label's prevalence, in every bin
_BOUND = 12.0  # of a change of the log odds
_STEPS = 45
_SAMPLES = 200


@dataclass(frozen=True)
class PrevalenceEstimate:
    """One label: its prevalence in the rows that fitted the decision, and now."""

    fitted: float
    counted: float
    counted_low: float
    counted_high: float
    """The ends of the 95 % interval."""
    em: float
    em_low: float
    em_high: float
    bbse: float | None
    """`None` where the decision does not tell texts with the label from others."""
    bbse_low: float | None
    bbse_high: float | None
    p_value: float
    """Of the hypothesis that the mean calibrated score is what it was; not corrected for other tests."""


def estimate_prevalence(
    facts: LabelFacts, counts: IntArray, given: int, *, seed: int = 0
) -> PrevalenceEstimate:
    """Estimate the prevalence of one label.

    Parameters
    ----------
    facts
        Of the rows that fitted the decision.
    counts
        The texts by bin of `facts`; there is at least one. *Shape:* (B,).
    given
        How many of them got the label.
    seed
        Of the bootstrap samples.
    """
    positives, negatives = (
        np.array(each, np.float64) for each in (facts.positives, facts.negatives)
    )
    texts = counts.astype(np.float64)
    rates = _rates(positives, negatives)
    counted, low, high = _counted(rates, positives + negatives, texts)
    em, em_low, em_high = _em(positives, negatives, texts, seed)
    return PrevalenceEstimate(
        facts.prevalence,
        counted,
        low,
        high,
        em,
        em_low,
        em_high,
        *_bbse(facts, int(texts.sum()), given),
        p_value=_p_value(rates, positives + negatives, texts),
    )


def _rates(positives: Floats, negatives: Floats) -> Floats:
    """Return the fraction of positives in each bin, drawn a little to that of all. *Shape:* (..., B)."""
    rows = positives + negatives
    overall = positives.sum(axis=-1, keepdims=True) / rows.sum(axis=-1, keepdims=True)
    return np.asarray((positives + _PRIOR * overall) / (rows + _PRIOR))


def _counted(rates: Floats, rows: Floats, texts: Floats) -> tuple[float, float, float]:
    """Return the mean rate of the texts and its interval."""
    fractions = texts / texts.sum()
    value = float(fractions @ rates)
    of_labels = float((fractions**2 * rates * (1 - rates) / (rows + _PRIOR)).sum())
    of_texts = float(fractions @ (rates - value) ** 2) / float(texts.sum())
    return value, *_interval(value, of_labels + of_texts)


def _p_value(rates: Floats, rows: Floats, texts: Floats) -> float:
    """Return the p-value of a two-sample test of the mean rate, of texts and rows."""
    joined = rows + texts
    mean = float(rates @ joined / joined.sum())
    variance = float((rates - mean) ** 2 @ joined / joined.sum())
    error = np.sqrt(variance * (1 / rows.sum() + 1 / texts.sum()))
    difference = float(rates @ texts / texts.sum() - rates @ rows / rows.sum())
    return 1.0 if error == 0 else 2 * NormalDist().cdf(-abs(difference) / float(error))


def _em(
    positives: Floats, negatives: Floats, texts: Floats, seed: int
) -> tuple[float, float, float]:
    """Return the prevalence at which expectation maximisation stops, and its bootstrap interval."""
    generator = np.random.default_rng([seed, 0x5A])
    cells = np.concatenate([positives, negatives])
    drawn = generator.multinomial(int(cells.sum()), cells / cells.sum(), size=_SAMPLES)
    samples = generator.multinomial(int(texts.sum()), texts / texts.sum(), size=_SAMPLES)
    size = len(positives)
    used = (drawn[:, :size].sum(axis=1) > 0) & (drawn[:, size:].sum(axis=1) > 0)
    drawn, samples = drawn[used].astype(np.float64), samples[used].astype(np.float64)
    value = float(_fixed_point(positives, negatives, texts))
    found = _fixed_point(drawn[:, :size], drawn[:, size:], samples)
    low, high = np.quantile(found, [0.025, 0.975])
    return value, min(float(low), value), max(float(high), value)


def _fixed_point(positives: Floats, negatives: Floats, texts: Floats) -> Floats:
    """Return the prevalence that posteriors under it have on average. *Shapes:* (..., B) -> (...)."""
    rates = logit(_rates(positives, negatives))
    total = positives.sum(axis=-1)
    base = logit(total / (total + negatives.sum(axis=-1)))
    fractions = texts / texts.sum(axis=-1, keepdims=True)
    low, high = np.full(base.shape, -_BOUND), np.full(base.shape, _BOUND)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        mean = (sigmoid(rates + middle[..., None], np.float64) * fractions).sum(axis=-1)
        above = mean > sigmoid(base + middle, np.float64)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return sigmoid(base + (low + high) / 2, np.float64)


def _bbse(
    facts: LabelFacts, num_texts: int, given: int
) -> tuple[float | None, float | None, float | None]:
    """Return the prevalence that explains how often the label is given, and its interval."""
    num_positive, num_negative = sum(facts.positives), sum(facts.negatives)
    right, wrong = facts.given_positives / num_positive, facts.given_negatives / num_negative
    if right <= wrong:
        return None, None, None
    rate, gap = given / num_texts, right - wrong
    value = min(1.0, max(0.0, (rate - wrong) / gap))
    variance = rate * (1 - rate) / num_texts
    variance += value**2 * right * (1 - right) / num_positive
    variance += (1 - value) ** 2 * wrong * (1 - wrong) / num_negative
    half = Z_95 * float(np.sqrt(variance)) / gap
    return value, max(0.0, value - half), min(1.0, value + half)


def _interval(value: float, variance: float) -> tuple[float, float]:
    """Return the interval on the scale of log odds, which stays inside 0 and 1."""
    middle = logit(np.array(value))
    half = Z_95 * np.sqrt(variance) / (value * (1 - value))
    low, high = sigmoid(np.array([middle - half, middle + half]), np.float64).tolist()
    return low, high
