"""`multihot watch`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from multihot.cli.arguments import (
    add_backend_flags,
    check_order,
    data_options,
    new_parser,
    parse,
    print_json,
)
from multihot.cli.console import TextCounter, report_text, say, say_note, show
from multihot.errors import OptionError

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot watch runs/ec this-week.csv
  cat texts.txt | multihot watch runs/ec - --json
  multihot watch runs/ec this-week.csv --check || echo "look at it"

Texts need no labels. Compared are: how frequent each label is, from calibrated scores ("now"; "em" and
"bbse" are right where only the numbers of texts with and without the label changed); texts that get no
label; tokens that the vocabulary does not have; lengths and truncation. A change counts when it is beyond
chance (all tests together raise a false alarm in at most 1 % of calls) and at least by a factor of 1.2.
--json prints one document: {"rows", "fitted_rows", "source", "level", "decide_again", "measures",
"labels", "too_rare"}. With --check the exit code is 3 when it says to decide again.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser(
        "watch", "Compare unlabelled texts with the rows that fitted the decision.", _EPILOG
    )
    parser.add_argument("model", metavar="MODEL", help="folder that 'multihot train' wrote")
    parser.add_argument("texts", metavar="TEXTS", help="file of texts, or - for standard input")
    parser.add_argument(
        "--check", action="store_true", help="exit with 3 when it says to decide again"
    )
    parser.add_argument("--seed", type=int, default=0, help="of bootstrap samples (default: 0)")
    add_backend_flags(parser)
    parser.add_argument("--all-labels", action="store_true", help="all labels in the tables")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("assignments", nargs="*", default=[], metavar="data.key=value")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    check_order(given.model, given.texts)
    if given.seed < 0:
        raise OptionError(f"--seed {given.seed}; expected 0 or more.")

    from multihot.core.recipes import to_plain
    from multihot.data.text_stream import stream_texts
    from multihot.inference.artifact import read_artifact
    from multihot.inference.predictor import Predictor
    from multihot.workflows.watch import require_facts, watch

    artifact = read_artifact(given.model)  # verified when its network is loaded
    require_facts(artifact)
    stream = stream_texts(given.texts, data_options(given.assignments, to_plain(artifact.data)))
    num_shown = len(stream.notes)
    for note in stream.notes:
        say_note(note)
    predictor = Predictor.from_artifact(
        artifact, device=given.device, precision=given.precision, backend=given.backend
    )
    texts = (row.text for row in stream.rows)
    report = watch(predictor, texts, seed=given.seed, progress=TextCounter())
    for note in stream.notes[num_shown:]:  # what is known only after the last row
        say_note(note)
    if given.json:
        for remark in report.remarks():
            say(remark)
        print_json(report.to_json())
    else:
        show(report_text(report, all_labels=given.all_labels))
    return 3 if given.check and report.decide_again else 0
