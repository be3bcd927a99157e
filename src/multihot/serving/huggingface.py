"""Routes of two servers of Hugging Face: their inference API, and text-embeddings-inference (TEI).

Both answer with lists of `{"label", "score"}`, the highest score first. Scores are those of the model's
decision layer, never a softmax. What these lists have no place for is in headers: `multihot-decision`, and
`multihot-truncated`, the number of texts that were cut.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, WithJsonSchema

from multihot.data.tokens import tokenize
from multihot.serving.bodies import STRICT, body_schema, model_in_path, read_body
from multihot.serving.problems import Problem, json_response
from multihot.serving.running import Answer, Running

__all__ = ["answer_headers", "huggingface_routes"]

_TEXT = "I'm happy, the bert model is so good"
_SOFTMAX = (
    "parameters.function_to_apply is softmax, which makes labels compete; several labels of a text can be "
    "true at once. Use sigmoid, or none for logits."
)
_PAIR = "inputs has two texts in one list, which is a pair here, and pairs not supported: [[{0}], [{0}]] is a batch."
_LEFT = "truncation_direction is left; texts are cut at their end here, as they were when the model learnt them."
_MOST_TEXTS = 10_000
_NO_LIMIT = 2**31  # tokens; texts are bounded by their characters

_Texts = Annotated[list[str], Field(min_length=1, max_length=_MOST_TEXTS)]
_Batch = Annotated[list[list[str]], Field(min_length=1, max_length=_MOST_TEXTS)]
_SINGLE: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string"},
    "minItems": 1,
    "maxItems": 1,
}
_BATCH = {"type": "array", "items": _SINGLE, "minItems": 1, "maxItems": _MOST_TEXTS}
_PREDICT_INPUTS = {"anyOf": [{"type": "string"}, _SINGLE, _BATCH]}


class ClassificationParameters(BaseModel):
    """How texts are labelled, in the words of `InferenceClient.text_classification`."""

    model_config = STRICT

    top_k: int | None = Field(None, ge=1, le=100_000)
    """Return the best labels only; default: all."""
    function_to_apply: Annotated[
        Literal["sigmoid", "none", "softmax"] | None,
        WithJsonSchema({"enum": ["sigmoid", "none", None]}),
    ] = None
    """`sigmoid` (default): calibrated scores; `none`: logits; `softmax` is refused."""
    truncation: bool | None = None
    """False: refuse a text that is too long (422) instead of cutting it."""
    decisions: bool | None = None
    """Return chosen labels only, by the model's thresholds."""


class ClassificationRequest(BaseModel):
    """Texts to label."""

    model_config = STRICT

    inputs: str | _Texts
    parameters: ClassificationParameters | None = None
    options: dict[str, bool] | None = Field(None, max_length=10)
    """Of the hosted API, such as `wait_for_model`; nothing depends on them here."""


class TeiRequest(BaseModel):
    """Texts to label, in the words of text-embeddings-inference."""

    model_config = STRICT

    inputs: Annotated[str | _Texts | _Batch, WithJsonSchema(_PREDICT_INPUTS)]
    """A text, or a batch of them: `[["a"], ["b"]]`."""
    truncate: bool | None = None
    """False: refuse a text that is too long (422) instead of cutting it."""
    truncation_direction: Annotated[
        Literal["right", "Right", "left", "Left"], WithJsonSchema({"enum": ["right", "Right"]})
    ] = "right"
    """`left` is refused."""
    raw_scores: bool = False
    """Return logits."""
    decisions: bool = False
    """Return chosen labels only, by the model's thresholds."""


