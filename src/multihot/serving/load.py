"""Loads an engine as clients of a server do, and measures how it answers.

Latencies under a stated rate count from when a request was *planned*: one that waits because the process was
busy is as late as its client would find it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from multihot.serving.engine import DeadlinePassedError, Engine, OverloadedError
from multihot.serving.served_model import Serving

__all__ = ["EngineLoad", "closed_load", "open_load"]

_OF_ONE_PASS = 0.002  # seconds between answers that were computed together


@dataclass
class EngineLoad:
    """What became of some requests of one text each."""

    seconds: float = 0.0
    """From the first one to the last answer."""
    milliseconds: list[float] = field(default_factory=list)
    """Of those that were answered."""
    answered_at: list[float] = field(default_factory=list)
    """In seconds from the first request."""
    num_tokens: int = 0
    num_refused: int = 0
    num_late: int = 0
    """Those whose deadline passed."""

    @property
    def per_second(self) -> float:
        """Answers in a second, from the first ones on: they come in groups, those of a pass."""
        times = self.answered_at
        after = [each for each in times if each > times[0] + _OF_ONE_PASS]
        return len(after) / (after[-1] - times[0]) if after else len(times) / self.seconds


class _Clients:
    """What all requests share."""

    def __init__(self, serving: Serving, texts: Sequence[str], engine: Engine) -> None:
        self.result = EngineLoad()
        self._serving = serving
        self._texts = texts
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self.began = self._loop.time()

    async def ask(self, number: int, planned: float, deadline_seconds: float) -> None:
        """Let text `number` be answered as a request would be, but for HTTP."""
        predictor, result = self._serving.predictor, self.result
        text = self._texts[number % len(self._texts)]
        tokenized = predictor.tokenized([text])
        try:
            computed = await self._engine.computed(
                tokenized, self._serving.compute, deadline=planned + deadline_seconds
            )
        except OverloadedError:
            result.num_refused += 1
            return
        except DeadlinePassedError:
            result.num_late += 1
            return
        scores = computed[0][1].tolist()
        json.dumps(dict(zip(predictor.space.names, scores, strict=True)))
        now = self._loop.time()
        result.milliseconds.append(1000 * (now - planned))
        result.answered_at.append(now - self.began)
        result.num_tokens += int(tokenized.offsets[-1])


def closed_load(
    serving: Serving, texts: Sequence[str], engine: Engine, *, num_clients: int, seconds: float
) -> EngineLoad:
    """Let so many clients ask one text after the other, each as soon as it has its answer.

    Each asks twice at least.
    """

    async def load() -> EngineLoad:
        clients = _Clients(serving, texts, engine)
        loop, began = asyncio.get_running_loop(), clients.began

        async def client(first: int) -> None:
            number = first
            while number < first + 2 * num_clients or loop.time() < began + seconds:
                await clients.ask(number, loop.time(), 60 + 10 * seconds)
                number += num_clients

        await asyncio.gather(*map(client, range(num_clients)))
        clients.result.seconds = loop.time() - began
        return clients.result

    return asyncio.run(load())


def open_load(
    serving: Serving,
    texts: Sequence[str],
    engine: Engine,
    arrivals: npt.NDArray[np.float64],
    *,
    deadline_seconds: float,
) -> EngineLoad:
    """Let one request come at each of the given times, in seconds, however long the others take."""

    async def load() -> EngineLoad:
        clients = _Clients(serving, texts, engine)
        loop, began = asyncio.get_running_loop(), clients.began
        waiting: set[asyncio.Task[None]] = set()
        for number, arrival in enumerate(arrivals.tolist()):
            await asyncio.sleep(max(0.0, began + arrival - loop.time()))
            task = loop.create_task(clients.ask(number, began + arrival, deadline_seconds))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        if waiting:
            await asyncio.gather(*waiting)
        clients.result.seconds = loop.time() - began
        return clients.result

    return asyncio.run(load())
