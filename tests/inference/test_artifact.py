from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from emotions import LABELS
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.decision.decision import Decision
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.errors import ArtifactError, StorageError
from multihot.inference.artifact import (
    Artifact,
    is_artifact,
    load_artifact,
    read_artifact,
    save_artifact,
)

NETWORK = ("encoder/config.json", "encoder/model.safetensors", "head.safetensors")
ALL_FILES = (*NETWORK, "tokenizer.json", "tokenizer_config.json")


def content_of(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "thresholds.json").read_text("utf-8"))
    assert isinstance(content, dict)
    return content


def decision(thresholds: str | float = "per_label") -> Decision:
    matrix = LabelMatrix.from_names([["joy"], ["love"], []])
    logits = np.array([[2, -2], [-1, 1], [-3, -3]], dtype=np.float32)
    fitted_rows = FittingRows.of_labels(matrix.space, logits, matrix, ["a", "b", "c"])
    chosen = DecisionOptions("macro_f1", thresholds)
    return fit(matrix.space, fitted_rows, chosen, source="dev.csv").decision


def save(
    folder: Path, write: Callable[[Path], list[str]] | None = None, **changes: Any
) -> Artifact:
    """Save a folder whose network is some small files."""

    def write_network(stage: Path) -> list[str]:
        (stage / "encoder").mkdir()
        for name in NETWORK:
            (stage / name).write_bytes(b"weights")
            (stage / name).chmod(0o600)
        return list(NETWORK)

    values: dict[str, Any] = {
        "folder": folder,
        "decision": decision(),
        "data": DataOptions(text_column="Tweet", label_columns=("joy", "love")),
        "max_length": 32,
        "pooling": "mean",
        "form": "encoder_and_head",
    }
    artifact = Artifact(**{**values, **changes})
    save_artifact(
        artifact,
        write_network=write or write_network,
        tokenizer=Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]")),
        tokenizer_config={"tokenizer_class": "BertTokenizer", "is_local": True, "max_length": 5},
        card="# A card\n",
    )
    return artifact


def test_what_was_saved_is_loaded_again(tmp_path: Path) -> None:
    for number, thresholds in enumerate(("global", "per_label", 0.3)):
        saved = save(tmp_path / str(number), decision=decision(thresholds))

        assert load_artifact(saved.folder) == saved
        assert is_artifact(saved.folder)


def test_the_folder_holds_what_the_file_lists_and_nothing_staged(tmp_path: Path) -> None:
    save(tmp_path / "m")
    content = content_of(tmp_path / "m")
    found = {
        path.relative_to(tmp_path / "m").as_posix()
        for path in (tmp_path / "m").rglob("*")
        if path.is_file()
    }

    assert set(content["files"]) == {*NETWORK, "tokenizer.json", "tokenizer_config.json"}
    assert found == {*content["files"], "README.md", "thresholds.json"}
    assert content["multihot_version"] == version("multihot")
    assert list(content["thresholds"]) == content["labels"] == ["joy", "love"]


def test_what_describes_one_call_stays_out_of_the_tokenizer_config(tmp_path: Path) -> None:
    save(tmp_path)

    assert json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8")) == {
        "tokenizer_class": "BertTokenizer",
        "model_max_length": 32,
    }


def test_every_file_of_a_model_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save(tmp_path / "m")
    finally:
        os.umask(before)

    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "m").rglob("*") if path.is_file()}
    assert modes == {0o640}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    text = (package_files("multihot") / "schemas" / "thresholds.schema.json").read_text("utf-8")
    found = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(found)
    assert isinstance(found, dict)
    return found


def test_a_real_model_follows_the_schema(tiny_model: Path, schema: dict[str, Any]) -> None:
    content = content_of(tiny_model)

    jsonschema.validate(content, schema, cls=jsonschema.Draft202012Validator)
    # Costs of labels, exports, labels that imply others, goals with limits, long texts.
    only_some = {"costs", "export", "hierarchy", "promises", "windows"}
    assert set(content) | only_some == set(schema["properties"])
    assert content["labels"] == list(LABELS)
    assert content["fitted_on"]["rows"] == 24


