"""Decisions of labels that imply others: closed, fitted on closed scores, stored and read."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from multihot.core.hierarchy import Hierarchy
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.limits import parse_limit
from multihot.decision.cross_fit import with_report
from multihot.decision.decision import Decision
from multihot.decision.fitting import DecisionOptions, FittingRows, at_half, fit
from multihot.decision.former import with_former_thresholds
from multihot.decision.limit_fitting import with_limits
from multihot.errors import ArtifactError, OptionError

NAMES = ("b", "a/b", "a", "a/b/c", "d")
SPACE = LabelSpace(NAMES, Hierarchy(((), (0, 2), (), (1,), ())))
SCHEMA = json.loads(
    resources.files("multihot").joinpath("schemas/thresholds.schema.json").read_text("utf-8")
)


def rows(num_rows: int = 300, seed: int = 0) -> FittingRows:
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_rows, 5)) < 0.2).astype(np.float32)
    logits = (generator.normal(size=truth.shape) + 3 * truth - 2).astype(np.float32)
    labels = LabelMatrix(LabelSpace(NAMES), truth).aligned_to(SPACE)
    return FittingRows.of_labels(SPACE, logits, labels, [f"text {n}" for n in range(num_rows)])


def is_closed(decided: np.ndarray) -> bool:
    assert SPACE.hierarchy is not None
    return bool((SPACE.hierarchy.closed_decisions(decided) == decided).all())


@pytest.mark.parametrize(
    ("thresholds", "goal", "rule"),
    [
        ("global", "micro_f1", "at_least_one"),
        ("per_label", "macro_f1", "allow"),
        ("shrunk", "jaccard", "abstain"),
        ("by_frequency=0.5", "macro_f1", "allow"),
        (0.7, "micro_f1", "at_least_one"),
        ("global", "top_k=2", "allow"),
        ("per_label", "recall>=0.7", "allow"),
    ],
)
@pytest.mark.parametrize("calibration", ["none", "platt"])
def test_every_decision_is_closed(
    thresholds: str | float, goal: str, rule: str, calibration: str
) -> None:
    some = rows()
    options = DecisionOptions(goal, thresholds, calibration, rule)
    decision = with_report(fit(SPACE, some, options, source="x").decision, some, options)
    scores = decision.scores(some.logits)
    decided = decision.decide(scores)

    assert is_closed(decided)
    assert (scores[:, 0] >= scores[:, 1]).all()
    assert (scores[:, 1] >= scores[:, 3]).all()
    if goal == "top_k=2":
        assert (decided.sum(axis=1) == 2).all()
    if decision.fitted_on is not None and decision.kind != "top_k":
        reached = decision.goal_value(scores, some.truth)
        assert decision.fitted_on.goal_value == reached
        half = at_half(decision).goal_value(scores, some.truth)
        assert reached is not None
        assert half is not None
        assert reached >= half


@pytest.mark.parametrize("goal", ["macro_f1", "micro_f1", "jaccard"])
def test_a_threshold_per_label_is_not_worse_than_one_for_all(goal: str) -> None:
    for seed in range(5):
        some = rows(60, seed)
        values = [
            fit(SPACE, some, DecisionOptions(goal, kind), source="x").decision.fitted_on
            for kind in ("per_label", "global")
        ]
        own, alike = (each.goal_value for each in values if each is not None)
        assert own is not None
        assert alike is not None
        assert own >= alike


def test_the_hierarchy_is_stored_by_name_and_read_again() -> None:
    decision = Decision(SPACE, (0.5,) * 5, "micro_f1", "fixed")
    content = json.loads(json.dumps(decision.to_json()))
    part = {"type": "object", "properties": {"hierarchy": SCHEMA["properties"]["hierarchy"]}}

    Draft202012Validator(part).validate(content)
    assert content["hierarchy"] == {"a/b": ["b", "a"], "a/b/c": ["a/b"]}
    read = Decision.from_json(content)
    assert read.space.hierarchy == SPACE.hierarchy
    del content["hierarchy"]
    assert Decision.from_json(content).space.hierarchy is None
    assert "hierarchy" not in replace(decision, space=LabelSpace(NAMES)).to_json()


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"a": "b"}, "'?hierarchy.a'? is 'b'; expected a list"),
        ({"a": ["x"]}, "'hierarchy' is invalid. The hierarchy names 'x'"),
        ({"a": ["b"], "b": ["a"]}, "goes in a circle: 'a' -> 'b' -> 'a'"),
        ([], "'hierarchy' is .* expected a value of type dict"),
    ],
)
def test_a_damaged_hierarchy_is_refused(stored: object, message: str) -> None:
    content = Decision(SPACE, (0.5,) * 5, "micro_f1", "fixed").to_json()

    with pytest.raises(ArtifactError, match=message):
        Decision.from_json({**content, "hierarchy": stored})


def test_limits_hold_on_closed_decisions() -> None:
    some = rows(2000)
    fitted = fit(SPACE, some, DecisionOptions("micro_f1", "per_label"), source="x").decision
    limits = [parse_limit(text) for text in ("recall[a]>=0.9@mean", "recall[a/b/c]>=0.95@mean")]

    kept = with_limits(fitted, some, limits).decision

    decided = kept.decide(kept.scores(some.logits))
    for name, least in (("a", 0.9), ("a/b/c", 0.95)):
        column = SPACE.index(name)
        assert decided[some.truth[:, column] == 1, column].mean() >= least
    with pytest.raises(OptionError, match="other labels imply 'a', so"):
        with_limits(fitted, some, [parse_limit("precision[a]>=0.5@0.9")])


def test_former_thresholds_are_carried_over_by_each_label_alone() -> None:
    before = Decision(SPACE, (0.3, 0.6, 0.4, 0.9, 0.5), "micro_f1", "per_label")
    some = rows()
    options = DecisionOptions("micro_f1", "per_label", "platt")
    decision = fit(SPACE, some, options, source="x").decision

    kept = with_former_thresholds(decision, before, np.arange(5))

    own = before.own_scores(some.logits) >= np.array(before.thresholds)
    np.testing.assert_array_equal(kept.own_scores(some.logits) >= np.array(kept.thresholds), own)
