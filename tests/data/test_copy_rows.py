r"""Rows are copied as they are: quotes, line ends, encodings and byte order marks."""

from __future__ import annotations

import codecs
import datetime
import gzip
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multihot.core.options import DataOptions
from multihot.data.copy_rows import copy_rows, part_ending
from multihot.data.readers.open_table import open_table
from multihot.errors import DataError


def parts_of(path: Path, data: DataOptions | None = None, modulus: int = 2) -> list[Path]:
    """Deal the rows of a table to files in turn."""
    data = data or DataOptions()
    lines = np.array([line for line, _ in open_table(path, data).rows])
    ending = part_ending(path, data)
    targets = {
        path.with_name(f"part-{number}{ending}"): np.arange(len(lines)) % modulus == number
        for number in range(modulus)
    }
    copy_rows(path, data, lines, targets)
    return list(targets)


@pytest.mark.parametrize(
    ("content", "first", "second"),
    [
        (b"text,a\nx,1\ny,0\nz,1\n", b"text,a\nx,1\nz,1\n", b"text,a\ny,0\n"),
        (b"text,a\r\nx,1\r\ny,0", b"text,a\r\nx,1\r\n", b"text,a\r\ny,0"),
        (b"text,a\rx,1\ry,0\r", b"text,a\rx,1\r", b"text,a\ry,0\r"),
        (
            b'sep=;\r\ntext;a\r\n"x\r\n""y""";1\r\n\r\n"z";0\r\n',
            b'sep=;\r\ntext;a\r\n"x\r\n""y""";1\r\n\r\n',
            b'sep=;\r\ntext;a\r\n"z";0\r\n',
        ),
        (
            codecs.BOM_UTF8 + "text,a\nä,1\nö,0\n".encode(),
            codecs.BOM_UTF8 + "text,a\nä,1\n".encode(),
            codecs.BOM_UTF8 + "text,a\nö,0\n".encode(),
        ),
        (
            "text,a\nä,1\nö,0\n".encode("cp1252"),
            "text,a\nä,1\n".encode("cp1252"),
            "text,a\nö,0\n".encode("cp1252"),
        ),
        (
            codecs.BOM_UTF16_LE + "text,a\r\nä,1\r\nਊ,0\r\n".encode("utf-16-le"),
            codecs.BOM_UTF16_LE + "text,a\r\nä,1\r\n".encode("utf-16-le"),
            codecs.BOM_UTF16_LE + "text,a\r\nਊ,0\r\n".encode("utf-16-le"),
        ),
        (
            codecs.BOM_UTF16_BE + "text,a\nx,1\ny,0\n".encode("utf-16-be"),
            codecs.BOM_UTF16_BE + "text,a\nx,1\n".encode("utf-16-be"),
            codecs.BOM_UTF16_BE + "text,a\ny,0\n".encode("utf-16-be"),
        ),
        (
            codecs.BOM_UTF32_LE + "text,a\nx,1\ny,0\n".encode("utf-32-le"),
            codecs.BOM_UTF32_LE + "text,a\nx,1\n".encode("utf-32-le"),
            codecs.BOM_UTF32_LE + "text,a\ny,0\n".encode("utf-32-le"),
        ),
        (
            "text,a\nplain,1\nwords,0\n".encode("utf-16-le"),
            "text,a\nplain,1\n".encode("utf-16-le"),
            "text,a\nwords,0\n".encode("utf-16-le"),
        ),
    ],
)
def test_lines_are_copied_byte_for_byte(
    tmp_path: Path, content: bytes, first: bytes, second: bytes
) -> None:
    path = tmp_path / "all.csv"
    path.write_bytes(content)

    assert [part.read_bytes() for part in parts_of(path)] == [first, second]


def test_a_file_without_header_has_parts_without_one(tmp_path: Path) -> None:
    path = tmp_path / "all.tsv"
    path.write_bytes(codecs.BOM_UTF8 + b'x\t"1\ny\t0\n')

    first, second = parts_of(path, DataOptions(header=False))

    assert first.read_bytes() == codecs.BOM_UTF8 + b'x\t"1\n'
    assert second.read_bytes() == codecs.BOM_UTF8 + b"y\t0\n"


def test_json_lines_keep_their_spelling(tmp_path: Path) -> None:
    path = tmp_path / "all.ndjson"
    path.write_bytes(b'{"text":"x",  "a": 1.0}\n\n{"a":0,"text":"\\u00e4"}\n')

    first, second = parts_of(path)

    assert first.name == "part-0.ndjson"
    assert first.read_bytes() == b'{"text":"x",  "a": 1.0}\n\n'
    assert second.read_bytes() == b'{"a":0,"text":"\\u00e4"}\n'


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"text": ["x", "y", "z"], "labels": [["a"], [], None]})
    table = table.replace_schema_metadata({"k": "v"})
    parquet.write_table(table, tmp_path / "all.parquet")

    first, second = (parquet.read_table(part) for part in parts_of(tmp_path / "all.parquet"))

    whole = parquet.read_table(tmp_path / "all.parquet")  # with the names that Parquet gives lists
    assert first.equals(whole.take([0, 2]), check_metadata=True)
    assert second.equals(whole.take([1]), check_metadata=True)


