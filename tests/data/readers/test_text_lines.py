"""Texts one a line: fastText's form, LibMultiLabel's form, and files of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from multihot.core.options import DataOptions
from multihot.data.examples import portable
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.data.readers.open_table import open_table
from multihot.data.text_stream import stream_texts
from multihot.errors import DataError, OptionError


def written(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8", newline="")
    return path


def rows(path: Path, **options: Any) -> list[list[Any]]:
    return [cells for _, cells in open_table(path, DataOptions(**options)).rows]


FASTTEXT = (
    "__label__a __label__b the text, with commas; and more\n"
    "__label__a\t__label__c\ttab then __label__x inside\r\n"
    "__label__b\n"
)


@pytest.mark.parametrize("name", ["t.txt", "t.ft", "t.train", "t"])
def test_fasttext_files_are_recognised(tmp_path: Path, name: str) -> None:
    table = open_table(written(tmp_path, name, FASTTEXT), DataOptions())

    assert table.columns == ("text", "labels")
    assert [cells for _, cells in table.rows] == [
        ["the text, with commas; and more", ["a", "b"]],
        ["tab then __label__x inside", ["a", "c"]],
        ["", ["b"]],
    ]
    assert "1 lines hold __label__ within the text; it stays there." in table.notes


def test_rows_without_labels_are_read_where_the_format_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "t.txt", "__label__a x\n\nno label\n")

    examples = read_examples(path, DataOptions(format="fasttext"))

    assert (examples.texts, examples.lines) == (["x", "no label"], [1, 3])
    assert examples.labels is not None
    assert examples.labels.values.tolist() == [[1], [0]]
    assert "1 blank lines were skipped." in examples.notes
    with pytest.raises(DataError, match=r"data.format=fasttext .* data.format=csv"):
        open_table(path, DataOptions())
    assert portable(examples.data).format == "fasttext"


@pytest.mark.parametrize("word", ["__label__", "__label__a,__label__b"])
def test_a_fasttext_label_has_one_name(tmp_path: Path, word: str) -> None:
    path = written(tmp_path, "t.ft", f"__label__a x\n{word} y\n")

    with pytest.raises(DataError, match="is not one label") as error:
        read_examples(path)

    assert (error.value.path, error.value.line) == (str(path), 2)


def test_the_form_of_libmultilabel_has_two_or_three_cells(tmp_path: Path) -> None:
    two = written(tmp_path, "two.txt", 'a b\tthe "text\n\tno label\n')
    three = written(tmp_path, "three.tsv", "7\ta\tx\n8\tb a\ty\n")

    assert rows(two, format="libmultilabel") == [['the "text', ["a", "b"]], ["no label", []]]
    assert rows(three, format="libmultilabel") == [["7", "x", ["a"]], ["8", "y", ["b", "a"]]]
    for content, line in (("a\tx\na\tx\ty\n", 2), ("text\n", 1), ("a\tb\tc\td\n", 1)):
        path = written(tmp_path, "wrong.txt", content)
        with pytest.raises(DataError, match="cells separated by tabs; expected") as error:
            rows(path, format="libmultilabel")
        assert (error.value.path, error.value.line) == (str(path), line)


def test_a_file_of_labels_goes_with_lines_of_texts(tmp_path: Path) -> None:
    texts = written(tmp_path, "texts.txt", 'late again; "and more\n\n{"a": 1}\n')
    labels = written(tmp_path, "labels.txt", "a b\n\nb\n")
    marked = written(tmp_path, "marked.txt", "very happy|b\n\nb\n")

    examples = read_examples(texts, DataOptions(label_file=str(labels)))
    chunks = list(open_labelled(texts, DataOptions(label_file=str(labels))).chunks(2))

    assert examples.labels is not None
    assert examples.texts == ['late again; "and more', "", '{"a": 1}']
    assert examples.labels.values.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert [len(chunk) for chunk in chunks] == [2, 1]
    by_mark = {"label_file": str(marked), "label_delimiter": "|"}
    assert rows(texts, **by_mark)[0][1] == ["very happy", "b"]
    assert rows(texts, label_file=str(marked), label_delimiter="")[0][1] == ["very happy|b"]


def test_a_star_stands_for_the_name_of_the_texts(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        written(tmp_path, f"{name}.txt", "x\n")
        written(tmp_path, f"{name}.labels", f"{name}\n")
    written(tmp_path, "new.txt", "y\n")
    data = DataOptions(label_file="*.labels")

    train = read_examples(tmp_path / "train.txt", data)
    later = portable(train.data)

    assert later.label_file == "*.labels"
    assert portable(DataOptions(label_file="labels.txt")).label_file is None
    assert rows(tmp_path / "dev.txt", label_file=later.label_file) == [["x", ["dev"]]]
    assert [row.text for row in stream_texts(tmp_path / "new.txt", later).rows] == ["y"]
    for name, content in (
        ("t.csv", "text,labels\nx,a\n"),
        ("t.json", '[{"text": "x", "labels": "a"}]'),
        ("t.log", '{"text": "x", "labels": "a"}\n'),
    ):
        assert rows(written(tmp_path, name, content), label_file="*.labels") == [["x", "a"]]
    tabs = written(tmp_path, "tabs.txt", "a\tx\n")
    form = {"format": "libmultilabel", "label_file": "*.labels"}
    assert rows(tabs, **form) == [["x", ["a"]]]


def test_files_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    texts = written(tmp_path, "texts.txt", "x\ny\n")
    short = written(tmp_path, "short.txt", "a\n")
    vectors = written(tmp_path, "vectors.txt", "0 1\n1 0\n")

    with pytest.raises(DataError, match=r"has 2 lines and .*short.txt has 1") as error:
        read_examples(texts, DataOptions(label_file=str(short)))
    assert (error.value.path, error.value.line) == (str(short), 2)
    with pytest.raises(DataError, match="look like vectors") as error:
        read_examples(texts, DataOptions(label_file=str(vectors)))
    assert error.value.path == str(vectors)
    marks = written(tmp_path, "marks.txt", "a b\na,b\n")
    with pytest.raises(DataError, match=r"data.label_delimiter=, .*=space") as error:
        read_examples(texts, DataOptions(label_file=str(marks)))
    assert (error.value.path, error.value.line) == (str(marks), 2)
    by_space = rows(texts, label_file=str(marks), label_delimiter="space")
    assert [labels for _, labels in by_space] == [["a", "b"], ["a,b"]]
    with pytest.raises(DataError, match="no such file of labels"):
        read_examples(texts, DataOptions(label_file=str(tmp_path / "none")))
    for name in ("t.csv", "t.json"):
        with pytest.raises(OptionError, match="one text a line"):
            read_examples(written(tmp_path, name, "text\n"), DataOptions(label_file=str(short)))
