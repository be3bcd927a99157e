"""Several data sets as one: every row once, labels by name, the rest unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.examples import Examples, portable
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.data.union import open_union, union_of
from multihot.errors import DataError, OptionError

NAMES = ("anger", "fear", "joy", "love")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Two files that have nothing in common but a label."""
    table, lines = tmp_path / "a.csv", tmp_path / "b.jsonl"
    table.write_text("text,joy,anger\nhappy,1,0\nangry,0,1\nhm,,0\n", "utf-8")
    lines.write_text(
        '{"tweet": "scared", "labels": ["fear"]}\n{"tweet": "Happy!", "labels": ["joy"]}\n'
        '{"tweet": "it", "labels": []}\n{"tweet": "who knows", "labels": null}\n',
        "utf-8",
    )
    return [table, lines]


EXPECTED = np.array(
    [
        [1, 0, np.nan],
        [0, 1, np.nan],
        [np.nan, 0, np.nan],
        [0, np.nan, 1],
        [1, np.nan, 0],
        [0, np.nan, 0],
        [np.nan, np.nan, np.nan],
    ]
)


def test_rows_of_all_files_with_the_labels_of_all(paths: list[Path]) -> None:
    file = open_union(paths)
    chunks = list(file.chunks(2))
    values = np.concatenate([chunk.labels.values for chunk in chunks if chunk.labels is not None])

    assert file.space.names == ("joy", "anger", "fear")
    assert len(file) == 7
    np.testing.assert_array_equal(values, EXPECTED)
    assert [text for chunk in chunks for text in chunk.texts][2:5] == ["hm", "scared", "Happy!"]
    assert file.source == "a.csv + b.jsonl"


def test_the_union_in_memory_is_that_of_the_files(paths: list[Path]) -> None:
    union = union_of(*map(read_examples, paths))

    assert union.labels is not None
    assert union.labels.space == open_union(paths).space
    np.testing.assert_array_equal(union.labels.values, EXPECTED)
    assert union.lines == [2, 3, 4, 1, 2, 3, 4]


def test_what_was_united_is_said_with_counts(paths: list[Path]) -> None:
    notes = " ".join(open_union(paths).notes)

    assert "2 data sets with 7 rows and 3 labels as one." in notes
    assert f"{paths[0]} knows 2 of the labels; unknown in its 3 rows: fear." in notes
    assert f"{paths[1]} knows 2 of the labels; unknown in its 4 rows: anger." in notes
    assert "1 row holds a text that a data set before has too" in notes
    assert "share no label name" not in notes


def test_sets_without_a_common_label_are_pointed_out(tmp_path: Path) -> None:
    for name, label in (("a.csv", "joy"), ("b.csv", "Joy")):
        (tmp_path / name).write_text(f"text,{label}\nx,1\n", "utf-8")

    assert any(
        "share no label name" in note for note in open_union(sorted(tmp_path.iterdir())).notes
    )


def test_one_file_is_no_union(paths: list[Path]) -> None:
    assert open_union(paths[:1]).space == open_labelled(paths[0]).space
    alone = read_examples(paths[0])
    assert union_of(alone) is alone


def test_a_file_with_some_of_the_labels_validates_the_union(
    paths: list[Path], tmp_path: Path
) -> None:
    union = open_union(paths)
    (tmp_path / "dev.csv").write_text("text,fear,joy\nscared,1,0\n", "utf-8")
    (tmp_path / "dev.jsonl").write_text(
        '{"text": "x", "labels": ["joy"]}\n{"text": "y", "labels": ["anger"]}\n', "utf-8"
    )

    table, lines = (
        read_examples(tmp_path / name, portable(union.data), space=union.space).labels
        for name in ("dev.csv", "dev.jsonl")
    )

    assert table is not None
    assert lines is not None
    np.testing.assert_array_equal(table.values, [[0, np.nan, 1]])
    np.testing.assert_array_equal(lines.values, [[1, 0, np.nan], [0, 1, np.nan]])


