from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from multihot.core.options import GOALS, DataOptions, TrainOptions
from multihot.errors import OptionError


def test_the_defaults_are_valid_and_cannot_be_changed() -> None:
    options = TrainOptions()

    assert options.data == DataOptions()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("goal", [*GOALS, "precision>=0.9", "cost", "top_k=2"])
def test_every_goal_is_accepted(goal: str) -> None:
    assert TrainOptions(goal=goal).goal == goal


@pytest.mark.parametrize(
    "thresholds", ["global", "per_label", "shrunk", "by_frequency=0.3", 0.5, 0.01]
)
def test_thresholds_are_fitted_or_a_number(thresholds: str | float) -> None:
    assert TrainOptions(thresholds=thresholds).thresholds == thresholds


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"goal": "accuracy"}, r"'goal' is 'accuracy'; expected one of micro_f1, macro_f1, ja"),
        (
            {"thresholds": "half"},
            "'thresholds' is 'half'; expected global, per_label, shrunk, by_frequency=T",
        ),
        ({"goal": "precision>=2"}, "Option 'goal' is 'precision>=2'; expected one of micro_f1"),
        (
            {"costs": "costs.toml"},
            "'goal' is 'micro_f1'; expected cost=FP:FN, because 'costs' is s",
        ),
        ({"calibration": "sigmoid"}, "'calibration' is 'sigmoid'; expected one of none, temper"),
        ({"empty_set_rule": "guess"}, "'empty_set_rule' is 'guess'; expected one of allow, at_l"),
        ({"thresholds": 0.0}, "'thresholds' is 0.0; .*between 0 and 1"),
        ({"thresholds": 1.0}, "'thresholds' is 1.0"),
        ({"thresholds": float("nan")}, "'thresholds' is nan"),
        ({"epochs": 0}, "'epochs' is 0; expected at least 1"),
        ({"batch_size": -1}, "'batch_size' is -1; expected at least 1"),
        ({"accumulation_steps": 0}, "'accumulation_steps' is 0"),
        ({"checkpoint_steps": 0}, "'checkpoint_steps' is 0"),
        ({"weight_decay": -0.1}, "'weight_decay' is -0.1; expected at least 0"),
        ({"weight_decay": float("nan")}, "'weight_decay' is nan"),
        ({"max_gradient_norm": -1.0}, "'max_gradient_norm' is -1.0"),
        ({"seed": -1}, "'seed' is -1; expected at least 0"),
        ({"warmup_fraction": 1.0}, "'warmup_fraction' is 1.0; expected at least 0 and below 1"),
        ({"validation_fraction": 0.0}, "'validation_fraction' is 0.0"),
        ({"validation_fraction": 1.0}, "'validation_fraction' is 1.0"),
        ({"learning_rate": 0.0}, "'learning_rate' is 0.0; expected more than 0"),
        ({"learning_rate": float("nan")}, "'learning_rate' is nan"),
        ({"early_stopping_epochs": 0}, "'early_stopping_epochs' is 0"),
        ({"max_length": 0}, "'max_length' is 0"),
        ({"batch_tokens": 0}, "'batch_tokens' is 0; expected more than 0"),
        (
            {"batch_tokens": 4096, "batch_size": 8},
            r"batch_size=8 \(rows\) and batch_tokens=4096 \(tokens\) are mutually exclusive",
        ),
        ({"threads": 0}, "'threads' is 0"),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_was_expected(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        TrainOptions(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"weight_decay": 0.0, "max_gradient_norm": 0.0, "warmup_fraction": 0.0, "seed": 0},
        {"epochs": 1, "batch_size": 1, "accumulation_steps": 1, "checkpoint_steps": 1},
        {"learning_rate": None, "max_length": None, "threads": None},
    ],
)
def test_values_at_the_edge_are_accepted(values: dict[str, Any]) -> None:
    options = TrainOptions(**values)

    assert {name: getattr(options, name) for name in values} == values
