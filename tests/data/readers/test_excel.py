from __future__ import annotations

import datetime
import resource
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from multihot.core.options import DataOptions
from multihot.data.labelled_file import read_examples
from multihot.data.readers.excel import read_workbook
from multihot.data.readers.open_table import open_table
from multihot.data.text_stream import stream_texts
from multihot.errors import DataError

openpyxl = pytest.importorskip("openpyxl")

SHEET = "xl/worksheets/sheet1.xml"


def workbook(folder: Path, *rows: list[Any], sheet: str = "Sheet") -> Path:
    book = openpyxl.Workbook()
    book.active.title = sheet
    for row in rows:
        book.active.append(row)
    book.save(folder / "table.xlsx")
    return folder / "table.xlsx"


def rewritten(path: Path, part: str, old: bytes, new: bytes) -> Path:
    """Replace bytes in a part of a workbook."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert old in parts[part]
    parts[part] = parts[part].replace(old, new)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def test_workbook_cells_become_texts(tmp_path: Path) -> None:
    date = datetime.datetime(2020, 1, 2, 3, 4)
    path = workbook(
        tmp_path, ["id", "text", "joy"], [7, "a", 1.0], ["007", date, True], [0.5, "=A1", None]
    )

    table = read_workbook(path)

    assert table.columns == ("id", "text", "joy")
    assert list(table.rows) == [
        (2, ["7", "a", "1"]),
        (3, ["007", "2020-01-02T03:04:00", "true"]),
        (4, ["0.5", "", ""]),
    ]


def test_blank_rows_are_skipped_and_counted(tmp_path: Path) -> None:
    path = workbook(tmp_path, [None, None], ["id", "text"], [1, "a"], [None, ""], [2], [None, None])

    table = read_workbook(path)

    assert list(table.rows) == [(3, ["1", "a"]), (5, ["2", ""])]
    assert table.notes[0].endswith("blank rows were skipped.")


def test_cells_beyond_the_header_are_an_error(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["id", "text"], [1, "a"], [2, "b", "c"])

    with pytest.raises(
        DataError, match=r"table.xlsx:3: This row has 3 cells, but the header names 2"
    ):
        read_workbook(path)


def test_workbook_without_header_has_numbered_columns(tmp_path: Path) -> None:
    table = read_workbook(workbook(tmp_path, [1, "a"], [2, "b", "x"]), header=False)

    assert table.columns == ("1", "2", "3")
    assert list(table.rows) == [(1, ["1", "a", ""]), (2, ["2", "b", "x"])]


def test_a_sheet_is_chosen_by_name(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["text"])
    book.create_sheet("Tweets").append(["Tweet"])
    book.save(tmp_path / "t.xlsx")

    assert read_workbook(tmp_path / "t.xlsx", sheet="Tweets").columns == ("Tweet",)
    first = read_workbook(tmp_path / "t.xlsx")
    assert (first.columns, first.notes) == (("text",), ["Sheet 'Sheet' of Sheet, Tweets."])
    with pytest.raises(
        DataError, match=r"no sheet 'tweet' \(data.sheet\). Did you mean 'Tweets'\?"
    ):
        read_workbook(tmp_path / "t.xlsx", sheet="tweet")


def test_wrong_stored_dimensions_hide_nothing_and_whole_numbers_stay_whole(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["id", "text"], [1, "a"])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    parts[sheet] = parts[sheet].replace(b'<dimension ref="A1:B2"', b'<dimension ref="A1:A1"')
    parts[sheet] = parts[sheet].replace(b"<v>1</v>", b"<v>1.0</v>")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)

    assert list(read_workbook(path).rows) == [(2, ["1", "a"])]


def test_empty_and_damaged_workbooks_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="The sheet is empty"):
        read_workbook(workbook(tmp_path))
    (tmp_path / "bad.xlsx").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(DataError, match="damaged and cannot be read"):
        read_workbook(tmp_path / "bad.xlsx")


FORMULAS = [["id", "text", "labels", "sum"], [1, "a", "joy", "=1+1"], [2, "b", "=A1", "=1+1"]]


def test_a_formula_without_a_stored_value_is_refused_where_its_column_is_used(
    tmp_path: Path,
) -> None:
    path = workbook(tmp_path, *FORMULAS)

    with pytest.raises(DataError, match="Cell C3 holds a formula without a stored value") as error:
        read_examples(path, DataOptions(ignore_columns=("sum",)))

    assert (error.value.path, error.value.line, error.value.column) == (str(path), 3, "labels")
    assert "Excel or LibreOffice" in str(error.value)
    assert [row.text for row in stream_texts(path).rows] == ["a", "b"]
    for column in ("text", "id"):
        with pytest.raises(DataError) as error:
            stream_texts(path, DataOptions(**{f"{column}_column": "sum"}))
        assert (error.value.line, error.value.column) == (2, "sum")


def test_formulas_in_0_1_columns_are_refused_also_where_they_are_all_of_the_column(
    tmp_path: Path,
) -> None:
    path = workbook(tmp_path, ["text", "a", "b"], ["x", "=1", 0], ["y", "=0", 1])

    with pytest.raises(DataError) as error:
        read_examples(path)

    assert (error.value.line, error.value.column) == (2, "a")


def test_a_formula_with_its_value_is_read_and_an_empty_text_may_be_one(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["text", "labels"], ["x", "=A1"], ["y", "=A2"])
    rewritten(path, SHEET, b'<c r="B2"><f>A1</f><v />', b'<c r="B2" t="str"><f>A1</f><v>joy</v>')
    rewritten(path, SHEET, b'<c r="B3"><f>A2</f><v />', b'<c r="B3" t="str"><f>A2</f><v></v>')

    table = open_table(path, DataOptions())

    assert list(table.rows) == [(2, ["x", "joy"]), (3, ["y", ""])]
    assert not table.faults


def test_zeros_that_stand_for_formulas_that_were_never_computed_are_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path, ["text", "a"], ["x", "=1"], ["y", "=0"])
    for formula in (b"1", b"0"):
        rewritten(path, SHEET, b"<f>%s</f><v />" % formula, b"<f>%s</f><v>0</v>" % formula)

    with pytest.raises(DataError, match="never computed") as error:
        read_examples(path)
    assert (error.value.line, error.value.column) == (2, "a")

    rewritten(path, "xl/workbook.xml", b'fullCalcOnLoad="1"', b"")
    assert [cells for _, cells in read_workbook(path).rows] == [["x", "0"], ["y", "0"]]


@pytest.mark.parametrize("error", ["#N/A", "#REF!", "#DIV/0!", "#NAME?", "#VALUE!"])
def test_an_error_in_a_cell_is_no_label_and_no_text(tmp_path: Path, error: str) -> None:
    path = workbook(tmp_path, ["text", "labels", "note"], ["x", "joy", error], ["y", error, ""])

    with pytest.raises(DataError, match=f"Cell B3 holds the error {error}") as caught:
        read_examples(path)

    assert (caught.value.line, caught.value.column) == (3, "labels")


def test_dates_lose_their_midnight_and_are_noted(tmp_path: Path) -> None:
    path = workbook(
        tmp_path,
        ["text", "labels"],
        ["x", datetime.date(2024, 5, 1)],
        ["y", datetime.datetime(2024, 5, 1, 12, 30)],
        ["z", "joy"],
    )

    examples = read_examples(path, DataOptions(label_delimiter=""))

    assert examples.labels is not None
    assert examples.labels.space.names == ("2024-05-01", "2024-05-01T12:30:00", "joy")
    assert any("Cells with dates (the first is B2)" in note for note in examples.notes)
    assert any("in: labels." in note for note in examples.notes)


def test_merged_cells_are_noted(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["text", "labels"], ["x", "joy"], ["y", None]):
        book.active.append(row)
    book.active.merge_cells("B2:B3")
    book.save(tmp_path / "t.xlsx")

    table = read_workbook(tmp_path / "t.xlsx")

    assert list(table.rows) == [(2, ["x", "joy"]), (3, ["y", ""])]
    assert any(note.startswith("Merged range B2:B3") for note in table.notes)


@pytest.mark.parametrize(
    ("cell", "is_read"), [("B1048576", True), ("XFD1", False), ("XFD9", False)]
)
def test_a_cell_far_away_takes_no_memory(tmp_path: Path, cell: str, is_read: bool) -> None:
    book = openpyxl.Workbook()
    for row in (["text", "labels"], ["x", "joy"], ["y", "love"]):
        book.active.append(row)
    book.active[cell] = "far"
    book.save(tmp_path / "t.xlsx")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    if is_read:
        table = read_workbook(tmp_path / "t.xlsx")
        assert [line for line, _ in table.rows] == [2, 3, 1048576]
        assert "1048572 blank rows were skipped." in table.notes
    else:
        with pytest.raises(DataError, match=cell):
            read_workbook(tmp_path / "t.xlsx")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_a_sheet_too_large_to_serve_is_refused_with_its_widest_row(tmp_path: Path) -> None:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for number in range(17_000):
        sheet.append([f"text {number}"])
    book.save(tmp_path / "t.xlsx")
    rewritten(tmp_path / "t.xlsx", SHEET, b'<row r="5">', b'<row r="5"><c r="XFD5"><v>1</v></c>')

    with pytest.raises(DataError, match="XFD5") as error:
        read_workbook(tmp_path / "t.xlsx", header=False)
    assert error.value.line == 5


def test_rows_with_gaps_are_filled_with_empty_texts(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(60)]
    path = workbook(tmp_path, names, ["a", *[None] * 58, "z"], ["b"])

    (_, first), (_, second) = read_workbook(path).rows

    assert first == ["a", *[""] * 58, "z"]
    assert second == ["b", *[""] * 59]


def test_errors_about_columns_list_the_sheets(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active.append(["Exported by", "on"])
    book.active.append(["Kim", "Monday"])
    data = book.create_sheet("Data")
    for row in (["text", "labels"], ["x", "joy"], ["y", "love"]):
        data.append(row)
    book.create_sheet("Lists").sheet_state = "hidden"
    book.save(tmp_path / "t.xlsx")

    for attempt in (read_examples, stream_texts):
        with pytest.raises(
            DataError, match=r"sheets Notes, Data, Lists \(hidden\).*data.sheet=NAME"
        ):
            attempt(tmp_path / "t.xlsx", DataOptions())
    assert read_examples(tmp_path / "t.xlsx", DataOptions(sheet="Data")).texts == ["x", "y"]


def ole_file(directory: bytes) -> bytes:
    head = bytearray(512)
    head[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    head[30:32] = struct.pack("<H", 9)
    head[48:52] = struct.pack("<I", 1)
    return bytes(head) + bytes(512) + directory


def archive(*parts: tuple[str, bytes]) -> bytes:
    import io

    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name, content in parts:
            file.writestr(name, content)
    return target.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (ole_file("EncryptedPackage".encode("utf-16-le")), "protected by a password"),
        (ole_file("Workbook".encode("utf-16-le")), r"old Excel or Word file \(.xls"),
        (archive(("xl/workbook.bin", b"")), "binary Excel workbook"),
        (
            archive(("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"), ("a", b"")),
            "OpenDocument spreadsheet",
        ),
        (
            archive(("xl/workbook.xml", b"<x/>")).replace(
                b"PK\x01\x02\x14\x03\x14", b"PK\x01\x02\x14\x03\x80"
            ),
            "damaged",
        ),
        (archive(("xl/workbook.xml", b"<x/>"))[:-4], "damaged"),
    ],
)
def test_files_that_only_look_like_workbooks_are_named(
    tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "t.xlsx").write_bytes(content)

    with pytest.raises(DataError, match=words):
        open_table(tmp_path / "t.xlsx", DataOptions())


def test_a_lost_sheet_is_not_passed_over(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["text"])
    book.create_sheet("Old").append(["text"])
    book.save(tmp_path / "t.xlsx")
    with zipfile.ZipFile(tmp_path / "t.xlsx") as source:
        parts = [(name, source.read(name)) for name in source.namelist() if name != SHEET]
    (tmp_path / "t.xlsx").write_bytes(archive(*parts))

    with pytest.raises(DataError, match="lists 2 sheets, but holds 1"):
        read_workbook(tmp_path / "t.xlsx")
