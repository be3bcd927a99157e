"""Random splits that keep the share of every label: iterative stratification.

Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-label Data", ECML PKDD 2011,
Algorithm 1. Letters: `N` rows, `U` units of rows that stay together, `K` sides, `L` labels. Of two
sides, side 0 is kept and side 1 is held out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.errors import DataError, OptionError
from multihot.labels import LabelMatrix

__all__ = ["split_positives", "stratified_split", "stratify"]

BoolArray = npt.NDArray[np.bool_]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
CountArray = BoolArray | IntArray


def stratified_split(
    labels: LabelMatrix, fraction: float, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Split the rows in two so that both sides have about the same share of every label.

    Parameters
    ----------
    labels
        N rows; unknown cells count as not having the label.
    fraction
        Share of rows to hold out, between 0 and 1. The number held out is exactly the rounded
        `fraction * N`, but at least one row and at most all but one.
    generator
        Decides between equally good choices; the same state gives the same split.

    Returns
    -------
    kept, held_out
        Sorted row numbers; together every row once, neither empty. *Shapes:* (kept,), (held out,).

    Raises
    ------
    OptionError
        The fraction is not between 0 and 1.
    DataError
        There are fewer than two rows.
    """
    return split_positives(labels.values == 1, fraction, generator)


def split_positives(
    positive: BoolArray, fraction: float, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Do what `stratified_split` does, from which row has which label. *Shape:* (N, L)."""
    if not 0 < fraction < 1:
        raise OptionError(
            f"The fraction of rows to hold out is {fraction}; expected a number between 0 and 1, "
            "such as 0.1."
        )
    num_rows = len(positive)
    if num_rows < 2:
        raise DataError(
            f"A split into two parts needs at least 2 rows; there are {num_rows}. "
            "Give a validation file of its own."
        )
    num_held_out = min(max(round(fraction * num_rows), 1), num_rows - 1)
    sizes = np.array([num_rows - num_held_out, num_held_out])
    side = stratify(positive, np.ones(num_rows, dtype=np.int64), sizes, generator)
    return np.flatnonzero(side == 0), np.flatnonzero(side == 1)


def stratify(
    counts: CountArray, rows: IntArray, sizes: IntArray, generator: np.random.Generator
) -> IntArray:
    """Return the side of each unit so that every side has about its share of every label.

    Parameters
    ----------
    counts
        *Shape:* (U, L). How many rows of each unit have each label.
    rows
        *Shape:* (U,). How many rows each unit has.
    sizes
        *Shape:* (K,), positive. How many rows each side shall have, as many as there are. They are met
        exactly where every unit is one row, else as nearly as moving single units makes them.
    generator
        Decides between equally good choices.

    Returns
    -------
    side
        *Shape:* (U,), int64, 0 to K - 1.
    """
    counts = counts.astype(np.int64)
    side = np.full(len(counts), -1)
    free = sizes.copy()
    remaining = counts.sum(axis=0)
    wanted = np.outer(sizes / sizes.sum(), remaining)  # (K, L): positives still to get
    while remaining.any():
        # The rarest label first: later there would be no freedom left to spread its few rows.
        label = np.argmin(np.where(remaining > 0, remaining, np.inf))
        units = generator.permutation(np.flatnonzero((side < 0) & (counts[:, label] > 0)))
        for unit in units[np.argsort(-counts[units, label], kind="stable")]:
            chosen = _neediest(wanted[:, label], free, generator)
            side[unit] = chosen
            free[chosen] -= rows[unit]
            wanted[chosen] -= counts[unit]
            remaining -= counts[unit]
    _share_out(generator.permutation(np.flatnonzero(side < 0)), side, rows, free)
    _correct_sizes(side, counts, rows, sizes)
    return side


def _neediest(wanted: DoubleArray, free: IntArray, generator: np.random.Generator) -> int:
    """Return the side that wants most of a label, else the one with most space, else any."""
    best = np.flatnonzero(wanted == wanted.max())
    if len(best) > 1:
        best = best[free[best] == free[best].max()]
    return int(best[0] if len(best) == 1 else best[generator.integers(len(best))])


def _share_out(units: IntArray, side: IntArray, rows: IntArray, free: IntArray) -> None:
    """Fill the space that is left, in place, with units that have no label, large ones first."""
    if (rows == 1).all():
        ends = np.cumsum(np.maximum(free, 0)[:0:-1])  # the last side first; the rest goes to side 0
        side[units] = (len(free) - 1 - np.searchsorted(ends, np.arange(len(units)), "right")).clip(
            0
        )
        return
    for unit in units[np.argsort(-rows[units], kind="stable")]:
        chosen = int(np.argmax(free))
        side[unit] = chosen
        free[chosen] -= rows[unit]


def _correct_sizes(side: IntArray, counts: IntArray, rows: IntArray, sizes: IntArray) -> None:
    """Move units, in place, from the fullest side to the emptiest until no move helps.

    The paper leaves the sizes off by a few rows. Each time that unit goes whose move lessens the
    squared deviations of the label counts most, each divided by the count of the label in all rows.
    """
    totals = counts.sum(axis=0)
    share = sizes / sizes.sum()
    while True:
        surplus = np.bincount(side, weights=rows, minlength=len(sizes)).astype(np.int64) - sizes
        source, target = int(np.argmax(surplus)), int(np.argmin(surplus))
        units = np.flatnonzero(side == source)
        # One that is larger than surplus and gap would only turn them round.
        units = units[rows[units] < surplus[source] - surplus[target]]
        fitting = units[rows[units] <= min(surplus[source], -surplus[target])]
        if len(fitting):
            units = fitting
        if surplus[source] <= 0 or not len(units):
            return
        excess = counts[side == source].sum(axis=0) - totals * share[source]
        excess -= counts[side == target].sum(axis=0) - totals * share[target]
        moved = counts[units]
        gain = (moved * (excess - moved)) @ (1 / np.maximum(totals, 1))
        side[units[np.argmax(gain)]] = target
