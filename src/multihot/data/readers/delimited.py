"""Read CSV and TSV strictly: every cell is a string, every record has every column.

Nothing is converted: `NA` and `null` stay texts, `007` stays `007`.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from multihot.core.text_tables import counted, listed
from multihot.data.readers.records import (
    DelimitedSource,
    Records,
    csv_records,
    read_records,
    split_records,
    without_lines,
)
from multihot.data.readers.table import BATCH_ROWS, CellBatch, Table, lines_advice, named_columns
from multihot.data.readers.text_encoding import (
    BLOCK_BYTES,
    Encoding,
    detect_encoding,
    split_lines,
)
from multihot.errors import DataError, OptionError

__all__ = ["read_delimited"]

_DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "vertical bar"}
_NUM_SAMPLE_LINES = 50
_MAX_SAMPLE_CHARACTERS = 1 << 20


def read_delimited(
    path: Path,
    *,
    delimiter: str | None = None,
    quoting: bool | None = None,
    header: bool = True,
    encoding: Encoding | None = None,
    usual: str | None = None,
    is_provisional: bool = False,
    batch_rows: int = BATCH_ROWS,
    block_bytes: int = BLOCK_BYTES,
) -> Table:
    """Open a table of delimited text.

    Parameters
    ----------
    delimiter
        One character or `tab`; without it, what Excel's `sep=` line says, else detected from the
        beginning of the file.
    quoting
        Whether a cell may be quoted with `"`; without it, yes unless the delimiter is a tab.
    header
        Whether the first record names the columns; without one they are named 1, 2, 3 ...
    encoding
        Character encoding; detected without it.
    usual
        The delimiter that the file's ending promises; it is preferred, another one is noted.
    is_provisional
        Whether the encoding is an assumption about the rest of the file.
    batch_rows, block_bytes
        How many rows and bytes are read at once.

    Raises
    ------
    DataError
        The file is empty, ragged, has an unclosed quote, or its bytes do not fit.
    OptionError
        The delimiter is not one character.
    """
    encoding = encoding or detect_encoding(path)
    notes = [encoding.note] if encoding.note else []
    source = DelimitedSource(path, encoding.name, block_bytes)
    blocks = source.blocks()
    beginning, sample = _beginning(blocks)
    first, separator = _separator_line(sample)
    chosen = _delimiter_of(delimiter) or separator
    if chosen is None:
        chosen = _detect_delimiter(sample[first - 1 :], path, quoting, usual)
    source = replace(source, first=first, delimiter=chosen, quoted=_is_quoted(chosen, quoting))
    if delimiter is None and chosen != usual:
        how = "with" if source.quoted else "without"
        notes.append(f"Columns are separated by {_word(chosen)}, {how} quoting.")
    rest = without_lines(chain(beginning, blocks), first - 1)
    records = read_records(rest, source, batch_rows, notes, header=header)
    start = next(records, None)
    if start is None:
        raise DataError("The file has no content: expected a table of texts.", path=path)
    lines, cells = start
    if header:
        columns = named_columns(cells[0], path, lines[0])
        remaining: Iterable[Records] = chain([(lines[1:], cells[1:])], records)
    else:
        columns = tuple(str(number) for number in range(1, len(cells[-1]) + 1))
        remaining = chain([start], records)

    def again() -> Iterator[CellBatch]:
        later_notes: list[str] = []  # the same as those of the first pass
        records = read_records(source.blocks(), source, batch_rows, later_notes, header=header)
        if header:
            start = next(records, None)
            if start is None:  # emptied since it was opened
                return iter(())
            lines, cells = start
            records = chain([(lines[1:], cells[1:])], records)
        return _checked(records, columns, source, later_notes)

    batches = _checked(remaining, columns, source, notes)
    return Table(columns, batches, notes, again, is_provisional, delimiter=chosen)


def _beginning(blocks: Iterator[str]) -> tuple[list[str], list[str]]:
    """Return the first blocks, and the first lines of them to look for delimiters in."""
    held: list[str] = []
    sample: list[str] = []
    num_characters = 0
    while len(sample) <= _NUM_SAMPLE_LINES and num_characters <= _MAX_SAMPLE_CHARACTERS:
        block = next(blocks, None)
        if block is None:
            break
        held.append(block)
        for line in split_lines(block)[: _NUM_SAMPLE_LINES + 1 - len(sample)]:
            if num_characters <= _MAX_SAMPLE_CHARACTERS:
                sample.append(line)
                num_characters += len(line)
    return held, sample


def _word(delimiter: str) -> str:
    return _DELIMITERS.get(delimiter, delimiter)


def _is_quoted(delimiter: str, quoting: bool | None) -> bool:
    return delimiter != "\t" if quoting is None else quoting


def _delimiter_of(option: str | None) -> str | None:
    if option is None:
        return None
    delimiter = {"tab": "\t", "\\t": "\t"}.get(option.lower(), option)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise OptionError(f"data.delimiter={option!r} is not one character (or the word tab).")
    return delimiter


def _separator_line(sample: Sequence[str]) -> tuple[int, str | None]:
    """Return the line that the table begins in, and the delimiter of Excel's `sep=;` line."""
    start = sample[0].strip("\r\n").strip('"') if sample else ""
    if start[:4].lower() == "sep=" and len(start) == 5:
        return 2, start[4]
    return 1, None


