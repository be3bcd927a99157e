"""Cut delimited text into records of cells, with the line that each begins in."""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from multihot.core.text_tables import counted
from multihot.data.readers.text_encoding import MAX_LINE_CHARACTERS, read_blocks, split_lines
from multihot.errors import DataError

__all__ = [
    "DelimitedSource",
    "Records",
    "csv_records",
    "read_records",
    "split_records",
    "without_lines",
]

Records = tuple[Sequence[int], list[list[str]]]
"""The line that each of some records begins in, and their cells."""

_LINE_END = re.compile(r"\r\n|\r|\n")
_FIRST_RECORDS = 16  # until their width is known
_MAX_BATCH_CELLS = 1 << 20
# The csv module refuses cells above 131072 characters by default and takes 4 bytes for each.
_MAX_CELL_CHARACTERS = MAX_LINE_CHARACTERS


@dataclass(frozen=True)
class DelimitedSource:
    """A file and how its lines are cut; `first` is the line that the table begins in."""

    path: Path
    encoding: str
    block_bytes: int
    first: int = 1
    delimiter: str = ","
    quoted: bool = True

    def blocks(self) -> Iterator[str]:
        """Yield the text of the table in blocks of whole lines."""
        blocks = read_blocks(self.path, self.encoding, block_bytes=self.block_bytes)
        return without_lines(blocks, self.first - 1)


def split_records(lines: Iterable[str], delimiter: str) -> list[list[str]]:
    """Cut lines without quoting into cells; a blank line is an empty record."""
    contents = [line.rstrip("\r\n") for line in lines]
    return [content.split(delimiter) if content else [] for content in contents]


def csv_records(lines: Iterable[str], delimiter: str) -> Any:
    """Return a `csv.reader` that is strict about quotes and allows cells of any length."""
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_CHARACTERS))
    return csv.reader(lines, delimiter=delimiter, strict=True)


def _cut(
    blocks: Iterator[str], source: DelimitedSource, batch_rows: int, rows_in_cells: _RowsInCells
) -> Iterator[Records]:
    """Cut blocks of lines into records; a blank line is an empty record.

    Records are cut at every delimiter up to the first block with a quote, by the csv module from
    there on. An error is raised after the records before it.
    """
    line = source.first
    for block in blocks:
        lines = split_lines(block)
        if source.quoted and '"' in block:
            following = chain(lines, chain.from_iterable(map(split_lines, blocks)))
            yield from _cut_quoted(following, source, line, batch_rows, rows_in_cells)
            return
        yield range(line, line + len(lines)), split_records(lines, source.delimiter)
        line += len(lines)


