"""Texts beyond `max_length`, read in windows: trained on the pooled loss, stored, and obeyed."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files as package_files
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from factories import Recorder, Stop, hashes, rows
from multihot.cli.main import main
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import TrainOptions
from multihot.core.windows import WINDOW_POOLINGS, WindowSettings
from multihot.data.dataset import encode
from multihot.data.examples import Examples
from multihot.data.tokens import load_tokenizer
from multihot.errors import ArtifactError, OptionError
from multihot.inference.artifact import load_artifact, read_artifact
from multihot.inference.explanation import explain
from multihot.inference.predictor import Predictor
from multihot.inference.torch_backend import TorchBackend
from multihot.training.batches import steps_after
from multihot.workflows.evaluate import evaluate
from multihot.workflows.train import train

TRAIN, VALIDATION = rows(37, 0), rows(20, 1)
LEARNING = {"epochs": 25, "batch_size": 4, "learning_rate": 0.01, "pooling": "mean"}
FILLER = "the day people know this today believe year . " * 3


@pytest.fixture(scope="module")
def options(tiny_encoder: Path) -> TrainOptions:
    return TrainOptions(
        encoder=str(tiny_encoder),
        epochs=2,
        batch_size=8,
        learning_rate=3e-3,
        precision="fp32",
        device="cpu",
        threads=1,
        seed=1,
        max_length=16,
        window_overlap=4,
        windows="max",
    )


def _longer(examples: Examples) -> Examples:
    """Put the words that decide behind what one window reads, in every second text."""
    texts = [FILLER * (n % 2) + text for n, text in enumerate(examples.texts)]
    return replace(examples, texts=texts)


@pytest.fixture(scope="module")
def long_model(options: TrainOptions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("long") / "model"
    train(_longer(TRAIN), _longer(VALIDATION), options, output)
    return output


@pytest.mark.parametrize("pooling", WINDOW_POOLINGS)
def test_a_model_says_how_it_reads_long_texts_and_does_so_when_loaded(
    options: TrainOptions, tmp_path: Path, pooling: str
) -> None:
    output = tmp_path / "model"
    ears = Recorder()
    chosen = replace(options, windows=pooling, max_windows=5)

    report = train(_longer(TRAIN), _longer(VALIDATION), chosen, output, listener=ears)
    loaded = Predictor.load(output)
    again = evaluate(loaded, _longer(VALIDATION))

    schema = json.loads((package_files("multihot") / "schemas/thresholds.schema.json").read_text())
    jsonschema.validate(json.loads((output / "thresholds.json").read_text()), schema)
    windows = load_artifact(output).windows
    assert windows is not None
    assert (windows.pooling, windows.overlap, windows.max_windows) == (pooling, 4, 5)
    assert (windows.sharpness is not None) == (pooling == "attention")
    assert again.metrics == report.metrics
    assert any("texts are read in windows of max_length=16 tokens" in s for s in ears.sentences)


def test_texts_of_one_window_train_to_the_weights_and_scores_of_today(
    options: TrainOptions, tmp_path: Path
) -> None:
    usual = replace(options, windows=None, window_overlap=None, max_length=64)
    for name, chosen in {"cut": usual, "max": replace(usual, windows="max")}.items():
        train(TRAIN, VALIDATION, chosen, tmp_path / name)

    cut, windowed = (Predictor.load(tmp_path / name) for name in ("cut", "max"))
    weights = (
        "encoder/model.safetensors"
        if cut.artifact.form == "encoder_and_head"
        else ("model.safetensors")
    )
    assert (tmp_path / "cut" / weights).read_bytes() == (tmp_path / "max" / weights).read_bytes()
    assert cut.logits(TRAIN.texts)[0].tolist() == windowed.logits(TRAIN.texts)[0].tolist()


def test_a_run_with_learnt_pooling_goes_on_to_the_same_bytes(
    options: TrainOptions, tmp_path: Path
) -> None:
    chosen = replace(options, windows="attention", checkpoint_steps=2, weight_averaging=0.9)
    rows_of = _longer(TRAIN), _longer(VALIDATION)
    train(*rows_of, chosen, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(*rows_of, chosen, tmp_path / "stopped", listener=Stop(7))

    train(*rows_of, chosen, tmp_path / "stopped", resume=True)

    assert hashes(tmp_path / "stopped") == hashes(tmp_path / "whole")
    windows = read_artifact(tmp_path / "whole").windows
    assert windows is not None
    assert windows.sharpness is not None
    assert all(value != 1.0 for value in windows.sharpness.values())


def test_a_step_is_computed_in_passes_of_few_windows_and_every_text_once(
    options: TrainOptions, tiny_encoder: Path
) -> None:
    space = LabelSpace(("joy",))
    counts = [1, 5, 2, 2, 1, 9, 1, 1, 1, 3]
    texts = [" ".join(["joy"] * (10 * count - 2)) for count in counts]
    labels = LabelMatrix(space, np.ones((len(counts), 1), np.float32))
    encoded = encode(
        replace(rows(len(counts), 0), texts=texts, labels=labels),
        space,
        load_tokenizer(tiny_encoder / "tokenizer.json"),
        12,
        windows=WindowSettings("max", 0, 20),
    )

    steps = list(steps_after(0, encoded, replace(options, batch_size=5, epochs=1), 0, packed=True))

    for step in steps:
        windows = [len(batch.texts) for batch in step.micro_batches]
        of_step = [counts[row] for batch in step.micro_batches for row in batch.rows.tolist()]
        assert sum(windows) == sum(of_step)
        assert max(windows) <= max(5, *of_step)
    found = [row for step in steps for batch in step.micro_batches for row in batch.rows.tolist()]
    assert sorted(found) == list(range(len(counts)))
    assert len(steps) == 2


@pytest.mark.slow
def test_what_is_behind_the_first_window_is_learnt(options: TrainOptions, tmp_path: Path) -> None:
    values = {}
    for name, overlap in (("none", None), ("max", 4)):
        chosen = replace(options, windows=name, window_overlap=overlap, **LEARNING)
        train(_longer(TRAIN), _longer(VALIDATION), chosen, tmp_path / name)
        report = evaluate(Predictor.load(tmp_path / name), _longer(rows(60, 5)))
        values[name] = report.metrics["micro_f1"]

    assert values["none"] is not None
    assert values["max"] is not None
    assert values["max"] > values["none"] + 0.1


def test_logits_of_a_text_are_the_pooled_ones_of_its_windows(long_model: Path) -> None:
    predictor = Predictor.load(long_model)
    texts = [_longer(VALIDATION).texts[1], "happy day"]
    tokenized = predictor.tokenized(texts)
    assert tokenized.windows is not None
    assert tokenized.windows.counts[0] > 1
    each = predictor.backend.logits(tokenized.by_window())

    logits, truncated = predictor.logits(texts)

    expected = [each[: tokenized.windows.counts[0]].max(axis=0), each[-1]]
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    assert truncated.tolist() == [False, False]


def test_predictions_say_which_window_spoke_for_each_label(long_model: Path) -> None:
    predictor = Predictor.load(long_model)
    text = _longer(VALIDATION).texts[1]

    long, short = predictor.predict([text, "happy"], threshold=1e-6)

    tokenized = predictor.tokenized([text])
    each = predictor.backend.logits(tokenized.by_window())
    assert long.windows is not None
    assert short.windows is not None
    assert short.windows.spans == [(0, 5)]
    assert list(long.windows.loudest) == long.labels == list(predictor.space.names)
    assert list(long.windows.loudest.values()) == each.argmax(axis=0).tolist()
    (start, end), (last_start, last_end) = long.windows.spans[0], long.windows.spans[-1]
    assert text[start:end].split()[0] == text.split()[0]
    assert last_start < end + len(text)
    assert last_end == len(text)


def test_the_vector_of_a_text_is_the_mean_of_those_of_its_windows(long_model: Path) -> None:
    predictor = Predictor.load(long_model)
    backend = predictor.backend
    assert isinstance(backend, TorchBackend)
    tokenized = predictor.tokenized([_longer(VALIDATION).texts[1], "happy"])
    each = backend.text_vectors(tokenized.by_window())

    found = backend.text_vectors(tokenized)

    np.testing.assert_allclose(found, [each[:-1].mean(axis=0), each[-1]], atol=1e-6)


@pytest.mark.parametrize("method", ["gradients", "occlusion"])
def test_an_explanation_is_about_the_loudest_window_and_its_words_only(
    long_model: Path, method: str
) -> None:
    predictor = Predictor.load(long_model)
    text = _longer(VALIDATION).texts[1]
    each = predictor.backend.logits(predictor.tokenized([text]).by_window())

    (found,) = explain(predictor, [text], labels=predictor.space.names, method=method)

    for column, reasons in enumerate(found.labels):
        assert reasons.window == each[:, column].argmax()
        assert reasons.logit == pytest.approx(each[:, column].max(), abs=1e-5)
        start, end = found.windows[reasons.window]
        outside = [
            value
            for word, value in zip(found.words, reasons.values, strict=True)
            if word.end <= start or word.start >= end
        ]
        assert not any(outside)
        assert any(reasons.values)
    assert found.to_json()["labels"]["joy"]["window"] == found.labels[0].window


def test_the_command_line_says_which_window_spoke(
    long_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = _longer(VALIDATION).texts[1]
    arguments = [str(long_model), text, "--threshold", "1e-6"]

    assert main(["predict", *arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main(["predict", *arguments]) == 0
    for_people = capsys.readouterr().out
    assert main(["explain", str(long_model), text, "--label", "joy"]) == 0
    explained = capsys.readouterr().out

    number = printed["windows"]["loudest"]["joy"]
    start, end = printed["windows"]["spans"][number]
    where = (
        f"window {number + 1} of {len(printed['windows']['spans'])}, characters {start} to {end}"
    )
    assert f"joy: {where}" in for_people
    assert where in explained


def test_training_goes_on_from_a_model_as_that_reads_texts(
    options: TrainOptions, long_model: Path, tmp_path: Path
) -> None:
    usual = replace(options, windows=None, window_overlap=None, max_length=None, epochs=1)
    train(_longer(TRAIN), _longer(VALIDATION), usual, tmp_path / "on", start_from=long_model)
    cut = replace(usual, windows="none")
    train(_longer(TRAIN), _longer(VALIDATION), cut, tmp_path / "cut", start_from=long_model)

    assert read_artifact(tmp_path / "on").windows == WindowSettings("max", 4, 32)
    assert read_artifact(tmp_path / "cut").windows is None


def test_texts_that_are_cut_are_told_with_the_way_to_read_them(
    options: TrainOptions, tmp_path: Path
) -> None:
    ears = Recorder()
    cut = replace(options, windows=None, window_overlap=None)

    train(_longer(TRAIN), _longer(VALIDATION), cut, tmp_path / "model", listener=ears)

    assert "To read whole texts, in windows whose logits are pooled: windows=max." in ears.sentences
    assert ears.sentences.count("10 validation texts are cut to max_length=16 tokens.") == 1


def test_windows_that_are_longer_than_the_encoder_reads_are_refused(
    options: TrainOptions, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="max_length=65, but the encoder"):
        train(TRAIN, VALIDATION, replace(options, max_length=65), tmp_path / "model")
    with pytest.raises(OptionError, match="window_overlap=14 leaves nothing new"):
        train(TRAIN, VALIDATION, replace(options, window_overlap=14), tmp_path / "model")
    with pytest.raises(OptionError, match="max_windows=3 needs windows"):
        train(
            TRAIN,
            VALIDATION,
            replace(options, windows=None, window_overlap=None, max_windows=3),
            tmp_path / "model",
        )

    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"pooling": "median"},
        {"overlap": 16},
        {"overlap": "4"},
        {"max_windows": 0},
        {"sharpness": {"joy": 1.0}},
        {"size": 3},
    ],
)
def test_a_stored_way_of_reading_that_no_training_writes_is_refused(
    long_model: Path, tmp_path: Path, changed: dict[str, object]
) -> None:
    content = json.loads((long_model / "thresholds.json").read_text("utf-8"))
    content["windows"] |= changed
    (tmp_path / "thresholds.json").write_text(json.dumps(content), "utf-8")

    with pytest.raises(ArtifactError, match="windows"):
        read_artifact(tmp_path)
