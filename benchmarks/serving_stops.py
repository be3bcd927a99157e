"""Signals to a server that works: what it accepted must be answered, and a worker that dies comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from serving_clients import Connection, Server, encode, running_server

__all__ = ["Kills", "Load", "Stops", "kill_workers", "other_signals", "stop_servers"]

_CLIENTS = 32
_NEW_CONNECTION = 0.2  # of the requests
_HALVES = 0.1  # of the requests come in two parts
_PAUSE = 0.02  # seconds between the parts
_LOOK = 0.005  # seconds between two looks
_PATIENCE = 60.0  # seconds
_LOGGED = re.compile(r'\{"request": "(?P<id>client-\d+-\d+)".*"status": (?P<status>\d+)')


@dataclass
class Load:
    """What clients saw of their requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    answered: set[str] = field(default_factory=set)
    """Numbers of requests with an answer."""
    closed: int = 0
    """Requests whose connection was closed or refused instead."""
    timed_out: int = 0
    is_over: bool = False

    async def run(self, server: Server, texts: list[str], clients: int = _CLIENTS) -> None:
        """Ask until it is over."""
        await asyncio.gather(*(self._client(server, texts, seed) for seed in range(clients)))

    async def _client(self, server: Server, texts: list[str], seed: int) -> None:
        random = np.random.default_rng(seed)
        connection = Connection(server.host, server.port)
        number = 0
        while not self.is_over:
            number += 1
            name = f"client-{seed}-{number}"
            chosen = [texts[row] for row in random.integers(len(texts), size=random.integers(1, 5))]
            request = encode(
                "POST", "/v1/predict", {"texts": chosen}, headers={"X-Request-Id": name}
            )
            try:
                reply = await connection.ask(
                    request, pause=_PAUSE if random.random() < _HALVES else 0.0
                )
            except TimeoutError:
                self.timed_out += 1
            except (OSError, EOFError):
                self.closed += 1
                await asyncio.sleep(_PAUSE)
            else:
                self.statuses[reply.status] += 1
                self.answered.add(name)
                if reply.status != 200:
                    await asyncio.sleep(_PAUSE)
            if random.random() < _NEW_CONNECTION:
                connection.close()
        connection.close()


@dataclass
class Stops:
    """What SIGTERMs came to."""

    stops: int = 0
    requests: int = 0
    accepted: int = 0
    """Requests that the server read to their end, by its own log."""
    lost: int = 0
    """Of these, those whose client got no answer."""
    timed_out: int = 0
    refused_after: int = 0
    """Answers 503 to requests that came while the server stopped."""
    bad_exits: int = 0
    slowest_unready: float = 0.0
    """Seconds from the signal until no worker said that it is ready."""
    slowest_stop: float = 0.0


def stop_servers(model: Path, texts: list[str], *, stops: int, workers: int) -> Stops:
    """Start a server, load it, stop it; again and again."""
    result = Stops()
    options = ("--workers", str(workers), "--log-requests")
    for number in range(stops):
        with running_server(model, options=options) as server:
            asyncio.run(_stopped(server, texts, 0.3 + 0.02 * number, result, workers))
    return result


async def _stopped(
    server: Server, texts: list[str], seconds: float, result: Stops, workers: int
) -> None:
    load = Load()
    asking = asyncio.ensure_future(load.run(server, texts))
    await _until(lambda: len(load.answered) > 2 * _CLIENTS, "the load begins")
    if workers > 1:
        await _until(lambda: all(_accepted(server, pid) for pid in server.workers()), "all work")
    await asyncio.sleep(seconds)
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    unready = await _unready(server, began)
    code = await asyncio.to_thread(server.process.wait, _PATIENCE)
    stopped = time.monotonic() - began
    load.is_over = True
    await asking
    logged = {match["id"]: int(match["status"]) for match in _LOGGED.finditer(server.said())}
    result.stops += 1
    result.requests += sum(load.statuses.values())
    result.accepted += len(logged)
    result.lost += len(set(logged) - load.answered)
    result.timed_out += load.timed_out
    result.refused_after += load.statuses[503]
    result.bad_exits += code != 0
    result.slowest_unready = max(result.slowest_unready, unready)
    result.slowest_stop = max(result.slowest_stop, stopped)


async def _unready(server: Server, began: float) -> float:
    """Return the seconds after which the server last said that it is ready."""
    last = 0.0
    for _ in range(40):
        asked = time.monotonic()
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            connection = Connection(server.host, server.port)
            reply = await connection.ask(encode("GET", "/readyz", headers={"Connection": "close"}))
            if reply.status == 200:
                last = asked - began
        await asyncio.sleep(_LOOK)
    return last


@dataclass
class Kills:
    """What killed workers came to."""

    kills: int = 0
    answered: int = 0
    closed: int = 0
    """Requests whose connection was closed."""
    most_closed: int = 0
    """At one kill; clients whose requests were not at that worker see nothing."""
    other_failures: int = 0
    """Statuses other than 200, and answers that did not come."""
    seconds: list[float] = field(default_factory=list)
    """From each kill until two workers waited for connections again."""


