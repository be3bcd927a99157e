"""`multihot pretrain`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multihot.cli.arguments import new_parser, parse, print_json
from multihot.cli.console import ConsoleListener, let_the_first_speak, say, say_note, show
from multihot.core.launch import Launch, require_alone
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.recipes import build_options, parse_assignments, read_recipe, updated
from multihot.errors import OptionError

if TYPE_CHECKING:
    from multihot.core.options import DataOptions
    from multihot.data.examples import Examples
    from multihot.workflows.probe import ProbeReport

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot pretrain books/ --output runs/mini --hours 0.33
  multihot pretrain texts.jsonl.gz --output runs/mine \\
      --encoder bert-base-uncased --hours 4
  multihot pretrain books/ --output runs/mini --resume
  multihot pretrain books/ --output runs/mini --resume \\
      --probe train.csv dev.csv probe.goal=jaccard

CORPUS is plain text (documents separated by blank lines) or JSON lines, optionally compressed, or a
folder of such files. key=value sets any option of a recipe and overrides flags; flags override the
recipe. --resume takes the options of the interrupted run. --probe fine-tunes a labelled task from
the initial, intermediate and final encoder and compares the results; probe.KEY=VALUE sets an option
of 'train' for it.
"""

_FLAGS = {"tokenizer": "tokenizer", "encoder": "encoder", "size": "encoder_size", "hours": "hours"}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser(
        "pretrain",
        "Pretrain an encoder with masked-language modelling and next-sentence prediction.",
        _EPILOG,
    )
    parser.add_argument(
        "files_and_options", nargs="+", metavar="CORPUS|key=value", help="text corpus; options"
    )
    parser.add_argument("--output", metavar="DIR", help="encoder folder")
    parser.add_argument("--tokenizer", metavar="NAME|DIR", help="default: trained on the corpus")
    parser.add_argument("--encoder", metavar="NAME|DIR", help="continue pretraining this encoder")
    parser.add_argument("--size", metavar="SIZE", help="of a new encoder: tiny, mini, ..., 12x512")
    parser.add_argument("--hours", type=float, metavar="H", help="training time budget")
    parser.add_argument(
        "--resume", action="store_true", help="resume the interrupted run in --output"
    )
    parser.add_argument("--recipe", metavar="FILE", help="TOML file of options")
    parser.add_argument(
        "--probe", nargs=2, metavar=("TRAIN", "VALIDATION"), help="labelled files of the probe"
    )
    parser.add_argument("--json", action="store_true", help="print the reports as JSON")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command and return the exit code."""
    given = parse(build_parser(), arguments)
    launch = let_the_first_speak()
    require_alone(launch.count, {"--probe": given.probe})
    # A file may be called a=b.txt, so an existing path is a file.
    arguments = given.files_and_options
    files = [name for name in arguments if "=" not in name or Path(name).exists()]
    pairs = [name for name in arguments if name not in files]
    options = build_options(PretrainOptions, _values(given, pairs))
    if given.encoder is not None and given.size is not None:
        raise OptionError(
            f"--size {given.size} sets the size of a new encoder, but --encoder {given.encoder} already "
            "has one. Use only one of the two."
        )
    if given.output is None:
        raise OptionError("--output DIR is missing: the folder to write the encoder to.")
    output = Path(given.output)
    from multihot.core.extras import require_training

    require_training()
    task = _read_task(given.probe, options.probe.data) if given.probe else None
    with ConsoleListener() as listener:
        from multihot.training.pretraining.report import is_pretrained, read_report
        from multihot.workflows.pretrain import pretrain, probe_starts

        if given.resume and is_pretrained(output):
            _clear(output, launch)
            say(f"{output} is already finished.")
            report = read_report(output)
        elif not files:
            raise OptionError("No corpus given; name files or folders of texts.")
        else:
            report = pretrain(files, output, options, resume=given.resume, listener=listener)
        if not given.json:
            show(report)
        comparison: ProbeReport | None = None
        if task is not None:
            from multihot.workflows.probe import probe

            folder = output / "run" / "probe"
            comparison = probe(
                probe_starts(output), *task, options.probe, folder, listener=listener
            )
    if given.json:
        probed = comparison.to_json() if comparison is not None else None
        print_json({**report.to_json(), "probe": probed})
    elif comparison is not None:
        show(f"\n{comparison}")
    say(f"\nThe encoder is in {output}. Next:")
    say(f'  multihot fill-mask {output} "Paris is the [MASK] of France"')
    say(f"  multihot train TRAIN_FILE --encoder {output}")
    return 0


def _clear(output: Path, launch: Launch) -> None:
    """Remove what only an unfinished run needs: it may have been killed when all was done."""
    from multihot.training.run_directory import RunDirectory

    if launch.rank == 0:
        RunDirectory(output / "run").clear()


def _values(given: argparse.Namespace, pairs: Sequence[str]) -> dict[str, Any]:
    """Return the options as plain values: recipe, then flags, then key=value."""
    values = _values_before(given)
    if given.recipe:
        values = updated(values, read_recipe(given.recipe))
    flags = {option: getattr(given, flag) for flag, option in _FLAGS.items()}
    values = updated(values, {name: value for name, value in flags.items() if value is not None})
    return updated(values, parse_assignments(pairs))


def _values_before(given: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the run that is resumed; none of a new run."""
    if not given.resume or given.output is None:
        return {}
    from multihot.training.run_directory import RunDirectory, stored_options

    run = RunDirectory(Path(given.output) / "run")
    if not os.path.lexists(run.recipe):
        return {}
    options = stored_options(run)
    try:
        build_options(PretrainOptions, options)
    except OptionError as error:
        raise OptionError(f"{run.recipe}: {error}") from None
    return options


def _read_task(paths: Sequence[str], data: DataOptions) -> tuple[Examples, Examples]:
    """Read the files of the probe, so that errors in them are found before pretraining starts."""
    from multihot.data.examples import portable
    from multihot.data.labelled_file import read_examples

    training = read_examples(paths[0], data)
    if training.labels is None:
        raise OptionError(f"{paths[0]} has no labels, which the probe needs.")
    space = training.labels.space
    validation = read_examples(paths[1], portable(training.data), space=space)
    for examples in (training, validation):
        say(f"{examples.source}:")
        for note in examples.notes:
            say_note(f"  {note}")
    return training, validation
