"""Whether scores can be read as probabilities: reliability bins and expected calibration error.

Expected calibration error (ECE; Naeini, Cooper and Hauskrecht 2015, with bins of equal mass as in
Nguyen and O'Connor 2015): cells are put into 15 bins in the order of their scores, and the error is
the mean over cells of |mean truth - mean score| of their bin. It is never 0 for a finite number of
cells; what perfectly calibrated scores would show is simulated beside it, with each label drawn
with the probability that its score states. Its interval says how far it would scatter on other texts
of the same kind.

Letters: `C` cells of one label (or of all), `B` bins, `S` simulations, `N` texts, `L` labels, `R`
replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.core.seeding import named_generator
from multihot.evaluation.bootstrap import BLOCK_ROWS, ReplicateSums, num_replicates, poisson_counts
from multihot.evaluation.intervals import Interval
from multihot.evaluation.ranking_cells import UNKNOWN

__all__ = [
    "FEW_CELLS",
    "NUM_BINS",
    "Reliability",
    "error_intervals",
    "num_simulations",
    "reliability_of",
    "reliability_of_bins",
]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
KeyArray = npt.NDArray[np.uint32]

NUM_BINS = 15
_BLOCK_CELLS = 1 << 16
FEW_CELLS = 1 << 12
"""In a bin with more cells, the sum of drawn labels is taken as normal."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of cells in the order of their scores; fewer than 15 where scores are tied.

    Attributes
    ----------
    counts, positives
        Cells of each bin, and those that are true. *Shape:* (B,), int64.
    score_sums
        *Shape:* (B,), float64.
    highest
        The largest score of each bin. *Shape:* (B,), float32.
    simulated
        The error of each simulation with perfectly calibrated scores. *Shape:* (S,).
    error_bound
        How far the exact error may be from `error`; 0 unless scores were binned before.
    """

    counts: Integers
    positives: Integers
    score_sums: Floats
    highest: npt.NDArray[np.float32]
    simulated: Floats
    error_bound: float = 0.0

    @property
    def error(self) -> float | None:
        """The expected calibration error, `None` without cells."""
        if not len(self.counts):
            return None
        gaps = np.abs(self.positives - self.score_sums)
        return float(gaps.sum() / self.counts.sum())

    @property
    def error_if_calibrated(self) -> float | None:
        """What perfectly calibrated scores would show on average."""
        return float(self.simulated.mean()) if len(self.counts) and len(self.simulated) else None

    def to_json(self) -> list[dict[str, float | int]]:
        """Return one entry for each bin: its cells, the highest score and two means."""
        return [
            {
                "cells": int(count),
                "highest_score": float(highest),
                "mean_score": float(score_sum / count),
                "share_true": float(positives / count),
            }
            for count, highest, score_sum, positives in zip(
                self.counts, self.highest, self.score_sums, self.positives, strict=True
            )
        ]


def num_simulations(num_cells: int) -> int:
    """Return S: 200, and fewer (at least 20) when there are many cells to draw."""
    return max(20, min(200, (1 << 24) // max(1, num_cells)))


def reliability_of(
    keys: KeyArray, seed: int, num_simulations: int, *, few_cells: int = FEW_CELLS
) -> Reliability:
    """Return the bins of cells that are all known.

    Cells with equal scores stay in one bin, so that their order means nothing.

    Parameters
    ----------
    keys
        *Shape:* (C,), uint32, ascending, as from `packed_cells`; it may be mapped from a
        file.
    seed, num_simulations
        Of the simulation with calibrated scores. With 0 simulations there are none.
    few_cells
        In bins of at most so many cells every label is drawn.
    """
    keys = np.asarray(keys)
    stops = _stops(keys)
    generator = _generator(seed, keys)
    counts = np.diff(stops, prepend=0)
    positives, sums = np.zeros(len(stops), np.int64), np.zeros(len(stops))
    gaps = np.zeros(num_simulations)
    for number, (stop, count) in enumerate(zip(stops.tolist(), counts.tolist(), strict=True)):
        spread, few = 0.0, count <= few_cells
        for begin in range(stop - count, stop, _BLOCK_CELLS):
            block = keys[begin : min(stop, begin + _BLOCK_CELLS)]
            scores = (block >> np.uint32(1)).view(np.float32).astype(np.float64)
            positives[number] += np.count_nonzero(block & np.uint32(1))
            sums[number] += scores.sum()
            if not few:
                spread += float((scores * (1 - scores)).sum())
        if not num_simulations:
            continue
        if few:
            drawn = generator.random((num_simulations, count), np.float32) < scores
            gaps += np.abs(drawn.sum(axis=1) - sums[number])
        else:
            gaps += np.abs(generator.normal(0.0, np.sqrt(spread), num_simulations))
    highest = (keys[stops - 1] >> np.uint32(1)).view(np.float32)
    return Reliability(counts, positives, sums, highest, gaps / max(1, len(keys)))


def reliability_of_bins(
    positive: Integers, negative: Integers, edges: Floats, seed: int, num_simulations: int
) -> Reliability:
    """Return the bins of cells that were counted in finer bins, whose middles stand for the scores.

    Parameters
    ----------
    positive, negative
        Cells of each fine bin in the order of scores. *Shape:* (F,), int64.
    edges
        Lowest and highest score of each fine bin. *Shape:* (2, F).
    """
    filled = (positive + negative) > 0
    positive, negative, edges = positive[filled], negative[filled], edges[:, filled]
    cells, middles = positive + negative, edges.mean(axis=0)
    total = int(cells.sum())
    if not total:
        nothing = np.zeros(0, np.int64)
        return Reliability(nothing, nothing, np.zeros(0), np.zeros(0, np.float32), np.zeros(0))
    wanted = np.ceil(np.arange(1, NUM_BINS + 1) * total / NUM_BINS)
    last = np.unique(np.searchsorted(np.cumsum(cells), wanted))
    starts = np.concatenate([[0], last[:-1] + 1])
    counts = np.add.reduceat(cells, starts)
    positives = np.add.reduceat(positive, starts)
    sums = np.add.reduceat(cells * middles, starts)
    generator = named_generator(seed, "calibrated", total, int(positives.sum()) + 1)
    drawn = generator.binomial(cells, middles, (num_simulations, len(cells)))
    gaps = np.abs(np.add.reduceat(drawn, starts, axis=1) - sums).sum(axis=1) / total
    # A score is at most half a fine bin from its middle. And the end of a bin may lie anywhere in a
    # fine bin, whose cells then change |truth - score| of two bins by their own at most.
    moved = np.maximum(positive * (1 - edges[0]), negative * edges[1])[last[:-1]].sum()
    bound = float((cells * np.diff(edges, axis=0)[0]).sum() / 2 + 2 * moved) / total
    highest = edges[1, last].astype(np.float32)
    return Reliability(counts, positives, sums, highest, gaps, bound)


def _stops(keys: KeyArray) -> Integers:
    """Return where the bins end: at each 15th of the cells, moved behind equal scores."""
    places = -(-np.arange(1, NUM_BINS + 1) * len(keys) // NUM_BINS)
    places = np.unique(places[places > 0])
    return np.unique(np.searchsorted(keys, keys[places - 1] | np.uint32(1), side="right"))


def _generator(seed: int, keys: KeyArray) -> np.random.Generator:
    """Return a stream that depends on the cells and not on their label's place among the labels."""
    middle = int(keys[len(keys) // 2]) if len(keys) else 0
    return named_generator(seed, "calibrated", len(keys) + 1, middle + 1)


def error_intervals(
    keys: KeyArray, labels: Sequence[Reliability], pooled: Reliability, seed: int
) -> list[Interval | None]:
    """Return the intervals of the errors of each label, of all cells, and of the mean over labels.

    Texts are resampled with the bins as they are. A resample adds noise, and noise makes the error
    larger; so the quantiles are moved down by as much as the resamples lie above the error. What is
    left is the scatter of the estimate, and not a test of whether the scores are calibrated: for
    that, compare with the error that perfectly calibrated scores would show.

    Parameters
    ----------
    keys
        Cells as from `packed_cells`, not sorted. *Shape:* (L, N), uint32.
    labels, pooled
        The bins of each label and of all cells.
    """
    known = (keys != UNKNOWN).any(axis=0)
    widths = [len(one.counts) for one in [*labels, pooled]]
    ends = np.cumsum(widths)
    num_columns = int(ends[-1]) + len(labels)
    replicates = num_replicates(keys.shape[1], 6 * len(labels))
    sums = ReplicateSums(num_columns, replicates, poisson_counts(seed))
    used = np.flatnonzero(known)
    for start in range(0, len(used), BLOCK_ROWS):
        sums.update(_gaps(keys[:, used[start : start + BLOCK_ROWS]], labels, pooled, num_columns))
    totals = sums.result()
    cells = totals[:, int(ends[-1]) :]
    found = []
    for number, (end, width) in enumerate(zip(ends.tolist(), widths, strict=True)):
        total = cells[:, number] if number < len(labels) else cells.sum(axis=1)
        gaps = np.abs(totals[:, end - width : end]).sum(axis=1)
        found.append(np.where(total > 0, gaps / np.maximum(total, 1), np.nan))
    with_cells = [values for values in found[:-1] if not np.isnan(values[0])]
    found.append(_mean(with_cells) if with_cells else np.full(1, np.nan))
    return [_moved(values) for values in found]


def _gaps(
    block: KeyArray, labels: Sequence[Reliability], pooled: Reliability, num_columns: int
) -> Floats:
    """Return truth less score of each cell in the column of its bin, then known cells. (N, columns)."""
    gaps = np.zeros((block.shape[1], num_columns))
    start, rows = 0, np.arange(block.shape[1])
    end_of_pooled = num_columns - len(labels)
    for number, (keys, one) in enumerate(zip(block, labels, strict=True)):
        known = keys != UNKNOWN
        scores = (keys[known] >> np.uint32(1)).view(np.float32)
        difference = (keys[known] & np.uint32(1)).astype(np.float64) - scores
        gaps[rows[known], start + np.searchsorted(one.highest, scores)] = difference
        places = end_of_pooled - len(pooled.counts) + np.searchsorted(pooled.highest, scores)
        np.add.at(gaps, (rows[known], places), difference)
        gaps[:, end_of_pooled + number] = known
        start += len(one.counts)
    return gaps


def _mean(values: list[Floats]) -> Floats:
    """Return the mean of those that are defined, replicate by replicate; NaN where none is."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.0).sum(axis=0)
    return np.where(defined.any(axis=0), total / np.maximum(defined.sum(axis=0), 1), np.nan)


def _moved(values: Floats) -> Interval | None:
    """Return the quantiles of the replicates, moved so that their mean is the value; 0 to 1."""
    drawn = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(drawn):
        return None
    low, high = np.quantile(drawn, [0.025, 0.975]) - (drawn.mean() - values[0])
    return float(max(low, 0.0)), float(min(high, 1.0))
