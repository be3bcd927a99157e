"""Choose the reader for a file: by its ending or `data.format`, checked against its first bytes."""

from __future__ import annotations

import codecs
import difflib
import os
import re
import zipfile
from pathlib import Path

from multihot.core.options import DataOptions
from multihot.data.readers import delimited, huggingface
from multihot.data.readers import jsonl as jsonlines
from multihot.data.readers.excel import read_workbook
from multihot.data.readers.parquet_excel import read_parquet
from multihot.data.readers.table import BATCH_ROWS, Table
from multihot.data.readers.text_encoding import (
    BLOCK_BYTES,
    assumed_encoding,
    file_encoding,
    read_lines,
)
from multihot.errors import DataError, OptionError, UserError

__all__ = ["FORMATS", "content_kind", "file_format", "open_table"]

_FIRST_BLOCK_BYTES = 8192

_MAGIC_NUMBERS = (
    (b"PAR1", "parquet"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF document"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file (.xls, .doc)"),
    (b"{\\rtf", "an RTF document"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
)


def content_kind(path: Path, encoding: str | None = None) -> str:
    """Return `empty`, `text`, `jsonl`, `parquet`, `xlsx`, or words for what cannot be read.

    `text` is anything that could be a delimited table; `jsonl` begins with a JSON object or list.
    """
    with path.open("rb") as handle:
        head = handle.read(4096)
    if not head:
        return "empty"
    for magic, kind in _MAGIC_NUMBERS:
        if head.startswith(magic):
            return _zip_kind(path) if kind == "zip" else kind
    beginning = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if beginning.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if beginning.startswith(b"<?xml"):
        return "an XML document"
    return _text_kind(path, encoding)


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return "a damaged zip archive or workbook"
    if "xl/workbook.xml" in names:
        return "xlsx"
    if "word/document.xml" in names:
        return "a Word document"
    return "a zip archive"


def _text_kind(path: Path, encoding: str | None) -> str:
    try:
        first = _first_content(path, assumed_encoding(path, encoding).name)
    except UserError:
        try:
            # Only ASCII characters matter here; cp437 maps every byte, and none beyond them to a space
            # that begins a character of a Chinese encoding. Detection would read the whole file.
            first = _first_content(path, "cp437" if encoding is None else encoding)
        except UserError:
            return "text"  # the reader says what is wrong with it
    if not first:
        return "empty"
    if first == "[" or re.match(r"\[\s*\{", first):
        return "one JSON document, not JSON lines"
    return "jsonl" if re.match(r'\{\s*("|\}|$)|\[.*\]$', first) else "text"


def _first_content(path: Path, encoding: str) -> str:
    lines = read_lines(path, encoding, block_bytes=_FIRST_BLOCK_BYTES)
    return next((line.strip() for line in lines if line.strip()), "")


FORMATS = ("auto", "csv", "tsv", "jsonl", "parquet", "xlsx", "dataset")
"""What `data.format` may be."""

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}
_CONTENTS = {"csv": "text", "tsv": "text"}
_DESCRIPTIONS = {
    "text": "delimited text (CSV or TSV)",
    "jsonl": "JSON lines",
    "parquet": "a Parquet file",
    "xlsx": "an Excel workbook",
}


