"""Measure whether the memory of `multihot predict` and `multihot evaluate` grows with the rows.

    python benchmarks/memory.py --rows 10000 100000          # a minute or two
    python benchmarks/memory.py --rows 10000 1000000 --format csv

Texts are put together from the data in the package, with 100 labels; the model is a random BERT of
one layer, since a large one has the same memory for every number of rows. Each verb is a process of
its own with one thread. Ten times a second its anonymous memory (what the system cannot take from it
and read from a file again) is read from `/proc/PID/smaps_rollup`, which only Linux has. The exit code
is 1 when the growth from the first size to the last is over `--limit`. One row for each verb goes
into `results/`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provenance import append_row, provenance
from tiny_model import command, environment, write_model, write_rows

_SECONDS_BETWEEN_LOOKS = 0.1
_RESULTS = "memory_202611.csv"


@dataclass(frozen=True)
class Memory:
    """What one process took."""

    anonymous_mb: float
    """Largest anonymous resident memory seen, in MB (10^6 bytes)."""
    resident_mb: float
    """Largest resident memory, file pages included."""
    seconds: float


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--verbs", nargs="+", default=["predict", "evaluate"])
    parser.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="in and out")
    parser.add_argument("--limit", type=float, default=200.0, help="MB of growth that fail")
    parser.add_argument("--results", default=_RESULTS)
    parser.add_argument("--no-row", action="store_true", help="write nothing into results/")
    return parser.parse_args()


def kilobytes(path: Path, key: str) -> int:
    """Return a figure of a `/proc` file; 0 once the process has ended."""
    try:
        lines = path.read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)


def _watched(words: Sequence[str]) -> Memory:
    """Run a command to its end and return the most memory it had."""
    started = time.perf_counter()
    anonymous = resident = 0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command(words), env=environment(), stdout=subprocess.DEVNULL, stderr=said
        )
        folder = Path("/proc") / str(process.pid)
        while process.poll() is None:
            anonymous = max(anonymous, kilobytes(folder / "smaps_rollup", "Anonymous:"))
            resident = max(resident, kilobytes(folder / "status", "VmHWM:"))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if process.returncode:
            said.seek(0)
            sys.exit(said.read())
    seconds = time.perf_counter() - started
    return Memory(anonymous * 1024 / 1e6, resident * 1024 / 1e6, seconds)


def _measure(verb: str, model: Path, file: Path, scratch: Path) -> Memory:
    words = [verb, str(model), "--device", "cpu"]
    if verb == "evaluate":
        return _watched([*words, str(file), "--json"])
    output = scratch / f"labelled{file.suffix}"
    found = _watched([*words, "--input", str(file), "--output", str(output)])
    output.unlink()
    return found


def main() -> int:
    """Measure, print, append; return the exit code."""
    given = _arguments()
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = write_model(scratch, given.labels, given.format)
        found: dict[str, list[Memory]] = {verb: [] for verb in given.verbs}
        for num_rows in given.rows:
            file = write_rows(scratch / f"rows.{given.format}", num_rows, given.labels)
            for verb in given.verbs:
                one = _measure(verb, model, file, scratch)
                found[verb].append(one)
                print(
                    f"{verb:<9}{num_rows:>9} rows x {given.labels} labels: anonymous "
                    f"{one.anonymous_mb:7.1f} MB, resident {one.resident_mb:7.1f} MB, "
                    f"{one.seconds:6.1f} s",
                    flush=True,
                )
        for verb, memories in found.items():
            growth = memories[-1].anonymous_mb - memories[0].anonymous_mb
            worst = max(worst, growth)
            print(
                f"{verb:<9}grows by {growth:.1f} MB from {given.rows[0]} to {given.rows[-1]} rows"
            )
            if not given.no_row:
                append_row(given.results, _row(verb, given, memories, growth))
    return 1 if worst > given.limit else 0


def _row(
    verb: str, given: argparse.Namespace, memories: Sequence[Memory], growth: float
) -> dict[str, object]:
    return {
        "verb": verb,
        "format": given.format,
        "labels": given.labels,
        "rows": " ".join(map(str, given.rows)),
        "anonymous_mb": " ".join(f"{one.anonymous_mb:.1f}" for one in memories),
        "growth_mb": f"{growth:.1f}",
        "resident_mb": " ".join(f"{one.resident_mb:.1f}" for one in memories),
        **provenance(),
    }


if __name__ == "__main__":
    sys.exit(main())
