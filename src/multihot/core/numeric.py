"""Formulas that several packages use: sigmoid and logit, the Wilson interval, Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

__all__ = [
    "Z_95",
    "fisher_exact",
    "frequency_logit",
    "holm",
    "logit",
    "sigmoid",
    "wilson_interval",
]

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]
Precision = TypeVar("Precision", np.float32, np.float64)
PValue = TypeVar("PValue", float, float | None)

Z_95 = NormalDist().inv_cdf(0.975)
"""Standard errors from the middle of a 95 % interval to its ends."""


@overload
def sigmoid(logits: npt.NDArray[np.floating]) -> FloatArray: ...
@overload
def sigmoid(logits: npt.NDArray[np.floating], dtype: type[Precision]) -> npt.NDArray[Precision]: ...
def sigmoid(logits: npt.NDArray[np.floating], dtype: type[Any] = np.float32) -> npt.NDArray[Any]:
    """Return 1 / (1 + exp(-x)), computed in `dtype` so that exp never overflows. *Shape:* any."""
    logits = logits.astype(dtype)
    with np.errstate(under="ignore"):
        small = np.exp(-np.abs(logits))
        return np.asarray(np.where(logits >= 0, 1, small) / (1 + small))


def logit(probabilities: npt.NDArray[np.floating]) -> DoubleArray:
    """Return log(p / (1 - p)) in float64, finite for 0 and 1 too. *Shape:* any."""
    inside = np.clip(probabilities.astype(np.float64), 1e-300, 1 - 2.0**-53)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def frequency_logit(positives: npt.NDArray[Any], known: npt.NDArray[Any]) -> DoubleArray:
    """Return the logit of frequencies, with half a positive and half a negative row added. *Shape:* any.

    So it is finite where nothing or everything is positive.
    """
    return np.asarray(np.log((positives + 0.5) / (known - positives + 0.5)))


def wilson_interval(
    successes: npt.ArrayLike, trials: npt.ArrayLike
) -> tuple[DoubleArray, DoubleArray]:
    """Return the ends of the 95 % interval of a binomial proportion, NaN without a trial.

    Wilson 1927; Brown, Cai and DasGupta 2001, "Interval estimation for a binomial proportion",
    recommend it. It holds for few trials too, also when all or none succeed.
    """
    counts = np.asarray(trials, dtype=np.float64)
    safe = np.where(counts == 0, 1.0, counts)
    proportion = np.asarray(successes, dtype=np.float64) / safe
    scale = 1 + Z_95**2 / safe
    middle = (proportion + Z_95**2 / (2 * safe)) / scale
    half = Z_95 * np.sqrt(proportion * (1 - proportion) / safe + Z_95**2 / (4 * safe**2)) / scale
    low, high = np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
    # Rounding must not exclude a proportion of exactly 0 or 1.
    low, high = np.where(proportion == 0, 0.0, low), np.where(proportion == 1, 1.0, high)
    return np.where(counts == 0, np.nan, low), np.where(counts == 0, np.nan, high)


def holm(p_values: Sequence[PValue]) -> list[PValue]:
    """Return p-values corrected for the number of tests, in the same order.

    `None` is a test that was not made: it stays `None` and does not count. The k-th smallest of m
    p-values is multiplied by m - k + 1, made no smaller than the one before it, and capped at 1 (Holm
    1979, "A simple sequentially rejective multiple test procedure"). The probability of rejecting any
    true null hypothesis stays below the level that the corrected values are compared with, whatever
    the dependence between the tests.
    """
    given = sorted((value, index) for index, value in enumerate(p_values) if value is not None)
    corrected = list(p_values)
    largest = 0.0
    for rank, (value, index) in enumerate(given):
        largest = max(largest, min(1.0, (len(given) - rank) * value))
        corrected[index] = largest
    return corrected


def fisher_exact(had: int, of: int, has: int, now_of: int) -> float:
    """Return the p-value of the exact test that two fractions, `had / of` and `has / now_of`, are equal.

    Twice the smaller tail of the hypergeometric distribution, at most 1 (Fisher 1935).
    """
    together, total = had + has, of + now_of
    low, high = max(0, together - of), min(together, now_of)
    logs = [
        _log_choose(now_of, k) + _log_choose(of, together - k) - _log_choose(total, together)
        for k in range(low, high + 1)
    ]
    chances = np.exp(np.array(logs))
    place = has - low
    return min(1.0, 2 * float(min(chances[: place + 1].sum(), chances[place:].sum())))


def _log_choose(of: int, chosen: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)
