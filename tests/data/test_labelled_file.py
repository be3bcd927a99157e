"""A labelled file in chunks: what `read_examples` returns, whatever the chunks, in constant memory."""

from __future__ import annotations

import csv
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.examples import Examples, portable
from multihot.data.labelled_file import LabelledFile, ReadLimits, open_labelled, read_examples
from multihot.errors import DataError, OptionError


def written(folder: Path, name: str, content: str, codec: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(content.encode(codec))
    return path


def joined(file: LabelledFile, chunk_rows: int) -> Examples:
    """Return all chunks as one, with the notes of the file."""
    chunks = list(file.chunks(chunk_rows))
    assert all(len(chunk) == chunk_rows for chunk in chunks[:-1])
    assert all(chunk.notes == () and chunk.data == file.data for chunk in chunks)
    labels = [chunk.labels for chunk in chunks if chunk.labels is not None]
    values = np.concatenate([one.values for one in labels])
    return replace(
        chunks[0],
        texts=[text for chunk in chunks for text in chunk.texts],
        labels=LabelMatrix(labels[0].space, values, labels[0].lists_all),
        ids=[row_id for chunk in chunks for row_id in chunk.ids],
        notes=file.notes,
        lines=[line for chunk in chunks for line in chunk.lines],
    )


def assert_equal(found: Examples, expected: Examples) -> None:
    assert found.labels is not None
    assert expected.labels is not None
    assert found.labels.space == expected.labels.space
    assert found.labels.lists_all == expected.labels.lists_all
    np.testing.assert_array_equal(found.labels.values, expected.labels.values)
    assert replace(found, labels=None) == replace(expected, labels=None)


def assert_streams_as_it_reads(
    path: str | Path, data: DataOptions | None = None, space: LabelSpace | None = None
) -> LabelledFile:
    expected = read_examples(path, data, space=space)
    file = open_labelled(path, data, space=space)

    assert file.space == (None if expected.labels is None else expected.labels.space)
    assert (file.data, file.source) == (expected.data, expected.source)
    assert len(file) == file.num_rows == len(expected)
    for chunk_rows in (1, 2, 3, 1000):
        assert_equal(joined(file, chunk_rows), expected)
    return file


JOY_LOVE = LabelSpace(("joy", "love"))
TEXT_FILES: dict[str, tuple[str, str, dict[str, Any], LabelSpace | None]] = {
    "official": (
        "t.txt",
        'ID\tTweet\tanger\tjoy\n1\t"a\t1\t0\n2\t""b""\t0\t1\n3\t\t0\t0\n',
        {},
        None,
    ),
    "columns, known, in another order": (
        "t.csv",
        "love,author,joy,text\n1,me,0,hi\n,you,-1,ho\n",
        {},
        JOY_LOVE,
    ),
    "columns, wanted": (
        "t.csv",
        "text,joy,spam\na,1,0\nb,0,1\n",
        {"label_columns": ("joy",)},
        None,
    ),
    "columns with unknown cells": ("t.csv", "text,joy,love\na,1,\nb,-1,null\n\nc,0,1\n", {}, None),
    "columns that are never 0": ("t.csv", "text,joy,love\na,1,-1\nb,-1,1\n", {}, None),
    "delimited cells": (
        "t.csv",
        "text;labels;who\na;love|joy;x\nb;;y\n;joy;z\n",
        {"delimiter": ";"},
        None,
    ),
    "delimited cells, known": ("t.csv", 'text,labels\na,"love,joy"\nb,joy\n', {}, JOY_LOVE),
    "one name a row": ("t.csv", "text,label\na,joy\nb,love\n", {}, None),
    "lists written as text": ("t.csv", "text,labels\na,\"['joy', 'love']\"\nb,[]\n", {}, None),
    "quoted line breaks": (
        "t.csv",
        'id,text,joy,love\nx,"a\nb",1,0\n\n\ny,"c ""d""",0,1\n',
        {},
        None,
    ),
    "without a header": (
        "t.tsv",
        "hello\tjoy\tx1\nyou\tlove\tx2\n",
        {"header": False, "text_column": "1", "label_column": "2", "id_column": "3"},
        None,
    ),
    "lists": (
        "t.jsonl",
        '{"id": 7, "text": "a", "labels": ["love", "joy"]}\n\n{"text": "b", "labels": []}\n'
        '{"text": "c"}\n{"text": "d", "labels": null, "more": 1}\n',
        {},
        None,
    ),
    "lists, known, none positive": ("t.jsonl", '{"text": "a", "labels": []}', {}, JOY_LOVE),
    "json columns": (
        "t.jsonl",
        '{"text": "a", "joy": true, "love": 0.0}\n{"text": "b", "joy": NaN, "love": null}\n',
        {},
        None,
    ),
    "Excel's separator line": ("t.csv", "sep=;\ntext;joy\na;1\nb;0\n", {}, None),
}


@pytest.mark.parametrize("case", list(TEXT_FILES))
def test_the_chunks_of_a_text_file_are_what_is_read_at_once(tmp_path: Path, case: str) -> None:
    name, content, options, space = TEXT_FILES[case]

    assert_streams_as_it_reads(written(tmp_path, name, content), DataOptions(**options), space)


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "cp1252"])
def test_the_encoding_is_detected_once_and_kept(tmp_path: Path, codec: str) -> None:
    path = written(tmp_path, "t.csv", "text,joy\ncaf\u00e9,1\nna\u00efve,0\n", codec)

    file = assert_streams_as_it_reads(path)

    assert any("Encoding" in note for note in file.notes)


