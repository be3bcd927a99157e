"""`multihot predict`."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from multihot.cli.arguments import data_options, holds_unicode, new_parser, parse
from multihot.cli.console import NUM_SAMPLED, TextCounter, say, say_if_unknown
from multihot.errors import DataError, OptionError

if TYPE_CHECKING:
    from multihot.data.text_stream import TextRow, TextStream
    from multihot.inference.artifact import Artifact
    from multihot.inference.predictor import Prediction

__all__ = ["run"]

_EPILOG = """examples:
  multihot predict runs/ec "I'm happy, the bert model is so good"
  multihot predict runs/ec --input new.csv --output labelled.csv
  cat texts.txt | multihot predict runs/ec --input - --json > labelled.jsonl

The ending of --output decides its form: .csv or .tsv (every input column kept, ours added; cells are
quoted where needed, also in .tsv, which data.quoting=true reads) or .jsonl or .ndjson. Standard output
is JSON lines with --json, else CSV with --input and plain lines for texts on the command line. With
--input, data.KEY=VALUE changes how the file is read.
"""
_TABLES = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")

Write = Callable[["TextRow", "Prediction"], None]


class _Output(Protocol):
    """What can be written to."""

    def write(self, text: str, /) -> int: ...


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    parser = new_parser("predict", "Label texts with a trained model.", _EPILOG)
    parser.add_argument("model", metavar="MODEL", help="folder that 'multihot train' wrote")
    parser.add_argument("texts", nargs="*", default=[], metavar="TEXT", help="texts to label")
    parser.add_argument("--input", metavar="FILE|-", help="file of texts, or - for standard input")
    parser.add_argument("--output", metavar="FILE", help="write here instead of standard output")
    parser.add_argument("--threshold", type=float, metavar="T", help="instead of the stored ones")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--precision", default="fp32", help="fp32, bf16 or auto")
    parser.add_argument("--json", action="store_true", help="JSON lines")
    given = parse(parser, arguments)
    _check(given)

    from multihot.inference.artifact import load_artifact
    from multihot.inference.predictor import Predictor

    artifact = load_artifact(given.model)
    if given.threshold is not None:
        artifact.decision.with_threshold(given.threshold)  # refuses it before anything is written
    stream = _stream(given, artifact)
    num_shown = len(stream.notes)
    for note in stream.notes:
        say(note)
    predictor = Predictor.from_artifact(artifact, device=given.device, precision=given.precision)
    count, num_truncated, counter = 0, 0, TextCounter()
    first_texts: list[str] = []
    with _opened(given.output) as output:
        abstains = predictor.decision.empty_set_rule == "abstain"
        names = predictor.space.names
        write = _writer(given, output, stream.columns, names, abstains=abstains)
        pairs = ((row.text, row) for row in stream.rows)
        for row, prediction in predictor.stream(pairs, threshold=given.threshold):
            write(row, prediction)
            if count < NUM_SAMPLED:
                first_texts.append(row.text)
            count += 1
            num_truncated += prediction.truncated
            counter(count)
    for note in stream.notes[num_shown:]:  # what is known only after the last row
        say(note)
    say_if_unknown(predictor, first_texts)
    if num_truncated:
        say(f"{num_truncated} of {count} texts were cut to {artifact.max_length} tokens.")
    if given.output:
        say(f"{count} texts labelled in {given.output}.")
    return 0


def _check(given: argparse.Namespace) -> None:
    """Raise `OptionError` for arguments that contradict each other, before anything is loaded."""
    if given.input is None and not given.texts:
        raise OptionError(
            "Nothing to label: give texts, or --input FILE (or - for standard input)."
        )
    for text in given.texts:
        is_option = re.match(r"data\.\w+=", text) is not None
        if given.input is None and is_option:
            raise OptionError(
                f"{text!r} is an option for reading a file, and there is none: add --input FILE. To label it "
                "as a text, send it as a line of standard input to --input -."
            )
        if given.input is not None and not is_option:
            raise OptionError(f"Give texts or --input, not both; with --input, {text!r} is a text.")
    if given.output is None:
        return
    output = Path(given.output)
    if output.is_dir():
        raise OptionError(f"--output {output} is a folder; name a file.")
    ending = output.suffix.lower()
    if ending not in (*_TABLES, *_JSON_LINES):
        raise OptionError(
            f"--output {output} has no known ending: end it with .csv, .tsv (tab-separated), "
            ".jsonl or .ndjson."
        )
    if given.json and ending in _TABLES:
        raise OptionError(
            f"--json writes JSON lines, and --output {output} is a table: end it with .jsonl, or leave "
            "out --json."
        )
    if given.input is not None and output.resolve() == Path(given.input).resolve():
        raise OptionError("--output is the input file; write to another one.")


def _stream(given: argparse.Namespace, artifact: Artifact) -> TextStream:
    """Return the texts of the command line or of a file."""
    from multihot.core.recipes import to_plain
    from multihot.data.text_stream import TextRow, TextStream, stream_texts

    if given.input is None:
        numbered = enumerate(given.texts, start=1)
        rows = (TextRow(n, str(n), text, {"id": str(n), "text": text}) for n, text in numbered)
        return TextStream(("id", "text"), rows, [])
    return stream_texts(given.input, data_options(given.texts, to_plain(artifact.data)))


@contextlib.contextmanager
def _opened(output: str | None) -> Iterator[_Output]:
    """Yield standard output, or a file that appears under its name only when it is complete."""
    if output is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    from multihot.core.files import atomic_text, storage_errors

    path = Path(output)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_text(path) as handle:
        yield handle


def _writer(
    given: argparse.Namespace,
    output: _Output,
    columns: tuple[str, ...],
    names: tuple[str, ...],
    *,
    abstains: bool,
) -> Write:
    ending = Path(given.output or "").suffix.lower()
    is_narrow = given.output is None and not holds_unicode(sys.stdout)
    if given.json or ending in _JSON_LINES:
        return lambda row, prediction: _write_json(
            output, row, prediction, escaped=is_narrow, abstains=abstains
        )
    if given.input is None and given.output is None:
        return lambda row, prediction: _write_plain(output, row, prediction)
    if is_narrow:
        say(
            f"Standard output is {sys.stdout.encoding}: characters that it lacks are written as "
            "backslash codes. A file (--output) keeps them."
        )
    return _table_writer(output, columns, names, _TABLES.get(ending, ","), abstains=abstains)


def _write_json(
    output: _Output, row: TextRow, prediction: Prediction, *, escaped: bool, abstains: bool
) -> None:
    content: dict[str, object] = {
        "id": row.id,
        "text": row.text,
        "labels": prediction.labels,
        "scores": {name: round(score, 6) for name, score in prediction.scores.items()},
        "truncated": prediction.truncated,
    }
    if abstains:
        content["abstained"] = prediction.abstained
    output.write(json.dumps(content, ensure_ascii=escaped) + "\n")


def _write_plain(output: _Output, row: TextRow, prediction: Prediction) -> None:
    scored = ", ".join(f"{name} ({prediction.scores[name]:.2f})" for name in prediction.labels)
    nothing = "abstained" if prediction.abstained else "no label"
    output.write(f"{row.text}\n  -> {scored or nothing}\n")


def _table_writer(
    output: _Output,
    columns: tuple[str, ...],
    names: tuple[str, ...],
    separator: str,
    *,
    abstains: bool,
) -> Write:
    """Write every input column, `predicted_labels`, `truncated` and one `score_...` per label.

    Where the model abstains, `abstained` stands between the last two.
    """
    delimiter = next((mark for mark in "|;," if not any(mark in name for name in names)), "|")
    flags = ["truncated", "abstained"] if abstains else ["truncated"]
    ours = ["predicted_labels", *flags, *(f"score_{name}" for name in names)]
    while any(name in columns for name in ours):
        ours = [f"{name}_" for name in ours]
    table = csv.writer(output, delimiter=separator, lineterminator="\n")
    quoted = csv.writer(output, delimiter=separator, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def put(cells: Sequence[str]) -> None:
        # A lone carriage return breaks a line for readers, and csv does not quote it unasked.
        (quoted if any("\r" in cell for cell in cells) else table).writerow(cells)

    put([*columns, *ours])

    def write(row: TextRow, prediction: Prediction) -> None:
        if len(row.values) > len(columns):
            raise _unknown_key(row, columns)
        scores = (f"{score:.6f}" for score in prediction.scores.values())
        said = [str(getattr(prediction, flag)).lower() for flag in flags]
        kept = (row.values.get(column, "") for column in columns)
        put([*kept, delimiter.join(prediction.labels), *said, *scores])

    return write


def _unknown_key(row: TextRow, columns: Sequence[str]) -> DataError:
    """Only lines of standard input can have a key that no column was made for."""
    key = next(name for name in row.values if name not in columns)
    return DataError(
        "The first line lacks this key, and its keys are the columns of the table. Give every key in "
        "the first line, or use --json, which writes id and text of the input.",
        path="standard input",
        line=row.line,
        column=key,
    )
