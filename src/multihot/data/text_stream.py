"""Read texts to predict as a stream: no labels needed, every input column kept."""

from __future__ import annotations

import codecs
import hashlib
import io
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from multihot.core.options import DataOptions
from multihot.core.text_tables import cut, listed
from multihot.data.columns.headings import TEXT_NAMES
from multihot.data.columns.reshaping import Reshaped, reshaped
from multihot.data.columns.text_and_id import (
    column_notes,
    find_id_column,
    find_text_column,
    paragraph_notes,
    text_of,
)
from multihot.data.header_line import header_names
from multihot.data.readers.compression import open_unpacked
from multihot.data.readers.jsonl import parse_objects
from multihot.data.readers.open_table import open_table
from multihot.data.readers.table import CellBatch, Table, advised, as_text, refuse_faults
from multihot.data.readers.text_encoding import declared_encoding, stream_lines
from multihot.data.readers.text_lines import fasttext_row
from multihot.errors import DataError, OptionError

__all__ = ["TextRow", "TextStream", "stream_facts", "stream_texts", "text_windows"]

T = TypeVar("T")
Cells = tuple[int, Any, str | None, dict[str, str]]
"""Line number, the cell of the text, the id (`None`: the row number), and every column as text."""

_STANDARD_INPUT = "standard input"
# What is read before the first row of it is passed on.
_BATCH_ROWS = 128
_BLOCK_BYTES = 1 << 16
_NUM_COMPARED = 3  # lines behind what may be a header
_SIGNATURES = ("PK\x03\x04", "PAR1", "\x1f\x8b")


@dataclass(frozen=True)
class TextRow:
    """One text to predict, with every input column as text, in order."""

    line: int
    id: str
    text: str
    values: dict[str, str]


@dataclass(frozen=True)
class TextStream:
    """Texts to predict; `rows` reads the input while it is consumed.

    `columns` are those of the file; of standard input, those of its first line. `notes` say what was
    detected; they are complete when all rows have been consumed. `delimiter` separates the columns of
    a text table; `has_mark` says whether the file begins with a byte order mark. `data` are the options
    that the same texts are read with again.
    """

    columns: tuple[str, ...]
    rows: Iterator[TextRow]
    notes: list[str]
    delimiter: str | None = None
    has_mark: bool = False
    data: DataOptions = field(default_factory=DataOptions)


def stream_texts(
    path: str | Path, data: DataOptions | None = None, *, usual_text: str | None = None
) -> TextStream:
    """Open a file of texts to predict; memory stays constant except for .xlsx.

    `usual_text` is the column of the texts if a file has it and the options name none. With
    `data.format=lines` every line is a text, whatever `data.text_column` is. `-` is standard input: JSON
    lines when the first line that is not blank begins with `{`, else one text a line, blank lines being
    empty texts. Lines are not grouped; blank lines of a file are
    not rows, unless it has one column. A text that is null or missing is an empty one, and counted.

    Raises
    ------
    DataError, OptionError, MissingExtraError
        As `read_examples`; for a single line, when it is reached.
    """
    data = data or DataOptions()
    if str(path) == "-":
        return _standard_input(data)
    source = str(path)
    table = open_table(path, data, batch_rows=_BATCH_ROWS, block_bytes=_BLOCK_BYTES)
    if data.text_column is None and not data.text_columns and usual_text in table.columns:
        data = replace(data, text_column=usual_text)
    if data.format == "lines" and data.text_column not in table.columns:
        data = replace(data, text_column=None)  # that of a model's own files
    with advised(table):
        shaped = reshaped(table, data, source, for_labels=False, keeps_all=True)
        text, row_id, place, id_place = _text_and_id(shaped, source)
        refuse_faults(shaped.table, (text, row_id))
    cells = (
        (
            line,
            row[place],
            None if id_place is None else as_text(row[id_place]),
            # zip leaves out the added columns, which come last
            dict(zip(table.columns, map(as_text, row), strict=False)),
        )
        for line, row in _readable(shaped.table.rows, source)
    )
    notes = table.notes  # the reader keeps adding to it
    notes += column_notes(text, row_id, shaped.data)
    rows = _text_rows(cells, text, source, notes)
    has_mark = table.delimiter is not None and _begins_with_mark(Path(path))
    return TextStream(table.columns, rows, notes, table.delimiter, has_mark, data)


def stream_facts(stream: TextStream) -> tuple[int, str]:
    """Read a stream to its end; return how many rows it has, and a SHA-256 of ids, texts and columns."""
    digest = hashlib.sha256("\0".join(stream.columns).encode("utf-8", "surrogatepass"))
    num_rows = 0
    for row in stream.rows:
        num_rows += 1
        content = "\0".join(("", row.id, row.text, *row.values.values()))
        digest.update(content.encode("utf-8", "surrogatepass"))
    return num_rows, digest.hexdigest()


def text_windows(
    path: str, data: DataOptions, numbers: range, window_rows: int
) -> Iterator[list[str]]:
    """Yield the texts of the rows of these numbers, counted from 0, so many at a time."""
    rows = itertools.islice(stream_texts(path, data).rows, numbers.start, numbers.stop)
    while window := list(itertools.islice(rows, window_rows)):
        yield [row.text for row in window]


