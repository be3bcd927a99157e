"""Open files as bytes, unpacking gzip and Zstandard, which their first bytes tell."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from multihot.errors import DataError, MissingExtraError

__all__ = ["SUFFIXES", "compression_of", "open_bytes"]

SUFFIXES = {"gzip": (".gz",), "zstd": (".zst", ".zstd")}
"""How names of compressed files end, by compression."""

_FIRST_BYTES = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_CHUNK_BYTES = 1 << 18


def compression_of(path: Path) -> str | None:
    """Return `gzip`, `zstd` or `None` by the first bytes of a file; its name does not count."""
    try:
        with path.open("rb") as handle:
            head = handle.read(4)
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror}.", path=path) from None
    return next((name for name, sign in _FIRST_BYTES.items() if head.startswith(sign)), None)


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
