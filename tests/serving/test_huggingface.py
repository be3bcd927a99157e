"""`InferenceClient` of huggingface_hub, and requests as text-embeddings-inference documents them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from multihot.inference.predictor import Predictor
from shapes import LABELS, TEXTS, TOKEN, Told, answering

pytestmark = pytest.mark.slow

LONG = TEXTS[-1]


@pytest.fixture(scope="module")
def address(exported: Path) -> Iterator[str]:
    with answering(exported) as url:
        yield url


@pytest.fixture
def post(address: str) -> Iterator[Any]:
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx2.Client(base_url=address, headers=headers) as client:
        yield partial(_posted, client)


def _posted(client: httpx2.Client, path: str, **body: Any) -> httpx2.Response:
    return client.post(path, json=body)


@pytest.fixture(params=["", "/models/ec"])
def client(request: Any, address: str, monkeypatch: pytest.MonkeyPatch) -> InferenceClient:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    return InferenceClient(model=f"{address}{request.param}", token=TOKEN)


def ranked(scores: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(scores.items(), key=lambda pair: -pair[1])


def pairs(found: Any) -> list[tuple[str, float]]:
    return [(each["label"], round(each["score"], 6)) for each in found]


def test_the_client_gets_what_predict_says(client: InferenceClient, told: Told) -> None:
    for text, scores in zip(TEXTS, told.scores, strict=True):
        found = client.text_classification(text)

        assert pairs(found) == ranked(scores)
        assert client.text_classification(text, top_k=2) == found[:2]
        assert client.text_classification(text, function_to_apply="sigmoid") == found


def test_the_client_gets_logits_when_it_applies_no_function(
    client: InferenceClient, exported: Path
) -> None:
    logits, _ = Predictor.load(exported).logits(TEXTS[:1])

    found = client.text_classification(TEXTS[0], function_to_apply="none")

    by_name = {each.label: each.score for each in found}
    np.testing.assert_allclose([by_name[name] for name in LABELS], logits[0], atol=1e-5)


def test_a_softmax_is_refused_with_a_sentence(client: InferenceClient) -> None:
    with pytest.raises(HfHubHTTPError, match="several labels of a text can be true") as caught:
        client.text_classification("happy", function_to_apply="softmax")

    assert caught.value.response.status_code == 422


def test_refusals_reach_the_client_as_its_own_errors(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    for path, token, status in (("/models/no", TOKEN, 404), ("/models/ec", "x" * 20, 401)):
        with pytest.raises(HfHubHTTPError) as caught:
            InferenceClient(model=address + path, token=token).text_classification("happy")

        assert caught.value.response.status_code == status


def test_several_texts_and_decisions_are_those_of_predict(post: Any, told: Told) -> None:
    answer = post("/", inputs=list(TEXTS), parameters={"decisions": True})

    found = answer.json()
    assert [{each["label"] for each in row} for row in found] == [set(row) for row in told.labels]
    assert any(told.labels)
    assert answer.headers["multihot-truncated"] == "1"
    assert len(answer.headers["multihot-decision"]) == 12


def test_tei_answers_one_text_with_a_list_and_a_batch_with_lists(post: Any, told: Told) -> None:
    single = post("/predict", inputs=TEXTS[0]).json()
    batch = post("/predict", inputs=[[text] for text in TEXTS]).json()

    assert list(single[0]) == ["score", "label"]
    assert pairs(single) == ranked(told.scores[0])
    assert post("/predict", inputs=[TEXTS[0]]).json() == single
    assert [pairs(row) for row in batch] == [ranked(scores) for scores in told.scores]


def test_tei_decides_when_asked(post: Any, told: Told) -> None:
    found = post("/predict", inputs=[[text] for text in TEXTS], decisions=True).json()

    assert [{each["label"] for each in row} for row in found] == [set(row) for row in told.labels]


def test_tei_returns_raw_scores(post: Any, exported: Path) -> None:
    logits, _ = Predictor.load(exported).logits(TEXTS[1:2])

    found = post("/predict", inputs=TEXTS[1], raw_scores=True).json()

    by_name = {each["label"]: each["score"] for each in found}
    np.testing.assert_allclose([by_name[name] for name in LABELS], logits[0], atol=1e-5)


def test_a_text_that_is_too_long_is_cut_unless_the_client_refuses_that(post: Any) -> None:
    assert post("/predict", inputs=LONG).headers["multihot-truncated"] == "1"
    assert post("/predict", inputs=LONG, truncate=True).status_code == 200
    assert "multihot-truncated" not in post("/predict", inputs="happy", truncate=False).headers
    for path, body in (
        ("/predict", {"truncate": False}),
        ("/", {"parameters": {"truncation": False}}),
    ):
        refused = post(path, inputs=LONG, **body)

        assert refused.status_code == 422
        assert refused.json()["error_type"] == "Validation"
        assert refused.json()["error"].endswith("must have less than 32 tokens. Given: 122")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"inputs": ["a", "b"]}, 422, "pairs not supported"),
        ({"inputs": [["a"], ["b", "c"]]}, 422, "pairs not supported"),
        ({"inputs": ["a", "b", "c"]}, 422, "a batch is"),
        ({"inputs": [["a"], []]}, 422, "a batch is"),
        ({"inputs": []}, 422, "inputs"),
        ({"inputs": "a", "truncation_direction": "Left"}, 422, "cut at their end"),
        ({"inputs": [["a"]] * 33}, 413, "at most 32"),
        ({"inputs": "a", "unknown": 1}, 422, "unknown"),
    ],
)
def test_tei_refuses_in_its_own_shape(
    post: Any, body: dict[str, Any], status: int, said: str
) -> None:
    refused = post("/predict", **body)

    assert refused.status_code == status
    assert set(refused.json()) == {"error", "error_type"}
    assert refused.json()["error_type"] == "Validation"
    assert said in refused.json()["error"]
