"""What labels imply: read from every shape of data, counted where it changes a cell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.columns.label_hierarchy import Ancestry, ancestry_of
from multihot.data.columns.label_names import Spelling
from multihot.data.examples import Examples, portable
from multihot.data.in_memory import as_examples
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.data.union import open_union, union_of
from multihot.errors import DataError, LabelError, OptionError

nan = float("nan")


def read(tmp_path: Path, name: str, content: str, **data: object) -> Examples:
    path = tmp_path / name
    path.write_text(content, "utf-8")
    options = DataOptions(**{"label_hierarchy": "/", **data})  # type: ignore[arg-type]
    examples = read_examples(path, options)
    streamed = open_labelled(path, options)
    chunks = [chunk.labels.values for chunk in streamed.chunks(1) if chunk.labels is not None]
    assert examples.labels is not None
    np.testing.assert_array_equal(np.concatenate(chunks), examples.labels.values)
    assert streamed.notes == examples.notes
    return examples


def values_of(examples: Examples) -> dict[str, list[float]]:
    assert examples.labels is not None
    names = examples.labels.space.names
    return dict(zip(names, examples.labels.values.T.tolist(), strict=True))


def said(examples: Examples, words: str) -> bool:
    return any(words in note for note in examples.notes)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,labels\nx,a/b/c\ny,d|a\nz,\n"),
        ("a.jsonl", '{"text": "x", "labels": ["a/b/c"]}\n{"text": "y", "labels": ["d", "a"]}\n'
         '{"text": "z", "labels": []}\n'),
        ("b.csv", "text,labels\nx,\"['a/b/c']\"\ny,\"['d', 'a']\"\nz,[]\n"),
        ("c.csv", "text,labels\nx,a / b / c\ny,d|a\nz,\n"),
    ],
)  # fmt: skip
def test_names_bring_what_they_imply(tmp_path: Path, name: str, content: str) -> None:
    found = values_of(read(tmp_path, name, content))

    assert [values for label, values in found.items() if label.replace(" ", "") == "a/b"] == [
        [1, 0, 0]
    ]
    assert found["a"] == [1, 1, 0]
    assert found["d"] == [0, 1, 0]
    assert len(found) == 4


def test_indices_and_vectors_are_completed(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("a\na/b\na/c\n", "utf-8")
    indices = read(tmp_path, "i.csv", "text,labels\nx,1\ny,0|2\n", label_names=str(names))
    vectors = read(
        tmp_path, "v.jsonl", '{"text": "x", "labels": [0, 1, 0]}\n{"text": "y", "labels": [1, 0, 1]}\n',
        label_names=str(names),
    )  # fmt: skip

    expected = {"a": [1, 1], "a/b": [1, 0], "a/c": [0, 1]}
    assert values_of(indices) == values_of(vectors) == expected
    assert said(vectors, "1 label cell was 0, lower or unknown above a positive one")
    assert not said(indices, "label cell was")


def test_columns_are_completed_and_every_change_is_counted(tmp_path: Path) -> None:
    content = "text,a,a/b,a/b/c,e/f\nw,0,,1,0\nx,1,0,0,1\ny,0,,,0\nz,,,,\n"
    found = read(tmp_path, "a.csv", content, label_columns=("a", "a/b", "a/b/c", "e/f"))

    np.testing.assert_array_equal(
        np.array(list(values_of(found).values())).T,
        [[1, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0], [nan, nan, nan, nan]],
    )
    assert said(found, "2 label cells were 0, lower or unknown above a positive one")
    assert said(found, "2 unknown label cells are 0, because a label that it implies is")
    assert said(found, "are not among the labels, are left out: e")
    assert said(found, "Hierarchy: 2 of 4 labels imply others; 3 levels")


def test_values_by_name_are_completed(tmp_path: Path) -> None:
    content = (
        '{"text": "x", "labels": {"a": 0, "a/b": 1}}\n{"text": "y", "labels": {"a": 0, "a/b": null}}\n'
        '{"text": "z", "labels": {"a/b": 1}}\n'
    )
    found = read(tmp_path, "a.jsonl", content)

    assert values_of(found) == {"a": [1, 0, 1], "a/b": [1, 0, 1]}
    assert said(found, "1 label cell was 0")
    assert said(found, "1 unknown label cell is 0")


def test_soft_labels_rise_to_the_highest_below_them(tmp_path: Path) -> None:
    content = "text,a,a/b,a/c\nx,0.25,0.75,0\ny,,0.25,0\nz,,0.75,0\n"
    found = read(tmp_path, "a.csv", content, soft_labels=True)

    np.testing.assert_array_equal(values_of(found)["a"], [0.75, nan, 0.75])


def test_several_parents_from_every_kind_of_file(tmp_path: Path) -> None:
    tables = {
        "h.csv": "child,parent\ngoal,sport\ngoal,aim\nsport,life\n",
        "h.tsv": "goal\tsport\ngoal\taim\nsport\tlife\n",
        "h.json": '{"goal": ["sport", "aim"], "sport": "life"}',
        "h.toml": 'goal = ["sport", "aim"]\nsport = "life"\n',
    }
    for name, table in tables.items():
        (tmp_path / name).write_text(table, "utf-8")
        found = read(
            tmp_path,
            "a.csv",
            "text,labels\nx,goal\ny,aim|other\n",
            label_hierarchy=str(tmp_path / name),
        )

        expected = {"aim": [1, 1], "goal": [1, 0], "life": [1, 0], "other": [0, 1], "sport": [1, 0]}
        assert values_of(found) == expected
        stored = portable(found.data).label_hierarchy
        assert stored is not None
        assert json.loads(stored) == {"goal": ["sport", "aim"], "sport": ["life"]}
        again = read(tmp_path, "a.csv", "text,labels\nx,goal\n", label_hierarchy=stored)
        assert list(values_of(again)) == ["aim", "goal", "life", "sport"]


def test_pairs_about_labels_that_the_data_lacks_are_named(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("goal,sport\nbudget,money\n", "utf-8")
    found = read(
        tmp_path, "a.csv", "text,labels\nx,goal\n", label_hierarchy=str(tmp_path / "h.csv")
    )

    assert said(found, "data.label_hierarchy names labels that the data lacks: budget, money.")


def test_spelling_comes_before_the_hierarchy(tmp_path: Path) -> None:
    found = read(
        tmp_path, "a.csv", "text,labels\nx,Sport/Ball\ny,sport\n", label_case="fold",
        label_aliases='{"sport/ball": "game/ball"}',
    )  # fmt: skip

    assert values_of(found) == {"game": [1, 0], "game/ball": [1, 0], "sport": [0, 1]}


def test_a_label_that_is_passed_over_still_implies_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,labels\nx,a/new\ny,a/b\n", "utf-8")
    space = Ancestry("/").space(("a", "a/b"))

    examples = read_examples(
        path, DataOptions(label_hierarchy="/", unknown_labels="ignore"), space=space
    )

    assert values_of(examples) == {"a": [1, 1], "a/b": [0, 1]}
    with pytest.raises(DataError, match="'a/new' is not among the known labels"):
        read_examples(path, space=space)


@pytest.mark.parametrize("cell", ["a//b", "/a", "a/"])
def test_an_empty_part_is_an_error_with_its_line(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DataError, match="has an empty part between '/'") as caught:
        read(tmp_path, "a.csv", f"text,labels\nx,a\ny,{cell}\n")
    assert caught.value.line == 3
    with pytest.raises(DataError, match="has an empty part between '/'"):
        read(tmp_path, "b.csv", f"text,a,{cell}\nx,1,0\n", label_columns=("a", cell))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("parents", "is neither a separator of levels, such as / or ::, nor a file"),
        ("  ", "is neither a separator"),
        ("none.csv", "there is no such file"),
        ('{"a": "b", "b": "a"}', "in a circle: 'a' -> 'b' -> 'a'"),
        ('{"a": "a"}', "'a' is its own parent"),
        ('{"a": 3}', "the parent of 'a' is 3"),
        ('{"a": ""}', "has an empty name"),
        ('{"a"', "is not valid JSON"),
        ('{"a": "b", "a": "c"}', "the key 'a' occurs more than once"),
    ],
)
def test_a_wrong_hierarchy_is_an_error(source: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ancestry_of(DataOptions(label_hierarchy=source), Spelling())


def test_a_line_that_is_no_pair_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    path.write_text("a,b\nc\n", "utf-8")
    with pytest.raises(DataError, match="is no pair of a label and its parent") as caught:
        ancestry_of(DataOptions(label_hierarchy=str(path)), Spelling())
    assert caught.value.line == 2


def test_a_file_without_a_pair_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    path.write_text("child,parent\n", "utf-8")
    with pytest.raises(DataError, match="no pair of a label and its parent"):
        ancestry_of(DataOptions(label_hierarchy=str(path)), Spelling())


def test_a_key_twice_in_a_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "h.json"
    path.write_text('{"a": "b", "a": "c"}', "utf-8")
    with pytest.raises(OptionError, match="the key 'a' occurs more than once"):
        ancestry_of(DataOptions(label_hierarchy=str(path)), Spelling())


def test_a_hierarchy_in_which_nothing_implies_anything_says_so(tmp_path: Path) -> None:
    found = read(tmp_path, "a.csv", "text,labels\nx,a/b\n", label_hierarchy="::")

    expected = "none of 1 label implies another, as no name has '::' in it; is data.label_hierarchy"
    assert said(found, expected)


def test_columns_whose_parents_are_missing_do_not_blame_the_separator(tmp_path: Path) -> None:
    found = read(tmp_path, "a.csv", "text,a/b,c/d\nx,1,0\n", label_columns=("a/b", "c/d"))

    assert said(found, "Hierarchy: none of 2 labels implies another.")


def test_known_labels_with_another_hierarchy_are_mentioned(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,labels\nx,a/b\n", "utf-8")
    space = Ancestry("/").space(("a", "a/b"))
    words = "data.label_hierarchy differs from the hierarchy of the known labels"

    other = read_examples(path, DataOptions(label_hierarchy="::"), space=space)
    same = read_examples(path, DataOptions(label_hierarchy="/"), space=space)
    in_memory = as_examples(["x"], np.ones((1, 2)), space=space, source="rows", hierarchy="::")

    assert said(other, words)
    assert said(in_memory, words)
    assert not said(same, words)


def test_several_files_share_one_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("text,labels\nx,a/b\n", "utf-8")
    (tmp_path / "two.csv").write_text("text,labels\ny,a/c\n", "utf-8")
    data = DataOptions(label_hierarchy="/")
    paths = [tmp_path / "one.csv", tmp_path / "two.csv"]

    united = open_union(paths, data)
    whole = union_of(*(read_examples(path, data) for path in paths))

    assert whole.labels is not None
    assert united.space.names == whole.labels.space.names == ("a", "a/b", "a/c")
    for space in (united.space, whole.labels.space):
        assert space.hierarchy is not None
        assert space.hierarchy.by_name(space.names) == {"a/b": ["a"], "a/c": ["a"]}


def test_labels_in_memory_are_completed() -> None:
    lists = as_examples(["x", "y"], [["a/b"], None], None, "rows", hierarchy="/")
    frame = pd.DataFrame({"a": [0, 0], "a/b": [1, np.nan], "c/d": [0, 1]})
    columns = as_examples(["x", "y"], frame, None, "rows", hierarchy="/")

    assert values_of(lists)["a"][0] == 1
    assert lists.data.label_hierarchy == "/"
    np.testing.assert_array_equal(
        np.array(list(values_of(columns).values())).T, [[1, 1, 0], [0, 0, 1]]
    )
    assert said(columns, "1 label cell was 0")
    assert said(columns, "1 unknown label cell is 0")
    assert said(columns, "left out: c")
    assert columns.labels is not None
    space = columns.labels.space
    again = as_examples(["x"], LabelMatrix(LabelSpace(space.names), [[0, 1, 0]]), space, "rows")
    assert values_of(again)["a"] == [1]
    with pytest.raises(LabelError, match="empty part"):
        as_examples(["x"], [["a//b"]], None, "rows", hierarchy="/")


@pytest.mark.parametrize("rule", ["union", "majority"])
def test_labels_of_several_annotators_are_closed(tmp_path: Path, rule: str) -> None:
    content = "text,who,labels\nx,1,a/b\nx,2,a\nx,3,a/c\ny,1,a\ny,2,\n"
    found = read_examples(
        write(tmp_path, content),
        DataOptions(
            label_hierarchy="/", label_column="labels", label_delimiter="|", group_by="text",
            annotator_column="who", aggregate=rule,
        ),
    )  # fmt: skip

    expected = [1, 1] if rule == "union" else [1, nan]
    np.testing.assert_array_equal(values_of(found)["a"], expected)
    assert values_of(found)["a/b"][0] == (rule == "union")


def test_votes_on_the_label_of_a_line_are_refused(tmp_path: Path) -> None:
    data = DataOptions(
        label_hierarchy="/", label_column="labels", group_by="text", vote_columns=("v",)
    )
    with pytest.raises(OptionError, match="adds labels to lines that were not voted on"):
        read_examples(write(tmp_path, "text,labels,v\nx,a/b,1\n"), data)


def write(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "annotated.csv"
    path.write_text(content, "utf-8")
    return path
