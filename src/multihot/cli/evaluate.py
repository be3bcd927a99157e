"""`multihot evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from multihot.cli.arguments import (
    add_backend_flags,
    check_new,
    check_order,
    data_options,
    new_parser,
    parse,
    print_json,
)
from multihot.cli.console import (
    NUM_SAMPLED,
    TextCounter,
    report_text,
    say,
    say_if_unknown,
    say_note,
    show,
)

__all__ = ["build_parser", "run"]

_EPILOG = """The file is read as the training file was; data.KEY=VALUE changes that.
--json prints one document: {"rows", "metrics": {NAME: {"value", "low", "high", "error"}}, "labels":
{...}, "promises": [...]}. "low" and "high" are 95 % intervals, null where there is none. "error" bounds the error of
ranking metrics of very large files, whose scores are binned; otherwise it is 0. "promises" says whether the
limits that 'multihot decide' promised held on these rows. --reliability FILE
adds the reliability bins of each label to the JSON and draws them.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("evaluate", "Score a model on a labelled file.", _EPILOG)
    parser.add_argument("model", metavar="MODEL", help="folder that 'multihot train' wrote")
    parser.add_argument("file", metavar="FILE", help="file of texts and labels")
    parser.add_argument(
        "--threshold", type=float, metavar="T", help="use this threshold for every label"
    )
    parser.add_argument(
        "--reliability", metavar="FILE", help="draw reliability diagrams (png, svg, pdf)"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing file of diagrams")
    add_backend_flags(parser)
    parser.add_argument("--all-labels", action="store_true", help="all labels in the tables")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("assignments", nargs="*", default=[], metavar="data.key=value")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    check_order(given.model, given.file)

    from multihot.core.recipes import to_plain
    from multihot.data.labelled_file import open_labelled
    from multihot.evaluation.report import draw_reliability, require_plots
    from multihot.inference.artifact import load_artifact
    from multihot.inference.predictor import Predictor
    from multihot.workflows.evaluate import evaluate

    picture = None if given.reliability is None else Path(given.reliability)
    if picture is not None:
        require_plots(picture)
        check_new(picture, "--reliability", force=given.force)
    artifact = load_artifact(given.model)
    data = data_options(given.assignments, to_plain(artifact.data))
    examples = open_labelled(given.file, data, space=artifact.decision.space)
    for note in examples.notes:
        say_note(note)
    predictor = Predictor.from_artifact(
        artifact, device=given.device, precision=given.precision, backend=given.backend
    )
    say_if_unknown(predictor, next(examples.chunks(NUM_SAMPLED)).texts)  # it has a row
    counter = TextCounter(len(examples))
    report = evaluate(predictor, examples, threshold=given.threshold, progress=counter)
    if picture is not None:
        for note in draw_reliability(report, picture):
            say_note(note)
        say(f"Reliability diagrams: {picture}")
    if given.json:
        for remark in report.remarks():
            say(remark)
        print_json(report.to_json(reliability=picture is not None))
    else:
        show(report_text(report, all_labels=given.all_labels))
    return 0
