"""Random splits that keep the share of every label: iterative stratification.

Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-label Data", ECML PKDD 2011,
Algorithm 1. Letters: `N` rows, `L` labels, `K` subsets.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.errors import DataError, OptionError
from multihot.labels import LabelMatrix

__all__ = ["stratified_split"]

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
    if not 0 < fraction < 1:
        raise OptionError(
            f"The fraction of rows to hold out is {fraction}; expected a number between 0 and 1, "
            "such as 0.1."
        )
    num_rows = len(labels)
    if num_rows < 2:
        raise DataError(
            f"A split into two parts needs at least 2 rows; there are {num_rows}. "
            "Give a validation file of its own."
        )
    num_held_out = min(max(round(fraction * num_rows), 1), num_rows - 1)
    sizes = np.array([num_rows - num_held_out, num_held_out])
    subset = _assign(labels.values == 1, sizes, generator)
    return np.flatnonzero(subset == 0), np.flatnonzero(subset == 1)


def _assign(
    positive: npt.NDArray[np.bool_], sizes: IntArray, generator: np.random.Generator
) -> IntArray:
    """Return the subset of each row, with exactly `sizes` rows in each. *Shape:* (N,).

    Unlike in the paper a subset that is full takes no more rows, which makes the sizes exact.
    """
    free = sizes.copy()
    wanted = np.outer(sizes / sizes.sum(), positive.sum(axis=0))  # (K, L): positives still to get
    subset = np.full(len(positive), -1)
    while True:
        # The rarest label first: later there would be no freedom left to spread its few rows.
        open_rows = subset < 0
        remaining = positive[open_rows].sum(axis=0)
        if not remaining.any():
            break
        label = np.argmin(np.where(remaining > 0, remaining, np.inf))
        for row in generator.permutation(np.flatnonzero(open_rows & positive[:, label])):
            chosen = _neediest(wanted[:, label], free, generator)
            subset[row] = chosen
            free[chosen] -= 1
            wanted[chosen] -= positive[row]
    unlabelled = generator.permutation(np.flatnonzero(subset < 0))
    subset[unlabelled] = np.repeat(np.arange(len(sizes)), free)
    return subset


def _neediest(
    wanted: npt.NDArray[np.float64], free: IntArray, generator: np.random.Generator
) -> int:
    """Return the subset that wants most of the label, then the one with most space, then any."""
    candidates = np.flatnonzero(free > 0)
    candidates = candidates[wanted[candidates] == wanted[candidates].max()]
    candidates = candidates[free[candidates] == free[candidates].max()]
    return int(generator.choice(candidates))
