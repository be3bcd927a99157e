from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from multihot.core.options import DataOptions
from multihot.data.columns.label_names import Spelling, read_label_names
from multihot.data.columns.name_cells import NameCells
from multihot.data.columns.name_detection import find_name_form
from multihot.errors import DataError


class Read(NamedTuple):
    names: list[list[str] | None]
    delimiter: str | None
    note: str


def read(*cells: Any, delimiter: str | None = None, **options: Any) -> Read:
    lines = range(2, 2 + len(cells))
    data = DataOptions(label_delimiter=delimiter)
    seen = NameCells(options.get("known"))
    seen.update(lines, cells)
    form = find_name_form(seen, seen.distinct, path="f", column="labels", data=data, **options)
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


def test_of_several_characters_that_are_given_each_separates() -> None:
    cells = ("joy，love、trust", "fear；joy", "love", "a:b，")

    found = read(*cells, delimiter="，、；")

    assert found.names == [["joy", "love", "trust"], ["fear", "joy"], ["love"], ["a:b"]]
    assert "any of ， 、 ；" in found.note
    with pytest.raises(DataError, match=r"or data\.label_delimiter=，、； where each"):
        read(*cells)
    for whole in ("||", ", "):  # no different characters, and one that never separates
        assert read(f"a{whole}b|c", delimiter=whole).names == [["a", "b|c"]]


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


@pytest.mark.parametrize("cell", ["[joy, love]", "['joy' 'love', 'anger']", "[1"])
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
        (("joy", {"labels": []}), r"f:2, .*'joy' is not an object"),
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


def test_indices_out_of_range_or_like_vectors_are_errors() -> None:
    with pytest.raises(DataError, match=r"f:2, .*The index 3 is not one of the 3 label names"):
        read("3", known=NAMES, indexed=NAMES)
    with pytest.raises(DataError, match=r"f:3, .*\[0, 1, 0\] may be a vector of 0 and 1, or rep"):
        read([2], [0, 1, 0], known=NAMES, indexed=NAMES)


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


def form_of(*cells: Any, data: DataOptions | None = None, **options: Any) -> Any:
    lines = range(2, 2 + len(cells))
    seen = NameCells(options.get("known"))
    seen.update(lines, cells)
    return find_name_form(
        seen, seen.distinct, path="f", column="labels", data=data or DataOptions(), **options
    )


def values(*cells: Any, **options: Any) -> list[dict[str, float] | None]:
    form = form_of(*cells, **options)
    assert form.has_values
    return [form.values(line, cell) for line, cell in enumerate(cells, start=2)]


@pytest.mark.parametrize(
    ("later", "first"),
    [
        ("price", "['screen']"),
        ("nan", "['screen']"),
        ("None", "{'screen'}"),
        ("['screen']", "price"),
        ("screen", "<price>"),
        ("['screen']", "<price>"),
        ("screen", "'price', 'battery'"),
        ("3", "{a,b}"),
    ],
)
def test_printed_lists_beside_bare_texts_are_an_error_with_both_lines(
    later: str, first: str
) -> None:
    with pytest.raises(DataError, match="in line 2") as error:
        read(first, "", first, later)
    assert (error.value.line, error.value.column) == (5, "labels")


@pytest.mark.parametrize("cell", ["['a', 'b']", "{'a', 'b'}", "('a', 'b')", "'a', 'b'", "{a,b}"])
def test_a_given_delimiter_never_cuts_a_printed_list(cell: str) -> None:
    with pytest.raises(DataError, match=r"data\.label_delimiter=,"):
        read(cell, "", delimiter=",")
    assert read(cell, delimiter="").names == [[cell]]


def test_known_names_in_brackets_are_names() -> None:
    known = ["[unused]", "{x}"]

    assert read("[unused]", "{x}", known=known).names == [["[unused]"], ["{x}"]]


def test_collections_of_all_kinds_are_read_in_one_column() -> None:
    found = read("['a']", "('b', 'a')", "set()", "{'b'}", "")

    assert found.names == [["a"], ["b", "a"], [], ["b"], []]


