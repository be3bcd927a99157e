"""A corrected copy differs from its file in the cells that were corrected, and in nothing else."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from multihot.core.options import DataOptions
from multihot.data.correcting.copy import copy_corrected, open_for_correction
from multihot.data.correcting.source import RowChanges
from multihot.data.labelled_file import read_examples
from multihot.errors import DataError, OptionError

TABLE = Path("corrections.csv")
Changes = Mapping[int, Mapping[str, float]]


def corrected(path: Path, changes: Changes, data: DataOptions | None = None) -> Path:
    """Correct a file; the row behind 0 is asked for by line 2 of the table, and so on."""
    data, target = data or DataOptions(), path.with_name(f"new-{path.name}")
    wanted = {row: RowChanges(values, TABLE, row + 2) for row, values in changes.items()}
    copy_corrected(open_for_correction(path, data), data, wanted, target)
    return target


LINES: dict[str, tuple[str, bytes, bytes, Changes, DataOptions]] = {
    "0/1 columns keep quotes, line ends and a missing last one": (
        "a.csv",
        b'id,text,joy,"so, sad",note\r\n1,"hi, ""you""\nnew",1,0,x\r\n2,ok, 0 ,1,"y"\r\n3,go,,0,z',
        b'id,text,joy,"so, sad",note\r\n1,"hi, ""you""\nnew",0,0,x\r\n2,ok,1,,"y"\r\n3,go,1,0,z',
        {0: {"joy": 0.0}, 1: {"joy": 1.0, "so, sad": math.nan}, 2: {"joy": 1.0}},
        DataOptions(ignore_columns=("note",)),
    ),
    "names keep what separates them": (
        "a.tsv",
        b"text\tlabels\tnote\na b\tjoy; love\tq\nc\t\tr\nd e\tjoy; love\ts\n",
        b"text\tlabels\tnote\na b\tlove\tq\nc\tjoy\tr\nd e\tjoy; love; rage\ts\n",
        {0: {"joy": 0.0}, 1: {"joy": 1.0}, 2: {"rage": 1.0}},
        DataOptions(label_names="names.txt"),
    ),
    "JSON keeps spaces, numbers and escapes": (
        "a.jsonl",
        b'{"text": "h\xc3\xa9", "labels": ["joy"], "m": {"a": 1.50}}\n{"labels":[] ,"text":"\\u0041"}\n',
        b'{"text": "h\xc3\xa9", "labels": [], "m": {"a": 1.50}}\n{"labels":["joy"] ,"text":"\\u0041"}\n',
        {0: {"joy": 0.0}, 1: {"joy": 1.0}},
        DataOptions(),
    ),
    "a key that is missing is added": (
        "b.jsonl",
        b'{"text": "h", "joy": true, "love": null}\n{"text":"x","joy":false}\n',
        b'{"text": "h", "joy": true, "love": false}\n{"text":"x","joy":true, "love": true}\n',
        {0: {"love": 0.0}, 1: {"joy": 1.0, "love": 1.0}},
        DataOptions(),
    ),
    "fastText": (
        "a.ft",
        b"__label__joy __label__love hi  you\n__label__joy no\n  plain\n",
        b"__label__love hi  you\nno\n  __label__joy plain\n",
        {0: {"joy": 0.0}, 1: {"joy": 0.0}, 2: {"joy": 1.0}},
        DataOptions(),
    ),
    "a printed Python list stays one": (
        "b.csv",
        b"text,labels\nhello there,\"['joy', 'love']\"\nq r,['joy']\n",
        b"text,labels\nhello there,\"['love']\"\nq r,\"['joy', 'love']\"\n",
        {0: {"joy": 0.0}, 1: {"love": 1.0}},
        DataOptions(),
    ),
    "indices stay indices": (
        "b.tsv",
        b"I am\t1\te1\nYou\t0,2\te2\n",
        b"I am\t1,0\te1\nYou\t2,1\te2\n",
        {0: {"joy": 1.0}, 1: {"joy": 0.0, "love": 1.0}},
        DataOptions(
            header=False, text_column="1", label_column="2", id_column="3", label_names="names.txt"
        ),
    ),
    "words of the file": (
        "c.csv",
        "text;joy;love\na;ja;nein\nb;nein;\n".encode("utf-16"),
        "text;joy;love\na;nein;nein\nb;nein;ja\n".encode("utf-16"),
        {0: {"joy": 0.0}, 1: {"love": 1.0}},
        DataOptions(true_values=("ja",), false_values=("nein",), delimiter=";"),
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_only_the_corrected_cells_change(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, before, after, changes, data = LINES[case]
    monkeypatch.chdir(tmp_path)
    Path("names.txt").write_text("joy\nlove\nrage\n", "utf-8")
    Path(name).write_bytes(before)

    copy = corrected(Path(name), changes, data)

    assert copy.read_bytes() == after
    assert Path(name).read_bytes() == before


def test_a_gzip_file_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"text,joy,love\na,1,0\nb,0,1\n"))

    copy = corrected(path, {0: {"joy": 0.0}})

    assert gzip.decompress(copy.read_bytes()) == b"text,joy,love\na,0,0\nb,0,1\n"


def test_parquet_keeps_the_types_and_facts_of_its_columns(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "text": ["a", "b"],
            "labels": pa.array([["joy"], ["love"]], pa.list_(pa.string())),
            "n": pa.array([1, 2], pa.int8()),
        },
        metadata={"from": "here"},
    )
    pq.write_table(table, tmp_path / "a.parquet")

    copy = corrected(tmp_path / "a.parquet", {1: {"joy": 1.0}}, DataOptions(ignore_columns=("n",)))

    found = pq.read_table(copy)
    assert found.schema.equals(pq.read_schema(tmp_path / "a.parquet"), check_metadata=True)
    assert found.column("labels").to_pylist() == [["joy"], ["love", "joy"]]


def test_a_workbook_keeps_texts_that_look_like_formulas(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["text", "joy", "love"])
    book.active.append(["plain", 1, 0])
    book.active.append(["more", 0, 1])
    book.active["A2"].value, book.active["A2"].data_type = "=1+1", "s"
    book.save(tmp_path / "a.xlsx")

    copy = corrected(tmp_path / "a.xlsx", {1: {"joy": 1.0}})

    cells = list(openpyxl.load_workbook(copy).active.iter_rows())
    assert [[cell.value for cell in row] for row in cells[1:]] == [["=1+1", 1, 0], ["more", 1, 1]]
    assert cells[1][0].data_type == "s"


def test_a_document_of_json_becomes_json_lines(tmp_path: Path) -> None:
    rows = [{"text": "a", "labels": ["joy"]}, {"text": "b", "labels": []}]
    (tmp_path / "a.json").write_text(json.dumps(rows), "utf-8")

    copy = corrected(tmp_path / "a.json", {1: {"joy": 1.0}})

    found = [json.loads(line) for line in copy.read_text("utf-8").splitlines()]
    assert found == [{"text": "a", "labels": ["joy"]}, {"text": "b", "labels": ["joy"]}]


def test_a_row_without_labels_that_gets_one_has_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "labels": ["joy", "love"]}\n{"text": "b", "labels": null}\n')
    target = tmp_path / "b.jsonl"

    file = open_for_correction(path, DataOptions())
    notes = copy_corrected(file, DataOptions(), {1: RowChanges({"joy": 1.0}, TABLE, 2)}, target)

    labels = read_examples(target).labels
    assert labels is not None
    assert labels.values.tolist() == [[1, 1], [1, 0]]
    assert any("1 row had no labels" in note for note in notes)


REFUSED: dict[str, tuple[str, str, Changes, int | None]] = {
    "an unknown label in a list": ("a.csv", "text,labels\nh,joy|love\nx,joy\n", {1: {"joy": math.nan}}, 3),
    "a label with a space in fastText's form": (
        "a.ft", "__label__joy hi\n__label__love no\n", {1: {"so sad": 1.0}}, 3,
    ),
    "a label that would be cut": ("b.csv", "text,labels\nh,joy|love\nx,joy\n", {0: {"a|b": 1.0}}, 2),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_format_cannot_hold_is_refused_with_the_line_of_the_table(
    case: str, tmp_path: Path
) -> None:
    name, content, changes, line = REFUSED[case]
    (tmp_path / name).write_text(content, "utf-8")

    with pytest.raises(DataError) as caught:
        corrected(tmp_path / name, changes)

    assert (caught.value.path, caught.value.line) == (str(TABLE), line)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("option", [{"group_by": "id"}, {"votes": 3}, {"vote_columns": ("a",)}])
def test_labels_that_are_merged_cannot_be_written_back(option: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,text,joy\n1,a,1\n", "utf-8")

    with pytest.raises(OptionError):
        open_for_correction(path, DataOptions(**option))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"d/e": 1.0}, "x,a/b/c|d/e"),
        ({"a/b/c": 0.0}, "x,a/b"),
        ({"a/b/c": 0.0, "a/b": 0.0}, "x,a"),
        ({"a/b/c": 0.0, "a/b": 0.0, "a": 0.0}, "x,"),
    ],
)
def test_what_a_removed_label_implied_stays(
    tmp_path: Path, changes: dict[str, float], line: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,labels\nx,a/b/c\ny,d/e|a\n", "utf-8")
    data = DataOptions(label_hierarchy="/")

    copy = corrected(path, {0: changes}, data)

    assert copy.read_text("utf-8").splitlines() == ["text,labels", line, "y,d/e|a"]
    with pytest.raises(DataError, match="has a label that implies 'a/b', which is corrected"):
        corrected(path, {0: {"a/b": 0.0}}, data)
