"""Read texts to predict as a stream: no labels needed, every input column kept."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from multihot.data.columns import column_notes, find_id_column, find_text_column, text_of
from multihot.data.encoding import declared_encoding, stream_lines
from multihot.data.jsonlines import parse_objects
from multihot.data.rows import Table, as_text
from multihot.data.tables import open_table
from multihot.errors import OptionError
from multihot.options import DataOptions

__all__ = ["TextRow", "TextStream", "stream_texts"]

_STANDARD_INPUT = "standard input"


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

    `columns` are those of the file; of standard input, those of its first line.
    """

    columns: tuple[str, ...]
    rows: Iterator[TextRow]
    notes: tuple[str, ...]


def stream_texts(path: str | Path, data: DataOptions | None = None) -> TextStream:
    """Open a file of texts to predict; memory stays constant except for .xlsx.

    `-` is standard input: JSON lines when the first line that is not blank begins with `{`, else
    one text a line, blank lines being empty texts. Lines are not grouped; blank lines of a file are
    not rows.

    Raises
    ------
    DataError, OptionError, MissingExtraError
        As `read_examples`; for a single line, when it is reached.
    """
    data = data or DataOptions()
    if str(path) == "-":
        return _standard_input(data)
    return _streamed(open_table(path, data), data, str(path))


def _streamed(table: Table, data: DataOptions, source: str) -> TextStream:
    text = find_text_column(table.columns, data, source)
    row_id = find_id_column(table.columns, data, source, text)
    notes = (*table.notes, *column_notes(text, row_id, data))
    return TextStream(table.columns, _text_rows(table, text, row_id, source), notes)


def _text_rows(table: Table, text: str, row_id: str | None, source: str) -> Iterator[TextRow]:
    place = table.columns.index(text)
    for number, (line, cells) in enumerate(table.rows, start=1):
        values = {name: as_text(cell) for name, cell in zip(table.columns, cells, strict=True)}
        identity = str(number) if row_id is None else values[row_id]
        yield TextRow(line, identity, text_of(cells[place], source, line, text), values)


def _standard_input(data: DataOptions) -> TextStream:
    if data.format not in ("auto", "jsonl"):
        raise OptionError(
            f"data.format={data.format} cannot be read from standard input, which is one text a line or "
            "JSON lines. Write it to a file first."
        )
    lines = _input_lines(data.encoding)
    beginning = []
    for line in lines:
        beginning.append(line)
        if line.strip():
            break
    everything = itertools.chain(beginning, lines)
    if data.format == "jsonl" or (beginning and beginning[-1].lstrip().startswith("{")):
        return _json_input(everything, data)
    rows = (
        TextRow(number, str(number), text, {"text": text})
        for number, text in enumerate((line.rstrip("\r\n") for line in everything), start=1)
    )
    return TextStream(("text",), rows, (f"Texts: one a line, from {_STANDARD_INPUT}.",))


def _input_lines(encoding: str | None) -> Iterator[str]:
    if isinstance(sys.stdin, io.StringIO):  # a program that feeds texts instead of bytes
        return iter(sys.stdin)
    return stream_lines(sys.stdin.buffer, declared_encoding(encoding or "utf-8"), _STANDARD_INPUT)


def _json_input(lines: Iterable[str], data: DataOptions) -> TextStream:
    """Stream JSON lines; keys that the first object lacks are kept in the values of their rows."""
    objects = parse_objects(lines, _STANDARD_INPUT)
    first = next(objects, None)
    if first is None:
        return TextStream(("text",), iter(()), ())
    columns = tuple(first[1])
    text = find_text_column(columns, data, _STANDARD_INPUT)
    row_id = find_id_column(columns, data, _STANDARD_INPUT, text)

    def rows() -> Iterator[TextRow]:
        for number, (line, record) in enumerate(itertools.chain([first], objects), start=1):
            values = {name: "" for name in columns} | {
                name: as_text(value) for name, value in record.items()
            }
            identity = str(number) if row_id is None else values[row_id]
            content = text_of(record.get(text), _STANDARD_INPUT, line, text)
            yield TextRow(line, identity, content, values)

    return TextStream(columns, rows(), tuple(column_notes(text, row_id, data)))
