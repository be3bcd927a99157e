"""A file of a folder that may come from anyone, mapped into memory: its pages are shared by processes.

A file that is written to afterwards would change what is mapped. That is noticed by its status (size,
times, which file it is), which `MappedFile.require_unchanged` compares.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import weakref
from io import FileIO
from pathlib import Path

from multihot.errors import MultihotError
from multihot.gate.folder_files import MAX_FILE_BYTES, file_place, open_folder_file, shown_file

__all__ = ["MappedFile", "map_folder_file"]

_ONE_READ = 1 << 18  # bytes in one call of the system
_Status = tuple[int, int, int, int]


class MappedFile:
    """A file that was mapped; `content` has the *shape* (bytes,).

    It is read-only, or `writable`: then the pages that are written to become this process's own, and
    the file stays.
    """

    def __init__(
        self,
        handle: FileIO,
        place: Path,
        shown: str,
        digest: str,
        error: type[MultihotError],
        *,
        writable: bool,
    ) -> None:
        self.place = place
        """Of the file itself, no link."""
        self.digest = digest
        """SHA-256 in hex digits."""
        self._descriptor = handle.fileno()
        weakref.finalize(self, handle.close)
        self._shown = shown
        self._error = error
        self._status = _status(os.fstat(handle.fileno()))
        self._is_changed = False
        access = mmap.ACCESS_COPY if writable else mmap.ACCESS_READ
        self.content = memoryview(mmap.mmap(handle.fileno(), 0, access=access))

    def require_unchanged(self) -> None:
        """Raise the error when the file was written to since it was verified, and ever after."""
        if self._is_changed or _status(os.fstat(self._descriptor)) != self._status:
            self._is_changed = True  # what was made of it meanwhile is not restored with it
            raise self._error(
                f"{self._shown} was changed while it is in use. Restore it and load the model again; to "
                "renew a model, write another folder."
            )

    def require_same_place(self) -> None:
        """Raise the error when another file has the name by now."""
        try:
            same = _status(os.stat(self.place)) == self._status
        except OSError:
            same = False
        if not same:
            raise self._error(f"{self._shown} was replaced while it was loaded; load it again.")


def map_folder_file(
    folder: Path, name: str, *, error: type[MultihotError], writable: bool = False
) -> MappedFile:
    """Map the regular file `name` of `folder` after it was read once for its digest.

    Raises `error` as `folder_files.open_folder_file` does, and for an empty file.
    """
    place = file_place(folder, name, error)
    handle, size = open_folder_file(folder, name, most_bytes=MAX_FILE_BYTES, error=error)
    shown = shown_file(folder / name)
    try:
        if not size:
            raise error(f"{shown} is empty; it is damaged.")
        before = _status(os.fstat(handle.fileno()))
        digest = hashlib.sha256()
        part = bytearray(_ONE_READ)
        while count := handle.readinto(part):
            digest.update(memoryview(part)[:count])
        mapped = MappedFile(handle, place, shown, digest.hexdigest(), error, writable=writable)
        if mapped._status != before:
            raise error(f"{shown} changes while it is read; try again afterwards.")
        return mapped
    except OSError as reason:
        handle.close()
        raise error(f"{shown} cannot be read: {reason.strerror}.") from None
    except BaseException:
        handle.close()
        raise


def _status(found: os.stat_result) -> _Status:
    """Return what changes when a file is written to; not when it is only read, renamed or deleted."""
    # Not the time of the inode's change, which a rename, a link and new permissions set, too.
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
