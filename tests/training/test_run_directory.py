"""Only the same run is resumed: same options, same data, same initial weights."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from multihot.core.options import DataOptions, TrainOptions
from multihot.core.recipes import to_plain
from multihot.errors import OptionError
from multihot.training.run_directory import RunDirectory, open_run, saved_threads

OPTIONS = to_plain(
    TrainOptions(learning_rate=1e-5, thresholds=0.25, data=DataOptions(label_columns=("a", "b")))
)
FACTS: dict[str, str | int] = {
    "torch": "2.0",
    "device": "cpu",
    "device_name": "processor",
    "precision": "fp32",
    "threads": 2,
    "instruction_set": "AVX2",
    "training_data": "1234",
    "validation_data": "5678",
    "initial_weights": "9abc",
}


def begin(output: Path, **facts: Any) -> None:
    open_run(output, OPTIONS, {**FACTS, **facts}, resume=False)


def test_a_new_run_writes_down_all_options_and_facts(tmp_path: Path) -> None:
    folder, notes = open_run(tmp_path / "model", OPTIONS, FACTS, resume=False)

    assert notes == []
    assert folder.root == tmp_path / "model" / "run"
    assert tomllib.loads(folder.recipe.read_text()) == OPTIONS
    assert json.loads(folder.environment.read_text()) == FACTS
    assert not folder.metrics.exists()
    assert not folder.checkpoints.exists()


def test_an_empty_folder_is_a_fine_place(tmp_path: Path) -> None:
    begin(tmp_path)

    assert (tmp_path / "run" / "recipe.toml").is_file()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(OptionError, match=r"exists and is not empty. Choose another --output"):
        begin(tmp_path)
    with pytest.raises(OptionError, match="is not empty and holds no run"):
        open_run(tmp_path, OPTIONS, FACTS, resume=True)

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("")

    for resume in (False, True):
        with pytest.raises(OptionError, match="model"):
            open_run(tmp_path / "model", OPTIONS, FACTS, resume=resume)


@pytest.mark.parametrize("exists", [True, False])
def test_resuming_nothing_starts_a_run(tmp_path: Path, exists: bool) -> None:
    output = tmp_path / "model"
    if exists:
        output.mkdir()

    folder, notes = open_run(output, OPTIONS, FACTS, resume=True)

    assert notes == ["Nothing to resume: starting from the beginning."]
    assert folder.environment.is_file()


def test_a_run_that_was_killed_while_it_was_set_up_starts_again(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "run" / "environment.json").unlink()
    (tmp_path / "run" / "checkpoints" / "step-000001").mkdir(parents=True)

    folder, notes = open_run(tmp_path, OPTIONS, FACTS, resume=True)

    assert notes == ["Nothing to resume: starting from the beginning."]
    assert not folder.checkpoints.exists()


@pytest.mark.parametrize("name", ["recipe.toml", "environment.json"])
@pytest.mark.parametrize("content", [None, "{", "[1"])
def test_a_run_whose_description_is_damaged_is_refused(
    tmp_path: Path, name: str, content: str | None
) -> None:
    begin(tmp_path)
    path = tmp_path / "run" / name
    if content is not None:
        path.write_text(content)
    elif name == "recipe.toml":
        path.unlink()
    else:
        path.write_bytes(b"\xff\xfe")

    with pytest.raises(OptionError, match=f"{name} is damaged.*start again in another --output"):
        open_run(tmp_path, OPTIONS, FACTS, resume=True)


def test_the_same_run_is_resumed_without_a_note(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "run" / "checkpoints" / "step-000001").mkdir(parents=True)

    folder, notes = open_run(tmp_path, OPTIONS, FACTS, resume=True)

    assert notes == []
    assert (folder.checkpoints / "step-000001").is_dir()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 9}, "epochs=5"),
        ({"learning_rate": None}, "learning_rate=1e-05"),
        ({"max_length": 64}, "max_length=None"),
        ({"data": {**OPTIONS["data"], "text_column": "x"}}, "data="),
        ({"seed": 1, "batch_size": 7}, "batch_size=32, seed=0"),
    ],
)
def test_other_options_are_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    begin(tmp_path)
    options = {key: value for key, value in {**OPTIONS, **changes}.items() if value is not None}

    with pytest.raises(OptionError, match=f"has other options: {said}"):
        open_run(tmp_path, options, FACTS, resume=True)


def test_the_number_of_threads_may_be_asked_for_again(tmp_path: Path) -> None:
    begin(tmp_path)

    assert open_run(tmp_path, {**OPTIONS, "threads": 2}, FACTS, resume=True)[1] == []


@pytest.mark.parametrize(
    ("fact", "changed"),
    [
        ("training_data", "training data"),
        ("validation_data", "validation data"),
        ("initial_weights", "initial weights"),
    ],
)
def test_other_data_or_weights_are_refused(tmp_path: Path, fact: str, changed: str) -> None:
    begin(tmp_path)

    with pytest.raises(OptionError, match=f"{changed} changed since the interrupted run"):
        open_run(tmp_path, OPTIONS, {**FACTS, fact: "other"}, resume=True)


def test_another_machine_is_reported_but_not_refused(tmp_path: Path) -> None:
    begin(tmp_path, instruction_set="AVX512", threads=8)

    _, notes = open_run(tmp_path, OPTIONS, FACTS, resume=True)

    assert notes == [
        "Resuming, but the result may differ in the last bits: threads was 8, is 2, "
        "instruction_set was AVX512, is AVX2."
    ]


def test_the_threads_of_a_run_are_remembered(tmp_path: Path) -> None:
    assert saved_threads(tmp_path) is None
    begin(tmp_path)

    assert saved_threads(tmp_path) == 2


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"threads": null}', '{"threads": "many"}'])
def test_threads_that_cannot_be_read_are_none(tmp_path: Path, content: str) -> None:
    begin(tmp_path)
    (tmp_path / "run" / "environment.json").write_text(content)

    assert saved_threads(tmp_path) is None


@pytest.mark.parametrize("place", ["run", "run/checkpoints", "run/metrics.jsonl"])
def test_a_run_with_a_link_is_neither_resumed_nor_cleared(tmp_path: Path, place: str) -> None:
    begin(tmp_path / "model")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "step-000001").mkdir()
    path = tmp_path / "model" / place
    if path.is_dir():
        path.rename(tmp_path / "before")
    path.symlink_to(elsewhere)

    with pytest.raises(OptionError, match="is a link"):
        open_run(tmp_path / "model", OPTIONS, FACTS, resume=True)
    with pytest.raises(OptionError, match="is a link"):
        RunDirectory(tmp_path / "model" / "run").clear()

    assert [path.name for path in elsewhere.iterdir()] == ["step-000001"]
