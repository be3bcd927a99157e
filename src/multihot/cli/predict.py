"""`multihot predict`."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from multihot.cli.arguments import (
    add_backend_flags,
    check_new,
    data_options,
    holds_unicode,
    new_parser,
    parse,
    refuse_file_name,
)
from multihot.cli.console import (
    NUM_SAMPLED,
    StandardOutput,
    TextCounter,
    say,
    say_if_unknown,
    say_note,
)
from multihot.cli.predict_blocks import check_blocks, join, label_in_blocks
from multihot.cli.prediction_lines import text_writer
from multihot.cli.prediction_tables import (
    DECIMAL_SIGNS,
    ENCODINGS,
    FormulaCounter,
    TableStyle,
    TextOutput,
    Write,
    delimited_rows,
    prediction_writer,
    table_style,
    workbook_rows,
)
from multihot.core.block_output import check_beginning, forget_blocks
from multihot.core.text_tables import counted, cut
from multihot.core.windows import cut_sentence
from multihot.errors import OptionError, system_errors

if TYPE_CHECKING:
    from multihot.data.text_stream import TextStream
    from multihot.inference.artifact import Artifact
    from multihot.inference.predictor import Predictor

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot predict runs/ec "I'm happy, the bert model is so good"
  multihot predict runs/ec --input new.csv --output labelled.csv
  cat texts.txt | multihot predict runs/ec --input - --json > labelled.jsonl
  multihot predict runs/ec --input new.csv --output labelled.csv --shard 3/16
  multihot predict --join labelled.csv

The ending of --output decides its form: .csv, .tsv or .xlsx (every input column kept, ours added; cells
are quoted where needed, also in .tsv, which data.quoting=true reads) or .jsonl or .ndjson. A .csv has the
delimiter, the decimal sign and the byte order mark of a .csv input. Standard output is JSON lines with
--json, else CSV with --input and plain lines for texts on the command line. With --input,
data.KEY=VALUE changes how the file is read.

--shard 3/16 labels the third of 16 parts of the rows, in labelled-03-of-16.csv; each part may run on
another machine. What is done survives a kill, and --resume continues after it, also without --shard.
When all parts are there, --join labelled.csv checks them and writes labelled.csv.

--engine ray loads the model in several processes: on this machine, or on those of the Ray cluster of
RAY_ADDRESS. What is written is the same, also when processes are killed.
"""
_TABLES = (".csv", ".tsv")
_WORKBOOK = ".xlsx"
_JSON_LINES = (".jsonl", ".ndjson")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("predict", "Label texts with a trained model.", _EPILOG)
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="folder that 'multihot train' wrote"
    )
    parser.add_argument("texts", nargs="*", default=[], metavar="TEXT", help="texts to label")
    parser.add_argument("--input", metavar="FILE|-", help="file of texts, or - for standard input")
    parser.add_argument("--output", metavar="FILE", help="write here instead of standard output")
    parser.add_argument("--force", action="store_true", help="replace an existing output")
    parser.add_argument(
        "--output-encoding",
        choices=ENCODINGS,
        metavar="NAME",
        help="utf-8 or utf-8-sig, which Excel recognises (default: as the input)",
    )
    parser.add_argument(
        "--decimal",
        choices=tuple(DECIMAL_SIGNS),
        metavar="SIGN",
        help="point or comma in the scores of a table (default: as the input)",
    )
    parser.add_argument("--threshold", type=float, metavar="T", help="instead of the stored ones")
    parser.add_argument(
        "--top", type=int, metavar="K", help="only the K highest scores; not for tables"
    )
    parser.add_argument("--shard", metavar="K/N", help="label part K of N of the input")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run")
    parser.add_argument("--join", metavar="FILE", help="put the shards of this --output together")
    parser.add_argument("--engine", choices=("ray",), help="label in several processes (Ray Data)")
    parser.add_argument(
        "--actors", type=int, metavar="N", help="of --engine (default: one for each processor)"
    )
    add_backend_flags(parser)
    parser.add_argument("--json", action="store_true", help="JSON lines")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    parser = build_parser()
    given = parse(parser, arguments)
    if given.join is not None:
        return _join(given)
    if given.model is None:
        parser.error("the following arguments are required: MODEL")
    texts = list(arguments)
    _check(given, texts[texts.index("--") + 1 :] if "--" in texts else ())

    from multihot.inference.artifact import read_artifact

    artifact = read_artifact(given.model)  # verified when its network is loaded
    if given.threshold is not None:
        artifact.decision.with_threshold(given.threshold)  # refuses it before anything is written
    if _is_in_blocks(given):
        return label_in_blocks(
            given,
            artifact,
            lambda: _stream(given, artifact),
            lambda stream: _style(given, stream, artifact),
        )
    return _label_all(given, artifact)