def huggingface_routes(running: Running) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["Hugging Face"])
    schema = body_schema(
        ClassificationRequest,
        {"inputs": _TEXT, "parameters": {"top_k": 2}},
        [[{"label": "joy", "score": 0.93}, {"label": "love", "score": 0.41}]],
    )
    tei_schema = body_schema(TeiRequest, {"inputs": [[_TEXT]]}, [[{"score": 0.93, "label": "joy"}]])

    @router.post("/", openapi_extra=schema)
    async def classify(request: Request) -> Response:
        """Label texts with the first model, as the inference API of Hugging Face does."""
        return await _classified(running, request, None)

    @router.post("/models/{name}", openapi_extra=schema)
    async def classify_with(request: Request, name: str = model_in_path(running)) -> Response:
        """Label texts with one model, as the inference API of Hugging Face does."""
        return await _classified(running, request, name)

    @router.post("/predict", openapi_extra=tei_schema)
    async def predict(request: Request) -> Response:
        """Label texts with the first model, as text-embeddings-inference does."""
        body = await read_body(request, TeiRequest)
        if body.truncation_direction in ("left", "Left"):
            raise Problem(422, _LEFT)
        texts = _tei_texts(body.inputs)
        answer = await running.answer(request, texts)
        if body.truncate is False:
            await _refuse_truncated(answer, texts)
        rows = [
            [{"score": score, "label": label} for label, score in pairs]
            for pairs in _ranked(answer, logits=body.raw_scores, chosen_only=body.decisions)
        ]
        is_batch = not isinstance(body.inputs, str) and isinstance(body.inputs[0], list)
        return json_response(rows if is_batch else rows[0], headers=answer_headers(answer))

    return router


async def _classified(running: Running, request: Request, name: str | None) -> Response:
    body = await read_body(request, ClassificationRequest)
    asked = body.parameters or ClassificationParameters.model_validate({})
    if asked.function_to_apply == "softmax":
        raise Problem(422, _SOFTMAX)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    answer = await running.answer(request, texts, model=name)
    if asked.truncation is False:
        await _refuse_truncated(answer, texts)
    rows = _ranked(
        answer,
        logits=asked.function_to_apply == "none",
        chosen_only=bool(asked.decisions),
        count=asked.top_k,
    )
    content = [[{"label": label, "score": score} for label, score in pairs] for pairs in rows]
    return json_response(content, headers=answer_headers(answer))


def _tei_texts(inputs: str | list[str] | list[list[str]]) -> list[str]:
    """Return the texts of a request; raise `Problem` for pairs."""
    if isinstance(inputs, str):
        return [inputs]
    texts = []
    for each in [inputs] if isinstance(inputs[0], str) else inputs:
        if len(each) == 2:
            raise Problem(422, _PAIR.format('"..."'))
        if len(each) != 1:
            raise Problem(422, f'inputs: {len(each)} texts in one list; a batch is [["a"], ["b"]].')
        texts.append(each[0])
    return texts


def _ranked(
    answer: Answer, *, logits: bool, chosen_only: bool, count: int | None = None
) -> list[list[tuple[str, float]]]:
    """Return labels with their values for each text, the highest value first."""
    rows = []
    for row, values in enumerate(answer.logits if logits else answer.scores):
        pairs = list(zip(answer.names, values, strict=True))
        if chosen_only:
            chosen = set(answer.labels[row])
            pairs = [pair for pair in pairs if pair[0] in chosen]
        rows.append(sorted(pairs, key=lambda pair: -pair[1])[:count])
    return rows


async def _refuse_truncated(answer: Answer, texts: list[str]) -> None:
    """Raise `Problem` for texts that were cut, where the client does not want that.

    The words are those of text-embeddings-inference, whose clients read the numbers out of them.
    """
    if any(answer.truncated):
        first = answer.truncated.index(True)
        predictor = answer.serving.predictor
        whole = await asyncio.to_thread(tokenize, predictor.tokenizer, [texts[first]], _NO_LIMIT)
        raise Problem(
            422,
            f"Input validation error: `inputs` must have less than {predictor.artifact.max_length} tokens. "
            f"Given: {whole.lengths[0]}",
        )


def answer_headers(answer: Answer) -> dict[str, str]:
    """Return what an answer of a foreign shape has no place for."""
    headers = {"multihot-decision": answer.serving.version}
    if any(answer.truncated):
        headers["multihot-truncated"] = str(sum(answer.truncated))
    return headers
