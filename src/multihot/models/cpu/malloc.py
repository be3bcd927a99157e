"""Keep freed memory for the next step or batch instead of returning it to the system."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

# Of glibc's malloc.h. 32 MB is the largest threshold that it promises to take (mallopt(3)).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # bytes
_NEVER = 2**31 - 1  # bytes


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory, for the whole process; return whether it will.

    By default it gives large blocks back to the system at once, and every page of the next one is
    a page fault: some 8000 in a training step of eight tweets, a tenth to a fifth of its time, and
    a few percent of prediction's. Instead the process keeps its peak of memory until it ends.
    Elsewhere than on Linux with glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    # Both are tried: the first alone already keeps the pages of blocks up to the threshold.
    kept = mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    return bool(mallopt(_TRIM_THRESHOLD, _NEVER) and kept)
