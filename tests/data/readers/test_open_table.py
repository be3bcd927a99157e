from __future__ import annotations

import gzip
import re
import zipfile
from pathlib import Path

import pytest

from multihot.core.options import DataOptions
from multihot.data.readers.file_kind import content_kind
from multihot.data.readers.open_table import open_table
from multihot.errors import DataError, OptionError

CSV = b"id,text,joy\n1,hello,1\n"
TSV = CSV.replace(b",", b"\t")
JSONL = b'{"id": "1", "text": "hello", "labels": ["joy"]}\n'


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def parquet_bytes(folder: Path) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": ["hello"]}), folder / "made")
    return (folder / "made").read_bytes()


def xlsx_bytes(folder: Path) -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["text"])
    book.active.append(["hello"])
    book.save(folder / "made.xlsx")
    return (folder / "made.xlsx").read_bytes()


def zip_bytes(folder: Path, name: str) -> bytes:
    with zipfile.ZipFile(folder / "made.zip", "w") as archive:
        archive.writestr(name, "")
    return (folder / "made.zip").read_bytes()


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt", "t.dat", "table", "t.CSV"])
@pytest.mark.parametrize("content", [CSV, TSV], ids=["comma", "tab"])
def test_text_tables_are_read_whatever_their_delimiter(
    tmp_path: Path, name: str, content: bytes
) -> None:
    table = open_table(written(tmp_path, name, content), DataOptions())

    assert list(table.rows) == [(2, ["1", "hello", "1"])]


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.json", "t.txt", "table"])
def test_json_lines_are_recognised(tmp_path: Path, name: str) -> None:
    table = open_table(written(tmp_path, name, JSONL), DataOptions())

    assert list(table.rows) == [(1, ["1", "hello", ["joy"]])]


@pytest.mark.parametrize("name", ["t.parquet", "table"])
def test_parquet_is_recognised(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, parquet_bytes(tmp_path))

    assert list(open_table(path, DataOptions()).rows) == [(1, ["hello"])]


@pytest.mark.parametrize("name", ["t.xlsx", "table"])
def test_workbooks_are_recognised(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, xlsx_bytes(tmp_path))

    assert list(open_table(path, DataOptions()).rows) == [(2, ["hello"])]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet", "xlsx"])
@pytest.mark.parametrize("kind", ["text", "jsonl", "parquet", "xlsx"])
def test_a_file_that_is_not_what_its_ending_says_is_refused(
    tmp_path: Path, ending: str, kind: str
) -> None:
    content = {
        "text": CSV,
        "jsonl": JSONL,
        "parquet": parquet_bytes(tmp_path),
        "xlsx": xlsx_bytes(tmp_path),
    }[kind]
    path = written(tmp_path, f"t.{ending}", content)
    right = "csv" if kind == "text" else kind
    if ending == right or (ending, kind) == ("tsv", "text"):
        assert list(open_table(path, DataOptions()).rows)
        return

    with pytest.raises(
        DataError, match=rf"By the ending .{ending} this should be .*, but it looks like"
    ) as error:
        open_table(path, DataOptions())
    assert f"data.format={right}" in str(error.value)
    assert list(open_table(path, DataOptions(format=right)).rows)


def test_a_declared_format_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", CSV)

    with pytest.raises(DataError, match=r"By data.format=parquet this should be a Parquet file"):
        open_table(path, DataOptions(format="parquet"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(gzip.compress(CSV, mtime=0), mtime=0), "a gzip archive"),
        (b"%PDF-1.7\n", "a PDF document"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1",
            "an old Excel or Word file (.xls, .doc), which cannot be read. Convert",
        ),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "an HTML page"),
        (b"<?xml version='1.0'?>", "an XML document"),
        (b"PK\x03\x04 cut off", "a damaged zip archive or workbook"),
    ],
)
def test_other_contents_are_named_and_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = written(tmp_path, "t.csv", content)

    with pytest.raises(DataError, match=re.escape(f"This looks like {words}")):
        open_table(path, DataOptions())


def test_archives_are_looked_into(tmp_path: Path) -> None:
    document = written(tmp_path, "a.csv", zip_bytes(tmp_path, "word/document.xml"))

    assert content_kind(document) == "a Word document"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"\n \r\n", "empty"),
        (b'{\n"a": 1}', "json"),
        (b'[\n  {"text": "a"}\n]', "json"),
        (b'[{"text": "a"}]', "json"),
        (b"{}", "jsonl"),
        (b"[1, 2]", "jsonl"),
        (JSONL.decode().encode("utf-16"), "jsonl"),
        (b"{a},text\n", "text"),
        (b"\x81\xff\xff", "text"),
    ],
)
def test_the_kind_of_text_is_recognised(tmp_path: Path, content: bytes, kind: str) -> None:
    assert content_kind(written(tmp_path, "f", content)) == kind


def test_an_unfinished_first_json_line_is_explained_by_its_reader(tmp_path: Path) -> None:
    path = written(tmp_path, "t.jsonl", b'{"text": "a"\n')

    with pytest.raises(DataError, match=":1: Invalid JSON"):
        open_table(path, DataOptions())


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="The file is empty"):
        open_table(written(tmp_path, "t.csv", b""), DataOptions())


def test_a_missing_file_suggests_the_nearest_name(tmp_path: Path) -> None:
    written(tmp_path, "train.csv", CSV)

    with pytest.raises(DataError, match=r"no such file. Did you mean .*train.csv\?"):
        open_table(tmp_path / "trian.csv", DataOptions())
    with pytest.raises(DataError, match=r"no such file. A data set on the Hugging Face hub"):
        open_table(tmp_path / "quite-other.parquet", DataOptions())
    with pytest.raises(DataError, match=r"The folder .*nowhere does not exist either"):
        open_table(tmp_path / "nowhere" / "t.csv", DataOptions())


def test_an_empty_name_is_an_error_that_says_so() -> None:
    with pytest.raises(DataError, match="The name of a data file is empty"):
        open_table("", DataOptions())


def test_a_folder_is_an_error_unless_it_is_a_saved_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    with pytest.raises(DataError, match=r"This is a folder. .*data.format=dataset"):
        open_table(tmp_path, DataOptions())

    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "saved"))
    for data in (DataOptions(), DataOptions(format="dataset")):
        assert list(open_table(str(tmp_path / "saved"), data).rows) == [(1, ["a"])]


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(OptionError, match=r"data.format=xml is unknown. Known: auto, csv"):
        open_table("t.csv", DataOptions(format="xml"))


@pytest.mark.parametrize("name", ["utf-99", "rot13", "idna"])
def test_an_unknown_encoding_is_an_error_before_the_kind_of_file_is_known(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a"}\n', encoding="utf-8")

    with pytest.raises(OptionError, match=f"data.encoding={name} is not a text encoding"):
        open_table(str(path), DataOptions(encoding=name))


def test_a_file_that_cannot_be_opened_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="The file cannot be read"):
        open_table(tmp_path / ("x" * 300), DataOptions())


@pytest.mark.parametrize("name", ["config.json", "model.onnx", "openvino_model.xml"])
def test_a_model_without_its_decision_is_told_from_a_folder_of_data(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("{}", encoding="utf-8")

    with pytest.raises(DataError) as caught:
        open_table(tmp_path, DataOptions())

    assert "thresholds.json" in str(caught.value)
