"""How time and memory grow when the data doubles, for one checkout or several.

    python benchmarks/growth.py
    python benchmarks/growth.py --source ../old --source . --tasks columns inspect

Each task runs at two sizes, n and 2 n, each time in a fresh process with one thread. Reported are the
CPU seconds of the fastest round (other processes cannot make it slower by much), peak resident
memory, and how many times as much 2 n takes. Linear is about 2. Files are written by the process
itself, before its clock starts. A task that takes longer than `--patience` is recorded as such.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from provenance import append_row, provenance

_COMMON = """
import json, resource, sys, tempfile, time
from pathlib import Path
import numpy as np
size, random = int(sys.argv[1]), np.random.default_rng(0)
names = [f"label {number}" for number in range(size)]
folder = Path(tempfile.mkdtemp())
def lists(path, num_rows):
    with path.open("w") as handle:
        for row in range(num_rows):
            chosen = sorted({row % size, *random.integers(0, size, 3).tolist()})
            text = " ".join(f"word{number}" for number in random.integers(0, 5000, 12))
            handle.write(json.dumps({"text": text, "labels": [names[one] for one in chosen]}) + "\\n")
    return path
def measure(work):
    before = time.process_time()
    try:
        work()
    except Exception as error:
        if type(error).__name__ != "DataError":
            raise
    seconds = time.process_time() - before
    scale = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6
    print(json.dumps([seconds, peak]))
def cells():
    truth = (random.random((500, size)) < 0.05).astype(np.float32)
    logits = (random.normal(size=truth.shape) + 2 * truth - 2).astype(np.float32)
    return truth, logits
"""

_TASKS: dict[str, tuple[int, str]] = {
    "lists": (
        5_000,
        """
from multihot.data.labelled_file import read_examples
path = lists(folder / "rows.jsonl", 2000)
measure(lambda: read_examples(path))
""",
    ),
    "columns": (
        25_000,
        """
from multihot.data.labelled_file import open_labelled
path = folder / "wide.csv"
rows = ("a text," + ",".join("01"[(row + one) % 9 == 0] for one in range(size)) for row in range(5))
path.write_text("\\n".join(["text," + ",".join(names), *rows, ""]))
measure(lambda: open_labelled(path))
""",
    ),
    "label_space": (
        20_000,
        """
from multihot.core.labels import LabelSpace
measure(lambda: LabelSpace(tuple(names)))
""",
    ),
    "thresholds_json": (
        30_000,
        """
from multihot.decision.decision import Decision
content = {"labels": names, "activation": "sigmoid", "calibration": None, "fitted_on": None,
    "thresholds": dict.fromkeys(names, 0.5), "threshold_kind": "fixed", "goal": "micro_f1",
    "empty_set_rule": "allow"}
measure(lambda: Decision.from_json(content))
""",
    ),
    "repeated_keys": (
        25_000,
        """
from multihot.data.labelled_file import open_labelled
path = folder / "rows.jsonl"
path.write_text("{" + ",".join(f'"{name}": 1' for name in [*names, names[-1]]) + "}\\n")
measure(lambda: open_labelled(path))
""",
    ),
    "inspect": (
        5_000,
        """
from multihot.workflows.inspect import inspect_files
path = lists(folder / "rows.jsonl", 2000)
measure(lambda: str(inspect_files([path])))
""",
    ),
    "split_pairs": (
        500,
        """
from multihot.workflows.split import split
path = lists(folder / "rows.jsonl", 2000)
measure(lambda: split(path, folder / "parts", folds=10, pairs=True))
""",
    ),
    "decide": (
        2_500,
        """
from multihot.core.labels import LabelSpace
from multihot.decision.cross_fit import with_report
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
truth, logits = cells()
hashes = random.integers(0, 2**63, len(truth)).astype(np.uint64)
rows, space = FittingRows(logits, truth, hashes), LabelSpace(tuple(names))
options = DecisionOptions("micro_f1", "per_label", "platt")
def work():
    found = fit(space, rows, options, source="rows")
    with_report(found.decision, rows, options)
measure(work)
""",
    ),
    "compare": (
        2_500,
        """
from multihot.evaluation.paired_tests import Differences
from multihot.evaluation.ranking import Ranking
from multihot.workflows.compare import _area_differences
truth, logits = cells()
noise = random.normal(size=logits.shape)
scores = [(1 / (1 + np.exp(-each))).astype(np.float32) for each in (logits, logits + noise)]
def work():
    found = Differences(len(truth), size)
    found.update(truth, [each >= 0.5 for each in scores], scores)
    found.result()
    rankings = [Ranking(len(truth), size, intervals=True) for _ in scores]
    for ranking, each in zip(rankings, scores):
        ranking.update(truth, each)
    _area_differences(rankings, len(truth))
measure(work)
""",
    ),
}


def main() -> None:
    """Read the command line, measure, print and record."""
    given = _arguments()
    sources = given.source or [Path()]
    print(
        f"{'task':16}{'n':>8}{'CPU s, n':>10}{'2 n':>8}{'times':>7}{'MB, n':>8}{'2 n':>8}  checkout"
    )
    for task in given.tasks:
        size = _TASKS[task][0]
        for source in sources:
            found = [measure(task, each, source, given) for each in (size, 2 * size)]
            _report(task, size, source, found)
            if not given.dry:
                _record(task, size, source, found)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--source", type=Path, action="append", help="a checkout (default: this one)"
    )
    parser.add_argument("--tasks", nargs="+", choices=[*_TASKS], default=[*_TASKS])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--patience", type=float, default=120, help="seconds of a task at most")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    return parser.parse_args()


def measure(
    task: str, size: int, source: Path, given: argparse.Namespace
) -> tuple[float, float] | None:
    """Return CPU seconds and peak MB of the fastest round; `None` where the patience ended."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(source.resolve() / "src"),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
    rounds = []
    for _ in range(given.rounds):
        try:
            done = subprocess.run(
                [sys.executable, "-c", _COMMON + _TASKS[task][1], str(size)],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
                timeout=given.patience,
            )
        except subprocess.TimeoutExpired:
            return None
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"{task} of {source} failed:\n{error.stderr[-3000:]}") from None
        seconds, peak = json.loads(done.stdout)
        rounds.append((seconds, peak))
    return min(rounds)


Found = Sequence[tuple[float, float] | None]


def _columns(found: Found) -> dict[str, str]:
    seconds = ["" if each is None else f"{each[0]:.3g}" for each in found]
    peaks = ["" if each is None else f"{each[1]:.0f}" for each in found]
    first, second = found
    times = "" if first is None or second is None else f"{second[0] / max(first[0], 1e-3):.2f}"
    return {
        "cpu_seconds": seconds[0],
        "cpu_seconds_of_twice": seconds[1],
        "times": times,
        "peak_mb": peaks[0],
        "peak_mb_of_twice": peaks[1],
    }


def _report(task: str, size: int, source: Path, found: Found) -> None:
    cells = [cell or "too long" for cell in _columns(found).values()]
    widths = (10, 8, 7, 8, 8)
    shown = "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    print(f"{task:16}{size:>8}{shown}  {source}", flush=True)


def _record(task: str, size: int, source: Path, found: Found) -> None:
    """Append a row to `results/growth_202611.csv`."""
    row = {"task": task, "n": size, "checkout": source.name or "this one", **_columns(found)}
    append_row("growth_202611.csv", {**row, **provenance()})


if __name__ == "__main__":
    main()
