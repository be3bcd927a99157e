"""Poisson bootstrap and swap masks: sums over rows, as they are and in many random replicates.

In every replicate of the Poisson bootstrap each row (or unit, such as a document) counts Poisson(1)
times, independently, which for many rows is the multinomial of the ordinary bootstrap but needs no
list of all rows (Chamandy, Muralidharan, Najmi and Naidu 2012, "Estimating uncertainty for massive
data streams"). In every replicate of a paired permutation test each row counts once or not at all,
with equal probability: whether the answers of the two models were swapped there. Rows are streamed,
and the chunks make no difference.

Letters: `N` rows, `K` statistics of a row (or ratios), `R` replicates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.core.seeding import named_generator

__all__ = [
    "BLOCK_ROWS",
    "Estimate",
    "PoissonBootstrap",
    "ReplicateSums",
    "bootstrapped",
    "coins",
    "num_replicates",
    "poisson_counts",
]

Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.float32]

BLOCK_ROWS = 1024
"""Rows whose weights are drawn, and whose statistics are summed, together."""

_MANY_CELLS = 1 << 22
_MAX_SUMS = 1 << 23  # sums of all replicates: 64 MB


def num_replicates(num_rows: int, num_labels: int) -> int:
    """Return how many replicates an interval is made of: 1000, or 400 from four million cells on.

    With very many labels they are fewer, so that the sums of all replicates stay below 64 MB.
    """
    wanted = 1000 if num_rows * num_labels <= _MANY_CELLS else 400
    return max(100, min(wanted, _MAX_SUMS // (3 * num_labels + 16)))


def poisson_counts(seed: int, block: int, num_rows: int, num_replicates: int) -> Weights:
    """Return how often each row of a block counts in each replicate. *Shape:* (R, N), float32.

    A pure function of the seed, the block's number (from 0) and the row's place in the block.
    """
    generator = named_generator(seed, "replicates", block + 1)
    shape = num_replicates, BLOCK_ROWS
    draws = generator.integers(1 << 16, size=shape, dtype=np.uint16)
    return _poisson_table()[draws[:, :num_rows]]


def coins(seed: int, block: int, num_rows: int, num_replicates: int) -> Weights:
    """Return 1 for rows that are swapped in a replicate and 0 for others; else as `poisson_counts`."""
    generator = named_generator(seed, "swaps", block + 1)
    draws = generator.integers(256, size=(num_replicates, BLOCK_ROWS // 8), dtype=np.uint8)
    return np.unpackbits(draws, axis=1)[:, :num_rows].astype(np.float32)


class ReplicateSums:
    """Sums of K statistics over rows: as they are, and in R replicates.

    Rows are summed in blocks of `BLOCK_ROWS`, however they come, so that the sums are the same to the
    last bit; memory does not grow with them.
    """

    def __init__(
        self, num_columns: int, num_replicates: int, seed: int, *, swaps: bool = False
    ) -> None:
        self._draw = coins if swaps else poisson_counts
        self._seed = seed
        self._sums = np.zeros((1 + num_replicates, num_columns))
        self._waiting: list[Floats] = []
        self._num_waiting = self._num_blocks = 0

    def update(self, rows: npt.NDArray[np.floating]) -> None:
        """Add rows. *Shape:* (N, K)."""
        self._waiting.append(rows.astype(np.float64))
        self._num_waiting += len(rows)
        if self._num_waiting < BLOCK_ROWS:
            return
        waiting = np.concatenate(self._waiting)
        stop = len(waiting) - len(waiting) % BLOCK_ROWS
        for start in range(0, stop, BLOCK_ROWS):
            self._add(waiting[start : start + BLOCK_ROWS])
        self._waiting, self._num_waiting = [waiting[stop:].copy()], len(waiting) - stop

    def result(self) -> Floats:
        """Return the sums as they are, then those of each replicate. *Shape:* (1 + R, K)."""
        if self._num_waiting:
            self._add(np.concatenate(self._waiting))
        self._waiting, self._num_waiting = [], 0
        return self._sums

    def _add(self, block: Floats) -> None:
        num_replicates = len(self._sums) - 1
        self._sums[0] += block.sum(axis=0)
        weights = self._draw(self._seed, self._num_blocks, len(block), num_replicates)
        # float32 is exact for counts, and twice as fast.
        self._sums[1:] += weights @ block.astype(np.float32)
        self._num_blocks += 1


def _poisson_table() -> Weights:
    """Return Poisson(1) counts for 2^16 equally likely draws; probabilities are rounded to 2^-16."""
    shares = np.cumsum([math.exp(-1) / math.factorial(count) for count in range(12)])
    lengths = np.diff(np.rint(shares * (1 << 16)).astype(np.int64), prepend=0)
    return np.repeat(np.arange(12, dtype=np.float32), lengths)


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
