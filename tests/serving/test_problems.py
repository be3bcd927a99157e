"""A refusal speaks the language of the API that was asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multihot.serving.problems import Problem, problem_response


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "/v1/predict",
            {"type": "about:blank", "title": "Too Many Requests", "status": 429, "detail": "Busy."},
        ),
        ("/", {"error": "Busy.", "error_type": "Overloaded"}),
        ("/models/ec", {"error": "Busy.", "error_type": "Overloaded"}),
        ("/predict", {"error": "Busy.", "error_type": "Overloaded"}),
        (
            "/v1/moderations",
            {
                "error": {
                    "message": "Busy.",
                    "type": "rate_limit_error",
                    "param": None,
                    "code": None,
                }
            },
        ),
        ("/v2/models/ec/infer", {"error": "Busy."}),
        ("/v1/systemone", {"detail": "Busy."}),
        ("/no/such/route", {"type": "about:blank", "title": "Too Many Requests", "status": 429}),
    ],
)
def test_a_refusal_has_the_shape_of_its_route(path: str, expected: dict[str, Any]) -> None:
    response = problem_response(Problem(429, "Busy.", retry_seconds=3), path)

    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"
    assert json.loads(bytes(response.body)).items() >= expected.items()


@pytest.mark.parametrize(
    ("status", "tei", "openai"),
    [
        (401, "Validation", "invalid_request_error"),
        (413, "Validation", "invalid_request_error"),
        (422, "Validation", "invalid_request_error"),
        (500, "Backend", "server_error"),
        (503, "Unhealthy", "server_error"),
        (504, "Backend", "server_error"),
    ],
)
def test_errors_have_the_types_that_clients_know(status: int, tei: str, openai: str) -> None:
    problem = Problem(status, "No.")

    found = json.loads(bytes(problem_response(problem, "/predict").body))
    moderation = json.loads(bytes(problem_response(problem, "/v1/moderations").body))

    assert found["error_type"] == tei
    assert moderation["error"]["type"] == openai
