"""Errors about cells say what the reader had to leave out, and how to write what is nearly right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multihot.core.options import DataOptions
from multihot.core.text_tables import listed
from multihot.data.labelled_file import read_examples
from multihot.errors import DataError


def written(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def test_an_error_mentions_metadata_that_was_left_out(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "classes.parquet"
    table = pyarrow.table({"text": ["a", "b"], "labels": [[0], [1]]})
    parquet.write_table(table.replace_schema_metadata({b"huggingface": b"{"}), path)
    with pytest.raises(DataError, match="metadata of this file cannot be read") as error:
        read_examples(path)
    assert error.value.line == 1


def test_an_error_mentions_the_file_of_labels_that_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path, "dev.txt", "a\nb\n")
    with pytest.raises(DataError, match=r"no file of labels labels_\*.txt"):
        read_examples(path, DataOptions(label_file="labels_*.txt"))


@pytest.mark.parametrize("name", ["pairs.json", "pairs.jsonl"])
def test_pairs_of_text_and_annotations_are_refused_with_the_form_to_write(
    tmp_path: Path, name: str
) -> None:
    pair = ["a text", {"cats": {"joy": 1.0}}]
    content = json.dumps([pair]) if name.endswith(".json") else json.dumps(pair) + "\n"
    with pytest.raises(DataError, match=r"as spaCy had them: write \{\"text\": text") as error:
        read_examples(written(tmp_path, name, content))
    assert error.value.line == 1


def test_vectors_beside_a_file_of_texts_are_read_with_label_names(tmp_path: Path) -> None:
    path = written(tmp_path, "texts.txt", "a\nb\n")
    labels = written(tmp_path, "labels.txt", "0 1 1\n1 0 0\n")
    names = written(tmp_path, "names.txt", "joy\nlove\nfear\n")
    data = DataOptions(label_file=str(labels), label_names=str(names))
    examples = read_examples(path, data)
    assert examples.labels is not None
    assert examples.labels.to_names() == [["love", "fear"], ["joy"]]


def test_a_mark_at_the_end_of_a_fasttext_label_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, "f.txt", "__label__joy, __label__love what a day\n")
    with pytest.raises(DataError) as error:
        read_examples(path)
    assert error.value.line == 1


def test_long_names_are_listed_in_a_bounded_message() -> None:
    names = [f"a very long label name number {number} of many" for number in range(500)]
    assert len(listed(names)) < 700
    assert listed(names).endswith("more")
    assert listed(["joy", "love"]) == "joy, love"


def test_a_map_column_of_parquet_is_read_as_objects(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    kind = pyarrow.map_(pyarrow.string(), pyarrow.int8())
    cells = [[("joy", 1), ("love", 0)], [("joy", 0), ("love", 1)]]
    path = tmp_path / "map.parquet"
    parquet.write_table(
        pyarrow.table({"text": ["a", "b"], "labels": pyarrow.array(cells, kind)}), path
    )
    examples = read_examples(path)
    assert examples.labels is not None
    assert examples.labels.to_names() == [["joy"], ["love"]]
