"""Files inside a folder that may come from anyone: regular ones only, read once.

A name that leads out of the folder, a link that does, a pipe, a device and a folder are refused before
anything is read. The hub's cache is the one exception: there every file of `snapshots/REVISION` is a
link to a file in `blobs` beside `snapshots`.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Callable
from io import FileIO
from pathlib import Path, PureWindowsPath

import numpy as np

from multihot.core.memory import available_bytes
from multihot.core.text_tables import cut, printable
from multihot.errors import MultihotError, shown_path

__all__ = [
    "MAX_FILE_BYTES",
    "checked_name",
    "file_place",
    "open_folder_file",
    "read_folder_file",
    "shown_file",
]

MAX_FILE_BYTES = 1 << 40
"""Bytes of a file of weights; of other files the caller names a smaller bound."""

_LINKED_FOLDERS = 4  # snapshots/REVISION/FOLDER/FOLDER at most
_PAGES_AT_ONCE = 1 << 20  # bytes
_POPULATED = (
    mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    if hasattr(mmap, "MAP_POPULATE")
    else 0
)
_ALIGNMENT = 64  # bytes, of the content in memory
_SMALL = 1 << 28  # bytes that are always there
_MOST_HOLES = 16  # times the bytes that the disk holds; a file system that compresses saves less
_ONE_READ = 1 << 18  # bytes in one call of the system
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def shown_file(path: str | Path) -> str:
    """Return the path of a file from elsewhere as messages show it."""
    return printable(shown_path(path))


def file_place(folder: Path, name: str, error: type[MultihotError]) -> Path:
    """Return where the regular file `name` of `folder` is, links followed; raise `error` for others.

    Parameters
    ----------
    folder
        The folder that may come from anyone.
    name
        Relative to it, with `/` between folders.
    error
        The class of what is raised.

    Returns
    -------
    Path
        Of the file itself, no link.
    """
    path = folder / checked_name(folder, name, error)
    try:
        place = path.resolve(strict=True)
        mode = place.stat().st_mode
        base = folder.resolve(strict=True)
    except FileNotFoundError:
        raise error(
            f"{shown_file(folder)} lacks {printable(name)}; copy the whole folder anew."
        ) from None
    except (OSError, RuntimeError, ValueError) as reason:
        raise error(f"{shown_file(path)} cannot be read: {_why(reason)}.") from None
    if not place.is_relative_to(base) and place.parent != _blobs_beside(base):
        raise error(
            f"{shown_file(path)} is a link to {shown_file(place)}, outside the folder. Put the file "
            "itself there."
        )
    _refuse_irregular(path, mode, error)
    return place


def open_folder_file(
    folder: Path, name: str, *, most_bytes: int, error: type[MultihotError]
) -> tuple[FileIO, int]:
    """Open the regular file `name` of `folder`, unbuffered; return it and its size in bytes.

    Raises `error` for what `file_place` refuses, for files of more than `most_bytes`, and for those
    that cannot be opened.
    """
    place, path = file_place(folder, name, error), folder / name
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(place, flags | getattr(os, "O_BINARY", 0))
    except OSError as reason:
        raise error(f"{shown_file(path)} cannot be read: {_why(reason)}.") from None
    try:
        status = os.fstat(descriptor)
        _refuse_irregular(path, status.st_mode, error)
        if status.st_size > most_bytes:
            raise error(
                f"{shown_file(path)} has {status.st_size} bytes; expected at most {most_bytes}."
            )
        if status.st_size > _SMALL and _num_stored(status) < status.st_size // _MOST_HOLES:
            raise error(
                f"{shown_file(path)} has {status.st_size} bytes, nearly all of them holes; it is damaged."
            )
        return FileIO(descriptor, "rb"), status.st_size
    except BaseException:
        os.close(descriptor)
        raise


def read_folder_file(
    folder: Path,
    name: str,
    *,
    most_bytes: int,
    error: type[MultihotError],
    on_part: Callable[[memoryview], object] = lambda part: None,
) -> memoryview:
    """Return the content of the regular file `name` of `folder`, read once into private memory.

    What happens to the file afterwards does not change it. Each part is given to `on_part` while it is
    in the processor's cache. Raises `error` as `open_folder_file` does.

    Returns
    -------
    memoryview
        Writable; *shape:* (bytes,), uint8. It begins at a multiple of 64 bytes.
    """
    handle, size = open_folder_file(folder, name, most_bytes=most_bytes, error=error)
    with handle:
        content = _memory_for(size, folder / name, error)
        try:
            read = _fill(handle, content, on_part)
            grown = read == size and handle.read(1)
        except OSError as reason:
            raise error(f"{shown_file(folder / name)} cannot be read: {_why(reason)}.") from None
    if read < size or grown:
        raise error(f"{shown_file(folder / name)} changes while it is read; try again afterwards.")
    return content


def checked_name(folder: Path, name: str, error: type[MultihotError]) -> str:
    """Return the name of a file inside `folder`; raise `error` for one that leads elsewhere."""
    parts = name.split("/") if isinstance(name, str) else []
    windows = PureWindowsPath(name) if parts else PureWindowsPath()
    if (
        not all(part not in ("", ".", "..") for part in parts)
        or not parts
        or windows.drive
        or "\\" in name
        or not name.isprintable()
    ):
        raise error(
            f"{shown_file(folder)}: the name {cut(name)} is none of a file inside the folder."
        )
    return name


def _memory_for(size: int, path: Path, error: type[MultihotError]) -> memoryview:
    """Return memory that is not cleared first, at a multiple of 64 bytes."""
    available = available_bytes() if size > _SMALL else None
    if available is not None and size > available:
        raise error(
            f"{shown_file(path)} has {size / 1e9:.1f} GB, and {available / 1e9:.1f} GB of memory are free."
        )
    if size >= _PAGES_AT_ONCE:
        # Not numpy's: it asks for huge pages, which some kernels take long to find.
        flags = {"flags": _POPULATED} if _POPULATED else {}
        return memoryview(mmap.mmap(-1, size, **flags))[:size]
    block = np.empty(size + _ALIGNMENT, np.uint8)
    start = -block.ctypes.data % _ALIGNMENT
    return block[start : start + size].data


def _fill(handle: FileIO, content: memoryview, on_part: Callable[[memoryview], object]) -> int:
    """Read until the file ends or the memory is full; return the number of bytes."""
    read = 0
    while read < len(content):
        count = handle.readinto(content[read : read + _ONE_READ])
        if not count:
            break
        on_part(content[read : read + count])
        read += count
    return read


def _num_stored(status: os.stat_result) -> int:
    """Return how many bytes of a file the disk holds, as far as the system says."""
    return 512 * status.st_blocks if hasattr(status, "st_blocks") else status.st_size


def _blobs_beside(folder: Path) -> Path | None:
    """Return where the hub's cache keeps the files of a snapshot that `folder` is, or is in."""
    for each in (folder, *folder.parents)[:_LINKED_FOLDERS]:
        if each.parent.name == "snapshots":
            return each.parent.parent / "blobs"
    return None


def _refuse_irregular(path: Path, mode: int, error: type[MultihotError]) -> None:
    if not stat.S_ISREG(mode):
        kind = next((kind for is_kind, kind in _KINDS if is_kind(mode)), "no file")
        raise error(f"{shown_file(path)} is {kind}; expected a regular file.")


def _why(reason: BaseException) -> str:
    return printable(str(getattr(reason, "strerror", None) or reason))
