"""Our own routes: `/v1/predict`, `/v1/models` and `/info`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from multihot.inference.artifact import Artifact
from multihot.serving.bodies import STRICT, body_schema, read_body
from multihot.serving.problems import json_response
from multihot.serving.running import Answer, Running
from multihot.serving.served_model import ServedModel

__all__ = ["Name", "listed_model", "native_routes"]

_EXAMPLE = {"texts": ["I'm happy, the bert model is so good"]}
Name = Annotated[str, Field(min_length=1, max_length=1000)]
Part = Literal["labels", "scores", "logits"]


class PredictRequest(BaseModel):
    """Texts to label."""

    model_config = STRICT

    texts: list[str] = Field(min_length=1, max_length=10_000)
    model: Name | None = None
    """Name of a served model; default: the first."""
    thresholds: dict[Name, Annotated[float, Field(ge=0, le=1)]] | None = Field(
        None, max_length=100_000
    )
    """Of some labels, for this request only."""
    top_k: int | None = Field(None, ge=1, le=100_000)
    """Return the scores of the best labels only."""
    parts: list[Part] | None = Field(None, alias="return", min_length=1, max_length=3)
    """What each result holds; default: labels and scores."""


def native_routes(running: Running) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["multihot"])

    @router.post("/v1/predict", openapi_extra=body_schema(PredictRequest, _EXAMPLE))
    async def predict(request: Request) -> Response:
        """Label texts: chosen labels, scores, and what was cut."""
        body = await read_body(request, PredictRequest)
        served = running.model(body.model)
        answer = await running.answer(
            request, body.texts, model=body.model, thresholds=body.thresholds
        )
        parts = set(body.parts or ("labels", "scores"))
        return json_response(
            {
                "model": served.name,
                "decision": answer.serving.version,
                "thresholds": answer.thresholds,
                "results": [
                    _result(answer, row, parts, body.top_k) for row in range(len(body.texts))
                ],
            }
        )

    @router.get("/v1/models")
    async def models() -> Response:
        """List the served models, as OpenAI's clients expect it."""
        data = [listed_model(name) for name in running.models]
        return json_response({"object": "list", "data": data})

    @router.get("/info")
    async def info() -> Response:
        """Describe models, decisions and limits."""
        return json_response(_information(running))

    return router


def listed_model(name: str) -> dict[str, Any]:
    """Return a model as OpenAI's clients expect it in a list."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "multihot"}


def _result(answer: Answer, row: int, parts: set[Part], top_k: int | None) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if "labels" in parts:
        result["labels"] = answer.labels[row]
    if "scores" in parts:
        result["scores"] = best(answer.by_name(row), top_k)
    if "logits" in parts:
        result["logits"] = dict(zip(answer.names, answer.logits[row], strict=True))
    windows = answer.windows[row]
    return {
        **result,
        "num_tokens": answer.num_tokens[row],
        "truncated": answer.truncated[row],
        "abstained": answer.abstained(row),
        **({} if windows is None else {"windows": windows.to_json()}),
    }


def best(scores: dict[str, float], count: int | None) -> dict[str, float]:
    """Return the highest scores, the highest first; without a count all of them in class order."""
    if count is None:
        return scores
    return dict(sorted(scores.items(), key=lambda pair: -pair[1])[:count])


def _information(running: Running) -> dict[str, Any]:
    """Return what text-embeddings-inference says of itself, and more."""
    first = running.model(None)
    options, names = running.options, first.now.decision.space.names
    exported = first.now.predictor.artifact.exported
    return {
        "model_id": first.name,
        "model_sha": None if exported is None else exported.weights_sha256,
        "model_dtype": "float32",
        "model_type": {
            "classifier": {
                "id2label": {str(number): name for number, name in enumerate(names)},
                "label2id": {name: number for number, name in enumerate(names)},
            }
        },
        "max_input_length": first.now.predictor.artifact.max_length,
        "max_batch_tokens": options.max_queue_tokens,
        "max_client_batch_size": options.max_texts,
        "version": version("multihot"),
        "models": [_description(served) for served in running.models.values()],
        "limits": {
            "max_texts": options.max_texts,
            "max_characters": options.max_characters,
            "max_body_bytes": options.max_body_bytes,
            "max_queue_tokens": options.max_queue_tokens,
            "deadline_seconds": options.deadline_seconds,
        },
    }


def _description(served: ServedModel) -> dict[str, Any]:
    serving = served.now
    artifact: Artifact = serving.predictor.artifact
    decision, exported = serving.decision, artifact.exported
    return {
        "name": served.name,
        "labels": list(decision.space.names),
        "thresholds": decision.thresholds_by_name(),
        "threshold_kind": decision.kind,
        "decision": serving.version,
        "goal": decision.goal,
        "calibration": None if decision.calibration is None else decision.calibration.method,
        "empty_set_rule": decision.empty_set_rule,
        "max_length": artifact.max_length,
        "pooling": artifact.pooling,
        **({} if artifact.windows is None else {"windows": artifact.windows.to_json()}),
        "form": artifact.form,
        "precision": "fp32" if exported is None else exported.precision,
        "folded": exported is not None and exported.folded,
    }
