"""Starts `multihot serve` as a user does, and asks it with the standard library's client."""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

START_SECONDS = 60


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A server that answers at `url`; `said` is what it wrote to standard error so far."""

    process: subprocess.Popen[str]
    url: str
    said: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Reply:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        content = raw if body is None else json.dumps(body).encode()
        given = {"content-type": "application/json"} if content is not None else {}
        try:
            connection.request(method, path, content, {**given, **(headers or {})})
            response = connection.getresponse()
            found: dict[str, str] = {}
            for name, value in response.getheaders():  # those of several lines are one list
                before = found.get(name.lower())
                found[name.lower()] = value if before is None else f"{before}, {value}"
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def predict(self, *texts: str, **more: Any) -> Any:
        """Return what `/v1/predict` answers."""
        reply = self.ask("POST", "/v1/predict", {"texts": list(texts), **more})
        assert reply.status == 200, reply.body
        return reply.json()

    def stop(self) -> int:
        """End the server as an operator does; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            _, rest = self.process.communicate(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.said.append(rest)
        return self.process.returncode


@contextmanager
def serving(
    *models: Path, options: tuple[str, ...] = (), env: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """Run a server on a free port for the block."""
    command = [sys.executable, "-m", "multihot", "serve", *map(str, models), "--port", "0"]
    process = subprocess.Popen(
        [*command, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    served = Served(process, "")
    try:
        served.url = _address(served)
        yield served
    finally:
        if process.poll() is None:
            served.stop()


def _address(served: Served) -> str:
    assert served.process.stderr is not None
    while select.select([served.process.stderr], [], [], START_SECONDS)[0]:
        line = served.process.stderr.readline()
        served.said.append(line)
        if match := re.match(r"(http://\S+) answers", line):
            return match[1]
        if not line:
            break
    served.process.kill()
    raise AssertionError(f"The server does not start: {''.join(served.said)}")
