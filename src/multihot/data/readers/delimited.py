"""Read CSV and TSV strictly: every cell is a string, every record has every column.

Nothing is converted: `NA` and `null` stay texts, `007` stays `007`.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from multihot.data.readers.table import Row, Table, named_columns
from multihot.data.readers.text_encoding import file_encoding, read_lines
from multihot.errors import DataError, OptionError

__all__ = ["read_delimited"]

_DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "vertical bar"}
_NUM_SAMPLE_LINES = 50
_MAX_SAMPLE_CHARACTERS = 1 << 20
# The csv module refuses cells above 131072 characters by default; a C long may have 32 bits.
_MAX_CELL_CHARACTERS = 2**31 - 1

Record = tuple[int, list[str]]


@dataclass(frozen=True)
class _Source:
    """A file and how its lines are cut; `first` is the line that the table begins in."""

    path: Path
    encoding: str
    first: int
    delimiter: str
    quoted: bool

    def lines(self) -> Iterator[str]:
        return islice(read_lines(self.path, self.encoding), self.first - 1, None)


def read_delimited(
    path: Path,
    *,
    delimiter: str | None = None,
    quoting: bool | None = None,
    header: bool = True,
    encoding: str | None = None,
    usual: str | None = None,
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

    Raises
    ------
    DataError
        The file is empty, ragged, has an unclosed quote, or its bytes do not fit.
    OptionError
        The delimiter is not one character.
    """
    found = file_encoding(path, encoding)
    notes = [found.note] if found.note else []
    first, said = _separator_line(path, found.name)
    chosen = _delimiter_of(delimiter) or said
    if chosen is None:
        chosen = _detect_delimiter(path, found.name, first, quoting, usual)
    source = _Source(path, found.name, first, chosen, _is_quoted(chosen, quoting))
    if delimiter is None and chosen != usual:
        how = "with" if source.quoted else "without"
        notes.append(f"Columns are separated by {_word(chosen)}, {how} quoting.")
    start = next(_records(source, [], header=header), None)
    if start is None:
        raise DataError("The file has no content: expected a table of texts.", path=path)
    line, cells = start
    if header:
        columns = named_columns(cells, path, line)
    else:
        columns = tuple(str(number) for number in range(1, len(cells) + 1))

    def rows(notes: list[str]) -> Iterator[Row]:
        records = islice(_records(source, notes, header=header), int(header), None)
        return _checked(records, columns, source, notes)

    return Table(columns, rows(notes), notes, lambda: rows([]))


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


def _separator_line(path: Path, encoding: str) -> tuple[int, str | None]:
    """Return the line that the table begins in, and the delimiter of Excel's `sep=;` line."""
    start = next(read_lines(path, encoding), "").strip("\r\n").strip('"')
    if start[:4].lower() == "sep=" and len(start) == 5:
        return 2, start[4]
    return 1, None


def _detect_delimiter(
    path: Path, encoding: str, first: int, quoting: bool | None, usual: str | None
) -> str:
    """Choose the delimiter that cuts the first records into the most columns, equally many each.

    The usual one goes first. When none cuts equally, the one that cuts the first record into the
    most columns, so that the ragged record is named later; the usual one when none occurs there.
    """
    first_width, equal_width = {}, {}
    for delimiter in _DELIMITERS:
        source = _Source(path, encoding, first, delimiter, _is_quoted(delimiter, quoting))
        widths = _sample_widths(source)
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
            f"A {' and a '.join(map(_word, best))} cut the table into {widest} columns alike. "
            "Set data.delimiter to the one that separates columns.",
            path=path,
        )
    return best[0]


def _sample_widths(source: _Source) -> list[int]:
    """Return the number of cells of the first records; none when they cannot be cut that way."""
    sample: list[str] = []
    for line in islice(source.lines(), _NUM_SAMPLE_LINES):
        sample.append(line)
        if sum(map(len, sample)) > _MAX_SAMPLE_CHARACTERS:
            break
    widths = []
    try:
        for _, cells in _cut(sample, source):
            if cells:
                widths.append(len(cells))
    except csv.Error:  # the sample may end inside a quoted cell; what was cut before counts
        pass
    return widths


def _cut(lines: Iterable[str], source: _Source) -> Iterator[Record]:
    """Cut lines into records of cells; a blank line is an empty record."""
    if not source.quoted:
        for number, text in enumerate(lines, start=source.first):
            content = text.rstrip("\r\n")
            yield number, content.split(source.delimiter) if content else []
        return
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_CHARACTERS))
    reader = csv.reader(lines, delimiter=source.delimiter, strict=True)
    line = source.first
    for cells in reader:
        yield line, cells
        line = source.first + reader.line_num


def _records(source: _Source, notes: list[str], *, header: bool) -> Iterator[Record]:
    """Yield the records; turn a csv error into one that names the quote.

    A blank line is an empty cell where the table has one column; before a header, and in wider
    tables, it is skipped.
    """
    skipped, empty = array("q"), array("q")  # a list would take four times the memory
    num_columns = 0  # known from the first record that is not blank
    try:
        for line, cells in _cut(source.lines(), source):
            if not cells:
                (empty if num_columns == 1 else skipped).append(line)
            elif num_columns == 0:
                num_columns = len(cells)
                if num_columns == 1 and not header:
                    skipped, empty = empty, skipped
                    yield from ((number, [""]) for number in empty)
            if cells or num_columns == 1:
                yield line, cells or [""]
    except csv.Error:  # strict parsing raises it for quotes only
        raise _quote_error(source) from None
    if skipped:
        notes.append(f"{len(skipped)} blank lines were skipped; the first is line {skipped[0]}.")
    if empty:
        notes.append(
            f"{len(empty)} blank lines are empty texts, since there is one column; the first is "
            f"line {empty[0]}."
        )


def _quote_error(source: _Source) -> DataError:
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


def _bad_quote(source: _Source) -> tuple[int | None, int | None]:
    """Return the line of the quote that is wrong, and the line of the text after its closing."""
    opened: int | None = None
    for number, line in enumerate(source.lines(), start=source.first):
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


def _checked(
    records: Iterable[Record], columns: Sequence[str], source: _Source, notes: list[str]
) -> Iterator[Row]:
    """Yield the records; raise `DataError` for the first that has not one cell per column."""
    quoted_lines = array("q")
    for line, cells in records:
        if len(cells) != len(columns):
            raise _ragged_error(line, len(cells), columns, source)
        if not source.quoted and any(_is_written_quoted(cell) for cell in cells):
            quoted_lines.append(line)
        yield line, cells
    if quoted_lines:
        notes.append(
            f"{len(quoted_lines)} lines (the first is {quoted_lines[0]}) have cells that look quoted; "
            "they were read as they are. If the file uses quoting, set data.quoting=true."
        )


def _is_written_quoted(cell: str) -> bool:
    """Whether a cell is in quotes and doubles the quotes inside, as a writer of quoted cells does."""
    return cell[:1] == '"' == cell[-1:] and '""' in cell[1:-1]


def _ragged_error(line: int, num_cells: int, columns: Sequence[str], source: _Source) -> DataError:
    advice = (
        'Put cells that contain the separator or a line break in quotes ("), or set data.delimiter if '
        "the separator is another one."
        if source.quoted
        else "If the cells of this file are quoted, set data.quoting=true."
    )
    return DataError(
        f"This record has {num_cells} cells, but {len(columns)} were expected "
        f"({', '.join(columns)}), separated by {_word(source.delimiter)}. {advice}",
        path=source.path,
        line=line,
    )
