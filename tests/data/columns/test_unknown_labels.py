"""Labels that training never saw: an error that names the way out, or counted and passed over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from multihot.core.labels import LabelSpace
from multihot.core.options import DataOptions
from multihot.data.labelled_file import read_examples
from multihot.errors import DataError, OptionError

SPACE = LabelSpace(("joy", "fear"))
IGNORE = DataOptions(unknown_labels="ignore")


def write(tmp_path: Path, content: str, name: str = "dev.csv") -> Path:
    path = tmp_path / name
    path.write_text(content, "utf-8")
    return path


NAMED = [
    ("dev.csv", "text,labels\na,joy|new\nb,new\nc,fear\nd,\n"),
    (
        "dev.jsonl",
        '{"text": "a", "labels": ["joy", "new"]}\n{"text": "b", "labels": ["new"]}\n'
        '{"text": "c", "labels": ["fear"]}\n{"text": "d", "labels": []}\n',
    ),
    (
        "values.jsonl",
        '{"text": "a", "labels": {"joy": 1, "fear": 0, "new": 1}}\n'
        '{"text": "b", "labels": {"joy": 0, "fear": 0, "new": 1}}\n'
        '{"text": "c", "labels": {"joy": 0, "fear": 1, "new": 0}}\n'
        '{"text": "d", "labels": {"joy": 0, "fear": 0, "new": 0}}\n',
    ),
    (
        "keyed.jsonl",
        '{"text": "a", "labels": [{"name": "joy"}, {"name": "new"}]}\n'
        '{"text": "b", "labels": [{"name": "new"}]}\n'
        '{"text": "c", "labels": [{"name": "fear"}]}\n{"text": "d", "labels": []}\n',
    ),
]


@pytest.mark.parametrize(("name", "content"), NAMED, ids=[name for name, _ in NAMED])
def test_names_that_are_not_known_are_an_error_or_counted(
    tmp_path: Path, name: str, content: str
) -> None:
    path = write(tmp_path, content, name)

    with pytest.raises(DataError, match=r"data\.unknown_labels=ignore"):
        read_examples(path, space=SPACE)
    examples = read_examples(path, IGNORE, space=SPACE)

    assert examples.labels is not None
    assert examples.labels.values.tolist() == [[1, 0], [0, 0], [0, 1], [0, 0]]
    [note] = [note for note in examples.notes if note.startswith("Ignored")]
    assert "Ignored 1 label" in note
    assert "new (" in note


def test_rows_that_have_no_other_label_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "text,labels\na,joy|new\nb,new\nc,newer\nd,new\ne,fear\n")

    notes = read_examples(path, IGNORE, space=SPACE).notes

    [note] = [note for note in notes if note.startswith("Ignored")]
    assert "new (3), newer (1)" in note
    assert "3 rows have no other label" in note


def test_a_column_without_any_known_label_is_no_column_of_labels(tmp_path: Path) -> None:
    path = write(tmp_path, "text,labels\na,other\nb,\nc,names\n")

    with pytest.raises(DataError, match="all would be ignored") as caught:
        read_examples(path, IGNORE, space=SPACE)

    assert (caught.value.line, caught.value.column) == (2, "labels")


def test_names_that_are_passed_over_stand_in_order(tmp_path: Path) -> None:
    path = write(tmp_path, "text,labels\na,joy|zeta|alfa\nb,zeta|beta\n")

    [note] = [n for n in read_examples(path, IGNORE, space=SPACE).notes if n.startswith("Ignored")]

    assert "zeta (2), alfa (1), beta (1)" in note


def test_further_0_1_columns_are_passed_over_and_named(tmp_path: Path) -> None:
    path = write(tmp_path, "text,fear,new,joy\na,0,1,1\nb,1,0,0\n")

    with pytest.raises(DataError, match=r"data\.unknown_labels=ignore"):
        read_examples(path, space=SPACE)
    examples = read_examples(path, IGNORE, space=SPACE)

    assert examples.labels is not None
    assert np.array_equal(examples.labels.values, [[1, 0], [0, 1]])
    assert any("Ignored 1 0/1 columns" in note and "new" in note for note in examples.notes)


def test_a_training_file_has_no_unknown_label(tmp_path: Path) -> None:
    path = write(tmp_path, "text,labels\na,joy|new\nb,fear\n")

    examples = read_examples(path, IGNORE)

    assert examples.labels is not None
    assert examples.labels.space.names == ("fear", "joy", "new")


def test_another_choice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "text,labels\na,joy\n")

    with pytest.raises(OptionError, match="error, ignore"):
        read_examples(path, DataOptions(unknown_labels="drop"))


def test_an_empty_cell_of_names_is_no_label_and_said_or_unknown(tmp_path: Path) -> None:
    path = write(tmp_path, "text,labels\na,joy\nb,\nc,fear\n")

    negative = read_examples(path)
    unknown = read_examples(path, DataOptions(empty_labels="unknown"))

    assert negative.labels is not None
    assert negative.labels.values.tolist() == [[0, 1], [0, 0], [1, 0]]
    assert any("1 empty label cells count as negative" in note for note in negative.notes)
    assert unknown.labels is not None
    assert np.isnan(unknown.labels.values).tolist() == [[False] * 2, [True] * 2, [False] * 2]
    assert "1 of 3 texts are unlabelled." in unknown.notes
