"""Random splits, parts and folds that keep the frequency of every label: iterative stratification.

Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-label Data", ECML PKDD 2011,
Algorithm 1, over units of rows that must stay together; with label pairs, second-order
stratification (Szymanski and Kajdanowicz, LIDTA 2017): a pair is one more label.

Letters: `N` rows, `U` units of rows that stay together, `K` parts, `L` labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from multihot.core.extras import require_scipy
from multihot.core.files import digest_64
from multihot.core.labels import LabelMatrix
from multihot.core.seeding import named_generator
from multihot.data.rare_labels import place_rare_labels
from multihot.errors import DataError, OptionError

__all__ = [
    "split_positives",
    "split_units",
    "stratified_folds",
    "stratified_parts",
    "stratify",
    "unit_key",
    "units_of",
]

BoolArray = npt.NDArray[np.bool_]
DoubleArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
CountArray = BoolArray | npt.NDArray[np.signedinteger]

_WINDOW_CELLS = 1 << 22  # of units that may be moved, compared at once
_MAX_PAIR_CELLS = 1 << 31


def split_positives(
    positive: BoolArray, fraction: float, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Split the rows in two so that every label has about the same frequency on both sides.

    The first side has every label that it has room for: what only the second had could not be learnt.

    Parameters
    ----------
    positive
        *Shape:* (N, L). Which row has which label.
    fraction
        Fraction of the rows on the second side, between 0 and 1. Their number is exactly the rounded
        `fraction * N`, but at least one row and at most all but one.
    generator
        Decides between equally good choices; the same state gives the same split.

    Returns
    -------
    first, second
        Sorted row numbers; together every row once, neither empty. *Shapes:* (N - n,), (n,).

    Raises
    ------
    OptionError
        The fraction is not between 0 and 1.
    DataError
        There are fewer than two rows.
    """
    if not 0 < fraction < 1:
        raise OptionError(
            f"The fraction of rows for validation is {fraction}; expected a number between 0 and 1, "
            "such as 0.1."
        )
    num_rows = len(positive)
    if num_rows < 2:
        raise DataError(
            f"A split into two parts needs at least 2 rows; there are {num_rows}. "
            "Give a separate validation file."
        )
    size = min(max(round(fraction * num_rows), 1), num_rows - 1)
    sizes = np.array([num_rows - size, size])
    rows = np.ones(num_rows, dtype=np.int64)
    side = stratify(positive, rows, sizes, generator)
    place_rare_labels(side, positive.astype(np.int64), rows, sizes, first_learns=True)
    return np.flatnonzero(side == 0), np.flatnonzero(side == 1)


def stratify(
    counts: CountArray, rows: IntArray, sizes: IntArray, generator: np.random.Generator
) -> IntArray:
    """Return the part of each unit so that every label has about the same frequency in every part.

    Parameters
    ----------
    counts
        *Shape:* (U, L). How many rows of each unit have each label.
    rows
        *Shape:* (U,). How many rows each unit has.
    sizes
        *Shape:* (K,), positive. How many rows each part is to have; their sum is the number of rows.
        They are met exactly where every unit is one row, else as nearly as moving single units allows.
    generator
        Decides between equally good choices.

    Returns
    -------
    part
        *Shape:* (U,), int64, 0 to K - 1.
    """
    if counts.dtype == np.bool_:
        counts = counts.astype(np.int8)
    part = np.full(len(counts), -1)
    free = sizes.copy()
    remaining = counts.sum(axis=0)
    wanted = np.outer(sizes / sizes.sum(), remaining)  # (K, L): positives still to get
    while remaining.any():
        # The rarest label first: later there would be no freedom left to spread its few rows.
        label = np.argmin(np.where(remaining > 0, remaining, np.inf))
        units = generator.permutation(np.flatnonzero((part < 0) & (counts[:, label] > 0)))
        for unit in units[np.argsort(-counts[units, label], kind="stable")]:
            chosen = _neediest(wanted[:, label], free, generator)
            part[unit] = chosen
            free[chosen] -= rows[unit]
            wanted[chosen] -= counts[unit]
            remaining -= counts[unit]
    _assign_unlabelled(generator.permutation(np.flatnonzero(part < 0)), part, rows, free)
    _correct_sizes(part, counts, rows, sizes)
    return part


def _neediest(wanted: DoubleArray, free: IntArray, generator: np.random.Generator) -> int:
    """Return the part that lacks most of a label, of equals the one with most space, else any."""
    best = np.flatnonzero(wanted == wanted.max())
    if len(best) > 1:
        best = best[free[best] == free[best].max()]
    return int(best[0] if len(best) == 1 else best[generator.integers(len(best))])


