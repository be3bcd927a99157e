"""`multihot report`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multihot.cli.arguments import (
    add_backend_flags,
    check_new,
    data_options,
    files_and_assignments,
    new_parser,
    parse,
    print_json,
)
from multihot.cli.console import NUM_SAMPLED, TextCounter, say, say_if_unknown, say_note
from multihot.errors import OptionError

if TYPE_CHECKING:
    from multihot.core.options import DataOptions

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot report runs/ec test.csv --train train.csv --train dev.csv
  multihot report runs/ec test.csv --output report.json
  multihot report train.csv dev.csv test.csv --output data.html

The file is read as the training file was; data.KEY=VALUE changes that. Of data files alone, give the
training file first. The page is one file that loads nothing from elsewhere; --json prints its numbers.
"""
_PAGES, _DOCUMENTS = (".html", ".htm"), (".json",)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("report", "Show where a model is good, where not, and why.", _EPILOG)
    parser.add_argument(
        "targets", nargs="+", metavar="MODEL|FILE", help="a model and a file, or files"
    )
    parser.add_argument(
        "--train", action="append", default=[], metavar="FILE", help="what the model was trained on"
    )
    parser.add_argument("--output", metavar="FILE", help="page or JSON (default: report.html)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")
    parser.add_argument(
        "--label", action="append", default=[], metavar="NAME", help="show this label in full"
    )
    parser.add_argument(
        "--reasons", action="store_true", help="mark the words behind errors (slow)"
    )
    parser.add_argument("--encoder", metavar="NAME|DIR", help="of files alone: counts tokens")
    add_backend_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)

    from multihot.core.extras import require_reporting

    output = _output(given.output, printed=given.json)
    if output is not None:
        if output.suffix.lower() in _PAGES:
            require_reporting()
        check_new(output, "--output", force=given.force)
    pairs = [each for each in files_and_assignments(given.targets)[1] if not Path(each).exists()]
    targets = [target for target in given.targets if target not in pairs]
    document = _document(given, targets, pairs)
    for remark in document.get("remarks", document["data"]["remarks"]):
        say(remark)
    if output is not None:
        _write(output, document)
        say(f"Report: {output}")
    if given.json:
        print_json(document)
    return 0


def _output(name: str | None, *, printed: bool) -> Path | None:
    if name is None:
        return None if printed else Path("report.html")
    path = Path(name)
    if path.suffix.lower() not in (*_PAGES, *_DOCUMENTS):
        raise OptionError(f"--output {name}: expected a name that ends in .html or .json.")
    return path


def _document(given: argparse.Namespace, targets: list[str], pairs: list[str]) -> dict[str, Any]:
    from multihot.core.recipes import to_plain
    from multihot.inference.artifact import is_artifact, load_artifact

    if not targets:
        raise OptionError("Give a model and a file of labelled texts, or files of these alone.")
    model, *files = targets
    if not Path(model).is_dir() and not any(is_artifact(Path(each)) for each in files):
        flags = {"--train": given.train, "--label": given.label, "--reasons": given.reasons}
        for flag in (flag for flag, value in flags.items() if value):
            what = "a file" if Path(model).exists() else "not there"
            raise OptionError(
                f"{flag} belongs to a model, and {model} is {what}: give a model first."
            )
        from multihot.workflows.report import report_on_files

        return report_on_files(targets, data_options(pairs, {}), encoder=given.encoder)
    if not Path(model).is_dir():
        raise OptionError(f"{model} is a file and another argument a model: give the model first.")
    if is_artifact(Path(model)) and len(files) != 1:
        raise OptionError(
            f"{model} is a model: give it one file of labelled texts, and --train for others "
            f"({len(files)} given)."
        )
    artifact = load_artifact(model)
    if given.encoder is not None:
        raise OptionError("--encoder is for files alone: a model counts with its own tokenizer.")
    data = data_options(pairs, to_plain(artifact.data))
    return _model_document(given, artifact, files[0], data)


def _model_document(
    given: argparse.Namespace, artifact: Any, file: str, data: DataOptions
) -> dict[str, Any]:
    from multihot.data.labelled_file import open_labelled
    from multihot.inference.predictor import Predictor
    from multihot.workflows.report import report_on_model

    for name in given.label:
        artifact.decision.space.index(name)  # an unknown one is said before anything is computed
    examples = open_labelled(file, data, space=artifact.decision.space)
    for other in given.train:  # a file that cannot be read is said before anything is computed
        open_labelled(other, data, space=artifact.decision.space)
    for note in examples.notes:
        say_note(note)
    predictor = Predictor.from_artifact(
        artifact, device=given.device, precision=given.precision, backend=given.backend
    )
    say_if_unknown(predictor, next(examples.chunks(NUM_SAMPLED)).texts)  # it has a row
    return report_on_model(
        predictor,
        examples,
        train=given.train,
        data=data,
        labels=given.label,
        with_reasons=given.reasons,
        progress=TextCounter(len(examples)),
    )


def _write(path: Path, document: dict[str, Any]) -> None:
    from multihot.core.files import make_folder_of, write_json, write_text

    make_folder_of(path)
    if path.suffix.lower() in _DOCUMENTS:
        write_json(path, document)
        return
    from multihot.reporting.page import report_page

    write_text(path, report_page(document))
