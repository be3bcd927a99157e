"""How much memory is left, to refuse what does not fit before it is allocated; and giving some back."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

from multihot.errors import DataError

__all__ = [
    "available_bytes",
    "glibc_function",
    "keep_few_kernels",
    "require_label_memory",
    "return_freed_memory",
]

_CONTROL_GROUP = Path("/sys/fs/cgroup")
_KEPT_KERNELS = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16", "LRU_CACHE_CAPACITY": "1"}


def available_bytes() -> int | None:
    """Return how many bytes this process may still allocate; `None` where the system does not say.

    It is the least of the memory of the machine, of the control group, and of `ulimit -v`.
    """
    found = [
        left
        for left in (_of_machine(), _of_control_group(), _of_address_space())
        if left is not None
    ]
    return max(0, min(found)) if found else None


def require_label_memory(num_rows: int, num_labels: int, path: str | Path | None = None) -> None:
    """Raise `DataError` where the label values of so many rows cannot be held in memory."""
    needed, available = 4 * num_rows * num_labels, available_bytes()
    if available is not None and needed > available:
        raise DataError(
            f"The labels of {num_rows} rows x {num_labels} labels, 4 bytes each, need "
            f"{needed / 1e9:.1f} GB at once, and {available / 1e9:.1f} GB of memory are free. Split "
            "the file into parts, leave out labels that are too rare to learn, or use a machine "
            "with more memory.",
            path=path,
        )


def return_freed_memory() -> bool:
    """Give the system what this process has freed and its C library kept; return whether any was.

    glibc keeps most of what threads freed: of a tokenizer that read texts of 100,000 characters, 20 MB. Elsewhere
    than on Linux with glibc nothing happens.
    """
    trim = glibc_function("malloc_trim")
    return trim is not None and bool(trim(0))


def keep_few_kernels() -> None:
    """Let oneDNN keep the code of few products in this process, where the user set nothing else.

    By itself it keeps that of the last 1024 shapes, and torch's layer above it as many products again. Rows
    without padding have ever new lengths: a training run grew by a megabyte a step, and was no faster for it
    (`benchmarks/kernel_memory.py`). Each reads its number once, at the first product of the process.
    """
    for name, number in _KEPT_KERNELS.items():
        os.environ.setdefault(name, number)


def glibc_function(name: str) -> Callable[..., int] | None:
    """Return a function of glibc; `None` elsewhere than on Linux, and where another C library lacks it."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None
    return found


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration, ValueError):
        return None


def _of_control_group() -> int | None:
    try:
        limit = (_CONTROL_GROUP / "memory.max").read_text("ascii").strip()
        used = (_CONTROL_GROUP / "memory.current").read_text("ascii")
        return None if limit == "max" else int(limit) - int(used)
    except (OSError, ValueError):
        return None


def _of_address_space() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (OSError, ValueError):
        return None
    return limit - pages * resource.getpagesize()
