"""Read CSV and TSV strictly: every cell is a string, every record has every column.

Nothing is converted: `NA` and `null` stay texts, `007` stays `007`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from multihot.data.encoding import file_encoding, read_lines
from multihot.data.rows import Row, Table, named_columns
from multihot.errors import DataError, OptionError

__all__ = ["read_delimited"]

_DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "vertical bar"}
_NUM_SAMPLE_RECORDS = 50
_MAX_SAMPLE_CHARACTERS = 1 << 20
# The csv module refuses cells above 131072 characters by default; a C long may have 32 bits.
_MAX_CELL_CHARACTERS = 2**31 - 1

Record = tuple[int, list[str]]


def read_delimited(
    path: Path,
    *,
    delimiter: str | None = None,
    quoting: bool | None = None,
    header: bool = True,
    encoding: str | None = None,
    usual: str | None = None,
) -> Table:
    r"""Open a table of delimited text.

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
        The delimiter that the file's ending promises; another one is said in the notes.

    Raises
    ------
    DataError
        The file is empty, ragged, has an unclosed quote, or its bytes do not fit.
    OptionError
        The delimiter is not one character.
    """
    found = file_encoding(path, encoding)
    notes = [found.note] if found.note else []
    first, declared = _separator_line(path, found.name)
    chosen = _delimiter_of(delimiter) or declared
    if chosen is None:
        chosen = _detect_delimiter(path, found.name, first, quoting, usual)
    quoted = chosen != "\t" if quoting is None else quoting
    if delimiter is None and chosen != usual:
        word = _DELIMITERS.get(chosen, chosen)
        notes.append(f"Columns are separated by {word}, {'with' if quoted else 'without'} quoting.")
    records = _records(path, found.name, first, chosen, quoted, notes)
    start = next(records, None)
    if start is None:
        raise DataError("The file has no content: expected a table of texts.", path=path)
    line, cells = start
    if header:
        columns = named_columns(cells, path, line)
    else:
        columns = tuple(str(number) for number in range(1, len(cells) + 1))
        records = chain([start], records)
    return Table(columns, _checked(records, columns, path, chosen, quoted), notes)


def _delimiter_of(option: str | None) -> str | None:
    if option is None:
        return None
    delimiter = {"tab": "\t", "\\t": "\t"}.get(option.lower(), option)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise OptionError(f"data.delimiter={option!r} is not one character (or the word tab).")
    return delimiter


def _separator_line(path: Path, encoding: str) -> tuple[int, str | None]:
    """Return the line that the table begins in, and the delimiter of Excel's `sep=;` line."""
    start = next(_lines(path, encoding, 1), "").strip("\r\n").strip('"')
    if start[:4].lower() == "sep=" and len(start) == 5:
        return 2, start[4]
    return 1, None


def _lines(path: Path, encoding: str, first: int) -> Iterator[str]:
    return islice(read_lines(path, encoding), first - 1, None)


def _detect_delimiter(
    path: Path, encoding: str, first: int, quoting: bool | None, usual: str | None
) -> str:
    """Choose the delimiter that cuts the first records into the most columns, equally many each.

    The usual one goes first. When none cuts equally, the one that cuts the first record into the
    most columns, so that the ragged record is named later; the usual one when none occurs there.
    """
    first_width, equal_width = {}, {}
    for delimiter in _DELIMITERS:
        quoted = delimiter != "\t" if quoting is None else quoting
        widths = _sample_widths(_lines(path, encoding, first), delimiter, quoted)
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
        words = " and ".join(_DELIMITERS[delimiter] for delimiter in best)
        raise DataError(
            f"{words} cut the table into {widest} columns alike. Set data.delimiter.", path=path
        )
    return best[0]


def _sample_widths(lines: Iterator[str], delimiter: str, quoted: bool) -> list[int]:
    """Return the number of cells of the first records; none when they cannot be cut that way."""
    sample: list[str] = []
    size = 0
    for line in islice(lines, _NUM_SAMPLE_RECORDS):
        size += len(line)
        if size > _MAX_SAMPLE_CHARACTERS and sample:
            break
        sample.append(line)
    try:
        records = _cut(sample, 1, delimiter, quoted)
        return [len(cells) for _, cells in records if cells]
    except csv.Error:
        return []


def _cut(lines: Iterable[str], first: int, delimiter: str, quoted: bool) -> Iterator[Record]:
    """Cut lines into records of cells; a blank line is an empty record."""
    if not quoted:
        for number, line in enumerate(lines, start=first):
            content = line.rstrip("\r\n")
            yield number, content.split(delimiter) if content else []
        return
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_CHARACTERS))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    line = first
    for cells in reader:
        yield line, cells
        line = first + reader.line_num


def _records(
    path: Path, encoding: str, first: int, delimiter: str, quoted: bool, notes: list[str]
) -> Iterator[Record]:
    """Yield the records that are not blank; turn a csv error into one that names the quote."""
    blank: list[int] = []
    try:
        for line, cells in _cut(_lines(path, encoding, first), first, delimiter, quoted):
            if cells:
                yield line, cells
            else:
                blank.append(line)
    except csv.Error as error:
        raise _quote_error(path, encoding, first, delimiter, error) from None
    if blank:
        notes.append(f"{len(blank)} blank lines were skipped, the first is line {blank[0]}.")


def _quote_error(
    path: Path, encoding: str, first: int, delimiter: str, error: csv.Error
) -> DataError:
    opened, broken = _bad_quote(_lines(path, encoding, first), first, delimiter)
    if opened is None:
        return DataError(f"Cannot be read as delimited text: {error}.", path=path)
    what = (
        "A quote opens a cell in this line and is never closed."
        if broken is None
        else f"A quote opens a cell in this line, and in line {broken} text follows its closing quote."
    )
    return DataError(
        f'{what} Inside a quoted cell write a quote as ""; if this file uses no quoting, set '
        "data.quoting=false.",
        path=path,
        line=opened,
    )


def _bad_quote(lines: Iterable[str], first: int, delimiter: str) -> tuple[int | None, int | None]:
    """Return the line of the quote that is wrong, and the line of the text after its closing."""
    opened: int | None = None
    for number, line in enumerate(lines, start=first):
        position = 0
        while position >= 0:
            if opened is None:  # at the beginning of a cell
                if line.startswith('"', position):
                    opened, position = number, position + 1
                else:
                    following = line.find(delimiter, position)
                    position = following + 1 if following >= 0 else -1
                continue
            closing = line.find('"', position)
            after = line[closing + 1 : closing + 2]
            if closing < 0:
                position = -1
            elif after == '"':
                position = closing + 2
            elif after in ("", "\r", "\n", delimiter):
                opened, position = None, closing + 2 if after == delimiter else -1
            else:
                return opened, number
    return opened, None


def _checked(
    records: Iterable[Record], columns: Sequence[str], path: Path, delimiter: str, quoted: bool
) -> Iterator[Row]:
    """Yield the records; raise `DataError` for the first that has not one cell per column."""
    for line, cells in records:
        if len(cells) != len(columns):
            advice = (
                'Quote cells that contain the separator or a line break with ", or set '
                "data.delimiter if the separator is another one."
                if quoted
                else "If cells are quoted, set data.quoting=true."
            )
            raise DataError(
                f"This record has {len(cells)} cells, but {len(columns)} were expected "
                f"({', '.join(columns)}), separated by {_DELIMITERS.get(delimiter, delimiter)}. {advice}",
                path=path,
                line=line,
            )
        yield line, cells
