"""Cells that a spreadsheet would compute, in tables that are written to be filled in and read back.

In delimited text a guard, `'`, stands before such a cell. Where rows are read as data, a column `guarded`
behind `predicted_labels` and `truncated` says which ones have guards, so that other tables are never changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from multihot.data.readers.table import CellBatch, Table

__all__ = ["GUARD_COLUMN", "guarded", "is_formula", "unguarded", "unguarded_table"]

GUARD_COLUMN = "guarded"

_FORMULA = re.compile(r"'*(?:\s*[=+\-@＝＋－＠]|[\t\r\n])")
_GUARDED = re.compile(r"'+(?:\s*[=+\-@＝＋－＠]|[\t\r\n])")
_NUMBER = re.compile(r"\s*[+-]?[\d.,]+(?:[eE][+-]?\d+)?\s*%?\s*")
_PREDICTED, _TRUNCATED = "predicted_labels", "truncated"


def guarded(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: with `'` before what begins one."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(text: str) -> str:
    """Return the text that `guarded` was given."""
    return text[1:] if _GUARDED.match(text) else text


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet would take a cell for a formula; signed numbers are none."""
    return not text.startswith("'") and guarded(text) != text and _NUMBER.fullmatch(text) is None


def unguarded_table(table: Table) -> Table:
    """Return a table without the guards that its column `guarded` tells of; mostly the table itself."""
    place = _guard_column(table.columns)
    if place is None:
        return table
    again = table.again
    return replace(
        table,
        batches=_unguarded(table.batches, place),
        again=None if again is None else lambda: _unguarded(again(), place),
    )


def _guard_column(columns: Sequence[str]) -> int | None:
    """Return where the column is, which other tables may have, too, but not behind these two."""
    for place, name in enumerate(columns[2:], start=2):
        tail = name.removeprefix(GUARD_COLUMN)
        if name == GUARD_COLUMN + tail and columns[place - 2 : place] == (
            _PREDICTED + tail,
            _TRUNCATED + tail,
        ):
            return place
    return None


def _unguarded(batches: Iterable[CellBatch], place: int) -> Iterator[CellBatch]:
    for batch in batches:
        marks = batch.cells[place]
        cells = [
            [unguarded(cell) if mark else cell for cell, mark in zip(column, marks, strict=True)]
            for column in batch.cells
        ]
        cells[place] = [""] * len(batch)  # a copy of these cells has no guards
        yield CellBatch(batch.lines, cells)