def _begins_with_mark(path: Path) -> bool:
    with open_unpacked(path) as handle:
        return handle.read(3).startswith(
            (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        )


def _text_and_id(shaped: Reshaped, source: str) -> tuple[str, str | None, int, int | None]:
    """Return the columns of the texts and of the ids, and where they are."""
    columns = shaped.table.columns
    text = find_text_column(columns, shaped.data, source)
    row_id = find_id_column(columns, shaped.data, source, text)
    return text, row_id, columns.index(text), None if row_id is None else columns.index(row_id)


def _readable(items: Iterator[T], source: str) -> Iterator[T]:
    """Pass what is read on; an input that cannot be read any further is a `DataError`."""
    try:
        yield from items
    except OSError as error:
        raise DataError(
            f"The input cannot be read to its end: {error.strerror or error}.", path=source
        ) from error


def _text_rows(
    rows: Iterable[Cells], text: str, source: str, notes: list[str]
) -> Iterator[TextRow]:
    num_missing = num_lists = 0
    for number, (line, cell, row_id, values) in enumerate(rows, start=1):
        num_missing += cell is None
        num_lists += isinstance(cell, list)
        content = "" if cell is None else text_of(cell, source, line, text)
        yield TextRow(line, str(number) if row_id is None else row_id, content, values)
    if num_missing == 1:
        notes.append("1 row has no text; it counts as an empty text.")
    elif num_missing:
        notes.append(f"{num_missing} rows have no text; they count as empty texts.")
    notes += paragraph_notes(num_lists)


def _standard_input(data: DataOptions) -> TextStream:
    if data.format not in ("auto", "jsonl", "lines", "fasttext", "libmultilabel"):
        raise OptionError(
            f"data.format={data.format} cannot be read from standard input, which is one text a line or "
            "JSON lines. Write it to a file first."
        )
    lines = _readable(_input_lines(data.encoding), _STANDARD_INPUT)
    beginning = []
    for line in lines:
        beginning.append(line)
        if line.strip():
            break
    everything: Iterator[str] = itertools.chain(beginning, lines)
    may_be_json = data.format == "auto"
    if data.format == "jsonl" or (
        may_be_json and beginning and beginning[-1].lstrip().startswith("{")
    ):
        return _json_input(everything, data)
    notes = [f"Texts: one a line, from {_STANDARD_INPUT}."]
    if data.format == "auto" and beginning:
        everything, further = _checked_beginning(beginning, lines)
        notes += further
    texts = (
        fasttext_row(content, _STANDARD_INPUT, line)[1] if data.format == "fasttext" else content
        for line, content in enumerate((line.rstrip("\r\n") for line in everything), start=1)
    )
    rows = (
        TextRow(line, str(line), text, {"text": text}) for line, text in enumerate(texts, start=1)
    )
    return TextStream(("text",), rows, notes)


def _checked_beginning(
    beginning: list[str], lines: Iterator[str]
) -> tuple[Iterator[str], list[str]]:
    """Return all lines and notes; raise `DataError` where they are a file rather than texts."""
    first = beginning[-1].strip()
    number = len(beginning)
    if first.startswith(_SIGNATURES):
        kind = "a workbook or a packed or Parquet file"
    elif first == "[" or re.match(r"\[\s*\{", first):
        kind = "a JSON array, not JSON lines"
    elif names := header_names(first):
        beginning += itertools.islice(lines, _NUM_COMPARED)
        if names.fits(beginning[number:]):
            kind = f"a table whose header names {listed(names.columns)}"
        else:
            return itertools.chain(beginning, lines), []
    else:
        notes = []
        if first.casefold() in TEXT_NAMES:
            notes.append(
                f"The first line of {_STANDARD_INPUT} is {cut(first)}; it is labelled as a text. If it is "
                "a header, save the lines in a file and name it with --input FILE."
            )
        return itertools.chain(beginning, lines), notes
    raise DataError(
        f"This looks like {kind}, of which every line would be labelled as a text. Save it in a file and "
        "name that with --input FILE; if the lines are texts, set data.format=lines.",
        path=_STANDARD_INPUT,
        line=number,
    )


def _input_lines(encoding: str | None) -> Iterator[str]:
    if isinstance(sys.stdin, io.StringIO):  # a program that feeds texts instead of bytes
        return iter(sys.stdin)
    return stream_lines(sys.stdin.buffer, declared_encoding(encoding or "utf-8"), _STANDARD_INPUT)


def _json_input(lines: Iterable[str], data: DataOptions) -> TextStream:
    """Stream JSON lines; keys that the first object lacks are kept in the values of their rows."""
    objects = parse_objects(lines, _STANDARD_INPUT)
    first = next(objects, None)
    if first is None:
        return TextStream(("text",), iter(()), [])
    columns = tuple(first[1])
    line, record = first
    table = Table(columns, iter([CellBatch([line], [[cell] for cell in record.values()])]))
    shaped = reshaped(table, data, _STANDARD_INPUT, for_labels=False, keeps_all=True)
    text, row_id, place, id_place = _text_and_id(shaped, _STANDARD_INPUT)
    lacking = dict.fromkeys(columns, "")

    def cells() -> Iterator[Cells]:
        for line, record in itertools.chain([first], objects):
            row = shaped.with_added(line, [record.get(name) for name in columns])
            values = lacking | {name: as_text(record[name]) for name in record}
            yield line, row[place], None if id_place is None else as_text(row[id_place]), values

    notes = [*table.notes, *column_notes(text, row_id, shaped.data)]
    return TextStream(columns, _text_rows(cells(), text, _STANDARD_INPUT, notes), notes)
