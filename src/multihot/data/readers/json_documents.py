"""Read JSON documents as tables: an array of objects, or objects one after the other.

The file is read in pieces: memory stays constant, unless one object is large.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from multihot.core.text_tables import listed
from multihot.data.readers.jsonl import (
    Objects,
    checked_characters,
    decode_object,
    kind_of_value,
    pair_advice,
    reason_of,
    table_of_objects,
)
from multihot.data.readers.label_studio import (
    LabelStudio,
    flat_table,
    is_flat_export,
    is_task,
    tasks_as_rows,
)
from multihot.data.readers.table import BATCH_ROWS, Table
from multihot.data.readers.text_encoding import (
    BLOCK_BYTES,
    MAX_LINE_CHARACTERS,
    Encoding,
    decoded_pieces,
)
from multihot.errors import DataError

__all__ = ["read_json_documents"]

_SPACE = re.compile(r"[ \t\r\n]*")
_HALF_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
_MARGIN = 16  # how far before the end of what was read an error may come from the end itself
_CUT_OFF = "The file ends before its array does: it is cut off."
_EXPECTED = 'an array of objects was expected, such as [{"text": "...", "labels": ["joy"]}]'


def read_json_documents(
    path: Path,
    *,
    encoding: Encoding,
    label_studio: LabelStudio | None = None,
    is_provisional: bool = False,
    batch_rows: int = BATCH_ROWS,
    block_bytes: int = BLOCK_BYTES,
) -> Table:
    """Open a JSON array of objects, or a file of JSON objects one after the other.

    With `label_studio`, an export of Label Studio is recognised and becomes a table of its texts and
    choices.

    Columns, missing keys and `is_provisional` are as in `read_jsonlines`. The line of a row is that
    in which its object begins.

    Raises
    ------
    DataError
        It is something else, such as one object around a list, or not JSON; an object repeats a key
        or holds half a surrogate pair.
    """

    def reader() -> _Reader:
        return _Reader(decoded_pieces(path, encoding.name, block_bytes=block_bytes), path)

    is_array = reader().next() == "["
    first = next(_objects(reader()), (0, {}))[1]
    notes = [encoding.note] if encoding.note else []
    if label_studio is not None and is_task(first):
        export = label_studio
        notes.append("Format: Label Studio, tasks with their annotations; labels: the choices.")
        passes: list[list[str]] = [notes]  # what a pass finds is said once

        def objects() -> Objects:
            noted = passes.pop() if passes else []
            return tasks_as_rows(_objects(reader()), export.again(), noted)
    else:
        kind = "an array of objects" if is_array else "one object after the other"
        notes.append(f"Format: JSON, {kind}.")

        def objects() -> Objects:
            return _objects(reader())

    table = table_of_objects(
        objects, path, notes, is_provisional=is_provisional, batch_rows=batch_rows
    )
    if label_studio is None or not is_flat_export(table.columns):
        return table
    return flat_table(table, label_studio)


class _Reader:
    """Reads the values of a text that comes in pieces."""

    def __init__(self, pieces: Iterator[str], path: Path) -> None:
        self._pieces, self.path = pieces, path
        self._text = ""
        self._place = self._counted = 0
        self._line = 1

    def line(self) -> int:
        """Return the line of the current place."""
        self._line += self._text.count("\n", self._counted, self._place)
        self._counted = self._place
        return self._line

    def fail(self, message: str) -> DataError:
        """Return the error for the current place."""
        return DataError(message, path=self.path, line=self.line())

    def next(self) -> str:
        """Return the next character that is not white space; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._place)
            assert match is not None
            self._place = match.end()
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._more():
                return ""

    def skip(self) -> None:
        """Go behind the current character."""
        self._place += 1

    def value(self) -> Any:
        """Return the value that begins here, and go behind it."""
        while True:
            try:
                value, end = decode_object(self._text, self._place)
                break
            except json.JSONDecodeError as error:
                is_cut = (
                    error.msg.startswith("Unterminated") or error.pos > len(self._text) - _MARGIN
                )
                if is_cut and self._more():
                    continue
                self._place = error.pos
                raise self.fail(f"Invalid JSON: {error.msg}; {_EXPECTED}.") from None
            except (ValueError, RecursionError) as error:
                raise self.fail(f"Cannot be read as JSON: {reason_of(error)}.") from None
        if isinstance(value, dict) and _HALF_PAIR.search(self._text, self._place, end):
            checked_characters(value, self.path, self.line())
        self._place = end
        return value

    def _more(self) -> bool:
        """Read as much again as is held; return whether there was any."""
        self.line()
        rest = self._text[self._place :]
        if len(rest) > MAX_LINE_CHARACTERS:
            raise self.fail(
                f"One object has more than {MAX_LINE_CHARACTERS:,} characters; {_EXPECTED}."
            )
        self._place = self._counted = 0
        pieces, num_read = [rest], 0
        for piece in self._pieces:
            pieces.append(piece)
            num_read += len(piece)
            if num_read >= max(1, len(rest)):
                break
        self._text = "".join(pieces)
        return num_read > 0


