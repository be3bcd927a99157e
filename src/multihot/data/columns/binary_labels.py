"""Read 0/1 columns, one per label; where asked for, also fractions between.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.data.readers.table import Row
from multihot.errors import DataError

__all__ = ["binary_error", "binary_values", "first_not_binary"]

_VALUES: dict[str, float] = {
    **dict.fromkeys(("0", "0.0", "false"), 0.0),
    **dict.fromkeys(("1", "1.0", "true"), 1.0),
    **dict.fromkeys(("", "null", "nan", "-1", "-1.0"), math.nan),
}


def binary_values(
    rows: Sequence[Row],
    places: Sequence[int],
    names: Sequence[str],
    path: str,
    *,
    soft: bool = False,
) -> npt.NDArray[np.float32]:
    """Read the cells at `places` of every row as label values.

    0 and 1 may be written as 0.0, 1.0, true and false in any case. An empty cell, `null`, `NaN`
    and -1 are unknown. With `soft`, a cell may also be any number between 0 and 1.

    Returns
    -------
    values
        *Shape:* (N, L), float32, each 0, 1 or NaN (unknown); with `soft`, also between 0 and 1.

    Raises
    ------
    DataError
        Any other value.
    """
    values = np.empty((len(rows), len(places)), dtype=np.float32)
    for number, place in enumerate(places):
        column = [_value(cells[place], soft) for _, cells in rows]
        if None in column:
            line, cells = rows[column.index(None)]
            raise binary_error(cells[place], path, line, names[number], soft=soft)
        values[:, number] = column
    return values


def first_not_binary(
    rows: Iterable[Row], places: Collection[int], *, soft: bool = False
) -> dict[int, tuple[int, Any]]:
    """Return line and cell of the first cell that is no label value, of each place with one."""
    found: dict[int, tuple[int, Any]] = {}
    waiting = list(places)
    for line, cells in rows if waiting else ():
        for place in waiting:
            if _value(cells[place], soft) is None:
                found[place] = line, cells[place]
        if any(place in found for place in waiting):
            waiting = [place for place in waiting if place not in found]
            if not waiting:
                break
    return found


def binary_error(
    cell: Any, path: str, line: int, column: str, advice: str = "", *, soft: bool = False
) -> DataError:
    """Return the error for a cell that is no label value."""
    if isinstance(cell, str) and cell.strip().upper() == "NONE":
        message = (
            "The label is NONE: this looks like the unlabelled official test file. It can be "
            "predicted as it is; to train or evaluate, use the gold file (2018-E-c-En-test-gold.txt)."
        )
    else:
        message = (
            f"{cell!r} is not a label value: expected 0 or 1 (or true, false)"
            f"{', a number between them' if soft else ''}, or for unknown -1, null or an empty cell."
            f"{'' if soft else _soft_advice(cell)}{advice}"
        )
    return DataError(message, path=path, line=line, column=column)


def _soft_advice(cell: Any) -> str:
    if _value(cell, True) is None:
        return ""
    return " If fractions are the shares of annotators, set data.soft_labels=true."


def _value(cell: Any, soft: bool) -> float | None:
    """Return 0, 1, NaN (unknown) or a fraction, or `None` when the cell is none of them."""
    if isinstance(cell, str):
        value = _VALUES.get(cell)
        if value is None:
            value = _VALUES.get(cell.strip().lower())
        return _fraction(cell) if value is None and soft else value
    if cell is None:
        return math.nan
    if isinstance(cell, (bool, int, float)):
        if cell in (0, 1) or (soft and 0 < cell < 1):
            return float(cell)
        return math.nan if cell == -1 or math.isnan(cell) else None
    return None


def _fraction(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
