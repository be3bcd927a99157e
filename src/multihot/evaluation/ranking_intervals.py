"""How much each text moves the ROC areas and average precision: standard errors without resampling.

A ROC area changes by its influence function when a text counts a little more; the sum of squares over
texts is its variance (the infinitesimal jackknife, Efron 1982, chapter 6). The influence of a cell is
its placement value (DeLong, DeLong and Clarke-Pearson 1988). The cells of a text are not independent,
so their influences are summed before they are squared (Obuchowski 1997, "Nonparametric analysis of
clustered ROC curve data"). For two models on the same texts, the same of the differences gives the
paired test.

Average precision is not so smooth, and biased upwards: each positive is a hit at its own rank, which
counts much where few positives are above it. So it takes the jackknife itself: what changes when a text is
left out, which needs the ranks once, too. The sum of the changes estimates the bias, the sum of their
squares the variance (Efron 1982, chapters 2 and 3).

Cells in memory are ranked exactly. Of more, the bins of `BinnedCells` are ranked; scores that lie
closer together than a bin then count as tied, so `is_near` must be asked before such a standard error
is used.

Letters: `N` texts, `L` labels, `C` cells, `B` bins or, ranked exactly, distinct scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.evaluation.ranking_cells import UNKNOWN, BinnedCells

__all__ = [
    "BLOCK_CELLS",
    "INFLUENCED",
    "Influences",
    "binned_influences",
    "exact_influences",
    "is_near",
    "standard_errors",
]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
KeyArray = npt.NDArray[np.uint32]

INFLUENCED = ("mean_average_precision", "micro_roc_auc", "macro_roc_auc")
"""The metrics, in the order of the columns."""

BLOCK_CELLS = 1 << 18
"""Binned cells whose influences are held at once."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Influences:
    """How much each text moves each metric."""

    values: Floats
    """The metrics of the scores as they were ranked, NaN where undefined. *Shape:* (3,)."""
    blocks: Iterator[Floats]
    """How much each text moves each metric; for average precision by the jackknife.
    *Shape of each:* (texts of the block, 3); 0 for texts without a known cell. They come once."""
    biases: Floats
    """By how much each metric is too large on average, 0 for the ROC areas. *Shape:* (3,)."""


def exact_influences(keys: KeyArray) -> Influences:
    """Rank all cells and return the influences, in one block.

    Parameters
    ----------
    keys
        Cells as from `packed_cells`, not sorted. *Shape:* (L, N), uint32.
    """
    num_rows = keys.shape[1]
    found = np.zeros((num_rows, len(INFLUENCED)))
    precisions: list[float | None] = []
    biases: list[float] = []
    areas: list[float | None] = []
    pooled: float | None = None
    for column in keys:
        order, truth, ranks, counts = _ranked(column)
        if counts[1].any():
            value, bias, moved = _of_precision(counts)
            precisions.append(value)
            biases.append(bias)
            found[order, 0] += moved[truth, ranks]
        if counts.any(axis=1).all():
            value, moved = _of_area(counts)
            areas.append(value)
            found[order, 2] += moved[truth, ranks]
    found[:, 0] /= max(1, len(precisions))
    found[:, 2] /= max(1, len(areas))
    order, truth, ranks, counts = _ranked(keys.reshape(-1))
    if counts.any(axis=1).all():
        pooled, moved = _of_area(counts)
        found[:, 1] = np.bincount(order % num_rows, moved[truth, ranks], num_rows)
    values = _means([precisions, [pooled], areas])
    return Influences(values, iter([found]), _of_first(biases))


def binned_influences(
    keys: KeyArray, bins: BinnedCells, *, block_cells: int = BLOCK_CELLS
) -> Influences:
    """Return the influences in blocks, with scores rounded to bins.

    Parameters
    ----------
    keys
        As in `exact_influences`; they may be mapped from a file.
    bins
        The counts of the same cells.
    block_cells
        Cells of a block.
    """
    labels, pooled = bins.per_label(), bins.pooled()
    values = _means(
        [
            [one.average_precision for one in labels],
            [pooled.roc_auc],
            [one.roc_auc for one in labels],
        ]
    )
    tables, biases = _tables(bins.counts)
    return Influences(values, _binned_blocks(keys, bins, tables, block_cells), biases)


def standard_errors(blocks: Iterable[Floats], num_rows: int) -> Floats:
    """Return the standard error of each column. *Shape:* (3,); `num_rows` texts have a known cell."""
    total = np.zeros(len(INFLUENCED))
    for block in blocks:
        total += (block**2).sum(axis=0)
    return np.asarray(np.sqrt(total * num_rows / max(1, num_rows - 1)))


def is_near(exact: float, ranked: float, standard_error: float) -> bool:
    """Return whether a value is within half its standard error of the one that was ranked for it.

    Always when cells were ranked exactly. Else the bins are too coarse for these scores, and the
    standard error is that of something else.
    """
    return abs(exact - ranked) <= standard_error / 2 + _ROUNDING


