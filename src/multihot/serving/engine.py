"""Texts of many requests, computed together: a queue that is bounded, fair and forgets who left.

A pass takes about `pass_tokens` tokens. Requests take turns: one of many texts leaves room for others
after each pass. Everything but the computation itself runs in the thread of the event loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from multihot.data.tokens import TokenizedTexts

__all__ = ["Compute", "DeadlinePassedError", "Engine", "OverloadedError"]

FloatArray = npt.NDArray[np.float32]
Compute = Callable[[TokenizedTexts], FloatArray]
"""Token ids of N texts to what is computed of each, (N, ...)."""

_FIRST_GUESS = 2000.0  # tokens per second, until the first passes have been timed
_LEAST_SHARE = 256  # tokens; smaller passes cost throughput
_HANDED_OUT_AT_ONCE = 8  # results
_MEMORY = 0.9  # of what earlier passes took, in the estimate of the speed


class OverloadedError(Exception):
    """More waits than is computed in time; `retry_seconds` says when to come back."""

    def __init__(self, retry_seconds: int) -> None:
        super().__init__(retry_seconds)
        self.retry_seconds = retry_seconds


class DeadlinePassedError(Exception):
    """A request was not computed in time."""


class _Work:
    """The texts of one request; `waiting` are the ranges of those that no pass has taken."""

    def __init__(self, texts: TokenizedTexts, compute: Compute) -> None:
        self.texts = texts
        self.compute = compute
        self.lengths: list[int] = texts.lengths.tolist()
        self.waiting = deque([(0, len(self.lengths))])
        self.num_missing = len(self.lengths)
        self.is_alone = False
        self.parts: list[tuple[int, FloatArray]] = []
        self.done: asyncio.Future[FloatArray] = asyncio.get_running_loop().create_future()

    @property
    def next_length(self) -> int:
        """Tokens of the next text."""
        return self.lengths[self.waiting[0][0]]

    def take(self, budget: int) -> tuple[int, int]:
        """Take the next texts that fit the budget, at least one; return their range."""
        first, end = self.waiting.popleft()
        last = first
        while last < end and (last == first or budget >= self.lengths[last]):
            budget -= self.lengths[last]
            last += 1
        if last < end:
            self.waiting.appendleft((last, end))
        return first, last

    def num_waiting_tokens(self) -> int:
        return sum(sum(self.lengths[start:end]) for start, end in self.waiting)


_Part = tuple[_Work, int, int]


class Engine:
    """Computes for requests that come at the same time.

    Parameters
    ----------
    num_passes
        How many passes are computed at the same time.
    pass_tokens
        About how many tokens one takes.
    max_queue_tokens
        How many tokens may wait; one request is accepted whatever its size.
    max_wait_seconds
        How long what is accepted may wait, as far as the speed of earlier passes tells.
    """

    def __init__(
        self,
        *,
        num_passes: int = 1,
        pass_tokens: int = 2048,
        max_queue_tokens: int = 16_384,
        max_wait_seconds: float = 2.5,
    ) -> None:
        self.max_queue_tokens = max_queue_tokens
        self._max_wait_seconds = max_wait_seconds
        self.queue_tokens = 0
        """Tokens that wait."""
        self._num_passes = num_passes
        self._pass_tokens = pass_tokens
        self._num_running = 0
        self._queue: deque[_Work] = deque()
        self._executor = ThreadPoolExecutor(num_passes, thread_name_prefix="compute")
        # Of earlier passes, the last ones most. Sums, so that a pass of few tokens says little: it takes as
        # long as one of some more.
        self._passed_tokens = _FIRST_GUESS / num_passes
        self._passed_seconds = 1.0

    @property
    def _speed(self) -> float:
        """Tokens per second of all passes together, as far as known."""
        return self._num_passes * self._passed_tokens / self._passed_seconds

    @property
    def is_full(self) -> bool:
        """Whether nothing more is accepted."""
        most = min(self.max_queue_tokens, self._max_wait_seconds * self._speed)
        return self.queue_tokens >= most

    @property
    def retry_seconds(self) -> int:
        """In how many seconds what waits now is computed, at least 1."""
        return max(1, math.ceil(self.queue_tokens / self._speed))

    async def computed(
        self, texts: TokenizedTexts, compute: Compute, *, deadline: float
    ) -> FloatArray:
        """Return what `compute` makes of N texts, (N, ...).

        Texts of requests with the same `compute` are computed together. A caller that is cancelled leaves
        the queue.

        Raises
        ------
        OverloadedError
            The queue is full, or takes too long.
        DeadlinePassedError
            The time of the event loop passed `deadline` before the last text was computed, or before the
            loop came to its result.
        """
        loop = asyncio.get_running_loop()
        work = _Work(texts, compute)
        num_tokens = int(texts.offsets[-1])
        is_first = self.queue_tokens == 0
        fits = self.queue_tokens + num_tokens <= self.max_queue_tokens
        if self.is_full or not (is_first or fits):
            raise OverloadedError(self.retry_seconds)
        if deadline <= loop.time():
            raise DeadlinePassedError
        self._queue.append(work)
        self.queue_tokens += num_tokens
        self._start_passes()
        timer = loop.call_at(deadline, _expire, work)
        try:
            result = await work.done
            if deadline <= loop.time():  # others kept the loop busy; their clients still wait
                raise DeadlinePassedError
            return result
        finally:
            timer.cancel()
            if work.num_missing:
                self._forget(work)

    def close(self) -> None:
        """Let the passes that run come to their end, and start no other."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _forget(self, work: _Work) -> None:
        """Remove a request whose caller has left."""
        self.queue_tokens -= work.num_waiting_tokens()
        work.waiting.clear()
        if work in self._queue:
            self._queue.remove(work)

    def _start_passes(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue and self._num_running < self._num_passes:
            parts = self._next_pass()
            self._num_running += 1
            began = time.perf_counter()
            future = loop.run_in_executor(self._executor, _computed, parts)
            future.add_done_callback(
                lambda done, parts=parts, began=began: self._finish(parts, done, began)  # type: ignore[misc]
            )

    def _next_pass(self) -> list[_Part]:
        """Take texts of the requests that have waited longest.

        Where several passes are computed at the same time, each takes its share of what waits: else one
        would take all, and the others nearly nothing, while it runs.
        """
        first = self._queue[0]
        parts: list[_Part] = []
        unfinished: list[_Work] = []
        share = math.ceil(self.queue_tokens / self._num_passes)
        budget = min(self._pass_tokens, max(_LEAST_SHARE, share))
        while self._queue and self._queue[0].compute is first.compute:
            work = self._queue[0]
            if parts and (work.is_alone or first.is_alone or work.next_length > budget):
                break
            self._queue.popleft()
            start, end = work.take(budget)
            num_tokens = sum(work.lengths[start:end])
            budget -= num_tokens
            self.queue_tokens -= num_tokens
            parts.append((work, start, end))
            if work.waiting:
                unfinished.append(work)
        self._queue.extend(unfinished)
        return parts

    def _finish(
        self, parts: list[_Part], done: asyncio.Future[list[FloatArray]], began: float
    ) -> None:
        self._num_running -= 1
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            self._learn_speed(parts, time.perf_counter() - began)
            self._hand_out(list(zip(parts, done.result(), strict=True)))
        elif len(parts) == 1:
            _fail(parts[0][0], error)
        else:  # the error of one is not that of others
            for part in reversed(parts):
                self._try_alone(*part)
        self._start_passes()

    def _hand_out(self, found: list[tuple[_Part, FloatArray]]) -> None:
        """Deliver a few results, and the others after the loop has looked at its connections.

        Each is an answer to write: those of a whole pass at once would keep others waiting, also who is
        refused.
        """
        for (work, start, _), results in found[:_HANDED_OUT_AT_ONCE]:
            _deliver(work, start, results)
        if others := found[_HANDED_OUT_AT_ONCE:]:
            asyncio.get_running_loop().call_soon(self._hand_out, others)

    def _try_alone(self, work: _Work, start: int, end: int) -> None:
        if work.done.done():
            return
        work.is_alone = True
        work.waiting.appendleft((start, end))
        self.queue_tokens += sum(work.lengths[start:end])
        if work not in self._queue:
            self._queue.appendleft(work)

    def _learn_speed(self, parts: Sequence[_Part], seconds: float) -> None:
        num_tokens = sum(sum(work.lengths[start:end]) for work, start, end in parts)
        self._passed_tokens = _MEMORY * self._passed_tokens + num_tokens
        self._passed_seconds = _MEMORY * self._passed_seconds + seconds


def _computed(parts: Sequence[_Part]) -> list[FloatArray]:
    """Compute a pass; runs in a thread of its own."""
    chosen = [
        work.texts
        if end - start == len(work.lengths)
        else work.texts.selected(np.arange(start, end))
        for work, start, end in parts
    ]
    texts = chosen[0] if len(chosen) == 1 else TokenizedTexts.joined(chosen)
    results = parts[0][0].compute(texts)
    return np.split(results, np.cumsum([end - start for _, start, end in parts])[:-1])


def _deliver(work: _Work, start: int, results: FloatArray) -> None:
    work.parts.append((start, results))
    work.num_missing -= len(results)
    if work.num_missing == 0 and not work.done.done():
        pieces = [piece for _, piece in sorted(work.parts, key=lambda part: part[0])]
        work.done.set_result(pieces[0] if len(pieces) == 1 else np.concatenate(pieces))


def _fail(work: _Work, error: BaseException) -> None:
    if not work.done.done():
        work.done.set_exception(error)


def _expire(work: _Work) -> None:
    _fail(work, DeadlinePassedError())
