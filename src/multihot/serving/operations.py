"""Routes for whoever runs the server: is it alive, is it ready, what has it done."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from multihot.serving.metrics import CONTENT_TYPE_LATEST
from multihot.serving.problems import Problem, json_response
from multihot.serving.running import Running

__all__ = ["operation_routes"]


def operation_routes(running: Running) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["operations"])

    @router.get("/livez")
    async def alive() -> Response:
        """Answer as long as the process does."""
        return json_response({"status": "alive"})

    @router.get("/readyz")
    @router.get("/health")
    async def ready() -> Response:
        """Answer 200 while requests are accepted, else 503."""
        if running.is_draining:
            raise Problem(503, "The server is stopping.", retry_seconds=1)
        return json_response({"status": "ready"})

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Return counters in the text format of Prometheus."""
        running.metrics.queue_tokens.set(running.engine.queue_tokens)
        running.metrics.in_flight.set(running.num_active)
        return Response(running.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return router
