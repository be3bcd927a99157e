"""Arrays in files: written piece by piece, opened again as mapped files, and a cache of them.

FOLDER/NAME.bin    one per array
       meta.json   written last: type and shape of each array, and facts about all of them

An entry of the cache adds its key in full and the SHA-256 of each array. A folder is made aside and
appears by one rename, so it is complete or absent; of several builders of one folder the first to
rename wins, and what does not verify is made anew.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from multihot.core.files import flush_folder, storage_errors, write_json
from multihot.core.text_tables import cut
from multihot.errors import OptionError, StorageError
from multihot.gate.folder_contents import FolderContents
from multihot.gate.folder_files import file_place
from multihot.gate.json_documents import read_json_object

__all__ = [
    "ArrayWriter",
    "StoredArrays",
    "cache_folder",
    "entry_of",
    "new_arrays",
    "new_entry",
    "open_arrays",
    "open_entry",
    "remove_entry",
    "remove_old",
]

AnyArray = npt.NDArray[Any]

StoredArrays = tuple[dict[str, AnyArray], dict[str, Any]]
"""Mapped arrays by name, and the facts stored beside them."""

_META = "meta.json"  # written last, and touched when an entry of the cache is used
_FORMAT = 1  # raise it whenever the content of the arrays changes for the same key
_ATTEMPTS = 5  # to put a folder in its place while others do the same
_ENTRY_NAME = re.compile(r"[0-9a-f]{32}")
_NUMBER_TYPE = re.compile(r"[<|][biuf][1248]")
_STAGE_NAME = re.compile(r"\.[0-9a-f]{32}\.\d+\.[0-9a-f]{8}")  # of an entry: see `_stage_of`
_STAGE_DAYS, _UNUSED_DAYS = 7, 30  # left behind by a killed builder; not used by any run


class ArrayWriter:
    """Appends to named arrays of a folder that is being made; `facts` are stored beside them."""

    def __init__(
        self, folder: Path, types: Mapping[str, npt.DTypeLike], *, checksum: bool = False
    ) -> None:
        self.facts: dict[str, Any] = {}
        self.lengths: dict[str, int] = {}
        """Rows appended to each array so far."""
        self.stored: StoredArrays | None = None
        """What the finished folder holds; set when the block of `new_arrays` has ended."""
        self._folder = folder
        self._checksum = checksum
        self._columns: dict[str, _Column] = {}
        for name, dtype in types.items():
            self._add(name, np.dtype(dtype), ())

    def append(self, name: str, array: AnyArray) -> None:
        """Append rows to an array; a new name takes the type and the row shape of its first piece."""
        if name not in self._columns:
            self._add(name, array.dtype, array.shape[1:])
        self._columns[name].append(array)
        self.lengths[name] += len(array)

    def finish(self, key: str | None) -> dict[str, Any]:
        """Flush everything to the disk, the description last, and return that."""
        arrays = {name: column.finish(self.lengths[name]) for name, column in self._columns.items()}
        meta: dict[str, Any] = {} if key is None else {"format": _FORMAT, "key": key}
        meta |= {"arrays": arrays} | ({"facts": self.facts} if self.facts else {})
        write_json(self._folder / _META, meta)
        with storage_errors(self._folder):
            flush_folder(self._folder)
        return meta

    def close(self) -> None:
        """Close all files."""
        for column in self._columns.values():
            column.close()

    def _add(self, name: str, dtype: np.dtype[Any], row_shape: tuple[int, ...]) -> None:
        path = self._folder / f"{name}.bin"
        self._columns[name] = _Column(path, dtype, row_shape, checksum=self._checksum)
        self.lengths[name] = 0


class _Column:
    """The file of one array that is being written."""

    def __init__(
        self, path: Path, dtype: np.dtype[Any], row_shape: tuple[int, ...], *, checksum: bool
    ) -> None:
        self._path = path
        self._dtype = dtype.newbyteorder("<")
        self._row_shape = row_shape
        self._digest = hashlib.sha256() if checksum else None
        self._handle: BinaryIO
        with storage_errors(path):
            self._handle = path.open("xb")

    def append(self, array: AnyArray) -> None:
        content = array.astype(self._dtype, copy=False).tobytes()
        if self._digest is not None:
            self._digest.update(content)
        with storage_errors(self._path):
            self._handle.write(content)

    def finish(self, num_rows: int) -> dict[str, Any]:
        """Flush the file to the disk and return its description."""
        with storage_errors(self._path):
            self._handle.flush()
            os.fsync(self._handle.fileno())
            self._handle.close()
        found = {"dtype": self._dtype.str, "shape": [num_rows, *self._row_shape]}
        return found if self._digest is None else {**found, "sha256": self._digest.hexdigest()}

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._handle.close()


def open_arrays(folder: Path, *, key: str | None = None) -> StoredArrays | None:
    """Return mapped arrays and facts; `None` unless all files are there in their size.

    With the `key` of a cache entry, it must be the entry's own and every array have its SHA-256.
    """
    try:
        meta = read_json_object(folder, _META, error=StorageError)
        if key is not None:
            if meta["format"] != _FORMAT or meta["key"] != key:
                return None
            digests = {f"{name}.bin": array["sha256"] for name, array in meta["arrays"].items()}
            FolderContents(folder, error=StorageError, digests=digests).verify()
        return _mapped(folder, meta)
    except (StorageError, OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


@contextmanager
def new_arrays(
    folder: Path, types: Mapping[str, npt.DTypeLike] | None = None, *, key: str | None = None
) -> Iterator[ArrayWriter]:
    """Yield a writer; when the block ends without an error, `folder` holds what was written.

    Where another process was first, its folder stays. Raises `StorageError` when something cannot
    be written; then, and when the block raises, nothing is left behind.

    Parameters
    ----------
    folder
        Appears complete, or not at all.
    types
        Arrays that are to exist even if nothing is appended, of one dimension.
    key
        Makes it an entry of the cache: see `open_arrays`.
    """
    stage = _stage_of(folder)
    with storage_errors(folder):
        stage.mkdir(parents=True)
    try:
        writer = ArrayWriter(stage, types or {}, checksum=key is not None)
        with contextlib.closing(writer):
            yield writer
            meta = writer.finish(key)
        writer.stored = _publish(stage, folder, key) or _mapped(folder, meta)
    finally:
        _remove(stage)


def _stage_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}")


def _publish(stage: Path, folder: Path, key: str | None) -> StoredArrays | None:
    """Rename the stage to the folder; return the arrays of another builder who was first."""
    for attempt in range(_ATTEMPTS):
        try:
            os.rename(stage, folder)
            flush_folder(folder.parent)
        except OSError as error:
            if (others := open_arrays(folder, key=key)) is not None:
                return others
            if attempt == _ATTEMPTS - 1:
                other = "" if key is None else ", or name another folder in MULTIHOT_CACHE"
                raise StorageError(
                    f"Cannot write {folder}: {error.strerror or error}. Delete it{other}."
                ) from error
            # Something else has this name: damaged, or not ours.
            aside = _stage_of(folder)
            with contextlib.suppress(OSError):
                os.rename(folder, aside)
            _remove(aside)
        else:
            return None
    return None


def _mapped(folder: Path, meta: Mapping[str, Any]) -> StoredArrays:
    """Map the arrays that `meta` describes; one of another size raises `ValueError`."""
    arrays = {
        name: _map_array(
            file_place(folder, f"{name}.bin", StorageError), array["dtype"], array["shape"]
        )
        for name, array in meta["arrays"].items()
    }
    return arrays, dict(meta.get("facts", {}))


def _map_array(path: Path, dtype: Any, shape: Sequence[Any]) -> AnyArray:
    wanted = tuple(shape)
    if not isinstance(dtype, str) or _NUMBER_TYPE.fullmatch(dtype) is None:
        raise ValueError(f"{path}: {cut(dtype)} is no type of numbers.")
    if not all(type(each) is int and each >= 0 for each in wanted):
        raise ValueError(f"{path}: {cut(shape)} is no shape.")
    kind = np.dtype(dtype)
    if path.stat().st_size != kind.itemsize * math.prod(wanted):
        raise ValueError(f"{path}: the size of the file does not match its description.")
    if 0 in wanted:  # an empty file cannot be mapped
        return np.zeros(wanted, kind)
    return np.asarray(np.memmap(path, kind, mode="r", shape=wanted))


def cache_folder() -> Path | None:
    """Return where entries are; `None` when the cache is switched off (`MULTIHOT_CACHE=off`).

    `MULTIHOT_CACHE` names the folder; without it, it is the platform's: `~/.cache/multihot` (or
    below `XDG_CACHE_HOME`), `~/Library/Caches/multihot`, `%LOCALAPPDATA%/multihot`.
    """
    given = os.environ.get("MULTIHOT_CACHE", "").strip()
    if given.lower() in ("off", "none", "0"):
        return None
    if given:
        try:
            return Path(given).expanduser() / "tokens"
        except RuntimeError as error:  # ~name of a user that does not exist
            raise OptionError(f"MULTIHOT_CACHE={given}: {error}") from None
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "multihot" / "tokens"


def entry_of(folder: Path, key: str) -> Path:
    """Return the folder of the entry with this key, a text that holds all that the arrays depend on."""
    return folder / hashlib.sha256(f"{_FORMAT} {key}".encode()).hexdigest()[:32]


def open_entry(folder: Path, key: str) -> StoredArrays | None:
    """Open an entry; `None` when there is none, or when a byte of it is not what was written."""
    entry = entry_of(folder, key)
    if (stored := open_arrays(entry, key=key)) is not None:
        with contextlib.suppress(OSError):
            os.utime(entry / _META)  # what is in use does not grow old
    return stored


@contextmanager
def new_entry(folder: Path, key: str) -> Iterator[ArrayWriter]:
    """Yield the writer of an entry, as `new_arrays` does; old entries of the cache are removed."""
    with new_arrays(entry_of(folder, key), key=key) as writer:
        remove_old(folder)
        yield writer


def remove_entry(folder: Path, key: str) -> None:
    """Remove an entry that holds other arrays than it must, as far as possible."""
    _remove(entry_of(folder, key))


def remove_old(folder: Path) -> None:
    """Remove what killed builders left a week ago, and entries that no run used for a month."""
    now = time.time()
    try:
        paths = list(folder.iterdir())
    except OSError:  # may be written, but not listed
        return
    for path in paths:
        if _STAGE_NAME.fullmatch(path.name):
            witness, days = path, _STAGE_DAYS
        elif _ENTRY_NAME.fullmatch(path.name):
            witness, days = path / _META, _UNUSED_DAYS
        else:  # not ours
            continue
        with contextlib.suppress(OSError):
            if now - witness.stat().st_mtime > days * 86400:
                _remove(path)


def _remove(path: Path) -> None:
    """Delete a file or a folder as far as possible; errors are ignored."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
