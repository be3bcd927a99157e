"""Texts without labels behind labelled rows: every text once, no label known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multihot.core.options import DataOptions
from multihot.data.labelled_file import LabelledFile, open_labelled
from multihot.data.union import with_unlabelled
from multihot.errors import DataError


@pytest.fixture
def labelled(tmp_path: Path) -> LabelledFile:
    path = tmp_path / "a.csv"
    path.write_text("text,joy,anger\nhappy,1,0\nangry,0,1\n", "utf-8")
    return open_labelled(path)


def test_texts_of_any_form_follow_the_labelled_rows(labelled: LabelledFile, tmp_path: Path) -> None:
    table, lines = tmp_path / "b.tsv", tmp_path / "c.jsonl"
    table.write_text("id\ttweet\tjoy\nx\thm\t1\ny\tscared\t0\n", "utf-8")
    lines.write_text('{"text": "who knows", "labels": ["fear"]}\n', "utf-8")

    file = with_unlabelled(labelled, [table, lines], DataOptions())
    chunks = list(file.chunks(1))

    assert len(file) == len(chunks) == 5
    assert [chunk.texts[0] for chunk in chunks] == ["happy", "angry", "hm", "scared", "who knows"]
    assert [chunk.ids[0] for chunk in chunks] == ["1", "2", "x", "y", "1"]
    assert [chunk.lines[0] for chunk in chunks] == [2, 3, 2, 3, 1]
    values = np.concatenate([chunk.labels.values for chunk in chunks if chunk.labels is not None])
    np.testing.assert_array_equal(values[:2], [[1, 0], [0, 1]])
    assert np.isnan(values[2:]).all()
    assert file.space == labelled.space
    assert file.data == labelled.data
    assert [len(part) for part in file.parts] == [2, 2, 1]
    assert file.notes[-1] == f"3 texts without labels from {table} + {lines}."


def test_what_the_options_say_of_labels_weights_and_groups_is_for_labelled_files(
    tmp_path: Path,
) -> None:
    path, texts = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("text,tags,w,who\nhappy,joy,2,i\nangry,anger,1,you\n", "utf-8")
    texts.write_text("text\nhm\n", "utf-8")
    data = DataOptions(label_column="tags", weight_column="w", split_by="who")

    file = with_unlabelled(open_labelled(path, data), [texts], data)
    (first, second, last) = file.chunks(1)

    assert first.weights is not None
    assert last.weights is not None
    assert [first.weights[0], last.weights[0]] == [2, 1]
    assert [first.groups, second.groups, last.groups] == [["i"], ["you"], [""]]


def test_columns_that_mean_something_else_in_the_labelled_file_are_passed_over(
    tmp_path: Path,
) -> None:
    path, texts = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("utter,mood,doc_id,who_id\nhappy,joy,1,i\nangry,anger,2,you\n", "utf-8")
    texts.write_text("utter,mood,doc_id,who_id\nhm,joy,3,i\n", "utf-8")
    data = DataOptions(label_column="mood", split_by="who_id")

    file = with_unlabelled(open_labelled(path, data), [texts], data)

    last = list(file.chunks(1))[-1]
    assert (last.texts, last.ids) == (["hm"], ["3"])


def test_the_text_column_of_the_labelled_file_is_taken_where_there_is_one(tmp_path: Path) -> None:
    path, texts = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("words,tags\nhappy,joy\nangry,anger\n", "utf-8")
    texts.write_text("words,source\nhm,forum\n", "utf-8")

    file = with_unlabelled(open_labelled(path), [texts], DataOptions())

    assert list(file.chunks(1))[-1].texts == ["hm"]


def test_no_files_change_nothing(labelled: LabelledFile) -> None:
    assert with_unlabelled(labelled, [], DataOptions()) is labelled


def test_standard_input_is_refused(labelled: LabelledFile) -> None:
    with pytest.raises(DataError, match="Standard input cannot be read twice"):
        with_unlabelled(labelled, ["-"], DataOptions())


def test_a_file_without_texts_and_one_that_is_named_twice_are_refused(
    labelled: LabelledFile, tmp_path: Path
) -> None:
    empty, texts = tmp_path / "e.csv", tmp_path / "b.csv"
    empty.write_text("text\n", "utf-8")
    texts.write_text("text\nhm\n", "utf-8")

    with pytest.raises(DataError, match=r"e\.csv.*not a single text"):
        with_unlabelled(labelled, [empty], DataOptions())
    again = Path(labelled.source).parent / "." / ".." / tmp_path.name / "a.csv"
    for twice in ([texts, texts], [labelled.source], [again]):
        with pytest.raises(DataError, match="named more than once"):
            with_unlabelled(labelled, twice, DataOptions())


def test_a_file_of_texts_is_opened_once_for_each_time_it_is_read(
    labelled: LabelledFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("text\na\nb\n", "utf-8")
    opened: list[Path] = []
    original = Path.open

    def counted(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.name == path.name:
            opened.append(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", counted)
    joined = with_unlabelled(labelled, [path], DataOptions())
    at_once = len(opened)
    chunks = list(joined.chunks(100))

    assert sum(map(len, chunks)) == len(labelled) + 2
    assert len(opened) == 2 * at_once  # to count the rows, and to read them
