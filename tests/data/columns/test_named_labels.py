from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from multihot.data.columns.named_labels import NameCells, find_name_form, read_label_names
from multihot.errors import DataError


class Read(NamedTuple):
    names: list[list[str] | None]
    delimiter: str | None
    note: str


def read(*cells: Any, **options: Any) -> Read:
    lines = range(2, 2 + len(cells))
    seen = NameCells(options.get("known"))
    seen.update(lines, cells)
    form = find_name_form(seen, seen.distinct, path="f", column="labels", **options)
    return Read(
        [form.names(line, cell) for line, cell in zip(lines, cells, strict=True)],
        form.delimiter,
        form.note,
    )


@pytest.mark.parametrize("mark", ["|", ";", ",", "，", "、", "；"])
def test_the_delimiter_is_detected_and_said(mark: str) -> None:
    found = read(f"very happy{mark} love", "joy", "", f"love{mark}{mark}")

    assert found.names == [["very happy", "love"], ["joy"], [], ["love"]]
    assert found.delimiter == mark
    assert f"names in column 'labels', separated by '{mark}'" in found.note


def test_without_a_delimiter_every_cell_is_one_label() -> None:
    found = read("very happy", "动力", None)

    assert (found.names, found.delimiter) == ([["very happy"], ["动力"], None], None)
    assert "one a row" in found.note


def test_two_possible_delimiters_are_an_error() -> None:
    with pytest.raises(
        DataError, match=r"column 'labels': .*\| ,.*'joy\|love, deep'.*data.label_delimiter"
    ):
        read("joy", "joy|love, deep")


def test_known_names_decide_between_delimiters() -> None:
    known = ["joy", "love, deep"]

    assert read("joy|love, deep", known=known).names == [["joy", "love, deep"]]
    assert read("love, deep", known=known).names == [["love, deep"]]
    assert read("joy,love", known=["joy", "love"]).names == [["joy", "love"]]


@pytest.mark.parametrize(
    ("delimiter", "cell"), [("/", "a/b"), ("tab", "a\tb"), ("space", "a b"), ("::", "a::b")]
)
def test_the_delimiter_can_be_given(delimiter: str, cell: str) -> None:
    assert read(cell, delimiter=delimiter).names == [["a", "b"]]


def test_an_empty_delimiter_never_splits() -> None:
    found = read("a|b,c", delimiter="")

    assert (found.names, found.delimiter) == ([["a|b,c"]], "")


def test_lists_are_read() -> None:
    found = read(["joy", " love "], [], None)

    assert found.names == [["joy", "love"], [], None]
    assert "lists in column 'labels'" in found.note


def test_lists_written_as_text_are_read() -> None:
    found = read("['joy', 'love, deep']", '["joy"]', "[]", "", None)

    assert found.names == [["joy", "love, deep"], ["joy"], [], [], None]
    assert "lists written as text" in found.note


@pytest.mark.parametrize("cell", ["[joy, love]", "['joy' 'love']", "[1"])
def test_unreadable_written_lists_are_errors(cell: str) -> None:
    if cell == "[1":
        assert read(cell).names == [["[1"]]
        return
    with pytest.raises(
        DataError, match=r"f:2, column 'labels': .*looks like a list, but cannot be read"
    ):
        read(cell)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ((["joy"], "love"), r"f:3, .*'love' is not a list"),
        (("joy", {"choices": []}), r"f:3, .*is not a label name"),
        (("joy", 2.5), r"f:3, .*2.5 is not a label name"),
        (("joy", True), r"f:3, .*True is not a label name"),
        ((["joy"], [3]), r"f:3, .*The label 3 is not a text.*data.label_names"),
        ((["joy"], [" "]), r"f:3, .*A label name in the list is empty"),
    ],
)
def test_cells_of_other_kinds_are_errors(cells: tuple[Any, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(*cells)


def test_an_unknown_name_is_named_with_its_line() -> None:
    with pytest.raises(
        DataError,
        match=r"f:3, column 'labels': The label 'fear' is not among the known labels: joy, love",
    ):
        read("joy", "love;fear", known=["joy", "love"])


NAMES = ("anger", "joy", "love")


def test_indices_are_recognised_when_names_are_given() -> None:
    found = read("2,0", "1", "", known=NAMES, indexed=NAMES)

    assert found.names == [["love", "anger"], ["joy"], []]
    assert "0-based indices into 3 label names" in found.note
    assert read([0, 1], None, 2 and [2], known=NAMES, indexed=NAMES).names == [
        ["anger", "joy"],
        None,
        ["love"],
    ]
    assert read(1, 2, indexed=NAMES).names == [["joy"], ["love"]]


def test_names_that_are_numbers_are_never_indices() -> None:
    assert read("1", "0", known=["0", "1"], indexed=["0", "1"]).names == [["1"], ["0"]]
    assert read("joy", known=NAMES, indexed=NAMES).names == [["joy"]]


def test_indices_out_of_range_or_repeated_are_errors() -> None:
    with pytest.raises(DataError, match=r"f:2, .*The index 3 is not one of the 3 label names"):
        read("3", known=NAMES, indexed=NAMES)
    with pytest.raises(
        DataError, match=r"f:2, .*same index occurs twice in \[0, 1, 0\].*vector of 0 and 1"
    ):
        read([0, 1, 0], known=NAMES, indexed=NAMES)


def test_names_are_normalised() -> None:
    assert read("cafe\u0301", known=["café"]).names == [["café"]]


def names_file(folder: Path, content: str) -> Path:
    path = folder / "labels.txt"
    path.write_text(content, encoding="utf-8-sig")
    return path


def test_a_file_of_names_needs_no_newline_at_the_end(tmp_path: Path) -> None:
    assert read_label_names(names_file(tmp_path, "anger\n joy \nvery happy")) == (
        "anger",
        "joy",
        "very happy",
    )
    assert read_label_names(names_file(tmp_path, "anger\r\njoy\r\n\n")) == ("anger", "joy")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a\n\nb\n", "labels.txt:2: There is a blank line"),
        ("a\nb\na\n", "labels.txt:3: The label name 'a' occurs twice; the first is in line 1"),
        ("\n", "is empty: expected one name a line"),
    ],
)
def test_a_bad_file_of_names_is_an_error(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_label_names(names_file(tmp_path, content))


def test_a_missing_file_of_names_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file of label names \(data.label_names\)"):
        read_label_names(tmp_path / "none.txt")
