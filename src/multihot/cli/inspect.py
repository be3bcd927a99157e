"""`multihot inspect`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from multihot.cli.arguments import (
    data_options,
    files_and_assignments,
    new_parser,
    parse,
    print_json,
)
from multihot.cli.console import report_text, show
from multihot.errors import OptionError

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot inspect train.csv dev.csv test.csv
  multihot inspect reviews.tsv --encoder bert-base-uncased \\
      data.text_column=review
  multihot inspect runs/ec

Give the training file first: the others are compared with it (leaks, label frequencies, unseen
labels).
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("inspect", "Report on data files, or on a model folder.", _EPILOG)
    parser.add_argument("targets", nargs="+", metavar="FILE|MODEL", help="files or one model")
    parser.add_argument(
        "--encoder", metavar="NAME|DIR", help="encoder whose tokenizer counts tokens"
    )
    parser.add_argument("--max-length", type=int, metavar="TOKENS", help="truncation length")
    parser.add_argument("--all-labels", action="store_true", help="all labels in the tables")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)

    from multihot.inference.artifact import is_artifact
    from multihot.workflows.inspect import (
        ArtifactSummary,
        Inspection,
        inspect_artifact,
        inspect_files,
    )

    pairs = [each for each in files_and_assignments(given.targets)[1] if not Path(each).exists()]
    paths = [target for target in given.targets if target not in pairs]
    if not paths:
        raise OptionError("Give at least one file or model folder to inspect.")
    model = next((path for path in paths if is_artifact(Path(path))), None)
    result: ArtifactSummary | Inspection
    if model is not None:
        if len(paths) > 1:
            raise OptionError(
                f"{model} is a model folder: inspect one model at a time, without files."
            )
        if pairs or given.encoder is not None or given.max_length is not None:
            raise OptionError(
                f"{model} is a model folder; data.KEY=VALUE, --encoder and --max-length apply to data "
                "files only. Remove them."
            )
        result = inspect_artifact(Path(model))
    else:
        data = data_options(pairs, {})
        result = inspect_files(paths, data, encoder=given.encoder, max_length=given.max_length)
    if given.json:
        print_json(result.to_json())
    else:
        show(report_text(result, all_labels=given.all_labels))
    return 0
