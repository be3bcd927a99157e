"""Folds that depend on what rows are, not on where they stand.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["hashed_folds", "mixed"]

HashArray = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]


def hashed_folds(
    hashes: HashArray, positive: npt.NDArray[np.bool_], num_folds: int, *, seed: int = 0
) -> IntArray:
    """Return the fold of each row: rows of one label set are dealt out in turn.

    Equal rows share a fold. Neither the order of the rows nor that of the labels plays a part.

    Parameters
    ----------
    hashes
        `row_hashes`. *Shape:* (N,), uint64.
    positive
        Which row has which label. *Shape:* (N, L).
    num_folds
        At least 2.
    seed
        Another seed deals otherwise.

    Returns
    -------
    folds
        *Shape:* (N,), int64, each from 0 to `num_folds` - 1.
    """
    numbers = mixed(hashes, seed)
    # A row of no label is a row of bits too; as bytes, label sets compare in one go.
    packed = np.packbits(positive, axis=1)
    _, group = np.unique(packed, axis=0, return_inverse=True)
    order = np.lexsort((numbers, group.reshape(-1)))
    folds = np.empty(len(hashes), dtype=np.int64)
    sorted_group, sorted_numbers = group.reshape(-1)[order], numbers[order]
    opens = np.append(True, sorted_group[1:] != sorted_group[:-1])[: len(order)]
    differs = np.append(True, sorted_numbers[1:] != sorted_numbers[:-1])[: len(order)] | opens
    rank = np.cumsum(differs)
    first = np.flatnonzero(opens)[np.cumsum(opens) - 1]
    # Each label set begins at a fold of its own, or rare sets would all land in the first.
    begin = (sorted_numbers[first] % np.uint64(num_folds)).astype(np.int64)
    folds[order] = (rank - rank[first] + begin) % num_folds
    return folds


def mixed(hashes: HashArray, seed: int) -> HashArray:
    """Return the hashes mixed with a seed, by the finaliser of SplitMix64 (Steele et al., 2014)."""
    values = hashes ^ np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
