"""What is written aside before it is renamed, and what killed processes left of it.

.NAME.PID.tmp         a file beside NAME; `.NAME.PID-1.tmp` when a thread writes the same at once
.NAME.PID.DIGITS      a folder beside NAME, with 8 hex digits

Whoever writes holds a lock on it. What is left is removed when NAME is written again, and only where
the process of that number is gone, or began after the file was last written, and no lock is held.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from multihot.errors import OptionError, StorageError

__all__ = [
    "check_new_folder",
    "lock_descriptor",
    "put_in_place",
    "remove_leftovers",
    "staged_file",
    "staged_folder",
    "told_when_stopped",
]

_MAX_NAME_BYTES = 200  # so that what is added to a name does not make it too long
_CLOCK_SLACK = 2.0  # seconds; file systems round times
_MAX_PROCESS = 2**31 - 1
_numbers = itertools.count()  # no name comes twice: who removes one might remove what another wrote


def check_new_folder(folder: Path, *, advice: str = "Choose another folder.") -> None:
    """Raise `OptionError` unless a folder of that name can be written: it is new or empty."""
    if folder.is_dir():
        if any(folder.iterdir()):
            raise OptionError(f"{folder} exists and is not empty. {advice}")
    elif folder.is_symlink() and not folder.exists():
        raise OptionError(f"{folder} is a link to what does not exist. Choose another name.")
    elif folder.exists():
        raise OptionError(f"{folder} is no folder. Choose another name.")


@contextlib.contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """Yield the path of an empty new file beside `path`; what is left there at the end is removed."""
    remove_leftovers(path)
    temporary, descriptor = _new_file(path)
    try:
        with told_when_stopped(path):
            yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)


@contextlib.contextmanager
def staged_folder(path: Path, *, is_output: bool = True) -> Iterator[Path]:
    """Yield an empty new folder beside `path`; what is left there at the end is removed.

    Where `path` is a link, it is beside what that leads to. With `is_output` the exception of a signal
    says whether `path` was written.
    """
    named, path = path, _followed(path)
    if not path.name:
        raise OptionError(f"{named} is the root of the file system. Choose another folder.")
    remove_leftovers(path)
    stage = path.with_name(f".{_short_name(path)}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = None
    try:
        with told_when_stopped(path) if is_output else contextlib.nullcontext():
            stage.mkdir(parents=True)
            if os.name != "nt":  # where an open folder cannot be renamed
                descriptor = os.open(stage, os.O_RDONLY)
                lock_descriptor(descriptor)
            yield stage
    except StorageError as error:  # `named` is the name that means something
        raise StorageError(str(error).replace(str(stage), str(named))) from error
    finally:
        if descriptor is not None:  # first, since removing a folder needs one
            os.close(descriptor)
        shutil.rmtree(stage, ignore_errors=True)


def put_in_place(stage: Path, folder: Path) -> None:
    """Rename a staged folder to `folder`; where that has files already, move each file there.

    Where it is a link, what it leads to is the folder. The current folder stays the same.
    """
    folder = _followed(folder)
    if folder.exists() and not any(folder.iterdir()) and not folder.samefile("."):
        folder.rmdir()
    if not folder.exists():
        stage.rename(folder)
        return
    for source in sorted(stage.rglob("*")):
        if not source.is_dir():
            target = folder / source.relative_to(stage)
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)


def _followed(folder: Path) -> Path:
    """Return a folder by its own name, where a link, `.` or `..` leads to it."""
    has_own_name = folder.name not in ("", "..") and not folder.is_symlink()
    return folder if has_own_name else Path(os.path.realpath(folder))


def remove_leftovers(path: Path) -> None:
    """Remove what processes that are gone wrote aside for `path`; nothing where that is unknown."""
    name = re.escape(_short_name(path))
    form = re.compile(rf"\.{name}\.(\d{{1,10}})(?:(?:-\d+)?(\.tmp)|\.[0-9a-f]{{8}})")
    try:
        names = os.listdir(path.parent)
    except OSError:  # may be written, but not listed
        return
    for found in filter(None, map(form.fullmatch, names)):
        with contextlib.suppress(OSError):
            _remove_if_left(path.with_name(found[0]), int(found[1]), is_file=found[2] is not None)


def _remove_if_left(path: Path, process: int, *, is_file: bool) -> None:
    status = path.lstat()
    kind = stat.S_ISREG if is_file else stat.S_ISDIR
    if not kind(status.st_mode) or _may_run(process, status.st_mtime):
        return
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        if not lock_descriptor(descriptor):
            return
        if is_file:
            path.unlink()
        else:
            shutil.rmtree(path)
    finally:
        os.close(descriptor)


def _short_name(path: Path) -> str:
    return path.name if len(os.fsencode(path.name)) <= _MAX_NAME_BYTES else "long-name"


def _new_file(path: Path) -> tuple[Path, int | None]:
    """Create a file that no other thread writes; return it, and what holds its lock."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    for number in _numbers:
        more = f"-{number}" if number else ""
        temporary = path.with_name(f".{_short_name(path)}.{os.getpid()}{more}.tmp")
        try:
            descriptor = os.open(temporary, flags, 0o666)
        except FileExistsError:
            continue
        if os.name == "nt":  # where an open file cannot be renamed
            os.close(descriptor)
            return temporary, None
        lock_descriptor(descriptor)
        return temporary, descriptor
    raise AssertionError("unreachable")


def lock_descriptor(descriptor: int) -> bool:
    """Lock an open file or folder until it is closed; return whether nobody else had locked it."""
    try:
        import fcntl
    except ImportError:  # Windows, where nobody can delete an open file
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _may_run(process: int, written: float) -> bool:
    """Return whether the process that wrote a file at that time may still be there."""
    if os.name == "nt":  # where asking for a process would end it
        return True
    if not 0 < process <= _MAX_PROCESS:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        pass
    started = _start_time(process)
    return started is None or started <= written + _CLOCK_SLACK


def _start_time(process: int) -> float | None:
    """Return when a process began, in seconds since the epoch; infinity once it has ended."""
    try:
        state, *rest = (
            Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        )
        if state in "ZX":  # ended, and nobody has asked how
            return float("inf")
        since_boot = int(rest[18]) / os.sysconf("SC_CLK_TCK")
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
    except (OSError, ValueError, IndexError, AttributeError):  # not Linux
        return None


@contextlib.contextmanager
def told_when_stopped(path: Path) -> Iterator[None]:
    """Let the exception of a signal say which output it prevented, or that it came too late for that."""
    before = _identity(path)
    try:
        yield
    except KeyboardInterrupt as stop:
        is_new = _identity(path) != before
        stop.add_note(f"{path} was {'written' if is_new else 'not written'}")
        raise


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Return what another file or folder of this name would not have."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns
