"""Read 0/1 columns, one per label; where asked for, also fractions between.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.text_tables import cut
from multihot.errors import DataError

__all__ = ["ValueReader", "binary_error", "binary_values", "label_value"]

FloatArray = npt.NDArray[np.float32]

_VALUES: dict[str, float] = {
    **dict.fromkeys(("0", "0.0", "false"), 0.0),
    **dict.fromkeys(("1", "1.0", "true"), 1.0),
    **dict.fromkeys(("", "null", "nan", "-1", "-1.0"), math.nan),
}
_DIGITS = frozenset({"digits"})
_NO_VALUE = -1.0
_MAX_REMEMBERED = 1 << 14


class ValueReader:
    """Turns cells into label values and remembers what each way of writing one means.

    0 and 1 may be written as 0.0, 1.0, true and false in any case. An empty cell, `null`, `NaN`
    and -1 are unknown. With `soft`, a cell may also be any number between 0 and 1.

    Attributes
    ----------
    ways
        How the known ones of the last cells are written: `words` (true, false), `digits`, or both.
    """

    def __init__(self, *, soft: bool = False) -> None:
        self.soft = soft
        self.ways: frozenset[str] = frozenset()
        self._values: dict[Any, float] = {}
        self._digits: set[Any] = set()  # cells of one ASCII character, and a table of their values
        self._by_code = np.full(128, _NO_VALUE, dtype=np.float32)

    def values(self, cells: Sequence[Any]) -> FloatArray:
        """Return the value of each cell, -1 where it has none. *Shape:* (N,), float32."""
        try:
            distinct = set(cells)
        except TypeError:  # a list or an object
            values = (label_value(cell, soft=self.soft) for cell in cells)
            return np.array(
                [_NO_VALUE if value is None else value for value in values], dtype=np.float32
            )
        self.ways = _DIGITS
        if not self._digits.issuperset(distinct):
            self._remember(distinct)
            self.ways = frozenset(way for way in map(_way_of, distinct) if way is not None)
            if not self._digits.issuperset(distinct):
                found = map(self._values.__getitem__, cells)
                return np.fromiter(found, dtype=np.float32, count=len(cells))
        return self._by_code[np.frombuffer("".join(cells).encode("ascii"), dtype=np.uint8)]

    def _remember(self, cells: set[Any]) -> None:
        if len(self._values) > _MAX_REMEMBERED:
            self._values.clear()
        for cell in cells.difference(self._values):
            value = label_value(cell, soft=self.soft)
            self._values[cell] = _NO_VALUE if value is None else value
            if value is not None and isinstance(cell, str) and len(cell) == 1 and cell.isascii():
                self._digits.add(cell)
                self._by_code[ord(cell)] = value


def binary_values(
    columns: Sequence[Sequence[Any]],
    lines: Sequence[int],
    names: Sequence[str],
    path: str,
    cells: ValueReader,
) -> FloatArray:
    """Read L columns of N cells as label values.

    Returns
    -------
    values
        *Shape:* (N, L), float32, each 0, 1 or NaN (unknown); with `soft`, also between 0 and 1.

    Raises
    ------
    DataError
        Any other value.
    """
    values = np.empty((len(lines), len(columns)), dtype=np.float32)
    for number, column in enumerate(columns):
        values[:, number] = cells.values(column)
        wrong = np.flatnonzero(values[:, number] == _NO_VALUE)
        if len(wrong):
            row = int(wrong[0])
            raise binary_error(column[row], path, lines[row], names[number], soft=cells.soft)
    return values


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
            f"{cut(cell)} is not a label value: expected 0 or 1 (or true, false)"
            f"{', a number between them' if soft else ''}, or for unknown -1, null or an empty cell."
            f"{'' if soft else _soft_advice(cell)}{advice}"
        )
    return DataError(message, path=path, line=line, column=column)


def _soft_advice(cell: Any) -> str:
    if label_value(cell, soft=True) is None:
        return ""
    return " If fractions are the proportions of annotators, set data.soft_labels=true."


def label_value(cell: Any, *, soft: bool) -> float | None:
    """Return 0, 1, NaN (unknown) or a fraction, or `None` when the cell is none of them."""
    if isinstance(cell, str):
        value = _VALUES.get(cell)
        if value is None:
            value = _VALUES.get(cell.strip().lower())
        return _fraction(cell) if value is None and soft else value
    if cell is None:
        return math.nan
    if isinstance(
        cell, (bool, int, float, Decimal)
    ):  # equal numbers share a place in `ValueReader`
        if math.isnan(cell) or cell == -1:
            return math.nan
        return float(cell) if cell in (0, 1) or (soft and 0 < cell < 1) else None
    return None


def _fraction(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _way_of(cell: Any) -> str | None:
    """Return `words` or `digits`, as a label value is written; `None` where it is unknown."""
    if isinstance(cell, str):
        text = cell.strip().lower()
        return "words" if text in ("true", "false") else "digits" if text[:1].isdigit() else None
    if isinstance(cell, bool):
        return "words"
    return None if cell is None or math.isnan(cell) else "digits"
