"""Measure peak memory and CPU time of `multihot inspect` on files with many labels.

    python benchmarks/inspect_memory.py                               # 50,000 rows x 4,000 labels
    python benchmarks/inspect_memory.py --rows 5000 --source ../old . # two checkouts, same files

Texts and labels come from numpy's generator: two labels a row on average, a few unknown cells and
repeated texts. The 0/1 columns are a CSV (400 MB at the default size), the lists of names JSON lines.
Each command runs in a process of its own with one thread; the system reports its peak resident
memory and its CPU time when it ends.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from provenance import append_row, provenance

_START = "import sys; from multihot.cli.main import main; sys.exit(main())"
_LABELS_PER_ROW = 2
_WORDS = ("the", "day", "people", "know", "this", "today", "believe", "year", "we", "are", "happy")


@dataclass(frozen=True)
class Measured:
    """What one process took."""

    peak_mb: float
    """Peak resident memory, in MB (10^6 bytes)."""
    cpu_seconds: float
    digest: str
    """Of the figures that were printed as JSON, so that two checkouts can be compared."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--labels", type=int, default=4_000)
    parser.add_argument("--formats", nargs="+", choices=("csv", "jsonl"), default=["csv", "jsonl"])
    parser.add_argument("--source", type=Path, nargs="+", default=[Path()], help="checkouts")
    parser.add_argument(
        "--folder", type=Path, help="keep the files here, and use them if they exist"
    )
    return parser.parse_args()


def write_files(folder: Path, num_rows: int, num_labels: int) -> dict[str, Path]:
    """Write the same rows as `rows.csv` and `rows.jsonl`, unless they exist."""
    paths = {
        ending: folder / f"rows-{num_rows}-{num_labels}.{ending}" for ending in ("csv", "jsonl")
    }
    if all(path.exists() for path in paths.values()):
        return paths
    generator = np.random.default_rng(0)
    names = [f"label {number}" for number in range(num_labels)]
    with paths["csv"].open("w", encoding="utf-8") as table, paths["jsonl"].open("w") as lines:
        table.write(f"id,text,{','.join(names)}\n")
        for row in range(num_rows):
            text = " ".join(generator.choice(_WORDS, size=generator.integers(5, 30)))
            text = "we repeat this" if row % 1000 == 7 else f"{text} {row}"
            columns = np.sort(generator.choice(num_labels, generator.poisson(_LABELS_PER_ROW)))
            columns = np.unique([*columns, row % num_labels])
            cells = ["0"] * num_labels
            for column in columns:
                cells[column] = "1"
            if row % 50 == 3:
                cells[(row + 1) % num_labels] = ""
            table.write(f"{row},{text},{','.join(cells)}\n")
            labels = [names[column] for column in columns]
            lines.write(json.dumps({"id": row, "text": text, "labels": labels}) + "\n")
    return paths


def measure(source: Path, path: Path) -> Measured:
    """Run `multihot inspect` of a checkout on one file."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(source.resolve() / "src"),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, "inspect", str(path), "--json"],
            env=environment,
            stdout=output,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            raise SystemExit(f"{source}: inspect of {path} failed with {process.returncode}")
        figures = {**json.load(output), "remarks": None}  # prose may differ between checkouts
    digest = hashlib.sha256(json.dumps(figures).encode()).hexdigest()
    bytes_each = 1 if sys.platform == "darwin" else 1024
    return Measured(
        usage.ru_maxrss * bytes_each / 1e6, usage.ru_utime + usage.ru_stime, digest[:12]
    )


def _main() -> None:
    given = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        paths = write_files(given.folder or Path(temporary), given.rows, given.labels)
        print(f"{'file':8}{'peak MB':>10}{'CPU s':>10}  JSON          checkout")
        for ending in given.formats:
            for source in given.source:
                found = measure(source, paths[ending])
                print(
                    f"{ending:8}{found.peak_mb:10.0f}{found.cpu_seconds:10.1f}  {found.digest}  {source}",
                    flush=True,
                )
                row = {
                    "file": ending,
                    "rows": given.rows,
                    "labels": given.labels,
                    "checkout": source.resolve().name,
                    "peak_mb": round(found.peak_mb),
                    "cpu_seconds": round(found.cpu_seconds, 1),
                }
                append_row("inspect_memory_202611.csv", {**row, **provenance()})


if __name__ == "__main__":
    _main()
