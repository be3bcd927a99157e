"""What a request is refused with, in the words of the API that it was asked by.

Our own routes answer as RFC 9457 describes; the shapes of other servers have their own error bodies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

__all__ = ["CLIENT_LEFT", "Problem", "busy", "failure", "json_response", "problem_response"]

_OPENAI_TYPES = {401: "invalid_request_error", 429: "rate_limit_error"}
_TEI_TYPES = {
    400: "Empty",
    413: "Validation",
    422: "Validation",
    424: "Backend",
    429: "Overloaded",
    503: "Unhealthy",
}
_SERVER_ERROR = 500

CLIENT_LEFT = 499
"""Status in counters and logs of a request whose client did not wait; HTTP itself has none."""


class Problem(HTTPException):
    """Why a request is not answered; `detail` is a sentence for the client.

    Parameters
    ----------
    status
        Of HTTP.
    detail
        What was given, what was expected, what to do.
    retry_seconds
        When to try again.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        retry_seconds: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        given = dict(headers or {})
        if retry_seconds is not None:
            given["retry-after"] = str(retry_seconds)
        super().__init__(status, detail, given)


def busy(retry_seconds: int) -> Problem:
    """Return what is said when nothing more is accepted."""
    return Problem(
        429,
        "The server has as much to do as it accepts; try again later.",
        retry_seconds=retry_seconds,
    )


def failure(request_id: str) -> Problem:
    """Return what is said of an error of our own: nothing but where to look."""
    return Problem(500, f"The server failed; its log has the request {request_id}.")


def json_response(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return strict JSON."""
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(body.encode(), status, dict(headers or {}), media_type="application/json")


def problem_response(problem: HTTPException, path: str) -> Response:
    """Return the answer to a request that failed, in the shape of its route."""
    status, detail = problem.status_code, str(problem.detail)
    headers = problem.headers or {}
    if path == "/v1/moderations":
        kind = _OPENAI_TYPES.get(
            status, "server_error" if status >= _SERVER_ERROR else "invalid_request_error"
        )
        error = {"message": detail, "type": kind, "param": None, "code": None}
        return json_response({"error": error}, status, headers)
    if path in ("/", "/predict") or path.startswith("/models/"):
        kind = _TEI_TYPES.get(status, "Backend" if status >= _SERVER_ERROR else "Validation")
        return json_response({"error": detail, "error_type": kind}, status, headers)
    if path == "/v2" or path.startswith("/v2/"):
        return json_response({"error": detail}, status, headers)
    if path == "/v1/systemone":
        return json_response({"detail": detail}, status, headers)
    title = "Client Closed Request" if status == CLIENT_LEFT else HTTPStatus(status).phrase
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    response = json_response(content, status, headers)
    response.headers["content-type"] = "application/problem+json"
    return response
