"""The lesson's claim: the tutorial's recipe against ours on one machine, quality with intervals and minutes.

    python benchmarks/lesson.py TRAIN VALIDATION TEST --keep DIR     train what has no row yet, and add rows
    python benchmarks/lesson.py                                      print the table of the lesson

Every side is one `multihot train` in a process of its own, and is evaluated once on the test file. The
encoder is the starter on all sides. CPU minutes do not depend on what else the machine does; minutes do.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from multihot.data.labelled_file import read_examples
from multihot.evaluation.report import Report
from multihot.inference.predictor import Predictor
from multihot.workflows.evaluate import evaluate
from provenance import RESULTS, append_row, provenance, stored_rows
from tiny_model import command

FILE = "lesson_202611.csv"
_RECIPES = RESULTS.parent / "recipes"
_SIDES = {
    "the tutorial's recipe": ["--recipe", str(_RECIPES / "tutorial.toml")],
    "multihot's defaults": [],
    "semeval-ec.toml": ["--recipe", str(_RECIPES / "semeval-ec.toml")],
}
_METRICS = {
    "micro_f1": "micro-F1",
    "macro_f1": "macro-F1",
    "jaccard": "Jaccard",
    "subset_accuracy": "subset accuracy",
}


def main() -> None:
    """Read the command line, train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", metavar="TRAIN VALIDATION TEST")
    parser.add_argument("--keep", type=Path, help="folder for the models")
    parser.add_argument("--only", nargs="+", choices=list(_SIDES), default=list(_SIDES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.files:
        train, validation, test = given.files
        done = {row["side"] for row in stored_rows(FILE) if row["seed"] == str(given.seed)}
        for side, options in _SIDES.items():
            if side in given.only and side not in done:
                run_side(side, options, (train, validation, test), given)
    print("\n".join(lesson_table()))


def run_side(
    side: str, options: list[str], files: tuple[str, str, str], given: argparse.Namespace
) -> None:
    """Train one side, evaluate it on the test file, and add its row."""
    born = provenance()
    folder = given.keep / side.replace(" ", "-").replace("'", "")
    words = ["train", files[0], "--validation", files[1], *options, "--output", str(folder)]
    words += [f"threads={given.threads}", f"seed={given.seed}"]
    if folder.exists():
        raise SystemExit(f"{folder} exists: the minutes of its begun run are not known. Delete it.")
    started = time.perf_counter()
    process = subprocess.Popen(
        command(words), env={**os.environ, "OMP_NUM_THREADS": str(given.threads)}, stdout=sys.stderr
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{side}: training ended with status {status}")
    minutes = (time.perf_counter() - started) / 60
    predictor = Predictor.load(folder)
    test = read_examples(files[2], predictor.artifact.data, space=predictor.space)
    report = evaluate(predictor, test)
    append_row(
        FILE,
        {
            "data": Path(files[0]).name,
            "side": side,
            "seed": given.seed,
            "threads": given.threads,
            "minutes": f"{minutes:.1f}",
            "cpu_minutes": f"{(used.ru_utime + used.ru_stime) / 60:.1f}",
            "test_rows": report.rows,
            **_columns(report),
            **born,
        },
    )


def _columns(report: Report) -> dict[str, str]:
    found = {}
    metrics = report.to_json()["metrics"]
    for name in _METRICS:
        for end in ("value", "low", "high"):
            column = name if end == "value" else f"{name}_{end}"
            found[column] = f"{metrics[name][end]:.4f}"
    return found


def lesson_table() -> list[str]:
    """Return the lines of the table in chapter 6 of the lesson."""
    found = {row["side"]: row for row in stored_rows(FILE)}
    lines = [
        f"| {' | '.join(('', *_METRICS.values(), 'minutes, one core'))} |",
        f"|---|{'---|' * (len(_METRICS) + 1)}",
    ]
    for side in _SIDES:
        row = found.get(side)
        if row is not None:
            cells = [_cell(row, name) for name in _METRICS]
            # Of a run that was resumed, only the rest was timed: its share of the steps.
            minutes = f"{float(row['cpu_minutes']) / float(row['timed_share'] or 1):.0f}"
            lines.append(f"| {' | '.join((side, *cells, minutes))} |")
    return lines


def _cell(row: dict[str, str], name: str) -> str:
    return f"{_short(row[name])} ({_short(row[f'{name}_low'])} to {_short(row[f'{name}_high'])})"


def _short(value: str) -> str:
    return f"{float(value):.3f}".lstrip("0")


if __name__ == "__main__":
    main()
