"""`multihot suggest`."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multihot.cli.arguments import (
    add_backend_flags,
    check_new,
    data_options,
    new_parser,
    parse,
    print_json,
)
from multihot.cli.console import TextCounter, say, say_note, show
from multihot.cli.prediction_tables import TableStyle, delimited_rows, workbook_rows
from multihot.core.text_tables import counted, printable, shortened
from multihot.data.readers.guarded_cells import GUARD_COLUMN, guarded
from multihot.errors import OptionError, system_errors

if TYPE_CHECKING:
    from multihot.core.options import DataOptions
    from multihot.data.labelled_file import LabelledFile
    from multihot.workflows.suggest import Suggestions

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot suggest runs/ec new.csv --count 200 --labelled train.csv --output to-label.csv
  multihot suggest --labels names.txt new.csv --count 200 --output to-label.csv

Chooses texts that probably have labels with few positives, where the model is not certain, and no two of
which say the same. Without a model, texts are compared with the names of the labels by an encoder that was trained
for no labels; --descriptions gives it longer texts.
--output writes id, text and one empty cell for each label: write 1 or 0 into it; what stays empty is
unknown, for 'multihot train' too. The model's own answer comes after them, in columns that 'train' passes
over. .csv, .tsv, .xlsx and .jsonl (labels null). In .csv and .tsv, ' stands before what a spreadsheet
would read as a formula, until the file is read here again. data.KEY=VALUE says how the texts are read.
--json prints one document: {"texts", "labels", "rows": [{"id", "line", "text", "predicted_labels",
"scores", "value", "reasons"}]}.
"""
_TABLES, _WORKBOOK, _JSON_LINES = (".csv", ".tsv"), ".xlsx", (".jsonl", ".ndjson")
_MAX_SHOWN = 10
_MAX_CHARACTERS = 100


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("suggest", "Choose the texts to label next.", _EPILOG)
    parser.add_argument(
        "inputs",
        nargs="*",
        default=[],
        metavar="[MODEL] TEXTS",
        help="a model folder, unless --labels is given, and a file of texts (or -)",
    )
    parser.add_argument("--count", type=int, default=100, metavar="N", help="texts (default: 100)")
    parser.add_argument(
        "--labels", metavar="NAMES", help="file of label names, one a line, instead of a model"
    )
    parser.add_argument(
        "--descriptions", metavar="FILE", help="with --labels: JSON or TOML from names to texts"
    )
    parser.add_argument(
        "--encoder",
        default="starter",
        help="with --labels: a folder or hub name (default: starter)",
    )
    parser.add_argument(
        "--labelled", metavar="TRAIN", help="what is labelled already: left out, and counted"
    )
    parser.add_argument(
        "--diversity",
        type=float,
        default=0.5,
        metavar="D",
        help="0 to 1: how much less a text is worth that says the same as another (default: 0.5)",
    )
    parser.add_argument("--output", metavar="FILE", help="write the texts here, to be labelled")
    parser.add_argument("--force", action="store_true", help="replace an existing output")
    add_backend_flags(parser, precision=False)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    pairs = [word for word in given.inputs if re.match(r"data\.\w+=", word)]
    inputs = [word for word in given.inputs if word not in pairs]
    _check(given, inputs)
    found, data = (_by_names if given.labels else _by_model)(given, inputs, pairs)
    for note in found.notes:
        say_note(note)
    if given.output is not None:
        _write(found, Path(given.output), data)
    if given.json:
        print_json(found.to_json())
    elif given.output is None:
        show(_listing(found, most=len(found.rows)))
        say("--output FILE writes them with an empty cell for each label.")
    else:
        show(_listing(found, most=_MAX_SHOWN))
        say(f"{counted(len(found.rows), 'text')} to label in {given.output}.")
    return 0


def _check(given: argparse.Namespace, inputs: Sequence[str]) -> None:
    """Raise `OptionError` for arguments that contradict each other, before anything is loaded."""
    from multihot.decision.next_texts import check_choice

    expected = 1 if given.labels else 2
    if len(inputs) != expected:
        what = "a file of texts" if given.labels else "a model folder and a file of texts"
        raise OptionError(
            f"{counted(len(inputs), 'argument')} given; expected {what}"
            + ("." if given.labels else ", or --labels NAMES and a file of texts.")
        )
    check_choice(given.count, given.diversity)
    if given.descriptions and not given.labels:
        raise OptionError(
            "--descriptions is for --labels; a model knows its labels by their texts."
        )
    if given.output is not None:
        output = Path(given.output)
        if output.suffix.lower() not in (*_TABLES, _WORKBOOK, *_JSON_LINES):
            raise OptionError(
                f"--output {output} has no known ending: end it with .csv, .tsv, .xlsx, .jsonl or .ndjson."
            )
        with system_errors(f"--output {output}"):
            check_new(output, "--output", force=given.force)


def _by_model(
    given: argparse.Namespace, inputs: Sequence[str], pairs: Sequence[str]
) -> tuple[Suggestions, DataOptions]:
    from multihot.core.recipes import to_plain
    from multihot.data.labelled_file import open_labelled
    from multihot.data.text_stream import stream_texts
    from multihot.inference.artifact import read_artifact
    from multihot.inference.predictor import Predictor
    from multihot.workflows.suggest import suggest

    artifact = read_artifact(inputs[0])
    data = data_options(pairs, to_plain(artifact.data))
    _refuse_formulas(artifact.decision.space.names, given.output)
    labelled = None
    if given.labelled is not None:
        like = replace(artifact.data, unknown_labels=data.unknown_labels)
        labelled = open_labelled(given.labelled, like, space=artifact.decision.space)
        _say_notes(labelled)
    stream = stream_texts(inputs[1], data)
    predictor = Predictor.from_artifact(artifact, device=given.device, backend=given.backend)
    found = suggest(
        predictor,
        stream.rows,
        given.count,
        labelled=labelled,
        diversity=given.diversity,
        progress=TextCounter(),
    )
    for note in stream.notes:
        say_note(note)
    return found, artifact.data