def _objects(reader: _Reader) -> Objects:
    return _array(reader) if reader.next() == "[" else _successive(reader)


def _array(reader: _Reader) -> Objects:
    reader.skip()
    is_first = True
    while (character := reader.next()) != "]" or not is_first:
        if not character:
            raise reader.fail(_CUT_OFF)
        line = reader.line()
        value = reader.value()
        if not isinstance(value, dict):
            raise DataError(
                f"An element of the array is {kind_of_value(value)}; {_EXPECTED}.{pair_advice(value)}",
                path=reader.path,
                line=line,
            )
        yield line, value
        is_first = False
        if (character := reader.next()) == "]":
            break
        if character != ",":
            if not character:
                raise reader.fail(_CUT_OFF)
            raise reader.fail(f"A comma or the end of the array is missing here; {_EXPECTED}.")
        reader.skip()
    reader.skip()
    if reader.next():
        raise reader.fail("Something follows the end of the array. One array a file was expected.")


def _successive(reader: _Reader) -> Objects:
    found = _each(reader)
    beginning = [item for _, item in zip(range(2), found, strict=False)]
    if len(beginning) == 1:
        _refuse_wrapped(beginning[0][1], reader.path)
    yield from chain(beginning, found)


def _each(reader: _Reader) -> Objects:
    while reader.next():
        line = reader.line()
        value = reader.value()
        if not isinstance(value, dict):
            raise DataError(
                f"This is {kind_of_value(value)}; {_EXPECTED}.", path=reader.path, line=line
            )
        yield line, value


def _refuse_wrapped(record: Mapping[str, Any], path: Path) -> None:
    """Raise `DataError` when the only object of a file holds a table instead of being a row of it."""
    lists = [name for name, value in record.items() if _is_list_of_objects(value)]
    if lists:
        keys = listed([f"'{name}'" for name in lists])
        raise DataError(
            f"The file is one JSON object, in which {keys} holds a list of objects; {_EXPECTED}. Save that "
            "list as a file of its own. If the object is one row, set data.format=jsonl and write it in one "
            "line.",
            path=path,
        )
    columns = [value for value in record.values() if isinstance(value, (list, dict))]
    if len(columns) > 1 and len(set(map(len, columns))) == 1 and len(columns[0]) > 1:
        raise DataError(
            f"The file is one JSON object with a list or an object of {len(columns[0])} values for each of "
            f"{listed(list(record))}: this looks like a table written by columns or with ids as keys; {_EXPECTED}. With "
            'pandas, write it with to_json(path, orient="records"). If it is one row, set data.format=jsonl and '
            "write it in one line.",
            path=path,
        )


def _is_list_of_objects(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) > 0 and all(isinstance(item, dict) for item in value)
    )
