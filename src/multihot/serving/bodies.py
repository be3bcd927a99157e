"""Bodies of requests: strict JSON, checked against a model that is also what `/openapi.json` says."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Path, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from multihot.core.text_tables import cut
from multihot.errors import DataError
from multihot.gate.json_documents import parse_json_object
from multihot.serving.problems import Problem
from multihot.serving.running import Running

__all__ = ["KEYS_OF_QUESTIONS", "STRICT", "body_schema", "model_in_path", "parse_body", "read_body"]

Content = TypeVar("Content", bound=BaseModel)
_MAX_DEPTH = 16
KEYS_OF_QUESTIONS = 50_000
"""Keys of the body with most of them beside thresholds: of 10,000 questions with all they may have."""
_MOST_ERRORS = 3
_MOST_COUNTED = 1000  # errors; pydantic describes all of them or none, each in 500 bytes


STRICT = ConfigDict(extra="forbid", strict=True)
"""A JSON object whose unknown keys are refused, and whose values are not converted."""


async def read_body(request: Request, kind: type[Content]) -> Content:
    """Return the body of a request; raise `Problem` (422) for one that is not as described."""
    return parse_body(await request.body(), kind, max_keys=request.app.state.max_keys)


def parse_body(
    content: bytes,
    kind: type[Content],
    source: str = "The request body",
    *,
    max_keys: int = KEYS_OF_QUESTIONS,
) -> Content:
    """Return what JSON describes; raise `Problem` (422) for any that is not as described."""
    try:
        parsed = parse_json_object(
            content, source, error=DataError, max_depth=_MAX_DEPTH, max_keys=max_keys
        )
        return kind.model_validate(parsed)
    except DataError as error:
        raise Problem(422, str(error)) from None
    except ValidationError as error:
        raise Problem(422, _sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    """Say where a body differs; what the client sent is not repeated at length."""
    if error.error_count() > _MOST_COUNTED:
        return (
            f"The body differs in {error.error_count()} places from what /openapi.json describes."
        )
    found = error.errors(include_url=False, include_context=False, include_input=False)
    parts = [
        f"{cut('.'.join(map(str, each['loc'])) or 'body')}: {cut(each['msg'])}"
        for each in found[:_MOST_ERRORS]
    ]
    more = f" ({len(found) - _MOST_ERRORS} more)" if len(found) > _MOST_ERRORS else ""
    return f"{'; '.join(parts)}{more}."


def body_schema(
    kind: type[BaseModel], example: dict[str, Any], answer: Any = None
) -> dict[str, Any]:
    """Return what OpenAPI says of a route whose body is read by `read_body`, with an example of its answer."""
    schema = kind.model_json_schema()
    definitions = schema.pop("$defs", {})
    content = {"schema": _inlined(schema, definitions), "example": example}
    described: dict[str, Any] = {
        "requestBody": {"required": True, "content": {"application/json": content}}
    }
    if answer is not None:
        described["responses"] = {"200": {"content": {"application/json": {"example": answer}}}}
    return described


def model_in_path(running: Running) -> Any:
    """Return the parameter of a route for the name of a model, with those that are served."""
    return Path(json_schema_extra={"enum": list(running.models)})


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, dict):
        if (reference := node.get("$ref")) is not None:
            return _inlined(definitions[reference.rpartition("/")[2]], definitions)
        return {key: _inlined(value, definitions) for key, value in node.items()}
    if isinstance(node, list):
        return [_inlined(each, definitions) for each in node]
    return node
