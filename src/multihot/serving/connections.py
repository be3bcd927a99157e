"""One connection of HTTP/1.1: uvicorn's, with bounds of what comes before a body."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

__all__ = ["BoundedConnection", "set_header_seconds"]

_MOST_HEADER_BYTES = 32_768
_MOST_HEADERS = 100
_header_seconds = 10.0


def set_header_seconds(seconds: float) -> None:
    """Set how long a client of this process may take to send the headers of a request."""
    global _header_seconds  # noqa: PLW0603 - uvicorn makes the connections, and passes nothing of ours
    _header_seconds = seconds


class BoundedConnection(HttpToolsProtocol):
    """Closes a connection whose headers are too many, too long (431) or too slow (408).

    uvicorn 0.54 waits for the end of headers for ever, and takes any number of them.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._num_header_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._await_headers()
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._num_header_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count(name + value)
        if len(self.headers) >= _MOST_HEADERS:
            self._num_header_bytes = _MOST_HEADER_BYTES + 1
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Answer the request, unless its headers were too large."""
        self._stop_timer()
        if self._num_header_bytes > _MOST_HEADER_BYTES:
            self._close_with(431)
            raise ValueError("The headers are too large.")
        super().on_headers_complete()

    def _count(self, part: bytes) -> None:
        self._num_header_bytes += len(part)

    def _await_headers(self) -> None:
        self._timer = self.loop.call_later(_header_seconds, self._close_with, 408)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_with(self, status: int) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self.transport.write(
                STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()
