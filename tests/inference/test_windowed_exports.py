"""Exports read long texts in windows as the model does, and so does the server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from factories import rows
from multihot.core.options import TrainOptions
from multihot.core.windows import WINDOW_POOLINGS
from multihot.errors import OptionError
from multihot.inference.artifact import read_artifact
from multihot.inference.predictor import Predictor
from multihot.workflows.export import export
from multihot.workflows.train import train
from served import serving

pytestmark = pytest.mark.slow

TEXTS = [
    "the day people know this today believe year . " * 5 + "so happy",
    "afraid",
    "",
    "sad year , " * 400,
]


@pytest.fixture(scope="module", params=WINDOW_POOLINGS)
def model(
    request: pytest.FixtureRequest, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("windowed") / "model"
    options = TrainOptions(
        encoder=str(tiny_encoder),
        epochs=3,
        batch_size=8,
        learning_rate=0.01,
        precision="fp32",
        device="cpu",
        threads=1,
        thresholds=0.4,
        max_length=16,
        windows=request.param,
        window_overlap=4,
        max_windows=20,
    )
    examples = rows(37, 0)
    longer = replace(examples, texts=[f"{text} . " * 4 for text in examples.texts])
    train(longer, longer, options, folder)
    return folder


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_an_export_pools_the_windows_of_a_text_as_its_model_does(
    model: Path, to: str, tmp_path: Path
) -> None:
    result = export(model, tmp_path / "out", to=to)
    first, second = Predictor.load(model), Predictor.load(tmp_path / "out")

    expected, found = first.logits(TEXTS), second.logits(TEXTS)

    assert result.certificate.passed
    assert read_artifact(tmp_path / "out").windows == read_artifact(model).windows
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)
    assert found[1].tolist() == expected[1].tolist() == [False, False, False, True]
    for one, other in zip(first.predict(TEXTS), second.predict(TEXTS), strict=True):
        assert one.windows == other.windows


def test_folded_thresholds_are_refused_where_no_line_passes_through_the_pooling(
    model: Path, tmp_path: Path
) -> None:
    windows = read_artifact(model).windows
    assert windows is not None
    if windows.pooling in ("max", "mean"):
        export(model, tmp_path / "out", to="onnx", fold_thresholds=True)
        one, other = Predictor.load(model), Predictor.load(tmp_path / "out")
        assert [p.labels for p in one.predict(TEXTS)] == [p.labels for p in other.predict(TEXTS)]
    else:
        with pytest.raises(OptionError, match=windows.pooling):
            export(model, tmp_path / "out", to="onnx", fold_thresholds=True)


def test_the_server_answers_with_the_windows_that_spoke(model: Path, tmp_path: Path) -> None:
    export(model, tmp_path / "out", to="onnx")
    expected = Predictor.load(tmp_path / "out").predict(TEXTS)

    with serving(tmp_path / "out") as served:
        found = served.predict(*TEXTS)["results"]

    for one, prediction in zip(found, expected, strict=True):
        assert prediction.windows is not None
        assert one["labels"] == prediction.labels
        assert one["windows"] == prediction.windows.to_json()
        scores = list(prediction.scores.values())
        np.testing.assert_allclose(list(one["scores"].values()), scores, atol=1e-5)
