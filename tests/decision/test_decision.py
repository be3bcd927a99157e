"""The decision: scores, labels, its JSON, the rows it was fitted on, and its messages."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import CALIBRATIONS, EMPTY_SET_RULES, GOALS
from multihot.decision.decision import KINDS, Decision, rows_fitted
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.decision.objective import goal_value
from multihot.decision.thresholds import fit_global, fit_per_label
from multihot.errors import ArtifactError, LabelError, NonFiniteError, OptionError

LAWS = settings(derandomize=True, deadline=None, database=None, max_examples=60)
Array = npt.NDArray[Any]
SPACE = LabelSpace(("joy", "anger", "vertrauen ü"))
NUMBERED = ("precision>=0.8", "recall>=0.5", "top_k=2", "cost=1:5")
TEXTS = [f"text {number}" for number in range(40)]
SCHEMA = json.loads(
    resources.files("multihot").joinpath("schemas/thresholds.schema.json").read_text("utf-8")
)


def rows(seed: int = 0) -> tuple[Array, LabelMatrix]:
    generator = np.random.default_rng(seed)
    truth = (generator.random((len(TEXTS), 3)) < 0.3).astype(np.float32)
    truth[generator.random(truth.shape) < 0.1] = np.nan
    logits = (generator.normal(size=truth.shape) + 2 * np.nan_to_num(truth) - 2).astype(np.float32)
    return logits, LabelMatrix(SPACE, truth)


def fitted(
    thresholds: str | float = "per_label", goal: str = "jaccard", labels: LabelMatrix | None = None
) -> Decision:
    logits, drawn = rows()
    some = FittingRows.of_labels(SPACE, logits, labels or drawn, TEXTS)
    return fit(SPACE, some, DecisionOptions(goal, thresholds), source="dev.csv").decision


def fixed(*thresholds: float) -> Decision:
    return Decision(SPACE, thresholds, "micro_f1", "fixed")


def test_scores_are_the_sigmoid_without_overflow() -> None:
    logits = np.array([[-1e4, -np.inf, -90], [0, 1, 1e4]], dtype=np.float32)

    with np.errstate(all="raise"):
        scores = fixed(0.5, 0.5, 0.5).scores(logits)

    assert scores.dtype == np.float32
    exact = [[0, 0, np.exp(-90.0)], [0.5, 1 / (1 + np.exp(-1.0)), 1]]
    np.testing.assert_allclose(scores, exact, rtol=1e-6)


def test_nan_logits_are_an_error_and_not_an_empty_set_of_labels() -> None:
    logits = np.array([[np.nan, 0, 0], [0, 0, 0]], dtype=np.float32)

    with pytest.raises(NonFiniteError, match="returned NaN for 1 of 2 texts"):
        fixed(0.5, 0.5, 0.5).scores(logits)


def test_a_label_is_given_from_its_threshold_on() -> None:
    decision = fixed(0.5, 0.25, 1.0)
    scores = np.array([[0.5, 0.2, 0.9], [0.4, 0.25, 1.0]], dtype=np.float32)

    assert decision.decide(scores).tolist() == [[True, False, False], [False, True, True]]
    assert decision.names(scores) == [["joy"], ["anger", "vertrauen ü"]]


def test_no_rows_give_no_rows() -> None:
    decision = fixed(0.5, 0.5, 0.5)

    assert decision.names(decision.scores(np.zeros((0, 3), np.float32))) == []


def test_one_threshold_overrides_all_for_a_call() -> None:
    decision = fitted()

    overridden = decision.with_threshold(0.9)

    assert overridden.thresholds == (0.9, 0.9, 0.9)
    assert (overridden.kind, overridden.fitted_on) == ("fixed", None)
    assert decision.kind == "per_label"
    with pytest.raises(OptionError, match=r"'threshold' is 1.5; expected a number between 0 and 1"):
        decision.with_threshold(1.5)


@pytest.mark.parametrize("goal", GOALS)
def test_fitting_uses_the_activation_and_records_what_it_reached(goal: str) -> None:
    logits, labels = rows()
    scores = fixed(0.5, 0.5, 0.5).scores(logits)

    one, many = fitted("global", goal), fitted("per_label", goal)

    assert one.thresholds == (fit_global(scores, labels.values, goal),) * 3
    assert many.thresholds == tuple(fit_per_label(scores, labels.values, goal))
    for decision in (one, many):
        record = decision.fitted_on
        assert (record.source, record.rows) == ("dev.csv", 40)
        assert record.goal_value == goal_value(scores, labels.values, decision.thresholds, goal)
        assert record.goal_value >= record.goal_value_at_half


def test_a_given_number_is_used_as_it_is_and_nothing_counts_as_fitted() -> None:
    decision = fitted(0.3)

    assert decision.thresholds == (0.3, 0.3, 0.3)
    assert (decision.kind, decision.fitted_on) == ("fixed", None)


def test_labels_are_matched_to_the_columns_by_name() -> None:
    _, labels = rows()
    order = [2, 0, 1]
    shuffled = LabelMatrix(
        LabelSpace(tuple(SPACE.names[column] for column in order)), labels.values[:, order]
    )

    assert fitted(labels=shuffled) == fitted()


def test_without_any_positive_the_thresholds_stay_at_a_half_and_the_goal_is_unknown() -> None:
    labels = LabelMatrix(SPACE, np.zeros((40, 3), np.float32))

    decision = fitted("global", labels=labels)

    assert decision.thresholds == (0.5, 0.5, 0.5)
    assert (decision.fitted_on.goal_value, decision.fitted_on.goal_value_at_half) == (None, None)


def test_unknown_options_are_answered_with_the_allowed_ones() -> None:
    with pytest.raises(
        OptionError, match="'tuned'; expected global, per_label, shrunk, by_frequency=T"
    ):
        fitted("tuned")
    with pytest.raises(OptionError, match="'threshold' is 7; expected a number between 0 and 1"):
        fitted(7)
    with pytest.raises(OptionError, match="'goal' is 'f1'; expected one of micro_f1, macro_f1"):
        fitted("global", "f1")
    with pytest.raises(OptionError, match="'threshold_kind' is 'tuned'; expected one of: global"):
        Decision(SPACE, (0.5, 0.5, 0.5), "jaccard", "tuned")
    with pytest.raises(OptionError, match=r"'thresholds\.anger' is nan"):
        fixed(0.5, np.nan, 0.5)
    with pytest.raises(OptionError, match="There are 2 thresholds for 3 labels"):
        fixed(0.5, 0.5)


def test_rows_and_columns_that_do_not_fit_are_refused() -> None:
    logits, labels = rows()

    with pytest.raises(LabelError, match="40 rows of logits, 40 of labels and 39 texts"):
        FittingRows.of_labels(SPACE, logits, labels, TEXTS[1:])
    with pytest.raises(LabelError, match=r"The logits have shape \(40, 2\); expected \(texts, 3\)"):
        fitted().scores(logits[:, :2])
    with pytest.raises(LabelError, match=r"The scores have shape \(3,\)"):
        fitted().decide(np.zeros(3, np.float32))


@pytest.mark.parametrize("thresholds", ["global", "per_label", 0.25])
def test_json_brings_the_same_decision_back(thresholds: str | float) -> None:
    decision = fitted(thresholds)

    content = json.loads(json.dumps(decision.to_json(), allow_nan=False))

    assert Decision.from_json({**content, "added_later": 1}) == decision


@LAWS
@given(
    st.lists(st.floats(0, 1) | st.floats(0, 1, width=32).map(float), min_size=3, max_size=3).map(
        tuple
    ),
    st.sampled_from(GOALS),
)
def test_thresholds_survive_json_to_the_last_bit(thresholds: tuple[float, ...], goal: str) -> None:
    decision = Decision(SPACE, thresholds, goal, "per_label")

    assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision


def test_thresholds_are_stored_by_name_and_read_by_name() -> None:
    content = fixed(0.1, 0.2, 0.3).to_json()
    content["thresholds"] = dict(reversed(content["thresholds"].items()))

    assert content["thresholds"] == {"joy": 0.1, "anger": 0.2, "vertrauen ü": 0.3}
    assert Decision.from_json(content).thresholds == (0.1, 0.2, 0.3)


@pytest.mark.parametrize("key", list(fixed(0.5, 0.5, 0.5).to_json()))
def test_a_missing_key_is_named(key: str) -> None:
    content = fitted().to_json()
    del content[key]

    with pytest.raises(ArtifactError, match=f"The key '{key}' is missing"):
        Decision.from_json(content)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("labels", "joy", "The key 'labels' is 'joy'; expected a value of type list"),
        ("labels", ["joy", "joy"], "The key 'labels' is invalid. Label names must be unique"),
        ("labels", ["joy", "anger"], "do not name the same labels.*: vertrauen ü"),
        ("thresholds", [0.5], r"The key 'thresholds' is \[0.5\]; expected a value of type dict"),
        ("goal", "f1", "The key 'goal' is 'f1'; expected one of micro_f1"),
        ("goal", 1, "The key 'goal' is 1; expected a value of type str"),
        ("threshold_kind", "magic", "The key 'threshold_kind' is 'magic'"),
        ("activation", "softmax", "The key 'activation' is 'softmax'; expected one of: sigmoid"),
        ("calibration", {"a": 1}, "The key 'calibration' is invalid. The key 'method' is missing"),
        ("calibration", "platt", "The key 'calibration' is invalid. It is 'platt'; expected null"),
        ("costs", {"joy": [1, 2]}, "'labels' and 'costs' do not name the same labels"),
        ("fit_report", {}, "The key 'fit_report' is invalid. The key 'goal' is missing"),
        ("empty_set_rule", "top", "The key 'empty_set_rule' is 'top'; expected one of: allow"),
        ("fitted_on", True, "The key 'fitted_on' is True"),
    ],
)
def test_an_invalid_key_is_named(key: str, value: object, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Decision.from_json({**fitted().to_json(), key: value})


@pytest.mark.parametrize("value", [1.5, -0.1, "0.5", None, True])
def test_an_invalid_threshold_is_named_with_its_label(value: object) -> None:
    content = fitted().to_json()
    content["thresholds"]["anger"] = value

    with pytest.raises(ArtifactError, match=r"The key 'thresholds\.anger' is .*between 0 and 1"):
        Decision.from_json(content)


@pytest.mark.parametrize("key", ["labels", "thresholds", "goal", "fitted_on"])
def test_the_schema_accepts_our_file_and_refuses_it_without_a_key(key: str) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA)
    beside = {
        "format_version": 1,
        "multihot_version": "0.1.0",
        "data": {},
        "max_length": 128,
        "pooling": "mean",
        "form": "encoder_and_head",
        "files": {"head.safetensors": "0" * 64},
    }

    for thresholds in ("global", "per_label", 0.5):
        content = {**beside, **fitted(thresholds).to_json()}
        assert list(validator.iter_errors(content)) == []
        del content[key]
        assert [error.message for error in validator.iter_errors(content)] == [
            f"'{key}' is a required property"
        ]


def test_the_schema_allows_exactly_the_goals_and_kinds_of_the_code() -> None:
    properties = SCHEMA["properties"]

    assert all(re.match(properties["goal"]["pattern"], goal) for goal in (*GOALS, *NUMBERED))
    assert not any(
        re.match(properties["goal"]["pattern"], word) for word in ("f1", "cost", "top_k=")
    )
    assert tuple(properties["threshold_kind"]["anyOf"][0]["enum"]) == KINDS
    assert tuple(properties["empty_set_rule"]["enum"]) == EMPTY_SET_RULES
    assert tuple(SCHEMA["$defs"]["calibration"]["properties"]["method"]["enum"]) == CALIBRATIONS[1:]


def test_rows_that_fitted_the_decision_are_recognised() -> None:
    _, labels = rows()
    order = [2, 0, 1]
    reordered = LabelMatrix(
        LabelSpace(tuple(SPACE.names[column] for column in order)), labels.values[:, order]
    )

    assert rows_fitted(fitted(), TEXTS, labels) == 40
    assert rows_fitted(fitted(), TEXTS[:7], reordered.take(np.arange(7))) == 7
    assert rows_fitted(fitted(), [text + "!" for text in TEXTS], labels) == 0
    assert rows_fitted(fitted(0.5), TEXTS, labels) == 0
