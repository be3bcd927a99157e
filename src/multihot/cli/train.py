"""`multihot train`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multihot.cli.arguments import files_and_assignments, new_parser, parse
from multihot.cli.console import ConsoleListener, let_the_first_speak, report_text, say, say_note
from multihot.core.launch import launched
from multihot.core.options import TrainOptions
from multihot.core.recipes import (
    build_options,
    option_types,
    parse_assignments,
    read_recipe,
    to_plain,
    updated,
)
from multihot.errors import OptionError

if TYPE_CHECKING:
    from multihot.core.labels import LabelSpace
    from multihot.data.labelled_file import LabelledFile
    from multihot.inference.artifact import Artifact

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot train tickets.csv
  multihot train train.tsv --validation dev.tsv \\
      --encoder bert-base-uncased --goal jaccard
  multihot train train.csv --recipe recipe.toml epochs=3 \\
      data.text_column=message
  multihot train tweets.csv reviews.jsonl --validation dev.csv
  multihot train few.csv --folds 5
  multihot train tagged.csv --linear-baseline
  multihot train train.csv --validation dev.csv --teacher runs/large \\
      --unlabelled texts.csv
  multihot train train.csv --validation dev.csv --seeds 3 seeds_keep=average
  torchrun --nproc-per-node 2 -m multihot train train.csv --validation dev.csv

key=value sets any option of a recipe and overrides flags; flags override the recipe.
Without --validation, a stratified 10 % of the rows becomes the validation set. Several TRAIN files are
merged: labels are matched by name, and labels that a file lacks are unknown in its rows.
"""
_FLAGS = ("encoder", "goal", "device", "folds", "seeds", "teacher")  # also options of a recipe


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("train", "Train a multi-label classifier.", _EPILOG)
    parser.add_argument("files_and_options", nargs="+", metavar="TRAIN", help="labelled files")
    parser.add_argument(
        "--validation", metavar="FILE", help="selects the epoch and fits the thresholds"
    )
    parser.add_argument("--encoder", metavar="NAME|DIR", help="hub name, folder, or starter")
    parser.add_argument(
        "--from", dest="start_from", metavar="MODEL", help="fine-tune this model further"
    )
    parser.add_argument("--folds", metavar="K", help="K-fold cross-validation, for few rows")
    parser.add_argument("--seeds", metavar="N", help="train with N seeds; see seeds_keep")
    parser.add_argument(
        "--teacher", metavar="MODEL", action="append", help="distil this trained model; repeatable"
    )
    parser.add_argument(
        "--unlabelled",
        metavar="FILE",
        nargs="+",
        action="extend",
        default=[],
        help="unlabelled texts for distillation",
    )
    parser.add_argument("--goal", help="threshold objective: jaccard, micro_f1, macro_f1 ...")
    parser.add_argument(
        "--label-hierarchy",
        metavar="SIGN|FILE",
        help="labels that imply others: / for a/b, or child,parent pairs",
    )
    parser.add_argument("--recipe", metavar="FILE", help="TOML file of options")
    parser.add_argument("--output", metavar="DIR", help="model folder (default: runs/NAME)")
    parser.add_argument(
        "--resume", action="store_true", help="resume the interrupted run in --output"
    )
    parser.add_argument(
        "--linear-baseline",
        action="store_true",
        help="also train TF-IDF + logistic regression, and compare",
    )
    parser.add_argument("--all-labels", action="store_true", help="all labels in the report")
    parser.add_argument("--device", help="auto, cpu, cuda, mps")
    parser.usage = f"{parser.prog} TRAIN [TRAIN ...] [key=value ...] [--option ...]"
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command and return the exit code."""
    given = parse(build_parser(), arguments)
    let_the_first_speak()
    paths, assignments = files_and_assignments(given.files_and_options)
    given.unlabelled, trailing = files_and_assignments(given.unlabelled)
    assignments += trailing
    if not paths:
        raise OptionError("No training file given; name at least one labelled file.")
    bare_names = [path for path in paths if path in option_types(TrainOptions)]
    parse_assignments(
        name for name in bare_names if not Path(name).exists()
    )  # raises with the form
    values = _values(given, assignments)
    from multihot.core.extras import require_training

    require_training()  # before the first import of torch
    from multihot.inference.artifact import is_artifact, read_artifact
    from multihot.training.run_directory import check_output

    stems = dict.fromkeys(Path(path).stem for path in paths)
    output = Path(given.output or Path("runs") / "+".join(stems))
    is_finished = given.resume and is_artifact(output)
    if not is_finished:
        check_output(output, resume=given.resume)
    space, named = None, values
    if given.start_from:
        if given.encoder:
            raise OptionError("--from continues from that model's encoder; omit --encoder.")
        artifact = read_artifact(given.start_from)  # verified when its network is loaded
        space = artifact.decision.space
        values = _continued_options(artifact, values)
    options = build_options(TrainOptions, values)
    if is_finished:
        _leave_finished(output, options, named)
        return 0
    if given.unlabelled and not options.teacher:
        raise OptionError(
            "--unlabelled needs a teacher to pseudo-label the texts: add --teacher MODEL."
        )
    training, validation = _read(paths, given.validation, given.unlabelled, options, space)

    with ConsoleListener() as listener:
        from multihot.workflows.train import train

        result = train(
            training,
            validation,
            options,
            output,
            start_from=Path(given.start_from) if given.start_from else None,
            resume=given.resume,
            linear_baseline=given.linear_baseline,
            listener=listener,
        )
    report = report_text(result, all_labels=given.all_labels)
    say(f"\n{_evaluated_rows(options)}:\n{report}\n")
    say(f"The model is in {output}. Next:\n  multihot evaluate {output} TEST_FILE")
    say(f'  multihot predict {output} "a text"')
    say(f"\n{result.conclusion}")
    return 0


def _leave_finished(output: Path, options: TrainOptions, named: dict[str, Any]) -> None:
    """Refuse other options than those of the finished run; remove what only the run needed."""
    from multihot.training.run_directory import RunDirectory, require_same_options

    require_same_options(output, to_plain(options), named)
    if launched().rank == 0:
        RunDirectory(output / "run").clear()  # it may have been killed when all was done
    say(f"{output} is already finished; nothing to resume, and no file was read.")


def _evaluated_rows(options: TrainOptions) -> str:
    """Return which rows the printed metrics are computed on."""
    if options.folds is not None:
        return (
            "Out-of-fold metrics: each row is scored by a network not trained on it; the thresholds "
            "are fitted to these scores"
        )
    if options.seeds > 1:
        selected = "the epochs and the seed" if options.seeds_keep == "best" else "the epochs"
        return f"Validation metrics (these rows selected {selected} and fitted the thresholds)"
    return "Validation metrics (these rows selected the epoch and fitted the thresholds)"


def _values(given: argparse.Namespace, assignments: Sequence[str]) -> dict[str, Any]:
    """Return the options as plain values: recipe, then flags, then key=value."""
    values = read_recipe(given.recipe) if given.recipe else {}
    flags = {name: getattr(given, name) for name in _FLAGS}
    values = updated(values, {name: value for name, value in flags.items() if value is not None})
    if given.label_hierarchy is not None:
        values = updated(values, {"data": {"label_hierarchy": given.label_hierarchy}})
    return updated(values, parse_assignments(assignments))


def _continued_options(artifact: Artifact, values: dict[str, Any]) -> dict[str, Any]:
    """Override what the model was trained with: goal, thresholds and columns."""
    if unused := sorted({"encoder", "label_descriptions", "pooling"} & set(values)):
        say(f"--from keeps that model's encoder and head; ignored: {', '.join(unused)}.")
    inherited = {**artifact.decision.train_values(), "data": to_plain(artifact.data)}
    return updated(inherited, values)


def _read(
    train_paths: Sequence[str],
    validation_path: str | None,
    unlabelled_paths: Sequence[str],
    options: TrainOptions,
    space: LabelSpace | None,
) -> tuple[LabelledFile, LabelledFile | None]:
    """Open all files, the validation file like the training files, and report what was detected."""
    from multihot.data.examples import portable
    from multihot.data.labelled_file import open_labelled
    from multihot.data.union import open_union, with_unlabelled

    training = open_union(train_paths, options.data, space=space)
    if unlabelled_paths:
        if validation_path and _is_among(validation_path, unlabelled_paths):
            raise OptionError(
                f"{validation_path} is the validation file; training on its texts would bias the "
                "validation metrics. Remove it from --unlabelled."
            )
        training = with_unlabelled(training, unlabelled_paths, options.data)
    _report_notes(training)
    if validation_path is None:
        return training, None
    data = portable(training.data)
    validation = open_labelled(validation_path, data, space=training.space)
    _report_notes(validation)
    return training, validation


def _is_among(path: str, others: Sequence[str]) -> bool:
    return os.path.realpath(path) in map(os.path.realpath, others)


def _report_notes(file: LabelledFile) -> None:
    say(f"{file.source}:")
    for note in file.notes:
        say_note(f"  {note}")
