"""What every reader returns: column names and the cells in batches of rows, with line numbers."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from multihot.core.text_tables import listed
from multihot.errors import DataError

__all__ = [
    "BATCH_ROWS",
    "CellBatch",
    "Row",
    "Table",
    "advised",
    "as_number",
    "as_text",
    "lines_advice",
    "named_columns",
    "nearest",
    "refuse_faults",
    "regrouped",
]

BATCH_ROWS = 1024
"""How many rows are read at once, unless said otherwise."""

_MAX_COMPARED = 2000

Row = tuple[int, list[Any]]
"""1-based line (or row) number in the file and one cell per column."""


@dataclass(frozen=True)
class CellBatch:
    """Successive rows of a table, column by column.

    Attributes
    ----------
    lines
        *Shape:* N: the 1-based line (or row) number of each row in the file.
    cells
        The cells of each column. *Shape:* N, each.
    """

    lines: Sequence[int]
    cells: Sequence[Sequence[Any]]

    def __len__(self) -> int:
        return len(self.lines)

    def rows(self) -> Iterator[Row]:
        """Yield the rows one by one."""
        return zip(self.lines, map(list, zip(*self.cells, strict=True)), strict=True)


@dataclass(frozen=True)
class Table:
    """A file that is being read.

    Attributes
    ----------
    columns
        Column names, unique.
    batches
        Reads the file while it is consumed. A cell is a `str` in text tables and workbooks; in
        JSON lines, Parquet and data sets it may also be a number, a bool, a list or `None`.
    notes
        What was detected; complete when all rows have been consumed.
    again
        Reads the rows once more, from the first one on, without adding to the notes; `None` where
        the whole table is held in memory anyway.
    is_provisional
        Whether encoding and columns were taken from the beginning of the file. When its end
        contradicts them, reading raises a `UserError`, and the table has to be opened anew.
    is_held
        Whether the rows are in memory although `again` reads them.
    faults
        For each column with a cell that has no value to read, the error for whoever uses the column.
    advice
        What may help where columns are not the expected ones, such as the other sheets of a workbook.
    delimiter
        What separates the columns of a text table.
    class_names
        The names of the classes of a column in their order, also of classes without a row, where the
        file stores them.
    hints
        Notes that may explain why labels are wrong or missing; errors about the cells repeat them.
    """

    columns: tuple[str, ...]
    batches: Iterator[CellBatch]
    notes: list[str] = field(default_factory=list)
    again: Callable[[], Iterator[CellBatch]] | None = None
    is_provisional: bool = False
    is_held: bool = False
    faults: Mapping[str, DataError] = field(default_factory=dict)
    advice: str = ""
    delimiter: str | None = None
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hints: Sequence[str] = ()

    @property
    def rows(self) -> Iterator[Row]:
        """The rows one by one; they are consumed together with the batches."""
        for batch in self.batches:
            yield from batch.rows()


@contextmanager
def advised(table: Table) -> Iterator[None]:
    """Add what the table advises to an error about its columns, and name cells without a value."""
    try:
        yield
    except DataError as error:
        fault = table.faults.get(error.column or "")
        if fault is not None:
            raise fault from None
        said = [str(error)]
        if error.line is None:
            said += [str(next(iter(table.faults.values())))] if table.faults else []
            said.append(table.advice)
        error.args = (" ".join([*said, *table.hints]).strip(),)
        raise


def refuse_faults(table: Table, columns: Iterable[str | None]) -> None:
    """Raise the `DataError` of the first of some columns with a cell that has no value to read."""
    for name in columns:
        if name is not None and name in table.faults:
            raise table.faults[name]


def regrouped(batches: Iterable[CellBatch], num_rows: int) -> Iterator[CellBatch]:
    """Yield the same rows in batches of `num_rows`; the last one may be smaller.

    Raises `ValueError` for fewer than one row.
    """
    if num_rows < 1:
        raise ValueError(f"A batch cannot have {num_rows} rows; expected at least 1.")
    held: list[CellBatch] = []
    num_held = 0
    for batch in batches:
        start = 0
        while num_held + len(batch) - start >= num_rows:
            end = start + num_rows - num_held
            yield _joined([*held, _cut(batch, start, end)])
            held, num_held, start = [], 0, end
        if start < len(batch):
            held.append(_cut(batch, start, len(batch)))
            num_held += len(batch) - start
    if held:
        yield _joined(held)


def _cut(batch: CellBatch, start: int, end: int) -> CellBatch:
    if start == 0 and end == len(batch):
        return batch
    return CellBatch(batch.lines[start:end], [column[start:end] for column in batch.cells])


def _joined(batches: Sequence[CellBatch]) -> CellBatch:
    if len(batches) == 1:
        return batches[0]
    return CellBatch(
        [line for batch in batches for line in batch.lines],
        [
            [cell for part in parts for cell in part]
            for parts in zip(*(batch.cells for batch in batches), strict=True)
        ],
    )


def named_columns(names: Sequence[str], path: str | Path, line: int | None) -> tuple[str, ...]:
    """Return stripped column names; an unnamed first column, as pandas writes it, is `index`."""
    columns = [name.strip() for name in names]
    if len(columns) > 1 and not columns[0] and "index" not in columns:
        columns[0] = "index"
    seen: set[str] = set()
    for number, name in enumerate(columns, start=1):
        if not name:
            raise DataError(
                f"Column {number} of {len(columns)} has no name. Name it in the header or delete it; "
                "if the file has no header, set data.header=false.",
                path=path,
                line=line,
            )
        if name in seen:
            raise DataError(
                f"Two columns have the same name. Rename one of them. Columns: {listed(columns)}. "
                "If the file has no header, set data.header=false.",
                path=path,
                line=line,
                column=name,
            )
        seen.add(name)
    return tuple(columns)


def as_number(cell: Any) -> float | None:
    """Return a number or a text that is one as a float; `None` for anything else, and where it is too large."""
    if not isinstance(cell, (str, int, float, Decimal)):
        return None
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return None


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
    if len(known) > _MAX_COMPARED or len(name) > _MAX_COMPARED:  # comparing takes too long
        return ""
    folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f" Did you mean '{folded[near[0]]}'?" if near else ""


def lines_advice(path: str | Path) -> str:
    """Return, for a text file that is read as a table, how to read it with one text a line."""
    is_text = ".txt" in [ending.casefold() for ending in Path(path).suffixes]
    return " If every line is a text, set data.format=lines." if is_text else ""