def _cut_quoted(
    lines: Iterable[str],
    source: DelimitedSource,
    line: int,
    batch_rows: int,
    rows_in_cells: _RowsInCells,
) -> Iterator[Records]:
    reader = csv_records(lines, source.delimiter)
    start, num_records = line, min(batch_rows, _FIRST_RECORDS)
    while True:
        records: list[list[str]] = []
        failure: Exception | None = None
        try:
            records.extend(islice(reader, num_records))
        except csv.Error as error:  # strict parsing raises it for quotes, and for long cells
            is_long = "field limit" in str(error)
            failure = _long_cell_error(source, records, line) if is_long else _quote_error(source)
        except DataError as error:
            failure = error
        end = start + reader.line_num
        if records:
            if end - line == len(records):
                yield range(line, end), records
            else:
                yield _record_lines(records, line, source.delimiter, rows_in_cells), records
            num_records = max(1, min(batch_rows, _MAX_BATCH_CELLS // max(1, len(records[-1]))))
        if failure is not None:
            raise failure
        if not records:
            return
        line = end


def _record_lines(
    records: Iterable[Sequence[str]], line: int, delimiter: str, rows_in_cells: _RowsInCells
) -> list[int]:
    """Return the line that each record begins in; a quoted cell may hold line breaks."""
    lines = []
    for cells in records:
        lines.append(line)
        start = line
        line += 1
        for place, cell in enumerate(cells):
            if "\n" in cell or "\r" in cell:
                num_ends = cell.count("\n") + cell.count("\r") - cell.count("\r\n")
                line += num_ends
                if cell.count(delimiter) == num_ends * (len(cells) - 1):  # as in that many rows
                    rows_in_cells.add(start, cell, place, len(cells), delimiter)
    return lines


class _RowsInCells:
    """Finds quoted cells that hold lines which look like rows: a quote may have been opened by mistake."""

    def __init__(self) -> None:
        self._num_cells = 0
        self._first = (0, 0)

    def add(self, line: int, cell: str, place: int, width: int, delimiter: str) -> None:
        """Count a cell with line breaks, unless its lines do not look like rows."""
        contents = _LINE_END.split(cell)
        if not _are_rows(contents, place, width, delimiter):
            return
        if not self._num_cells:
            self._first = line, line + len(contents) - 1
        self._num_cells += 1

    def notes(self) -> list[str]:
        if not self._num_cells:
            return []
        first, last = self._first
        return [
            f"{counted(self._num_cells, 'quoted cell')} with line breaks and lines that look like rows; the first goes "
            f"from line {first} to {last}. If these are rows, a quote is open in line {first}: write it as "
            '"" inside a quoted cell, or set data.quoting=false.'
        ]


def _are_rows(contents: Sequence[str], place: int, width: int, delimiter: str) -> bool:
    """Whether the lines of a cell, with the cells before and after it, all have as many cells as a row."""
    first, *inner, last = [content.count(delimiter) for content in contents]
    if not inner and width < 4:  # two lines with a comma each are nothing special
        return False
    return (
        width > 1
        and first == width - 1 - place
        and last == place
        and all(number == width - 1 for number in inner)
    )


def read_records(
    blocks: Iterator[str],
    source: DelimitedSource,
    batch_rows: int,
    notes: list[str],
    *,
    header: bool,
) -> Iterator[Records]:
    """Yield the records that are not blank lines, at least one at a time."""
    blank, rows_in_cells = _BlankLines(header), _RowsInCells()
    for lines, records in _cut(blocks, source, batch_rows, rows_in_cells):
        if blank.num_columns and all(records):
            yield lines, records
        elif (kept := blank.taken_out(lines, records))[0]:
            yield kept
    notes += [*blank.notes(), *rows_in_cells.notes()]


class _BlankLines:
    """Takes out blank lines and counts them.

    A blank line is an empty cell where the table has one column; before a header, and in wider
    tables, it is skipped.
    """

    def __init__(self, header: bool) -> None:
        self._header = header
        self._skipped, self._empty = array("q"), array("q")  # a list would take four times as much
        self.num_columns = 0  # known from the first record that is not blank

    def taken_out(self, lines: Sequence[int], records: Sequence[list[str]]) -> Records:
        kept_lines: list[int] = []
        kept: list[list[str]] = []
        for line, cells in zip(lines, records, strict=True):
            if cells and not self.num_columns:
                self.num_columns = len(cells)
                if self.num_columns == 1 and not self._header:
                    self._skipped, self._empty = self._empty, self._skipped
                    kept_lines, kept = [*self._empty], [[""] for _ in self._empty]
            if not cells:
                (self._empty if self.num_columns == 1 else self._skipped).append(line)
            if cells or self.num_columns == 1:
                kept_lines.append(line)
                kept.append(cells or [""])
        return kept_lines, kept

    def notes(self) -> list[str]:
        notes = []
        if self._skipped:
            notes.append(
                f"{len(self._skipped)} blank lines were skipped; the first is line "
                f"{self._skipped[0]}."
            )
        if self._empty:
            notes.append(
                f"{len(self._empty)} blank lines are empty texts, since there is one column; the "
                f"first is line {self._empty[0]}."
            )
        return notes


def _long_cell_error(
    source: DelimitedSource, records: Sequence[Sequence[str]], line: int
) -> DataError:
    start = _record_lines([*records, []], line, source.delimiter, _RowsInCells())[-1]
    return DataError(
        f"A quoted cell that begins here has more than {_MAX_CELL_CHARACTERS:,} characters: its quote is "
        'probably never closed. Inside a quoted cell write a quote as ""; if this file uses no quoting, set '
        "data.quoting=false.",
        path=source.path,
        line=start,
    )


def _quote_error(source: DelimitedSource) -> DataError:
    opened, broken = _bad_quote(source)
    what = (
        "A quote opens a cell in this line and is never closed."
        if broken is None
        else f"A quote opens a cell in this line, and in line {broken} text follows its closing quote."
    )
    return DataError(
        f'{what} Inside a quoted cell write a quote as ""; if this file uses no quoting, set '
        "data.quoting=false.",
        path=source.path,
        line=opened,
    )


def _bad_quote(source: DelimitedSource) -> tuple[int | None, int | None]:
    """Return the line of the quote that is wrong, and the line of the text after its closing."""
    opened: int | None = None
    lines = chain.from_iterable(map(split_lines, source.blocks()))
    for number, line in enumerate(lines, start=source.first):
        position = 0
        while position >= 0:
            if opened is None:  # at the beginning of a cell
                if line.startswith('"', position):
                    opened, position = number, position + 1
                else:
                    following = line.find(source.delimiter, position)
                    position = following + 1 if following >= 0 else -1
                continue
            closing = line.find('"', position)
            after = line[closing + 1 : closing + 2]
            if closing < 0:
                position = -1
            elif after == '"':
                position = closing + 2
            elif after in ("", "\r", "\n", source.delimiter):
                opened, position = None, closing + 2 if after == source.delimiter else -1
            else:
                return opened, number
    return opened, None


def without_lines(blocks: Iterator[str], num_lines: int) -> Iterator[str]:
    """Yield the blocks without the first lines."""
    for _ in range(num_lines):
        lines = split_lines(next(blocks, ""))
        blocks = chain(["".join(lines[1:])], blocks)
    return (block for block in blocks if block)
