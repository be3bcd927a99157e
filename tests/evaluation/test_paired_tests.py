"""Differences of two models: paired intervals, permutation tests, Holm, what could be seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binomtest, norm, t

from multihot.decision.counts import Counts
from multihot.evaluation.paired_tests import (
    Difference,
    Differences,
    area_difference,
    student_quantile,
)

Array = npt.NDArray[np.float32]


def models(num_rows: int, gain: float, seed: int = 0) -> tuple[Array, list[Array]]:
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_rows, 3)) < [0.5, 0.3, 0.2]).astype(np.float32)
    shared = 0.5 * generator.random(truth.shape)
    scores = [
        (shared + (0.3 + plus) * truth + 0.2 * generator.random(truth.shape)).astype(np.float32)
        for plus in (gain, 0.0)
    ]
    return truth, [np.clip(one, 0, 1) for one in scores]


def compared(
    truth: Array, scores: list[Array], chunk_rows: int = 10_000
) -> tuple[dict[str, Difference], list[Difference]]:
    found = Differences(len(truth), truth.shape[1])
    for start in range(0, len(truth), chunk_rows):
        rows = slice(start, start + chunk_rows)
        some = [one[rows] for one in scores]
        found.update(truth[rows], [one > 0.5 for one in some], some)
    return found.result()


def counted(truth: Array, scores: Array) -> dict[str, float]:
    counts = Counts(truth.shape[1])
    counts.update(truth, scores > 0.5)
    names = ("jaccard", "micro_f1", "macro_f1", "subset_accuracy")
    return {name: counts.metrics()[name] or 0.0 for name in names}


def test_the_interval_is_that_of_the_ordinary_paired_bootstrap() -> None:
    truth, scores = models(400, 0.05)
    metrics, _ = compared(truth, scores)
    generator, drawn = np.random.default_rng(1), []
    for _ in range(1000):
        chosen = generator.integers(0, 400, 400)
        one, other = (counted(truth[chosen], each[chosen]) for each in scores)
        drawn.append({name: value - other[name] for name, value in one.items()})

    one, other = (counted(truth, each) for each in scores)
    for name, value in one.items():
        found = metrics[name]
        assert found.first == pytest.approx(value)
        assert found.difference == pytest.approx(value - other[name])
        low, high = np.quantile([each[name] for each in drawn], [0.025, 0.975])
        assert [found.low, found.high] == pytest.approx([low, high], abs=0.12 * (high - low))


def test_pairing_takes_out_what_both_find_hard() -> None:
    first = (np.random.default_rng(0).random((500, 1)) < 0.5).astype(np.float32)
    second = first.copy()
    second[np.flatnonzero(first)[:5]] = 0  # half of the rows are hard for both
    found = compared(np.ones((500, 1), np.float32), [first, second])[0]["subset_accuracy"]

    assert found.difference == pytest.approx(0.01)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low < 0.02  # unpaired: about 0.12


def test_rows_without_a_known_cell_are_left_out() -> None:
    truth, scores = models(20, 0.1)
    more = np.concatenate([truth, np.full((5, 3), np.nan, np.float32)])
    found = Differences(20, 3)
    wider = [np.concatenate([one, one[:5]]) for one in scores]
    found.update(more, [one > 0.5 for one in wider], wider)

    assert found.result() == compared(truth, scores)


def test_without_rows_there_is_no_difference() -> None:
    nothing = np.zeros((0, 2), np.float32)
    metrics, labels = compared(nothing, [nothing, nothing])

    assert {*metrics.values(), *labels} == {Difference(None, None)}


def test_swapping_answers_is_the_sign_test_when_rows_are_right_or_wrong() -> None:
    truth = np.ones((60, 1), np.float32)
    first, second = np.ones((60, 1), np.float32), np.ones((60, 1), np.float32)
    first[:5], second[5:17] = 0, 0  # 5 rows speak for the second model, 12 for the first
    metrics, _ = compared(truth, [first, second])

    expected = binomtest(5, 17).pvalue
    assert metrics["subset_accuracy"].difference == pytest.approx(7 / 60)
    assert metrics["subset_accuracy"].p_value == pytest.approx(expected, abs=0.02)


def test_chunks_make_no_difference_to_the_last_bit() -> None:
    truth, scores = models(2100, 0.05)

    assert compared(truth, scores, 1) == compared(truth, scores, 333) == compared(truth, scores)


def test_the_models_turned_round_are_the_same_turned_round() -> None:
    truth, scores = models(300, 0.03)
    one, other = compared(truth, scores)[0], compared(truth, scores[::-1])[0]

    for name, found in one.items():
        assert found.difference == pytest.approx(-(other[name].difference or 0.0))
        assert found.p_value == other[name].p_value
        assert found.low == pytest.approx(-(other[name].high or 0.0), abs=1e-6)


def test_a_model_does_not_differ_from_itself() -> None:
    truth, scores = models(200, 0.0)
    metrics, labels = compared(truth, [scores[0], scores[0]])

    for found in [*metrics.values(), *labels]:
        assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)
        assert found.rows_needed(0.005, 200) is None


@pytest.mark.slow
def test_p_values_are_even_when_there_is_no_difference() -> None:
    found = []
    for seed in range(60):
        truth, scores = models(80, 0.0, seed)
        found.append(compared(truth, scores)[0]["micro_f1"].p_value or 0.0)

    assert np.mean(found) == pytest.approx(0.5, abs=0.15)
    assert np.mean(np.array(found) < 0.05) < 0.15


def test_what_could_be_seen_shrinks_with_the_root_of_the_rows() -> None:
    found = Difference(0.6, 0.5, 0.1, 0.08, 0.12, 0.01, standard_error=0.01)

    assert found.visible == pytest.approx(0.01 * (norm.ppf(0.975) + norm.ppf(0.8)))
    assert found.rows_needed(0.005, 1000) == pytest.approx(
        1000 * (found.visible / 0.005) ** 2, abs=1
    )
    assert Difference(None, 0.5).visible is Difference(None, 0.5).rows_needed(0.1, 5) is None


def test_a_label_that_is_undefined_for_one_model_has_no_difference() -> None:
    truth = np.zeros((4, 1), np.float32)
    _, (label,) = compared(truth, [np.zeros((4, 1), np.float32), np.ones((4, 1), np.float32)])

    assert label == Difference(None, 0.0)


def test_areas_follow_the_normal_law() -> None:
    blocks = [np.array([0.01, -0.02]), np.array([0.02])]
    found = area_difference(0.9, 0.8, 0.1, blocks, 3)

    error = np.sqrt(0.0009 * 3 / 2)
    assert found.standard_error == pytest.approx(error)
    assert found.low == pytest.approx(0.1 - 1.959964 * error)
    assert found.p_value == pytest.approx(2 * norm.sf(0.1 / error))
    assert area_difference(0.9, 0.9, 0.0, [np.zeros(3)], 3).p_value == 1
    assert area_difference(0.9, 0.8, 0.1, [], 3) == Difference(0.9, 0.8, pytest.approx(0.1))
    assert area_difference(None, 0.8, 0.1, [], 3) == Difference(None, 0.8)


def test_an_area_whose_influences_are_of_other_ranks_has_no_interval() -> None:
    alone = Difference(0.9, 0.8, pytest.approx(0.1))

    assert area_difference(0.9, 0.8, 0.0, [np.zeros(3)], 3) == alone
    assert area_difference(0.9, 0.8, 0.1, [np.zeros(3)], 3) != alone


@pytest.mark.parametrize("degrees_of_freedom", [1, 1.5, 2, 3, 11, 57.3, 199, 200, 1000, 10**7])
def test_students_quantile_is_that_of_scipy(degrees_of_freedom: float) -> None:
    expected = t.ppf(0.975, degrees_of_freedom)

    assert student_quantile(degrees_of_freedom) == pytest.approx(expected, rel=1e-11)


def test_the_interval_of_a_rare_label_is_that_of_student() -> None:
    truth = np.zeros((200, 1), np.float32)
    truth[:12] = 1
    first, second = truth.copy(), truth.copy()
    first[:3], second[2:7] = 0, 0
    _, (label,) = compared(truth, [first, second])

    assert label.standard_error is not None
    assert label.high is not None
    assert label.difference is not None
    half = t.ppf(0.975, 11) * np.sqrt(12 / 11) * label.standard_error
    assert label.high - label.difference == pytest.approx(half)