def open_table(
    path: str | Path,
    data: DataOptions,
    *,
    is_provisional: bool = False,
    batch_rows: int = BATCH_ROWS,
    block_bytes: int = BLOCK_BYTES,
) -> Table:
    """Open a file, folder or hub data set of texts.

    Parameters
    ----------
    is_provisional
        Take encoding and columns of a text file from its beginning, instead of reading the whole
        file for them beforehand; see `Table.is_provisional`.
    batch_rows, block_bytes
        How many rows and bytes of a text file are read at once.

    Raises
    ------
    DataError
        It does not exist, is a pipe, is empty, or is not what its ending or `data.format` says.
    OptionError
        `data.format` is unknown.
    MissingExtraError
        The package that reads this format is not installed.
    """
    if data.format not in FORMATS:
        raise OptionError(f"data.format={data.format} is unknown. Known: {', '.join(FORMATS)}.")
    file = Path(path)
    try:
        if data.format == "dataset" or huggingface.is_saved_dataset(file):
            return huggingface.read_dataset(str(path), data.split)
        if file.is_dir():
            raise DataError(
                "This is a folder. Name a file in it; a folder of data files as Hugging Face datasets "
                "reads it needs data.format=dataset.",
                path=path,
            )
        if not file.exists():
            raise _missing(file)
        if not file.is_file():
            raise DataError(
                "This is a pipe or a device; a file is expected, since it is read more than once. "
                "Save the rows in a file first, or, to predict, send them to --input -.",
                path=path,
            )
        kind = _format_of(file, data)
        if kind == "parquet":
            return read_parquet(file)
        if kind == "xlsx":
            return read_workbook(file, sheet=data.sheet, header=data.header)
        find_encoding = assumed_encoding if is_provisional else file_encoding
        encoding = find_encoding(file, data.encoding)
        if kind == "jsonl":
            return jsonlines.read_jsonlines(
                file,
                encoding=encoding,
                is_provisional=is_provisional,
                batch_rows=batch_rows,
                block_bytes=block_bytes,
            )
        return delimited.read_delimited(
            file,
            delimiter=data.delimiter,
            quoting=data.quoting,
            header=data.header,
            encoding=encoding,
            usual=_usual_delimiter(file, data),
            is_provisional=is_provisional,
            batch_rows=batch_rows,
            block_bytes=block_bytes,
        )
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror or error}.", path=path) from None


def file_format(path: str | Path, data: DataOptions) -> str:
    """Return which format of `FORMATS` a table that `open_table` opens has."""
    file = Path(path)
    if data.format == "dataset" or huggingface.is_saved_dataset(file):
        return "dataset"
    return _format_of(file, data)


def _missing(file: Path) -> DataError:
    folder = file.parent
    names = os.listdir(folder) if folder.is_dir() else []
    near = difflib.get_close_matches(file.name, names, n=1)
    if near:
        advice = f" Did you mean {folder / near[0]}?"
    elif not folder.is_dir():
        advice = f" The folder {folder} does not exist either."
    else:
        advice = " A data set on the Hugging Face hub is read with data.format=dataset."
    return DataError(f"There is no such file.{advice}", path=file)


def _format_of(file: Path, data: DataOptions) -> str:
    """Return the format of a file; raise `DataError` when its content contradicts it."""
    said = data.format if data.format != "auto" else _ENDINGS.get(file.suffix.lower())
    found = content_kind(file, data.encoding)
    if found == "empty":
        raise DataError("The file is empty: expected a table of texts.", path=file)
    if found not in _DESCRIPTIONS:
        raise DataError(
            f"This looks like {found}, which cannot be read. Convert or unpack it to CSV, JSON lines, "
            "Parquet or .xlsx.",
            path=file,
        )
    if said is None:
        return "csv" if found == "text" else found
    if _CONTENTS.get(said, said) != found:
        source = f"data.format={said}" if data.format != "auto" else f"the ending {file.suffix}"
        right = "csv" if found == "text" else found
        raise DataError(
            f"By {source} this should be {_DESCRIPTIONS[_CONTENTS.get(said, said)]}, but it looks like "
            f"{_DESCRIPTIONS[found]}. Rename it, or set data.format={right}.",
            path=file,
        )
    return said


def _usual_delimiter(file: Path, data: DataOptions) -> str | None:
    """Return the delimiter that `data.format` or the ending promises."""
    said = data.format if data.format != "auto" else _ENDINGS.get(file.suffix.lower())
    return {"csv": ",", "tsv": "\t"}.get(said or "")
