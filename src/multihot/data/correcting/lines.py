"""Lines of text and JSON lines, copied byte for byte but for the label cells that change."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from multihot.core.files import storage_errors
from multihot.data.copy_rows import byte_order_mark, open_new, raw_lines
from multihot.data.correcting.source import CorrectedFile, label_paths, label_places, label_rows
from multihot.data.correcting.text import (
    edited_fasttext,
    edited_json,
    edited_libmultilabel,
    edited_record,
)
from multihot.data.readers.open_table import table_format
from multihot.data.readers.text_encoding import file_encoding
from multihot.errors import DataError

__all__ = ["write_lines"]


def write_lines(source: CorrectedFile, target: Path) -> list[str]:
    """Copy lines of text byte by byte, but for the rows that change."""
    kind = table_format(source.path, source.data)
    encoding = file_encoding(source.path, source.data.encoding).name
    mark = byte_order_mark(source.path, encoding)
    codec = encoding
    if encoding in ("utf-16", "utf-32"):
        codec = f"{encoding}-{'be' if mark in _BIG_ENDIAN else 'le'}"
    elif encoding == "utf-8-sig":
        codec = "utf-8"
    edit = _EDITS.get(kind.name, _edit_record)
    starts: list[int] = []
    wanted: dict[int, tuple[int, dict[str, Any]]] = {}
    for number, line, cells in label_rows(source):
        starts.append(line)
        if number in source.changes:
            wanted[number] = line, cells
    with ExitStack() as stack:
        with storage_errors(target):
            output = open_new(target, stack, is_packed=kind.packing == "gzip")
            output.write(mark)
        row, held = -1, b""

        def flush() -> None:
            content = held
            if row in wanted:
                line, cells = wanted[row]
                with source.writable(row):
                    new = source.edited(row, line, cells)
                    content = edit(source, held.decode(codec), new).encode(codec)
            with storage_errors(target):
                output.write(content)

        for number, raw in enumerate(raw_lines(source.path, encoding, mark), start=1):
            if row + 1 < len(starts) and number == starts[row + 1]:
                flush()
                row, held = row + 1, b""
            held += raw
        flush()
    if row != len(starts) - 1:
        raise DataError("The file changed while it was read. Start again.", path=source.path)
    return []


_BIG_ENDIAN = (b"\xfe\xff", b"\x00\x00\xfe\xff")


def _edit_record(source: CorrectedFile, record: str, new: Mapping[str, Any]) -> str:
    assert source.delimiter is not None
    quoting = source.data.quoting
    quoted = source.delimiter != "\t" if quoting is None else quoting
    places = label_places(source)
    cells = {places[name]: str(cell) for name, cell in new.items()}
    return edited_record(record, source.delimiter, cells, quoted=quoted)


def _edit_json(source: CorrectedFile, line: str, new: Mapping[str, Any]) -> str:
    paths = label_paths(source)
    return edited_json(line, {paths[name]: cell for name, cell in new.items()})


def _edit_fasttext(source: CorrectedFile, line: str, new: Mapping[str, Any]) -> str:
    [labels] = new.values()
    return edited_fasttext(line, labels)


def _edit_libmultilabel(source: CorrectedFile, line: str, new: Mapping[str, Any]) -> str:
    [labels] = new.values()
    return edited_libmultilabel(line, labels)


_EDITS = {"jsonl": _edit_json, "fasttext": _edit_fasttext, "libmultilabel": _edit_libmultilabel}
