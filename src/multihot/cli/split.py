"""`multihot split`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from multihot.cli.arguments import (
    data_options,
    files_and_assignments,
    new_parser,
    parse,
    print_json,
)
from multihot.cli.console import report_text, say_note, show
from multihot.errors import OptionError

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot split all.csv --output parts
  multihot split all.tsv --output parts --parts train=0.9,test=0.1 \\
      data.split_by=author
  multihot split all.jsonl --output folds --folds 5 --seed 1

Every label has about the same frequency in every part. Near-duplicate texts stay in one part. The lines
of the file are copied unchanged.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("split", "Split a labelled file, stratified by label.", _EPILOG)
    parser.add_argument("arguments", nargs="+", metavar="FILE", help="file of texts and labels")
    parser.add_argument("--output", metavar="DIR", required=True, help="folder for the parts")
    parser.add_argument(
        "--parts",
        metavar="NAME=SIZE,...",
        help="names and relative sizes (default: train=0.8,dev=0.1,test=0.1)",
    )
    parser.add_argument("--folds", type=int, metavar="K", help="K folds instead of parts")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="random seed (default: 0)")
    parser.add_argument("--pairs", action="store_true", help="stratify by pairs of labels too")
    parser.add_argument("--force", action="store_true", help="replace files of the same names")
    parser.add_argument("--all-labels", action="store_true", help="all labels in the tables")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.usage = f"{parser.prog} FILE --output DIR [--option ...] [data.key=value ...]"
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    paths, assignments = files_and_assignments(given.arguments)
    if len(paths) != 1:
        raise OptionError(f"Expected one file to split, not {len(paths)}.")

    from multihot.workflows.split import split

    report = split(
        paths[0],
        given.output,
        parts=None if given.parts is None else _parts(given.parts),
        folds=given.folds,
        seed=given.seed,
        pairs=given.pairs,
        data=data_options(assignments, {}),
        force=given.force,
    )
    for note in report.notes:
        say_note(note)
    if given.json:
        print_json(report.to_json())
    else:
        show(report_text(report, all_labels=given.all_labels))
    return 0


def _parts(text: str) -> dict[str, float]:
    """Read `train=0.8,test=0.2`."""
    parts: dict[str, float] = {}
    for part in text.split(","):
        name, _, size = (piece.strip() for piece in part.partition("="))
        try:
            value = float(size)
        except ValueError:
            raise OptionError(
                f"--parts {text}: '{part}' is not NAME=SIZE, such as train=0.8."
            ) from None
        if name in parts:
            raise OptionError(f"--parts {text}: the part '{name}' occurs twice.")
        parts[name] = value
    return parts
