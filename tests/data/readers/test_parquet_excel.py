from __future__ import annotations

import datetime
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from multihot.data.readers.excel import read_workbook
from multihot.data.readers.parquet_excel import read_parquet
from multihot.errors import DataError, MissingExtraError

openpyxl = pytest.importorskip("openpyxl")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def workbook(folder: Path, *rows: list[Any], sheet: str = "Sheet") -> Path:
    book = openpyxl.Workbook()
    book.active.title = sheet
    for row in rows:
        book.active.append(row)
    book.save(folder / "table.xlsx")
    return folder / "table.xlsx"


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    content = {
        "id": [1, 2],
        "text": ["a", None],
        "labels": [["joy"], []],
        "love": [True, None],
        "fear": [0.0, float("nan")],
    }
    parquet.write_table(pyarrow.table(content), tmp_path / "t.parquet")

    table = read_parquet(tmp_path / "t.parquet")
    rows = list(table.rows)

    assert table.columns == ("id", "text", "labels", "love", "fear")
    assert rows[0] == (1, [1, "a", ["joy"], True, 0.0])
    assert rows[1][1][:4] == [2, None, [], None]


def test_parquet_dictionaries_become_texts(tmp_path: Path) -> None:
    content = {"text": pyarrow.array(["a", "b", "a"]).dictionary_encode()}
    parquet.write_table(pyarrow.table(content), tmp_path / "t.parquet")

    assert [cells for _, cells in read_parquet(tmp_path / "t.parquet").rows] == [
        ["a"],
        ["b"],
        ["a"],
    ]


def test_parquet_uses_the_class_names_that_a_data_set_stored(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["anger", "joy"])
    features = datasets.Features(
        {"text": datasets.Value("string"), "labels": datasets.Sequence(names)}
    )
    content = {"text": ["a", "b"], "labels": [[1, 0], []]}
    datasets.Dataset.from_dict(content, features=features).to_parquet(str(tmp_path / "t.parquet"))

    rows = list(read_parquet(tmp_path / "t.parquet").rows)

    assert rows == [(1, ["a", ["joy", "anger"]]), (2, ["b", []])]


def test_damaged_parquet_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 nothing here PAR1")
    with pytest.raises(DataError, match="damaged and cannot be read"):
        read_parquet(path)

    parquet.write_table(pyarrow.table({"text": ["word " * 50] * 1000}), path, compression="snappy")
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged and cannot be read"):
        list(read_parquet(path).rows)


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


@pytest.mark.parametrize(
    ("package", "extra", "read"),
    [("pyarrow", "train", read_parquet), ("openpyxl", "excel", read_workbook)],
)
def test_the_missing_package_is_named(
    package: str, extra: str, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtraError, match=rf"multihot\[{extra}\]"):
        read(Path("file"))
