"""Room for the packed cells of all texts: in memory, or in a file that vanishes with the array.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import os
import tempfile
from typing import IO

import numpy as np
import numpy.typing as npt

from multihot.errors import StorageError

__all__ = ["MAX_CELLS_IN_MEMORY", "new_cells"]

MAX_CELLS_IN_MEMORY = 1 << 22
"""16 MB; more cells are kept in a file."""

_BYTES_AT_ONCE = 1 << 20


def new_cells(num_labels: int, num_rows: int) -> npt.NDArray[np.uint32]:
    """Return room for all cells, uninitialised. *Shape:* (L, N), uint32.

    Raises `StorageError` when the temporary folder has no room for them.
    """
    num_cells = num_labels * num_rows
    if num_cells <= MAX_CELLS_IN_MEMORY:
        return np.empty((num_labels, num_rows), dtype=np.uint32)
    try:
        with tempfile.TemporaryFile(prefix="multihot-") as handle:
            _reserve(handle, 4 * num_cells)
            return np.memmap(handle, dtype=np.uint32, mode="r+", shape=(num_labels, num_rows))
    except OSError as error:
        raise StorageError(
            f"Ranking metrics of {num_rows} texts and {num_labels} labels need a temporary file of "
            f"{4e-6 * num_cells:.0f} MB, which {tempfile.gettempdir()} refuses: "
            f"{error.strerror or error}. Free some space, or name another folder in TMPDIR."
        ) from error


def _reserve(handle: IO[bytes], num_bytes: int) -> None:
    """Make a file that large, with all of its room: a full disk is fatal once it is mapped."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle.fileno(), 0, num_bytes)
        return
    for start in range(0, num_bytes, _BYTES_AT_ONCE):
        handle.write(bytes(min(_BYTES_AT_ONCE, num_bytes - start)))
    handle.flush()
