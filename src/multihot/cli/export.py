"""`multihot export`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from multihot.cli.arguments import data_options, new_parser, parse, print_json
from multihot.cli.console import report_text, say, say_note, show
from multihot.errors import CheckFailedError, OptionError

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot export runs/ec --to onnx --output served
  multihot export runs/ec dev.csv --to onnx-int8 --output served
  multihot export runs/ec dev.csv --to transformers --fold-thresholds \\
      --output hub

Both models are asked for the texts of FILE (without it, for bundled ones), and parity.json says how far
they agree. Where more decisions differ than --max-flips allows (0; for int8 0.002), nothing is written
and the exit code is 3. int8 needs FILE: its thresholds are fitted anew on it. --fold-thresholds puts
thresholds and calibration into the last layer, for consumers that know only 0.5; scores are then no
probabilities. --json prints one document: {"folder", "to", "notes", "parity"}.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("export", "Write a model in a form that runs elsewhere.", _EPILOG)
    parser.add_argument("model", metavar="MODEL", help="folder that 'multihot train' wrote")
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="validation file of texts and labels"
    )
    parser.add_argument(
        "--to", required=True, metavar="FORM", help="onnx, onnx-int8, openvino or transformers"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="new folder")
    parser.add_argument(
        "--max-flips", type=float, metavar="F", help="fraction of decisions that may differ"
    )
    parser.add_argument(
        "--fold-thresholds", action="store_true", help="so that 0.5 decides as the thresholds do"
    )
    parser.add_argument("--all-labels", action="store_true", help="all labels in the tables")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("assignments", nargs="*", default=[], metavar="data.key=value")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)

    from multihot.core.recipes import to_plain
    from multihot.data.labelled_file import open_labelled
    from multihot.inference.artifact import read_artifact
    from multihot.workflows.export import export

    artifact = read_artifact(given.model)  # verified when its network is loaded
    examples = None
    if given.file is not None:
        data = data_options(given.assignments, to_plain(artifact.data))
        examples = open_labelled(given.file, data, space=artifact.decision.space)
        for note in examples.notes:
            say_note(note)
    elif given.assignments:
        raise OptionError("data.KEY=VALUE changes how FILE is read, and there is none.")
    try:
        result = export(
            given.model,
            given.output,
            to=given.to,
            examples=examples,
            fold_thresholds=given.fold_thresholds,
            max_flips=given.max_flips,
            progress=say,
        )
    except CheckFailedError as failure:
        say(str(failure.report))
        raise
    for note in result.notes:
        say(note)
    if given.json:
        print_json(result.to_json())
    else:
        show(report_text(result.certificate, all_labels=given.all_labels))
    say(f"The export is in {result.folder}.")
    return 0
