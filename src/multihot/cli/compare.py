"""`multihot compare`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from multihot.cli.arguments import add_backend_flags, data_options, new_parser, parse, print_json
from multihot.cli.console import TextCounter, report_text, say, say_note, show

__all__ = ["build_parser", "run"]

_EPILOG = """Both models score the same texts. Every difference is A minus B, with a 95 % interval by paired
bootstrap and a p-value by permutation; the p-values of labels are also corrected together (Holm).
The file is read as the training file of A was; data.KEY=VALUE changes that. --json prints one
document: {"rows", "metrics": {NAME: {"first", "second", "difference", "low", "high", "p_value",
"visible_difference", "rows_for_half_a_point", ...}}, "labels": {NAME: {..., "p_value_holm"}}}.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("compare", "Compare two models on a labelled file.", _EPILOG)
    parser.add_argument("first", metavar="A", help="folder that 'multihot train' wrote")
    parser.add_argument("second", metavar="B", help="model folder to compare with")
    parser.add_argument("file", metavar="FILE", help="file of texts and labels")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of bootstrap and permutation (default: 0)"
    )
    add_backend_flags(parser)
    parser.add_argument("--all-labels", action="store_true", help="all labels in the tables")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("assignments", nargs="*", default=[], metavar="data.key=value")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)

    from multihot.core.recipes import to_plain
    from multihot.errors import OptionError
    from multihot.inference.artifact import load_artifact
    from multihot.inference.predictor import Predictor
    from multihot.workflows.compare import compare, open_for_both

    if given.seed < 0:
        raise OptionError(f"--seed is {given.seed}; expected a whole number from 0.")
    artifacts = [load_artifact(folder) for folder in (given.first, given.second)]
    data = data_options(given.assignments, to_plain(artifacts[0].data))
    examples = open_for_both(given.file, data, *(one.decision.space for one in artifacts))
    for note in examples.notes:
        say_note(note)
    models = [
        Predictor.from_artifact(
            one, device=given.device, precision=given.precision, backend=given.backend
        )
        for one in artifacts
    ]
    counter = TextCounter(len(examples))
    comparison = compare(models[0], models[1], examples, seed=given.seed, progress=counter)
    if given.json:
        for remark in comparison.remarks():
            say(remark)
        print_json(comparison.to_json())
    else:
        show(report_text(comparison, all_labels=given.all_labels))
    return 0
