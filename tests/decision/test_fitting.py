"""Fitting a decision: shrinkage, rules for empty sets, ranks, gains on rows that did not fit it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multihot.core.goals import parse_goal
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.decision.cross_fit import with_report
from multihot.decision.decision import Decision
from multihot.decision.fitting import DecisionOptions, FittingRows, at_half, fit, hashed_folds
from multihot.decision.objective import decided_value, goal_value
from multihot.decision.regularized_thresholds import STRENGTHS, blend, fit_shrunk
from multihot.decision.scored_cells import ScoredCells
from multihot.decision.thresholds import fit_global, fit_per_label
from multihot.errors import OptionError

Array = npt.NDArray[Any]
LAWS = settings(derandomize=True, deadline=None, database=None, max_examples=30)
EQUAL = 1e-12
SPACE = LabelSpace(("joy", "anger", "fear", "grief"))
SHARES = (0.5, 0.3, 0.15, 0.04)
FITTED_GOALS = (
    "micro_f1",
    "macro_f1",
    "jaccard",
    "subset_accuracy",
    "precision>=0.7",
    "recall>=0.6",
    "cost=1:4",
)


def rows(seed: int = 0, num_rows: int = 120) -> FittingRows:
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_rows, 4)) < SHARES).astype(np.float32)
    logits = (generator.normal(size=truth.shape) * 1.5 - 2 + 2.5 * truth).astype(np.float32)
    truth[generator.random(truth.shape) < 0.05] = np.nan
    texts = [f"text {n} of {seed}" for n in range(num_rows)]
    return FittingRows.of_labels(SPACE, logits, LabelMatrix(SPACE, truth), texts)


@LAWS
@given(
    st.integers(0, 10**6),
    st.sampled_from(FITTED_GOALS),
    st.sampled_from(["global", "per_label", "shrunk"]),
    st.sampled_from(["none", "temperature", "platt", "beta", "isotonic"]),
    st.sampled_from(["allow", "at_least_one", "abstain"]),
)
def test_a_fitted_decision_never_hurts_its_goal_on_the_rows_that_fitted_it(
    seed: int, goal: str, thresholds: str, calibration: str, rule: str
) -> None:
    some = rows(seed, 60)

    decision = fit(SPACE, some, DecisionOptions(goal, thresholds, calibration, rule)).decision

    scores = decision.scores(some.logits)
    reached = decision.goal_value(scores, some.truth)
    assert reached >= at_half(decision).goal_value(scores, some.truth) - EQUAL


@LAWS
@given(st.integers(0, 10**6), st.sampled_from(FITTED_GOALS))
@pytest.mark.slow
def test_shrunk_thresholds_are_never_worse_than_both_ends(seed: int, goal: str) -> None:
    some = rows(seed, 60)
    scores, truth = Decision(SPACE, (0.5,) * 4, goal, "fixed").scores(some.logits), some.truth
    folds = hashed_folds(some.hashes, truth == 1, 5)
    measured = parse_goal(goal).of_each_label()

    def cross_fitted(strength: float) -> float:
        decided = np.zeros(scores.shape, np.bool_)
        for fold in range(5):
            part = scores[folds != fold], truth[folds != fold]
            own, common = fit_per_label(*part, goal), fit_global(*part, goal)
            support = (part[1] == 1).sum(axis=0)
            test_fold = folds == fold
            decided[test_fold] = scores[test_fold] >= blend(own, common, support, strength)
        return decided_value(decided, truth, measured)

    thresholds, strength = fit_shrunk(ScoredCells(scores, truth), measured, folds)

    common, own = fit_global(scores, truth, goal), fit_per_label(scores, truth, goal)
    reached = goal_value(scores, truth, thresholds, measured)
    assert reached >= goal_value(scores, truth, common, measured) - EQUAL
    assert cross_fitted(strength) >= max(cross_fitted(0), cross_fitted(math.inf)) - EQUAL
    low, high = np.minimum(own, common), np.maximum(own, common)
    assert ((low - 1e-6 <= thresholds) & (thresholds <= high + 1e-6)).all()


def test_support_decides_how_far_a_threshold_is_pulled() -> None:
    own = np.array([0.9, 0.9, 0.9])

    thresholds = blend(own, 0.5, np.array([0, 20, 10**9]), 20)

    assert thresholds[0] == 0.5
    assert thresholds[1] == pytest.approx(0.75, abs=1e-6)  # half way between logits 0 and ln 9
    assert thresholds[2] == pytest.approx(0.9, abs=1e-6)
    assert blend(own, 0.5, np.ones(3), 0).tolist() == own.tolist()
    assert blend(own, 0.5, np.ones(3), math.inf).tolist() == [0.5] * 3
    assert (STRENGTHS[0], STRENGTHS[-1]) == (0, math.inf)


@pytest.mark.parametrize("calibration", ["none", "platt", "isotonic"])
@pytest.mark.parametrize("thresholds", ["global", "per_label", "shrunk"])
@pytest.mark.parametrize("goal", ["jaccard", "precision>=0.7", "cost=1:4"])
def test_the_order_of_rows_and_labels_changes_nothing(
    goal: str, thresholds: str, calibration: str
) -> None:
    some, columns = rows(3), [2, 0, 3, 1]
    moved = some.take(np.random.default_rng(0).permutation(len(some)))
    moved = FittingRows(moved.logits[:, columns], moved.truth[:, columns], moved.hashes)
    space = LabelSpace(tuple(SPACE.names[column] for column in columns))
    options = DecisionOptions(goal, thresholds, calibration)

    one, other = fit(SPACE, some, options), fit(space, moved, options)

    again = dict(zip(space.names, other.decision.thresholds, strict=True))
    assert again == dict(zip(SPACE.names, one.decision.thresholds, strict=True))
    assert other.strength == one.strength


@pytest.mark.parametrize("thresholds", ["global", "per_label", "shrunk"])
def test_scores_of_unknown_cells_change_nothing(thresholds: str) -> None:
    some = rows(4)
    changed = replace(some, logits=np.where(np.isnan(some.truth), np.float32(9), some.logits))
    options = DecisionOptions("jaccard", thresholds, "platt")

    assert fit(SPACE, some, options) == fit(SPACE, changed, options)


def test_soft_labels_count_as_what_they_decide_for() -> None:
    some = rows(5)
    soft = LabelMatrix(SPACE, np.where(some.truth == 1, np.float32(0.7), some.truth))

    found = FittingRows.of_labels(SPACE, some.logits, soft, [""] * len(some))

    assert np.array_equal(found.truth, some.truth, equal_nan=True)


def test_at_least_one_gives_the_label_nearest_to_its_threshold_by_logits() -> None:
    decision = Decision(
        LabelSpace(("a", "b")), (0.9, 0.2), "micro_f1", "fixed", empty_set_rule="at_least_one"
    )
    scores = np.array([[0.85, 0.19], [0.5, 0.19], [0.95, 0.1], [0.0, 0.0]], np.float32)

    # ln(.85/.15) - ln(9) = -0.46 and ln(.19/.81) - ln(.25) = -0.06: closer by a factor of odds.
    assert decision.names(scores) == [["b"], ["b"], ["a"], ["b"]]
    certain = replace(decision, thresholds=(1.0, 1.0))
    assert certain.names(scores[:1]) == [["a"]]
    allowing = replace(decision, empty_set_rule="allow")
    assert allowing.names(scores) == [[], [], ["a"], []]
    assert replace(decision, empty_set_rule="abstain").names(scores) == allowing.names(scores)


def test_top_k_takes_the_highest_scores_and_of_equals_the_first() -> None:
    decision = fit(SPACE, rows(6), DecisionOptions("top_k=2"), source="").decision

    assert (decision.kind, decision.thresholds) == ("top_k", (0.0,) * 4)
    scores = np.array([[0.1, 0.3, 0.3, 0.3], [0.9, 0.0, 0.0, 0.0]], np.float32)
    assert decision.names(scores) == [["anger", "fear"], ["joy", "anger"]]
    assert decision.fitted_on.goal_value is not None
    assert decision.with_threshold(0.3).names(scores) == [["anger", "fear", "grief"], ["joy"]]
    assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision
    many = replace(decision, goal="top_k=9")
    assert many.decide(scores).all()


def test_what_cannot_be_reached_is_said_with_the_labels() -> None:
    some = rows(7)
    some.logits[:, 1] *= -1

    def notes(goal: str, thresholds: str) -> tuple[str, ...]:
        return fit(SPACE, some, DecisionOptions(goal, thresholds)).notes

    assert notes("precision>=0.05", "per_label") == ()
    (note,) = notes("precision>=0.999", "per_label")
    assert (
        "No threshold reaches a precision of 0.999 in these labels; their threshold is above every score"
        in note
    )
    assert "anger" in note
    flat = replace(some, logits=np.zeros_like(some.logits))
    (note,) = fit(SPACE, flat, DecisionOptions("precision>=0.9")).notes
    assert "No threshold reaches a precision of 0.9 on these rows; the nearest reaches 0." in note


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        OptionError, match="'thresholds' is 'tuned'; expected global, per_label, sh"
    ):
        DecisionOptions("jaccard", "tuned")
    with pytest.raises(OptionError, match=r"takes labels by rank, and thresholds=0.5 is a number"):
        DecisionOptions("top_k=1", 0.5)
    with pytest.raises(OptionError, match="'calibration' is 'magic'; expected one of none, temp"):
        DecisionOptions("jaccard", "global", "magic")
    with pytest.raises(OptionError, match="'goal' is 'f1'; expected one of"):
        DecisionOptions("f1")


@pytest.mark.parametrize("thresholds", ["global", "per_label", "shrunk", 0.4])
@pytest.mark.parametrize("goal", ["jaccard", "cost=1:3"])
def test_json_keeps_calibration_costs_and_report(goal: str, thresholds: str | float) -> None:
    some = rows(8)
    costs = {"joy": (1.0, 9.0)} if goal.startswith("cost") else None
    options = DecisionOptions(goal, thresholds, "platt", "abstain", costs)
    decision = fit(SPACE, some, options, source="dev.csv").decision
    decision = with_report(decision, some, options)

    content = json.loads(json.dumps(decision.to_json(), allow_nan=False))

    again = Decision.from_json(content)
    assert again == decision
    assert again.fit_report is not None
    if costs:
        assert content["costs"] == {"joy": [1, 9], "anger": [1, 3], "fear": [1, 3], "grief": [1, 3]}
        assert again.parsed_goal().costs[:2] == ((1, 9), (1, 3))


def test_the_report_is_free_of_optimism_and_does_not_depend_on_the_order_of_rows() -> None:
    options = DecisionOptions("macro_f1", "per_label")

    def fitted(order: Array) -> Decision:
        some = rows(9, 200).take(order)
        decision = fit(SPACE, some, options, source="dev.csv").decision
        return with_report(decision, some, options, seed=1)

    decision = fitted(np.arange(200))
    report = decision.fit_report

    assert report is not None
    assert report.in_sample == decision.fitted_on.goal_value
    assert report.cross_fitted_at_half == decision.fitted_on.goal_value_at_half
    assert report.optimism > 0
    assert report.gain == report.cross_fitted - report.cross_fitted_at_half
    assert list(report.goals) == ["0.5", "micro_f1", "macro_f1", "jaccard", "subset_accuracy"]
    assert report.goals["macro_f1"]["macro_f1"] == report.cross_fitted
    # The label with the fewest rows has the least certain threshold.
    assert max(report.threshold_spread, key=report.threshold_spread.get) == "grief"
    assert fitted(np.random.default_rng(0).permutation(200)) == decision
    assert "Cross-fitted gain: " in str(report)
    assert "tuned for" in str(report)


@pytest.mark.slow
def test_noise_gains_nothing_on_rows_that_did_not_fit() -> None:
    gains, seeming = [], []
    for seed in range(6):
        noise = np.random.default_rng(seed).normal(size=(150, 4)).astype(np.float32)
        some = replace(rows(seed, 150), logits=noise)
        options = DecisionOptions("subset_accuracy", "per_label")
        decision = fit(SPACE, some, options, source="").decision
        report = with_report(decision, some, options).fit_report
        gains.append(report.cross_fitted)
        seeming.append(report.in_sample)

    assert np.mean(seeming) > np.mean(gains) + 0.01


@pytest.mark.parametrize("num_rows", [1, 9])
def test_few_rows_are_fitted_without_a_report(num_rows: int) -> None:
    some = rows(10, num_rows)
    some = replace(some, truth=np.where(np.isnan(some.truth), np.float32(1), some.truth))
    options = DecisionOptions("jaccard", "shrunk", "isotonic")

    decision = fit(SPACE, some, options, source="").decision

    assert decision.thresholds == (decision.thresholds[0],) * 4
    assert with_report(decision, some, options) == decision


def test_folds_deal_out_label_sets_and_keep_equal_rows_together() -> None:
    generator = np.random.default_rng(0)
    positive = generator.random((500, 4)) < SHARES
    hashes = generator.integers(0, 2**63, 500).astype(np.uint64)
    hashes[::10], positive[::10] = hashes[0], positive[0]

    folds = hashed_folds(hashes, positive, 5)
    order, columns = generator.permutation(500), [3, 1, 0, 2]

    assert np.array_equal(hashed_folds(hashes[order], positive[order][:, columns], 5), folds[order])
    assert len(set(folds[::10])) == 1
    alone = np.delete(np.arange(500), np.arange(10, 500, 10))
    shares = [positive[alone][folds[alone] == fold].mean(axis=0) for fold in range(5)]
    assert np.ptp(shares, axis=0).max() < 0.06
    assert not np.array_equal(hashed_folds(hashes, positive, 5, seed=1), folds)


def test_a_label_of_saturated_scores_can_be_silenced() -> None:
    truth = np.zeros((20, 2), np.float32)
    truth[:3, 0] = truth[::2, 1] = 1
    logits = np.where(truth == 1, 2.0, -2.0).astype(np.float32)
    logits[:, 0] = 40.0  # a score of 1 in float32, for rows with and without the label
    space = LabelSpace(("certain", "learnt"))
    fitted = fit(
        space,
        FittingRows(logits, truth, np.arange(20, dtype=np.uint64)),
        DecisionOptions("precision>=0.9", "per_label"),
    ).decision

    scores = fitted.scores(np.full((1, 2), np.inf, np.float32))
    stored = Decision.from_json(json.loads(json.dumps(fitted.to_json())))

    assert fitted.thresholds[0] == 1.0
    assert (scores < 1).all()
    assert fitted.decide(scores).tolist() == stored.decide(scores).tolist() == [[False, True]]
