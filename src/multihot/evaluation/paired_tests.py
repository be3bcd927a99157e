"""Whether two models differ on the same rows: intervals, tests, minimum detectable differences.

Intervals come from resampling rows, the same ones for both models (Efron and Tibshirani 1993, chapter
16), p-values from swapping the answers of the two models row by row at random (approximate
randomisation, Noreen 1989; Yeh 2000). Areas under curves use the influence of each row instead
(see `ranking_intervals`). Rows are streamed; memory does not grow with them, but for the ranking.

Letters: `N` rows, `L` labels, `K` statistics of a row, `R` replicates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import Z_95
from multihot.decision.counts import number
from multihot.evaluation.bootstrap import ReplicateSums, num_replicates, poisson_counts, swap_masks
from multihot.evaluation.intervals import percentile_interval
from multihot.evaluation.ranking_intervals import is_near
from multihot.evaluation.row_statistics import (
    f1_of_labels,
    label_counts,
    metrics_of_sums,
    num_statistics,
    row_statistics,
)

__all__ = ["Difference", "Differences", "area_difference", "student_quantile"]

Floats = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

_NORMAL = NormalDist()
_DETECTABLE = Z_95 + _NORMAL.inv_cdf(0.8)  # standard errors: 5 % level, 80 % power
_MAX_SWAPS, _MIN_SWAPS = 9999, 999
_MAX_SUMS = 1 << 22
_SAME = 1e-9  # permutations that are ties may differ by rounding
_MANY = 200  # degrees of freedom from which on the expansion has eleven digits
_MAX_STEPS = 50


@dataclass(frozen=True)
class Difference:
    """A figure of one model less that of another, on the same rows; `None` where undefined."""

    first: float | None
    second: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    """The ends of the 95 % interval of the difference."""
    p_value: float | None = None
    """The probability of a difference at least as large, either way, under the null hypothesis."""
    standard_error: float | None = None

    @property
    def visible(self) -> float | None:
        """The minimum detectable difference of so many rows (5 % level, two-sided; power 80 %)."""
        return None if self.standard_error is None else _DETECTABLE * self.standard_error

    def rows_needed(self, difference: float, num_rows: int) -> int | None:
        """Return how many rows would detect `difference`; `None` where it cannot be estimated."""
        if not self.standard_error:
            return None
        return math.ceil(num_rows * (_DETECTABLE * self.standard_error / difference) ** 2)


class Differences:
    """Sums of two models over the same rows, added chunk by chunk; the chunks make no difference."""

    def __init__(
        self, num_rows: int, num_labels: int, seed: int = 0, *, num_swaps: int | None = None
    ) -> None:
        self._num_columns = num_statistics(num_labels)
        replicates = num_replicates(num_rows, 2 * num_labels)
        self._sums = ReplicateSums(2 * self._num_columns, replicates, poisson_counts(seed))
        swaps = num_swaps or max(_MIN_SWAPS, min(_MAX_SWAPS, _MAX_SUMS // self._num_columns))
        self._swapped = ReplicateSums(self._num_columns, swaps, swap_masks(seed))

    def update(
        self, truth: FloatArray, decided: Sequence[BoolArray], scores: Sequence[FloatArray]
    ) -> None:
        """Add rows.

        Parameters
        ----------
        truth
            *Shape:* (N, L), each 0, 1 or NaN (unknown).
        decided, scores
            What the first and the second model gave. *Shape of each:* (N, L).
        """
        pairs = zip(decided, scores, strict=True)
        first, second = (row_statistics(truth, cells, given) for cells, given in pairs)
        # Differences are summed, not the second model: equal answers then differ by exactly 0,
        # however a matrix product rounds the sums of its columns.
        self._sums.update(np.concatenate([first, second - first], axis=1))
        self._swapped.update(second - first)

    def result(self) -> tuple[dict[str, Difference], list[Difference]]:
        """Return the differences of the metrics by name, and those of the F1 of each label."""
        sums = self._sums.result()
        first = sums[:, : self._num_columns]
        second = first + sums[:, self._num_columns :]
        moved = self._swapped.result()[1:]
        swapped = first[:1] + moved, second[:1] - moved
        figures = [metrics_of_sums(each) for each in (first, second, *swapped)]
        metrics = {name: _difference(*(each[name] for each in figures)) for name in figures[0]}
        scores = [f1_of_labels(each).T for each in (first, second, *swapped)]
        counted = np.maximum(*(label_counts(each[:1])[0] for each in (first, second)))
        labels = [_difference(*each, percentiles=False) for each in zip(*scores, strict=True)]
        return metrics, [_widened(*each) for each in zip(labels, counted.tolist(), strict=True)]


def _difference(
    first: Floats,
    second: Floats,
    swapped_first: Floats,
    swapped_second: Floats,
    *,
    percentiles: bool = True,
) -> Difference:
    """Return the difference of a figure and its replicates, (1 + R,), tested by swapped ones.

    Without `percentiles` the interval is left to `_widened`, where there is a standard error.
    """
    one, other = number(first[0]), number(second[0])
    if one is None or other is None:
        return Difference(one, other)
    drawn = first - second
    permuted = np.abs(swapped_first - swapped_second)
    permuted = permuted[~np.isnan(permuted)]
    num_larger = int((permuted >= abs(one - other) - _SAME).sum())
    defined = drawn[1:][~np.isnan(drawn[1:])]
    low = high = None
    if percentiles or len(defined) < 2:
        low, high = percentile_interval(drawn) or (None, None)
    return Difference(
        first=one,
        second=other,
        difference=one - other,
        low=low,
        high=high,
        p_value=(1 + num_larger) / (1 + len(permuted)),
        standard_error=float(defined.std(ddof=1)) if len(defined) > 1 else None,
    )


def _widened(one: Difference, num_counted: float) -> Difference:
    """Return the difference with the interval of Student's t distribution instead of percentiles.

    A label may count in a dozen rows, where percentiles are too narrow: resamples know nothing of the
    rows that could have been, and the standard error itself is uncertain (Hesterberg 2015, section 5.3).
    """
    if one.difference is None or one.standard_error is None:
        return one
    freedom = max(num_counted - 1, 1.0)
    half = student_quantile(freedom) * math.sqrt((freedom + 1) / freedom) * one.standard_error
    return replace(one, low=max(one.difference - half, -1), high=min(one.difference + half, 1))


@lru_cache(maxsize=4096)
def student_quantile(degrees_of_freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t distribution, for at least one degree of freedom.

    With many, it is the expansion of Abramowitz and Stegun, 26.7.5; with few, the distribution function
    is inverted by Newton's method. Both are exact to eleven digits.
    """
    z, freedom = Z_95, degrees_of_freedom
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    quantile = z + math.fsum(term / freedom**power for power, term in enumerate(terms, 1))
    if freedom >= _MANY:
        return quantile
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2))
    scale /= math.sqrt(math.pi * freedom)
    for _ in range(_MAX_STEPS):
        density = scale * (1 + quantile**2 / freedom) ** (-(freedom + 1) / 2)
        step = (_student_tail(quantile, freedom) - 0.025) / density
        quantile += step
        if abs(step) < _SAME * 1e-3:
            break
    return quantile


