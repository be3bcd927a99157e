"""Arrays on disk: written piece by piece, opened again as mapped files, and a cache of them.

FOLDER/NAME.bin    one per array
       meta.json   written last: type and shape of each array, and what else was told

A cache entry (tokens and labels of a file, scores of a teacher) adds its key in full and the SHA-256
of each array. A folder is made aside and appears by one rename, so it is complete or not there; of
several builders of one entry the first to rename wins, and what does not verify is made anew.

Letters: `N` rows, `T` tokens of all rows together, `L` labels.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from multihot.core.files import (
    flush_file,
    flush_folder,
    read_json,
    sha256_of,
    storage_errors,
    write_json,
)
from multihot.data.tokens import TokenizedTexts
from multihot.errors import StorageError

__all__ = [
    "META",
    "STAGE",
    "ArrayWriter",
    "EncodedRows",
    "cache_folder",
    "entry_of",
    "find_rows",
    "hold_rows",
    "map_array",
    "new_arrays",
    "open_arrays",
    "open_matrix",
    "remove",
    "remove_old",
    "store_rows",
]

META = "meta.json"
"""File of an entry that is written last, and touched when the entry is used."""
STAGE = ".writing-"
"""How the name of an entry begins while it is written."""
_OTHER_STAGE = re.compile(r"\.[0-9a-f]{32}\.\d+\.[0-9a-f]{8}")  # of `mapped_arrays.new_arrays`
_ENTRY_NAME = re.compile("[0-9a-f]{32}")
_STAGE_DAYS, _UNUSED_DAYS = 7, 30  # left behind by a killed builder; not used by any run


def cache_folder() -> Path | None:
    """Return where entries lie; `None` when the cache is switched off (`MULTIHOT_CACHE=off`).

    `MULTIHOT_CACHE` names the folder; without it, it is the platform's: `~/.cache/multihot` (or
    below `XDG_CACHE_HOME`), `~/Library/Caches/multihot`, `%LOCALAPPDATA%/multihot`.
    """
    given = os.environ.get("MULTIHOT_CACHE", "").strip()
    if given.lower() in ("off", "none", "0"):
        return None
    if given:
        return Path(given).expanduser() / "tokens"
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "multihot" / "tokens"


def remove_old(folder: Path) -> None:
    """Remove what killed builders left a week ago, and entries that no run used for a month."""
    now = time.time()
    for path in folder.iterdir():
        if path.name.startswith(STAGE) or _OTHER_STAGE.fullmatch(path.name):
            witness, days = path, _STAGE_DAYS
        elif _ENTRY_NAME.fullmatch(path.name):
            witness, days = path / META, _UNUSED_DAYS
        else:  # not ours
            continue
        with contextlib.suppress(OSError):
            if now - witness.stat().st_mtime > days * 86400:
                remove(path)


def remove(path: Path) -> None:
    """Delete a file or a folder as far as possible, without a word."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


_META = "meta.json"


class ArrayWriter:
    """Appends to named arrays; `facts` are stored beside them as JSON."""

    def __init__(self, folder: Path, types: Mapping[str, npt.DTypeLike], stack: ExitStack) -> None:
        self.facts: dict[str, Any] = {}
        self.lengths = dict.fromkeys(types, 0)
        self._folder = folder
        self._types = {name: np.dtype(kind).newbyteorder("<") for name, kind in types.items()}
        self._files = {
            name: stack.enter_context((folder / f"{name}.bin").open("xb")) for name in types
        }

    def append(self, name: str, array: npt.NDArray[Any]) -> None:
        """Append to an array; values are cast to its type."""
        with storage_errors(self._folder):
            self._files[name].write(array.astype(self._types[name], copy=False).tobytes())
        self.lengths[name] += len(array)

    def finish(self) -> None:
        """Flush everything to the disk, the description last."""
        for name, file in self._files.items():
            with storage_errors(self._folder):
                file.close()
                flush_file(self._folder / f"{name}.bin")
        arrays = {name: (self._types[name].str, self.lengths[name]) for name in self._types}
        write_json(self._folder / _META, {"arrays": arrays, "facts": self.facts})


def open_arrays(folder: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]] | None:
    """Return the mapped arrays and the facts; `None` unless all files are there in their size."""
    try:
        meta = read_json(folder / _META)
        arrays = {
            name: map_array(folder / f"{name}.bin", dtype, (length,))
            for name, (dtype, length) in meta["arrays"].items()
        }
        return arrays, dict(meta["facts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def open_matrix(
    folder: Path, name: str, shape: tuple[int, int]
) -> tuple[npt.NDArray[Any], dict[str, Any]] | None:
    """Return one array as a mapped matrix, and the facts; `None` unless all of it is there."""
    found = open_arrays(folder)
    if found is None or name not in found[0] or found[0][name].size != math.prod(shape):
        return None
    return found[0][name].reshape(shape), found[1]


def map_array(path: Path, dtype: npt.DTypeLike, shape: Sequence[int]) -> npt.NDArray[Any]:
    """Map a file for reading; raise `ValueError` when its size is not that of `dtype` and `shape`."""
    kind, wanted = np.dtype(dtype), tuple(shape)
    if path.stat().st_size != kind.itemsize * math.prod(wanted):
        raise ValueError(f"{path} has another size than its description says.")
    if 0 in wanted:  # an empty file cannot be mapped
        return np.zeros(wanted, kind)
    return np.asarray(np.memmap(path, kind, mode="r", shape=wanted))


@contextmanager
def new_arrays(folder: Path, types: Mapping[str, npt.DTypeLike]) -> Iterator[ArrayWriter]:
    """Yield a writer; when the block ends without an error, `folder` holds what was written.

    Where another process was first, its folder stays. Raises `StorageError` when something cannot
    be written; then, and when the block raises, nothing is left behind.
    """
    stage = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with storage_errors(folder):
        stage.mkdir(parents=True)
    try:
        with ExitStack() as stack:
            with storage_errors(folder):
                writer = ArrayWriter(stage, types, stack)
            yield writer
            writer.finish()
        with storage_errors(folder):
            flush_folder(stage)
            _publish(stage, folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _publish(stage: Path, folder: Path) -> None:
    if open_arrays(folder) is None:  # not there, or damaged
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(FileExistsError):
        try:
            os.rename(stage, folder)
        except OSError:
            if open_arrays(folder) is None:  # nobody else was first
                raise
    flush_folder(folder.parent)


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
        if (others := _publish_token_cache(stage, entry, key)) is not None:
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


def _publish_token_cache(stage: Path, entry: Path, key: str) -> EncodedRows | None:
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
