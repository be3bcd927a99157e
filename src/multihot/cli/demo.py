"""`multihot demo`."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from multihot.cli.arguments import new_parser, parse
from multihot.cli.console import ConsoleListener, say, show
from multihot.core.text_tables import format_number

if TYPE_CHECKING:
    from multihot.evaluation.report import Report

__all__ = ["build_parser", "run"]

_EPILOG = """\
examples:
  multihot demo
  multihot demo --data data

Takes about three minutes on two cores; no network access needed. --data
writes the data set as three tab-separated tables in the layout of
SemEval-2018 E-c, and trains nothing.
"""
_FOLDER = "runs/multihot-demo"
_SHOWN = ("micro_f1", "macro_f1", "jaccard", "subset_accuracy", "macro_roc_auc")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("demo", "Train, evaluate and predict on the bundled data set.", _EPILOG)
    parser.add_argument("--output", metavar="DIR", help=f"model folder (default: {_FOLDER})")
    parser.add_argument("--data", metavar="DIR", help="only write the data set to this new folder")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command and return the exit code."""
    given = parse(build_parser(), arguments)
    if given.data is not None:
        return _write_data(Path(given.data))

    from multihot.core.extras import require_training

    require_training()
    from multihot.demo import DEMO_TEXTS, run_demo
    from multihot.training.run_directory import check_output

    started = time.monotonic()
    output = Path(given.output or _FOLDER)
    if given.output is None:  # only the default folder is replaced; any other is never emptied
        shutil.rmtree(output, ignore_errors=True)
    check_output(output, resume=False)
    with ConsoleListener() as listener:
        result = run_demo(output, listener)
    lines = ["", f"On the {result.classifier.rows} test rows:", ""]
    lines += _side_by_side(result.classifier, result.baseline)
    lines += ["", *map(str, str(result.classifier).split("\n\n")[1].splitlines()), ""]
    for text, prediction in zip(DEMO_TEXTS, result.predictions, strict=True):
        named = ", ".join(f"{name} ({prediction.scores[name]:.2f})" for name in prediction.labels)
        lines.append(f"{text}\n  -> {named or 'no label'}")
    show("\n".join(lines))
    say(f"\nDone in {time.monotonic() - started:.0f} s. The model is in {output}. Next:")
    say(f'  multihot predict {output} "your text"')
    say("  multihot inspect your-file.csv")
    say("  multihot train your-file.csv --output runs/mine")
    return 0


def _write_data(folder: Path) -> int:
    from multihot.demo import write_demo_data

    for path in write_demo_data(folder):
        show(str(path))
    return 0


def _side_by_side(classifier: Report, baseline: Report) -> list[str]:
    lines = [f"{'metric':<18}{'multihot':>10}{'TF-IDF + logistic regression':>32}"]
    for name in _SHOWN:
        ours, theirs = classifier.metrics[name], baseline.metrics[name]
        lines.append(f"{name:<18}{format_number(ours):>10}{format_number(theirs):>32}")
    return lines
