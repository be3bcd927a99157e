"""Every thing that can be wrong with a checkpoint has its finding, and a sound one has none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from importing.checkpoints import NAMES, as_simpletransformers, change_json, write_checkpoint
from models.families import FAMILIES, POSITIONS
from multihot.errors import EncoderError
from multihot.importing.checkpoint import read_checkpoint
from multihot.importing.config_checks import check_config, check_head, check_thresholds
from multihot.importing.findings import NOTE, Finding
from multihot.importing.output_names import read_output_names
from multihot.importing.tokenizer_checks import check_tokenizer
from multihot.importing.weight_checks import check_weights


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("sound") / "bert")


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "checkpoint"
    copy.mkdir()
    for path in sound.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def _findings(folder: Path) -> dict[str, Finding]:
    """Return what is found without making the network."""
    checkpoint = read_checkpoint(str(folder), folder)
    weights = check_weights(checkpoint)
    size = checkpoint.config.get("vocab_size")
    found = [
        *check_config(checkpoint, weights),
        *check_head(checkpoint, weights),
        *weights.findings,
        *read_output_names(checkpoint, weights.num_outputs).findings,
        *check_tokenizer(checkpoint, size if isinstance(size, int) else None).findings,
        *check_thresholds(checkpoint),
    ]
    return {finding.code: finding for finding in found}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sound_checkpoint_has_no_problem(family: str, tmp_path: Path) -> None:
    found = _findings(write_checkpoint(tmp_path / family, family))

    assert set(found) == {"thresholds_missing"}
    assert found["thresholds_missing"].severity == NOTE


def _set(**values: Any) -> Callable[[Path], None]:
    return lambda folder: change_json(folder / "config.json", lambda table: table.update(values))


def _labels(*names: str) -> Callable[[Path], None]:
    return _set(
        id2label={str(column): name for column, name in enumerate(names)},
        label2id={name: column for column, name in enumerate(names)},
    )


def _tokenizer(**values: Any) -> Callable[[Path], None]:
    return lambda folder: change_json(folder / "tokenizer.json", lambda table: table.update(values))


def _setting(key: str, value: Any) -> Callable[[Path], None]:
    return lambda folder: change_json(
        folder / "tokenizer_config.json", lambda table: table.update({key: value})
    )


def _tensors(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "model.safetensors"
        save_file(change(load_file(path)), path)

    return apply


def _not_a_number(tensors: dict[str, Any]) -> dict[str, Any]:
    tensors["classifier.weight"][0, 0] = np.nan
    return tensors


def _without_unknown(folder: Path) -> None:
    def change(table: dict[str, Any]) -> None:
        table["model"]["unk_token"] = "[NOTHING]"

    change_json(folder / "tokenizer.json", change)


def _only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")


def _pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")


_TRUNCATION = {
    "direction": "Right",
    "max_length": 8,
    "strategy": "LongestFirst",
    "stride": 0,
}
_PADDING = {
    "strategy": {"Fixed": 32},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "[PAD]",
}


@pytest.mark.parametrize(
    ("spoil", "code", "severity", "fix"),
    [
        (_set(problem_type=None), "problem_type_missing", "error", "copy"),
        (_set(problem_type="multilabel"), "problem_type_unknown", "error", "copy"),
        (_set(problem_type="single_label_classification"), "problem_type_other", "error", None),
        (_set(auto_map={"AutoModel": "code.Model"}), "remote_code", "error", None),
        (_set(model_type="llama"), "family_unsupported", "error", None),
        (_set(hidden_size="wide"), "config_refused", "error", None),
        (_set(architectures=["BertForTokenClassification"]), "head_missing", "error", None),
        (_set(architectures=None), "architecture_unknown", "note", "copy"),
        (_set(num_labels=5), "num_labels_disagrees", "error", "copy"),
        (_set(label2id={"joy": 2, "anger": 1, "rain": 0}), "label2id_disagrees", "warning", "copy"),
        (_set(label2id={"joy": []}), "label2id_disagrees", "warning", "copy"),
        (_labels("LABEL_0", "LABEL_1", "LABEL_2"), "labels_generic", "warning", "file"),
        (_labels("joy", "anger", "LABEL_2"), "labels_generic", "warning", "file"),
        (_set(id2label={"0": "joy", "2": "rain"}), "labels_missing", "error", "file"),
        (_set(id2label=None), "labels_missing", "warning", "file"),
        (_labels("joy", "joy ", "rain"), "labels_duplicate", "error", "file"),
        (_labels("joy", "<b>anger</b>", "rain"), "labels_markup", "warning", None),
        (_labels("joy", "", "rain"), "labels_unusable", "error", "file"),
        (_labels("joy", "anger", "rain", "sun"), "labels_too_many", "error", "copy"),
        (_tokenizer(truncation=_TRUNCATION), "truncation_left", "warning", "copy"),
        (_tokenizer(padding=_PADDING), "padding_left", "warning", "copy"),
        (_tokenizer(post_processor=None), "first_token_missing", "warning", None),
        (_without_unknown, "unknown_token_missing", "error", None),
        (_setting("model_max_length", int(1e30)), "max_length_unset", "warning", "copy"),
        (_setting("model_max_length", 512), "max_length_beyond_positions", "error", "copy"),
        (_setting("pad_token", None), "pad_token_missing", "warning", None),
        (_setting("sep_token", "[END]"), "special_token_not_in_vocabulary", "error", None),
        (_set(vocab_size=5), "vocabulary_differs", "error", None),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer_refused", "error", None),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer_missing", "error", None),
        (_only_a_pickle, "pickle_only", "error", None),
        (lambda f: (f / "model.safetensors").unlink(), "weights_missing", "error", None),
        (lambda f: (f / "optimizer.pt").write_bytes(b""), "pickles_beside", "note", "copy"),
        (_pointer, "lfs_pointer", "error", None),
        (
            lambda f: (f / "model.safetensors").write_bytes(b"x" * 99),
            "weights_refused",
            "error",
            None,
        ),
        (_tensors(_not_a_number), "weights_not_finite", "error", None),
        (
            _tensors(lambda old: {**old, "classifier.bias": np.zeros(3, np.float32)}),
            "head_untrained",
            "warning",
            None,
        ),
        (
            _tensors(lambda old: {f"module.{name}": each for name, each in old.items()}),
            "weights_prefixed",
            "error",
            "copy",
        ),
        (
            _tensors(lambda old: {name: each.astype(np.float16) for name, each in old.items()}),
            "half_precision",
            "warning",
            "copy",
        ),
        (
            _tensors(lambda old: {**old, "classifier.weight": np.ones((3, 16), np.int8)}),
            "weights_quantised",
            "error",
            None,
        ),
        (
            _tensors(lambda old: {k: v for k, v in old.items() if "classifier" not in k}),
            "head_missing",
            "error",
            None,
        ),
    ],
)
def test_what_is_spoilt_is_found(
    folder: Path,
    spoil: Callable[[Path], object],
    code: str,
    severity: str,
    fix: str | None,
) -> None:
    spoil(folder)

    found = _findings(folder)

    assert code in found, sorted(found)
    assert (found[code].severity, found[code].fix) == (severity, fix)


def test_bfloat16_and_several_files_are_found(tmp_path: Path) -> None:
    folder = write_checkpoint(
        tmp_path / "bert", change=lambda model: model.bfloat16(), max_shard_size="8KB"
    )

    found = _findings(folder)

    assert "bfloat16" in found["half_precision"].what
    assert found["several_files"].severity == NOTE


def test_simpletransformers_keeps_names_length_and_threshold_where_nobody_looks(
    folder: Path,
) -> None:
    arguments = {"labels_list": list(NAMES), "max_seq_length": 32, "threshold": 0.8}

    found = _findings(as_simpletransformers(folder, arguments))

    checkpoint = read_checkpoint(str(folder), folder)
    assert checkpoint.kind == "simpletransformers"
    assert read_output_names(checkpoint, 3).names == NAMES
    assert check_tokenizer(checkpoint, None).limit == 32
    assert {
        "problem_type_missing",
        "labels_elsewhere",
        "trained_length",
        "architecture_unknown",
        "pickles_beside",
        "thresholds_missing",
    } == set(found)
    assert "0.8" in found["thresholds_missing"].what


def test_simpletransformers_with_one_label_a_text_is_no_multi_label_model(folder: Path) -> None:
    as_simpletransformers(folder, {"model_class": "ClassificationModel"})

    assert _findings(folder)["problem_type_other"].blocks


def test_setfit_with_a_pickled_head_is_recognised_and_nothing_of_it_opened(
    folder: Path, tmp_path: Path
) -> None:
    _as_setfit(folder)
    os.mkfifo(folder / "model_head.pkl")  # whoever opened it would wait for ever

    found = _findings(folder)

    assert read_checkpoint("x", folder).kind == "setfit"
    assert found["head_pickled"].blocks
    assert "body_unsupported" not in found


def test_a_head_in_safetensors_takes_the_place_of_the_pickle(folder: Path) -> None:
    _as_setfit(folder)
    head = {"weight": np.ones((3, 16), np.float32), "bias": np.ones(3, np.float32)}
    save_file(head, folder / "model_head.safetensors")

    checkpoint = read_checkpoint("x", folder)

    assert check_weights(checkpoint).num_outputs == 3
    assert set(_findings(folder)) == {"thresholds_missing"}


def _as_setfit(folder: Path) -> None:
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {
            "idx": 1,
            "name": "1",
            "path": "1_Pooling",
            "type": "sentence_transformers.models.Pooling",
        },
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "config_setfit.json").write_text(
        json.dumps({"normalize_embeddings": False, "labels": list(NAMES)})
    )


def test_an_adapter_is_named_with_the_model_that_it_needs(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "bert-base"}')

    assert "bert-base" in _findings(tmp_path)["adapter_only"].what


def test_a_folder_without_a_checkpoint_is_refused_with_those_inside_it(
    sound: Path, tmp_path: Path
) -> None:
    with pytest.raises(EncoderError, match="holds no checkpoint"):
        read_checkpoint("x", tmp_path)

    (tmp_path / "checkpoint-500").mkdir()
    (tmp_path / "checkpoint-500" / "config.json").write_text("{}")
    with pytest.raises(EncoderError, match="inside it: checkpoint-500"):
        read_checkpoint("x", tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_link_out_of_the_folder_is_not_followed(folder: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)

    if name == "config.json":
        with pytest.raises(EncoderError, match="outside the folder"):
            _findings(folder)
    else:
        refused = {"tokenizer.json": "tokenizer_refused", "model.safetensors": "weights_refused"}
        assert "outside the folder" in _findings(folder)[refused[name]].what


def test_a_module_that_lies_elsewhere_is_refused(folder: Path, tmp_path: Path) -> None:
    _as_setfit(folder)
    (tmp_path / "elsewhere").mkdir()
    (folder / "0_Transformer").symlink_to(tmp_path / "elsewhere")
    for path in ("../elsewhere", "0_Transformer"):
        entry = {"path": path, "type": "sentence_transformers.models.Transformer"}
        (folder / "modules.json").write_text(json.dumps([entry]))
        with pytest.raises(EncoderError):
            read_checkpoint("x", folder)


def test_positions_of_the_limit_leave_out_those_before_a_text(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "roberta", "roberta")

    facts = check_tokenizer(read_checkpoint("x", folder), None)

    assert facts.limit == POSITIONS
