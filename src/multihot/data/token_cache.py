"""Tokens and labels of a file, made once and kept in mapped files that later runs open again.

FOLDER/KEY/ids.bin offsets.bin truncated.bin codes.bin hashes.bin lines.bin
           weights.bin groups.bin   where rows have them
           meta.json   written last: the key in full, and type, shape and SHA-256 of each array

An entry appears by one rename. What does not verify is as good as absent and made anew; builders of
one entry work in folders of their own, and the first to rename wins.

Letters: `N` rows, `T` tokens of all rows together, `L` labels.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from multihot.data.cache_folder import META, STAGE, remove, remove_old
from multihot.data.mapped_arrays import map_array
from multihot.data.tokens import TokenizedTexts
from multihot.errors import StorageError
from multihot.files import flush_folder, read_json, sha256_of, storage_errors, write_json

__all__ = [
    "EncodedRows",
    "entry_of",
    "find_rows",
    "hold_rows",
    "store_rows",
]

_FORMAT = 1  # raise it whenever the content of the arrays changes for the same key
_ATTEMPTS = 5  # to put an entry in its place while others do the same
_TYPES = {"truncated": "|b1", "hashes": "<u8", "lines": "<i8", "offsets": "<i8"}
_OPTIONAL_TYPES = {"weights": "<f4", "groups": "<u8"}

AnyArray = npt.NDArray[Any]


@dataclass(frozen=True)
class EncodedRows:
    """What training needs of N rows, without their texts.

    Attributes
    ----------
    tokens
        Token ids of each row.
    codes
        *Shape:* (N, L). uint8: 0 = has it not, 1 = has the label, 2 = unknown. Of soft labels
        float32: the values themselves, NaN = unknown.
    hashes
        *Shape:* (N,), uint64. Hash of text and labels of each row.
    lines
        *Shape:* (N,), int64. 1-based line of each row in its file.
    weights
        *Shape:* (N,), float32. What each row counts in training; `None` = 1 each.
    groups
        *Shape:* (N,), uint64. Hash of what keeps rows on one side of a split; `None` = nothing does.
    """

    tokens: TokenizedTexts
    codes: npt.NDArray[np.uint8] | npt.NDArray[np.float32]
    hashes: npt.NDArray[np.uint64]
    lines: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32] | None = None
    groups: npt.NDArray[np.uint64] | None = None


def entry_of(folder: Path, key: str) -> Path:
    """Return the folder of the entry whose key, a text that tells all it depends on, is `key`."""
    return folder / hashlib.sha256(f"{_FORMAT} {key}".encode()).hexdigest()[:32]


def find_rows(folder: Path, key: str) -> EncodedRows | None:
    """Open an entry; `None` when there is none, or when a byte of it is not what was written."""
    entry = entry_of(folder, key)
    try:
        meta = read_json(entry / META)
        if meta["format"] != _FORMAT or meta["key"] != key:
            return None
        for name, array in meta["arrays"].items():
            if sha256_of(entry / f"{name}.bin") != array["sha256"]:
                return None
        rows = _mapped(entry, meta["arrays"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    with contextlib.suppress(OSError):
        os.utime(entry / META)  # what is in use does not grow old
    return rows


def hold_rows(chunks: Iterable[EncodedRows]) -> EncodedRows:
    """Join chunks in memory."""
    pieces: dict[str, list[AnyArray]] = {}
    for arrays in _arrays(chunks):
        for name, array in arrays.items():
            pieces.setdefault(name, []).append(array)
    return _rows({name: np.concatenate(found) for name, found in pieces.items()})


def store_rows(folder: Path, key: str, chunks: Iterable[EncodedRows]) -> EncodedRows:
    """Write an entry chunk by chunk and open it; memory does not grow with the number of chunks.

    There must be at least one chunk. Raises `StorageError` when the entry cannot be written; what
    `chunks` raises passes through. In both cases nothing is left behind.
    """
    entry = entry_of(folder, key)
    stage = folder / f"{STAGE}{entry.name}-{os.getpid()}-{secrets.token_hex(4)}"
    with storage_errors(folder):
        stage.mkdir(parents=True)
    try:
        remove_old(folder)
        arrays = _write_arrays(stage, chunks)
        with storage_errors(stage):
            write_json(stage / META, {"format": _FORMAT, "key": key, "arrays": arrays})
            flush_folder(stage)
        if (others := _publish(stage, entry, key)) is not None:
            return others
        return _mapped(entry, arrays)
    finally:
        remove(stage)


class _Column:
    """One array that is being written: bytes go to the disk and into the hash."""

    def __init__(self, path: Path, first: AnyArray) -> None:
        self.path = path
        self.dtype = first.dtype.str
        self.tail = first.shape[1:]
        self.num_rows = 0
        self._digest = hashlib.sha256()
        self._handle: BinaryIO
        with storage_errors(path):
            self._handle = path.open("xb")

    def append(self, array: AnyArray) -> None:
        content = np.ascontiguousarray(array).tobytes()
        self._digest.update(content)
        self.num_rows += len(array)
        with storage_errors(self.path):
            self._handle.write(content)

    def finish(self) -> dict[str, Any]:
        """Flush the file to the disk and return its line of `meta.json`."""
        with storage_errors(self.path):
            self._handle.flush()
            os.fsync(self._handle.fileno())
            self._handle.close()
        shape = [self.num_rows, *self.tail]
        return {"dtype": self.dtype, "shape": shape, "sha256": self._digest.hexdigest()}

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._handle.close()


def _arrays(chunks: Iterable[EncodedRows]) -> Iterator[dict[str, AnyArray]]:
    """Yield the arrays of each chunk by name, offsets counted on over all chunks."""
    num_tokens, is_first = 0, True
    codes_type: np.dtype[Any] | None = None
    for chunk in chunks:
        codes_type = codes_type or chunk.codes.dtype
        # Codes and soft labels side by side would take the code of an unknown label for a value.
        assert chunk.codes.dtype == codes_type, "chunks with and without soft labels"
        tokens = chunk.tokens
        offsets = tokens.offsets + num_tokens
        named: dict[str, AnyArray] = {
            "offsets": offsets if is_first else offsets[1:],
            "truncated": tokens.truncated,
            "hashes": chunk.hashes,
            "lines": chunk.lines,
        }
        found = {name: array.astype(_TYPES[name], copy=False) for name, array in named.items()}
        for name, kind in _OPTIONAL_TYPES.items():
            if (array := getattr(chunk, name)) is not None:
                found[name] = array.astype(kind, copy=False)
        for name, array in (("ids", tokens.ids), ("codes", chunk.codes)):
            found[name] = array.astype(array.dtype.newbyteorder("<"), copy=False)
        yield found
        num_tokens, is_first = int(offsets[-1]), False


def _write_arrays(stage: Path, chunks: Iterable[EncodedRows]) -> dict[str, dict[str, Any]]:
    columns: dict[str, _Column] = {}
    try:
        for arrays in _arrays(chunks):
            for name, array in arrays.items():
                if name not in columns:
                    columns[name] = _Column(stage / f"{name}.bin", array)
                columns[name].append(array)
        return {name: column.finish() for name, column in columns.items()}
    finally:
        for column in columns.values():
            column.close()


def _rows(arrays: dict[str, AnyArray]) -> EncodedRows:
    tokens = TokenizedTexts(arrays["ids"], arrays["offsets"], arrays["truncated"])
    return EncodedRows(
        tokens,
        arrays["codes"],
        arrays["hashes"],
        arrays["lines"],
        arrays.get("weights"),
        arrays.get("groups"),
    )


def _mapped(entry: Path, described: dict[str, dict[str, Any]]) -> EncodedRows:
    """Map the arrays of an entry; a file of another size than its shape raises `ValueError`."""
    return _rows(
        {
            name: map_array(entry / f"{name}.bin", array["dtype"], array["shape"])
            for name, array in described.items()
        }
    )


def _publish(stage: Path, entry: Path, key: str) -> EncodedRows | None:
    """Rename the stage to the entry; return the rows of another builder who was first."""
    for attempt in range(_ATTEMPTS):
        try:
            os.rename(stage, entry)
            flush_folder(entry.parent)
        except OSError as error:
            if (others := find_rows(entry.parent, key)) is not None:
                return others
            if attempt == _ATTEMPTS - 1:
                raise StorageError(
                    f"Cannot write {entry}: {error.strerror or error}. Delete it, or name another "
                    "folder in MULTIHOT_CACHE."
                ) from error
            # Something else has this name: damaged, or not ours.
            aside = stage.with_name(f"{stage.name}.{attempt}")
            with contextlib.suppress(OSError):
                os.rename(entry, aside)
            remove(aside)
        else:
            return None
    return None
