from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from multihot.data.readers.arrow_rows import class_names
from multihot.data.readers.huggingface import is_saved_dataset, read_dataset
from multihot.errors import DataError, MissingExtraError

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _cache_in_the_test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_MODULES_CACHE", tmp_path / "modules")


def example_set(num_rows: int = 3) -> Any:
    names = datasets.ClassLabel(names=["anger, cold", "joy"])
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "labels": datasets.Sequence(names),
            "first": names,
            "sure": datasets.Value("bool"),
        }
    )
    content = {
        "text": ["a", "b", "c"][:num_rows],
        "labels": [[0, 1], [], None][:num_rows],
        "first": [1, -1, 0][:num_rows],
        "sure": [True, False, None][:num_rows],
    }
    return datasets.Dataset.from_dict(content, features=features)


ROWS = [
    (1, ["a", ["anger, cold", "joy"], ["joy"], True]),
    (2, ["b", [], None, False]),
    (3, ["c", None, ["anger, cold"], None]),
]


def test_a_saved_data_set_gives_class_names(tmp_path: Path) -> None:
    example_set().save_to_disk(str(tmp_path / "saved"))

    table = read_dataset(str(tmp_path / "saved"))

    assert is_saved_dataset(tmp_path / "saved")
    assert table.columns == ("text", "labels", "first", "sure")
    assert list(table.rows) == ROWS


def test_a_split_is_chosen_by_name(tmp_path: Path) -> None:
    both = datasets.DatasetDict(train=example_set(), test=example_set(1))
    both.save_to_disk(str(tmp_path / "saved"))
    folder = str(tmp_path / "saved")

    assert list(read_dataset(folder, "test").rows) == ROWS[:1]
    with pytest.raises(
        DataError, match=r"Choose a split with data.split=NAME. The splits are: train, test\."
    ):
        read_dataset(folder)
    with pytest.raises(DataError, match=r"There is no split 'dev'. The splits are: train, test\."):
        read_dataset(folder, "dev")


def test_the_only_split_is_taken_and_said(tmp_path: Path) -> None:
    datasets.DatasetDict(train=example_set()).save_to_disk(str(tmp_path / "saved"))

    table = read_dataset(str(tmp_path / "saved"))

    assert table.notes == ["Split: 'train', the only one."]


def test_a_split_of_an_undivided_data_set_is_checked(tmp_path: Path) -> None:
    example_set().save_to_disk(str(tmp_path / "plain"))
    train = datasets.Dataset.from_dict({"text": ["a"]}, split=datasets.Split.TRAIN)
    train.save_to_disk(str(tmp_path / "train"))

    assert len(list(read_dataset(str(tmp_path / "train"), "train").rows)) == 1
    with pytest.raises(
        DataError, match=r"no split 'test' .*: this data set is the split 'train' alone"
    ):
        read_dataset(str(tmp_path / "train"), "test")
    with pytest.raises(DataError, match=r"no split 'test' .*: this data set is not divided"):
        read_dataset(str(tmp_path / "plain"), "test")


def test_a_split_without_rows_is_an_error(tmp_path: Path) -> None:
    example_set(0).save_to_disk(str(tmp_path / "saved"), num_shards=1)

    with pytest.raises(DataError, match="The split has no rows"):
        read_dataset(str(tmp_path / "saved"))


def test_a_folder_of_data_files_is_read_through_load_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    lines = [{"text": "a", "labels": ["joy"]}, {"text": "b", "labels": []}]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

    table = read_dataset(str(folder))

    assert sorted(table.columns) == ["labels", "text"]
    assert len(list(table.rows)) == 2


def test_a_folder_of_parquet_files_keeps_its_class_names(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    example_set().to_parquet(str(folder / "train-00000-of-00001.parquet"))

    assert list(read_dataset(str(folder), "train").rows) == ROWS


def test_a_configuration_of_the_parquet_conversion_is_a_folder(tmp_path: Path) -> None:
    for configuration, num_rows in (("one", 1), ("two", 2)):
        folder = tmp_path / "converted" / configuration / "train"
        folder.mkdir(parents=True)
        example_set(num_rows).to_parquet(str(folder / "0000.parquet"))

    table = read_dataset(f"{tmp_path / 'converted'}:two@refs/convert/parquet")

    assert list(table.rows) == ROWS[:2]


def test_a_folder_with_a_script_points_to_the_parquet_conversion(tmp_path: Path) -> None:
    folder = tmp_path / "emotions"
    folder.mkdir()
    (folder / "emotions.py").write_text("", encoding="utf-8")

    with pytest.raises(DataError, match="no longer runs") as error:
        read_dataset(str(folder / "emotions.py"))
    assert "refs/convert/parquet with data.format=dataset" in str(error.value)
    assert "text files" in str(error.value)


def test_what_cannot_be_loaded_is_explained(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    with pytest.raises(DataError, match=r"The data set cannot be loaded: .*NAME"):
        read_dataset(str(empty))
    with pytest.raises(DataError, match="a hub name is NAME"):
        read_dataset("a:b:c")


def test_class_names_are_found_in_old_and_new_features() -> None:
    label = {"names": ["a"], "_type": "ClassLabel"}
    features = {
        "plain": label,
        "list": {"feature": label, "_type": "List"},
        "old": [label],
        "text": {"dtype": "string", "_type": "Value"},
        "struct": {"a": label},
    }

    assert class_names(features) == ({"plain": ("a",), "list": ("a",), "old": ("a",)}, [])


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(MissingExtraError, match=r"multihot\[hub\]"):
        read_dataset("name")
