"""Requests of honest clients, up to the largest that are accepted, so that a server has its working size.

Memory that grows afterwards is what a server does not give back; before, it is what any server of these limits
needs: buffers of the tokenizer for texts of 100,000 characters, batches of every shape, JSON of two megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from serving_clients import encode

__all__ = ["warm_up_requests"]

_SMALL = 1000
_TIMES = 3  # that each of the large ones is sent
_MOST_CHARACTERS, _MOST_TEXTS, _MOST_BYTES = 100_000, 32, 2_000_000  # as `multihot serve` has them
_MOST_QUESTIONS = 10_000
_MARGIN = 50_000  # bytes of a body beside its texts
_PAGES = ("/", "/info", "/metrics", "/openapi.json", "/v1/models", "/livez", "/readyz", "/health")


def warm_up_requests(name: str, labels: list[str]) -> Iterator[bytes]:
    """Yield requests of all sizes and routes; each is accepted."""
    for number in range(_SMALL):
        text = f"warm {number} " * (1 if number % 10 else 500)
        yield _post("/v1/predict", {"texts": [text] * (1 + number % _MOST_TEXTS)})
    for _ in range(_TIMES):
        for path in _PAGES:
            yield encode("GET", path, headers={"Connection": "close"})
        for path, body in _largest(name, labels):
            yield _post(path, body)


def _largest(name: str, labels: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    words, letters = "word " * (_MOST_CHARACTERS // 5), "a" * _MOST_CHARACTERS
    share = (_MOST_BYTES - _MARGIN) // _MOST_TEXTS
    for text in (words, letters, "a" + "\u0301" * (_MOST_CHARACTERS // 5)):
        for texts in ([text], [text[:share]] * _MOST_TEXTS if text.isascii() else [text] * 5):
            yield "/v1/predict", {"texts": texts, "thresholds": dict.fromkeys(labels, 0.5)}
            yield "/predict", {"inputs": [[each] for each in texts]}
            yield "/", {"inputs": texts}
            yield "/v1/moderations", {"input": texts}
            tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
            yield f"/v2/models/{name}/infer", {"inputs": [tensor]}
        yield "/v1/systemone", {"state": text, "questions": {labels[0]: {"type": "noul"}}}
    question = {"type": "noul", "instructions": labels[-1]}
    questions = {f"question {number}": question for number in range(_MOST_QUESTIONS)}
    yield "/v1/systemone", {"state": "warm", "questions": questions}


def _post(path: str, body: dict[str, Any]) -> bytes:
    return encode("POST", path, body, headers={"Connection": "close"})
