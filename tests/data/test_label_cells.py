"""Label cells as programs and people write them, through the whole reader."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from multihot.core.labels import LabelSpace
from multihot.core.options import DataOptions
from multihot.data.examples import Examples, portable
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.errors import DataError, OptionError


def written(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def names_of(examples: Examples) -> list[list[str]]:
    assert examples.labels is not None
    return examples.labels.to_names()


@pytest.mark.parametrize(
    "cells",
    [
        ("{'joy', 'love'}", "{'joy'}", "set()"),
        ("('joy', 'love')", "('joy',)", "()"),
        ("{joy,love}", "{joy}", "{}"),
        ("['joy' 'love']", "['joy']", "[]"),
        ("<joy><love>", "<joy>", ""),
        ("'joy', 'love'", "'joy'", ""),
        ("array(['joy', 'love'], dtype=object)", "array(['joy'], dtype=object)", "[]"),
        ('[{"name": "joy"}, {"name": "love"}]', '[{"name": "joy"}]', "[]"),
        ('{"joy": 1, "love": 1}', '{"joy": 1, "love": 0}', '{"joy": 0, "love": 0}'),
        ("joy\nlove", "joy", ""),
        ("joy، love", "joy", ""),
    ],
)
def test_a_cell_never_leaves_brackets_or_quotes_in_a_name(
    tmp_path: Path, cells: tuple[str, ...]
) -> None:
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    rows = "".join(f"text {number},{cell}\n" for number, cell in enumerate(quoted))

    examples = read_examples(written(tmp_path, "t.csv", f"text,labels\n{rows}"))

    assert names_of(examples) == [["joy", "love"], ["joy"], []]
    assert any(note.startswith("Labels: ") for note in examples.notes)


def test_a_vector_for_each_name_is_one_value_for_each_label(tmp_path: Path) -> None:
    names = written(tmp_path, "names.txt", "joy\nlove\n")
    path = written(
        tmp_path, "t.jsonl", '{"text": "a", "labels": [0, 1]}\n{"text": "b", "labels": [1, 0]}\n'
    )

    examples = read_examples(path, DataOptions(label_names=str(names)))

    assert names_of(examples) == [["love"], ["joy"]]
    later = read_examples(path, portable(examples.data), space=LabelSpace(("joy", "love")))
    assert names_of(later) == [["love"], ["joy"]]


def test_indices_count_from_zero_in_json_names(tmp_path: Path) -> None:
    names = written(tmp_path, "names.json", json.dumps({"0": "joy", "1": "fear", "2": "anger"}))
    path = written(tmp_path, "t.csv", 'text,labels\na,"[1, 2]"\nb,[0]\n')

    examples = read_examples(path, DataOptions(label_names=str(names)))

    assert names_of(examples) == [["fear", "anger"], ["joy"]]


def test_spellings_of_a_label_are_merged_and_stay_merged_in_later_files(tmp_path: Path) -> None:
    aliases = written(tmp_path, "aliases.csv", "Bill,Billing\n")
    path = written(tmp_path, "t.csv", "text,labels\na,Billing|joy\nb,BILLING\nc,bill\n")
    assert "BILLING = Billing" in " ".join(read_examples(path).notes)

    examples = read_examples(path, DataOptions(label_aliases=str(aliases), label_case="fold"))

    assert names_of(examples) == [["billing", "joy"], ["billing"], ["billing"]]
    aliases.unlink()
    assert examples.labels is not None
    later = written(tmp_path, "later.csv", "text,labels\na,Bill\nb,JOY\n")
    read = read_examples(later, portable(examples.data), space=examples.labels.space)
    assert names_of(read) == [["billing"], ["joy"]]


def test_columns_are_labels_by_their_spelling(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "text,Joy,ANGER\na,1,0\nb,0,1\n")

    examples = read_examples(path, DataOptions(label_case="fold"))

    assert examples.labels is not None
    assert examples.labels.space.names == ("joy", "anger")
    later = written(tmp_path, "later.csv", "text,anger,JOY\na,0,1\n")
    read = read_examples(later, portable(examples.data), space=examples.labels.space)
    assert names_of(read) == [["joy"]]
    both = written(tmp_path, "both.csv", "text,joy,Joy,anger\na,0,1,1\n")
    with pytest.raises(DataError, match="'joy' and 'Joy' are the same label"):
        read_examples(both, portable(examples.data), space=examples.labels.space)


def test_a_label_that_an_object_lacks_is_unknown(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "t.jsonl",
        '{"text": "a", "cats": {"joy": 1.0, "love": 0.0}}\n{"text": "b", "cats": {"love": 1.0}}\n',
    )

    for examples in (read_examples(path), next(open_labelled(path).chunks(10))):
        assert examples.labels is not None
        np.testing.assert_array_equal([[1, 0], [np.nan, 1]], examples.labels.values)
    assert "1 label cell is unknown" in " ".join(read_examples(path).notes)


def test_a_column_named_like_an_id_is_no_label(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "id,text,annotator_id,joy,fear\n1,a,0,1,0\n2,b,1,0,1\n")

    examples = read_examples(path)

    assert examples.labels is not None
    assert examples.labels.space.names == ("joy", "fear")
    assert "Columns not used: annotator_id." in examples.notes
    named = DataOptions(label_columns=("annotator_id", "joy"))
    wanted = read_examples(path, named).labels
    assert wanted is not None
    assert wanted.space.names == ("annotator_id", "joy")


def test_a_flag_written_otherwise_than_the_labels_is_an_error(tmp_path: Path) -> None:
    path = written(
        tmp_path, "t.csv", "text,unclear,joy,fear\na,False,1,0\nb,True,0,1\nc,False,0,0\n"
    )

    with pytest.raises(DataError, match=r"data\.ignore_columns=unclear"):
        read_examples(path)
    named = read_examples(path, DataOptions(ignore_columns=("unclear",))).labels
    assert named is not None
    assert named.space.names == ("joy", "fear")


def test_lists_for_labels_that_were_columns_are_one_error_with_the_options(tmp_path: Path) -> None:
    path = written(tmp_path, "t.jsonl", '{"text": "a", "labels": ["pay"]}\n')
    data = DataOptions(label_columns=("pay", "bug"))

    with pytest.raises(DataError, match=r"data\.label_columns= .*data\.label_column=labels"):
        read_examples(path, data, space=LabelSpace(("pay", "bug")))
    named = DataOptions(label_column="labels")
    assert names_of(read_examples(path, named, space=LabelSpace(("pay", "bug")))) == [["pay"]]


def test_a_repeated_label_counts_once_and_is_noted(tmp_path: Path) -> None:
    names = written(tmp_path, "names.txt", "joy\nlove\nfear\n")
    named = written(tmp_path, "a.csv", "text,labels\na,joy|joy\nb,love\n")
    indexed = written(tmp_path, "b.csv", 'text,labels\na,"[0, 0]"\nb,[1]\n')

    for path, data in (
        (named, DataOptions()),
        (indexed, DataOptions(label_names=str(names))),
    ):
        examples = read_examples(path, data)
        assert names_of(examples) == [["joy"], ["love"]]
        assert "1 cell names a label twice; it counts once." in examples.notes


def test_unknown_options_of_spelling_are_errors(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "text,labels\na,joy\n")

    with pytest.raises(OptionError):
        read_examples(path, DataOptions(label_aliases=str(tmp_path / "none.json")))


def test_classes_without_rows_are_labels_in_their_order(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "labels": datasets.Sequence(datasets.ClassLabel(names=["sad", "joy", "fear"])),
        }
    )
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "labels": [[1], [0, 1]]}, features)
    rows.to_parquet(tmp_path / "t.parquet")
    rows.save_to_disk(str(tmp_path / "saved"))

    for path in (tmp_path / "t.parquet", tmp_path / "saved"):
        examples = read_examples(path)
        assert examples.labels is not None
        assert examples.labels.space.names == ("sad", "joy", "fear")
        assert names_of(examples) == [["joy"], ["sad", "joy"]]
