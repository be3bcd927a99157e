"""`/v1/moderations` as OpenAI's clients ask it: categories are the labels of a model."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Discriminator, Field, Tag, WithJsonSchema

from multihot.serving.bodies import STRICT, body_schema, model_in_path, read_body
from multihot.serving.huggingface import answer_headers
from multihot.serving.native import Name, listed_model
from multihot.serving.problems import Problem, json_response
from multihot.serving.running import Answer, Running

__all__ = ["moderation_routes"]

_EXAMPLE = {"input": "I'm happy, the bert model is so good"}
_ANSWER = {
    "id": "modr-1",
    "model": "ec",
    "results": [
        {
            "flagged": True,
            "categories": {"anger": False, "joy": True},
            "category_scores": {"anger": 0.04, "joy": 0.93},
            "category_applied_input_types": {"anger": ["text"], "joy": ["text"]},
            "truncated": False,
        }
    ],
    "category_thresholds": {"anger": 0.41, "joy": 0.38},
    "decision": "3f2a90c1d2e4",
}
_MOST_TEXTS = 10_000
_THEIR_MODELS = ("omni-moderation-", "text-moderation-")
"""Names that clients send for OpenAI's own models; the first model answers for them."""


class TextPart(BaseModel):
    """A part of an input, as requests with images have them."""

    model_config = STRICT

    type: Literal["text"]
    text: str


class ImagePart(BaseModel):
    """A part that is refused with a sentence."""

    model_config = STRICT

    type: Literal["image_url"]
    image_url: dict[str, str] = Field(max_length=10)


_Part = Annotated[
    TextPart | ImagePart,
    Field(discriminator="type"),
    WithJsonSchema(TextPart.model_json_schema()),
]
_Texts = Annotated[list[str], Field(min_length=1, max_length=_MOST_TEXTS)]
_Parts = Annotated[list[_Part], Field(min_length=1, max_length=_MOST_TEXTS)]


def _form(given: Any) -> str:
    """Say which form an input has, so that errors speak of that one only."""
    if isinstance(given, str):
        return "text"
    is_parts = isinstance(given, list) and given and isinstance(given[0], dict)
    return "parts" if is_parts else "texts"


class ModerationRequest(BaseModel):
    """Texts to label."""

    model_config = STRICT

    input: Annotated[
        Annotated[str, Tag("text")]
        | Annotated[_Texts, Tag("texts")]
        | Annotated[_Parts, Tag("parts")],
        Discriminator(_form),
    ]
    """A text, a list of texts, or the parts of one text."""
    model: Name | None = None
    """Name of a served model; default, and for the names of OpenAI's own models: the first."""


def moderation_routes(running: Running) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["OpenAI"])

    @router.post("/v1/moderations", openapi_extra=body_schema(ModerationRequest, _EXAMPLE, _ANSWER))
    async def moderate(request: Request) -> Response:
        """Label texts: a category for each label, flagged where any label is chosen."""
        body = await read_body(request, ModerationRequest)
        name = _model_name(running, body.model)
        answer = await running.answer(request, _texts(body.input), model=name)
        content = {
            "id": f"modr-{uuid.uuid4().hex}",
            "model": running.model(name).name,
            "results": [_result(answer, row) for row in range(len(answer.scores))],
            "category_thresholds": answer.thresholds,
            "decision": answer.serving.version,
        }
        return json_response(content, headers=answer_headers(answer))

    @router.get("/v1/models/{name}")
    async def retrieve(name: str = model_in_path(running)) -> Response:
        """Describe one model, as OpenAI's clients expect it."""
        return json_response(listed_model(running.model(name).name))

    return router


def _model_name(running: Running, asked: str | None) -> str | None:
    if asked is not None and asked not in running.models and asked.startswith(_THEIR_MODELS):
        return None
    return asked


def _texts(given: str | list[str] | list[_Part]) -> list[str]:
    """Return the texts of an input; parts are one text, as they have one result at OpenAI."""
    if isinstance(given, str):
        return [given]
    texts, parts = [], []
    for each in given:
        if isinstance(each, str):
            texts.append(each)
        elif isinstance(each, TextPart):
            parts.append(each.text)
        else:
            raise Problem(422, "input has an image; the models that are served here read text.")
    return ["\n".join(parts)] if parts else texts


def _result(answer: Answer, row: int) -> dict[str, Any]:
    chosen = set(answer.labels[row])
    return {
        "flagged": bool(chosen),
        "categories": {name: name in chosen for name in answer.names},
        "category_scores": answer.by_name(row),
        "category_applied_input_types": {name: ["text"] for name in answer.names},
        "truncated": answer.truncated[row],
    }