def _by_names(
    given: argparse.Namespace, inputs: Sequence[str], pairs: Sequence[str]
) -> tuple[Suggestions, DataOptions]:
    from multihot.core.labels import LabelSpace
    from multihot.core.options import DataOptions
    from multihot.data.columns.label_names import read_label_names
    from multihot.data.labelled_file import open_labelled
    from multihot.data.text_stream import stream_texts
    from multihot.training.initial_model import read_descriptions
    from multihot.workflows.suggest import suggest_by_names

    names = read_label_names(given.labels)
    descriptions = read_descriptions(given.descriptions)
    data = data_options(pairs, {})
    _refuse_formulas(names, given.output)
    labelled = None
    if given.labelled is not None:
        like = DataOptions(unknown_labels=data.unknown_labels)
        labelled = open_labelled(given.labelled, like, space=LabelSpace(names))
        _say_notes(labelled)
    stream = stream_texts(inputs[0], data)
    found = suggest_by_names(
        names,
        stream.rows,
        given.count,
        descriptions=descriptions,
        labelled=labelled,
        encoder=given.encoder,
        device=given.device,
        diversity=given.diversity,
        progress=TextCounter(),
    )
    for note in stream.notes:
        say_note(note)
    return found, DataOptions()


def _say_notes(labelled: LabelledFile) -> None:
    for note in labelled.notes:
        say_note(note)


def _write(found: Suggestions, path: Path, data: DataOptions) -> None:
    """Write the texts with an empty cell for each label; nothing is negative that nobody said."""
    from multihot.core.files import atomic_text, make_folder_of

    names = list(found.labels)
    row_id = _free(data.id_column or "id", names, "id_column")
    text = _free(data.text_column or "text", [*names, row_id], "text_column")
    heads = [row_id, text, *names]
    ending = path.suffix.lower()
    rows = _rows(found, None if ending in _JSON_LINES else "")
    answers = ["predicted_labels", "truncated", *(f"score_{name}" for name in names)]
    num_guarded = _guard(rows, len(names)) if ending in _TABLES else 0
    if num_guarded:
        answers.insert(2, GUARD_COLUMN)
    tail = ""
    while not set(heads).isdisjoint(f"{answer}{tail}" for answer in answers):
        tail += "_"
    heads += [f"{answer}{tail}" for answer in answers]
    make_folder_of(path)
    if ending == _WORKBOOK:
        with workbook_rows(path) as put:
            put(heads)
            for cells in rows:
                put(cells)
        return
    with atomic_text(path) as output:
        if ending in _JSON_LINES:
            for cells in rows:
                record = dict(zip(heads, cells, strict=True))
                output.write(json.dumps(record, ensure_ascii=False) + "\n")
            return
        style = TableStyle("\t" if ending == ".tsv" else ",", ".", "utf-8", None, ())
        put = delimited_rows(output, style)
        put(heads)
        for cells in rows:
            put(cells)
    if num_guarded:
        say(
            f"{counted(num_guarded, 'row')} would be read as formulas by a spreadsheet: their id or text has ' "
            f"before it, which {heads[-len(names) - 1]} tells and multihot takes away when it reads the file. "
            "In .xlsx and .jsonl every cell stays as it was."
        )


def _guard(rows: list[list[Any]], num_labels: int) -> int:
    """Put `'` before ids and texts that a spreadsheet would compute; return in how many rows.

    Where there are any, each row gets a cell that says so.
    """
    changed = [[guarded(cell) for cell in row[:2]] for row in rows]
    is_changed = [cells != row[:2] for cells, row in zip(changed, rows, strict=True)]
    if any(is_changed):
        for row, cells, was in zip(rows, changed, is_changed, strict=True):
            row[:2] = cells
            row.insert(2 + num_labels + 2, "yes" if was else "")
    return sum(is_changed)


def _refuse_formulas(names: Sequence[str], output: str | None) -> None:
    if output is None or Path(output).suffix.lower() not in _TABLES:
        return
    for name in names:
        if guarded(name) != name:
            raise OptionError(
                f"A spreadsheet would read the label {name!r} as a formula, and with another name its "
                "column would be another label. End --output with .xlsx or .jsonl."
            )


def _untaken(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _free(name: str, taken: Sequence[str], option: str) -> str:
    free = _untaken(name, taken)
    if free != name:
        say(
            f"The column is called {free}, as {name} is a label: read it with data.{option}={free}."
        )
    return free


def _rows(found: Suggestions, empty: str | None) -> list[list[Any]]:
    return [
        [
            row.id,
            row.text,
            *[empty] * len(found.labels),
            json.dumps(row.predicted, ensure_ascii=False),
            row.truncated,
            *(round(score, 6) for score in row.scores.values()),
        ]
        for row in found.rows
    ]


def _listing(found: Suggestions, most: int) -> str:
    lines = []
    for row in found.rows[:most]:
        shown = shortened(printable(row.text), _MAX_CHARACTERS)
        lines.append(f"{printable(row.id)}  ({', '.join(map(printable, row.reasons))})  {shown}")
    if len(found.rows) > most:
        lines.append(f"... and {len(found.rows) - most} more")
    return "\n".join(lines)
