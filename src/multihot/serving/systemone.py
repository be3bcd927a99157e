"""`/v1/systemone` as `transformers serve` has it: typed questions, each answered with a probability.

A classifier answers questions of the type `noul` (true or false), one for each label that is asked. It has
learnt what its labels mean, so that `criteria` change nothing.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, WithJsonSchema

from multihot.core.text_tables import cut
from multihot.serving.bodies import STRICT, body_schema, read_body
from multihot.serving.huggingface import answer_headers
from multihot.serving.native import Name
from multihot.serving.problems import Problem, json_response
from multihot.serving.running import Running

__all__ = ["systemone_routes"]

_MOST_QUESTIONS = 10_000
_MOST_NAMED = 5

_Content = str | dict[str, Any] | list[Any] | None
_Kind = Annotated[str, Field(max_length=100), WithJsonSchema({"const": "noul"})]
_State = Annotated[str | dict[str, Any] | list[Any], WithJsonSchema({"type": "string"})]
_Assets = Annotated[dict[str, Any] | None, WithJsonSchema({"type": "object", "maxProperties": 0})]


class Question(BaseModel):
    """Whether a label is true of the text; the key of the question or its instructions name the label."""

    model_config = STRICT

    type: _Kind
    """`noul`; a classifier answers no other."""
    instructions: _Content = None
    criteria: _Content = None


class SystemOneRequest(BaseModel):
    """A text and questions about it."""

    model_config = STRICT

    model: Name | None = None
    """Name of a served model; default: the first."""
    state: _State
    """The text; an object or a list is refused."""
    questions: dict[Name, Question] = Field(min_length=1, max_length=_MOST_QUESTIONS)
    assets: _Assets = None
    """Images, which are refused."""
    decisions: bool = False
    """Add to each answer whether its label is chosen, by the model's thresholds."""


def systemone_routes(running: Running) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["System One"])
    first, *_, last = running.model(None).now.decision.space.names * 2
    example = {
        "state": "I'm happy, the bert model is so good",
        "questions": {first: {"type": "noul"}, "second": {"type": "noul", "instructions": last}},
    }
    answers = {first: {"type": "noul", "noul": 0.93}, "second": {"type": "noul", "noul": 0.04}}
    answer = {"model": "ec", "answers": answers, "usage": {"input_tokens": 12, "output_tokens": 0}}

    @router.post("/v1/systemone", openapi_extra=body_schema(SystemOneRequest, example, answer))
    async def decide(request: Request) -> Response:
        """Answer questions about one text, each with the probability of a label."""
        body = await read_body(request, SystemOneRequest)
        if not isinstance(body.state, str):
            kind = "an object" if isinstance(body.state, dict) else "a list"
            raise Problem(422, f"state is {kind}; a classifier reads one text: give a string.")
        if body.assets:
            raise Problem(422, "assets has images; the models that are served here read text.")
        names = running.model(body.model).now.decision.space.names
        asked = _labels(body.questions, frozenset(names))
        told = await running.answer(request, [body.state], model=body.model)
        scores, chosen = told.by_name(0), set(told.labels[0])
        found: dict[str, dict[str, Any]] = {}
        for key, label in asked.items():
            found[key] = {"type": "noul", "noul": scores[label]}
            if body.decisions:
                found[key]["decision"] = label in chosen
        content = {
            "model": body.model or running.model(None).name,
            "answers": found,
            "usage": {"input_tokens": told.num_tokens[0], "output_tokens": 0},
        }
        return json_response(content, headers=answer_headers(told))

    return router


def _labels(questions: dict[str, Question], known: frozenset[str]) -> dict[str, str]:
    """Return the label that each question asks for; raise `Problem` for one that names none, or two."""
    found, unknown = {}, []
    for key, question in questions.items():
        if question.type != "noul":
            raise Problem(
                422,
                f"Question {cut(key)} has the type {cut(question.type)}; a multi-label classifier answers noul, "
                "one question for each label.",
            )
        told = question.instructions
        named = {name for name in (key, told) if isinstance(name, str) and name in known}
        if len(named) > 1:
            raise Problem(
                422,
                f"Question {cut(key)} names one label by its key and another one by its instructions.",
            )
        if named:
            found[key] = named.pop()
        else:
            unknown.append(key)
    if unknown:
        more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
        raise Problem(
            422,
            f"No label is named by question {', '.join(map(cut, unknown[:_MOST_NAMED]))}{more}: its key or its "
            "instructions must be the name of a label; /info lists them.",
        )
    return found
