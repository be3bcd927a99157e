"""Parts and folds that keep the share of every label, and rows together that must not be parted.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011), by units of rows instead of
single rows; with label pairs, as second-order stratification (Szymanski and Kajdanowicz, LIDTA 2017):
a pair is one more label. Letters: `N` rows, `U` units, `K` parts, `L` labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from multihot.data.splits import stratify
from multihot.errors import DataError, OptionError
from multihot.labels import LabelMatrix
from multihot.randomness import named_generator

__all__ = ["split_units", "stratified_folds", "stratified_parts", "unit_key", "units_of"]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


def stratified_folds(
    labels: LabelMatrix,
    num_folds: int,
    seed: int,
    *,
    units: IntArray | None = None,
    pairs: bool = False,
) -> IntArray:
    """Return the fold of each row: `num_folds` equal parts. See `stratified_parts`."""
    if num_folds < 2:
        raise OptionError(f"There are {num_folds} folds; expected at least 2.")
    return stratified_parts(labels, [1.0] * num_folds, seed, units=units, pairs=pairs)


def stratified_parts(
    labels: LabelMatrix,
    shares: Sequence[float],
    seed: int,
    *,
    units: IntArray | None = None,
    pairs: bool = False,
) -> IntArray:
    """Return the part of each row, so that all parts have about the same share of every label.

    The order of the label columns plays no part.

    Parameters
    ----------
    labels
        N rows. Unknown cells count for nothing; a fraction counts as what it decides for.
    shares
        K numbers above 0, the sizes of the parts in proportion.
    seed
        Decides between equally good choices.
    units
        *Shape:* (N,), int64. Rows of equal numbers stay together; `None` = every row is alone. See
        `units_of`. Sizes are exact to a row where every row is alone.
    pairs
        Whether pairs of labels keep their share too.

    Returns
    -------
    part
        *Shape:* (N,), int64, 0 to K - 1; no part is empty.

    Raises
    ------
    OptionError
        The shares are not numbers above 0.
    DataError
        There are fewer units than parts.
    """
    order = np.argsort(np.asarray(labels.space.names))
    positive = labels.hard().values[:, order] == 1
    if pairs:
        first, second = np.triu_indices(len(order), 1)
        both = positive[:, first] & positive[:, second]
        positive = np.hstack([positive, both[:, both.any(axis=0)]])
    if units is None:
        units = np.arange(len(labels))
    return split_units(positive, units, shares, named_generator(seed, "split"))


def split_units(
    positive: BoolArray, units: IntArray, shares: Sequence[float], generator: np.random.Generator
) -> IntArray:
    """Do what `stratified_parts` does, from which row has which label. *Shape:* (N, L)."""
    if not all(np.isfinite(share) and share > 0 for share in shares):
        raise OptionError(f"The shares of the parts are {list(shares)}; expected numbers above 0.")
    _, unit_of_row, rows = np.unique(units, return_inverse=True, return_counts=True)
    if len(rows) < len(shares):
        what = "rows" if len(rows) == len(units) else "groups of rows that must stay together"
        raise DataError(f"There are {len(rows)} {what}; {len(shares)} parts need at least as many.")
    counts = np.zeros((len(rows), positive.shape[1]), dtype=np.int64)
    np.add.at(counts, unit_of_row, positive)
    side = stratify(counts, rows, _sizes(len(units), shares), generator)
    _fill_empty(side, rows, len(shares))
    return np.asarray(side[unit_of_row], dtype=np.int64)


def unit_key(value: str) -> int:
    """Return a number for `units_of`: 62 bits of a SHA-256, -1 for an empty value."""
    if not value:
        return -1
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little") >> 2


def units_of(*keys: npt.NDArray[np.int64]) -> IntArray:
    """Return a number for each row, equal for rows that any of the keys ties together.

    Parameters
    ----------
    keys
        *Shape:* (N,) each. Rows of equal numbers belong together, also through other rows; -1 belongs
        to no other.

    Returns
    -------
    units
        *Shape:* (N,), int64: the first row of the unit.
    """
    parent = list(range(len(keys[0])))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for key in keys:
        first_of: dict[int, int] = {}
        for row, value in enumerate(key.tolist()):
            if value != -1:
                a, b = root(first_of.setdefault(value, row)), root(row)
                parent[max(a, b)] = min(a, b)
    return np.array([root(row) for row in range(len(parent))], dtype=np.int64)


def _sizes(num_rows: int, shares: Sequence[float]) -> IntArray:
    """Return the rows of each part, at least one each, by largest remainder."""
    exact = np.asarray(shares, dtype=np.float64) * (num_rows / sum(shares))
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    largest = np.argsort(sizes - exact, kind="stable")
    sizes[largest[: num_rows - sizes.sum()]] += 1
    while (sizes < 1).any():
        sizes[np.argmax(sizes)] -= 1
        sizes[np.argmin(sizes)] += 1
    return sizes


def _fill_empty(side: IntArray, rows: IntArray, num_parts: int) -> None:
    """Give every empty part, in place, the smallest unit of the part with most units."""
    while not (num_units := np.bincount(side, minlength=num_parts)).all():
        units = np.flatnonzero(side == np.argmax(num_units))
        side[units[np.argmin(rows[units])]] = np.argmin(num_units)
