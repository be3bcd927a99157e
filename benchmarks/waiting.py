"""How training threads wait for each other, alone and beside a program that keeps a processor busy.

    python benchmarks/waiting.py TRAIN DEV --rounds 3 --seconds 25

In each round, one after another: one thread; two threads that fall asleep after some microseconds, as the
command line has them where other programs are busy; two threads that spin, as libgomp does by itself; and
what a run chooses that is told nothing. Reported is the median over the rounds of
the tokens per second that a run has reached after so many seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provenance import append_row, provenance
from tiny_model import command

_WAYS: dict[str, tuple[int, dict[str, str]]] = {
    "one thread": (1, {}),
    "two threads, asleep soon": (2, {"GOMP_SPINCOUNT": "1000"}),
    "two threads, spinning": (2, {"OMP_WAIT_POLICY": "active"}),
    "as a run chooses": (0, {}),
}
_SPEED = re.compile(r"([\d,]+) tokens/s")


def main() -> None:
    """Read the command line, measure, print, and add a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs=2, metavar=("TRAIN", "DEV"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=25.0)
    given = parser.parse_args()
    born = provenance()
    for beside in (0, 1):
        found: dict[str, list[float]] = {way: [] for way in _WAYS}
        for _ in range(given.rounds):
            for way, (threads, settings) in _WAYS.items():
                with _busy(beside):
                    speed = _speed(given.files, threads, settings, given.seconds)
                found[way].append(speed)
                print(f"{beside} busy beside: {way}: {speed:.0f} tokens/s", flush=True)
        medians = {way: statistics.median(speeds) for way, speeds in found.items()}
        for way, speed in medians.items():
            row = {
                "busy_beside": beside,
                "way": way,
                "tokens_per_second": f"{speed:.0f}",
                "of_one_thread": f"{speed / medians['one thread']:.2f}",
                "rounds": json.dumps(found[way]),
            }
            append_row("waiting_202611.csv", {**row, **born})


def _speed(files: list[str], threads: int, settings: dict[str, str], seconds: float) -> float:
    """Return the tokens per second of a run after so many seconds; 0 where it had not said any."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    with tempfile.TemporaryDirectory() as name:
        words = ["train", files[0], "--validation", files[1], "--output", str(Path(name) / "model")]
        process = subprocess.Popen(
            command([*words, *([f"threads={threads}"] if threads else []), "device=cpu"]),
            env={**environment, **settings},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        try:
            _, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            _, said = process.communicate()
    speeds = _SPEED.findall(said)
    return float(speeds[-1].replace(",", "")) if speeds else 0.0


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Keep so many processors busy meanwhile."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


if __name__ == "__main__":
    main()