def _assign_unlabelled(units: IntArray, part: IntArray, rows: IntArray, free: IntArray) -> None:
    """Fill the remaining space, in place, with units that have no label, large ones first."""
    if (rows == 1).all():
        ends = np.cumsum(np.maximum(free, 0)[:0:-1])  # the last part first; the rest goes to part 0
        filled = np.searchsorted(ends, np.arange(len(units)), "right")
        part[units] = (len(free) - 1 - filled).clip(0)
        return
    for unit in units[np.argsort(-rows[units], kind="stable")]:
        chosen = int(np.argmax(free))
        part[unit] = chosen
        free[chosen] -= rows[unit]


def _correct_sizes(part: IntArray, counts: CountArray, rows: IntArray, sizes: IntArray) -> None:
    """Move units, in place, from the fullest part to the emptiest until no move helps.

    The paper's algorithm misses the sizes by a few rows. Each step moves the unit that reduces the
    squared deviations of the label counts most, each divided by the count of the label in all rows.
    """
    totals = counts.sum(axis=0)
    proportions = sizes / sizes.sum()
    while True:
        surplus = np.bincount(part, weights=rows, minlength=len(sizes)).astype(np.int64) - sizes
        source, target = int(np.argmax(surplus)), int(np.argmin(surplus))
        units = np.flatnonzero(part == source)
        # A unit larger than the difference would only swap the two.
        units = units[rows[units] < surplus[source] - surplus[target]]
        fitting = units[rows[units] <= min(surplus[source], -surplus[target])]
        if len(fitting):
            units = fitting
        if surplus[source] <= 0 or not len(units):
            return
        excess = counts[part == source].sum(axis=0) - totals * proportions[source]
        excess -= counts[part == target].sum(axis=0) - totals * proportions[target]
        weights, step = 1 / np.maximum(totals, 1), max(1, _WINDOW_CELLS // len(totals))
        windows = (counts[units[start : start + step]] for start in range(0, len(units), step))
        gain = [(moved * (excess - moved)) @ weights for moved in windows]
        part[units[np.argmax(np.concatenate(gain))]] = target


def stratified_folds(
    labels: LabelMatrix,
    num_folds: int,
    seed: int,
    *,
    units: IntArray | None = None,
    pairs: bool = False,
) -> IntArray:
    """Return the fold of each row: `num_folds` equal parts. See `stratified_parts`.

    No fold comes before the others, since each is trained on in turn.
    """
    if num_folds < 2:
        raise OptionError(f"There are {num_folds} folds; expected at least 2.")
    if num_folds > len(labels):  # before there is a list of so many
        raise DataError(f"There are {len(labels)} rows; {num_folds} parts need at least as many.")
    return _parts(labels, [1.0] * num_folds, seed, units, pairs=pairs, first_learns=False)


def stratified_parts(
    labels: LabelMatrix,
    proportions: Sequence[float],
    seed: int,
    *,
    units: IntArray | None = None,
    pairs: bool = False,
) -> IntArray:
    """Return the part of each row so that every label has about the same frequency in every part.

    The order of the label columns plays no part. The first part, which is trained on, has every label
    that it has room for, and the others have a label where their fair share of its rows is at least
    one, as far as units allow.

    Parameters
    ----------
    labels
        N rows. Unknown cells are not counted; a fraction counts as the decision it stands for.
    proportions
        K numbers above 0, the relative sizes of the parts.
    seed
        Decides between equally good choices.
    units
        *Shape:* (N,), int64. Rows of equal numbers stay together; `None` = every row is a unit of its
        own, and sizes are exact to a row. See `units_of`.
    pairs
        Whether to stratify by pairs of labels too.

    Returns
    -------
    part
        *Shape:* (N,), int64, 0 to K - 1; no part is empty.

    Raises
    ------
    OptionError
        The proportions are not numbers above 0.
    DataError
        There are fewer units than parts.
    """
    return _parts(labels, proportions, seed, units, pairs=pairs, first_learns=True)


def _parts(
    labels: LabelMatrix,
    proportions: Sequence[float],
    seed: int,
    units: IntArray | None,
    *,
    pairs: bool,
    first_learns: bool,
) -> IntArray:
    order = np.argsort(np.asarray(labels.space.names))
    positive = labels.hard().values[:, order] == 1
    if pairs:
        positive = _with_pairs(positive)
    if units is None:
        units = np.arange(len(labels))
    generator = named_generator(seed, "split")
    return split_units(
        positive,
        units,
        proportions,
        generator,
        first_learns=first_learns,
        num_labels=len(order),
    )


def _with_pairs(positive: BoolArray) -> BoolArray:
    """Return the columns and behind them one for each pair of columns that a row has both of."""
    num_rows, num_labels = positive.shape
    pairs = [np.zeros((2, 0), dtype=np.int64)]
    for row in range(num_rows):
        columns = np.flatnonzero(positive[row])
        first, second = np.triu_indices(len(columns), 1)
        number = columns[first] * num_labels + columns[second]
        pairs.append(np.stack([np.full(len(number), row), number]))
    rows, numbers = np.concatenate(pairs, axis=1)
    distinct, place = np.unique(numbers, return_inverse=True)
    if num_rows * len(distinct) > _MAX_PAIR_CELLS:
        raise DataError(
            f"Stratifying by pairs of labels needs about {3 * num_rows * len(distinct) / 1e9:.1f} GB: "
            f"there are {len(distinct)} different pairs in {num_rows} rows. Split without pairs."
        )
    both = np.zeros((num_rows, num_labels + len(distinct)), dtype=np.bool_)
    both[:, :num_labels] = positive
    both[rows, num_labels + place] = True
    return both


def split_units(
    positive: BoolArray,
    units: IntArray,
    proportions: Sequence[float],
    generator: np.random.Generator,
    *,
    first_learns: bool = True,
    num_labels: int | None = None,
) -> IntArray:
    """Do what `stratified_parts` does, from which row has which label. *Shape:* (N, L).

    The first part need not have every label unless `first_learns`. Of `num_labels`, the columns
    behind them are pairs of labels.
    """
    if not all(np.isfinite(each) and each > 0 for each in proportions):
        raise OptionError(
            f"The proportions of the parts are {list(proportions)}; expected numbers above 0."
        )
    num_parts = len(proportions)
    _, unit_of_row, rows = np.unique(units, return_inverse=True, return_counts=True)
    if len(rows) < num_parts:
        what = "rows" if len(rows) == len(units) else "groups of rows that must stay together"
        raise DataError(f"There are {len(rows)} {what}; {num_parts} parts need at least as many.")
    ordered = positive[np.argsort(unit_of_row, kind="stable")]
    # Of bytes where they suffice: with pairs, columns are many.
    small = np.int8 if rows.max(initial=0) < 1 << 7 else np.int64
    counts = np.add.reduceat(ordered, np.cumsum(rows) - rows, axis=0, dtype=small)
    del ordered
    sizes = _sizes(len(units), proportions)
    part = stratify(counts, rows, sizes, generator)
    _fill_empty(part, rows, num_parts)
    place_rare_labels(
        part, counts[:, :num_labels].astype(np.int64), rows, sizes, first_learns=first_learns
    )
    return np.asarray(part[unit_of_row], dtype=np.int64)


def unit_key(value: str) -> int:
    """Return a number for `units_of`: 62 bits of a SHA-256, -1 for an empty value."""
    if not value:
        return -1
    return digest_64(value.encode("utf-8", "surrogatepass")) >> 2


def units_of(*keys: npt.NDArray[np.int64]) -> IntArray:
    """Return a number for each row, equal for rows that any of the keys connects.

    Parameters
    ----------
    keys
        *Shape:* (N,) each. Rows of equal numbers belong together, also through other rows; -1 belongs
        to no other.

    Returns
    -------
    units
        *Shape:* (N,), int64: the first row of the unit.

    Raises
    ------
    MissingExtraError
        There are several keys, and SciPy is not installed.
    """
    firsts = [_first_rows(key) for key in keys]
    if len(firsts) == 1:
        return firsts[0]
    require_scipy("Keeping rows together by two keys")
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    num_rows = len(firsts[0])
    edges = np.concatenate(firsts), np.tile(np.arange(num_rows), len(firsts))
    graph = coo_array((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(num_rows, num_rows))
    _, component = connected_components(graph, directed=False)
    return _first_rows(component)


def _first_rows(key: npt.NDArray[np.int64]) -> IntArray:
    """Return the first row that has the value of each row; a row of -1 has no other. (N,) -> (N,)."""
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return np.where(key == -1, np.arange(len(key)), first[inverse]).astype(np.int64)


def _sizes(num_rows: int, proportions: Sequence[float]) -> IntArray:
    """Return the rows of each part, at least one each, by largest remainder."""
    exact = np.asarray(proportions, dtype=np.float64) * (num_rows / sum(proportions))
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    largest = np.argsort(sizes - exact, kind="stable")
    sizes[largest[: num_rows - sizes.sum()]] += 1
    while (sizes < 1).any():
        sizes[np.argmax(sizes)] -= 1
        sizes[np.argmin(sizes)] += 1
    return sizes


def _fill_empty(part: IntArray, rows: IntArray, num_parts: int) -> None:
    """Give every empty part, in place, the smallest unit of the part with most units."""
    while not (num_units := np.bincount(part, minlength=num_parts)).all():
        units = np.flatnonzero(part == np.argmax(num_units))
        part[units[np.argmin(rows[units])]] = np.argmin(num_units)
