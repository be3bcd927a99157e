"""Stored records are read with every value of the type that it must have, or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from multihot.errors import TrainingError
from multihot.gate.stored_records import record_of


@dataclass(frozen=True)
class Record:
    step: int
    value: float | None
    done: bool = False
    name: str = ""
    metrics: Mapping[str, float | None] | None = None


def test_a_record_is_what_was_stored() -> None:
    stored = {"step": 3, "value": -0.5, "metrics": {"f1": 1, "recall": None}}

    record = record_of(Record, stored, "state.json", TrainingError)

    assert record == Record(3, -0.5, metrics={"f1": 1, "recall": None})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"step": -1}, "'step' is -1"),
        ({"step": True}, "'step' is True"),
        ({"step": 1.0}, "'step' is 1.0"),
        ({"step": 2**60}, "'step' is"),
        ({"value": "1"}, "'value' is '1'"),
        ({"value": float("inf")}, "'value' is inf"),
        ({"value": False}, "'value' is False"),
        ({"done": 0}, "'done' is 0"),
        ({"name": None}, "'name' is None"),
        ({"metrics": {"f1": "x"}}, "'metrics' is"),
        ({"metrics": [1]}, "'metrics' is"),
        ({"more": 1}, "the key 'more' is missing or unknown"),
    ],
)
def test_a_value_of_another_type_is_named(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(TrainingError, match=rf"state\.json: .*{reason}"):
        record_of(Record, {"step": 0, "value": None, **change}, "state.json", TrainingError)


def test_what_is_missing_or_no_table_is_refused() -> None:
    with pytest.raises(TrainingError, match="the key 'value' is missing"):
        record_of(Record, {"step": 1}, "state.json", TrainingError)
    with pytest.raises(TrainingError, match=r"holds \[\]; expected a table"):
        record_of(Record, [], "state.json", TrainingError)
