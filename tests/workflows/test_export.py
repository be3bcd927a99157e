"""`export` writes what decides alike, or nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from emotions import QUICK, TEXTS, write_jsonl
from multihot.core.options import TrainOptions
from multihot.core.recipes import build_options
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.decision.calibration import Calibration
from multihot.errors import CheckFailedError, DataError, OptionError
from multihot.inference.artifact import read_artifact
from multihot.inference.predictor import Predictor
from multihot.inference.renewal import replace_decision
from multihot.workflows.export import export
from multihot.workflows.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cls_model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cls-model")
    training = read_examples(write_jsonl(folder / "train.jsonl"))
    options = {"encoder": str(tiny_encoder), **QUICK, "pooling": "cls", "epochs": 8}
    train(training, training, build_options(TrainOptions, options), folder / "model")
    artifact = read_artifact(folder / "model")
    platt = Calibration("platt", 1.3, (((0.8, -0.4),), None, ((1.6, 0.5),)))
    decision = replace(artifact.decision, calibration=platt, thresholds=(0.2, 0.55, 0.4))
    replace_decision(artifact, decision)
    return folder / "model"


def rows(model: Path) -> Any:
    artifact = read_artifact(model)
    path = model.parent / "train.jsonl"
    return open_labelled(path, artifact.data, space=artifact.decision.space)


@pytest.mark.parametrize("to", ["onnx", "openvino", "transformers"])
def test_an_export_decides_as_the_model_and_says_so(
    to: str, cls_model: Path, tmp_path: Path
) -> None:
    result = export(cls_model, tmp_path / "out", to=to, examples=rows(cls_model))

    assert result.certificate.passed
    assert result.certificate.cells_flipped == 0
    stored = json.loads((tmp_path / "out" / "parity.json").read_text("utf-8"))
    assert stored["rows"] == len(TEXTS)
    schema = json.loads((files("multihot") / "schemas" / "thresholds.schema.json").read_text())
    thresholds = json.loads((tmp_path / "out" / "thresholds.json").read_text("utf-8"))
    jsonschema.validate(thresholds, schema)
    expected = [each.labels for each in Predictor.load(cls_model, device="cpu").predict(TEXTS)]
    found = [each.labels for each in Predictor.load(tmp_path / "out").predict(TEXTS)]
    assert found == expected


def test_folded_thresholds_decide_in_plain_transformers(cls_model: Path, tmp_path: Path) -> None:
    export(cls_model, tmp_path / "out", to="transformers", fold_thresholds=True)
    predictor = Predictor.load(cls_model, device="cpu")
    expected = predictor.decision.decide(predictor.scores(TEXTS))

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    inputs = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        found = model(**inputs).logits.sigmoid().numpy() >= 0.5

    assert np.array_equal(found, expected)
    assert model.config.problem_type == "multi_label_classification"


def test_int8_has_thresholds_of_its_own_and_keeps_scores_apart_from_batches(
    cls_model: Path, tmp_path: Path
) -> None:
    result = export(
        cls_model, tmp_path / "out", to="onnx-int8", examples=rows(cls_model), max_flips=1
    )

    assert any(note.endswith(", 0 in fp32.") for note in result.notes)
    predictor = Predictor.load(tmp_path / "out")
    assert predictor.artifact.exported is not None
    assert predictor.artifact.exported.precision == "int8"
    assert predictor.decision.fitted_on is not None
    assert predictor.decision.fitted_on.source == "train.jsonl"
    alone = np.concatenate([predictor.scores([text]) for text in TEXTS])
    np.testing.assert_allclose(predictor.scores(TEXTS), alone, rtol=0, atol=1e-5)
    with pytest.raises(OptionError, match="backend is openvino"):
        Predictor.load(tmp_path / "out", backend="openvino")


def test_an_export_that_decides_otherwise_leaves_nothing_behind(
    cls_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from multihot.export import folders

    written = folders.write_transformers_folder

    def damaged(artifact: Any, source: Any, card: str) -> None:
        with torch.no_grad():
            source.network.model.classifier.bias.add_(1.0)
        written(artifact, source, card)

    monkeypatch.setattr(folders, "write_transformers_folder", damaged)

    with pytest.raises(CheckFailedError, match="is not written") as caught:
        export(cls_model, tmp_path / "out", to="transformers")

    assert str(caught.value).startswith("The export to transformers is not written.")
    assert "decisions" in str(caught.value.report)

    assert list(tmp_path.iterdir()) == []
    assert CheckFailedError.exit_code == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "gguf"}, "expected one of onnx, onnx-int8"),
        ({"to": "onnx-int8"}, "give a file of labelled rows"),
        ({"to": "onnx", "max_flips": 2.0}, "expected a fraction"),
    ],
)
def test_what_cannot_be_exported_is_refused_at_once(
    options: dict[str, Any], message: str, cls_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message):
        export(cls_model, tmp_path / "out", **options)

    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(OptionError, match="is not empty"):
        export(cls_model, tmp_path / "full", to="onnx")


def test_rows_that_int8_cannot_be_fitted_on_are_refused_before_the_network_is_exported(
    cls_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        pytest.fail("the network was exported")

    monkeypatch.setattr("multihot.export.graph.onnx_model", never)
    artifact = read_artifact(cls_model)
    (tmp_path / "none.jsonl").write_text('{"text": "i am happy", "labels": []}\n', "utf-8")
    none = open_labelled(tmp_path / "none.jsonl", artifact.data, space=artifact.decision.space)

    with pytest.raises(DataError, match="no text among the 1 row is known to have a label"):
        export(cls_model, tmp_path / "out", to="onnx-int8", examples=none)

    assert not (tmp_path / "out").exists()


def test_mean_pooling_has_no_class_in_transformers(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"mean pooling of bert.*run it"):
        export(tiny_model, tmp_path / "out", to="transformers")

    assert list(tmp_path.iterdir()) == []


def test_an_export_is_not_exported_or_trained_again(tiny_model: Path, tmp_path: Path) -> None:
    export(tiny_model, tmp_path / "out", to="onnx")

    with pytest.raises(OptionError, match="is an export already"):
        export(tmp_path / "out", tmp_path / "again", to="onnx")


def test_calibrations_that_are_no_lines_are_not_folded(cls_model: Path, tmp_path: Path) -> None:
    from multihot.export.folding import fold
    from multihot.inference.trained_model import load_trained_model

    source = load_trained_model(read_artifact(cls_model))
    beta = Calibration("beta", 0.9, (((0.7, 1.2, -0.1),), None, None))

    with pytest.raises(OptionError, match="is no line"):
        fold(source.network, replace(source.artifact.decision, calibration=beta))
    with pytest.raises(OptionError, match="at_least_one"):
        fold(source.network, replace(source.artifact.decision, empty_set_rule="at_least_one"))


def test_int8_is_made_from_texts_that_are_as_long_as_the_encoder_is_wide(
    cls_model: Path, tmp_path: Path
) -> None:
    artifact = read_artifact(cls_model)
    lines = [
        json.dumps({"text": " ".join([word] * 14), "labels": names})  # and two special tokens
        for word, names in (("happy", ["joy"]), ("love", ["love"]), ("afraid", ["fear"])) * 4
    ]
    (tmp_path / "long.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    examples = open_labelled(tmp_path / "long.jsonl", artifact.data, space=artifact.decision.space)

    export(cls_model, tmp_path / "out", to="onnx-int8", examples=examples, max_flips=1.0)

    assert read_artifact(tmp_path / "out").form == "onnx"
