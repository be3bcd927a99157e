"""`multihot audit`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multihot.cli.arguments import files_and_assignments, new_parser, parse, print_json
from multihot.cli.console import ConsoleListener, report_text, say, say_note, show
from multihot.core.options import TrainOptions
from multihot.core.recipes import build_options, parse_assignments, read_recipe, updated
from multihot.errors import OptionError

if TYPE_CHECKING:
    from multihot.evaluation.audit_report import AuditReport, CorrectionReport

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot audit train.csv
  multihot audit train.csv --beside dev.csv test.csv --table-format xlsx \\
      --encoder bert-base-uncased epochs=3
  multihot audit train.csv --scores audits/train/out-of-fold.safetensors \\
      --output audits/again
  multihot audit train.csv --apply audits/train/corrections.csv \\
      --output corrected.csv

Without --apply: trains a network for each fold, scores every row by the one that was not trained on it,
and writes a table of the label cells that are most likely wrong. Fill its column 'corrected' with 1, 0 or
unknown; leave it empty for what you have not looked at. With --apply: writes a copy of TRAIN with these
corrections, in its own format, and a record of all decisions beside it (NAME.changes.jsonl). TRAIN itself
is never changed. key=value sets any option of training.
--json prints one document.
"""
_FLAGS = ("encoder", "device", "folds")
_OF_FINDING = ("scores", "most", "table_format", "resume", "recipe", *_FLAGS, "beside")
_OF_APPLYING = ("accept", "force")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("audit", "Find labels that may be wrong, and correct them.", _EPILOG)
    parser.add_argument("files_and_options", nargs="+", metavar="TRAIN", help="labelled file")
    parser.add_argument(
        "--output", metavar="DIR|FILE", help="folder (default: audits/NAME); with --apply: the copy"
    )
    parser.add_argument("--apply", metavar="TABLE", help="apply this table of corrections")
    parser.add_argument(
        "--accept",
        type=float,
        metavar="S",
        help="with --apply: take suggestions of score S or more",
    )
    parser.add_argument(
        "--beside",
        metavar="FILE",
        nargs="+",
        action="extend",
        default=[],
        help="files of other splits, compared by text",
    )
    parser.add_argument("--scores", metavar="FILE", help="out-of-fold scores instead of training")
    parser.add_argument("--folds", metavar="K", help="networks to train (default: 5)")
    parser.add_argument("--encoder", metavar="NAME|DIR", help="hub name, folder, or starter")
    parser.add_argument("--recipe", metavar="FILE", help="TOML file of options")
    parser.add_argument("--most", type=int, metavar="N", help="cells in the table (default: 1000)")
    parser.add_argument("--table-format", metavar="F", help="csv (default), tsv, xlsx or jsonl")
    parser.add_argument("--resume", action="store_true", help="resume the audit in --output")
    parser.add_argument("--force", action="store_true", help="with --apply: replace --output")
    parser.add_argument("--device", help="auto, cpu, cuda, mps")
    parser.add_argument("--all-labels", action="store_true", help="all labels in the tables")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.usage = f"{parser.prog} TRAIN [--option ...] [key=value ...]"
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    paths, assignments = files_and_assignments(given.files_and_options)
    given.beside, trailing = files_and_assignments(given.beside)
    assignments += trailing
    if len(paths) != 1:
        raise OptionError(f"Expected one file to audit, not {len(paths)}.")
    is_applied = given.apply is not None
    for name in _OF_FINDING if is_applied else _OF_APPLYING:
        if getattr(given, name) not in (None, False, []):
            flag = f"--{name.replace('_', '-')}"
            raise OptionError(f"{flag} is {'not for' if is_applied else 'for'} --apply.")
    options = build_options(TrainOptions, _values(given, assignments))
    return (_apply if is_applied else _find)(given, paths[0], options)


def _values(given: argparse.Namespace, assignments: Sequence[str]) -> dict[str, Any]:
    """Return the options as plain values: recipe, then flags, then key=value."""
    values = read_recipe(given.recipe) if given.recipe else {}
    flags = {name: getattr(given, name) for name in _FLAGS}
    values = updated(values, {name: value for name, value in flags.items() if value is not None})
    return updated(values, parse_assignments(assignments))


def _find(given: argparse.Namespace, path: str, options: TrainOptions) -> int:
    from multihot.workflows.audit import audit

    output = Path(given.output or Path("audits") / Path(path).stem)
    with ConsoleListener() as listener:
        report = audit(
            path,
            output,
            options=options,
            beside=given.beside,
            scores=given.scores,
            table=f".{(given.table_format or 'csv').lstrip('.')}",
            most=1000 if given.most is None else given.most,
            resume=given.resume,
            listener=listener,
        )
    _show(report, given)
    say(f"\nThe table is {report.table}. Fill its column 'corrected', then:")
    say(f"  multihot audit {path} --apply {report.table} --output CORRECTED{Path(path).suffix}")
    return 0


def _apply(given: argparse.Namespace, path: str, options: TrainOptions) -> int:
    from multihot.workflows.apply_corrections import apply_corrections

    if given.output is None:
        raise OptionError("--apply needs --output FILE, the corrected copy to write.")
    report = apply_corrections(
        path,
        given.apply,
        given.output,
        data=options.data,
        accept=given.accept,
        force=given.force,
    )
    _show(report, given)
    say(f"The corrected copy is {report.output}, its record {report.record}.")
    return 0


def _show(report: AuditReport | CorrectionReport, given: argparse.Namespace) -> None:
    for note in report.notes:
        say_note(note)
    if given.json:
        print_json(report.to_json())
    else:
        show(report_text(report, all_labels=given.all_labels))
