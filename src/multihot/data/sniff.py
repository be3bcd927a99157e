"""Say what a file really is, from its first bytes, whatever its name ends with."""

from __future__ import annotations

import codecs
import re
import zipfile
from pathlib import Path

from multihot.data.encoding import file_encoding, read_lines
from multihot.errors import UserError

__all__ = ["content_kind"]

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
        lines = read_lines(path, file_encoding(path, encoding).name)
        first = next((line.strip() for line in lines if line.strip()), "")
    except UserError:
        return "text"  # the reader says what is wrong with it
    if not first:
        return "empty"
    if first == "[" or re.match(r"\[\s*\{", first):
        return "one JSON document, not JSON lines"
    return "jsonl" if re.match(r'\{\s*("|\}|$)|\[.*\]$', first) else "text"