@pytest.mark.parametrize("thresholds", ["global", 0.3])
def test_models_with_given_and_fitted_thresholds_follow_the_schema(
    tmp_path: Path, schema: dict[str, Any], thresholds: str | float
) -> None:
    save(tmp_path, decision=decision(thresholds))

    jsonschema.validate(content_of(tmp_path), schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "key", ["labels", "thresholds", "goal", "files", "max_length", "form", "data", "fitted_on"]
)
def test_the_schema_and_the_reader_agree_on_what_is_required(
    tmp_path: Path, schema: dict[str, Any], key: str
) -> None:
    save(tmp_path)
    content = content_of(tmp_path)
    del content[key]
    (tmp_path / "thresholds.json").write_text(json.dumps(content), "utf-8")

    with pytest.raises(jsonschema.ValidationError, match=f"'{key}' is a required property"):
        jsonschema.validate(content, schema)
    with pytest.raises(ArtifactError, match=r"thresholds\.json.*"):
        load_artifact(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such folder"):
        load_artifact(tmp_path / "no")
    assert not is_artifact(tmp_path / "no")


def test_an_unfinished_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no thresholds.json.*model\.$"):
        load_artifact(tmp_path)
    (tmp_path / "run").mkdir()
    with pytest.raises(ArtifactError, match="--resume"):
        load_artifact(tmp_path)


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_save_that_fails_leaves_no_model_and_no_stage(
    tmp_path: Path, fault: BaseException
) -> None:
    save(tmp_path)

    def fail(stage: Path) -> list[str]:
        (stage / "half").write_bytes(b"half")
        raise fault

    with pytest.raises((StorageError, KeyboardInterrupt)):
        save(tmp_path, write=fail)

    assert not is_artifact(tmp_path)
    assert not (tmp_path / ".writing-artifact").exists()


@pytest.mark.parametrize("name", ["encoder/model.safetensors", "tokenizer.json"])
def test_a_file_that_was_changed_is_found(tmp_path: Path, name: str) -> None:
    save(tmp_path)
    (tmp_path / name).write_bytes(b"other")

    with pytest.raises(ArtifactError, match=f"{name}.*SHA-256 [0-9a-f]"):
        load_artifact(tmp_path)


def test_the_description_alone_can_be_read_before_the_files_are_verified(tmp_path: Path) -> None:
    saved = save(tmp_path)
    (tmp_path / "encoder" / "model.safetensors").unlink()

    assert read_artifact(tmp_path) == saved


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "encoder" / "model.safetensors").unlink()

    with pytest.raises(ArtifactError, match=r"encoder/model\.safetensors"):
        load_artifact(tmp_path)


def test_the_card_may_be_edited(tmp_path: Path) -> None:
    saved = save(tmp_path)
    (tmp_path / "README.md").write_text("mine", "utf-8")

    assert load_artifact(tmp_path) == saved


@pytest.mark.parametrize("name", ["../secret", "encoder/../../secret", "/etc/hostname"])
def test_a_path_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    save(tmp_path / "m")
    (tmp_path / "secret").write_text("s", "utf-8")
    content = content_of(tmp_path / "m")
    content["files"][name] = "0" * 64
    (tmp_path / "m" / "thresholds.json").write_text(json.dumps(content), "utf-8")

    with pytest.raises(ArtifactError, match="is none of a file inside the folder"):
        load_artifact(tmp_path / "m")


def test_files_may_be_links_as_in_the_cache_of_the_hub(tmp_path: Path) -> None:
    folder = tmp_path / "models--a--b" / "snapshots" / "0123"
    saved = save(folder)
    (tmp_path / "models--a--b" / "blobs").mkdir()
    for number, name in enumerate(("tokenizer.json", "encoder/config.json", "thresholds.json")):
        blob = tmp_path / "models--a--b" / "blobs" / str(number)
        shutil.move(folder / name, blob)
        (folder / name).symlink_to(blob)

    assert load_artifact(folder) == saved


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "m")
    shutil.move(tmp_path / "m" / "tokenizer.json", tmp_path / "other")
    (tmp_path / "m" / "tokenizer.json").symlink_to(tmp_path / "other")

    with pytest.raises(ArtifactError, match="outside the folder"):
        load_artifact(tmp_path / "m")


def test_a_model_of_a_newer_format_says_update(tmp_path: Path) -> None:
    save(tmp_path)
    content = {**content_of(tmp_path), "format_version": 2}
    (tmp_path / "thresholds.json").write_text(json.dumps(content), "utf-8")

    with pytest.raises(ArtifactError, match=r"format_version 2.* 1"):
        load_artifact(tmp_path)


