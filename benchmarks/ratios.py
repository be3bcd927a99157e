"""Ratios of interleaved measurements: the machine's mood of a round cancels within the round."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Spread", "ratio", "spread"]


@dataclass(frozen=True)
class Spread:
    """Five numbers of the same thing measured several times."""

    least: float
    lower_quartile: float
    median: float
    upper_quartile: float
    most: float

    def __str__(self) -> str:
        return (
            f"{self.median:.2f} (quartiles {self.lower_quartile:.2f} to "
            f"{self.upper_quartile:.2f}, least {self.least:.2f})"
        )


def spread(values: Sequence[float]) -> Spread:
    """Summarise at least one value; quartiles include the ends (Hyndman and Fan 1996, type 7)."""
    if not values:
        raise ValueError("There is no value to summarise.")
    ordered = sorted(values)
    if len(ordered) == 1:
        return Spread(*(ordered * 5))
    lower, median, upper = statistics.quantiles(ordered, n=4, method="inclusive")
    return Spread(ordered[0], lower, median, upper, ordered[-1])


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Divide round by round, so that what slows a whole round changes nothing."""
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])
