"""What the products that oneDNN remembers cost in memory, and whether remembering more is faster.

    python benchmarks/kernel_memory.py [TRAIN DEV] [key=value ...] --threads 2 --rounds 3

In turns, two runs of the same training: one remembers as few shapes as `multihot` has it, the other as many
as torch does by itself. Reported are the medians of the highest resident memory of the process and of its
computing time. Without files the bundled data set is used. Linux only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from multihot.demo import demo_data
from provenance import append_row, provenance
from tiny_model import command
from whole_runs import Cost, timed

_WAYS: dict[str, dict[str, str]] = {
    "few shapes": {},  # as `multihot` sets it
    "torch's own": {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024", "LRU_CACHE_CAPACITY": "1024"},
}


def main() -> None:
    """Read the command line, measure, print, and add a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="TRAIN DEV key=value")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    bundled = demo_data()
    files = [word for word in given.words if "=" not in word] or [
        bundled["train"],
        bundled["validation"],
    ]
    paths = [str(Path(file).resolve()) for file in files]
    options = [word for word in given.words if "=" in word]
    found: dict[str, list[Cost]] = {way: [] for way in _WAYS}
    for _ in range(given.rounds):
        for way, costs in found.items():
            cost = _train(paths, options, given.threads, way)
            costs.append(cost)
            print(f"{way}: {cost.peak_mb:.0f} MB, {cost.cpu_seconds:.1f} CPU seconds", flush=True)
    born = provenance()
    for way, costs in found.items():
        peaks, times = [cost.peak_mb for cost in costs], [cost.cpu_seconds for cost in costs]
        row = {
            "shapes": way,
            "data": Path(files[0]).name,
            "peak_mb": f"{statistics.median(peaks):.0f}",
            "cpu_seconds": f"{statistics.median(times):.1f}",
            "peaks_mb": json.dumps([round(peak) for peak in peaks]),
            "all_cpu_seconds": json.dumps([round(seconds, 1) for seconds in times]),
        }
        append_row("kernel_memory_202611.csv", {**row, **born})


def _train(files: Sequence[str], options: Sequence[str], threads: int, way: str) -> Cost:
    with tempfile.TemporaryDirectory(prefix="run-") as name:
        words = ["train", files[0], "--validation", files[1], "--output", str(Path(name) / "model")]
        words += [*options, "device=cpu", f"threads={threads}"]
        return timed(command(words), Path(name), threads, _WAYS[way])


if __name__ == "__main__":
    main()
