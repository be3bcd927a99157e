"""The probe: the same task from several encoders, compared row by row."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from emotions import QUICK, write_jsonl
from factories import Recorder
from multihot.core.options import TrainOptions
from multihot.core.recipes import build_options
from multihot.data.examples import Examples
from multihot.data.labelled_file import read_examples
from multihot.errors import DataError, OptionError
from multihot.inference.predictor import Predictor
from multihot.workflows.evaluate import evaluate
from multihot.workflows.probe import ProbeStart, probe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> tuple[Examples, Examples]:
    folder = tmp_path_factory.mktemp("task")
    training = read_examples(write_jsonl(folder / "train.jsonl"))
    assert training.labels is not None
    path = write_jsonl(folder / "dev.jsonl", slice(0, 24))
    return training, read_examples(path, training.data, space=training.labels.space)


@pytest.fixture(scope="module")
def options() -> TrainOptions:
    return build_options(TrainOptions, {**QUICK, "epochs": 8, "pooling": "auto"})


def _without_weights(encoder: Path, folder: Path) -> Path:
    """Copy an encoder with all vectors of words alike, from which nothing can be learnt."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(encoder, folder)
    weights = load_file(folder / "model.safetensors")
    for tensor in weights.values():
        tensor.zero_()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_every_encoder_is_compared_with_the_random_one_on_the_same_rows(
    task: tuple[Examples, Examples], options: TrainOptions, tiny_encoder: Path, tmp_path: Path
) -> None:
    empty = _without_weights(tiny_encoder, tmp_path / "empty")
    starts = [
        ProbeStart("random", str(empty), step=0, seconds=0.0, tokens=0),
        ProbeStart("end", str(tiny_encoder), step=10, seconds=1800.0, tokens=2_000_000),
    ]
    ears = Recorder()
    found = probe(starts, *task, options, tmp_path / "probe", listener=ears)
    random, end = found.rows

    assert random.over_random is None
    assert random.gain_per_hour is None
    assert end.over_starter is None
    assert end.over_random is not None
    assert end.over_random.difference is not None
    assert end.value is not None
    assert random.value is not None
    assert end.over_random.difference == pytest.approx(end.value - random.value)
    assert end.gain_per_hour == pytest.approx(2 * end.over_random.difference)
    assert end.over_random.low is not None
    assert end.over_random.low > 0
    assert found.validation_rows == 24
    (folder,) = (tmp_path / "probe").iterdir()
    report = evaluate(Predictor.load(folder / "end"), task[1])
    assert report.metrics["micro_f1"] == pytest.approx(end.value)
    text = str(found)
    assert "micro_f1" in text
    assert "2.0 M" in text
    assert "0.50" in text
    assert found.to_json()["rows"][1]["gain_per_hour"] == end.gain_per_hour

    again = Recorder()
    assert probe(starts, *task, options, tmp_path / "probe", listener=again) == found
    assert not any("Epoch" in sentence for sentence in again.sentences)
    assert sum("Epoch" in sentence for sentence in ears.sentences) == 16


def test_other_options_or_rows_have_runs_of_their_own(
    task: tuple[Examples, Examples], options: TrainOptions, tiny_encoder: Path, tmp_path: Path
) -> None:
    starts = [ProbeStart("starter", str(tiny_encoder))]
    once = replace(options, epochs=1)
    for chosen, rows in ((once, 24), (replace(once, seed=1), 24), (once, 20)):
        probe(starts, task[0], task[1].take(range(rows)), chosen, tmp_path)

    assert len(list(tmp_path.iterdir())) == 3


def test_rows_without_labels_are_refused(
    task: tuple[Examples, Examples], options: TrainOptions, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="has no labels; the probe needs them"):
        probe([], task[0], replace(task[1], labels=None), options, tmp_path)


def test_a_goal_that_is_no_metric_is_refused_before_any_training(
    task: tuple[Examples, Examples], options: TrainOptions, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=r"'goal' is 'precision>=0\.9'.*expected one of micro_f1"):
        probe([], *task, replace(options, goal="precision>=0.9"), tmp_path)
