"""A table of corrections says what its reader and its file need, and is refused where it does not fit."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from multihot.data.correcting.record import read_record
from multihot.data.correcting.table import (
    Suspect,
    file_mark,
    read_correction_table,
    write_correction_table,
)
from multihot.data.readers.guarded_cells import guarded
from multihot.errors import DataError

DIGEST = "0123456789abcdef" * 4
NAMES = ("=1+1", "'=1+1", "joy", "+", " =cmd", "-sad", "@me", "\tx", "喜")


def suspect(label: str = "joy", row: int = 1, given: float = 1.0, score: float = 0.9) -> Suspect:
    return Suspect(row, row + 1, "=id", label, given, 0.0, score, "extra", "why", '=HYPERLINK("x")')


def filled(path: Path, values: list[str]) -> None:
    """Write values into the column to be filled, as somebody would."""
    if path.suffix == ".xlsx":
        import openpyxl

        book = openpyxl.load_workbook(path)
        for row, value in enumerate(values, start=2):
            book.active.cell(row, 7).value = value
        book.save(path)
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        rows = [{**row, "corrected": value} for row, value in zip(rows, values, strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.reader(handle, delimiter=mark))
        for row, value in zip(rows[1:], values, strict=True):
            row[6] = value
        with path.open("w", encoding="utf-8", newline="") as handle:
            csv.writer(handle, delimiter=mark).writerows(rows)


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".xlsx", ".jsonl"])
def test_what_was_filled_in_is_read_back(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"t{ending}"
    write_correction_table(path, [suspect(name, row + 1) for row, name in enumerate(NAMES)], DIGEST)
    filled(path, ["0", "1", "", "unknown", "0", "0", "0", "0", "0"])

    found = read_correction_table(path, DIGEST)

    expected = [name.strip() for number, name in enumerate(NAMES) if number != 2]
    assert [each.label for each in found] == expected
    assert [each.row for each in found] == [1, 2, 4, 5, 6, 7, 8, 9]
    assert [each.corrected for each in found[:2]] == [0, 1]
    assert math.isnan(found[2].corrected)


def test_no_cell_of_delimited_text_begins_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_correction_table(path, [suspect(name) for name in NAMES], DIGEST)

    with path.open(encoding="utf-8", newline="") as handle:
        cells = [cell for row in csv.reader(handle) for cell in row]
    assert [cell for cell in cells if cell.lstrip(" ")[:1] in tuple("=+-@\t\r")] == []
    assert len({guarded(name) for name in NAMES}) == len(NAMES)


def test_no_cell_of_a_workbook_is_a_formula(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    write_correction_table(tmp_path / "t.xlsx", [suspect(name) for name in NAMES], DIGEST)

    book = openpyxl.load_workbook(tmp_path / "t.xlsx")
    assert {cell.data_type for row in book.active.iter_rows() for cell in row} <= {
        "s",
        "n",
        "inlineStr",
    }


def test_suggestions_are_taken_from_a_score_on_unless_somebody_decided(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_correction_table(
        path, [suspect(row=1), suspect(row=2), suspect(row=3, score=0.5)], DIGEST
    )
    filled(path, ["", "1", ""])

    found = read_correction_table(path, DIGEST, accept=0.8)

    assert [(each.row, each.corrected) for each in found] == [(1, 0), (2, 1)]


HEAD = "row,label,given,corrected,file\n"
MARK = file_mark(DIGEST)
WRONG = {
    "another file": (f"{HEAD}1,joy,1,0,sha256:ffffffffffffffff\n", 2, "file"),
    "no number of a row": (f"{HEAD}1,joy,1,0,{MARK}\nx,joy,1,0,{MARK}\n", 3, "row"),
    "a part of a row": (f"{HEAD}1.5,joy,1,0,{MARK}\n", 2, "row"),
    "no label value": (f"{HEAD}1,joy,1,maybe,{MARK}\n", 2, "corrected"),
    "nothing given": (f"{HEAD}1,joy,,0,{MARK}\n", 2, "given"),
    "two decisions": (f"{HEAD}1,joy,1,0,{MARK}\n2,joy,1,0,{MARK}\n1,joy,1,1,{MARK}\n", 4, "corrected"),
    "a column is missing": ("row,label,given,file\n1,joy,1,x\n", None, None),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_table_that_does_not_fit_is_refused_with_its_line(case: str, tmp_path: Path) -> None:
    content, line, column = WRONG[case]
    (tmp_path / "t.csv").write_text(content, "utf-8")

    with pytest.raises(DataError) as caught:
        read_correction_table(tmp_path / "t.csv", DIGEST)

    assert (caught.value.line, caught.value.column) == (line, column)


def test_a_table_that_a_program_saved_with_semicolons_and_fractions_is_read(tmp_path: Path) -> None:
    content = f"row;label;given;corrected;score;suggested;file\n3;joy;1,0;0,0;0,93;0;{MARK}\n"
    (tmp_path / "t.csv").write_text(content, "utf-8")

    [found] = read_correction_table(tmp_path / "t.csv", DIGEST)

    assert (found.row, found.given, found.corrected) == (3, 1, 0)


@pytest.mark.parametrize(
    "line", ["not json", "[]", '{"label": "joy", "to": 1}', '{"text_sha256": 1}']
)
def test_a_damaged_record_is_named_with_its_line(line: str, tmp_path: Path) -> None:
    good = json.dumps({"text_sha256": "ab", "label": "joy", "to": 1})
    (tmp_path / "r").write_text(f"{good}\n\n{line}\n", "utf-8")

    with pytest.raises(DataError) as caught:
        read_record(tmp_path / "r")

    assert caught.value.line == 3
