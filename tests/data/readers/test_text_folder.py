from __future__ import annotations

from pathlib import Path

import pytest

from multihot.core.options import DataOptions
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.data.readers.open_table import open_table
from multihot.data.text_stream import stream_texts
from multihot.errors import DataError


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


BESIDE = {"b.txt": "two\nlines\n", "b.lab": "x\nvery happy\n", "a.txt": "one", "a.lab": ""}


@pytest.mark.parametrize(
    "files",
    [
        BESIDE,
        {name.replace(".lab", ".labels"): content for name, content in BESIDE.items()},
        {
            ("texts/" if name.endswith(".txt") else "labels/")
            + name.replace(".lab", ".txt"): content
            for name, content in BESIDE.items()
        },
    ],
    ids=["beside", "other ending", "opposite"],
)
def test_a_folder_of_texts_with_files_of_labels_is_recognised(
    tmp_path: Path, files: dict[str, str]
) -> None:
    folder = written(tmp_path / "folder", files)

    examples = read_examples(folder)

    assert examples.notes[0].startswith("Format: a folder of 2 text files, with labels in")
    assert (examples.ids, examples.texts) == (["a", "b"], ["one", "two\nlines"])
    assert examples.labels is not None
    assert examples.labels.values.tolist() == [[0, 0], [1, 1]]
    assert sum(len(chunk) for chunk in open_labelled(folder).chunks(1)) == 2


def test_a_text_without_a_file_of_labels_is_unlabelled(tmp_path: Path) -> None:
    folder = written(tmp_path / "folder", {**BESIDE, "c.txt": "three"})

    table = open_table(folder, DataOptions())

    assert [cells[2] for _, cells in table.rows] == [[], ["x", "very happy"], None]
    assert any("no file of labels" in note for note in table.notes)


def test_a_folder_of_texts_alone_can_be_predicted(tmp_path: Path) -> None:
    folder = written(tmp_path / "folder", {"a.txt": "one", "b.txt": ""})

    rows = stream_texts(folder, DataOptions(format="folder")).rows

    assert [(row.id, row.text) for row in rows] == [("a", "one"), ("b", "")]
    with pytest.raises(DataError, match=r"data.format=folder"):
        open_table(folder, DataOptions())


@pytest.mark.parametrize(
    ("more", "wrong"), [({"a.labels": "x"}, "a.txt"), ({"z.lab": "x"}, "z.lab")]
)
def test_files_of_labels_belong_to_one_text_each(
    tmp_path: Path, more: dict[str, str], wrong: str
) -> None:
    folder = written(tmp_path / "folder", {**BESIDE, **more})

    with pytest.raises(DataError) as error:
        open_table(folder, DataOptions())

    assert error.value.path == str(folder / wrong)
