r"""Copy the rows of a table into several files, in the table's own format.

Text tables and JSON lines are copied line by line, byte for byte: quotes, line ends, encoding and byte
order mark are kept. Letters: `N` rows, `F` files.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePath
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from multihot.core.files import flush_file, storage_errors
from multihot.core.options import DataOptions
from multihot.data.copy_workbook import copy_workbook
from multihot.data.readers.compression import open_unpacked
from multihot.data.readers.open_table import open_table, table_format
from multihot.data.readers.text_encoding import file_encoding, read_lines
from multihot.errors import DataError

__all__ = [
    "as_json_line",
    "byte_order_mark",
    "copy_rows",
    "open_new",
    "part_ending",
    "raw_lines",
]

BoolArray = npt.NDArray[np.bool_]
LineArray = npt.NDArray[np.int64]

_TEXT_FORMATS = ("csv", "tsv", "jsonl", "fasttext", "libmultilabel")
_PACKED_ENDINGS: dict[str | None, str] = {"gzip": ".gz"}
_BYTE_ORDER_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF8)
_BYTE_ORDER_MARKS_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def part_ending(path: str | Path, data: DataOptions) -> str:
    """Return the extension of the files that `copy_rows` writes: that of the table, or `.jsonl`.

    Parts of a gzip file are gzip files; those of other packed files are not packed.
    """
    kind = table_format(path, data)
    if kind.name == "parquet":
        return Path(path).suffix or ".parquet"
    if kind.name == "xlsx":
        return ".xlsx"
    if kind.name not in _TEXT_FORMATS:
        return ".jsonl"
    if (
        kind.name == "fasttext"
    ):  # a part may begin with rows without labels, so that its name says it
        return f".ft{_PACKED_ENDINGS.get(kind.packing, '')}"
    suffix = (
        PurePath(kind.unpacked).suffix or f".{'txt' if kind.name == 'libmultilabel' else kind.name}"
    )
    return suffix + _PACKED_ENDINGS.get(kind.packing, "")


def copy_rows(
    path: str | Path, data: DataOptions, lines: LineArray, wanted: Mapping[Path, BoolArray]
) -> list[str]:
    """Copy rows of a table into new files.

    Parameters
    ----------
    path, data
        The table, as `open_table` takes it.
    lines
        *Shape:* (N,), int64. The 1-based line or row number of every row.
    wanted
        For each of F files, which rows it gets. *Shape:* (N,), bool, each.

    Returns
    -------
    notes
        What could not be preserved.

    Raises
    ------
    DataError
        The table has changed since `lines` were read.
    StorageError, OSError
        A file cannot be written; `OSError` where it is not said which.
    """
    kind = table_format(path, data)
    if kind.name in _TEXT_FORMATS:
        _copy_lines(Path(path), data, lines, wanted, is_packed=kind.packing in _PACKED_ENDINGS)
        if kind.packing in (None, *_PACKED_ENDINGS):
            return []
        return [f"The parts are not packed, unlike {Path(path).name}."]
    if kind.name == "parquet":
        _copy_parquet(Path(path), wanted)
        return []
    if kind.name == "xlsx":
        return copy_workbook(Path(path), data, lines, wanted)
    _copy_as_json(path, data, wanted)
    return ["The parts are JSON lines, because rows of this format cannot be copied unchanged."]


def _copy_lines(
    path: Path,
    data: DataOptions,
    lines: LineArray,
    wanted: Mapping[Path, BoolArray],
    *,
    is_packed: bool,
) -> None:
    encoding = file_encoding(path, data.encoding).name
    mark = byte_order_mark(path, encoding)
    is_wanted = np.stack(list(wanted.values()), axis=1)  # (N, F)
    row, next_line = -1, int(lines[0])
    with ExitStack() as stack:
        files: list[BinaryIO] = []
        for target in wanted:
            with storage_errors(target):
                files.append(open_new(target, stack, is_packed=is_packed))
                files[-1].write(mark)
        targets = files  # every file gets the lines before the first row, such as a header
        contents = _read(raw_lines(path, encoding, mark), path)
        for number, content in enumerate(contents, start=1):
            if number == next_line:
                row += 1
                next_line = int(lines[row + 1]) if row + 1 < len(lines) else -1
                targets = [files[index] for index in np.flatnonzero(is_wanted[row])]
            for file in targets:
                file.write(content)
        if row != len(lines) - 1:
            raise DataError("The file changed while it was read. Start again.", path=path)
    for target in wanted:
        flush_file(target)


def _read(contents: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """Pass on what is read; `OSError`s beside it are about the files that are written."""
    try:
        yield from contents
    except OSError as error:
        raise DataError(
            f"The file cannot be read to its end: {error.strerror or error}.", path=path
        ) from None


def open_new(target: Path, stack: ExitStack, *, is_packed: bool) -> BinaryIO:
    """Open a new file; what is written is packed, always into the same bytes, if so asked."""
    file = stack.enter_context(target.open("xb"))
    if not is_packed:
        return file
    packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0)
    return cast("BinaryIO", stack.enter_context(packed))


def byte_order_mark(path: Path, encoding: str) -> bytes:
    """Return the byte order mark of a file, empty if it has none."""
    with open_unpacked(path) as handle:
        head = handle.read(4)
    marks = _BYTE_ORDER_MARKS_16 if encoding.startswith("utf-16") else _BYTE_ORDER_MARKS
    return next((mark for mark in marks if head.startswith(mark)), b"")


def raw_lines(path: Path, encoding: str, mark: bytes) -> Iterator[bytes]:
    """Yield the bytes of each line as `read_lines` counts them, without the byte order mark."""
    if encoding.startswith(("utf-16", "utf-32")):  # whose line ends are not single bytes
        codec = encoding
        if encoding in ("utf-16", "utf-32"):
            big = mark in (codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
            codec = f"{encoding}-{'be' if big else 'le'}"
        for number, line in enumerate(read_lines(path, encoding)):
            # A codec with its byte order in its name decodes the mark as a character.
            yield (line if number or not mark else line.removeprefix("\ufeff")).encode(codec)
        return
    with open_unpacked(path) as handle:
        handle.read(len(mark))
        for piece in handle:  # ends at a line feed; a carriage return alone ends a line as well
            yield from _LINE.findall(piece) if b"\r" in piece else (piece,)


def _copy_parquet(path: Path, wanted: Mapping[Path, BoolArray]) -> None:
    import pyarrow
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    with ExitStack() as stack:
        writers = {}
        for target in wanted:
            with storage_errors(target):
                writers[target] = stack.enter_context(
                    pyarrow.parquet.ParquetWriter(target, file.schema_arrow)
                )
        start = 0
        for batch in file.iter_batches():
            for target, rows in wanted.items():
                selected = rows[start : start + batch.num_rows]
                if selected.any():
                    with storage_errors(target):
                        writers[target].write_batch(batch.filter(pyarrow.array(selected)))
            start += batch.num_rows
    for target in wanted:
        flush_file(target)


def _copy_as_json(path: str | Path, data: DataOptions, wanted: Mapping[Path, BoolArray]) -> None:
    table = open_table(path, data)
    with ExitStack() as stack:
        files = []
        for target in wanted:
            with storage_errors(target):
                files.append(stack.enter_context(target.open("x", encoding="utf-8", newline="\n")))
        for row, (_, cells) in enumerate(table.rows):
            line = as_json_line(table.columns, cells)
            for file, rows in zip(files, wanted.values(), strict=True):
                if rows[row]:
                    with storage_errors(Path(file.name)):
                        file.write(line)
    for target in wanted:
        flush_file(target)


def as_json_line(columns: Sequence[str], cells: Sequence[Any]) -> str:
    """Return a row as a line of JSON lines."""
    record = dict(zip(columns, cells, strict=True))
    return json.dumps(record, ensure_ascii=False, default=str) + "\n"
