"""Keys of objects, texts of several columns and columns of one name each, through the whole reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from multihot.core.options import DataOptions
from multihot.data.examples import Examples, portable
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.data.text_stream import stream_texts
from multihot.errors import DataError, OptionError
from multihot.workflows.split import split


def written(folder: Path, rows: list[dict[str, Any]] | str, name: str = "t.jsonl") -> Path:
    path = folder / name
    text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, "utf-8")
    return path


def names(examples: Examples) -> list[list[str]]:
    assert examples.labels is not None
    return [found or [] for found in examples.labels.to_names()]


def assert_reads_later_files_alike(path: Path, first: Examples) -> None:
    """What is stored with a model reads the same file again, whole, in chunks, and to predict."""
    assert first.labels is not None
    later = portable(first.data)
    for data, space in ((first.data, None), (later, first.labels.space)):
        file = open_labelled(path, data, space=space)
        [chunk] = file.chunks()
        assert names(chunk) == names(first)
        assert chunk.texts == first.texts
        assert file.data == first.data
    stream = stream_texts(path, later)
    rows = list(stream.rows)
    assert [row.text for row in rows] == first.texts
    assert [row.id for row in rows] == first.ids
    assert all(tuple(row.values) == stream.columns for row in rows)


NESTED = [
    {
        "n": {"key": "a"},
        "data": {"text": "one"},
        "meta": {"accusation": ["theft"], "more": {"x": 1}},
    },
    {"n": {"key": "b"}, "data": {"text": "two"}, "meta": {"accusation": [], "more": None}},
    {"n": {"key": "c"}, "data": {"text": "three"}, "meta": {"accusation": ["fraud", "theft"]}},
]
IN_OBJECTS = DataOptions(text_column="data.text", label_column="meta.accusation", id_column="n.key")


def test_names_with_dots_are_keys_of_objects(tmp_path: Path) -> None:
    path = written(tmp_path, NESTED)

    found = read_examples(path, IN_OBJECTS)

    assert names(found) == [["theft"], [], ["fraud", "theft"]]
    assert (found.texts, found.ids) == (["one", "two", "three"], ["a", "b", "c"])
    assert any("'meta.accusation' is the key" in note for note in found.notes)
    assert_reads_later_files_alike(path, found)


def test_keys_of_structs_in_parquet_are_found_too(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(NESTED), path)

    found = read_examples(path, IN_OBJECTS)

    assert names(found) == [["theft"], [], ["fraud", "theft"]]
    assert_reads_later_files_alike(path, found)


def test_keys_of_objects_in_a_list_are_a_list(tmp_path: Path) -> None:
    rows = [{"text": "a", "spans": [{"type": "x"}, {"type": "y"}]}, {"text": "b", "spans": []}]

    found = read_examples(written(tmp_path, rows), DataOptions(label_column="spans.type"))

    assert names(found) == [["x", "y"], []]


def test_a_column_whose_name_holds_a_dot_goes_before_keys(tmp_path: Path) -> None:
    rows = [{"text": "a", "meta": {"labels": ["x"]}, "meta.labels": ["y"]}]

    found = read_examples(written(tmp_path, rows), DataOptions(label_column="meta.labels"))

    assert names(found) == [["y"]]


@pytest.mark.parametrize("wrong", ["meta.acuzation", "accusation", "meta.accusation.x"])
def test_a_key_that_is_nowhere_names_those_that_are(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(
        DataError, match=r"no column .*data.label_column.*keys of objects are: .*meta.accusation"
    ) as error:
        read_examples(
            written(tmp_path, NESTED), DataOptions(text_column="data.text", label_column=wrong)
        )

    assert ("Did you mean 'meta.accusation'?" in str(error.value)) == ("x" not in wrong)


def test_a_key_may_first_occur_in_a_far_row(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": "a", "meta": {}} for _ in range(1500)]
    rows.append({"text": "b", "meta": {"labels": ["x"]}})

    found = read_examples(written(tmp_path, rows), DataOptions(label_column="meta.labels"))

    assert names(found)[-1] == ["x"]


TITLED = (
    "title,body,labels\nA title,a body,x\n,only a body,y\nonly a title,,x|y\n , ,y\n"
    "A title,a body!,x\n"
)


def test_texts_of_several_columns_are_joined(tmp_path: Path) -> None:
    path = written(tmp_path, TITLED, "t.csv")

    found = read_examples(path, DataOptions(text_columns=("title", "body")))

    texts = ["A title a body", "only a body", "only a title", "", "A title a body!"]
    assert found.texts == texts
    assert names(found) == [["x"], ["y"], ["x", "y"], ["y"], ["x"]]
    assert any("title + body, joined by a space" in note for note in found.notes)
    assert_reads_later_files_alike(path, found)


def test_joined_texts_split_line_by_line_and_near_duplicates_stay_together(tmp_path: Path) -> None:
    lines = TITLED.splitlines(keepends=True)
    path = written(tmp_path, TITLED, "t.csv")

    split(
        path,
        tmp_path / "parts",
        parts={"train": 0.5, "test": 0.5},
        data=DataOptions(text_columns=("title", "body")),
    )

    parts = [(tmp_path / "parts" / f"{name}.csv").read_text("utf-8") for name in ("train", "test")]
    assert sorted("".join(parts).splitlines(keepends=True)) == sorted([lines[0], *lines])
    assert [lines[1] in part for part in parts] == [lines[5] in part for part in parts]


def test_one_text_column_and_several_exclude_each_other(tmp_path: Path) -> None:
    path = written(tmp_path, TITLED, "t.csv")

    with pytest.raises(OptionError, match=r"data.text_column=none or data.text_columns="):
        read_examples(path, DataOptions(text_column="body", text_columns=("title", "body")))
    with pytest.raises(DataError, match=r"no column 'titel' .*Did you mean 'title'"):
        read_examples(path, DataOptions(text_columns=("titel", "body")))


def test_lists_of_paragraphs_are_joined_by_line_breaks(tmp_path: Path) -> None:
    rows = [{"text": ["one", None, "two"], "labels": ["x"]}, {"text": "three", "labels": []}]
    path = written(tmp_path, rows)

    found = read_examples(path)

    assert found.texts == ["one\ntwo", "three"]
    assert any("1 texts are lists of paragraphs" in note for note in found.notes)
    assert_reads_later_files_alike(path, found)
    with pytest.raises(DataError, match="not a text") as error:
        read_examples(written(tmp_path, [{"text": ["a", 5], "labels": ["x"]}]))
    assert (error.value.line, error.value.column) == (1, "text")


NUMBERED = "text,label1,label2\na,joy,anger\nb,joy,\nc,,\nd,anger,nan\n"


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ("text,label1,label2", {}),
        ("text,tag_1,tag_2", {}),
        ("text,Category 1,Category 2", {}),
        ("text,labels[0],labels[1]", {}),
        ("text,label1,label2", {"label_columns": ("label1", "label2")}),
    ],
)
def test_columns_of_one_name_each_are_the_labels_of_a_row(
    tmp_path: Path, header: str, options: dict[str, Any]
) -> None:
    path = written(tmp_path, NUMBERED.replace("text,label1,label2", header), "t.csv")

    found = read_examples(path, DataOptions(**options))

    assert names(found) == [["anger", "joy"], ["joy"], [], ["anger"]]
    assert found.data.label_columns == tuple(header.split(",")[1:])
    assert any("hold a label name each" in note for note in found.notes)
    assert_reads_later_files_alike(path, found)


def test_named_columns_of_many_names_are_united_when_they_are_given(tmp_path: Path) -> None:
    path = written(tmp_path, "text,first,second\na,joy,anger\nb,fear,\n", "t.csv")

    found = read_examples(path, DataOptions(label_columns=("first", "second")))

    assert names(found) == [["anger", "joy"], ["fear"]]


@pytest.mark.parametrize("rows", ["a,1,0\nb,0,1\n", "a,yes,no\nb,no,no\n", "a,0.5,0\n", "a,3,2\n"])
def test_numbered_columns_of_values_are_not_names(tmp_path: Path, rows: str) -> None:
    path = written(tmp_path, f"text,label1,label2\n{rows}", "t.csv")

    if "1,0" in rows:
        assert names(read_examples(path)) == [["label1"], ["label2"]]
    else:
        with pytest.raises(DataError, match="is not a label value"):
            read_examples(path)


def test_a_value_among_names_in_a_far_row_is_refused(tmp_path: Path) -> None:
    rows = "a,joy,anger\n" * 2000
    path = written(tmp_path, f"text,label1,label2\n{rows}b,joy,0\n", "t.csv")

    with pytest.raises(DataError, match="'0' stands in a column of label names") as error:
        read_examples(path)

    assert (error.value.line, error.value.column) == (2002, "label2")