@pytest.mark.parametrize("cell", ["2,0", "1"])
def test_indices_stand_for_the_names_of_the_names_file(tmp_path: Path, cell: str) -> None:
    names = written(tmp_path, "labels.txt", "love\nanger\njoy")
    path = written(tmp_path, "t.tsv", f"text\tlabels\na\t{cell}\nb\t0\nc\t\n")
    data = DataOptions(label_names=str(names), label_delimiter=",", label_column="labels")

    file = assert_streams_as_it_reads(path, data)

    assert file.space.names == ("love", "anger", "joy")
    assert_streams_as_it_reads(path, portable(file.data), file.space)


def test_a_later_file_is_streamed_with_the_options_of_the_first(tmp_path: Path) -> None:
    first = open_labelled(written(tmp_path, "a.csv", "text,joy,love\na,1,0\nb,0,1\n"))
    later = written(tmp_path, "b.csv", "love,text,joy\n1,c,0\n")

    file = assert_streams_as_it_reads(later, portable(first.data), first.space)

    assert file.space.names == ("joy", "love")


def test_parquet_files_and_saved_data_sets_are_streamed(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    names = datasets.List(datasets.ClassLabel(names=["joy", "love"]))
    features = datasets.Features({"text": datasets.Value("string"), "labels": names})
    content = {"text": ["a", "b", "c"], "labels": [[0], [1, 0], []]}
    table = datasets.Dataset.from_dict(content, features=features)
    table.to_parquet(str(tmp_path / "t.parquet"))
    table.save_to_disk(str(tmp_path / "saved"))

    for path in (tmp_path / "t.parquet", tmp_path / "saved"):
        file = assert_streams_as_it_reads(path)
        assert file.space.names == ("joy", "love")
        assert not any("held in memory" in note for note in file.notes)


def test_what_cannot_be_streamed_is_held_in_memory_and_said(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["text", "key", "labels"], ["a", 1, "joy"], ["b", 2, "love"], ["a", 1, "love"]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    lines = written(tmp_path, "t.csv", "text,key,labels\na,1,joy\nb,2,love\na,1,love\n")

    for path, data, num_rows in (
        (tmp_path / "t.xlsx", DataOptions(ignore_columns=("key",)), 3),
        (lines, DataOptions(group_by="key"), 2),
    ):
        expected, file = read_examples(path, data), open_labelled(path, data)
        assert len(file) == num_rows
        assert file.notes[:-1] == expected.notes
        assert file.notes[-1].startswith("The whole file is held in memory: ")
        assert_equal(joined(file, 2), replace(expected, notes=file.notes))


CELLS = st.sampled_from(["joy", "love", "joy|love", "", "fear | joy"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=st.lists(st.tuples(TEXTS, CELLS), min_size=1, max_size=12), chunk=st.integers(1, 5))
def test_any_table_is_the_same_in_chunks(
    tmp_path: Path, rows: list[tuple[str, str]], chunk: int
) -> None:
    rows = [("first", "joy"), *rows]
    table, lines = tmp_path / "t.csv", tmp_path / "t.jsonl"
    with table.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, quoting=csv.QUOTE_ALL).writerows([("text", "labels"), *rows])
    lines.write_text(
        "\n".join(
            json.dumps({"text": text, "labels": [*cell.split("|")]}) for text, cell in rows
        ).replace('[""]', "[]"),
        "utf-8",
    )

    for path in (table, lines):
        assert_equal(joined(open_labelled(path), chunk), read_examples(path))


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("t.csv", "text,joy\n", {}),
        ("t.csv", "text,joy\na,1\nb,0,0\n", {}),
        ("t.csv", "text,joy,love\na,1,0\nb,2,1\n", {}),
        ("t.csv", 'text,labels\na,joy|love\nb,"fear, really"\n', {}),
        ("t.csv", "text,joy\na,1\n", {"text_column": "tweet"}),
        ("t.jsonl", '{"text": "a", "labels": ["joy"]}\n{"text": null, "labels": []}', {}),
        ("t.jsonl", '{"text": "a", "labels": ["joy"]}\n{"text": "b", "labels": "joy"}', {}),
        ("t.jsonl", '{"text": "a", "labels": []}', {}),
        ("t.jsonl", '{"text": "a", "labels": [""]}', {}),
        ("t.csv", "text,joy,love\na,1,0\n", {"label_column": "joy", "label_columns": ("love",)}),
    ],
)
def test_what_is_wrong_is_said_on_opening_as_it_is_on_reading(
    tmp_path: Path, name: str, content: str, options: dict[str, Any]
) -> None:
    path, data = written(tmp_path, name, content), DataOptions(**options)

    with pytest.raises((DataError, OptionError)) as expected:
        read_examples(path, data)
    with pytest.raises(type(expected.value)) as found:
        open_labelled(path, data)

    assert str(found.value) == str(expected.value)


