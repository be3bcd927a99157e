"""The page at `/`, on which people try a served model: one file, which asks `/info` and `/v1/predict`."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import APIRouter, Response

from multihot.serving.running import Running

__all__ = ["PAGE_POLICY", "page_html", "page_routes"]


def _read() -> bytes:
    """Return the file with the line ends that browsers hash, whatever a checkout made of them."""
    return files("multihot.serving").joinpath("page.html").read_bytes().replace(b"\r\n", b"\n")


def _digest(tag: str) -> str:
    """Return the hash of the only inline element of a kind, as policies write it."""
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), _PAGE, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"


_PAGE = _read()

PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src {_digest('script')}",
        f"style-src {_digest('style')}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""What the page may do: run its own script, look like its own style, and ask its own server."""


def page_html() -> bytes:
    """Return the page."""
    return _PAGE


def page_routes(running: Running) -> APIRouter:
    """Return the route; the page learns from the others what is served."""
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(
            page_html(),
            media_type="text/html; charset=utf-8",
            headers={"content-security-policy": PAGE_POLICY},
        )

    return router
