"""Read JSON lines strictly: one object a line, no repeated key, no text that UTF-8 cannot hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

from multihot.core.files import unique_keys
from multihot.data.readers.table import BATCH_ROWS, CellBatch, Table
from multihot.data.readers.text_encoding import (
    BLOCK_BYTES,
    Encoding,
    detect_encoding,
    read_lines,
)
from multihot.errors import DataError

__all__ = [
    "Objects",
    "checked_characters",
    "decode_object",
    "kind_of_value",
    "pair_advice",
    "parse_objects",
    "read_jsonlines",
    "reason_of",
    "table_of_objects",
]

Objects = Iterator[tuple[int, dict[str, Any]]]
"""Line number and object of every row."""

_BATCH_CELLS = 1 << 22
_JSON_SPACE = " \t\r\n"
_EXPECTED = (
    'one JSON object a line was expected, such as {"id": "1", "text": "...", "labels": ["joy"]}'
)


def read_jsonlines(
    path: Path,
    *,
    encoding: Encoding | None = None,
    is_provisional: bool = False,
    batch_rows: int = BATCH_ROWS,
    block_bytes: int = BLOCK_BYTES,
) -> Table:
    """Open a file of JSON lines.

    The columns are all keys of all lines, in order of appearance; a key that a line lacks is
    `None` there, like `null`.

    Parameters
    ----------
    encoding
        Character encoding; detected without it.
    is_provisional
        Take the columns from the first rows instead of reading the whole file for them beforehand.
        A key that appears later is an error, raised when it is reached.
    batch_rows, block_bytes
        How many rows and bytes are read at once.

    Raises
    ------
    DataError
        A line is not one JSON object, repeats a key or holds half a surrogate pair.
    """
    encoding = encoding or detect_encoding(path)
    codec = encoding.name

    def objects() -> Objects:
        return parse_objects(read_lines(path, codec, block_bytes=block_bytes), path)

    notes = [encoding.note] if encoding.note else []
    return table_of_objects(
        objects, path, notes, is_provisional=is_provisional, batch_rows=batch_rows
    )


def table_of_objects(
    objects: Callable[[], Objects],
    path: Path,
    notes: list[str],
    *,
    is_provisional: bool,
    batch_rows: int = BATCH_ROWS,
) -> Table:
    """Return a table of objects, which `objects` reads from the first on at every call.

    See `read_jsonlines`.
    """

    def records() -> Iterator[list[tuple[int, dict[str, Any]]]]:
        found = objects()
        while window := list(islice(found, batch_rows)):
            yield window

    windows = records()
    first = next(windows, [])
    keys: dict[str, None] = {}
    for window in [first] if is_provisional else chain([first], windows):
        for _, record in window:
            if not keys.keys() >= record.keys():
                keys.update(dict.fromkeys(record))
    if not keys:
        raise DataError(f"The file has no content: {_EXPECTED}.", path=path)
    columns = tuple(keys)

    def batches() -> Iterator[CellBatch]:
        return _batches(records(), columns)

    if not is_provisional:
        return Table(columns, batches(), notes, batches)
    checked = map(partial(_with_known_keys, keys=keys, path=path), chain([first], windows))
    return Table(
        columns,
        _batches(checked, columns),
        notes,
        batches,
        is_provisional=True,
    )


def _batches(
    windows: Iterable[Sequence[tuple[int, dict[str, Any]]]], columns: Sequence[str]
) -> Iterator[CellBatch]:
    """Yield the rows of windows as columns, fewer rows at once where there are very many columns."""
    step = max(1, _BATCH_CELLS // len(columns))
    for window in windows:
        for start in range(0, len(window), step):
            yield _batch(window[start : start + step], columns)


def _batch(window: Sequence[tuple[int, dict[str, Any]]], columns: Sequence[str]) -> CellBatch:
    records = [record for _, record in window]
    return CellBatch(
        [line for line, _ in window],
        [[record.get(name) for record in records] for name in columns],
    )


def _with_known_keys(
    window: list[tuple[int, dict[str, Any]]], *, keys: Mapping[str, None], path: Path
) -> list[tuple[int, dict[str, Any]]]:
    for line, record in window:
        if not keys.keys() >= record.keys():
            raise DataError("A key appears after the first rows.", path=path, line=line)
    return window


_strict = json.JSONDecoder(object_pairs_hook=unique_keys)
_decode = _strict.decode
decode_object = _strict.raw_decode
"""Decode the JSON value that begins at a place of a text; return it with the place behind it."""

_decode_beginning = json.JSONDecoder().raw_decode


def parse_objects(lines: Iterable[str], source: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and object of every line that is not blank; raise `DataError` as above."""
    for number, line in enumerate(lines, start=1):
        record = _plain_object(line)
        if record is None:
            content = line.strip()
            if not content:
                continue
            record = _strict_object(line, content, source, number)
        if "\\" in line and "\\ud" in line.lower():
            checked_characters(record, source, number)
        yield number, record


def _plain_object(line: str) -> dict[str, Any] | None:
    """Return the object of a line that cannot repeat a key; `None` where that takes a closer look.

    Every key is followed by a colon, so a line with as many colons as keys repeats none.
    """
    if line[:1] != "{":
        return None
    try:
        record, end = _decode_beginning(line)
    except (ValueError, RecursionError):
        return None
    if line.count(":") != len(record) or line[end:].strip(_JSON_SPACE):
        return None
    return cast("dict[str, Any]", record)


def _strict_object(line: str, content: str, source: str | Path, number: int) -> dict[str, Any]:
    try:
        record = _decode(line)
    except json.JSONDecodeError as error:
        hint = " This looks like one document over several lines." if content in "{[" else ""
        raise DataError(
            f"Invalid JSON at character {error.pos + 1}: {error.msg}; {_EXPECTED}.{hint}",
            path=source,
            line=number,
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"Cannot be read as JSON: {reason_of(error)}.", path=source, line=number
        ) from None
    if not isinstance(record, dict):
        raise DataError(
            f"The line holds {kind_of_value(record)}; {_EXPECTED}.{pair_advice(record)}",
            path=source,
            line=number,
        )
    return record


def pair_advice(value: Any) -> str:
    """Say how to write a pair of a text and its labels as an object; empty for anything else."""
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str):
        return ""
    if isinstance(value[1], dict):
        return (
            ' This is a pair of a text and its annotations, as spaCy had them: write {"text": text, '
            "**annotations} for each."
        )
    return ' This looks like a pair of a text and its labels: write {"text": ..., "labels": ...} for each.'


def reason_of(error: ValueError | RecursionError) -> str:
    """Return why a JSON value cannot be read that is written rightly."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "a number has too many digits" if "integer string" in str(error) else str(error)


def kind_of_value(value: Any) -> str:
    """Return words for what a JSON value is."""
    return _KINDS[type(value)]


_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def checked_characters(record: dict[str, Any], source: str | Path, line: int) -> None:
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
