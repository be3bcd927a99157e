"""One connection of HTTP/1.1: uvicorn's, with bounds of what comes before a body, and of what waits."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

__all__ = ["BoundedConnection", "set_header_seconds"]

_MOST_HEADER_BYTES = 32_768
_MOST_HEADERS = 100
_MOST_WAITING = 64  # requests of one connection that were sent before the answers to earlier ones
_header_seconds = 10.0
_REFUSED: Any = SimpleNamespace(
    response_complete=True,
    more_body=False,
    disconnected=False,
    keep_alive=True,
    message_event=SimpleNamespace(set=lambda: None),
)
"""What a connection takes for the request that it answers, after one that it has refused itself."""


def set_header_seconds(seconds: float) -> None:
    """Set how long a client of this process may take to send headers, or to take what was sent to it."""
    global _header_seconds  # noqa: PLW0603 - uvicorn makes the connections, and passes nothing of ours
    _header_seconds = seconds


class BoundedConnection(HttpToolsProtocol):
    """Closes a connection whose headers are too many, too long (431) or too slow (408).

    uvicorn 0.54 waits for the end of headers for ever, takes any number of them, and of requests in a row,
    and keeps what a client does not take for ever. The application is a `Guard`.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._num_header_bytes = 0
        self._num_idle_bytes = 0
        """Received since anything became of it."""
        self._takes_more = True
        self._timer: asyncio.TimerHandle | None = None
        self._giving_up: asyncio.TimerHandle | None = None
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        self._stop_giving_up()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if not self._takes_more or self.transport.is_closing():
            return
        if self._timer is None and self._is_idle():
            self._await_headers()
        self._num_idle_bytes += len(data)
        super().data_received(data)
        if self._num_idle_bytes > _MOST_HEADER_BYTES + len(data):
            if self._timer is not None:
                self._num_header_bytes = self._num_idle_bytes
            self.send_400_response("")  # a header, or what is between chunks, without an end

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._num_header_bytes = self._num_idle_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind a body are counted, too."""
        if len(self.headers) >= _MOST_HEADERS:
            self._num_header_bytes = _MOST_HEADER_BYTES
        self._count(name + value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Answer the request, unless too many wait already."""
        self._stop_timer()
        self._num_idle_bytes = 0
        if len(self.pipeline) >= _MOST_WAITING:
            raise ValueError("Too many requests wait.")
        if not self._refuses_at_once():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._num_idle_bytes = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Go on with the next request; a client that does not take the last answer is given up."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._give_up_later()

    def send_400_response(self, msg: str) -> None:
        """Refuse what was sent last; requests before it get their answers first, and then no other does."""
        self._takes_more = False
        if self._is_idle() or (self.cycle.more_body and not self.pipeline):
            self._close_with(431 if self._num_header_bytes > _MOST_HEADER_BYTES else 400)
        else:
            self.cycle.keep_alive = False

    def pause_writing(self) -> None:
        """Wait until the client takes what was sent; not for ever."""
        super().pause_writing()
        self._give_up_later()

    def resume_writing(self) -> None:
        """Go on."""
        self._stop_giving_up()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that is not used."""
        super().timeout_keep_alive_handler()
        self._give_up_later()

    def _refuses_at_once(self) -> bool:
        """Answer without a task where the load alone is the reason; what is unusual goes the long way."""
        parser = self.parser
        if (
            not self._is_idle()
            or self.flow.write_paused
            or self.transport.is_closing()
            or parser.get_http_version() != "1.1"
            or not parser.should_keep_alive()
        ):
            return False
        guard: Any = self.app
        answer = guard.busy_answer(parser.get_method(), self.url, self.headers)
        if answer is None:
            return False
        self.cycle = _REFUSED
        own = b"".join(b"%b: %b\r\n" % pair for pair in self.server_state.default_headers)
        self.transport.write(STATUS_LINE[429] + own + answer)
        self.on_response_complete()
        return True

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _count(self, part: bytes) -> None:
        self._num_header_bytes += len(part)
        if self._num_header_bytes > _MOST_HEADER_BYTES:
            raise ValueError("The headers are too large.")

    def _await_headers(self) -> None:
        self._timer = self.loop.call_later(_header_seconds, self._close_with, 408)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up_later(self, left: int | None = None) -> None:
        """End the connection, unless less is to be sent after a while than before."""
        self._stop_giving_up()
        size = self.transport.get_write_buffer_size()
        if left is not None and size >= left:
            self.transport.abort()
        elif size:
            self._giving_up = self.loop.call_later(_header_seconds, self._give_up_later, size)

    def _stop_giving_up(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _close_with(self, status: int) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self.transport.write(
                STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()
            self._give_up_later()
