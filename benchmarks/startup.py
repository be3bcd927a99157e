"""Measure how long `multihot` takes before it does anything: whole processes, started one by one.

    python benchmarks/startup.py             # about a minute
    python benchmarks/startup.py --runs 3

Each round starts every command once, so that what else the machine does falls on all alike. Wall
seconds are those of the whole process; CPU seconds are its own and its children's, which a busy
machine changes less. `python -c pass` is what Python itself takes. The model is a random BERT of one
layer: what remains is the libraries. One row for each command goes into `results/`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from provenance import append_row, provenance
from tiny_model import environment, write_model

_RESULTS = "startup_202611.csv"
_NUM_LABELS = 11


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=9, help="rounds that count")
    parser.add_argument("--results", default=_RESULTS)
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def _commands(model: Path) -> dict[str, list[str]]:
    """Return what is measured, under the name that a results row gives it."""
    beside = Path(sys.executable).with_name("multihot")
    script = str(beside) if beside.exists() else shutil.which("multihot")
    multihot = [script] if script else [sys.executable, "-m", "multihot"]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import multihot": [sys.executable, "-c", "import multihot"],
        "multihot --help": [*multihot, "--help"],
        "multihot predict --help": [*multihot, "predict", "--help"],
        "multihot predict MODEL TEXT": [*multihot, "predict", str(model), "I am happy today"],
    }


def _timed(words: list[str]) -> tuple[float, float]:
    """Run a command; return its wall and CPU seconds."""
    before = os.times()
    started = time.perf_counter()
    subprocess.run(words, env=environment(), capture_output=True, check=True)
    wall = time.perf_counter() - started
    after = os.times()
    spent = after.children_user + after.children_system
    return wall, spent - before.children_user - before.children_system


def main() -> int:
    """Measure, print, append."""
    given = _arguments()
    with tempfile.TemporaryDirectory() as scratch:
        commands = _commands(write_model(Path(scratch), _NUM_LABELS))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for number in range(given.runs + 1):
            for name, words in commands.items():
                seconds = _timed(words)
                if number:  # the first round fills the system's file cache
                    found[name].append(seconds)
    for name, runs in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
        fastest = min(seconds for seconds, _ in runs)
        print(f"{name:<28} wall {wall:6.3f} s (fastest {fastest:6.3f})  cpu {cpu:6.3f} s")
        row = {
            "process": name,
            "runs": given.runs,
            "wall_seconds": f"{wall:.3f}",
            "fastest_seconds": f"{fastest:.3f}",
            "cpu_seconds": f"{cpu:.3f}",
        }
        if not given.no_row:
            append_row(given.results, {**row, **provenance()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
