"""Predictions as tables: delimited text in the manner of the input, or an Excel workbook."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from multihot.cli.console import say_note
from multihot.core.text_tables import counted
from multihot.data.columns.separators import each_separates
from multihot.data.readers.guarded_cells import is_formula
from multihot.errors import DataError

if TYPE_CHECKING:
    from multihot.data.text_stream import TextRow, TextStream
    from multihot.inference.prediction import Prediction

__all__ = [
    "DECIMAL_SIGNS",
    "ENCODINGS",
    "Cell",
    "FormulaCounter",
    "Put",
    "TableStyle",
    "TextOutput",
    "Write",
    "delimited_rows",
    "prediction_writer",
    "table_style",
    "workbook_rows",
]

ENCODINGS = ("utf-8", "utf-8-sig")
"""What `--output-encoding` may be."""

DECIMAL_SIGNS = {"point": ".", "comma": ","}
"""What `--decimal` may be."""

_SEPARATORS = ("|", ";", ",")
_WORDS = {"\t": "a tab", " ": "a space"}
_NUM_EXAMINED_ROWS = 200
_WITH_POINT, _WITH_COMMA = re.compile(r"[+-]?\d+\.\d+"), re.compile(r"[+-]?\d+,\d+")

Cell = str | float | bool
"""What a table has in a cell."""

Put = Callable[[Sequence[Cell]], None]
"""Writes a row."""

Write = Callable[["TextRow", "Prediction"], None]
"""Writes a text with its prediction."""


class TextOutput(Protocol):
    """What can be written to."""

    def write(self, text: str, /) -> int:
        """Write a text."""


@dataclass(frozen=True)
class TableStyle:
    """How a table is written.

    Attributes
    ----------
    delimiter
        Separates columns.
    decimal
        The decimal sign of scores.
    encoding
        One of `ENCODINGS`.
    separator
        Separates the labels of a text; `None`: they are a JSON list.
    notes
        What is not as usual.
    """

    delimiter: str
    decimal: str
    encoding: str
    separator: str | None
    notes: tuple[str, ...]


def table_style(
    stream: TextStream,
    names: Sequence[str],
    *,
    stored_separator: str | None,
    ending: str,
    encoding: str | None,
    decimal: str | None,
) -> tuple[TextStream, TableStyle]:
    """Choose how predictions for a stream are written; return the stream, which begins anew.

    The delimiter of a .csv is that of a text table that is read, unless that is a tab. Where it is `;`
    and the beginning of the table has numbers with a comma and none with a point, scores have one, too.
    Labels are separated as in the training file, or by the first of `|`, `;` and `,` that is in no name.

    Parameters
    ----------
    names
        The labels of the model.
    stored_separator
        What separated labels in the training file.
    ending
        `.csv`, `.tsv`, `.xlsx`, or an empty text for standard output.
    encoding, decimal
        What the user chose.
    """
    is_text = ending != ".xlsx"
    delimiter = "\t" if ending == ".tsv" else stream.delimiter or ","
    if ending != ".tsv" and delimiter == "\t":
        delimiter = ","
    notes = []
    if decimal is None:
        decimal = "point"
        if is_text and delimiter == ";":
            examined = list(itertools.islice(stream.rows, _NUM_EXAMINED_ROWS))
            stream = replace(stream, rows=itertools.chain(examined, stream.rows))
            decimal = _decimal_sign(examined)
            notes.append(
                f"The table is separated by ; like the input, scores have a decimal {decimal} (--decimal "
                "chooses)."
            )
    encoding = encoding or ("utf-8-sig" if stream.has_mark and is_text else "utf-8")
    separator = _separator(names, stored_separator)
    if separator is None:
        notes.append(
            "predicted_labels is a JSON list, since |, ; and , all occur in names of labels."
        )
    elif separator != _SEPARATORS[0]:
        notes.append(f"predicted_labels is separated by {_WORDS.get(separator, separator)}.")
    return stream, TableStyle(delimiter, DECIMAL_SIGNS[decimal], encoding, separator, tuple(notes))


def _decimal_sign(rows: Sequence[TextRow]) -> str:
    cells = [cell.strip() for row in rows for cell in row.values.values()]
    has_comma = any(map(_WITH_COMMA.fullmatch, cells))
    return "comma" if has_comma and not any(map(_WITH_POINT.fullmatch, cells)) else "point"


def _separator(names: Sequence[str], stored: str | None) -> str | None:
    """Return a separator that occurs in no name."""
    if stored and each_separates(stored):
        stored = stored[0]
    own = [stored] if stored and (stored == " " or not stored.isspace()) else []
    return next(
        (mark for mark in (*own, *_SEPARATORS) if not any(mark in name for name in names)), None
    )


def delimited_rows(output: TextOutput, style: TableStyle) -> Put:
    """Return what writes rows of delimited text."""
    table = csv.writer(output, delimiter=style.delimiter, lineterminator="\n")
    quoted = csv.writer(
        output, delimiter=style.delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL
    )

    def put(cells: Sequence[Cell]) -> None:
        texts = [_as_text(cell, style.decimal) for cell in cells]
        # A lone carriage return breaks a line for readers, and csv does not quote it unasked.
        (quoted if any("\r" in text for text in texts) else table).writerow(texts)

    return put


class FormulaCounter:
    """Writes rows as they are, and counts those that a spreadsheet would compute."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._num_rows = 0

    def __call__(self, cells: Sequence[Cell]) -> None:
        """Write a row."""
        self._num_rows += any(isinstance(cell, str) and is_formula(cell) for cell in cells)
        self._put(cells)

    def notes(self) -> list[str]:
        """Return what to know before the table is opened."""
        if not self._num_rows:
            return []
        return [
            f"{counted(self._num_rows, 'row')} of the table would be read as formulas by a spreadsheet: cells are "
            "kept as they are. In .xlsx they are marked as texts."
        ]


