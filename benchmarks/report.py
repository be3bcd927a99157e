"""Measure what `multihot report` takes on top of `multihot evaluate`, and how large its page is.

    python benchmarks/report.py MODEL test.csv
    python benchmarks/report.py MODEL test.csv --train train.csv dev.csv --rounds 5

Each command runs in a process of its own with one thread, in turns; the system reports its CPU time
when it ends. The least of the rounds is taken, and of the page its size.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from provenance import append_row, provenance

_START = "import sys; from multihot.cli.main import main; sys.exit(main())"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--train", type=Path, nargs="+", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def cpu_seconds(arguments: list[str], output: Path) -> float:
    """Run a command of multihot, its standard output in a file; return its CPU time."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with output.open("wb") as stream:
        command = [sys.executable, "-c", _START, *arguments, "--quiet"]
        process = subprocess.Popen(command, env=environment, stdout=stream)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def _main() -> None:
    given = _arguments()
    model, file = str(given.model), str(given.file)
    train = [word for path in given.train for word in ("--train", str(path))]
    evaluating, reporting = [], []
    with tempfile.TemporaryDirectory() as temporary:
        printed, page = Path(temporary) / "printed.json", Path(temporary) / "report.html"
        report = ["report", model, file, *train, "--output", str(page), "--force"]
        for number in range(given.rounds):
            reporting.append(cpu_seconds(report, printed))
            evaluating.append(cpu_seconds(["evaluate", model, file, "--json"], printed))
            print(
                f"round {number + 1}: {evaluating[-1]:.2f} and {reporting[-1]:.2f} CPU s",
                flush=True,
            )
        found = json.loads(printed.read_text("utf-8"))
        kilobytes = page.stat().st_size / 1000
    row = {
        "model": given.model.name,
        "file": given.file.name,
        "texts": found["rows"],
        "labels": len(found["labels"]),
        "compared_with": len(given.train),
        "evaluate_cpu_seconds": round(min(evaluating), 2),
        "report_cpu_seconds": round(min(reporting), 2),
        "extra_cpu_seconds": round(min(reporting) - min(evaluating), 2),
        "kilobytes": round(kilobytes),
        "rounds": given.rounds,
    }
    print(json.dumps(row, indent=2))
    append_row("report_202611.csv", {**row, **provenance()})


if __name__ == "__main__":
    _main()
