"""`multihot decide`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from multihot.cli.arguments import (
    add_backend_flags,
    check_order,
    data_options,
    new_parser,
    parse,
    print_json,
)
from multihot.cli.console import TextCounter, report_text, say, say_note, show
from multihot.core.goals import read_costs
from multihot.core.limits import split_goal
from multihot.core.text_tables import listed

if TYPE_CHECKING:
    from multihot.inference.artifact import Artifact

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot decide runs/ec dev.csv --goal jaccard
  multihot decide runs/ec dev.csv --goal 'precision>=0.9' \\
      --thresholds per_label
  multihot decide runs/ec dev.csv --goal cost=1:5 --calibration platt \\
      --empty-set-rule abstain
  multihot decide runs/ec dev.csv \\
      --goal 'jaccard, recall[fear]>=0.9@0.95, abstained<=0.15' \\
      --empty-set-rule abstain

goals: micro_f1, macro_f1, jaccard, subset_accuracy, precision>=P, recall>=R, top_k=K, cost=FP:FN.
Behind a comma, limits that are promised for texts like these rows: recall[LABEL]>=R,
precision[LABEL]>=P, samples_recall>=R, abstained<=A; @C is the confidence (default: 0.95), @mean asks for it on average.
What is not given stays as the model has it. Only thresholds.json is written, and model.onnx of an export,
which holds the decision, too. Use rows that are
neither training nor test rows of the model. "before" and "after" are in-sample, measured on these
rows; the lines below them are cross-fitted.
--json prints one document: {"rows", "before", "after", "labels", "fit_report", "notes",
"promises"}.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser(
        "decide", "Tune goal, thresholds and calibration without training.", _EPILOG
    )
    parser.add_argument("model", metavar="MODEL", help="folder that 'multihot train' wrote")
    parser.add_argument("file", metavar="FILE", help="file of texts and labels")
    parser.add_argument("--goal", help="what thresholds are tuned for, and limits")
    parser.add_argument(
        "--thresholds", metavar="T", help="global, per_label, shrunk, by_frequency=T or a number"
    )
    parser.add_argument("--calibration", help="none, temperature, platt, beta or isotonic")
    parser.add_argument("--empty-set-rule", help="allow, at_least_one or abstain")
    parser.add_argument("--costs", metavar="FILE", help="label = [FP, FN] in TOML or JSON")
    parser.add_argument(
        "--seed", type=int, default=0, help="of folds and bootstrap samples (default: 0)"
    )
    add_backend_flags(parser, precision=False)
    parser.add_argument(
        "--changed-weights",
        action="store_true",
        help="accept weights that are not those the thresholds were fitted for",
    )
    parser.add_argument("--all-labels", action="store_true", help="all labels in the tables")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("assignments", nargs="*", default=[], metavar="data.key=value")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    check_order(given.model, given.file)
    if given.goal is not None:
        split_goal(given.goal)

    from multihot.core.recipes import to_plain
    from multihot.data.labelled_file import open_labelled
    from multihot.inference.predictor import Predictor
    from multihot.workflows.decide import decide, save

    artifact, notes = _artifact(given)
    for note in notes:
        say_note(note)
    names = artifact.decision.space.names
    costs = None if given.costs is None else read_costs(given.costs, names)
    data = data_options(given.assignments, to_plain(artifact.data))
    examples = open_labelled(given.file, data, space=artifact.decision.space)
    for note in examples.notes:
        say_note(note)
    predictor = Predictor.from_artifact(artifact, device=given.device, backend=given.backend)
    result = decide(
        predictor,
        examples,
        goal=given.goal,
        thresholds=_number_or_name(given.thresholds),
        calibration=given.calibration,
        empty_set_rule=given.empty_set_rule,
        costs=costs,
        seed=given.seed,
        progress=TextCounter(len(examples)),
    )
    save(predictor, result)
    for note in result.notes:
        say(note)
    if given.json:
        print_json(result.to_json())
    else:
        show(report_text(result, all_labels=given.all_labels))
    say(f"The new decision is in {artifact.folder / 'thresholds.json'}.")
    return 0


def _artifact(given: argparse.Namespace) -> tuple[Artifact, list[str]]:
    """Return the model, and what is to be said of its weights."""
    from multihot.inference.artifact import load_artifact, read_artifact
    from multihot.inference.renewal import with_present_weights

    if not given.changed_weights:
        return load_artifact(given.model), []
    artifact, changed = with_present_weights(read_artifact(given.model))
    if not changed:
        return artifact, ["The weights are those that the thresholds were fitted for."]
    return artifact, [
        f"{listed(changed)}: changed since the thresholds were fitted, which is done anew now."
    ]


def _number_or_name(thresholds: str | None) -> str | float | None:
    try:
        return None if thresholds is None else float(thresholds)
    except ValueError:
        return thresholds
