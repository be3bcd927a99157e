"""How many processors this process may use."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

__all__ = [
    "busy_elsewhere",
    "computing_threads",
    "passes_at_once",
    "sleep_while_waiting",
    "usable_processors",
]

_CONTROL_GROUP = Path("/sys/fs/cgroup")


def usable_processors() -> int:
    """Return how many processors this process may use, at least 1.

    In a container with a limit (`--cpus`, `resources.limits.cpu`) it is the limit, rounded up: threads
    beyond it would be stopped for a part of each period.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = _limit(_CONTROL_GROUP)
    return max(1, min(usable or 1, usable or 1 if limit is None else math.ceil(limit)))


def computing_threads() -> int:
    """Return how many threads compute one pass: `OMP_NUM_THREADS`, else every processor."""
    stated, most = os.environ.get("OMP_NUM_THREADS", ""), usable_processors()
    return min(int(stated), most) if stated.isascii() and stated.isdigit() and int(stated) else most


def passes_at_once(num_processes: int = 1) -> int:
    """Return how many passes of `computing_threads` each of so many equal processes computes at once."""
    return max(1, usable_processors() // (computing_threads() * num_processes))


_WAIT_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_SPINS = "1000"  # some microseconds


def sleep_while_waiting() -> None:
    """Let threads of torch that wait for each other fall asleep soon where other programs are busy.

    They spin otherwise, for as long as the other takes: where another program has its processor, that is
    a whole turn of the scheduler, in which the waiting one keeps it from going on here. Alone, spinning is
    faster (`benchmarks/waiting.py`). Nothing is done where the user set how threads wait, or where torch is
    loaded, which is when libgomp reads it.
    """
    is_set = any(name in os.environ for name in _WAIT_SETTINGS)
    if "torch" not in sys.modules and not is_set and busy_elsewhere():
        os.environ["GOMP_SPINCOUNT"] = _SPINS


def busy_elsewhere() -> int:
    """Return how many processors other programs kept busy in the last minute; 0 where nobody counts."""
    return round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0


def _limit(folder: Path) -> float | None:
    """Return the limit of a control group in processors; `None` where it has none."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text("ascii").split()
        else:  # the first version of control groups
            quota, period = (
                (folder / "cpu" / f"cpu.cfs_{name}_us").read_text("ascii")
                for name in ("quota", "period")
            )
        limit = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number
        return None
    return limit if limit > 0 else None
