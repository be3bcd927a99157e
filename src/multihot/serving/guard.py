"""The outermost layer of the server: who may ask, in what form, and for how long.

It refuses before a body is read, and adds to every answer what a browser should know. Written for ASGI
directly, since it sees every request.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import json
import re
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from multihot.serving.log import log_line
from multihot.serving.options import ServeOptions, own_names, same_secret
from multihot.serving.problems import CLIENT_LEFT, Problem, busy, failure, problem_response
from multihot.serving.running import Running

__all__ = ["Guard"]

_NAMES = re.compile(rb"[A-Za-z0-9-]+(, ?[A-Za-z0-9-]+){0,49}")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_JSON_TYPE = re.compile(r"application/json\s*(;\s*charset=\"?utf-8\"?\s*)?", re.IGNORECASE)
_TENSORS = re.compile(r"/v2/models/.+/infer")
_TENSOR_TYPES = ("", "application/octet-stream")  # clients of Triton name none
_POLICY = b"default-src 'none'; frame-ancestors 'none'"
_SAFETY = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
    b"content-security-policy": _POLICY,
}
_REPORTS = frozenset(
    {"/livez", "/readyz", "/health", "/metrics", "/v2/health/live", "/v2/health/ready"}
)
# A line for each: Chromium reads the first scheme of a line only.
_CHALLENGES = [
    (b"www-authenticate", b'Bearer realm="multihot"'),
    (b"www-authenticate", b'Basic realm="multihot", charset="UTF-8"'),
]
_MOST_QUERY_BYTES = 2048
_PLAIN_ADDRESS = re.compile(rb"/[A-Za-z0-9/._-]*")
_LARGE_BODY = 65_536  # bytes, after which memory is given back


class Guard:
    """Wraps the application; *state* is what the application shares."""

    def __init__(self, app: ASGIApp, running: Running) -> None:
        self._app = app
        self._running = running
        self._names = own_names() | {name.lower() for name in running.options.allowed_hosts}
        self._origins = frozenset(origin.lower() for origin in running.options.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def busy_answer(
        self, method: bytes, address: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> bytes | None:
        """Return headers and body that answer a request which nothing but the load refuses (429).

        `None` for any other. `__call__` would say the same; but a server that is asked for ten times what
        it can compute would then be busy with refusing.
        """
        running = self._running
        if not running.engine.is_full or running.is_draining or running.options.log_requests:
            return None
        given = _by_name(headers)
        is_plain = method == b"POST" and _PLAIN_ADDRESS.fullmatch(address) is not None
        path = address.decode("latin-1")
        if not is_plain or path in _REPORTS or given.keys() & _UNUSUAL:
            return None
        try:
            self._check_caller("POST", given)
        except Problem:
            return None
        running.metrics.count_request("other", 429, 0.0)
        head, body = _busy_parts(path, running.engine.retry_seconds)
        return b"%bx-request-id: %b\r\n\r\n%b" % (head, _request_id(given).encode(), body)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        running = self._running
        began = time.perf_counter()
        headers = _by_name(scope["headers"])
        request_id = _request_id(headers)
        scope["multihot.request"] = request_id
        scope["multihot.deadline"] = (
            asyncio.get_running_loop().time() + running.options.deadline_seconds
        )
        reply = _Reply(send, request_id, closes=running.is_draining, cors=self._cors(headers))
        running.num_active += 1
        try:
            await self._checked(scope, headers, receive, reply)
        except Problem as problem:
            await _respond(problem, scope, receive, reply)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client learns nothing of it
            _log_failure(error, request_id)
            if not reply.has_started:
                await _respond(failure(request_id), scope, receive, reply)
        finally:
            running.num_active -= 1
            self._count(scope, reply, time.perf_counter() - began, request_id)

    async def _checked(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, reply: _Reply
    ) -> None:
        if headers.get(_DUPLICATE):
            raise Problem(400, "A header that may come once came twice.")
        self._check_caller(scope["method"], headers)
        if len(scope["query_string"]) > _MOST_QUERY_BYTES:
            raise Problem(414, "The query is too long.")
        if scope["method"] == "OPTIONS" and reply.cors:
            await _respond_preflight(headers, reply)
            return
        if scope["path"] not in _REPORTS:
            self._check_capacity()
        if scope["method"] == "POST":
            _check_form(scope["path"], headers, self._running.options)
            receive = _timed(receive, self._running)
        await self._app(scope, receive, reply.send)

    def _check_caller(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_known(host):
            raise Problem(
                403,
                "The server is not called by this name; start it with --allowed-host to allow it.",
            )
        origin = headers.get(b"origin")
        if origin is not None and not self._is_own(origin.decode("latin-1"), host):
            raise Problem(
                403, "Pages of this origin may not ask; start the server with --allowed-origin."
            )
        token = self._running.options.token
        preflight = method == "OPTIONS" and origin is not None
        if token is not None and not preflight and not same_secret(_secret(headers), token):
            raise Problem(401, "The token is missing or wrong.")

    def _is_known(self, host: str) -> bool:
        """Return whether the header names this machine: an address cannot be rebound, a name can."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].lower()
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _is_own(self, origin: str, host: str) -> bool:
        if origin.lower() in self._origins:
            return True
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()

    def _cors(self, headers: Mapping[bytes, bytes]) -> bytes | None:
        origin = headers.get(b"origin")
        if origin is not None and origin.decode("latin-1").lower() in self._origins:
            return origin
        return None

    def _check_capacity(self) -> None:
        running = self._running
        if running.is_draining:
            raise Problem(503, "The server is stopping; ask another one.", retry_seconds=1)
        if running.engine.is_full:
            raise busy(running.engine.retry_seconds)

    def _count(self, scope: Scope, reply: _Reply, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", None) or "other"
        self._running.metrics.count_request(route, reply.status, seconds)
        if self._running.options.log_requests:
            line = {
                "request": request_id,
                "method": scope["method"],
                "route": route,
                "status": reply.status,
                "milliseconds": round(1000 * seconds, 2),
            }
            log_line(json.dumps(line))


class _Reply:
    """Sends an answer with the headers that each has; `status` is `CLIENT_LEFT` until one has begun."""

    def __init__(self, send: Send, request_id: str, *, closes: bool, cors: bytes | None) -> None:
        self._send = send
        self._added = [(b"x-request-id", request_id.encode())]
        if closes:
            self._added.append((b"connection", b"close"))
        if cors is not None:
            self._added += [(b"access-control-allow-origin", cors), (b"vary", b"Origin")]
        self.cors = cors
        self.has_started = False
        self.status = CLIENT_LEFT

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started, self.status = True, message["status"]
            given = list(message["headers"])
            if self.status == HTTPStatus.UNAUTHORIZED:
                given += _CHALLENGES
            message = {**message, "headers": [*_with_safety(given), *self._added]}
        await self._send(message)


def _with_safety(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name for name, _ in headers}
    return headers + [pair for pair in _SAFETY.items() if pair[0] not in names]


@lru_cache(maxsize=64)
def _busy_parts(path: str, retry_seconds: int) -> tuple[bytes, bytes]:
    """Return the headers of an answer, but for the request's own, and its body."""
    response = problem_response(busy(retry_seconds), path)
    headers = _with_safety(response.raw_headers)
    lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
    return lines, bytes(response.body)


async def _respond(problem: Problem, scope: Scope, receive: Receive, reply: _Reply) -> None:
    await problem_response(problem, scope["path"])(scope, receive, reply.send)


async def _respond_preflight(headers: Mapping[bytes, bytes], reply: _Reply) -> None:
    wanted = headers.get(b"access-control-request-headers", b"")
    answer = [
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", wanted if _NAMES.fullmatch(wanted) else b"content-type"),
        (b"access-control-max-age", b"600"),
    ]
    await reply.send({"type": "http.response.start", "status": 204, "headers": answer})
    await reply.send({"type": "http.response.body", "body": b""})


def _by_name(headers: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by name; those that decide something may come once."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in found and name in _ONCE:
            found[_DUPLICATE] = b"1"
        found[name] = value
    return found


_DUPLICATE = b"multihot-duplicate"
_ONCE = frozenset({b"host", b"origin", b"authorization", b"content-type", b"content-length"})
_UNUSUAL = frozenset({_DUPLICATE, b"origin", b"expect", b"upgrade"})


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _secret(headers: Mapping[bytes, bytes]) -> str:
    """Return the token of a request: as Bearer, or as the password of Basic, which browsers ask for."""
    scheme, _, value = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return (
                base64.b64decode(value.strip(), validate=True).decode("latin-1").partition(":")[2]
            )
        except (binascii.Error, ValueError):
            return ""
    return ""


def _check_form(path: str, headers: Mapping[bytes, bytes], options: ServeOptions) -> None:
    """Raise `Problem` unless a body is JSON, not compressed, and not too long as far as is known."""
    kind = headers.get(b"content-type", b"").decode("latin-1")
    is_tensor = kind in _TENSOR_TYPES and _TENSORS.fullmatch(path) is not None
    if not is_tensor and not _JSON_TYPE.fullmatch(kind):
        raise Problem(415, "Expected a body of the type application/json in UTF-8.")
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Problem(415, "Compressed bodies are not accepted.")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > options.max_body_bytes:
        raise Problem(413, f"The body is larger than {options.max_body_bytes} bytes.")


def _timed(receive: Receive, running: Running) -> Receive:
    """Return what receives a body that has to be there in time, and nothing after that."""
    seconds = running.options.body_seconds
    deadline = asyncio.get_running_loop().time() + seconds
    is_complete = False
    num_bytes = 0

    async def timed() -> Message:
        nonlocal is_complete, num_bytes
        if is_complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise Problem(
                408,
                f"The body did not arrive in {seconds:g} seconds.",
                headers={"connection": "close"},
            ) from None
        num_bytes += len(message.get("body", b""))
        if num_bytes > _LARGE_BODY:
            running.has_read_large_body = True
        is_complete = not message.get("more_body", False)
        return message

    return timed


def _log_failure(error: Exception, request_id: str) -> None:
    """Log where it failed; not what an error says, which may repeat a text."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames[-6:]))
    log_line(f"request {request_id} failed: {type(error).__name__} at {where}")
