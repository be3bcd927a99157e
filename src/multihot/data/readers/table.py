"""What every reader returns: column names and rows of cells, with line numbers."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multihot.errors import DataError

__all__ = ["Row", "Table", "as_text", "named_columns", "nearest"]

Row = tuple[int, list[Any]]
"""1-based line (or row) number in the file and one cell per column."""


@dataclass(frozen=True)
class Table:
    """A file that is being read.

    Attributes
    ----------
    columns
        Column names, unique.
    rows
        Reads the file while it is consumed. A cell is a `str` in text tables and workbooks; in
        JSON lines, Parquet and data sets it may also be a number, a bool, a list or `None`.
    notes
        What was detected; complete when all rows have been consumed.
    again
        Reads the rows once more, from the first one on, without adding to the notes; `None` where
        the whole table is held in memory anyway.
    """

    columns: tuple[str, ...]
    rows: Iterator[Row]
    notes: list[str] = field(default_factory=list)
    again: Callable[[], Iterator[Row]] | None = None


def named_columns(names: Sequence[str], path: str | Path, line: int | None) -> tuple[str, ...]:
    """Return stripped column names; an unnamed first column, as pandas writes it, is `index`."""
    columns = [name.strip() for name in names]
    if len(columns) > 1 and not columns[0] and "index" not in columns:
        columns[0] = "index"
    for number, name in enumerate(columns, start=1):
        if not name:
            raise DataError(
                f"Column {number} of {len(columns)} has no name. Name it in the header or delete it; "
                "if the file has no header, set data.header=false.",
                path=path,
                line=line,
            )
        if name in columns[: number - 1]:
            raise DataError(
                f"Two columns have the same name. Rename one of them. Columns: {', '.join(columns)}. "
                "If the file has no header, set data.header=false.",
                path=path,
                line=line,
                column=name,
            )
    return tuple(columns)


def as_text(value: Any) -> str:
    """Return a cell as text: `None` is empty, lists and objects are JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (bool, list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def nearest(name: str, known: Sequence[str]) -> str:
    """Return ` Did you mean 'x'?` for the nearest known name, or an empty text."""
    folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f" Did you mean '{folded[near[0]]}'?" if near else ""
