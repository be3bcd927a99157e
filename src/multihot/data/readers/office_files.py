"""Tell the files of office programs apart, as far as their readers and error messages need it."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

__all__ = ["archive_kind", "ole_kind"]

_PARTS = (
    ("xl/workbook.xml", "xlsx"),
    ("xl/workbook.bin", "a binary Excel workbook (.xlsb)"),
    ("word/document.xml", "a Word document"),
    ("ppt/presentation.xml", "a PowerPoint presentation"),
)
_MIME_TYPE = "mimetype"  # the first member of an OpenDocument file
_MAX_MIME_TYPE = 100
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_DIRECTORY_BYTES = 4096


def archive_kind(path: Path) -> str:
    """Return `xlsx`, or in words what a zip archive is."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            for part, kind in _PARTS:
                if part in names:
                    return kind
            if _MIME_TYPE in names:
                with archive.open(_MIME_TYPE) as member:
                    if b"opendocument.spreadsheet" in member.read(_MAX_MIME_TYPE):
                        return "an OpenDocument spreadsheet (.ods)"
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        EOFError,
        zlib.error,
    ):
        return "a damaged zip archive or workbook"
    return "a zip archive"


def ole_kind(path: Path) -> str:
    """Return in words what a file is that begins like an old file of Microsoft Office."""
    with path.open("rb") as handle:
        head = handle.read(52)
        try:
            (shift,) = struct.unpack_from("<H", head, 30)
            (sector,) = struct.unpack_from("<I", head, 48)  # the first one of the directory
            handle.seek((sector + 1) << min(shift, 16))
            directory = handle.read(_DIRECTORY_BYTES)
        except (struct.error, OSError):
            directory = b""
    if _ENCRYPTED in directory:
        return "a workbook or document protected by a password (save it without one, in Excel under File, Info)"
    return "an old Excel or Word file (.xls, .doc)"
