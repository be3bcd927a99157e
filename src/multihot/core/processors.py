"""How many processors this process may use."""

from __future__ import annotations

import os

__all__ = ["computing_threads", "usable_processors"]


def usable_processors() -> int:
    """Return how many processors this process may use, at least 1."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, usable or 1)


def computing_threads() -> int:
    """Return how many threads compute one pass: `OMP_NUM_THREADS`, else every processor."""
    stated, most = os.environ.get("OMP_NUM_THREADS", ""), usable_processors()
    return min(int(stated), most) if stated.isascii() and stated.isdigit() and int(stated) else most
