"""`multihot doctor`."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from multihot.cli.arguments import (
    data_options,
    files_and_assignments,
    new_parser,
    parse,
    print_json,
)
from multihot.cli.console import report_text, say, say_error, say_note, show
from multihot.core.goals import parse_goal
from multihot.errors import MultihotError, OptionError

if TYPE_CHECKING:
    from multihot.importing.diagnosis import Diagnosis
    from multihot.importing.findings import Finding
    from multihot.workflows.decide import TuningResult
    from multihot.workflows.doctor import Examined

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot doctor models/my-bert
  multihot doctor models/my-bert dev.csv
  multihot doctor models/my-bert dev.csv --fix --output models/mine \\
      --goal macro_f1 --thresholds per_label
  multihot doctor SamLowe/roberta-base-go_emotions --json

CHECKPOINT is a folder or hub name of transformers, simpletransformers, SetFit or
sentence-transformers. No pickle is opened and no code of it is run. With FILE, labelled rows that
it was not trained on, its labels are compared with those of the file, and by its scores.
--fix writes a corrected copy for transformers; with FILE a multihot model with fitted thresholds.
Exit codes: 0 no problem, or --fix corrected all; 3 problems (errors or warnings; notes are none);
2 no checkpoint.
--json prints one document: {"checkpoint", "kind", "family", "labels", "max_length", "problems",
"findings", "was_loaded", "label_order", "output", "corrected", "decision"}; a finding is {"code",
"severity", "file", "what", "why", "do", "fix"}.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser(
        "doctor",
        "Say what is wrong with a checkpoint of another tool for multi-label use.",
        _EPILOG,
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="folder or hub name")
    parser.add_argument(
        "targets", nargs="*", default=[], metavar="FILE data.key=value", help="labelled rows"
    )
    parser.add_argument("--fix", action="store_true", help="write a corrected one to --output")
    parser.add_argument("--output", metavar="DIR", help="new folder for --fix")
    parser.add_argument("--goal", help="with --fix and FILE: what thresholds are tuned for")
    parser.add_argument(
        "--thresholds", metavar="T", help="global, per_label, shrunk, by_frequency=T or a number"
    )
    parser.add_argument("--calibration", help="none, temperature, platt, beta or isotonic")
    parser.add_argument("--all-labels", action="store_true", help="all labels in the tables")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    files, pairs = files_and_assignments(given.targets)
    _check(given, files)
    file = files[0] if files else None

    from multihot.core.extras import require_network
    from multihot.workflows.doctor import examine

    if given.fix:
        require_network("--fix")
    examined = examine(given.checkpoint, file, data_options(pairs, {}))
    diagnosis = examined.diagnosis
    left, result, reason = diagnosis.problems, None, None
    findings = "" if given.json else report_text(diagnosis, all_labels=given.all_labels)
    if given.fix and diagnosis.blocking:
        reason = f"Nothing was written; --fix cannot correct {_codes(diagnosis.blocking)}."
    elif given.fix:
        try:  # first, since what is written does not depend on who reads the findings (`| head`)
            result = _fix(given, examined, file)
        except MultihotError:
            with contextlib.suppress(BrokenPipeError):
                _show(findings)
            raise
        left = diagnosis.left(with_file=file is not None)
    _show(findings)
    _print(given, diagnosis, result, is_written=given.fix and reason is None)
    if reason is not None:
        say_error(f"multihot doctor: {reason}")
    elif given.fix:
        what = "corrected copy" if file is None else "multihot model with fitted thresholds"
        more = f" Not corrected: {_codes(left)}." if left else ""
        say(f"The {what} is in {given.output}.{more}")
    return 3 if left else 0


def _show(findings: str) -> None:
    if findings:
        show(findings)


def _fix(given: argparse.Namespace, examined: Examined, file: str | None) -> TuningResult | None:
    """Write a corrected copy, or with a file a model; return how its thresholds were fitted."""
    from multihot.workflows.doctor import correct, import_model

    if file is None:
        correct(examined, given.output)
        return None
    return import_model(
        examined,
        file,
        given.output,
        goal=given.goal,
        thresholds=_number_or_name(given.thresholds or "global"),
        calibration=given.calibration,
    )


def _print(
    given: argparse.Namespace,
    diagnosis: Diagnosis,
    result: TuningResult | None,
    *,
    is_written: bool,
) -> None:
    """Print the document for programs, or what the thresholds reach; the findings were shown before."""
    if given.json:
        left = set(diagnosis.left(with_file=result is not None))
        fixed = [each for each in diagnosis.problems if is_written and each not in left]
        print_json(
            {
                **diagnosis.to_json(),
                "output": given.output if is_written else None,
                "corrected": [finding.code for finding in fixed],
                "decision": None if result is None else result.to_json(),
            }
        )
    elif result is not None:
        show(report_text(result, all_labels=given.all_labels))
    for note in () if result is None else result.notes:
        say_note(note)


def _codes(findings: Sequence[Finding]) -> str:
    return ", ".join(finding.code for finding in findings)


def _check(given: argparse.Namespace, files: Sequence[str]) -> None:
    """Raise `OptionError` for options that do not go together, before anything is read."""
    if len(files) > 1:
        raise OptionError(f"Give one file of labelled rows; there are {len(files)}.")
    if given.fix and given.output is None:
        raise OptionError("--fix needs --output DIR: the checkpoint itself is never changed.")
    if given.output is not None and not given.fix:
        raise OptionError("--output is written by --fix; add it.")
    asked = [name for name in ("goal", "thresholds", "calibration") if getattr(given, name)]
    if asked and not (given.fix and files):
        raise OptionError(f"--{asked[0]} is for --fix with a file of labelled rows.")
    if given.goal is not None:
        parse_goal(given.goal)


def _number_or_name(thresholds: str) -> str | float:
    try:
        return float(thresholds)
    except ValueError:
        return thresholds
