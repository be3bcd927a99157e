"""`/v1/systemone`: requests that transformers accepts are answered as its own classes would answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from transformers.cli.serving.systemone import SystemOneRequest
from transformers.decision import DecisionConfig, parse_questions

from shapes import LABELS, TEXTS, Told, answering

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(exported: Path) -> Iterator[str]:
    with answering(exported, token="") as url:
        yield url


@pytest.fixture
def ask(address: str) -> Any:
    return lambda **body: httpx2.post(f"{address}/v1/systemone", json=body)


def noul(**parts: Any) -> dict[str, Any]:
    return {"type": "noul", **parts}


def test_answers_are_those_of_transformers_classes_for_our_scores(ask: Any, told: Told) -> None:
    body = {
        "model": "ec",
        "state": TEXTS[0],
        "questions": {
            LABELS[0]: noul(),
            "second": noul(instructions=LABELS[1], criteria={"true": "sad", "false": None}),
            LABELS[2]: noul(instructions="Is it about the configuration?"),
        },
    }
    accepted = SystemOneRequest.model_validate(body, strict=True)
    questions = parse_questions(accepted.questions, DecisionConfig())

    found = ask(**body).json()

    for name in found["answers"]:
        found["answers"][name]["noul"] = round(found["answers"][name]["noul"], 6)
    scores = [told.scores[0][name] for name in LABELS]
    expected = {
        question.name: question.answer(
            [score if each == "true" else 1 - score for each in question.options]
        )
        for question, score in zip(questions, scores, strict=True)
    }
    assert found["answers"] == expected
    assert found["model"] == "ec"
    assert found["usage"]["output_tokens"] == 0
    assert found["usage"]["input_tokens"] == len(TEXTS[0].split()) + 2


def test_decisions_are_those_of_predict(ask: Any, told: Told) -> None:
    for text, labels in zip(TEXTS, told.labels, strict=True):
        found = ask(state=text, questions={name: noul() for name in LABELS}, decisions=True)

        assert [name for name in LABELS if found.json()["answers"][name]["decision"]] == [
            name for name in LABELS if name in labels
        ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"questions": {"unknown": noul()}}, "'unknown'"),
        ({"questions": {"unknown": noul(instructions="other")}}, "'unknown'"),
        ({"questions": {LABELS[0]: noul(instructions=LABELS[1])}}, "another one"),
        ({"questions": {LABELS[0]: {"type": "choice", "criteria": {"a": None}}}}, "answers noul"),
        ({"questions": {LABELS[0]: {"type": "score", "criteria": ["a", "b"]}}}, "answers noul"),
        ({"questions": {}}, "questions"),
        ({"state": {"text": "happy"}}, "state is an object"),
        ({"assets": {"<img>": {}}}, "read text"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_a_classifier_cannot_answer_is_refused(
    ask: Any, changes: dict[str, Any], said: str
) -> None:
    refused = ask(**{"state": "happy", "questions": {LABELS[0]: noul()}, **changes})

    assert refused.status_code == 422
    assert said in refused.json()["detail"]


def test_an_unknown_model_is_not_found(ask: Any) -> None:
    assert ask(model="no", state="a", questions={LABELS[0]: noul()}).status_code == 404