def _label_all(given: argparse.Namespace, artifact: Artifact) -> int:
    """Label all texts in one go; return the exit code."""
    from multihot.inference.predictor import Predictor

    stream = _stream(given, artifact)
    num_shown = len(stream.notes)
    for note in stream.notes:
        say_note(note)
    predictor = Predictor.from_artifact(
        artifact, device=given.device, precision=given.precision, backend=given.backend
    )
    count, num_truncated, counter = 0, 0, TextCounter()
    first_texts: list[str] = []
    stream, style = _style(given, stream, artifact)
    with _written(given, stream.columns, predictor, style) as write:
        pairs = ((row.text, row) for row in stream.rows)
        for row, prediction in predictor.stream(pairs, threshold=given.threshold):
            write(row, prediction)
            if count < NUM_SAMPLED:
                first_texts.append(row.text)
            count += 1
            num_truncated += prediction.truncated
            counter(count)
    for note in stream.notes[num_shown:]:  # what is known only after the last row
        say_note(note)
    say_if_unknown(predictor, first_texts)
    if not count:
        say("The input holds no text.")
    if num_truncated:
        say(cut_sentence(num_truncated, count, artifact.max_length, artifact.windows))
    if given.output:
        forget_blocks(Path(given.output))
        say(f"{counted(count, 'text')} labelled in {given.output}.")
    return 0


def _join(given: argparse.Namespace) -> int:
    """Put shards together; nothing else is given with that."""
    others = ["model", "input", "output", "shard", "threshold", "top", "decimal"]
    others += ["output_encoding", "engine", "actors"]
    if any(getattr(given, name) is not None for name in others) or given.resume or given.json:
        raise OptionError(
            "--join FILE stands alone, but for --force: it only puts shards together."
        )
    with system_errors(f"--join {given.join}"):
        return join(given)


def _check(given: argparse.Namespace, literal: Sequence[str]) -> None:
    """Raise `OptionError` for arguments that contradict each other, before anything is loaded.

    `literal` are the arguments behind `--`, which are texts whatever they look like.
    """
    if given.input is None and not given.texts:
        raise OptionError(
            "Nothing to label: give texts, or --input FILE (or - for standard input)."
        )
    for text in given.texts:
        is_option = re.match(r"data\.\w+=", text) is not None
        if given.input is None and is_option:
            raise OptionError(
                f"{cut(text)} is an option for reading a file, and there is none: add --input FILE. To label "
                "it as a text, send it as a line of standard input to --input -."
            )
        if given.input is not None and not is_option:
            raise OptionError(
                f"Give texts or --input, not both; with --input, {cut(text)} is a text."
            )
        if given.input is None and text not in literal:
            refuse_file_name(
                text,
                f"labelled as a text. To label the texts in it: --input {text}; to label these words",
            )
    with system_errors(f"--output {given.output}"):
        _check_output(given)


def _check_output(given: argparse.Namespace) -> None:
    for option in ("output_encoding", "decimal"):
        if getattr(given, option) is not None and not _is_table(given):
            flag = option.replace("_", "-")
            raise OptionError(f"--{flag} is about tables, and the output is none.")
    if given.top is not None and given.top < 1:
        raise OptionError(f"--top {given.top}; expected at least 1.")
    if given.top is not None and _is_table(given):
        raise OptionError(
            "--top leaves out scores, and a table has a column for the score of each label: add --json, "
            "or an --output that ends with .jsonl."
        )
    if given.output is not None:
        _check_file(given)
    if given.actors is not None and given.engine is None:
        raise OptionError("--actors is about --engine ray, which is not given.")
    if given.actors is not None and given.actors < 1:
        raise OptionError(f"--actors {given.actors}; expected at least 1.")
    if _is_in_blocks(given):
        check_blocks(given)


