"""`multihot predict`."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from multihot.cli.arguments import data_options, new_parser, parse
from multihot.cli.console import say
from multihot.errors import OptionError

if TYPE_CHECKING:
    from multihot.data.records import TextRow
    from multihot.predictor import Prediction, Predictor

__all__ = ["run"]

_EPILOG = """examples:
  multihot predict runs/ec "I'm happy, the bert model is so good"
  multihot predict runs/ec --input new.csv --output labelled.csv
  cat texts.txt | multihot predict runs/ec --input - --json > labelled.jsonl

Output is JSON lines with --json or for an --output ending in .jsonl, else CSV for a file (every
input column kept, ours added) and plain lines for texts on the command line. With --input,
data.KEY=VALUE changes how the file is read.
"""
_SECONDS_BETWEEN_LINES = 5.0

Write = Callable[["TextRow", "Prediction"], None]


def run(arguments: Sequence[str]) -> int:
    """Run the verb with the words behind it; return the exit code."""
    parser = new_parser("predict", "Label texts with a trained model.", _EPILOG)
    parser.add_argument("model", metavar="MODEL", help="folder that 'multihot train' wrote")
    parser.add_argument("texts", nargs="*", default=[], metavar="TEXT", help="texts to label")
    parser.add_argument("--input", metavar="FILE|-", help="file of texts, or - for standard input")
    parser.add_argument("--output", metavar="FILE", help="write here instead of standard output")
    parser.add_argument("--threshold", type=float, metavar="T", help="instead of the stored ones")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--json", action="store_true", help="JSON lines")
    given = parse(parser, arguments)
    if given.input is None and not given.texts:
        raise OptionError(
            "Nothing to label: give texts, or --input FILE (or - for standard input)."
        )

    from multihot.predictor import Predictor

    predictor = Predictor.load(given.model, device=given.device)
    columns, rows = _rows(given, predictor)
    with _opened(given.output) as handle:
        write = _writer(given, handle, columns, predictor.space.names)
        started, due, count, num_truncated = time.monotonic(), time.monotonic(), 0, 0
        pairs = ((row.text, row) for row in rows)
        for row, prediction in predictor.stream(pairs, threshold=given.threshold):
            write(row, prediction)
            count += 1
            num_truncated += prediction.truncated
            if time.monotonic() > due + _SECONDS_BETWEEN_LINES:
                due = time.monotonic()
                say(f"{count} texts, {count / (due - started):.0f} texts/s")
    if num_truncated:
        max_length = predictor.artifact.max_length
        say(f"{num_truncated} of {count} texts were cut to {max_length} tokens.")
    if given.output:
        say(f"{count} texts labelled in {given.output}.")
    return 0


def _rows(
    given: argparse.Namespace, predictor: Predictor
) -> tuple[tuple[str, ...], Iterator[TextRow]]:
    """Return the input columns and the rows, from the command line or from a file."""
    from multihot.config import to_plain
    from multihot.data.records import TextRow, stream_texts

    if given.input is None:
        numbered = enumerate(given.texts, start=1)
        rows = (TextRow(n, str(n), text, {"id": str(n), "text": text}) for n, text in numbered)
        return ("id", "text"), rows
    plain = [text for text in given.texts if not text.startswith("data.")]
    if plain:
        raise OptionError(f"Give texts or --input, not both; with --input, {plain[0]!r} is a text.")
    if given.output and Path(given.output).resolve() == Path(given.input).resolve():
        raise OptionError("--output is the input file; write to another one.")
    data = data_options(given.texts, to_plain(predictor.artifact.data))
    stream = stream_texts(given.input, data)
    for note in stream.notes:
        say(note)
    return stream.columns, stream.rows


@contextlib.contextmanager
def _opened(output: str | None) -> Iterator[TextIO]:
    """Yield standard output, or a file that appears under its name only when it is complete."""
    if output is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    from multihot.files import atomic_path, storage_errors

    path = Path(output)
    if path.is_dir():
        raise OptionError(f"--output {output} is a folder; name a file.")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as handle,
    ):
        yield handle


def _writer(
    given: argparse.Namespace, handle: TextIO, columns: tuple[str, ...], names: tuple[str, ...]
) -> Write:
    if given.json or (given.output or "").endswith((".jsonl", ".ndjson")):
        return lambda row, prediction: _write_json(handle, row, prediction)
    if given.input is None and given.output is None:
        return lambda row, prediction: _write_plain(handle, row, prediction)
    return _csv_writer(handle, columns, names)


def _write_json(handle: TextIO, row: TextRow, prediction: Prediction) -> None:
    content = {
        "id": row.id,
        "text": row.text,
        "labels": prediction.labels,
        "scores": {name: round(score, 6) for name, score in prediction.scores.items()},
        "truncated": prediction.truncated,
    }
    handle.write(json.dumps(content, ensure_ascii=False) + "\n")


def _write_plain(handle: TextIO, row: TextRow, prediction: Prediction) -> None:
    scored = ", ".join(f"{name} ({prediction.scores[name]:.2f})" for name in prediction.labels)
    handle.write(f"{row.text}\n  -> {scored or 'no label'}\n")


def _csv_writer(handle: TextIO, columns: tuple[str, ...], names: tuple[str, ...]) -> Write:
    """Write every input column, `predicted_labels`, `truncated` and one `score_...` per label."""
    delimiter = next((mark for mark in "|;," if not any(mark in name for name in names)), "|")
    ours = ["predicted_labels", "truncated", *(f"score_{name}" for name in names)]
    while any(name in columns for name in ours):
        ours = [f"{name}_" for name in ours]
    table = csv.writer(handle, lineterminator="\n")
    quoted = csv.writer(handle, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def put(cells: Sequence[str]) -> None:
        # A lone carriage return breaks a line for readers, and csv does not quote it unasked.
        (quoted if any("\r" in cell for cell in cells) else table).writerow(cells)

    put([*columns, *ours])

    def write(row: TextRow, prediction: Prediction) -> None:
        scores = (f"{score:.6f}" for score in prediction.scores.values())
        flag = str(prediction.truncated).lower()
        kept = (row.values.get(column, "") for column in columns)
        put([*kept, delimiter.join(prediction.labels), flag, *scores])

    return write