def test_keys_of_a_later_minor_version_are_left_alone(tmp_path: Path) -> None:
    saved = save(tmp_path)
    content = {**content_of(tmp_path), "from_the_future": {"a": 1}}
    (tmp_path / "thresholds.json").write_text(json.dumps(content), "utf-8")

    assert load_artifact(tmp_path) == saved


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
        ("[]", "is no JSON object"),
        ('{"format_version": 0}', "has no format_version but 0"),
        ('{"format_version": true}', "has no format_version but True"),
        ('{"format_version": -1}', "has no format_version but -1"),
        ('{"format_version": 1, "a": NaN}', "NaN is no number"),
        ('{"format_version": 1, "a": ' + "[" * 99 + "]" * 99 + "}", "inside each other"),
        ("{}", "has no format_version"),
        ('{"format_version": "1"}', "has no format_version"),
        ('{"format_version": 1}', "lists no files; it is damaged"),
        ('{"format_version": 1, "files": []}', "lists no files"),
    ],
)
def test_a_damaged_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "thresholds.json").write_text(text, "utf-8")

    with pytest.raises(ArtifactError, match=rf"thresholds\.json.*{message}|{message}"):
        load_artifact(tmp_path)


def test_bytes_that_are_no_text_are_explained(tmp_path: Path) -> None:
    (tmp_path / "thresholds.json").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ArtifactError, match=r"thresholds\.json is not valid JSON"):
        load_artifact(tmp_path)


def test_a_file_that_may_not_be_read_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path)

    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.open", refuse)

    with pytest.raises(ArtifactError, match=r"thresholds\.json cannot be read: Permission denied"):
        load_artifact(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("max_length", 2, "'max_length' is 2; expected at least 3 tokens"),
        ("max_length", "64", "'max_length' is '64'"),
        ("form", "jax", "'form' is 'jax'; expected one of sequence_classification, encoder_and"),
        ("pooling", "cls", "'pooling' is cls, which no model of the form encoder_and_head has"),
        ("max_length", 2**40, "at most 1048576"),
        ("data", {"label_names": "/etc/hostname"}, "'data.label_names' is '/etc/hostname'"),
        ("data", {"label_aliases": "other.toml"}, "'data.label_aliases' is 'other.toml'"),
        ("data", {"label_hierarchy": "other.toml"}, "'data.label_hierarchy' is 'other.toml'"),
        ("data", {"label_file": "secret"}, "'data.label_file' is 'secret'"),
        ("files", {"README.md": "0" * 64}, "it lacks encoder/config.json, encoder/model.safe"),
        ("files", {**dict.fromkeys(ALL_FILES, "0" * 64), "a.bin": ""}, "it has a.bin"),
        ("files", dict.fromkeys(ALL_FILES, 1), "'files' has 1 for encoder/config.json"),
        ("pooling", "max", "'pooling' is 'max'; expected one of cls, mean"),
        ("data", [], r"The key 'data' is \[\]; expected a value of type dict"),
        ("data", {"header": 3}, "Option 'data.header' is 3; expected true or false"),
        ("labels", ["joy", "joy"], "The key 'labels' is invalid. Label names must be unique"),
        ("labels", "joy", "The key 'labels' is 'joy'; expected a value of type list"),
        ("thresholds", {"joy": 0.5}, "do not name the same labels; only one of them has: love"),
        ("thresholds", {"joy": 0.5, "love": 2}, "'thresholds.love' is 2; expected a number"),
        ("activation", "softmax", "'activation' is 'softmax'; expected one of: sigmoid"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_with_the_file(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    save(tmp_path)
    content = {**content_of(tmp_path), key: value}
    (tmp_path / "thresholds.json").write_text(json.dumps(content), "utf-8")

    with pytest.raises(ArtifactError, match=rf"thresholds\.json: .*{message}"):
        load_artifact(tmp_path)


def test_labels_of_any_script_keep_their_order(tmp_path: Path) -> None:
    names = ("油耗", "10", "2", "naïve", 'a "b"', "x/y")
    chosen = Decision(LabelSpace(names), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), "jaccard", "fixed")
    save(tmp_path, decision=chosen)

    assert load_artifact(tmp_path).decision == chosen