def _as_text(cell: Cell, decimal: str) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return str(cell).lower()
    return f"{cell:.6f}".replace(".", decimal)


@contextmanager
def workbook_rows(path: Path) -> Iterator[Put]:
    """Yield what writes rows of a workbook, which appears at `path` when the block ends well."""
    from multihot.core.files import atomic_path
    from multihot.core.staging import told_when_stopped
    from multihot.data.workbook_writer import WorkbookWriter

    with told_when_stopped(path), closing(WorkbookWriter(path)) as writer:
        yield lambda cells: writer.append(
            [round(cell, 6) if isinstance(cell, float) else cell for cell in cells]
        )
        with atomic_path(path) as temporary:
            writer.save(temporary)
    for note in writer.notes():
        say_note(note)


def prediction_writer(
    put: Put,
    columns: tuple[str, ...],
    names: Sequence[str],
    style: TableStyle,
    *,
    abstains: bool,
    has_header: bool = True,
) -> Write:
    """Write every input column, `predicted_labels`, `truncated` and one `score_...` per label.

    Where the model abstains, `abstained` stands between the last two. Without `has_header` the rows
    continue a table.
    """
    flags = ["truncated", "abstained"] if abstains else ["truncated"]
    ours = ["predicted_labels", *flags, *(f"score_{name}" for name in names)]
    taken = set(columns)
    while not taken.isdisjoint(ours):
        ours = [f"{name}_" for name in ours]
    if has_header:
        put([*columns, *ours])

    def write(row: TextRow, prediction: Prediction) -> None:
        if len(row.values) > len(columns):
            raise _unknown_key(row, columns)
        kept = (row.values.get(column, "") for column in columns)
        said = [bool(getattr(prediction, flag)) for flag in flags]
        labels = _joined(prediction.labels, style.separator)
        put([*kept, labels, *said, *prediction.scores.values()])

    return write


def _joined(labels: Sequence[str], separator: str | None) -> str:
    if separator is None:
        return json.dumps(list(labels), ensure_ascii=False)
    return separator.join(labels)


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
