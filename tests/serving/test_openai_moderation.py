"""The `openai` package, unmodified, against `/v1/moderations`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from shapes import LABELS, TEXTS, TOKEN, Told, answering

pytestmark = pytest.mark.slow

MOST_TEXTS = 4000


@pytest.fixture(scope="module")
def address(exported: Path) -> Iterator[str]:
    # One token may wait, so that a request of many passes fills the queue.
    options = ("--max-queue-tokens", "1", "--max-texts", str(MOST_TEXTS))
    with answering(exported, options=options) as url:
        yield url


@pytest.fixture
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=TOKEN, max_retries=0) as found:
        yield found


def test_categories_are_labels_whatever_their_names(client: openai.OpenAI, told: Told) -> None:
    found = client.moderations.create(input=list(TEXTS))

    assert found.id.startswith("modr-")
    assert found.model == "ec"
    assert len(found.results) == len(TEXTS)
    for result, scores, labels in zip(found.results, told.scores, told.labels, strict=True):
        content: dict[str, Any] = result.to_dict()
        rounded = {name: round(score, 6) for name, score in content["category_scores"].items()}
        assert rounded == scores
        assert content["categories"] == {name: name in labels for name in LABELS}
        assert content["category_applied_input_types"] == {name: ["text"] for name in LABELS}
        assert result.flagged == bool(labels)
    assert found.results[0].categories.harassment_threatening is (LABELS[0] in told.labels[0])


def test_the_answer_names_thresholds_and_the_decision(client: openai.OpenAI) -> None:
    extra = client.moderations.create(input=TEXTS[-1]).to_dict()

    assert set(extra["category_thresholds"]) == set(LABELS)
    assert len(extra["decision"]) == 12
    assert extra["results"][0]["truncated"]


def test_the_asynchronous_client_gets_the_same(address: str, client: openai.OpenAI) -> None:
    async def ask() -> openai.types.ModerationCreateResponse:
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=TOKEN) as asking:
            return await asking.moderations.create(input=TEXTS[0])

    assert asyncio.run(ask()).results == client.moderations.create(input=TEXTS[0]).results


def test_parts_of_one_input_have_one_result(client: openai.OpenAI) -> None:
    parts: list[Any] = [{"type": "text", "text": "sad day"}, {"type": "text", "text": "happy"}]

    found = client.moderations.create(input=parts)

    assert found.results == client.moderations.create(input="sad day\nhappy").results


def test_the_names_of_their_models_get_the_first_model(client: openai.OpenAI) -> None:
    for name in ("omni-moderation-latest", "text-moderation-stable", "ec"):
        assert client.moderations.create(input="happy", model=name).model == "ec"


def test_the_client_lists_the_models(client: openai.OpenAI) -> None:
    assert [each.id for each in client.models.list()] == ["ec"]
    assert client.models.retrieve("ec").id == "ec"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no")


def test_refusals_are_the_errors_of_the_client(address: str, client: openai.OpenAI) -> None:
    image: Any = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]

    with pytest.raises(openai.NotFoundError, match="no model 'gpt'"):
        client.moderations.create(input="a", model="gpt")
    with pytest.raises(openai.UnprocessableEntityError, match="served here read text"):
        client.moderations.create(input=image)
    with pytest.raises(openai.UnprocessableEntityError, match="at least 1 item"):
        client.moderations.create(input=[])
    with pytest.raises(openai.APIStatusError, match="at most 4000") as caught:
        client.moderations.create(input=["a"] * (MOST_TEXTS + 1))
    assert caught.value.status_code == 413
    with (
        openai.OpenAI(base_url=f"{address}/v1", api_key="x" * 32) as stranger,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        stranger.moderations.create(input="a")
    assert refused.value.body == {
        "message": "The token is missing or wrong.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def test_a_full_queue_is_a_rate_limit_that_says_when_to_come_back(address: str) -> None:
    async def ask() -> list[openai.RateLimitError]:
        refused = []
        client = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=TOKEN, max_retries=0)
        async with client:
            long = asyncio.create_task(
                client.moderations.create(input=["happy " * 30] * MOST_TEXTS)
            )
            while not long.done():
                try:
                    await client.moderations.create(input="happy")
                except openai.RateLimitError as error:
                    refused.append(error)
            assert len((await long).results) == MOST_TEXTS
        return refused

    refused = asyncio.run(ask())

    assert refused
    assert int(refused[0].response.headers["retry-after"]) >= 1
    assert refused[0].type == "rate_limit_error"
