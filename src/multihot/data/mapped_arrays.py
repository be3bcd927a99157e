"""Flat arrays that are written piece by piece into a folder and opened again as mapped files.

FOLDER/NAME.bin    one per array
       meta.json   written last: type and length of each array, and what else was told

The folder is made aside and appears by one rename, so it is complete or not there.
"""

from __future__ import annotations

import math
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.files import flush_file, flush_folder, read_json, storage_errors, write_json

__all__ = ["ArrayWriter", "map_array", "new_arrays", "open_arrays", "open_matrix"]

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
