"""Thresholds: brute force as the oracle, on small inputs and for every goal."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multihot.core.goals import parse_goal
from multihot.core.options import GOALS
from multihot.decision.objective import goal_value
from multihot.decision.thresholds import fit_global, fit_per_label
from multihot.errors import LabelError, OptionError

ALL_GOALS = (*GOALS, "precision>=0.6", "precision>=1", "recall>=0.5", "cost=1:3", "cost=4:0.5")

Array = npt.NDArray[Any]
LAWS = settings(derandomize=True, deadline=None, database=None, max_examples=80)
EQUAL = 1e-12
UNIT = st.floats(0, 1, width=32)
COARSE = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


@st.composite
def scores_and_truth(draw: st.DrawFn) -> tuple[Array, Array]:
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 3)))
    scores = draw(arrays(np.float32, shape, elements=draw(st.sampled_from([UNIT, COARSE]))))
    return scores, draw(
        arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.0, 1.0, np.nan]))
    )


def every_outcome(scores: Array) -> Array:
    """One threshold for every different set of decisions that a threshold above 0 can make."""
    return np.unique(np.append(scores[scores > 0].astype(np.float64), [0.5, 1.0]))


def brute_force(scores: Array, truth: Array, goal: str) -> float | None:
    values = [goal_value(scores, truth, value, goal) for value in every_outcome(scores)]
    return max((value for value in values if value is not None), default=None)


def random_case(
    generator: np.random.Generator, num_rows: int, num_labels: int
) -> tuple[Array, Array]:
    truth = (generator.random((num_rows, num_labels)) < 0.1).astype(np.float32)
    logits = generator.normal(size=truth.shape) * 1.5 - 2 + 2.5 * truth
    return (1 / (1 + np.exp(-logits))).astype(np.float32), truth


@LAWS
@given(scores_and_truth(), st.sampled_from(ALL_GOALS))
def test_no_single_threshold_is_better_than_the_fitted_one(
    case: tuple[Array, Array], goal: str
) -> None:
    scores, truth = case

    threshold = fit_global(scores, truth, goal)

    assert 0 < threshold <= 1
    if (truth == 1).any():
        reached = goal_value(scores, truth, threshold, goal)
        assert reached == pytest.approx(brute_force(scores, truth, goal), abs=EQUAL)


@LAWS
@given(scores_and_truth(), st.sampled_from(ALL_GOALS))
def test_a_half_wins_ties_and_otherwise_the_optimum_nearest_to_it(
    case: tuple[Array, Array], goal: str
) -> None:
    scores, truth = case
    threshold = fit_global(scores, truth, goal)
    best = brute_force(scores, truth, goal)

    def is_optimal(value: float) -> bool:
        reached = goal_value(scores, truth, value, goal)
        return reached is not None and reached >= best - EQUAL

    if not (truth == 1).any() or is_optimal(0.5):
        assert threshold == 0.5
    else:
        # No other outcome that is optimal lies between 0.5 and the fitted threshold.
        low, high = sorted((threshold, 0.5))
        known = scores[~np.isnan(truth)]
        outcomes = every_outcome(known)
        for value in outcomes[(outcomes > low) & (outcomes < high)]:
            is_other = not np.array_equal(known >= value, known >= threshold)
            assert not (is_other and is_optimal(value))


@LAWS
@given(scores_and_truth(), st.sampled_from(ALL_GOALS))
def test_the_decisions_are_the_same_in_single_and_double_precision(
    case: tuple[Array, Array], goal: str
) -> None:
    scores, truth = case

    for threshold in {fit_global(scores, truth, goal), *fit_per_label(scores, truth, goal)}:
        assert np.array_equal(
            scores >= np.float32(threshold), scores.astype(np.float64) >= threshold
        )


@pytest.mark.parametrize("upper", [1.0, 0.25, np.float32(1e-30), 0.7])
def test_scores_that_every_backend_ranks_alike_are_told_apart(upper: float) -> None:
    upper = np.float32(upper)
    scores = np.array([[upper], [upper * (1 - np.float32(1e-6))]])
    truth = np.array([[1], [0]], dtype=np.float32)

    threshold = fit_global(scores, truth, "micro_f1")

    assert (scores >= threshold).ravel().tolist() == [True, False]


@pytest.mark.parametrize("fit", [fit_global, fit_per_label])
def test_no_threshold_lies_between_scores_that_backends_may_swap(
    fit: Callable[..., float | Array],
) -> None:
    near = np.nextafter(np.float32(0.25), np.float32(0))
    scores = np.array([[0.25], [near], [0.1]], dtype=np.float32)
    truth = np.array([[1], [0], [0]], dtype=np.float32)

    (threshold,) = np.atleast_1d(fit(scores, truth, "macro_f1"))

    assert 0.1 < threshold < near


@LAWS
@given(scores_and_truth(), st.sampled_from(ALL_GOALS))
def test_thresholds_per_label_are_never_worse_than_the_global_one(
    case: tuple[Array, Array], goal: str
) -> None:
    scores, truth = case
    if not (truth == 1).any():
        return

    thresholds = fit_per_label(scores, truth, goal)

    # A least precision is then asked of every label.
    measured = parse_goal(goal).of_each_label()
    at_half = goal_value(scores, truth, 0.5, measured)
    at_global = goal_value(scores, truth, fit_global(scores, truth, goal), measured)
    reached = goal_value(scores, truth, thresholds, measured)
    assert reached >= max(value for value in (at_half, at_global) if value is not None) - EQUAL


@pytest.mark.parametrize("goal", ["micro_f1", "jaccard", "subset_accuracy"])
def test_stopping_the_search_early_only_gives_up_some_of_the_gain(goal: str) -> None:
    scores, truth = random_case(np.random.default_rng(2), 300, 6)
    finished = goal_value(scores, truth, fit_per_label(scores, truth, goal), goal)
    at_global = goal_value(scores, truth, fit_global(scores, truth, goal), goal)

    after_one_round = fit_per_label(scores, truth, goal, max_rounds=1)

    stopped = goal_value(scores, truth, after_one_round, goal)
    assert at_global < stopped <= finished + EQUAL


@LAWS
@given(scores_and_truth())
def test_for_macro_f1_each_label_with_positives_reaches_its_own_optimum(
    case: tuple[Array, Array],
) -> None:
    scores, truth = case

    thresholds = fit_per_label(scores, truth, "macro_f1")

    for column in np.flatnonzero((truth == 1).any(axis=0)):
        alone = scores[:, [column]], truth[:, [column]]
        reached = goal_value(*alone, thresholds[column], "macro_f1")
        assert reached == pytest.approx(brute_force(*alone, "macro_f1"), abs=EQUAL)


@LAWS
@given(scores_and_truth(), st.sampled_from(("micro_f1", "jaccard", "subset_accuracy")))
def test_no_change_of_one_label_alone_improves_the_thresholds_per_label(
    case: tuple[Array, Array], goal: str
) -> None:
    scores, truth = case
    if not (truth == 1).any():
        return
    thresholds = fit_per_label(scores, truth, goal)
    reached = goal_value(scores, truth, thresholds, goal)

    for column in np.flatnonzero((truth == 1).any(axis=0)):
        for value in every_outcome(scores[:, column]):
            changed = thresholds.copy()
            changed[column] = value
            assert goal_value(scores, truth, changed, goal) <= reached + EQUAL


@LAWS
@given(scores_and_truth(), st.sampled_from(ALL_GOALS), st.randoms(use_true_random=False))
def test_the_order_of_rows_and_labels_does_not_matter(
    case: tuple[Array, Array], goal: str, shuffler: random.Random
) -> None:
    scores, truth = case
    rows = shuffler.sample(range(len(scores)), len(scores))
    columns = shuffler.sample(range(scores.shape[1]), scores.shape[1])

    permuted = fit_global(scores[rows][:, columns], truth[rows][:, columns], goal)

    assert fit_global(scores, truth, goal) == permuted


@pytest.mark.parametrize("goal", ALL_GOALS)
def test_the_order_of_rows_and_labels_does_not_matter_to_thresholds_per_label(goal: str) -> None:
    scores, truth = random_case(np.random.default_rng(4), 200, 7)
    generator = np.random.default_rng(5)
    rows, columns = generator.permutation(200), generator.permutation(7)

    permuted = fit_per_label(scores[rows][:, columns], truth[rows][:, columns], goal)

    assert np.array_equal(permuted, fit_per_label(scores, truth, goal)[columns])


@LAWS
@given(scores_and_truth(), st.tuples(st.integers(0, 4), st.integers(1, 4)))
def test_costs_of_single_labels_give_every_label_its_own_optimum(
    case: tuple[Array, Array], pair: tuple[int, int]
) -> None:
    scores, truth = case
    names = [f"label {column}" for column in range(scores.shape[1])]
    table = {name: pair for name in names[1:]}
    goal = parse_goal("cost=2:1").with_costs(table, names)

    one, many = fit_global(scores, truth, goal), fit_per_label(scores, truth, goal)

    if (truth == 1).any():
        best = max(goal_value(scores, truth, value, goal) for value in every_outcome(scores))
        assert goal_value(scores, truth, one, goal) == pytest.approx(best, abs=1e-9)
    for column in np.flatnonzero((truth == 1).any(axis=0)):
        alone, own = (scores[:, [column]], truth[:, [column]]), goal.of_label(int(column))
        best = max(goal_value(*alone, value, own) for value in every_outcome(alone[0]))
        assert goal_value(*alone, many[column], own) == pytest.approx(best, abs=1e-9)


def test_an_expensive_miss_lowers_the_threshold() -> None:
    scores, truth = random_case(np.random.default_rng(0), 2000, 1)

    thresholds = [fit_global(scores, truth, f"cost=1:{cost}") for cost in (0.2, 1, 5)]

    # Of calibrated scores it would be FP / (FP + FN).
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[0] - thresholds[2] > 0.2


def test_a_least_precision_is_met_with_the_largest_recall_and_else_approached() -> None:
    scores = np.array([[0.9], [0.8], [0.7], [0.6]], np.float32)
    truth = np.array([[1], [0], [1], [1]], np.float32)

    assert fit_global(scores, truth, "precision>=0.75") == 0.5
    assert goal_value(scores, truth, 0.5, "precision>=0.75") == 1
    assert 0.8 < fit_global(scores, truth, "precision>=0.8") <= 0.9
    # The highest score is no positive: 3 of 4 is the best there is.
    turned = np.array([[0], [1], [1], [1]], np.float32)
    assert fit_global(scores, turned, "precision>=0.9") == 0.5
    assert goal_value(scores, turned, 0.5, "precision>=0.9") == pytest.approx(-0.15)
    assert goal_value(scores, truth, 1.0, "precision>=0.75") == -0.75


def test_ranks_have_no_thresholds() -> None:
    with pytest.raises(OptionError, match="top_k=2 takes labels by rank; there are no thresholds"):
        fit_global(np.zeros((1, 1), np.float32), np.ones((1, 1), np.float32), "top_k=2")


@LAWS
@given(scores_and_truth(), st.sampled_from(ALL_GOALS), UNIT)
def test_the_scores_of_unknown_cells_do_not_matter(
    case: tuple[Array, Array], goal: str, other: float
) -> None:
    scores, truth = case
    changed = np.where(np.isnan(truth), np.float32(other), scores)

    assert fit_global(scores, truth, goal) == fit_global(changed, truth, goal)
    assert np.array_equal(fit_per_label(scores, truth, goal), fit_per_label(changed, truth, goal))


@pytest.mark.parametrize("goal", ALL_GOALS)
@pytest.mark.parametrize("empty", [0.0, np.nan])
def test_without_any_positive_the_thresholds_stay_at_a_half(goal: str, empty: float) -> None:
    scores, truth = np.full((3, 2), 0.9, np.float32), np.full((3, 2), empty, np.float32)

    assert fit_global(scores, truth, goal) == 0.5
    assert fit_per_label(scores, truth, goal).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("goal", ALL_GOALS)
def test_a_label_without_positives_keeps_the_global_threshold(goal: str) -> None:
    scores = np.array([[0.3, 0.2], [0.1, 0.1], [0.05, 0.25]], np.float32)
    truth = np.array([[1, 0], [1, 0], [0, 0]], np.float32)

    thresholds = fit_per_label(scores, truth, goal)

    expected = 0.5 if goal.startswith("cost") else fit_global(scores, truth, goal)
    assert thresholds[1] == expected  # where mistakes cost, saying nothing costs least


def test_where_mistakes_cost_a_label_that_nobody_has_is_not_given() -> None:
    scores = np.array([[0.9, 0.8], [0.2, 0.7], [0.6, 0.1]], np.float32)
    truth = np.array([[1, 0], [0, 0], [1, np.nan]], np.float32)

    thresholds = fit_per_label(scores, truth, "cost=1:10")

    assert goal_value(scores, truth, thresholds, "cost=1:10") == 0.0


def test_a_label_that_cannot_be_precise_is_not_given() -> None:
    generator = np.random.default_rng(0)
    sure, guessed = (generator.random(300) < share for share in (0.4, 0.05))
    scores = np.stack([0.2 + 0.6 * sure, generator.random(300)], axis=1).astype(np.float32)
    truth = np.stack([sure, guessed], axis=1).astype(np.float32)

    thresholds = fit_per_label(scores, truth, "precision>=0.9")

    given = scores >= thresholds
    assert given[:, 0].tolist() == sure.tolist()
    assert not given[:, 1].any()


def test_the_goal_decides_the_threshold() -> None:
    generator = np.random.default_rng(5)
    scores, truth = random_case(generator, 400, 6)
    fitted = {goal: fit_global(scores, truth, goal) for goal in GOALS}

    for goal in GOALS:
        values = {other: goal_value(scores, truth, fitted[other], goal) for other in GOALS}
        assert values[goal] >= max(values.values()) - EQUAL
    assert fitted["subset_accuracy"] != fitted["macro_f1"]


@pytest.mark.parametrize("goal", ALL_GOALS)
def test_five_thousand_rows_of_28_labels_take_few_rounds(goal: str) -> None:
    scores, truth = random_case(np.random.default_rng(0), 5000, 28)

    finished = fit_per_label(scores, truth, goal)

    assert fit_per_label(scores, truth, goal, max_rounds=8).tolist() == finished.tolist()


def test_wrong_arguments_are_named() -> None:
    scores, truth = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)

    with pytest.raises(OptionError, match="'goal' is 'f1'; expected one of micro_f1, macro_f1"):
        fit_global(scores, truth, "f1")
    with pytest.raises(LabelError, match=r"scores have shape \(2, 2\) and the truth \(2, 1\)"):
        fit_global(scores, truth[:, :1], "jaccard")
    with pytest.raises(LabelError, match=r"scores have shape \(2,\).*expected \(rows, labels\)"):
        fit_per_label(scores[0], truth[0], "jaccard")
    with pytest.raises(LabelError, match="pass probabilities, not logits"):
        fit_global(scores + 2, truth, "jaccard")
    with pytest.raises(LabelError, match="A score is not between 0 and 1"):
        goal_value(scores * np.nan, truth, 0.5, "jaccard")