def _ranked(keys: KeyArray) -> tuple[Integers, Integers, Integers, Integers]:
    """Return place, truth and rank of the known cells by rising score, and the cells of each rank.

    *Shapes:* (C,) -> (known,) three times, (2, B): negative and positive ones. Cells of one score have
    one rank, from 0.
    """
    # Sorting numbers that carry their place is twice as fast as asking for the order.
    carried = (keys.astype(np.uint64) << np.uint64(32)) | np.arange(len(keys), dtype=np.uint64)
    carried.sort()
    order = (carried & np.uint64(0xFFFFFFFF)).astype(np.int64)
    ordered = (carried >> np.uint64(32)).astype(np.uint32)
    ordered = ordered[: np.searchsorted(ordered, UNKNOWN)]
    scores, truth = ordered >> np.uint32(1), (ordered & np.uint32(1)).astype(np.int64)
    ranks = np.cumsum(np.append(False, scores[1:] != scores[:-1])[: len(scores)])
    num_ranks = int(ranks[-1]) + 1 if len(ranks) else 0
    counts = np.bincount(truth * num_ranks + ranks, minlength=2 * num_ranks)
    return order[: len(ordered)], truth, ranks, counts.reshape(2, num_ranks)


def _binned_blocks(
    keys: KeyArray, bins: BinnedCells, tables: tuple[npt.NDArray[np.float32], ...], block_cells: int
) -> Iterator[Floats]:
    precision, pooled, area = tables
    num_labels, num_rows = keys.shape
    step = max(1, block_cells // num_labels)
    for start in range(0, num_rows, step):
        block = np.ascontiguousarray(keys[:, start : start + step])
        known = block != UNKNOWN
        scores = np.where(known, block >> np.uint32(1), np.uint32(0)).view(np.float32)
        truth = (block & np.uint32(1)).astype(np.int64)
        places = bins.bins(scores)
        label = np.arange(num_labels)[:, None]
        found = (precision[truth, label, places], pooled[truth, places], area[truth, label, places])
        yield np.stack([np.where(known, one, 0.0).sum(axis=0) for one in found], axis=1)


def _tables(counts: Integers) -> tuple[tuple[npt.NDArray[np.float32], ...], Floats]:
    """Return the influence of a negative and a positive cell of each label and bin, and the biases.

    *Shapes:* (2, L, B) -> mean average precision (2, L, B), the ROC area of all cells together (2, B),
    and the mean ROC area (2, L, B); biases (3,).
    """
    biases: list[float] = []
    num_positive, num_negative = counts[1].sum(axis=1), counts[0].sum(axis=1)
    ranked, contrasted = num_positive > 0, (num_positive > 0) & (num_negative > 0)
    precision, area = np.zeros(counts.shape, np.float32), np.zeros(counts.shape, np.float32)
    for label in np.flatnonzero(ranked):
        _, bias, moved = _of_precision(counts[:, label])
        precision[:, label] = moved / ranked.sum()
        biases.append(bias)
    for label in np.flatnonzero(contrasted):
        area[:, label] = _of_area(counts[:, label])[1] / contrasted.sum()
    cells = counts.sum(axis=1)
    pooled = _of_area(cells)[1] if cells.any(axis=1).all() else np.zeros(cells.shape)
    return (precision, pooled.astype(np.float32), area), _of_first(biases)


def _of_first(biases: list[float]) -> Floats:
    """Return the mean of the biases for the first metric and 0 for the others."""
    return np.array([sum(biases) / max(1, len(biases)), 0.0, 0.0])


def _means(values: list[list[float | None]]) -> Floats:
    """Return the mean of the defined values in each list, NaN where none is."""
    defined = [[value for value in some if value is not None] for some in values]
    return np.array([np.mean(some) if some else np.nan for some in defined])


def _of_area(counts: Integers) -> tuple[float, Floats]:
    """Return the ROC area, and placement values less it by class size. *Shapes:* (2, B) -> (2, B)."""
    negative, positive = counts.astype(np.float64)
    num_negative, num_positive = negative.sum(), positive.sum()
    below = (np.cumsum(negative) - negative / 2) / num_negative
    above = (num_positive - np.cumsum(positive) + positive / 2) / num_positive
    area = float((positive * below).sum() / num_positive)
    return area, np.stack([(above - area) / num_negative, (below - area) / num_positive])


def _of_precision(counts: Integers) -> tuple[float, float, Floats]:
    """Return average precision, its bias, and what a cell adds to it, centred. *Shapes:* as above.

    With T(b) positives and A(b) cells in bins from b up, it is the mean over positives of T/A. Without
    a negative, A is one less in all bins up to its own; without a positive T is one less there, too.
    What it has more than without the cell is multiplied by (C - 1) / C, so that the squares have the
    scale of those of influences. A single positive is never left out: nothing would be defined.
    """
    negative, positive = counts.astype(np.float64)
    positives_above = np.cumsum(positive[::-1])[::-1]
    cells = np.maximum(positives_above + np.cumsum(negative[::-1])[::-1], 1.0)
    others = np.maximum(cells - 1, 1.0)
    num_positive, num_cells = float(positive.sum()), float(counts.sum())
    precision = positives_above / cells
    mean = float((positive * precision).sum()) / num_positive
    # A positive that is left out makes the precision of its rank and of all below this much less.
    helped = (1 - precision) / others
    moved = np.zeros(counts.shape)
    moved[0] = -np.cumsum(positive * precision / others) / num_positive
    if num_positive > 1:
        moved[1] = precision - helped - mean + np.cumsum(positive * helped)
        moved[1] /= num_positive - 1
    total, scale = float((counts * moved).sum()), (num_cells - 1) / num_cells
    return mean, -scale * total, (moved - total / num_cells) * scale
