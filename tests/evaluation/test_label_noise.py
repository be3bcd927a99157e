"""Noise that is put in is found again: how much of it there is, and where."""

from __future__ import annotations

import importlib

import numpy as np
import numpy.typing as npt
import pytest

from multihot.core.numeric import sigmoid
from multihot.evaluation.label_noise import confident_joint, fit_label_noise, probability_wrong

FloatArray = npt.NDArray[np.float32]


def noisy(
    added: float, dropped: float, num_rows: int = 4000, num_labels: int = 3
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Return logits, given values, and which of these are wrong."""
    generator = np.random.default_rng(7)
    logits = generator.normal(-1, 3, (num_rows, num_labels)).astype(np.float32)
    truth = generator.random(logits.shape) < sigmoid(logits)
    wrong = generator.random(logits.shape) < np.where(truth, dropped, added)
    return logits, (truth ^ wrong).astype(np.float32), wrong


@pytest.mark.parametrize("rates", [(0.1, 0.05), (0.0, 0.05), (0.15, 0.02)])
def test_the_rates_of_wrong_values_are_found(rates: tuple[float, float]) -> None:
    logits, given, _ = noisy(*rates)

    noise = fit_label_noise(logits, given)

    assert noise.added == pytest.approx(rates[0], abs=0.03)
    assert noise.dropped == pytest.approx(rates[1], abs=0.04)


def test_a_label_with_more_wrong_values_than_others_has_a_rate_of_its_own() -> None:
    logits, given, _ = noisy(0.02, 0.05, num_labels=4)
    generator = np.random.default_rng(1)
    given[:, 0] = np.maximum(given[:, 0], generator.random(len(given)) < 0.2)

    noise = fit_label_noise(logits, given)

    assert noise.added[0] > 2 * noise.added[1:].max()


def test_the_only_label_of_a_text_is_trusted_more_and_a_text_without_one_less() -> None:
    generator = np.random.default_rng(2)
    truth = np.eye(5, dtype=bool)[generator.integers(0, 5, 3000)]
    logits = np.where(truth, 0.5, -2.5) + generator.normal(0, 1, truth.shape)
    wrong = generator.random(truth.shape) < 0.05
    given = (truth ^ wrong).astype(np.float32)
    noise = fit_label_noise(logits.astype(np.float32), given)
    rows = np.array([[0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0]], np.float32)
    scores = np.array([[-0.5, 1, -2, -2, -2]] * 3, np.float32)

    found = probability_wrong(noise, scores, rows)

    assert found[2, 0] > 2 * found[1, 0]  # the same label and score, beside another label
    assert found[0, 1] > 2 * found[1, 1]  # missing where there is no label, and where there is one


def test_the_probabilities_of_wrong_values_add_up_to_their_number() -> None:
    logits, given, wrong = noisy(0.1, 0.05)

    probability = probability_wrong(fit_label_noise(logits, given), logits, given)

    assert probability[given == 1].sum() == pytest.approx(wrong[given == 1].sum(), rel=0.25)
    assert probability[given == 0].sum() == pytest.approx(wrong[given == 0].sum(), rel=0.25)


def test_where_labels_were_only_dropped_no_given_label_is_suspected_before_them() -> None:
    logits, given, wrong = noisy(0.0, 0.15)

    probability = probability_wrong(fit_label_noise(logits, given), logits, given)

    first = np.argsort(-probability.ravel())[: int(wrong.sum())]
    assert (given.ravel()[first] == 0).mean() > 0.98


def test_unknown_cells_change_nothing_and_say_how_likely_the_label_is() -> None:
    logits, given, _ = noisy(0.1, 0.1)
    more = np.concatenate([logits, np.full((500, 3), 9, np.float32)])
    partial = np.concatenate([given, np.full((500, 3), np.nan, np.float32)])

    alone, beside = fit_label_noise(logits, given), fit_label_noise(more, partial)
    probability = probability_wrong(beside, more, partial)[len(logits) :]

    np.testing.assert_array_equal(beside.added, alone.added)
    assert probability.min() > 0.99


def test_rows_of_the_same_words_that_contradict_make_a_value_suspicious() -> None:
    logits, given, _ = noisy(0.1, 0.1)
    noise = fit_label_noise(logits, given)
    votes = np.zeros(logits.shape)
    votes[0] = noise.vote(1 - given[0], given[0]) * 3

    before = probability_wrong(noise, logits, given)[0]
    after = probability_wrong(noise, logits, given, votes)[0]

    assert (after > before).all()


def test_labels_without_both_values_are_no_reason_to_fail() -> None:
    logits, given, _ = noisy(0.1, 0.1, num_rows=50)
    given[:, 0], given[:, 1] = 0, np.nan

    noise = fit_label_noise(logits, given)

    assert np.isfinite(probability_wrong(noise, logits, given)).all()
    assert np.isfinite(fit_label_noise(logits[:, :1], given[:, :1]).added).all()
    assert confident_joint(logits[:, 0], given[:, 0]) == (0, 0)


@pytest.mark.parity
@pytest.mark.parametrize("rates", [(0.05, 0.05), (0.0, 0.1), (0.2, 0.3)])
def test_counts_of_confident_learning_equal_those_of_cleanlab(rates: tuple[float, float]) -> None:
    count = importlib.import_module("cleanlab.count")
    logits, given, _ = noisy(*rates, num_labels=1)
    labels, positive = given[:, 0].astype(int), sigmoid(logits[:, 0], np.float64)

    theirs = count.compute_confident_joint(labels, np.stack([1 - positive, positive], axis=1))

    ours = confident_joint(logits[:, 0], given[:, 0])
    assert ours == pytest.approx((theirs[1][0], theirs[0][1]), abs=1)


@pytest.mark.parity
def test_more_wrong_values_are_found_first_than_by_the_scores_of_cleanlab() -> None:
    rank = importlib.import_module("cleanlab.multilabel_classification.rank")
    metrics = importlib.import_module("sklearn.metrics")
    logits, given, wrong = noisy(0.0, 0.1, num_rows=1000)
    labels = [np.flatnonzero(row).tolist() for row in given]
    theirs = 1 - rank.get_label_quality_scores_per_class(labels, sigmoid(logits, np.float64))

    ours = probability_wrong(fit_label_noise(logits, given), logits, given)

    found = [
        metrics.average_precision_score(wrong.ravel(), each.ravel()) for each in (ours, theirs)
    ]
    assert found[0] > 1.2 * found[1]