def kill_workers(model: Path, texts: list[str], *, kills: int, by: signal.Signals) -> Kills:
    """Kill one of two workers again and again while clients ask."""
    result = Kills()
    with running_server(model, options=("--workers", "2")) as server:
        asyncio.run(_killed(server, texts, kills, by, result))
        if server.stop() != 0:
            result.other_failures += 1
    return result


async def _killed(
    server: Server, texts: list[str], kills: int, by: signal.Signals, result: Kills
) -> None:
    load = Load()
    asking = asyncio.ensure_future(load.run(server, texts))
    for number in range(kills):
        await _until(lambda: all(_accepted(server, pid) for pid in server.workers()), "all work")
        await asyncio.sleep(0.3)
        closed, victim = load.closed, server.workers()[number % 2]
        began = time.monotonic()
        os.kill(victim, by)
        await _until(
            lambda victim=victim: victim not in server.workers() and _num_listening(server) == 2,  # type: ignore[misc]
            "another worker answers",
        )
        result.seconds.append(time.monotonic() - began)
        result.kills += 1
        result.most_closed = max(result.most_closed, load.closed - closed)
    load.is_over = True
    await asking
    result.answered, result.closed = load.statuses[200], load.closed
    result.other_failures += sum(load.statuses.values()) - load.statuses[200] + load.timed_out


def _num_listening(server: Server) -> int:
    return sum(_listens(server, pid) for pid in server.workers())


def _listens(server: Server, pid: int) -> bool:
    """Return whether a process waits for new connections: the kernel lists what it polls."""
    listening = _sockets(server.port, state="0A")
    with contextlib.suppress(OSError):
        links = {entry.name: os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}
        wanted = {name for name, link in links.items() if link in listening}
        polling = [name for name, link in links.items() if link == "anon_inode:[eventpoll]"]
        for name in polling:
            polled = Path(f"/proc/{pid}/fdinfo/{name}").read_text("ascii")
            if wanted & set(re.findall(r"tfd:\s+(\d+)", polled)):
                return True
    return False


def _accepted(server: Server, pid: int) -> bool:
    """Return whether a process holds a connection of a client."""
    connected = _sockets(server.port, state="01")
    found = False
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found = found or os.readlink(entry.path) in connected
    return found


def _sockets(port: int, *, state: str) -> set[str]:
    """Return the sockets of a port that are in a state, as links of descriptors name them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return {f"socket:[{p[9]}]" for p in lines if p[1].endswith(f":{port:04X}") and p[3] == state}


async def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"It does not happen that {what}.")
        await asyncio.sleep(_LOOK)


def other_signals(model: Path, texts: list[str]) -> list[str]:
    """Send what else a server may get; return a sentence for each that ends otherwise than it should."""
    problems = []
    for name, workers, act, expected in _OTHERS:
        with running_server(model, options=("--workers", str(workers))) as server:
            problems += [
                f"{name}, {workers} workers: {p}"
                for p in asyncio.run(_sent(server, texts, act, expected))
            ]
    return problems


async def _sent(
    server: Server, texts: list[str], signals: tuple[signal.Signals, ...], expected: str
) -> list[str]:
    problems: list[str] = []
    async with _loaded(server, texts) as load:
        workers = server.workers()
        for each in signals:
            server.process.send_signal(each)
            await asyncio.sleep(0.1)
        began = time.monotonic()
        if expected == "goes on":
            await asyncio.sleep(2)
            answered = len(load.answered)
            await asyncio.sleep(1)
            if server.process.poll() is not None or len(load.answered) == answered:
                problems.append("it does not answer any more")
            return problems
        while any(_is_running(pid) for pid in (*workers, server.process.pid)):
            server.process.poll()
            if time.monotonic() - began > _PATIENCE:
                problems.append("processes are left")
                break
            await asyncio.sleep(_LOOK)
        code = await asyncio.to_thread(server.process.wait, 5)
        if expected == "ends well" and code != 0:
            problems.append(f"exit code {code}")
        if "Traceback" in server.said():
            problems.append(server.said()[-300:])
    return problems


@contextlib.asynccontextmanager
async def _loaded(server: Server, texts: list[str]) -> AsyncIterator[Load]:
    load = Load()
    asking = asyncio.ensure_future(load.run(server, texts))
    await _until(lambda: len(load.answered) > 2 * _CLIENTS, "the load begins")
    try:
        yield load
    finally:
        load.is_over = True
        await asking


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


_OTHERS = (
    ("SIGKILL of the parent", 2, (signal.SIGKILL,), "ends"),
    ("SIGINT", 1, (signal.SIGINT,), "ends well"),
    ("SIGINT", 2, (signal.SIGINT,), "ends well"),
    ("SIGHUP", 1, (signal.SIGHUP,), "ends well"),
    ("SIGHUP", 2, (signal.SIGHUP,), "ends well"),
    ("SIGTERM twice", 1, (signal.SIGTERM, signal.SIGTERM), "ends"),
    ("SIGTERM twice", 2, (signal.SIGTERM, signal.SIGTERM), "ends"),
    ("SIGTTIN and SIGTTOU", 2, (signal.SIGTTIN, signal.SIGTTOU), "goes on"),
    ("SIGUSR1 and SIGWINCH", 2, (signal.SIGUSR1, signal.SIGWINCH), "goes on"),
)
"""Name, workers, signals, what should become of the server."""