def test_a_file_that_grows_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "text,joy\na,1\nb,0\n")
    file = open_labelled(path)
    with path.open("a", encoding="utf-8") as handle:
        handle.write("c,1\n")

    with pytest.raises(DataError, match=r"had 2 rows when it was opened and has more now"):
        list(file.chunks(10))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, kind: str) -> None:
    limits = ReadLimits(batch_rows=64, block_bytes=4096)

    def peak(num_rows: int) -> int:
        path = tmp_path / f"{num_rows}.{kind}"
        with path.open("w", encoding="utf-8") as handle:
            handle.write("text,joy,love\n" if kind == "csv" else "")
            for row in range(num_rows):
                text, has_joy = f"text {row}" + " and more of it" * 15, row % 2
                line = json.dumps({"text": text, "labels": ["joy"] * has_joy})
                handle.write(f"{text},{has_joy},1\n" if kind == "csv" else f"{line}\n")
        tracemalloc.start()
        try:
            assert (
                sum(len(chunk) for chunk in open_labelled(path, limits=limits).chunks(64))
                == num_rows
            )
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(400)  # what is imported on first use is not counted
    assert peak(1600) < 1.2 * peak(400)


def test_weights_groups_and_fractions_come_with_every_chunk(tmp_path: Path) -> None:
    path = written(
        tmp_path, "a.csv", "text,joy,w,author\nx,0.25,1,a\ny,1,0.5,\nz,,0,a\nv,0.5,2,b\n"
    )
    data = DataOptions(soft_labels=True, weight_column="w", split_by="author")

    file, whole = open_labelled(path, data), read_examples(path, data)

    chunks = list(file.chunks(3))
    assert [chunk.weights.tolist() for chunk in chunks if chunk.weights is not None] == [
        [1, 0.5, 0],
        [2],
    ]
    assert [chunk.groups for chunk in chunks] == [["a", "", "a"], ["b"]]
    assert whole.labels is not None
    assert whole.weights is not None
    np.testing.assert_array_equal(whole.labels.values, [[0.25], [1], [np.nan], [0.5]])
    assert whole.take([3, 0]).weights.tolist() == [2, 1]  # type: ignore[union-attr]
    assert whole.take([3, 0]).groups == ["b", "a"]
    assert file.notes == whole.notes
    assert "1 of 4 texts have the weight 0." in file.notes
    assert any("2 label cells are fractions; 1 of them are exactly 0.5" in n for n in file.notes)


def test_later_files_need_no_weights_and_groups(tmp_path: Path) -> None:
    first = written(tmp_path, "a.csv", "text,joy,w,author\nx,1,1,0\n")
    data = DataOptions(weight_column="w", split_by="author")
    training = open_labelled(first, data)
    later = portable(training.data)

    for content in ("text,joy\nx,1\n", "text,joy,w,author\nx,1,1,0\n"):
        path = written(tmp_path, "b.csv", content)
        (chunk,) = open_labelled(path, later, space=training.space).chunks(9)
        assert (chunk.weights, chunk.groups) == (None, None)


def test_a_wrong_weight_is_found_when_the_file_is_opened(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "text,joy,w\nx,1,1\ny,1,-2\n")

    with pytest.raises(DataError, match=r"a.csv:3, column 'w': The weight is '-2'"):
        open_labelled(path, DataOptions(weight_column="w"))


def test_lines_of_one_text_have_one_weight(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "id,text,labels,w\n1,x,a,1\n1,x,b,2\n")

    with pytest.raises(DataError, match="weights of line 2 and line 3 differ"):
        open_labelled(path, DataOptions(weight_column="w", group_by="id"))


def test_a_file_that_was_emptied_after_it_was_opened_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,joy\na,1\nb,0\n", "utf-8")
    file = open_labelled(path)
    path.write_text("", "utf-8")

    with pytest.raises(DataError) as caught:
        list(file.chunks(2))
    assert caught.value.path == str(path)


@pytest.mark.parametrize("chunk_rows", [0, -1])
def test_chunks_have_at_least_one_row(tmp_path: Path, chunk_rows: int) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,joy\na,1\nb,0\n", "utf-8")

    with pytest.raises(ValueError, match="expected at least 1"):
        next(open_labelled(path).chunks(chunk_rows))
