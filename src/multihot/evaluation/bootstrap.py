"""Poisson bootstrap and paired permutation test: sums over rows, as they are and in random replicates.

In every replicate of the Poisson bootstrap each row (or unit, such as a document) counts Poisson(1)
times, independently, which for many rows is the multinomial of the ordinary bootstrap but needs no
list of all rows (Chamandy, Muralidharan, Najmi and Naidu 2012, "Estimating uncertainty for massive
data streams"). In every replicate of a paired permutation test each row counts once or not at all,
with equal probability: whether the answers of the two models were swapped there. Rows are streamed,
and the chunks make no difference.

Letters: `N` rows, `K` statistics of a row (or ratios), `R` replicates, `U` units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.core.seeding import named_generator
from multihot.decision.counts import ratio
from multihot.evaluation.intervals import percentile_interval

__all__ = [
    "BLOCK_ROWS",
    "Estimate",
    "ReplicateSums",
    "SparseReplicateSums",
    "bootstrapped",
    "num_replicates",
    "poisson_counts",
    "swap_masks",
]

Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.floating]
Places = npt.NDArray[np.int64]
Draw = Callable[[int, int, int], Weights]
"""Block number from 0, rows N and replicates R to weights (R, N)."""

BLOCK_ROWS = 1024
"""Rows whose weights are drawn, and whose statistics are summed, together."""

_BLOCK_UNITS = 4096
_MANY_CELLS = 1 << 22
_CELLS_AT_ONCE = 1 << 22
_MAX_SUMS = 1 << 23  # sums of all replicates: 64 MB


def num_replicates(num_rows: int, num_labels: int) -> int:
    """Return how many replicates an interval is made of: 1000, or 400 from four million cells on.

    With very many labels they are fewer, so that the sums of all replicates stay below 64 MB.
    """
    wanted = 1000 if num_rows * num_labels <= _MANY_CELLS else 400
    return max(100, min(wanted, _MAX_SUMS // (3 * num_labels + 16)))


def poisson_counts(seed: int) -> Draw:
    """Return what draws how often each row of a block counts in each replicate, in float32.

    The draws are a pure function of the seed, the block's number and the row's index in the block.
    """

    def draw(block: int, num_rows: int, num_replicates: int) -> Weights:
        generator = named_generator(seed, "replicates", block + 1)
        shape = num_replicates, BLOCK_ROWS
        draws = generator.integers(1 << 16, size=shape, dtype=np.uint16)
        return _poisson_table()[draws[:, :num_rows]]

    return draw


def swap_masks(seed: int) -> Draw:
    """Return what draws 1 for rows that are swapped in a replicate and 0 for others, likewise."""

    def draw(block: int, num_rows: int, num_replicates: int) -> Weights:
        generator = named_generator(seed, "swaps", block + 1)
        draws = generator.integers(256, size=(num_replicates, BLOCK_ROWS // 8), dtype=np.uint8)
        return np.unpackbits(draws, axis=1)[:, :num_rows].astype(np.float32)

    return draw


class ReplicateSums:
    """Sums of K statistics over rows: as they are, and in R replicates.

    Rows are summed in blocks of `block_rows`, however they come, so that the sums are the same to the
    last bit; memory does not grow with them. Products are computed in the type of the weights:
    float32 is exact for counts, and twice as fast.
    """

    def __init__(
        self, num_columns: int, num_replicates: int, draw: Draw, *, block_rows: int = BLOCK_ROWS
    ) -> None:
        self._draw = draw
        self._block_rows = block_rows
        self._sums = np.zeros((1 + num_replicates, num_columns))
        self._waiting: list[Floats] = []
        self._num_waiting = self._num_blocks = 0

    def update(self, rows: npt.NDArray[np.floating]) -> None:
        """Add rows. *Shape:* (N, K)."""
        self._waiting.append(rows.astype(np.float64))
        self._num_waiting += len(rows)
        if self._num_waiting < self._block_rows:
            return
        waiting = np.concatenate(self._waiting)
        stop = len(waiting) - len(waiting) % self._block_rows
        for start in range(0, stop, self._block_rows):
            self._add(waiting[start : start + self._block_rows])
        self._waiting, self._num_waiting = [waiting[stop:].copy()], len(waiting) - stop

    def result(self) -> Floats:
        """Return the sums as they are, then those of each replicate. *Shape:* (1 + R, K)."""
        if self._num_waiting:
            self._add(np.concatenate(self._waiting))
        self._waiting, self._num_waiting = [], 0
        return self._sums

    def _add(self, block: Floats) -> None:
        self._sums[0] += block.sum(axis=0)
        weights = self._draw(self._num_blocks, len(block), len(self._sums) - 1)
        self._sums[1:] += weights @ block.astype(weights.dtype)
        self._num_blocks += 1


class SparseReplicateSums:
    """The same sums of columns that hold a few ones and else zeros: whole numbers, and so exact."""

    def __init__(self, num_columns: int, num_replicates: int, draw: Draw) -> None:
        self._draw = draw
        self._sums = np.zeros((1 + num_replicates, num_columns))
        self._waiting: list[tuple[Places, Places]] = []
        self._num_rows = self._num_blocks = 0

    def update(self, rows: Places, columns: Places, num_rows: int) -> None:
        """Add so many rows, with ones at these places. *Shapes:* (ones,) both."""
        self._waiting.append((rows + self._num_rows, columns))
        self._num_rows += num_rows
        while self._num_rows >= BLOCK_ROWS:
            self._add(BLOCK_ROWS)

    def result(self) -> Floats:
        """Return the sums as they are, then those of each replicate. *Shape:* (1 + R, K)."""
        if self._num_rows:
            self._add(self._num_rows)
        return self._sums

    def _add(self, num_rows: int) -> None:
        """Add the first rows of those that wait."""
        rows, columns = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        later = rows >= num_rows
        self._waiting = [(rows[later] - num_rows, columns[later])]
        self._num_rows -= num_rows
        order = np.argsort(columns[~later], kind="stable")
        rows, columns = rows[~later][order], columns[~later][order]
        weights = self._draw(self._num_blocks, num_rows, len(self._sums) - 1)
        self._num_blocks += 1
        step = max(1, _CELLS_AT_ONCE // len(self._sums))
        for start in range(0, len(rows), step):
            column = columns[start : start + step]
            first = np.flatnonzero(np.append(True, column[1:] != column[:-1]))
            drawn = weights[:, rows[start : start + step]]
            self._sums[1:, column[first]] += np.add.reduceat(drawn, first, axis=1)
            self._sums[0, column[first]] += np.diff(np.append(first, len(column)))


def _poisson_table() -> npt.NDArray[np.float32]:
    """Return Poisson(1) counts for 2^16 equally likely draws; probabilities are rounded to 2^-16."""
    cumulative = np.cumsum([math.exp(-1) / math.factorial(count) for count in range(12)])
    lengths = np.diff(np.rint(cumulative * (1 << 16)).astype(np.int64), prepend=0)
    return np.repeat(np.arange(12, dtype=np.float32), lengths)


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; `None` where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


def bootstrapped(
    numerators: npt.NDArray[np.floating],
    denominators: npt.NDArray[np.floating],
    units: npt.NDArray[np.int64],
    generator: np.random.Generator,
    *,
    num_replicates: int = 1000,
) -> list[Estimate]:
    """Return ratios of sums with their intervals when rows are resampled by unit.

    Replicates in which a denominator is 0 are left out.

    Parameters
    ----------
    numerators, denominators
        What each row adds to each ratio. *Shape:* (N, K).
    units
        The unit of each row, numbered from 0. *Shape:* (N,), int64.
    generator
        Draws the replicates.
    num_replicates
        R.
    """
    by_unit = np.zeros((2, int(units.max(initial=-1)) + 1, numerators.shape[1]))
    np.add.at(by_unit[0], units, numerators)
    np.add.at(by_unit[1], units, denominators)

    def draw(_: int, num_rows: int, num_replicates: int) -> Weights:
        return generator.poisson(1.0, (num_replicates, num_rows)).astype(np.float64)

    num_ratios = numerators.shape[1]
    sums = ReplicateSums(2 * num_ratios, num_replicates, draw, block_rows=_BLOCK_UNITS)
    sums.update(np.concatenate(by_unit, axis=1))
    found = sums.result()
    return [_estimate(values) for values in ratio(found[:, :num_ratios], found[:, num_ratios:]).T]


def _estimate(values: Floats) -> Estimate:
    """Return the estimate of a ratio and its replicates. *Shape:* (1 + R,)."""
    if np.isnan(values[0]):
        return Estimate(None, None, None)
    low, high = percentile_interval(values) or (None, None)
    return Estimate(float(values[0]), low, high)
