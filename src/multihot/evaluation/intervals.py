"""95 % intervals from replicates, from counts, and from a standard error.

Letters: `R` replicates.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import Z_95, sigmoid, wilson_interval

__all__ = [
    "Interval",
    "corrected_interval",
    "logit_interval",
    "mean_of_labels_interval",
    "percentile_interval",
]

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

_NORMAL = NormalDist()
_HARMLESS_BIAS = 0.25  # standard errors


def corrected_interval(values: Floats, num_rows: int) -> Interval | None:
    """Return the bias-corrected percentile interval of a metric between 0 and 1, or above 0.

    It reaches as far as the metric. The quantiles are moved by how far the metric lies from the median of its replicates (Efron 1981,
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
    low, high = np.quantile(drawn, [_NORMAL.cdf(shift - Z_95), _NORMAL.cdf(shift + Z_95)])
    return min(float(low), float(value)), max(float(high), float(value))


def mean_of_labels_interval(values: Floats, num_rows: int) -> Interval | None:
    """Return the interval of a mean over labels, such as macro-F1; parameters as before.

    Where many labels are rare, replicates lie below the metric as the metric lies below what more
    rows would show: F1 is concave, and a replicate may lack a label. Quantiles of such replicates
    would not even reach the metric, so the bias is taken off (see `logit_interval`), unless it is less
    than a quarter of the standard error, which is harmless (Efron and Tibshirani 1993, section 10.3).
    """
    value, drawn = float(values[0]), values[1:][~np.isnan(values[1:])]
    if len(drawn) and 0 < value < 1:
        bias, error = float(drawn.mean()) - value, float(drawn.std())
        if error and abs(bias) > _HARMLESS_BIAS * error:
            return logit_interval(value, error, num_rows, bias)
    return corrected_interval(values, num_rows)


def percentile_interval(values: Floats) -> Interval | None:
    """Return the quantiles between which 95 % of the replicates lie; else as `corrected_interval`."""
    drawn = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(drawn):
        return None
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


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
    half = Z_95 * math.hypot(standard_error, bias / 2) / (corrected * (1 - corrected))
    low, high = sigmoid(np.array([middle - half, middle + half]), np.float64).tolist()
    return min(low, value), max(high, value)