def test_a_union_takes_the_labels_of_a_model(paths: list[Path]) -> None:
    space = LabelSpace(("fear", "joy", "anger", "love"))

    chunks = list(open_union(paths, space=space).chunks(99))

    values = np.concatenate([chunk.labels.values for chunk in chunks if chunk.labels is not None])
    np.testing.assert_array_equal(values[:, [1, 2, 0]], EXPECTED)
    assert np.isnan(values[:, 3]).all()
    with pytest.raises(DataError, match="columns are not among the known labels: joy"):
        open_union(paths, space=LabelSpace(("fear", "anger")))


def test_without_permission_a_file_must_have_all_known_labels(paths: list[Path]) -> None:
    space = LabelSpace(("joy", "anger", "fear"))

    with pytest.raises(DataError, match=r"'fear' is missing.*read with data.partial_labels=true"):
        open_labelled(paths[0], space=space)
    data = DataOptions(partial_labels=True, label_columns=("joy", "anger"))
    with pytest.raises(DataError, match="No column is named like a known label"):
        open_labelled(paths[0], data, space=LabelSpace(("fear", "love")))


def test_explicit_options_hold_for_every_file(paths: list[Path]) -> None:
    with pytest.raises(DataError, match=r"b.jsonl: There is no column 'text'"):
        open_union(paths, DataOptions(text_column="text"))


def test_what_later_files_need_not_agree_on_is_left_open(paths: list[Path]) -> None:
    data = portable(open_union(paths).data)

    assert (data.text_column, data.label_column, data.label_columns) == (None, None, ())
    assert data.partial_labels


def test_weights_of_one_set_are_joined_by_ones(paths: list[Path]) -> None:
    first, second = map(read_examples, paths)
    weights = np.array([2, 0.5, 0], dtype=np.float32)

    union = union_of(replace(first, weights=weights, groups=["a", "b", ""]), second)

    assert union.weights is not None
    assert union.weights.tolist() == [2, 0.5, 0, 1, 1, 1, 1]
    assert union.groups == ["a", "b", "", "", "", "", ""]


def test_a_file_of_labels_belongs_to_one_of_several_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"{name} text\n", "utf-8")
        (tmp_path / f"{name}.labels").write_text(f"{name}\n", "utf-8")
    texts = [tmp_path / "a.txt", tmp_path / "b.txt"]

    united = open_union(texts, DataOptions(label_file="*.labels"))

    assert united.space.names == ("a", "b")
    with pytest.raises(OptionError, match=r"data.label_file=\*"):
        open_union(texts, DataOptions(label_file=str(tmp_path / "a.labels")))


def test_nothing_and_the_same_file_twice_are_no_union(paths: list[Path]) -> None:
    with pytest.raises(DataError, match="nothing to unite"):
        union_of()
    with pytest.raises(DataError, match="named more than once"):
        open_union([paths[0], *paths])
    with pytest.raises(DataError, match=r"a.csv: has no labels to unite"):
        union_of(read_examples(paths[0], labels="ignore"), read_examples(paths[1]))


@settings(derandomize=True, deadline=None, database=None, max_examples=40)
@given(st.lists(st.permutations(NAMES).map(lambda names: names[:2]), min_size=2, max_size=4))
def test_known_cells_are_exactly_those_of_the_parts(spaces: list[list[str]]) -> None:
    parts = [
        Examples(
            ["x"],
            LabelMatrix(LabelSpace(tuple(names)), np.array([[1, 0]], dtype=np.float32)),
            ["1"],
            f"{number}",
            DataOptions(),
            (),
            [1],
        )
        for number, names in enumerate(spaces)
    ]

    labels = union_of(*parts).labels

    assert labels is not None
    assert set(labels.space.names) == {name for names in spaces for name in names}
    for row, (has, lacks) in enumerate(spaces):
        assert labels.values[row, labels.space.index(has)] == 1
        assert labels.values[row, labels.space.index(lacks)] == 0
        assert labels.known[row].sum() == 2
