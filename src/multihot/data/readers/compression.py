"""Open files as bytes, unpacking gzip, Zstandard and zip, which their first bytes tell."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from multihot.core.text_tables import cut, listed
from multihot.errors import DataError, MissingExtraError

__all__ = [
    "SUFFIXES",
    "compression_of",
    "open_bytes",
    "open_unpacked",
    "packing_of",
    "unpacked_name",
]

SUFFIXES = {"gzip": (".gz",), "zstd": (".zst", ".zstd")}
"""How names of compressed files end, by compression."""

_FIRST_BYTES = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_ZIP_FIRST_BYTES = (b"PK\x03\x04", b"PK\x05\x06")
_CHUNK_BYTES = 1 << 18
_OFFICE_PARTS = {
    "xl/workbook.xml",
    "xl/workbook.bin",
    "word/document.xml",
    "ppt/presentation.xml",
    "mimetype",  # of OpenDocument
}
# What zipfile raises for damaged directories.
_ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, ValueError, IndexError, struct.error)


def compression_of(path: Path) -> str | None:
    """Return what `packing_of` returns; a file that cannot be opened is a `DataError`."""
    try:
        return packing_of(path)
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror}.", path=path) from None


@contextmanager
def open_bytes(path: Path, compression: str | None) -> Iterator[BinaryIO]:
    """Yield the unpacked bytes of a file as a stream; memory stays constant.

    Several compressed streams one after the other in one file count as one.

    Raises
    ------
    DataError
        The file is damaged or cut off, also while the stream is read inside the block.
    MissingExtraError
        The file is Zstandard and pyarrow is not installed.
    """
    if compression == "zip":
        with _zip_member(path) as handle:
            yield handle
        return
    try:
        with _opened(path, compression) as handle:
            yield handle
    except (OSError, EOFError, zlib.error) as error:
        kind = "file" if compression is None else f"{compression} file"
        raise DataError(
            f"The {kind} is damaged or cut off: {error}. Copy or download it again.", path=path
        ) from None


def _opened(path: Path, compression: str | None) -> BinaryIO:
    if compression == "gzip":
        return cast("BinaryIO", io.BufferedReader(gzip.open(path, "rb"), _CHUNK_BYTES))
    if compression == "zstd":
        try:
            from pyarrow import CompressedInputStream, OSFile
        except ImportError:
            raise MissingExtraError("pyarrow", "pretrain", "Reading Zstandard files") from None
        stream = CompressedInputStream(OSFile(str(path)), "zstd")
        return cast("BinaryIO", io.BufferedReader(stream, _CHUNK_BYTES))
    return path.open("rb", buffering=_CHUNK_BYTES)


def packing_of(path: Path) -> str | None:
    """Return `gzip`, `zstd`, `zip`, or `None` for a file that is not packed (a workbook is not).

    Raises `OSError` when the file cannot be opened.
    """
    with path.open("rb") as handle:
        return _packing(handle.read(4), path)


def _packing(head: bytes, path: Path) -> str | None:
    if head in _ZIP_FIRST_BYTES:
        names = _zip_names(path)
        return None if names is None or names & _OFFICE_PARTS else "zip"
    return next((name for name, sign in _FIRST_BYTES.items() if head.startswith(sign)), None)


@contextmanager
def open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """Yield the bytes of a file, unpacked when it is packed; memory stays constant.

    Raises `OSError` for a file that cannot be opened, and what `open_bytes` raises for a packed one.
    """
    with path.open("rb") as handle:
        packing = _packing(handle.read(4), path)
        if packing is None:
            handle.seek(0)
            yield handle
            return
    with open_bytes(path, packing) as handle:
        yield handle


def unpacked_name(path: Path, packing: str | None) -> str:
    """Return the name of a file without its packing: `train.csv` for `train.csv.gz`.

    For a zip archive it is that of its only member.
    """
    if packing is None:
        return path.name
    if packing == "zip":
        with _opened_zip(path) as archive:
            return PurePosixPath(_only_member(archive, path).filename).name
    is_ending = path.suffix.lower() in SUFFIXES[packing]
    return path.name[: -len(path.suffix)] if is_ending else path.name


def _zip_names(path: Path) -> set[str] | None:
    """Return the names in a zip archive; `None` when it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    except _ZIP_ERRORS:
        return None


@contextmanager
def _opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (*_ZIP_ERRORS, OSError) as error:
        raise _zip_error(path, error) from None
    try:
        with archive:
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, zlib.error) as error:
        raise _zip_error(path, error) from None


def _zip_error(path: Path, error: Exception) -> DataError:
    return DataError(
        f"The zip archive is damaged or cut off: {error}. Copy or download it again.", path=path
    )


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """Return the member of an archive, without what macOS adds to archives."""
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not member.filename.startswith("__MACOSX/")
        and PurePosixPath(member.filename).name != ".DS_Store"
    ]
    if len(members) != 1:
        held = listed([member.filename for member in members], most=8) if members else "nothing"
        raise DataError(
            f"A zip archive with exactly one file was expected; this one has {len(members)}: {held}. "
            "Unpack it and name one of them.",
            path=path,
        )
    (member,) = members
    if member.flag_bits & 1:
        raise DataError(
            f"{cut(member.filename)} in this zip archive is encrypted. Unpack it with its password first.",
            path=path,
        )
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            f"{cut(member.filename)} in this zip archive is packed by a method that cannot be read here. "
            "Unpack it first.",
            path=path,
        )
    return member


@contextmanager
def _zip_member(path: Path) -> Iterator[BinaryIO]:
    with _opened_zip(path) as archive, archive.open(_only_member(archive, path)) as member:
        yield cast("BinaryIO", io.BufferedReader(member, _CHUNK_BYTES))
