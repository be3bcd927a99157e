"""Random splits that keep the share of every label: iterative stratification.

Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-label Data", ECML PKDD 2011,
Algorithm 1. Letters: `N` rows, `L` labels; side 0 is kept, side 1 is held out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.errors import DataError, OptionError
from multihot.labels import LabelMatrix

__all__ = ["split_positives", "stratified_split"]

BoolArray = npt.NDArray[np.bool_]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


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
    side = _stratify(positive, sizes, generator)
    _correct_sizes(side, positive, sizes)
    return np.flatnonzero(side == 0), np.flatnonzero(side == 1)


def _stratify(positive: BoolArray, sizes: IntArray, generator: np.random.Generator) -> IntArray:
    """Return the side of each row, *shape* (N,), with about `sizes` rows on each."""
    side = np.full(len(positive), -1)
    free = sizes.copy()
    wanted = np.outer(sizes / sizes.sum(), positive.sum(axis=0))  # (2, L): positives still to get
    while (remaining := positive[side < 0].sum(axis=0)).any():
        # The rarest label first: later there would be no freedom left to spread its few rows.
        label = np.argmin(np.where(remaining > 0, remaining, np.inf))
        for row in generator.permutation(np.flatnonzero((side < 0) & positive[:, label])):
            chosen = _needier(wanted[:, label], free, generator)
            side[row] = chosen
            free[chosen] -= 1
            wanted[chosen] -= positive[row]
    unlabelled = generator.permutation(np.flatnonzero(side < 0))
    side[unlabelled] = np.arange(len(unlabelled)) < free[1]
    return side


def _needier(wanted: DoubleArray, free: IntArray, generator: np.random.Generator) -> int:
    """Return the side that wants most of a label, else the one with most space, else any."""
    if wanted[0] != wanted[1]:
        return int(wanted[1] > wanted[0])
    if free[0] != free[1]:
        return int(free[1] > free[0])
    return int(generator.integers(2))


def _correct_sizes(side: IntArray, positive: BoolArray, sizes: IntArray) -> None:
    """Move rows, in place, until the sizes are exact; the paper leaves them off by a few rows.

    Each time the row goes whose move lessens the squared deviations of the label counts most, each
    divided by the count of the label in all rows.
    """
    totals = positive.sum(axis=0)
    while surplus := np.count_nonzero(side == 1) - sizes[1]:
        source = int(surplus > 0)
        rows = np.flatnonzero(side == source)
        excess = positive[rows].sum(axis=0) - totals * sizes[source] / len(side)
        gain = positive[rows] @ ((2 * excess - 1) / np.maximum(totals, 1))
        side[rows[np.argmax(gain)]] = 1 - source
