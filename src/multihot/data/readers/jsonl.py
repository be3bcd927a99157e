"""Read JSON lines strictly: one object a line, no repeated key, no text that UTF-8 cannot hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from multihot.data.readers.table import Row, Table
from multihot.data.readers.text_encoding import file_encoding, read_lines
from multihot.errors import DataError

__all__ = ["parse_objects", "read_jsonlines"]

_EXPECTED = (
    'one JSON object a line was expected, such as {"id": "1", "text": "...", "labels": ["joy"]}'
)


def read_jsonlines(path: Path, *, encoding: str | None = None) -> Table:
    """Open a file of JSON lines.

    The columns are all keys of all lines, in order of appearance; a key that a line lacks is
    `None` there, like `null`. The file is read twice: once for the keys.

    Raises
    ------
    DataError
        A line is not one JSON object, repeats a key or holds half a surrogate pair.
    """
    found = file_encoding(path, encoding)
    notes = [found.note] if found.note else []
    columns: dict[str, None] = {}
    for _, record in parse_objects(read_lines(path, found.name), path):
        columns.update(dict.fromkeys(record))
    if not columns:
        raise DataError(f"The file has no content: {_EXPECTED}.", path=path)

    def rows() -> Iterator[Row]:
        return _rows(path, found.name, tuple(columns))

    return Table(tuple(columns), rows(), notes, rows)


def _rows(path: Path, encoding: str, columns: tuple[str, ...]) -> Iterator[Row]:
    for line, record in parse_objects(read_lines(path, encoding), path):
        yield line, [record.get(name) for name in columns]


def parse_objects(lines: Iterable[str], source: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and object of every line that is not blank; raise `DataError` as above."""
    for number, line in enumerate(lines, start=1):
        content = line.strip()
        if not content:
            continue
        try:
            record = json.loads(line, object_pairs_hook=_unique)
        except json.JSONDecodeError as error:
            hint = " This looks like one document over several lines." if content in "{[" else ""
            raise DataError(
                f"Invalid JSON at character {error.pos + 1}: {error.msg}; {_EXPECTED}.{hint}",
                path=source,
                line=number,
            ) from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"Cannot be read as JSON: {error}.", path=source, line=number) from None
        if not isinstance(record, dict):
            raise DataError(
                f"The line holds {_KINDS[type(record)]}; {_EXPECTED}.", path=source, line=number
            )
        if "\\ud" in content.lower():
            _refuse_surrogates(record, source, number)
        yield number, record


_KINDS = {
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{repeated}' occurs more than once in one object")
    return record


def _refuse_surrogates(record: dict[str, Any], source: str | Path, line: int) -> None:
    """Raise `DataError` when a string holds half of a surrogate pair, which no encoding can hold."""
    for name, value in record.items():
        try:
            json.dumps([name, value], ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            broken = error.object[error.start]
            raise DataError(
                f"The text holds \\u{ord(broken):04x}, half of a surrogate pair, which is not a "
                "character. Write the whole pair or remove it.",
                path=source,
                line=line,
                column=_printable(name),
            ) from None


def _printable(name: str) -> str:
    """Return a key that can be printed."""
    return name.encode("ascii", "backslashreplace").decode("ascii")
