"""What the parts of a running server share: models, engine, counters, and whether it is draining."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from fastapi import Request

from multihot.core.memory import return_freed_memory
from multihot.core.text_tables import cut
from multihot.data.tokens import TokenizedTexts
from multihot.errors import DataError, EncoderError, MultihotError
from multihot.inference.window_logits import WindowsRead
from multihot.serving.engine import DeadlinePassedError, Engine, OverloadedError
from multihot.serving.log import log_line
from multihot.serving.metrics import Counters
from multihot.serving.options import ServeOptions
from multihot.serving.problems import CLIENT_LEFT, Problem, busy
from multihot.serving.served_model import ServedModel, Serving, with_thresholds

__all__ = ["Answer", "Running"]

FloatArray = npt.NDArray[np.float32]

_INLINE_CHARACTERS = 4000  # tokenised at once; more are tokenised in another thread
_PATIENCE = 0.05  # seconds until a waiting request looks whether its client is still there
_RENEWAL_SECONDS = 1.0  # between two looks at a model folder
_RETURN_SECONDS = 1.0  # after a large body, until memory is given back


class Answer(NamedTuple):
    """What the model and its decision say of N texts of L labels."""

    serving: Serving
    thresholds: dict[str, float | None]
    scores: list[list[float]]
    """*Shape:* (N, L)."""
    labels: list[list[str]]
    logits: list[list[float]]
    """*Shape:* (N, L)."""
    num_tokens: list[int]
    truncated: list[bool]
    windows: list[WindowsRead | None]
    """What was read of each text, by a model that reads longer ones in windows."""

    @property
    def names(self) -> tuple[str, ...]:
        """Labels in class order."""
        return self.serving.decision.space.names

    def by_name(self, row: int) -> dict[str, float]:
        """Return the scores of one text."""
        return dict(zip(self.names, self.scores[row], strict=True))

    def abstained(self, row: int) -> bool:
        """Return whether a text has no label, and the model's rule for that is `abstain`."""
        return not self.labels[row] and self.serving.decision.empty_set_rule == "abstain"


@dataclass
class Running:
    """A server, or one worker of it."""

    options: ServeOptions
    models: dict[str, ServedModel]
    engine: Engine
    metrics: Counters = field(default_factory=Counters)
    num_active: int = 0
    """Requests that are being answered."""
    draining_since: float | None = None
    """By the monotonic clock."""
    has_read_large_body: bool = False
    """Whether memory was used that small requests do not need, and is kept."""

    def __post_init__(self) -> None:
        self._tokenizing = ThreadPoolExecutor(1, thread_name_prefix="tokenize")

    @property
    def is_draining(self) -> bool:
        """Whether the server was asked to stop, and answers only what it had accepted."""
        return self.draining_since is not None

    def drain(self) -> None:
        """Accept nothing more."""
        if self.draining_since is None:
            self.draining_since = time.monotonic()

    def model(self, name: str | None) -> ServedModel:
        """Return the model of a name, without one the first; raise `Problem` (404) where there is none."""
        if name is None:
            return next(iter(self.models.values()))
        found = self.models.get(name)
        if found is None:
            known = ", ".join(map(cut, list(self.models)[:10]))
            raise Problem(404, f"There is no model {cut(name)} here; there is {known}.")
        return found

    def check_texts(self, texts: Sequence[str]) -> None:
        """Raise `Problem` for too many texts, or one that is too long."""
        if not texts:
            raise Problem(422, "There is no text; give at least one.")
        if len(texts) > self.options.max_texts:
            raise Problem(
                413,
                f"{len(texts)} texts in one request; at most {self.options.max_texts} are accepted.",
            )
        for number, text in enumerate(texts):
            if len(text) > self.options.max_characters:
                raise Problem(
                    413,
                    f"Text {number} has {len(text)} characters; at most {self.options.max_characters} "
                    "are accepted.",
                )

    async def answer(
        self,
        request: Request,
        texts: Sequence[str],
        *,
        model: str | None = None,
        thresholds: dict[str, float] | None = None,
    ) -> Answer:
        """Label N texts of a request; raise `Problem` where that is not possible."""
        self.check_texts(texts)
        served = self.model(model)
        serving = served.now
        decision = serving.decision
        if thresholds:
            try:
                decision = with_thresholds(decision, thresholds)
            except MultihotError as error:
                raise Problem(422, str(error)) from None
        tokenized = await self._tokenized(serving, texts)
        computing = self.engine.computed(
            tokenized, serving.compute, deadline=request.scope["multihot.deadline"]
        )
        found = np.moveaxis(await _while_connected(request, computing), 1, 0)
        logits, scores, decided, loudest = found
        labels = decision.names(scores) if thresholds else decision.names_of(decided)
        truncated = tokenized.truncated.tolist()
        self.metrics.count_answer(
            served.name,
            num_tokens=int(tokenized.offsets[-1]),
            num_truncated=sum(truncated),
            chosen=labels,
            num_known=len(decision.space),
        )
        return Answer(
            serving,
            decision.thresholds_by_name(),
            scores.tolist(),
            labels,
            logits.tolist(),
            tokenized.lengths.tolist(),
            truncated,
            serving.predictor.windows_read(tokenized, loudest.astype(np.int64), labels),
        )

    async def _tokenized(self, serving: Serving, texts: Sequence[str]) -> TokenizedTexts:
        predictor = serving.predictor
        try:
            if sum(map(len, texts)) <= _INLINE_CHARACTERS:
                return predictor.tokenized(texts)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._tokenizing, predictor.tokenized, texts)
        except (DataError, EncoderError) as error:
            raise Problem(422, str(error)) from None

    async def look_for_decisions(self) -> None:
        """Take over new decisions of the model folders as long as the server runs."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            for served in self.models.values():
                if served.was_renewed():
                    outcome = await loop.run_in_executor(None, _renewed, served)
                    self.metrics.renewals.labels(served.name, outcome).inc()

    async def return_memory(self) -> None:
        """Give memory back after large bodies as long as the server runs."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_RETURN_SECONDS)
            if self.has_read_large_body:
                self.has_read_large_body = False
                await loop.run_in_executor(None, return_freed_memory)

    def close(self) -> None:
        """Let go of threads."""
        self.engine.close()
        self._tokenizing.shutdown(wait=False, cancel_futures=True)


def _renewed(served: ServedModel) -> str:
    try:
        changed = served.renew()
    except MultihotError as error:
        log_line(f"{served.name}: the new decision is not taken over. {error}")
        return "refused"
    if changed:
        log_line(f"{served.name}: decision {served.now.version} answers from now on.")
    return "accepted" if changed else "unchanged"


async def _while_connected(
    request: Request, computing: Coroutine[Any, Any, FloatArray]
) -> FloatArray:
    """Wait for a result; one whose client has gone leaves the queue."""
    watch = _Watch(request)
    try:
        return await computing
    except OverloadedError as error:
        raise busy(error.retry_seconds) from None
    except DeadlinePassedError:
        raise Problem(504, "The answer was not ready before its deadline.") from None
    except asyncio.CancelledError:
        if watch.has_seen_it_leave:
            raise Problem(CLIENT_LEFT, "The client has left.") from None
        raise
    finally:
        watch.end()


class _Watch:
    """Cancels the present task when its client leaves; begins to look after a while."""

    def __init__(self, request: Request) -> None:
        self.has_seen_it_leave = False
        self._request = request
        self._task = asyncio.current_task()
        self._looking: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._begin)

    def end(self) -> None:
        self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _begin(self) -> None:
        self._looking = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self.has_seen_it_leave = True
        if self._task is not None:
            self._task.cancel()
