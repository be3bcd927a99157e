"""A body of two megabytes costs the server little, also when everything in it is wrong."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from multihot.serving import bodies
from multihot.serving.bodies import KEYS_OF_QUESTIONS, parse_body
from multihot.serving.native import PredictRequest
from multihot.serving.problems import Problem
from multihot.serving.systemone import SystemOneRequest


def _refusal(content: bytes) -> str:
    with pytest.raises(Problem) as found:
        parse_body(content, PredictRequest)
    assert found.value.status_code == 422
    return str(found.value.detail)


def test_few_differences_are_described_and_very_many_are_counted() -> None:
    few = json.dumps({"texts": ["a"], "x": 1, "y": 2}).encode()
    many = json.dumps({"texts": ["a"], **{str(n): n for n in range(2000)}}).encode()

    assert "'x': 'Extra inputs" in _refusal(few)
    assert _refusal(many) == ("The body differs in 2000 places from what /openapi.json describes.")


def test_differences_that_are_counted_take_no_memory_each() -> None:
    body = {"texts": ["a"], "thresholds": dict.fromkeys(map(str, range(20_000)), 9.0)}
    content = json.dumps(body).encode()

    tracemalloc.start()
    try:
        detail = _refusal(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert "20000 places" in detail
    assert peak < 10_000_000  # 20,000 descriptions take 10 million more


def test_more_keys_than_are_of_use_are_refused_before_they_are_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = b'{"texts": ["a"], %s}' % b",".join(b'"%d": 1' % n for n in range(KEYS_OF_QUESTIONS))
    monkeypatch.setattr(bodies.BaseModel, "model_validate", None)

    assert f"{KEYS_OF_QUESTIONS + 1} keys" in _refusal(content)


def test_all_questions_that_may_be_asked_are_parsed() -> None:
    question = {"type": "noul", "instructions": "a: b", "criteria": ":::"}
    asked = {"state": "a", "questions": {f"question: {n}": question for n in range(10_000)}}

    body = parse_body(json.dumps(asked).encode(), SystemOneRequest)

    assert len(body.questions) == 10_000
