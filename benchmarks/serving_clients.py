"""Start `multihot serve` and ask it over plain sockets, so that a client hides nothing of what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Connection", "Reply", "Server", "encode", "resident_bytes", "running_server"]

_START_SECONDS = 120.0
_READ_SECONDS = 60.0
_LIMIT = 1 << 26


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, which is JSON."""
        return json.loads(self.body)


@dataclass
class Server:
    """A server that runs; `log` is where it writes standard error."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int = 0
    host: str = "127.0.0.1"
    names: list[str] = field(default_factory=list)

    def workers(self) -> list[int]:
        """Return the processes that answer: the server itself, or its children that were spawned."""
        pid = self.process.pid
        found = _children(pid)
        spawned = [each for each in found if "spawn_main" in _command(each)]
        return spawned or [pid]

    def said(self) -> str:
        """Return what it wrote to standard error so far."""
        return self.log.read_text("utf-8", "replace")

    def stop(self, seconds: float = 60.0) -> int:
        """Send SIGTERM and return the exit code; one that does not end is killed, and is -9."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextlib.contextmanager
def running_server(
    *models: Path | str,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    host: str = "127.0.0.1",
) -> Iterator[Server]:
    """Run a server on a free port for the block; whatever is left of it is killed in the end."""
    words = [sys.executable, "-m", "multihot", "serve", *map(str, models)]
    words += ["--port", "0", "--host", host, *options]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "stderr.txt"
        with log.open("wb") as handle:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=handle,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        server = Server(process, log, host=host)
        try:
            server.port = _port(server)
            yield server
        finally:
            server.stop()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)


def _port(server: Server) -> int:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        if match := re.search(r"^http://\S+:(\d+) answers", server.said(), re.MULTILINE):
            return int(match[1])
        time.sleep(0.02)
    raise SystemExit(f"The server does not start:\n{server.said()[-2000:]}")


def encode(
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    host: str = "127.0.0.1",
) -> bytes:
    """Return the bytes of a request with a JSON body."""
    content = b"" if body is None else json.dumps(body).encode()
    given = {"Host": host, **(headers or {})}
    if body is not None:
        given |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


class Connection:
    """A client's connection, opened when it is first needed and again when the server closed it."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.is_sent = False
        """Whether all bytes of the present request were handed over."""

    async def ask(self, request: bytes, *, pause: float = 0.0) -> Reply:
        """Send a request, in two parts where there is a pause between them, and return the answer.

        Raises `ConnectionError` or `EOFError` where the connection ends before.
        """
        self.is_sent = False
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=_LIMIT)
        reader, writer = self._streams
        middle = len(request) // 2 if pause else 0
        try:
            if pause:
                writer.write(request[:middle])
                await writer.drain()
                await asyncio.sleep(pause)
            writer.write(request[middle:])
            await writer.drain()
            self.is_sent = True
            reply = await asyncio.wait_for(_read(reader), _READ_SECONDS)
        except BaseException:
            self.close()
            raise
        if reply.headers.get("connection") == "close":
            self.close()
        return reply

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {}
    for line in head[1:-2]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Reply(int(head[0].split(" ")[1]), headers, body)


def resident_bytes(pids: Sequence[int]) -> int:
    """Return the memory of processes that is theirs alone: without mapped files."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
            if line.startswith("RssAnon:"):
                total += 1024 * int(line.split()[1])
    return total


def _children(pid: int) -> list[int]:
    try:
        return [
            int(each)
            for each in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        ]
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
