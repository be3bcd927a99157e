"""Whether scores can be read as probabilities: reliability bins and expected calibration error.

Expected calibration error (ECE; Naeini, Cooper and Hauskrecht 2015, with bins of equal mass as in
Nguyen and O'Connor 2015): cells are put into 15 bins in the order of their scores, and the error is
the mean over cells of |mean truth - mean score| of their bin. It is never 0 for a finite number of
cells; what perfectly calibrated scores would show is simulated beside it, with each label drawn
with the chance that its score names.

Letters: `C` cells of one label (or of all), `B` bins, `S` simulations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.randomness import named_generator

__all__ = ["NUM_BINS", "Reliability", "num_simulations", "reliability_of", "reliability_of_bins"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
KeyArray = npt.NDArray[np.uint32]

NUM_BINS = 15
_BLOCK_CELLS = 1 << 16
_FEW_CELLS = 1 << 12  # in a bin with more, the sum of drawn labels is taken as normal


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


def reliability_of(keys: KeyArray, seed: int, num_simulations: int) -> Reliability:
    """Return the bins of cells that are all known.

    Cells with equal scores stay in one bin, so that their order means nothing.

    Parameters
    ----------
    keys
        *Shape:* (C,), uint32, ascending, as from `sorted_cells.packed_cells`; it may be mapped from a
        file.
    seed, num_simulations
        Of the simulation with calibrated scores. With 0 simulations there are none.
    """
    stops = _stops(keys)
    generator = _generator(seed, keys)
    counts = np.diff(stops, prepend=0)
    positives, sums = np.zeros(len(stops), np.int64), np.zeros(len(stops))
    gaps = np.zeros(num_simulations)
    for number, stop in enumerate(stops.tolist()):
        spread, start = 0.0, stop - int(counts[number])
        few = counts[number] <= _FEW_CELLS
        for begin in range(start, stop, _BLOCK_CELLS):
            block = np.asarray(keys[begin : min(stop, begin + _BLOCK_CELLS)])
            scores = (block >> np.uint32(1)).view(np.float32).astype(np.float64)
            positives[number] += int((block & np.uint32(1)).sum())
            sums[number] += scores.sum()
            spread += float((scores * (1 - scores)).sum())
        if few:
            drawn = generator.random((num_simulations, int(counts[number])), np.float32) < scores
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
