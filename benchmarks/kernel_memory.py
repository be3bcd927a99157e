"""What the products that oneDNN remembers cost in memory, and whether remembering more is faster.

    python benchmarks/kernel_memory.py [TRAIN DEV] [key=value ...] --rounds 3

In turns, two runs of the same training: one remembers as few shapes as `multihot` has it, the other as many
as torch does by itself. Reported are the medians of the highest resident memory of the process and of its
computing time. Without files the bundled data set is used. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from multihot.demo import demo_data
from provenance import append_row, provenance
from tiny_model import command

_WAYS = {
    "few shapes": {},
    "torch's own": {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024", "LRU_CACHE_CAPACITY": "1024"},
}


def main() -> None:
    """Read the command line, measure, print, and add a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="TRAIN DEV key=value")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    bundled = demo_data()
    files = [word for word in given.words if "=" not in word] or [bundled["train"], bundled["dev"]]
    options = [word for word in given.words if "=" in word]
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in _WAYS}
    for _ in range(given.rounds):
        for way, settings in _WAYS.items():
            peak, seconds = _train([str(file) for file in files], options, settings)
            found[way].append((peak, seconds))
            print(f"{way}: {peak:.0f} MB, {seconds:.1f} CPU seconds", flush=True)
    born = provenance()
    for way, measured in found.items():
        peaks, times = zip(*measured, strict=True)
        row = {
            "shapes": way,
            "data": Path(files[0]).name,
            "peak_mb": f"{statistics.median(peaks):.0f}",
            "cpu_seconds": f"{statistics.median(times):.1f}",
            "peaks_mb": json.dumps([round(peak) for peak in peaks]),
            "all_cpu_seconds": json.dumps([round(seconds, 1) for seconds in times]),
        }
        append_row("kernel_memory_202611.csv", {**row, **born})


def _train(files: list[str], options: list[str], settings: dict[str, str]) -> tuple[float, float]:
    """Return the highest resident memory of a run in MB and its computing time in seconds."""
    with tempfile.TemporaryDirectory() as name:
        words = ["train", files[0], "--validation", files[1], "--output", str(Path(name) / "model")]
        process = subprocess.Popen(
            command([*words, *options, "device=cpu"]),
            env={**os.environ, **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"The run ended with status {os.waitstatus_to_exitcode(status)}.")
    return used.ru_maxrss / 1024, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
