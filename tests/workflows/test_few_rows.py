"""Runs that are short for their labels: the head is fitted first, and beside them stands a linear model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from factories import Recorder, Stop, rows
from multihot.core.bundled import demo_data
from multihot.core.files import sha256_of
from multihot.core.options import InitialHeadName, TrainOptions, WindowsName
from multihot.data.examples import Examples
from multihot.data.labelled_file import read_examples
from multihot.errors import OptionError
from multihot.inference.predictor import Predictor
from multihot.workflows import baseline
from multihot.workflows.baseline import baseline_report
from multihot.workflows.evaluate import evaluate
from multihot.workflows.train import train

pytestmark = pytest.mark.slow

TRAIN, VALIDATION = rows(200, 2), rows(40, 1)


@pytest.fixture
def options(tiny_encoder: Path) -> TrainOptions:
    return TrainOptions(
        encoder=str(tiny_encoder),
        epochs=2,
        batch_size=8,
        learning_rate=1e-6,  # what the model knows, its head knew before
        precision="fp32",
        device="cpu",
        threads=1,
        checkpoint_steps=3,
    )


def assert_starts_at_the_frequencies(
    model: Path, texts: Sequence[str] = VALIDATION.texts, tolerance: float = 0.05
) -> None:
    """Check the mean scores of a model that learnt nothing after its start."""
    assert TRAIN.labels is not None
    scores = Predictor.load(model).scores(texts)
    expected = TRAIN.labels.values.mean(axis=0)
    np.testing.assert_allclose(scores.mean(axis=0), expected, atol=tolerance)


@pytest.mark.parametrize("pooling", ["cls", "mean", "attention"])
def test_a_fitted_head_knows_what_a_random_one_has_yet_to_learn(
    options: TrainOptions, tmp_path: Path, pooling: str
) -> None:
    wanted, ears = replace(options, pooling=pooling, head_learning_rate=1e-6), Recorder()

    fitted = train(TRAIN, VALIDATION, wanted, tmp_path / "fitted", listener=ears)
    own = replace(wanted, initial_head="random")
    random = train(TRAIN, VALIDATION, own, tmp_path / "random")

    assert any("initial_head=fitted" in said for said in ears.sentences)
    for name, sign in (("lrap", 1), ("log_loss", -1)):
        before, after = random.metrics[name], fitted.metrics[name]
        assert before is not None
        assert after is not None
        assert sign * after > sign * before


def test_a_head_that_is_not_fitted_starts_every_label_at_its_frequency(
    options: TrainOptions, tmp_path: Path
) -> None:
    assert TRAIN.labels is not None
    values = TRAIN.labels.values
    positives = values.sum(axis=0)
    still = replace(
        options,
        epochs=1,
        learning_rate=1e-12,
        head_learning_rate=1e-12,
        initial_head="prevalence",
        pooling="mean",
    )

    train(TRAIN, VALIDATION, still, tmp_path / "model")

    biases = [
        tensor
        for tensor in load_file(tmp_path / "model" / "head.safetensors").values()
        if tensor.shape == positives.shape
    ]
    expected = np.log((positives + 0.5) / (len(values) - positives + 0.5))
    np.testing.assert_allclose(biases, [expected], atol=1e-5)


def test_a_run_that_is_interrupted_after_the_fit_ends_with_the_same_bytes(
    options: TrainOptions, tmp_path: Path
) -> None:
    train(TRAIN, VALIDATION, options, tmp_path / "whole")
    for last in (1, 31):  # before the first checkpoint, and after one
        with pytest.raises(KeyboardInterrupt):
            train(
                TRAIN, VALIDATION, options, tmp_path / "cut", resume=last > 1, listener=Stop(last)
            )

    train(TRAIN, VALIDATION, options, tmp_path / "cut", resume=True)

    for name in ("encoder/model.safetensors", "head.safetensors"):
        if (tmp_path / "whole" / name).exists():
            assert sha256_of(tmp_path / "whole" / name) == sha256_of(tmp_path / "cut" / name)


def test_a_trained_head_is_not_fitted_again(options: TrainOptions, tmp_path: Path) -> None:
    train(TRAIN, VALIDATION, options, tmp_path / "first")
    ears = Recorder()

    train(
        TRAIN, VALIDATION, options, tmp_path / "next", start_from=tmp_path / "first", listener=ears
    )

    assert not any("initial_head" in said for said in ears.sentences)


@pytest.mark.parametrize("asked", ["random", "prevalence", "fitted"])
def test_a_start_that_is_asked_for_a_trained_head_is_said_to_be_without_effect(
    options: TrainOptions, tmp_path: Path, asked: InitialHeadName
) -> None:
    train(TRAIN, VALIDATION, options, tmp_path / "first")
    ears, wanted = Recorder(), replace(options, initial_head=asked)

    train(
        TRAIN, VALIDATION, wanted, tmp_path / "next", start_from=tmp_path / "first", listener=ears
    )

    assert f"initial_head={asked} has no effect: the head was trained before." in ears.sentences


@pytest.mark.parametrize("asked", [None, "prevalence", "fitted"])
def test_one_scorer_for_all_labels_starts_at_their_frequencies(
    options: TrainOptions, tmp_path: Path, asked: InitialHeadName | None
) -> None:
    ears = Recorder()
    wanted = replace(options, pooling="labels", initial_head=asked, head_learning_rate=1e-6)

    train(TRAIN, VALIDATION, wanted, tmp_path, listener=ears)

    assert_starts_at_the_frequencies(tmp_path)
    remarks = [said for said in ears.sentences if "initial_head=fitted is not possible" in said]
    assert len(remarks) == (asked == "fitted")


def test_a_fit_that_was_asked_for_gives_no_other_reason(
    options: TrainOptions, tmp_path: Path
) -> None:
    ears = Recorder()

    train(TRAIN, VALIDATION, replace(options, initial_head="fitted"), tmp_path, listener=ears)

    (said,) = (said for said in ears.sentences if "The head was fitted" in said)
    assert said.endswith("of the training rows (initial_head=fitted).")


def test_rows_of_greater_weight_count_more_in_the_frequencies(
    options: TrainOptions, tmp_path: Path
) -> None:
    assert TRAIN.labels is not None
    first = TRAIN.labels.values[:, 0]
    weighted = replace(TRAIN, weights=np.where(first == 1, 8, 1).astype(np.float32))
    wanted = replace(options, initial_head="prevalence", head_learning_rate=1e-6, epochs=1)

    train(weighted, VALIDATION, wanted, tmp_path)

    frequency = 8 * first.mean() / (8 * first.mean() + 1 - first.mean())
    scores = Predictor.load(tmp_path).scores(VALIDATION.texts)
    np.testing.assert_allclose(scores.mean(axis=0)[0], frequency, atol=0.05)


@pytest.mark.parametrize(
    ("pooling", "start", "tolerance"),
    [
        ("max", "prevalence", 0.05),
        ("mean", "prevalence", 0.05),
        ("log_sum_exp", "prevalence", 0.05),
        ("attention", "prevalence", 0.05),
        ("log_sum_exp", "fitted", 0.2),  # windows differ; a sum over them would be beyond 0.8
    ],
)
def test_texts_of_many_windows_start_at_the_frequencies_too(
    options: TrainOptions,
    tmp_path: Path,
    pooling: WindowsName,
    start: InitialHeadName,
    tolerance: float,
) -> None:
    def long(examples: Examples) -> Examples:
        return replace(examples, texts=[f"{text} " * 8 for text in examples.texts])

    wanted = replace(
        options,
        initial_head=start,
        pooling="mean",
        windows=pooling,
        max_length=8,
        window_overlap=2,
        max_windows=32,
        head_learning_rate=1e-6,
        epochs=1,
    )

    train(long(TRAIN), long(VALIDATION), wanted, tmp_path)

    assert_starts_at_the_frequencies(tmp_path, long(VALIDATION).texts, tolerance)


def test_the_frequencies_are_where_a_head_of_prevalence_starts(
    options: TrainOptions, tmp_path: Path
) -> None:
    wanted = replace(options, initial_head="prevalence", head_learning_rate=1e-6, epochs=1)

    train(TRAIN, VALIDATION, wanted, tmp_path)

    assert_starts_at_the_frequencies(tmp_path)


@pytest.mark.parametrize("folds", [None, 2])
def test_the_linear_baseline_is_said_beside_the_model(
    options: TrainOptions, tmp_path: Path, folds: int | None
) -> None:
    wanted = replace(options, initial_head="random", folds=folds, epochs=1)
    validation = None if folds else VALIDATION

    report = train(TRAIN, validation, wanted, tmp_path, linear_baseline=True)

    line = report.conclusion.splitlines()[-1]
    assert line.startswith("Linear baseline (TF-IDF and logistic regression, on the same rows)")
    assert "Warning: the linear baseline is better" in line  # an untrained encoder
    assert ("mean of both" in line) == (folds is None)


def test_a_linear_baseline_that_is_too_large_costs_no_model(
    options: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline, "_MOST_WEIGHTS", 10)

    report = train(TRAIN, VALIDATION, replace(options, epochs=1), tmp_path, linear_baseline=True)

    assert "The linear baseline could not be trained" in report.conclusion
    assert "n-grams and" in report.conclusion
    assert (tmp_path / "thresholds.json").is_file()


def test_an_unknown_start_is_refused() -> None:
    with pytest.raises(OptionError, match="initial_head"):
        TrainOptions(initial_head="zero")  # type: ignore[arg-type]


def test_few_texts_with_the_starter_do_not_lose_to_the_linear_baseline(tmp_path: Path) -> None:
    paths = demo_data()
    training = read_examples(paths["train"]).take(range(200))
    assert training.labels is not None
    validation, test = (
        read_examples(paths[part], training.data, space=training.labels.space)
        for part in ("validation", "test")
    )

    train(training, validation, TrainOptions(device="cpu"), tmp_path)

    ours = evaluate(Predictor.load(tmp_path), test).metrics
    linear = baseline_report(
        training, validation, test, goal="micro_f1", thresholds="global"
    ).metrics
    for name in ("micro_f1", "macro_f1"):
        value, floor = ours[name], linear[name]
        assert value is not None
        assert floor is not None
        assert value > floor