def _student_tail(value: float, freedom: float) -> float:
    """Return how much of Student's t distribution lies above a value.

    It is half an incomplete beta function, here by its continued fraction (Abramowitz and Stegun, 26.5.8),
    evaluated from the front (Lentz 1976).
    """
    x, a, b = freedom / (freedom + value**2), freedom / 2, 0.5
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(logarithm + a * math.log(x) + b * math.log1p(-x)) / a
    ratio, inverse = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = inverse
    for m in range(1, 500):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = fraction
        for part in (even, odd):
            inverse = 1 / (1 + part * inverse)
            ratio = 1 + part / ratio
            fraction *= inverse * ratio
        if abs(fraction - before) <= 1e-15 * abs(fraction):
            break
    return front * fraction / 2


def area_difference(
    first: float | None,
    second: float | None,
    ranked: float,
    influences: Iterable[Floats],
    num_rows: int,
) -> Difference:
    """Return the difference of two means of areas, with the normal distribution (DeLong et al. 1988).

    Parameters
    ----------
    first, second
        The areas.
    ranked
        Their difference for the scores as the influences rank them. Where it is not near the
        difference (`is_near`), or there are no influences, there is no interval.
    influences
        The influence of each row on the first less that on the second, in blocks. *Shape:* (rows,).
    num_rows
        Rows with a known cell.
    """
    if first is None or second is None:
        return Difference(first, second)
    difference = first - second
    squares = [float((block**2).sum()) for block in influences]
    error = math.sqrt(math.fsum(squares) * num_rows / max(1, num_rows - 1))
    if not squares or not is_near(difference, ranked, error):
        return Difference(first, second, difference)
    half = Z_95 * error
    is_tested = error > _SAME
    return Difference(
        first=first,
        second=second,
        difference=difference,
        low=difference - half,
        high=difference + half,
        p_value=2 * _NORMAL.cdf(-abs(difference) / error) if is_tested else 1.0,
        standard_error=error,
    )
