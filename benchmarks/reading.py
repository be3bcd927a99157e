"""How long opening and checking a labelled file takes, two checkouts interleaved.

    python benchmarks/reading.py --source ../old --source .
    python benchmarks/reading.py --source ../old --source . --rows 1000000 --rounds 3

Writes files of random texts in the forms that labels come in, and opens each with `open_labelled` of
both checkouts in turn, each time in a fresh process. Reported are the CPU seconds of the fastest
round (other processes cannot make it slower by much), their ratio, and how many times the bytes of
the file were read (Linux). The two must agree on labels and rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from provenance import append_row, provenance

FORMS = (
    "binary.csv",
    "lines.csv",
    "names.csv",
    "lists.csv",
    "binary.jsonl",
    "lists.jsonl",
    "binary.xlsx",
)
_WORDS = 5000
_OPEN = """
import json, sys, time
def bytes_read():
    try:
        return int(open("/proc/self/io").read().split()[1])
    except OSError:
        return 0
from multihot.data.labelled_file import open_labelled
before, start = bytes_read(), time.process_time()
file = open_labelled(sys.argv[1])
seconds, read = time.process_time() - start, bytes_read() - before
print(json.dumps([seconds, read, file.num_rows, file.space.names]))
"""


def main() -> None:
    """Read the command line, write the files, measure and print."""
    given = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        print(f"{given.rows} rows, {given.labels} labels; CPU seconds to open and check")
        for form in given.forms:
            path = Path(folder) / form
            write_file(path, given.rows, given.labels)
            size, results = path.stat().st_size, measure(path, given.source, given.rounds)
            _report(form, size, results)
            _record(given, form, size, results)
            path.unlink()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", type=Path, action="append", required=True, help="a checkout")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--forms", nargs="*", choices=FORMS, default=FORMS)
    return parser.parse_args()


def write_file(path: Path, num_rows: int, num_labels: int) -> None:
    """Write random texts of 5 to 25 words, a third of them with a comma, and their labels.

    Texts of `lines.csv` have a line break in place of the comma.
    """
    names = [f"label {number}" for number in range(num_labels)]
    rows = _rows(names, num_rows, ",\n" if path.name == "lines.csv" else ", ")
    if path.suffix == ".xlsx":
        _write_workbook(path, names, rows)
        return
    is_binary = path.name.startswith(("binary", "lines"))
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        if path.suffix == ".csv":
            writer.writerow(["id", "text", *(names if is_binary else ["labels"])])
        for row, (text, values) in enumerate(rows):
            listed = [name for name, value in zip(names, values, strict=True) if value]
            if path.suffix == ".csv" and is_binary:
                writer.writerow([row, text, *values])
            elif path.name == "names.csv":
                writer.writerow([row, text, "|".join(listed)])
            elif path.name == "lists.csv":
                writer.writerow([row, text, str(listed)])
            else:
                labels = dict(zip(names, values, strict=True)) if is_binary else {"labels": listed}
                handle.write(json.dumps({"id": row, "text": text, **labels}) + "\n")


def _rows(names: Sequence[str], num_rows: int, mark: str) -> Iterator[tuple[str, list[int]]]:
    random = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(_WORDS)], dtype=object)
    for row in range(num_rows):
        chosen = words[random.integers(0, _WORDS, random.integers(5, 26))]
        text = " ".join(chosen) + (f"{mark}is it not" if row % 3 == 0 else "")
        yield text, (random.random(len(names)) < 0.15).astype(int).tolist()


def _write_workbook(
    path: Path, names: Sequence[str], rows: Iterator[tuple[str, list[int]]]
) -> None:
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet = book.create_sheet("rows")
    sheet.append(["id", "text", *names])
    for row, (text, values) in enumerate(rows):
        sheet.append([row, text, *values])
    book.save(path)


def measure(path: Path, sources: Sequence[Path], rounds: int) -> list[list[Any]]:
    """Return what `_OPEN` prints for each checkout, of its fastest round."""
    results: list[list[list[Any]]] = [[] for _ in sources]
    for _ in range(rounds):
        for number, source in enumerate(sources):
            environment = {
                **os.environ,
                "PYTHONPATH": str(source.resolve() / "src"),
                "OMP_NUM_THREADS": "1",
            }
            found = subprocess.run(
                [sys.executable, "-c", _OPEN, str(path)],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            results[number].append(json.loads(found.stdout))
    return [min(rows) for rows in results]


def _report(form: str, size: int, results: Sequence[list[Any]]) -> None:
    if any(result[2:] != results[0][2:] for result in results):
        raise SystemExit(f"{form}: the checkouts disagree on rows or labels: {results}")
    seconds = "  ".join(f"{result[0]:7.2f} s" for result in results)
    passes = "  ".join(f"{result[1] / size:5.2f}x" for result in results)
    ratio = results[0][0] / results[-1][0]
    print(f"{form:14} {size / 1e6:7.1f} MB  {seconds}  {ratio:5.2f} times as fast  read {passes}")


def _record(given: argparse.Namespace, form: str, size: int, results: Sequence[list[Any]]) -> None:
    """Append a row to `results/reading_202611.csv`: the first checkout against the last."""
    row = {
        "file": form,
        "rows": given.rows,
        "labels": given.labels,
        "megabytes": round(size / 1e6, 1),
        "cpu_seconds_before": round(results[0][0], 2),
        "cpu_seconds": round(results[-1][0], 2),
        "times_as_fast": round(results[0][0] / results[-1][0], 2),
        "times_read_before": round(results[0][1] / size, 2),
        "times_read": round(results[-1][1] / size, 2),
    }
    append_row("reading_202611.csv", {**row, **provenance()})


if __name__ == "__main__":
    main()
