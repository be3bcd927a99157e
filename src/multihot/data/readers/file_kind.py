"""What a file is: by its first bytes, its ending and `data.format`, which must not contradict."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from multihot.core.options import DataOptions
from multihot.data.readers.compression import open_unpacked, packing_of, unpacked_name
from multihot.data.readers.office_files import archive_kind, ole_kind
from multihot.data.readers.text_encoding import assumed_encoding, decoded_pieces, split_lines
from multihot.data.readers.text_lines import LABEL_PREFIX, find_label_file
from multihot.errors import DataError, OptionError, UserError

__all__ = ["FORMATS", "FileFormat", "content_kind", "format_of"]

_HEAD_CHARACTERS = 1 << 16
_FIRST_PIECE_BYTES = 8192

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
    (b"\xd0\xcf\x11\xe0", "ole"),
    (b"{\\rtf", "an RTF document"),
    (b"ARROW1", "an Arrow file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
)
_TAR = (257, b"ustar")


def content_kind(path: Path, encoding: str | None = None) -> str:
    """Return `empty`, `text`, `jsonl`, `json`, `parquet`, `xlsx`, or words for what cannot be read.

    `text` is anything that could be a delimited table; `jsonl` begins with a JSON object in a line,
    `json` with a JSON array of objects or an object over several lines. A packed file is what it holds.
    """
    with open_unpacked(path) as handle:
        head = handle.read(4096)
    if not head:
        return "empty"
    for magic, kind in _MAGIC_NUMBERS:
        if head.startswith(magic):
            return _packed_kind(path, kind) if kind in ("ole", "zip") else kind
    if head[_TAR[0] :].startswith(_TAR[1]):
        return "a tar archive"
    beginning = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if beginning.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if beginning.startswith(b"<?xml"):
        return "an XML document"
    return _text_kind(_head_lines(path, encoding))


def _packed_kind(path: Path, kind: str) -> str:
    if kind == "ole":
        return ole_kind(path)
    if packing_of(path) is not None:
        return "a zip archive or a workbook"
    return archive_kind(path)


def _text_kind(lines: Sequence[str] | None) -> str:
    if lines is None:
        return "text"  # the reader says what is wrong with it
    if not lines:
        return "empty"
    first = lines[0]
    if first in ("[", "{") or re.match(r"\[\s*(\{|\]$)", first):
        return "json"
    return "jsonl" if re.match(r'\{\s*("|\}|$)|\[.*\]$', first) else "text"


def _head_lines(path: Path, encoding: str | None) -> list[str] | None:
    """Return the first lines with content, stripped; `None` when they cannot be decoded."""
    assumed = assumed_encoding(path, encoding).name
    try:
        return _content_lines(path, assumed)
    except UserError:
        try:
            # Only ASCII characters matter here; cp437 maps every byte, and none beyond them to a space
            # that begins a character of a Chinese encoding. Detection would read the whole file.
            return _content_lines(path, "cp437" if encoding is None else assumed)
        except UserError:
            return None


def _content_lines(path: Path, encoding: str) -> list[str]:
    head = ""
    for piece in decoded_pieces(path, encoding, block_bytes=_FIRST_PIECE_BYTES):
        head = (head + piece).lstrip()
        if len(head) >= _HEAD_CHARACTERS or "\n" in head:
            head = (
                head[: head.rfind("\n")] if "\n" in head else head
            )  # the last line may be cut off
            break
    return [line.strip() for line in split_lines(head) if line.strip()]


FORMATS = (
    "auto",
    "csv",
    "tsv",
    "jsonl",
    "json",
    "fasttext",
    "libmultilabel",
    "lines",
    "folder",
    "parquet",
    "xlsx",
    "dataset",
)
"""What `data.format` may be."""

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".ft": "fasttext",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}
_CONTENTS = {
    "csv": ("text",),
    "tsv": ("text",),
    "json": ("json", "jsonl"),
    "fasttext": ("text", "json", "jsonl"),
    "libmultilabel": ("text", "json", "jsonl"),
    "lines": ("text", "json", "jsonl"),
}
"""What a file of a format may look like, where that is not the format itself."""

_DESCRIPTIONS = {
    "text": "delimited text (CSV or TSV)",
    "jsonl": "JSON lines",
    "json": "a JSON document",
    "parquet": "a Parquet file",
    "xlsx": "an Excel workbook",
}
_PACKINGS = {"gzip": "gzip", "zstd": "Zstandard", "zip": "a zip archive"}


@dataclass(frozen=True)
class FileFormat:
    """What a file is.

    Attributes
    ----------
    name
        One of `FORMATS`.
    unpacked
        The name of the file, without its packing.
    packing
        `gzip`, `zstd`, `zip` or `None`.
    is_said
        Whether the ending or `data.format` says it.
    notes
        What was recognised.
    """

    name: str
    unpacked: str
    packing: str | None
    is_said: bool
    notes: tuple[str, ...]

    @property
    def usual_delimiter(self) -> str | None:
        """The delimiter that `data.format` or the ending promises."""
        return {"csv": ",", "tsv": "\t"}.get(self.name) if self.is_said else None


def format_of(file: Path, data: DataOptions) -> FileFormat:
    """Return the format of a file.

    Raises
    ------
    DataError
        Its content contradicts its ending or `data.format`, or cannot be read.
    OptionError
        `data.label_file` does not go with `data.format`.
    """
    packing = packing_of(file)
    name = PurePath(unpacked_name(file, packing))
    notes = () if packing is None else (f"Unpacked from {_PACKINGS[packing]}: {name}.",)
    said = data.format if data.format != "auto" else _ENDINGS.get(name.suffix.lower())
    found = content_kind(file, data.encoding)
    if found == "empty":
        raise DataError("The file is empty: expected a table of texts.", path=file)
    if found not in _DESCRIPTIONS:
        raise DataError(
            f"This looks like {found}, which cannot be read. Convert or unpack it to CSV, JSON lines, "
            "Parquet or .xlsx.",
            path=file,
        )
    if packing is not None and found in ("parquet", "xlsx"):
        raise DataError(
            f"This is {_DESCRIPTIONS[found]} packed with {_PACKINGS[packing]}. Unpack it first.",
            path=file,
        )
    if data.label_file is not None and _is_lines(file, data.label_file, said, name, found):
        said = "lines"
    if said is None:
        kind, why = _recognised(file, data, name, found)
        return FileFormat(kind, name.name, packing, is_said=False, notes=(*notes, *why))
    if found not in _CONTENTS.get(said, (said,)):
        source = f"data.format={said}" if data.format != "auto" else f"the ending {name.suffix}"
        should = _DESCRIPTIONS[_CONTENTS.get(said, (said,))[0]]
        right = "csv" if found == "text" else found
        raise DataError(
            f"By {source} this should be {should}, but it looks like "
            f"{_DESCRIPTIONS[found]}. Rename it, or set data.format={right}.",
            path=file,
        )
    return FileFormat(said, name.name, packing, is_said=True, notes=notes)


def _is_lines(file: Path, label_file: str, said: str | None, name: PurePath, found: str) -> bool:
    """Whether a file is one of texts that `data.label_file` belongs to.

    Where that holds a `*`, other files, such as later ones, may have other formats.
    """
    said = said or ("json" if name.suffix.lower() == ".json" else None)
    if "*" in label_file:
        has_labels = find_label_file(file, label_file) is not None
        return said in (None, "lines") and (has_labels or found == "text")
    if said not in (None, "lines"):
        raise OptionError(
            f"data.label_file={label_file} goes with a file of one text a line, but {file} is read as "
            f"{said}. Leave it out, or set data.format=lines."
        )
    return True


def _recognised(
    file: Path, data: DataOptions, name: PurePath, found: str
) -> tuple[str, tuple[str, ...]]:
    """Return the format of a file whose name says none, and notes."""
    lines = _head_lines(file, data.encoding) or []
    if found == "jsonl" and name.suffix.lower() == ".json":
        if len(lines) == 1 and not _is_plain_object(lines[0]):
            return "json", ()
        return "jsonl", ("The file holds JSON lines: one object a line.",)
    if found == "text" and lines and lines[0].startswith(LABEL_PREFIX):
        if all(line.startswith(LABEL_PREFIX) for line in lines):
            return "fasttext", ()
        raise DataError(
            f"The first line begins with {LABEL_PREFIX}, as in a fastText file, but others do not. Set "
            "data.format=fasttext if rows without labels are among them, data.format=csv if this is a table.",
            path=file,
        )
    return ("csv" if found == "text" else found), ()


def _is_plain_object(line: str) -> bool:
    """Whether a line is a JSON object none of whose values is a list or an object."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and not any(
        isinstance(value, (dict, list)) for value in record.values()
    )