def _detect_delimiter(
    sample: Sequence[str], path: Path, quoting: bool | None, usual: str | None
) -> str:
    """Choose the delimiter that cuts the first records into the most columns, equally many each.

    The usual one goes first. When none cuts equally, the one that cuts the first record into the
    most columns, so that the ragged record is named later; the usual one when none occurs there.
    """
    first_width, equal_width = {}, {}
    for delimiter in _DELIMITERS:
        widths = _sample_widths(
            sample[:_NUM_SAMPLE_LINES], delimiter, _is_quoted(delimiter, quoting)
        )
        if widths and widths[0] > 1:
            first_width[delimiter] = widths[0]
            if len(set(widths)) == 1:
                equal_width[delimiter] = widths[0]
    candidates = equal_width or first_width
    if usual in candidates or not candidates:
        return usual or ","
    widest = max(candidates.values())
    best = [delimiter for delimiter, width in candidates.items() if width == widest]
    if len(best) > 1:
        raise DataError(
            f"{' and '.join(map(_word, best)).capitalize()} both give {widest} columns. "
            "Set data.delimiter to the one that separates columns.",
            path=path,
        )
    return best[0]


def _sample_widths(sample: Sequence[str], delimiter: str, quoted: bool) -> list[int]:
    """Return the number of cells of the first records; none when they cannot be cut that way."""
    if not quoted:
        return [len(cells) for cells in split_records(sample, delimiter) if cells]
    widths: list[int] = []
    with suppress(csv.Error):  # the sample may end inside a quoted cell; what was cut before counts
        widths.extend(len(cells) for cells in csv_records(sample, delimiter) if cells)
    return widths


def _checked(
    batches: Iterable[Records], columns: Sequence[str], source: DelimitedSource, notes: list[str]
) -> Iterator[CellBatch]:
    """Yield the records; raise `DataError` for the first that has not one cell per column."""
    quoted_lines = array("q")
    width = len(columns)
    for lines, records in batches:
        num_good = len(records)
        if records and set(map(len, records)) != {width}:
            num_good = next(row for row, cells in enumerate(records) if len(cells) != width)
        good = records[:num_good]
        if not source.quoted:
            quoted_lines.extend(
                line
                for line, cells in zip(lines, good, strict=False)
                if '""' in source.delimiter.join(cells) and any(map(_is_written_quoted, cells))
            )
        if good:
            yield CellBatch(lines[:num_good], list(zip(*good, strict=True)))
        if num_good < len(records):
            raise _ragged_error(lines[num_good], len(records[num_good]), columns, source)
    if quoted_lines:
        notes.append(
            f"{counted(len(quoted_lines), 'line')} (the first is {quoted_lines[0]}) with cells that look quoted; "
            "they were read as they are. If the file uses quoting, set data.quoting=true."
        )


def _is_written_quoted(cell: str) -> bool:
    """Whether a cell is in quotes and doubles the quotes inside, as a writer of quoted cells does."""
    return cell[:1] == '"' == cell[-1:] and '""' in cell[1:-1]


def _ragged_error(
    line: int, num_cells: int, columns: Sequence[str], source: DelimitedSource
) -> DataError:
    advice = (
        'Put cells that contain the separator or a line break in quotes ("), or set data.delimiter if '
        "the separator is another one."
        if source.quoted
        else "If the cells of this file are quoted, set data.quoting=true."
    )
    return DataError(
        f"This record has {num_cells} cells, but {len(columns)} were expected "
        f"({listed(columns)}), separated by {_word(source.delimiter)}. {advice}"
        f"{lines_advice(source.path)}",
        path=source.path,
        line=line,
    )
