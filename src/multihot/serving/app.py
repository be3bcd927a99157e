"""The application: routes behind the guard."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from importlib.metadata import version

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from multihot.core.processors import passes_at_once
from multihot.serving.bodies import KEYS_OF_QUESTIONS
from multihot.serving.engine import Engine
from multihot.serving.guard import Guard
from multihot.serving.huggingface import huggingface_routes
from multihot.serving.inference_protocol import inference_protocol_routes
from multihot.serving.native import native_routes
from multihot.serving.openai_moderation import moderation_routes
from multihot.serving.operations import operation_routes
from multihot.serving.options import ServeOptions
from multihot.serving.page import page_routes
from multihot.serving.problems import CLIENT_LEFT, Problem, failure, problem_response
from multihot.serving.running import Running
from multihot.serving.served_model import load_served_models
from multihot.serving.systemone import systemone_routes

__all__ = ["create_app", "start_running"]

_ROUTES = (
    page_routes,
    native_routes,
    operation_routes,
    huggingface_routes,
    moderation_routes,
    inference_protocol_routes,
    systemone_routes,
)
_WAITING_SHARE = 0.25  # of the deadline that a request may spend in the queue
_REFUSALS = {
    400: "The request is malformed.",
    401: "The token is missing or wrong.",
    403: "The host or the origin is not allowed.",
    404: "There is no such route or model.",
    408: "The body did not arrive in time.",
    413: "The body, a text or the number of texts is too large.",
    415: "The body is not JSON in UTF-8.",
    422: "The body is not as described.",
    429: "The server is busy; Retry-After says when to come back.",
    503: "The server is stopping.",
    504: "The answer was not ready before its deadline.",
}


def start_running(options: ServeOptions) -> Running:
    """Load the models; raises `MultihotError` where one cannot be loaded."""
    models = load_served_models(options.models, options.backend)
    engine = Engine(
        num_passes=passes_at_once(options.workers),
        pass_tokens=options.pass_tokens,
        max_queue_tokens=options.max_queue_tokens,
        max_wait_seconds=options.deadline_seconds * _WAITING_SHARE,
    )
    return Running(options, models, engine)


def create_app(running: Running) -> Guard:
    """Return the ASGI application of a server."""
    app = FastAPI(
        title="multihot",
        version=version("multihot"),
        summary="Decisions of multi-label text classifiers.",
        lifespan=lambda app: _lifespan(running),
        docs_url=None,
        redoc_url=None,
        responses={status: {"description": text} for status, text in _REFUSALS.items()},
        max_body_size=running.options.max_body_bytes,
        redirect_slashes=False,
    )
    most_labels = max(len(served.now.decision.space) for served in running.models.values())
    app.state.max_keys = KEYS_OF_QUESTIONS + most_labels  # each may have a threshold
    for routes in _ROUTES:
        app.include_router(routes(running))
    app.add_exception_handler(HTTPException, _refuse)
    app.add_exception_handler(ClientDisconnect, _leave)
    app.add_exception_handler(Exception, _fail)
    return Guard(app, running)


@contextlib.asynccontextmanager
async def _lifespan(running: Running) -> AsyncIterator[None]:
    gc.collect()
    gc.freeze()  # what is loaded stays, and no collection looks through it again
    tasks = [
        asyncio.create_task(each)
        for each in (running.look_for_decisions(), running.return_memory())
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        running.close()


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(error, request.url.path)


async def _leave(request: Request, error: Exception) -> Response:
    """Count a client that left before its body was complete; it gets no answer."""
    return problem_response(Problem(CLIENT_LEFT, "The client has left."), request.url.path)


async def _fail(request: Request, error: Exception) -> Response:
    return problem_response(failure(request.scope["multihot.request"]), request.url.path)
