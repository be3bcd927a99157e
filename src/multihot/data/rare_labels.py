"""Rare labels in a split: they are learnt first, and then measured.

Iterative stratification may leave a label out of the part to train on, when rows must stay together
or sizes were corrected. Only assignments of such labels are changed here.

Letters: `U` units of rows that stay together, `K` parts, `L` labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["place_rare_labels"]

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

_MAX_TRIED = 64  # units that are tried for one label and part


def place_rare_labels(
    part: IntArray, counts: IntArray, rows: IntArray, sizes: IntArray, *, first_learns: bool
) -> None:
    """Move units, in place, so that no part lacks a label that it can be given.

    Parameters
    ----------
    part
        *Shape:* (U,), 0 to K - 1; no part is empty, and none becomes so.
    counts
        *Shape:* (U, L). How many rows of each unit have each label.
    rows
        *Shape:* (U,). How many rows each unit has. Where every unit is one row, sizes stay as they are.
    sizes
        *Shape:* (K,). How many rows each part is to have.
    first_learns
        Whether the first part is to have every label, before the others have any. Others are to
        have a label where their fair share of its rows is at least one.
    """
    totals = counts.sum(axis=0)
    held = np.stack([counts[part == k].sum(axis=0) for k in range(len(sizes))])
    wanted = np.outer(sizes / sizes.sum(), totals) >= 1 - 1e-9
    if first_learns:
        wanted[0] = totals > 0
        if (held[0][wanted[0]] == 0).any():
            _complete_first(part, counts, rows, sizes)
            held = np.stack([counts[part == k].sum(axis=0) for k in range(len(sizes))])
    for k, label in np.argwhere(wanted & (held == 0)).tolist():
        if not held[k, label] and (k or not first_learns):
            _exchange((k, label), part, counts, rows, held=held, wanted=wanted)


def _complete_first(part: IntArray, counts: IntArray, rows: IntArray, sizes: IntArray) -> None:
    """Give the first part, in place, units that have all labels, and others of its units away."""
    kept = _cover(part, counts, rows, room=int(sizes[0]) if (rows == 1).all() else None)
    for unit in np.flatnonzero(kept & (part != 0)).tolist():
        if (part == part[unit]).sum() > 1:
            part[unit] = 0
    surplus = np.bincount(part, weights=rows, minlength=len(sizes)).astype(np.int64) - sizes
    leaving = np.flatnonzero((part == 0) & ~kept)
    for unit in leaving[np.argsort((counts[leaving] > 0).sum(axis=1), kind="stable")].tolist():
        target = int(np.argmin(surplus))
        if rows[unit] <= min(surplus[0], -surplus[target]):
            part[unit] = target
            surplus[0] -= rows[unit]
            surplus[target] += rows[unit]


def _cover(part: IntArray, counts: IntArray, rows: IntArray, *, room: int | None) -> BoolArray:
    """Return which units the first part needs to have all labels, the rarest labels first.

    Units that are in the first part already are preferred. `room` bounds their rows. *Shape:* (U,).
    """
    kept = np.zeros(len(part), dtype=np.bool_)
    missing = counts.sum(axis=0) > 0
    num_units = (counts > 0).sum(axis=0)
    for label in np.argsort(num_units, kind="stable").tolist():
        if not missing[label]:
            continue
        units = np.flatnonzero(counts[:, label])
        if (part[units] == 0).any():
            units = units[part[units] == 0]
        new = (counts[units][:, missing] > 0).sum(axis=1)
        unit = int(units[np.lexsort((rows[units], -new))[0]])
        if room is not None and rows[unit] > room:
            continue
        room = None if room is None else room - int(rows[unit])
        kept[unit] = True
        missing &= counts[unit] == 0
    return kept


def _exchange(
    lacking: tuple[int, int],
    part: IntArray,
    counts: IntArray,
    rows: IntArray,
    *,
    held: IntArray,
    wanted: BoolArray,
) -> None:
    """Give a part that lacks a label, in place, a unit with it for one of its own.

    Only if neither part loses a label that it is to have.
    """
    k, label = lacking

    def is_free(unit: int) -> bool:
        """Whether the part of a unit keeps all that it wants without it."""
        lost = (counts[unit] > 0) & wanted[part[unit]] & (held[part[unit]] == counts[unit])
        return not lost.any()

    donors = np.flatnonzero((counts[:, label] > 0) & (part != k))
    donors = donors[np.argsort(rows[donors], kind="stable")][:_MAX_TRIED]
    giver = next((unit for unit in donors.tolist() if is_free(unit)), None)
    if giver is None:
        return
    own = np.flatnonzero((part == k) & (rows <= 2 * rows[giver]))
    others = (counts[own] > 0).sum(axis=1)
    own = own[np.lexsort((others, np.abs(rows[own] - rows[giver])))][:_MAX_TRIED]
    taken = next((unit for unit in own.tolist() if is_free(unit)), None)
    if taken is None:
        return
    source = part[giver]
    held[k] += counts[giver] - counts[taken]
    held[source] += counts[taken] - counts[giver]
    part[giver], part[taken] = k, source
