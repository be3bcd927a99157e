"""Tables of many cells, some rows or columns at a time: temporary arrays stay a few MB.

Letters: `N` rows, `L` columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

__all__ = ["column_blocks", "row_blocks"]

_BLOCK_CELLS = 1 << 20


def row_blocks(shape: tuple[int, ...], *, cells: int = _BLOCK_CELLS) -> Iterator[slice]:
    """Yield slices of rows with so many cells together, of a table of the *shape* (N, L)."""
    num_rows, num_columns = shape
    step = max(1, cells // max(1, num_columns))
    for start in range(0, num_rows, step):
        yield slice(start, min(start + step, num_rows))


def column_blocks(shape: tuple[int, ...], *, cells: int = _BLOCK_CELLS) -> Iterator[slice]:
    """Yield slices of columns likewise, all of nearly one width: none of several is a single column.

    A sum over the rows of several columns adds row after row; one of a single column is pairwise.
    """
    num_rows, num_columns = shape
    step = max(2, cells // max(1, num_rows))
    num_blocks = max(1, num_columns // step)
    ends = [num_columns * number // num_blocks for number in range(num_blocks + 1)]
    for start, end in pairwise(ends):
        if end > start:
            yield slice(start, end)