def _is_in_blocks(given: argparse.Namespace) -> bool:
    return given.shard is not None or given.resume or given.engine is not None


def _is_table(given: argparse.Namespace) -> bool:
    if given.json:
        return False
    if given.output is None:
        return given.input is not None
    return Path(given.output).suffix.lower() not in _JSON_LINES


def _check_file(given: argparse.Namespace) -> None:
    output = Path(given.output)
    ending = output.suffix.lower()
    if output.is_dir():
        raise OptionError(f"--output {output} is a folder; name a file.")
    if ending not in (*_TABLES, _WORKBOOK, *_JSON_LINES):
        raise OptionError(
            f"--output {output} has no known ending: end it with .csv, .tsv (tab-separated), .xlsx, "
            ".jsonl or .ndjson."
        )
    if given.json and ending not in _JSON_LINES:
        raise OptionError(
            f"--json writes JSON lines, and --output {output} is a table: end it with .jsonl, or leave "
            "out --json."
        )
    if given.input is not None and os.path.realpath(output) == os.path.realpath(given.input):
        raise OptionError("--output is the input file; write to another one.")
    if not _is_in_blocks(given):
        check_new(output, "--output", force=given.force)
        check_beginning(output, "--output", resume=False, force=given.force)


def _stream(given: argparse.Namespace, artifact: Artifact) -> TextStream:
    """Return the texts of the command line or of a file."""
    from multihot.core.recipes import to_plain
    from multihot.data.text_stream import TextRow, TextStream, stream_texts

    if given.input is None:
        numbered = enumerate(given.texts, start=1)
        rows = (TextRow(n, str(n), text, {"id": str(n), "text": text}) for n, text in numbered)
        return TextStream(("id", "text"), rows, [])
    return stream_texts(given.input, data_options(given.texts, to_plain(artifact.data)))


def _style(
    given: argparse.Namespace, stream: TextStream, artifact: Artifact
) -> tuple[TextStream, TableStyle | None]:
    """Return how a table is written, `None` where none is; the stream begins anew where it was read."""
    if not _is_table(given):
        return stream, None
    stream, style = table_style(
        stream,
        artifact.decision.space.names,
        stored_separator=artifact.data.label_delimiter,
        ending=Path(given.output or "").suffix.lower(),
        encoding=given.output_encoding,
        decimal=given.decimal,
    )
    for note in style.notes:
        say_note(note)
    return stream, style


@contextlib.contextmanager
def _written(
    given: argparse.Namespace,
    columns: tuple[str, ...],
    predictor: Predictor,
    style: TableStyle | None,
) -> Iterator[Write]:
    """Yield what writes a prediction; a file appears under its name only when it is complete."""
    abstains = predictor.decision.empty_set_rule == "abstain"
    names = predictor.space.names
    path = None if given.output is None else Path(given.output)
    if path is not None:
        from multihot.core.files import make_folder_of

        make_folder_of(path)
    if path is not None and path.suffix.lower() == _WORKBOOK and style is not None:
        with workbook_rows(path) as put:
            yield prediction_writer(put, columns, names, style, abstains=abstains)
        return
    with _opened(path) as output:
        if style is None:
            yield text_writer(
                output,
                as_json=given.json or given.output is not None,
                is_printed=given.output is None,
                top=given.top,
                abstains=abstains,
            )
            return
        _say_if_narrow(given)
        if path is not None and style.encoding == "utf-8-sig":
            output.write("\ufeff")
        put = FormulaCounter(delimited_rows(output, style))
        yield prediction_writer(put, columns, names, style, abstains=abstains)
    for note in () if path is None else put.notes():
        say_note(note)


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[TextOutput]:
    """Yield standard output or a file."""
    if path is None:
        output = StandardOutput()
        yield output
        output.flush()
        return
    from multihot.core.files import atomic_text

    with atomic_text(path) as handle:
        yield handle


def _is_narrow(given: argparse.Namespace) -> bool:
    return given.output is None and not holds_unicode(sys.stdout)


def _say_if_narrow(given: argparse.Namespace) -> None:
    if _is_narrow(given):
        say(
            f"Standard output is {sys.stdout.encoding}: characters that it lacks are written as "
            "backslash codes. A file (--output) keeps them."
        )
