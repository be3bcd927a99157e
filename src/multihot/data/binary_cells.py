"""Read 0/1 columns, one per label.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.data.rows import Row
from multihot.errors import DataError

__all__ = ["binary_error", "binary_values", "first_not_binary"]

_VALUES: dict[str, float] = {
    **dict.fromkeys(("0", "0.0", "false"), 0.0),
    **dict.fromkeys(("1", "1.0", "true"), 1.0),
    **dict.fromkeys(("", "null", "nan", "-1", "-1.0"), math.nan),
}


def binary_values(
    rows: Sequence[Row], places: Sequence[int], names: Sequence[str], path: str
) -> npt.NDArray[np.float32]:
    """Read the cells at `places` of every row as label values.

    0 and 1 may be written as 0.0, 1.0, true and false in any case. An empty cell, `null`, `NaN`
    and -1 are unknown.

    Returns
    -------
    values
        *Shape:* (N, L), float32, each 0, 1 or NaN (unknown).

    Raises
    ------
    DataError
        Any other value.
    """
    values = np.empty((len(rows), len(places)), dtype=np.float32)
    for number, place in enumerate(places):
        column = [_value(cells[place]) for _, cells in rows]
        if None in column:
            line, cells = rows[column.index(None)]
            raise binary_error(cells[place], path, line, names[number])
        values[:, number] = column
    return values


def first_not_binary(rows: Iterable[Row], places: Collection[int]) -> dict[int, tuple[int, Any]]:
    """Return line and cell of the first cell that is not 0, 1 or unknown, of each place with one."""
    found: dict[int, tuple[int, Any]] = {}
    waiting = list(places)
    for line, cells in rows if waiting else ():
        for place in waiting:
            if _value(cells[place]) is None:
                found[place] = line, cells[place]
        if any(place in found for place in waiting):
            waiting = [place for place in waiting if place not in found]
            if not waiting:
                break
    return found


def binary_error(cell: Any, path: str, line: int, column: str, advice: str = "") -> DataError:
    """Return the error for a cell that is not 0, 1 or unknown."""
    if isinstance(cell, str) and cell.strip().upper() == "NONE":
        message = (
            "The label is NONE: this looks like the unlabelled official test file. It can be "
            "predicted as it is; to train or evaluate, use the gold file (2018-E-c-En-test-gold.txt)."
        )
    else:
        message = (
            f"{cell!r} is not a label value: expected 0 or 1 (or true, false), or for unknown -1, "
            f"null or an empty cell.{advice}"
        )
    return DataError(message, path=path, line=line, column=column)


def _value(cell: Any) -> float | None:
    """Return 0, 1 or NaN (unknown), or `None` when the cell is none of them."""
    if isinstance(cell, str):
        value = _VALUES.get(cell)
        return _VALUES.get(cell.strip().lower()) if value is None else value
    if cell is None:
        return math.nan
    if isinstance(cell, (bool, int, float)):
        if cell in (0, 1):
            return float(cell)
        return math.nan if cell == -1 or math.isnan(cell) else None
    return None
