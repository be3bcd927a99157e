"""A table of cells whose label may be wrong: written for people to correct, and read back.

One row for each cell: which row and label it is, what is given, what is suggested, and an empty column
`corrected` to be filled with 1, 0 or `unknown`. Every row names the file that it is about by its
SHA-256, so rows may be sorted, filtered and deleted in any program.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multihot.core.files import atomic_path, atomic_text
from multihot.core.labels import normalized_name
from multihot.core.options import DataOptions
from multihot.core.text_tables import cut, listed
from multihot.data.columns.binary_labels import label_value
from multihot.data.readers.guarded_cells import guarded, unguarded
from multihot.data.readers.open_table import open_table
from multihot.data.readers.table import as_number, as_text
from multihot.data.workbook_writer import WorkbookWriter
from multihot.errors import DataError, OptionError

__all__ = [
    "TABLE_ENDINGS",
    "Correction",
    "Suspect",
    "file_mark",
    "read_correction_table",
    "shown_value",
    "write_correction_table",
]

TABLE_ENDINGS = (".csv", ".tsv", ".xlsx", ".jsonl")
"""What the name of a table may end in."""

_COLUMNS = (
    "row",
    "line",
    "id",
    "label",
    "given",
    "suggested",
    "corrected",
    "score",
    "reason",
    "evidence",
    "text",
    "file",
)
_REQUIRED = ("row", "label", "given", "corrected", "file")
_UNKNOWN = "unknown"
_DIGITS = 16  # of a SHA-256, which tell files apart
_WORDS = {"yes": 1.0, "no": 0.0, _UNKNOWN: math.nan, "?": math.nan}


@dataclass(frozen=True)
class Suspect:
    """A cell that may be wrong, or that is unknown and may be filled."""

    row: int
    """1-based number of the text in the file."""
    line: int
    """1-based line (or row) in the file."""
    row_id: str
    label: str
    given: float
    """1, 0, a fraction, or NaN (unknown)."""
    suggested: float
    score: float
    """How likely `given` is wrong; of an unknown cell, how likely the label is true."""
    reason: str
    """`extra`, `missing`, `conflict` or `unlabelled`, several joined by ` + `."""
    evidence: str
    text: str


@dataclass(frozen=True)
class Correction:
    """A row of a table that somebody has filled."""

    place: int
    """Line of the table."""
    row: int
    label: str
    given: float
    corrected: float
    suggested: float
    score: float | None
    reason: str
    row_id: str | None = None
    text: str | None = None
    """What the table shows of the row; `None` where it has lost these columns."""


def shown_value(value: float) -> str:
    """Return a label value as tables show it."""
    return _UNKNOWN if math.isnan(value) else f"{value:.6g}"


def file_mark(digest: str) -> str:
    """Return what stands for a file in its tables."""
    return f"sha256:{digest[:_DIGITS]}"


def write_correction_table(path: Path, suspects: Iterable[Suspect], digest: str) -> list[str]:
    """Write a table, complete or not at all, in the format of its ending; return notes.

    `digest` is the SHA-256 of the file that it is about. In delimited text, cells that a spreadsheet
    would take for formulas begin with `'`; in workbooks they are marked as texts.
    """
    rows = (_cells(each, file_mark(digest)) for each in suspects)
    ending = path.suffix.lower()
    if ending == ".xlsx":
        with closing(WorkbookWriter(path, sheet="corrections")) as writer:
            writer.append(_COLUMNS)
            for cells in rows:
                writer.append([cells[name] for name in _COLUMNS])
            with atomic_path(path) as temporary:
                writer.save(temporary)
            return writer.notes()
    with atomic_text(path) as output:
        if ending == ".jsonl":
            for cells in rows:
                output.write(json.dumps(cells, ensure_ascii=False) + "\n")
            return []
        mark = "\t" if ending == ".tsv" else ","
        # A lone carriage return breaks a line for readers, so that everything is quoted.
        table = csv.writer(output, delimiter=mark, lineterminator="\n", quoting=csv.QUOTE_ALL)
        table.writerow(_COLUMNS)
        for cells in rows:
            table.writerow([_delimited(cells[name]) for name in _COLUMNS])
    return []


def _cells(suspect: Suspect, mark: str) -> dict[str, Any]:
    return {
        "row": suspect.row,
        "line": suspect.line,
        "id": suspect.row_id,
        "label": suspect.label,
        "given": shown_value(suspect.given),
        "suggested": shown_value(suspect.suggested),
        "corrected": "",
        "score": round(suspect.score, 6),
        "reason": suspect.reason,
        "evidence": suspect.evidence,
        "text": suspect.text,
        "file": mark,
    }


def _delimited(cell: Any) -> str:
    return guarded(cell) if isinstance(cell, str) else str(cell)


def read_correction_table(
    path: Path, digest: str, *, accept: float | None = None
) -> list[Correction]:
    """Return the rows of a table whose column `corrected` is filled.

    Parameters
    ----------
    digest
        SHA-256 of the file to correct.
    accept
        Rows with an empty cell there are filled with what is suggested if their score is at least this.

    Raises
    ------
    DataError
        The table lacks a column, is about another file, or a cell is wrong.
    """
    if path.suffix.lower() not in TABLE_ENDINGS:
        raise OptionError(
            f"{path} is no table of corrections; its name ends in {listed(TABLE_ENDINGS)}."
        )
    is_quoted = path.suffix.lower() == ".tsv"
    table = open_table(path, DataOptions(quoting=True) if is_quoted else DataOptions())
    if missing := [name for name in _REQUIRED if name not in table.columns]:
        raise DataError(
            f"The column '{missing[0]}' is missing: this is no table that 'multihot audit' wrote. The "
            f"columns are: {listed(table.columns)}.",
            path=path,
        )
    if accept is not None:
        for name in ("score", "suggested"):
            if name not in table.columns:
                raise DataError(
                    f"The column '{name}' is missing, and --accept takes what is suggested by its score. Put "
                    "the column back, or fill in the column 'corrected'.",
                    path=path,
                )
    unguard = path.suffix.lower() in (".csv", ".tsv")
    found: list[Correction] = []
    places: dict[tuple[int, str], Correction] = {}
    for line, cells in table.rows:
        row = _Row(path, line, dict(zip(table.columns, cells, strict=True)), unguard=unguard)
        correction = row.correction(file_mark(digest), accept)
        if correction is None:
            continue
        key = correction.row, correction.label
        other = places.setdefault(key, correction)
        if other is correction:
            found.append(correction)
        elif shown_value(other.corrected) != shown_value(correction.corrected):
            raise row.fail(
                "corrected",
                f"Line {other.place} has {shown_value(other.corrected)} for the same cell, row "
                f"{correction.row}, label '{correction.label}'. Delete one of them.",
            )
    return found


@dataclass(frozen=True)
class _Row:
    """A row of a table that is being read."""

    path: Path
    line: int
    cells: dict[str, Any]
    unguard: bool

    def fail(self, column: str, message: str) -> DataError:
        return DataError(message, path=self.path, line=self.line, column=column)

    def text(self, column: str) -> str:
        text = as_text(self.cells.get(column))
        return unguarded(text) if self.unguard else text

    def correction(self, mark: str, accept: float | None) -> Correction | None:
        """Return what was filled in, `None` where nothing was."""
        suggested = self._value("suggested") if "suggested" in self.cells else None
        score = self._score()
        corrected = self._value("corrected")
        if corrected is None and accept is not None and score is not None and score >= accept:
            corrected = suggested
        if corrected is None:
            return None
        if self.text("file").strip() != mark:
            raise self.fail(
                "file",
                f"The table is about another file, {cut(self.text('file'))}; this one is {mark}. A table "
                "fits the file that was audited, as it was then: apply it to that one, or audit this one.",
            )
        number = as_number(self.cells["row"])
        if number is None or not number.is_integer():
            raise self.fail("row", f"{cut(self.cells['row'])} is not the number of a row.")
        given = self._value("given")
        if given is None:
            raise self.fail(
                "given", "The cell is empty; it says what the file has: 1, 0 or unknown."
            )
        return Correction(
            place=self.line,
            row=int(number),
            label=normalized_name(self.text("label")),
            given=given,
            corrected=corrected,
            suggested=math.nan if suggested is None else suggested,
            score=score,
            reason=self.text("reason"),
            row_id=self.text("id") if "id" in self.cells else None,
            text=self.text("text") if "text" in self.cells else None,
        )

    def _score(self) -> float | None:
        """Return the score, `None` where there is none; a decimal comma is one of a spreadsheet."""
        written = as_text(self.cells.get("score")).strip()
        score = as_number(written.replace(",", "."))
        if written and score is None:
            raise self.fail("score", f"{cut(written)} is not a number.")
        return score

    def _value(self, column: str) -> float | None:
        """Return the value in a cell; `None` where it is empty."""
        cell = self.cells[column]
        text = as_text(cell).strip().lower()
        if not text or text == "null":
            return None
        if text in _WORDS:
            return _WORDS[text]
        value = label_value(cell, soft=True)
        if value is None or math.isnan(value):
            raise self.fail(
                column,
                f"{cut(cell)} is not a label value: expected 1, 0, unknown, or an empty cell for what was "
                "not looked at.",
            )
        return value
