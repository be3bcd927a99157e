"""Random splits, parts and folds that keep the frequency of every label: iterative stratification.

Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-label Data", ECML PKDD 2011,
Algorithm 1, over units of rows that must stay together; with label pairs, second-order
stratification (Szymanski and Kajdanowicz, LIDTA 2017): a pair is one more label.

Letters: `N` rows, `U` units of rows that stay together, `K` parts, `L` labels. Of two parts, part 0
is kept and part 1 is held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix
from multihot.core.seeding import named_generator
from multihot.errors import DataError, OptionError

__all__ = [
    "split_positives",
    "split_units",
    "stratified_folds",
    "stratified_parts",
    "stratified_split",
    "stratify",
    "unit_key",
    "units_of",
]

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
