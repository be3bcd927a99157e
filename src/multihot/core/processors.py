"""How many processors this process may use."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path

__all__ = [
    "allowed_processors",
    "busy_elsewhere",
    "computing_threads",
    "passes_at_once",
    "sleep_while_waiting",
    "usable_processors",
]

_CONTROL_GROUP = Path("/sys/fs/cgroup")
_PROCESSOR_TIMES = Path("/proc/stat")
_WATCHED_SECONDS = 0.1


def usable_processors() -> int:
    """Return how many processors this process may use, at least 1.

    In a container with a limit (`--cpus`, `resources.limits.cpu`) it is the limit, rounded up: threads
    beyond it would be stopped for a part of each period.
    """
    allowed, limit = allowed_processors(), _limit(_CONTROL_GROUP)
    return max(1, min(allowed, allowed if limit is None else math.ceil(limit)))


def allowed_processors() -> int:
    """Return on how many processors this process may run, at least 1; a limit of time is not one of number."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    if "torch" not in sys.modules and not is_set and _load() >= 1 and busy_elsewhere():
        os.environ["GOMP_SPINCOUNT"] = _SPINS


def busy_elsewhere() -> int:
    """Return how many processors other programs keep busy now, of those that this process may use.

    On Linux they are watched for a tenth of a second, so that what has just ended does not count; elsewhere
    it is the load of the last minute, and 0 where nobody counts.
    """
    before = _busy_seconds()
    if before is None:
        return _load()
    began, own = time.perf_counter(), time.process_time()
    time.sleep(_WATCHED_SECONDS)
    own, elapsed = time.process_time() - own, time.perf_counter() - began
    busy = (_busy_seconds() or before) - before - own
    return max(0, round(busy / elapsed))


def _load() -> int:
    """Return how many processes computed at once, on average of the last minute; 0 where nobody counts."""
    return round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0


def _busy_seconds() -> float | None:
    """Return the seconds that processors of this process computed, since the start; `None` where unknown."""
    try:
        lines = _PROCESSOR_TIMES.read_text("ascii").splitlines()
        usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        times = [line.split() for line in lines if line.startswith("cpu")]
        # user, nice, system, then idle and waiting for a disk, then interrupts and those of the hypervisor
        ticks = sum(
            int(each) for name, *of in times if name in usable for each in (*of[:3], *of[5:7])
        )
        return ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None


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
