"""`multihot train`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multihot.cli.arguments import files_and_assignments, new_parser, parse
from multihot.cli.console import ConsoleListener, say
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

__all__ = ["run"]

_EPILOG = """examples:
  multihot train tickets.csv
  multihot train train.tsv --validation dev.tsv --encoder bert-base-uncased --goal jaccard
  multihot train train.csv --recipe recipe.toml epochs=3 data.text_column=message
  multihot train tweets.csv reviews.jsonl --validation dev.csv
  multihot train few.csv --folds 5
  multihot train train.csv --validation dev.csv --teacher runs/large --unlabelled texts.csv
  multihot train train.csv --validation dev.csv --seeds 3 seeds_keep=average

key=value sets any option of a recipe; on conflict key=value beats a flag, and a flag the recipe.
Without --validation a stratified tenth of the rows is set aside. Several TRAIN files train as one:
labels are matched by name, and what a file does not know is unknown in its rows.
"""
_FLAGS = ("encoder", "goal", "device", "folds", "seeds", "teacher")  # also options of a recipe


def _parser() -> argparse.ArgumentParser:
    parser = new_parser("train", "Train a multi-label classifier.", _EPILOG)
    parser.add_argument("words", nargs="+", metavar="TRAIN", help="files of texts and labels")
    parser.add_argument("--validation", metavar="FILE", help="chooses epoch and thresholds")
    parser.add_argument("--encoder", metavar="NAME|DIR", help="hub name, folder, or starter")
    parser.add_argument("--from", dest="start_from", metavar="MODEL", help="go on from this model")
    parser.add_argument("--folds", metavar="K", help="few rows: set none aside, score out of fold")
    parser.add_argument("--seeds", metavar="N", help="repeat with N seeds; see seeds_keep")
    parser.add_argument(
        "--teacher", metavar="MODEL", action="append", help="learn from this model's scores too"
    )
    parser.add_argument(
        "--unlabelled",
        metavar="FILE",
        nargs="+",
        action="extend",
        default=[],
        help="texts to teach",
    )
    parser.add_argument("--goal", help="metric to decide for: jaccard, micro_f1, macro_f1 ...")
    parser.add_argument("--recipe", metavar="FILE", help="TOML file of options")
    parser.add_argument("--output", metavar="DIR", help="the model folder (default: runs/NAME)")
    parser.add_argument("--resume", action="store_true", help="continue the run in --output")
    parser.add_argument("--device", help="auto, cpu, cuda, mps")
    parser.usage = f"{parser.prog} TRAIN [TRAIN ...] [key=value ...] [--option ...]"
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the verb with the words behind it; return the exit code."""
    given = parse(_parser(), arguments)
    paths, assignments = files_and_assignments(given.words)
    given.unlabelled, behind = files_and_assignments(given.unlabelled)
    assignments += behind
    if not paths:
        raise OptionError("Name at least one file of texts and labels to train on.")
    forgotten = [word for word in paths if word in option_types(TrainOptions)]
    parse_assignments(word for word in forgotten if not Path(word).exists())  # says how to write it
    values = _values(given, assignments)
    from multihot.inference.artifact import is_artifact, load_artifact
    from multihot.training.run_directory import check_output

    stems = dict.fromkeys(Path(path).stem for path in paths)
    output = Path(given.output or Path("runs") / "+".join(stems))
    if given.resume and is_artifact(output):
        say(f"{output} is already finished; nothing to resume.")
        return 0
    check_output(output, resume=given.resume)
    space = None
    if given.start_from:
        if given.encoder:
            raise OptionError("--from goes on with the encoder of that model; leave out --encoder.")
        artifact = load_artifact(given.start_from)
        space = artifact.decision.space
        values = _going_on_from(artifact, values)
    options = build_options(TrainOptions, values)
    if given.unlabelled and not options.teacher:
        raise OptionError(
            "--unlabelled texts are learnt through what a teacher says of them: add --teacher MODEL."
        )
    training, validation = _read(paths, given.validation, given.unlabelled, options, space)

    with ConsoleListener() as listener:
        from multihot.core.extras import require_training

        require_training()
        from multihot.workflows.train import train

        result = train(
            training,
            validation,
            options,
            output,
            start_from=Path(given.start_from) if given.start_from else None,
            resume=given.resume,
            listener=listener,
        )
    say(f"\n{_judged(options)}:\n{result}\n")
    say(f"The model is in {output}. Next:")
    say(f"  multihot evaluate {output} TEST_FILE")
    say(f'  multihot predict {output} "a text"')
    return 0


def _judged(options: TrainOptions) -> str:
    """Say which rows the printed figures are of."""
    if options.folds is not None:
        return (
            "Out of fold: each row scored by a network that had not seen it; the thresholds are "
            "fitted to these scores"
        )
    if options.seeds > 1:
        chosen = "epochs, seed" if options.seeds_keep == "best" else "epochs"
        return f"On the validation rows, which chose {chosen} and thresholds"
    return "On the validation rows, which chose epoch and thresholds"


def _values(given: argparse.Namespace, assignments: Sequence[str]) -> dict[str, Any]:
    """Return the options as plain values: recipe, then flags, then key=value."""
    values = read_recipe(given.recipe) if given.recipe else {}
    flags = {name: getattr(given, name) for name in _FLAGS}
    values = updated(values, {name: value for name, value in flags.items() if value is not None})
    return updated(values, parse_assignments(assignments))


def _going_on_from(artifact: Artifact, values: dict[str, Any]) -> dict[str, Any]:
    """Lay the options over what the model was trained with: goal, thresholds and columns."""
    if unused := sorted({"encoder", "label_descriptions", "pooling"} & set(values)):
        say(f"--from goes on with that model's encoder and head; not used: {', '.join(unused)}.")
    inherited = {**artifact.decision.train_values(), "data": to_plain(artifact.data)}
    return updated(inherited, values)


def _read(
    train_paths: Sequence[str],
    validation_path: str | None,
    unlabelled_paths: Sequence[str],
    options: TrainOptions,
    space: LabelSpace | None,
) -> tuple[LabelledFile, LabelledFile | None]:
    """Open all files, the last as those to train on, and say what was recognised in each."""
    from multihot.data.examples import portable
    from multihot.data.labelled_file import open_labelled
    from multihot.data.union import open_union, with_unlabelled

    training = open_union(train_paths, options.data, space=space)
    if unlabelled_paths:
        if validation_path and _is_among(validation_path, unlabelled_paths):
            raise OptionError(
                f"{validation_path} is the validation file, whose figures would mean little for texts that "
                "were trained on; leave it out of --unlabelled."
            )
        training = with_unlabelled(training, unlabelled_paths, options.data)
    _say_notes(training)
    if validation_path is None:
        return training, None
    data = portable(training.data)
    validation = open_labelled(validation_path, data, space=training.space)
    _say_notes(validation)
    return training, validation


def _is_among(path: str, others: Sequence[str]) -> bool:
    return Path(path).resolve() in [Path(other).resolve() for other in others]


def _say_notes(file: LabelledFile) -> None:
    say(f"{file.source}:")
    for note in file.notes:
        say(f"  {note}")
