"""Read what rows have besides text and labels: their weight, and what keeps them together.

Letters: `N` rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.data.columns import required_column
from multihot.data.rows import Row, as_text
from multihot.errors import DataError
from multihot.options import DataOptions

__all__ = ["extra_places", "group_cells", "weight_cells"]


_LARGEST = float(np.finfo(np.float32).max)


def extra_places(
    columns: Sequence[str], data: DataOptions, source: str
) -> tuple[int | None, int | None]:
    """Return where the weights are and where what keeps rows together, `None` without an option.

    Raises `DataError` when there is no such column.
    """
    named = (data.weight_column, "data.weight_column"), (data.split_by, "data.split_by")
    weight, group = (
        None if name is None else columns.index(required_column(name, columns, source, option))
        for name, option in named
    )
    return weight, group


def weight_cells(
    rows: Sequence[Row], place: int, path: str, column: str
) -> npt.NDArray[np.float32]:
    """Read the cell at `place` of every row as a weight.

    Returns
    -------
    weights
        *Shape:* (N,), float32, each finite and at least 0.

    Raises
    ------
    DataError
        A cell is no such number; an empty one is none.
    """
    weights = np.empty(len(rows), dtype=np.float32)
    for number, (line, cells) in enumerate(rows):
        weight = _number(cells[place])
        if weight is None or not 0 <= weight <= _LARGEST:
            raise DataError(
                f"The weight is {cells[place]!r}; expected a number, 0 or more, such as 1 or 0.5.",
                path=path,
                line=line,
                column=column,
            )
        weights[number] = weight
    return weights


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float)):
        return None
    try:
        value = float(cell)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def group_cells(rows: Sequence[Row], place: int) -> list[str]:
    """Read the cell at `place` of every row as text; an empty one keeps its row with no other."""
    return [as_text(cells[place]).strip() for _, cells in rows]
