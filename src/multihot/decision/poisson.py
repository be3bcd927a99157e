"""Confidence intervals of ratios by the Poisson bootstrap: streamed, numpy only.

Each unit (a row, a document) is given an independent Poisson(1) count in every resample, which for
many units is the multinomial of the ordinary bootstrap but needs no list of all units
(Chamandy, Muralidharan, Najmi and Naidu 2012, "Estimating uncertainty for massive data streams").

Letters: `N` units, `K` ratios, `R` resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Estimate", "PoissonBootstrap", "bootstrapped"]

_CHUNK_UNITS = 4096  # bounds the counts that are held at a time


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; `None` where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


class PoissonBootstrap:
    """Sums of numerators and denominators, as they are and in every resample."""

    def __init__(
        self, num_ratios: int, generator: np.random.Generator, num_resamples: int = 1000
    ) -> None:
        self._generator = generator
        self._sums = np.zeros((2, num_ratios))
        self._resampled = np.zeros((2, num_resamples, num_ratios))

    def update(
        self, numerators: npt.NDArray[np.floating], denominators: npt.NDArray[np.floating]
    ) -> None:
        """Add units.

        Parameters
        ----------
        numerators, denominators
            What each unit adds to each ratio. *Shape:* (N, K).
        """
        parts = np.stack([numerators, denominators]).astype(np.float64)
        self._sums += parts.sum(axis=1)
        num_resamples = self._resampled.shape[1]
        for start in range(0, parts.shape[1], _CHUNK_UNITS):
            chunk = parts[:, start : start + _CHUNK_UNITS]
            counts = self._generator.poisson(1.0, (num_resamples, chunk.shape[1]))
            self._resampled += counts.astype(np.float64) @ chunk

    def estimates(self, share: float = 0.95) -> list[Estimate]:
        """Return each ratio with the interval that holds `share` of its resamples.

        Resamples in which a denominator is 0 are left out.
        """
        return [self._estimate(number, share) for number in range(self._sums.shape[1])]

    def _estimate(self, number: int, share: float) -> Estimate:
        numerator, denominator = self._sums[:, number]
        if denominator == 0:
            return Estimate(None, None, None)
        tops, bottoms = self._resampled[:, :, number]
        ratios = tops[bottoms != 0] / bottoms[bottoms != 0]
        low, high = _interval(ratios, share)
        return Estimate(float(numerator / denominator), low, high)


def bootstrapped(
    numerators: npt.NDArray[np.floating],
    denominators: npt.NDArray[np.floating],
    units: npt.NDArray[np.int64],
    generator: np.random.Generator,
) -> list[Estimate]:
    """Return ratios with their intervals when rows are resampled by unit.

    Parameters
    ----------
    numerators, denominators
        What each row adds to each ratio. *Shape:* (rows, K).
    units
        *Shape:* (rows,), int64, from 0. The unit of each row.
    generator
        Draws the resamples.
    """
    by_unit = np.zeros((2, int(units.max(initial=-1)) + 1, numerators.shape[1]))
    np.add.at(by_unit[0], units, numerators)
    np.add.at(by_unit[1], units, denominators)
    bootstrap = PoissonBootstrap(numerators.shape[1], generator)
    bootstrap.update(by_unit[0], by_unit[1])
    return bootstrap.estimates()


def _interval(values: npt.NDArray[np.float64], share: float) -> Sequence[float | None]:
    """Return the quantiles between which the middle `share` of the values lie."""
    if len(values) == 0:
        return None, None
    tail = (1 - share) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
