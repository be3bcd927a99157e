"""95 % intervals from replicates, from counts, and from a standard error.

Letters: `R` replicates.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = [
    "Interval",
    "corrected_interval",
    "logit_interval",
    "percentile_interval",
    "wilson_interval",
]

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

_NORMAL = NormalDist()
_Z = _NORMAL.inv_cdf(0.975)


def corrected_interval(values: Floats, num_rows: int) -> Interval | None:
    """Return the bias-corrected percentile interval of a metric between 0 and 1, or above 0.

    The quantiles are moved by how far the metric lies from the median of its replicates (Efron 1981,
    "Nonparametric standard errors and confidence intervals", section 7).

    Parameters
    ----------
    values
        The metric, then its replicates, NaN where undefined. *Shape:* (1 + R,).
    num_rows
        Rows behind it. A metric of exactly 0 or 1 does not vary from replicate to replicate; then the
        Wilson interval of so many rows is returned.

    Returns
    -------
    interval
        `None` where the metric is undefined.
    """
    value, drawn = values[0], values[1:][~np.isnan(values[1:])]
    if np.isnan(value) or not len(drawn):
        return None
    if value in (0.0, 1.0) and (drawn == value).all():
        low, high = wilson_interval(value * num_rows, num_rows)
        return float(low), float(high)
    # Replicates equal to the value count half; never all of them on one side.
    below = ((drawn < value).mean() + (drawn <= value).mean()) / 2
    shift = 2 * _NORMAL.inv_cdf(min(max(float(below), 0.5 / len(drawn)), 1 - 0.5 / len(drawn)))
    low, high = np.quantile(drawn, [_NORMAL.cdf(shift - _Z), _NORMAL.cdf(shift + _Z)])
    return float(low), float(high)


def percentile_interval(values: Floats) -> Interval | None:
    """Return the quantiles between which 95 % of the replicates lie; else as `corrected_interval`."""
    drawn = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(drawn):
        return None
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def wilson_interval(successes: npt.ArrayLike, trials: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Return the ends of the interval of a share of independent trials, NaN without a trial.

    Wilson 1927; Brown, Cai and DasGupta 2001, "Interval estimation for a binomial proportion",
    recommend it. It holds for few trials too, also when all or none succeed.
    """
    counts = np.asarray(trials, dtype=np.float64)
    safe = np.where(counts == 0, 1.0, counts)
    share = np.asarray(successes, dtype=np.float64) / safe
    scale = 1 + _Z**2 / safe
    middle = (share + _Z**2 / (2 * safe)) / scale
    half = _Z * np.sqrt(share * (1 - share) / safe + _Z**2 / (4 * safe**2)) / scale
    low, high = np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
    # Rounding must not leave a share that all or no trial has outside.
    low, high = np.where(share == 0, 0.0, low), np.where(share == 1, 1.0, high)
    return np.where(counts == 0, np.nan, low), np.where(counts == 0, np.nan, high)


def logit_interval(
    value: float, standard_error: float, num_rows: int, bias: float = 0.0
) -> Interval:
    """Return the normal interval on the logit scale, which stays between 0 and 1.

    Recommended for ROC areas by Pepe 2003 (section 5.2) and for average precision by Boyd, Eng and
    Page 2013, "Area under the precision-recall curve: point estimates and confidence intervals".

    Parameters
    ----------
    value
        The metric. At exactly 0 or 1 the interval is the Wilson interval of `num_rows`.
    standard_error
        Of the value.
    num_rows
        Rows behind it.
    bias
        By how much the value is estimated to be too large. The interval is made around the value less
        the bias (Efron and Tibshirani 1993, section 10.6), but reaches as far as the value. Half of
        the bias counts as a standard error of its own, because the estimate of it is rough; without
        that, intervals of many rare labels were too short in simulation.
    """
    if not 0 < value < 1:
        low, high = wilson_interval(value * num_rows, num_rows)
        return float(low), float(high)
    # With very few positives the estimated bias may be as large as the value.
    corrected = min(max(value - bias, value / 4), 1 - (1 - value) / 4)
    middle = math.log(corrected / (1 - corrected))
    half = _Z * math.hypot(standard_error, bias / 2) / (corrected * (1 - corrected))
    return min(_logistic(middle - half), value), max(_logistic(middle + half), value)


def _logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-min(max(logit, -700.0), 700.0)))
