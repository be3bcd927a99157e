"""What `--fix` writes from a checkpoint: a copy that transformers reads right, or a model of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from importing.checkpoints import (
    NAMES,
    as_simpletransformers,
    change_json,
    texts_and_truth,
    write_checkpoint,
    write_rows,
)
from models.families import write_family
from multihot.core.labels import LabelSpace
from multihot.errors import EncoderError, LabelError, MultihotError, OptionError
from multihot.inference.artifact import load_artifact
from multihot.inference.predictor import Predictor
from multihot.models.encoder import quiet_transformers
from multihot.workflows.doctor import correct, examine, import_model

_TEXTS = ["i am happy today", "rain and angry", "the bert model is so good"]


def _codes(folder: Path) -> list[str]:
    return [finding.code for finding in examine(str(folder)).diagnosis.findings]


def _pipeline_scores(folder: Path, texts: list[str]) -> list[dict[str, float]]:
    """Return what a user of transformers gets."""
    from transformers import pipeline

    with quiet_transformers():
        classify: Any = pipeline("text-classification", model=str(folder), device=-1)
        found = classify(texts, top_k=None)
    return [{each["label"]: each["score"] for each in row} for row in found]


def _sigmoids(folder: Path, texts: list[str]) -> Any:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    with quiet_transformers(), torch.no_grad():
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.sigmoid().numpy()


def _spoil(folder: Path) -> Path:
    def config(table: dict[str, Any]) -> None:
        table["problem_type"] = "multi-label"
        table["num_labels"] = 7
        table["label2id"] = {"joy": 0}

    def tokenizer(table: dict[str, Any]) -> None:
        table["truncation"] = {
            "direction": "Right",
            "max_length": 4,
            "strategy": "LongestFirst",
            "stride": 0,
        }

    change_json(folder / "config.json", config)
    change_json(folder / "tokenizer.json", tokenizer)
    change_json(
        folder / "tokenizer_config.json", lambda table: table.update(model_max_length=int(1e30))
    )
    (folder / "README.md").write_text("# Mine\n")
    (folder / "training_args.bin").write_bytes(b"")
    return folder


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_a_corrected_copy_passes_and_gives_a_sigmoid_for_each_label(
    family: str, tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "bad", family)
    expected = _sigmoids(folder, _TEXTS)
    _spoil(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    examined = examine(str(folder))
    copy = correct(examined, tmp_path / "copy")

    assert examined.diagnosis.left(with_file=False) == ()
    assert _codes(copy) == ["thresholds_missing"]
    found = _pipeline_scores(copy, _TEXTS)
    for row, scores in zip(found, expected, strict=True):
        assert [row[name] for name in NAMES] == pytest.approx(scores.tolist(), abs=1e-6)
    assert (copy / "README.md").read_text() == "# Mine\n"
    assert len({path.stat().st_mode for path in copy.iterdir()}) == 1
    assert not (copy / "training_args.bin").exists()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_half_precision_in_several_files_becomes_float32_in_one(tmp_path: Path) -> None:
    folder = write_checkpoint(
        tmp_path / "bert", change=lambda model: model.bfloat16(), max_shard_size="8KB"
    )
    expected = _sigmoids(folder, _TEXTS)

    copy = correct(examine(str(folder)), tmp_path / "copy")

    assert _codes(copy) == ["thresholds_missing"]
    assert {each.dtype for each in load_file(copy / "model.safetensors").values()} == {
        np.dtype(np.float32)
    }
    np.testing.assert_array_equal(_sigmoids(copy, _TEXTS), expected)


def test_weights_saved_inside_a_wrapper_are_found_again(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "bert")
    expected = _sigmoids(folder, _TEXTS)
    path = folder / "model.safetensors"
    save_file({f"module.{name}": each for name, each in load_file(path).items()}, path)

    copy = correct(examine(str(folder)), tmp_path / "copy")

    np.testing.assert_array_equal(_sigmoids(copy, _TEXTS), expected)


def test_a_layer_that_is_not_stored_blocks_the_copy(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "bert")
    path = folder / "model.safetensors"
    stored = load_file(path)
    save_file({k: v for k, v in stored.items() if "layer.1.output" not in k}, path)

    examined = examine(str(folder))

    assert [finding.code for finding in examined.diagnosis.blocking] == ["network_refused"]
    with pytest.raises(OptionError, match="network_refused"):
        correct(examined, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.slow
def test_outputs_without_names_are_named_by_scores_and_thresholds_are_fitted(
    tmp_path: Path,
) -> None:
    folder = write_checkpoint(tmp_path / "bert", steps=200)
    expected = _sigmoids(folder, _TEXTS)
    as_simpletransformers(folder, {"max_seq_length": 32})
    rows = write_rows(tmp_path / "rows.csv", ("rain", "joy", "anger"))

    examined = examine(str(folder), rows)
    result = import_model(examined, rows, tmp_path / "model", goal="macro_f1")

    assert examined.diagnosis.labels == NAMES
    assert "labels_named_by_scores" in [each.code for each in examined.diagnosis.findings]
    assert examined.diagnosis.left(with_file=True) == ()
    artifact = load_artifact(tmp_path / "model")
    assert artifact.decision == result.decision
    assert (artifact.max_length, artifact.decision.goal) == (32, "macro_f1")
    assert artifact.decision.fitted_on is not None
    predictor = Predictor.load(tmp_path / "model", device="cpu")
    np.testing.assert_allclose(predictor.scores(_TEXTS), expected, atol=1e-6)
    texts, truth = texts_and_truth()
    named = [each.labels for each in predictor.predict(texts)]
    given = [[name for name, has in zip(NAMES, row, strict=True) if has] for row in truth]
    assert np.mean([one == other for one, other in zip(named, given, strict=True)]) > 0.9
    assert examine(str(tmp_path / "model"), rows).diagnosis.problems == ()


def test_a_setfit_body_with_a_head_in_safetensors_becomes_a_model(tmp_path: Path) -> None:
    folder = write_family("bert", tmp_path / "setfit")
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((3, 16)).astype(np.float32)
    bias = generator.standard_normal(3).astype(np.float32)
    save_file({"weight": weight, "bias": bias}, folder / "model_head.safetensors")
    modules = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (folder / "config_setfit.json").write_text(json.dumps({"labels": list(NAMES)}))
    rows = write_rows(tmp_path / "rows.csv")

    examined = examine(str(folder), rows)
    import_model(examined, rows, tmp_path / "model")

    expected = _mean_vectors(folder, _TEXTS) @ weight.T + bias
    predictor = Predictor.load(tmp_path / "model", device="cpu")
    np.testing.assert_allclose(predictor.logits(_TEXTS)[0], expected, atol=1e-5)
    with pytest.raises(OptionError, match="give a file of labelled rows"):
        correct(examined, tmp_path / "copy")


def _mean_vectors(folder: Path, texts: list[str]) -> Any:
    import torch
    from transformers import AutoModel, AutoTokenizer

    with quiet_transformers(), torch.no_grad():
        inputs = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
        hidden = AutoModel.from_pretrained(folder)(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None]
    return ((hidden * mask).sum(1) / mask.sum(1)).numpy()


def test_a_tokenizer_is_built_from_a_vocabulary_and_refused_where_it_is_another_one(
    tmp_path: Path,
) -> None:
    folder = write_checkpoint(tmp_path / "bert")
    expected = _sigmoids(folder, _TEXTS)
    table = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    pieces = sorted(table, key=table.get)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")

    copy = correct(examine(str(folder)), tmp_path / "copy")
    (folder / "vocab.txt").write_text("\n".join([*pieces, "more", "words"]) + "\n")

    assert _codes(copy) == ["thresholds_missing"]
    np.testing.assert_array_equal(_sigmoids(copy, _TEXTS), expected)
    assert _codes(folder)[0] == "tokenizer_refused"


def test_a_tokenizer_that_transformers_builds_otherwise_is_found(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "bert")
    change_json(
        folder / "tokenizer.json", lambda table: table["normalizer"].update(lowercase=False)
    )

    found = examine(str(folder)).diagnosis.problems

    assert [finding.code for finding in found] == ["tokenizer_differs"]


def test_a_length_without_room_for_a_text_is_a_finding(tmp_path: Path) -> None:
    folder = as_simpletransformers(
        write_checkpoint(tmp_path / "roberta", "roberta"), {"max_seq_length": 3}
    )
    rows = write_rows(tmp_path / "rows.csv")
    change_json(
        folder / "tokenizer.json",
        lambda table: table["post_processor"]["single"].extend(
            [{"SpecialToken": {"id": "</s>", "type_id": 0}}] * 2
        ),
    )

    found = examine(str(folder), rows).diagnosis.blocking

    assert "tokenizer_refused" in [finding.code for finding in found]


def test_a_file_with_other_labels_writes_nothing(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "bert", labels=("Joy", "anger", "rain"))
    rows = write_rows(tmp_path / "rows.csv")

    examined = examine(str(folder), rows)

    assert {"file_labels_unknown", "file_labels_absent"} <= {
        each.code for each in examined.diagnosis.problems
    }
    with pytest.raises((MultihotError, LabelError)):
        import_model(examined, rows, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert list(tmp_path.glob(".*")) == []


def test_neither_the_checkpoint_nor_another_folder_is_overwritten(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "bert")
    examined = examine(str(folder))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")

    for output in (folder, folder / "inside", tmp_path / "full"):
        with pytest.raises(OptionError):
            correct(examined, output)


def test_a_model_of_ours_passes_until_it_is_changed(tiny_model: Path, tmp_path: Path) -> None:
    import shutil

    model = shutil.copytree(tiny_model, tmp_path / "model")

    sound = examine(str(model))

    assert sound.diagnosis.findings == ()
    assert sound.diagnosis.kind == "multihot"
    with pytest.raises(OptionError, match="multihot decide"):
        correct(sound, tmp_path / "copy")
    (model / "tokenizer.json").write_bytes((model / "tokenizer.json").read_bytes() + b" ")
    assert [each.code for each in examine(str(model)).diagnosis.findings] == ["model_refused"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "bert")

    with pytest.raises(EncoderError, match="give the folder"):
        examine(str(folder / "config.json"))


def test_names_that_are_kept_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "bert")

    assert examine(str(folder)).space == LabelSpace(NAMES)