def test_workbooks_stay_workbooks_with_their_values(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    workbook = openpyxl.Workbook()
    workbook.active.title = "Notes"
    sheet = workbook.create_sheet("Data")
    date = datetime.datetime(2024, 5, 1, 12)
    for row in (
        [],
        ["text", "a", "share", "when", "note"],
        ["x", 1, 0.5, date, "007"],
        [],
        ["y", 0, None, date, "#N/A"],
        ["=z", True, 1.5, None, "\u00e9"],
    ):
        sheet.append(row)
    sheet["D3"].number_format = "dd.mm.yyyy"
    sheet["A6"].data_type = "s"
    workbook.save(tmp_path / "all.xlsx")

    first, second = parts_of(tmp_path / "all.xlsx", DataOptions(sheet="Data"))

    assert (first.name, second.name) == ("part-0.xlsx", "part-1.xlsx")
    part = openpyxl.load_workbook(first)["Data"]
    assert list(part.values) == [
        ("text", "a", "share", "when", "note"),
        ("x", 1, 0.5, date, "007"),
        ("=z", True, 1.5, None, "\u00e9"),
    ]
    assert part["D2"].number_format == "dd.mm.yyyy"
    assert (part["A3"].data_type, part["B3"].data_type) == ("s", "b")
    again = openpyxl.load_workbook(second)["Data"]
    assert again["E2"].data_type == "e"
    whole = {
        tuple(cells)
        for _, cells in open_table(tmp_path / "all.xlsx", DataOptions(sheet="Data")).rows
    }
    parts = [open_table(part, DataOptions()) for part in (first, second)]
    assert {tuple(cells) for part in parts for _, cells in part.rows} == whole


def test_a_workbook_that_changed_is_noticed(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    openpyxl.Workbook().save(tmp_path / "all.xlsx")

    with pytest.raises(DataError, match="changed"):
        copy_rows(
            tmp_path / "all.xlsx", DataOptions(), np.array([2]), {tmp_path / "p": np.array([True])}
        )


def test_a_file_that_became_shorter_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_text("text,a\nx,1\n", "utf-8")

    with pytest.raises(DataError):
        copy_rows(path, DataOptions(), np.array([2, 3]), {tmp_path / "p": np.array([True, True])})


def test_parts_of_a_gzip_file_are_gzip_files_with_the_same_lines(tmp_path: Path) -> None:
    path = tmp_path / "all.csv.gz"
    path.write_bytes(gzip.compress(codecs.BOM_UTF8 + b'text,a\r\n"x\r\ny",1\r\nz,0\r\n'))

    first, second = parts_of(path)

    assert first.name == "part-0.csv.gz"
    assert gzip.decompress(first.read_bytes()) == codecs.BOM_UTF8 + b'text,a\r\n"x\r\ny",1\r\n'
    assert gzip.decompress(second.read_bytes()) == codecs.BOM_UTF8 + b"text,a\r\nz,0\r\n"


def test_parts_of_an_archive_have_the_format_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data/all.tsv", "text\ta\nx\t1\ny\t0\n")

    first, second = parts_of(path)

    assert (first.name, second.read_bytes()) == ("part-0.tsv", b"text\ta\ny\t0\n")


@pytest.mark.parametrize(
    ("name", "content", "data", "ending"),
    [
        ("all.json", json.dumps([{"text": "x", "labels": None}, {"text": "y"}]), {}, ".jsonl"),
        ("all.txt", "__label__a x\n__label__b y\n", {}, ".ft"),
        ("all.txt", "x\n__label__b y\n", {"format": "fasttext"}, ".ft"),
        ("all.txt", "7\ta b\tx\n8\t\ty\n", {"format": "libmultilabel"}, ".txt"),
        ("all.lst", "x; y\nz\n", {"label_file": "*.labels"}, ".jsonl"),
    ],
)
def test_parts_of_other_formats_are_read_as_the_same_rows(
    tmp_path: Path, name: str, content: str, data: dict[str, str], ending: str
) -> None:
    path = tmp_path / name
    path.write_text(content, "utf-8")
    (tmp_path / "all.labels").write_text("a b\n\n", "utf-8")
    options = DataOptions(**data)  # type: ignore[arg-type]
    whole = open_table(path, options)

    parts = parts_of(path, options)
    again = replace(options, label_file=None)

    assert {part.suffix for part in parts} == {ending}
    tables = [open_table(part, again) for part in parts]
    assert [table.columns for table in tables] == [whole.columns] * 2
    assert [cells for table in tables for _, cells in table.rows] == [c for _, c in whole.rows]