def test_objects_give_their_labels_values() -> None:
    assert values({"a": 1, "b": 0}, {"a": False, "b": None}, None) == [
        {"a": 1, "b": 0},
        {"a": 0, "b": pytest.approx(float("nan"), nan_ok=True)},
        None,
    ]
    assert values("{'a': 1, 'b': 0}", "") == [{"a": 1, "b": 0}, {}]
    soft = DataOptions(soft_labels=True)
    assert values('{"a": 0.25}', data=soft) == [{"a": 0.25}]


def test_a_label_that_an_object_lacks_is_unknown_if_others_are_zero() -> None:
    assert math.isnan(form_of({"a": 1, "b": 0}, {"b": 1}).unmentioned)
    assert form_of({"a": 1}, {"b": 1}).unmentioned == 0


def test_values_of_objects_are_checked() -> None:
    with pytest.raises(DataError, match=r"0\.25.*data\.soft_labels=true") as error:
        values({"a": 1, "b": 0}, {"a": 0.25})
    assert error.value.line == 3
    with pytest.raises(DataError, match="is not a list"):
        values({"a": 1, "b": 0}, ["a"])


def test_names_are_found_in_objects_by_their_key() -> None:
    drama = [{"id": 18, "name": "Drama"}, {"id": 35, "name": "Comedy"}]

    assert read(drama, []).names == [["Drama", "Comedy"], []]
    assert read(str(drama)).names == [["Drama", "Comedy"]]
    both = [{"id": "18", "name": "Drama"}]
    with pytest.raises(DataError, match=r"data\.label_key .*id, name"):
        read(both)
    form = form_of(both, data=DataOptions(label_key="name"))
    assert form.names(2, both) == ["Drama"]
    with pytest.raises(DataError, match="has no 'name'"):
        form.names(3, [{"id": "1"}])


def test_label_studios_choices_are_read_beside_single_ones() -> None:
    cells = ['{"choices":["a","b, c"]}', "b, c", ""]

    assert read(*cells).names == [["a", "b, c"], ["b, c"], []]
    assert read({"choices": ["a", "b"]}, "b, c", None).names == [["a", "b"], ["b, c"], None]


def test_lists_of_zeros_and_ones_as_long_as_the_names_are_vectors() -> None:
    two = ("joy", "love")

    assert values([0, 1], [1, 0], known=two, indexed=two) == [
        {"joy": 0, "love": 1},
        {"joy": 1, "love": 0},
    ]
    assert values("0,1", "1,1", known=two, indexed=two)[0] == {"joy": 0, "love": 1}
    assert values("[1. 0. 0.]", known=NAMES, indexed=NAMES)[0] == {"anger": 1, "joy": 0, "love": 0}
    assert not form_of([0, 1], [1], known=two, indexed=two).has_values
    with pytest.raises(DataError, match="has 2 values, but there are 3 labels"):
        form_of([0, 1, 1], known=NAMES, indexed=NAMES).values(3, [0, 1])
    with pytest.raises(DataError, match="index of the only label, or the value 0"):
        read([0], known=["joy"], indexed=["joy"])


def test_vectors_without_names_are_an_error() -> None:
    with pytest.raises(DataError, match=r"vectors of 3 values.*data\.label_names"):
        read("0,1,0", "1,1,0")


def test_cells_that_may_be_one_label_or_several_are_an_error() -> None:
    with pytest.raises(DataError, match=r"data\.label_delimiter=#.*data\.label_delimiter= "):
        read("joy#love", "joy", "love")
    with pytest.raises(DataError, match=r"data\.label_delimiter=space"):
        read("http://a.org/1 http://a.org/2", "http://a.org/3")
    with pytest.raises(DataError, match="comma in 'Dallas, TX'"):
        read("Paris", "London", "Dallas, TX")
    assert read("Paris", "London", "Dallas, TX", delimiter="").names[2] == ["Dallas, TX"]
    assert "data.label_delimiter=space" in read("joy love", "love anger", "anger joy").note


def test_an_unknown_name_comes_with_the_nearest_known_one() -> None:
    with pytest.raises(DataError, match="Did you mean 'Billing'"):
        read("Biling", known=["Billing", "joy"])


def test_spellings_are_merged_before_names_are_compared() -> None:
    form = form_of("Joy|JOY|glad", spelling=Spelling(folded=True, aliases={"glad": "joy"}))

    assert form.names(2, "Joy|glad|Anger") == ["joy", "joy", "anger"]
