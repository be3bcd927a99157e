"""The engine computes together what comes together, in turns, and for nobody who has left."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from itertools import chain

import numpy as np
import pytest

from multihot.data.tokens import TokenizedTexts
from multihot.serving.engine import DeadlinePassedError, Engine, OverloadedError

FAR = 60.0  # seconds


def _texts(*lengths: int, first: int = 0) -> TokenizedTexts:
    """Texts whose first token tells them apart."""
    ids = [np.full(length, first + number, np.uint16) for number, length in enumerate(lengths)]
    offsets = np.append(0, np.cumsum(lengths))
    return TokenizedTexts(np.concatenate(ids), offsets, np.zeros(len(lengths), bool))


class _Network:
    """Says of each text its first token; waits until it is let go, and remembers its passes."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.passes: list[list[int]] = []
        self.gate = threading.Event()
        if is_open:
            self.gate.set()

    def __call__(self, texts: TokenizedTexts) -> np.ndarray:
        assert self.gate.wait(30)
        first = texts.ids[texts.offsets[:-1]].astype(np.float32)
        self.passes.append([int(each) for each in first])
        if 999 in first:
            raise ValueError("a text that the network fails on")
        return first[:, np.newaxis]


def _run(task: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await task()

    asyncio.run(bounded())


def test_the_results_of_a_large_pass_let_others_in_between() -> None:
    network = _Network(is_open=False)
    answered: list[int] = []
    seen: list[int] = []

    async def asks(engine: Engine, number: int) -> None:
        await engine.computed(_texts(1, first=number), network, deadline=_deadline())
        answered.append(number)

    async def looks() -> None:
        while len(answered) < 40:
            seen.append(len(answered))
            await asyncio.sleep(0)

    async def task() -> None:
        engine = Engine(pass_tokens=1000, max_queue_tokens=1000)
        asked = [asyncio.ensure_future(asks(engine, number)) for number in range(40)]
        await _settled()
        looking = asyncio.ensure_future(looks())
        network.gate.set()
        await asyncio.gather(*asked, looking)
        engine.close()

    _run(task)
    assert sorted(answered) == list(range(40))
    assert max(np.diff([*seen, 40])) <= 8


def _deadline(seconds: float = FAR) -> float:
    return asyncio.get_running_loop().time() + seconds


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_what_waits_is_computed_together_and_goes_to_who_asked() -> None:
    network = _Network(is_open=False)

    async def task() -> None:
        engine = Engine(pass_tokens=100)
        asked = [
            asyncio.ensure_future(
                engine.computed(_texts(5, 5, first=10 * number), network, deadline=_deadline())
            )
            for number in range(6)
        ]
        await _settled()
        network.gate.set()
        for number, result in enumerate(await asyncio.gather(*asked)):
            assert result.tolist() == [[10 * number], [10 * number + 1]]
        engine.close()

    _run(task)
    assert [len(each) for each in network.passes] == [2, 10]


def test_passes_at_the_same_time_share_what_waits() -> None:
    network = _Network(is_open=False)

    async def task() -> None:
        engine = Engine(num_passes=2, pass_tokens=10_000)
        asked = [
            asyncio.ensure_future(
                engine.computed(_texts(100, first=number), network, deadline=_deadline())
            )
            for number in range(22)
        ]
        await _settled()
        network.gate.set()
        await asyncio.gather(*asked)
        engine.close()

    _run(task)
    sizes = [len(each) for each in network.passes]
    assert sizes.count(1) >= 2  # what came first was computed at once
    assert (max(sizes), sum(sizes)) == (10, 22)


def test_one_slow_pass_of_few_tokens_does_not_make_a_server_refuse() -> None:
    network = _Network(is_open=False)

    async def task() -> None:
        engine = Engine()
        first = asyncio.ensure_future(engine.computed(_texts(1), network, deadline=_deadline()))
        await asyncio.sleep(0.3)
        network.gate.set()
        await first
        network.gate.clear()
        asked = [
            asyncio.ensure_future(engine.computed(_texts(50), network, deadline=_deadline()))
            for _ in range(10)
        ]
        await _settled()
        network.gate.set()
        await asyncio.gather(*asked)
        engine.close()

    _run(task)


def test_a_long_request_leaves_room_for_short_ones() -> None:
    network = _Network(is_open=False)

    async def task() -> None:
        engine = Engine(pass_tokens=20)
        finished: list[str] = []

        async def ask(name: str, texts: TokenizedTexts) -> None:
            await engine.computed(texts, network, deadline=_deadline())
            finished.append(name)

        asked = [asyncio.ensure_future(ask("long", _texts(*[10] * 12)))]
        await _settled()
        asked.append(asyncio.ensure_future(ask("short", _texts(10, first=100))))
        await _settled()
        network.gate.set()
        await asyncio.gather(*asked)
        assert finished == ["short", "long"]
        assert engine.queue_tokens == 0
        engine.close()

    _run(task)


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    network = _Network(is_open=False)

    async def task() -> None:
        engine = Engine(pass_tokens=10, max_queue_tokens=30)
        asked = [
            asyncio.ensure_future(engine.computed(_texts(10), network, deadline=_deadline()))
            for _ in range(4)
        ]
        await _settled()
        assert engine.is_full
        with pytest.raises(OverloadedError) as refusal:
            await engine.computed(_texts(10), network, deadline=_deadline())
        assert refusal.value.retry_seconds >= 1
        network.gate.set()
        await asyncio.gather(*asked)
        assert not engine.is_full
        engine.close()

    _run(task)


def test_one_request_is_accepted_whatever_its_size() -> None:
    async def task() -> None:
        engine = Engine(pass_tokens=10, max_queue_tokens=30)
        texts = _texts(*[10] * 9)
        assert (await engine.computed(texts, _Network(), deadline=_deadline())).shape == (9, 1)
        engine.close()

    _run(task)


def test_who_is_late_or_leaves_is_not_computed() -> None:
    network = _Network(is_open=False)

    async def task() -> None:
        engine = Engine(pass_tokens=10)
        running = asyncio.ensure_future(engine.computed(_texts(10), network, deadline=_deadline()))
        await _settled()
        late = engine.computed(_texts(10, first=1), network, deadline=_deadline(0.05))
        left = asyncio.ensure_future(
            engine.computed(_texts(10, first=2), network, deadline=_deadline())
        )
        await _settled()
        with pytest.raises(DeadlinePassedError):
            await late
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        assert engine.queue_tokens == 0
        network.gate.set()
        await running
        engine.close()

    _run(task)
    assert network.passes == [[0]]


def test_a_text_that_fails_fails_alone() -> None:
    network = _Network(is_open=False)

    async def task() -> None:
        engine = Engine(pass_tokens=100)
        first = engine.computed(_texts(5), network, deadline=_deadline())
        good = engine.computed(_texts(5, first=7), network, deadline=_deadline())
        bad = engine.computed(_texts(5, first=999), network, deadline=_deadline())
        asked = [asyncio.ensure_future(each) for each in (first, good, bad)]
        await _settled()
        network.gate.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert results[1].tolist() == [[7]]  # type: ignore[union-attr]
        assert isinstance(results[2], ValueError)
        assert engine.queue_tokens == 0
        engine.close()

    _run(task)


def test_requests_of_different_models_are_not_mixed() -> None:
    one, other = _Network(is_open=False), _Network()

    async def task() -> None:
        engine = Engine(pass_tokens=100)
        asked = [
            asyncio.ensure_future(
                engine.computed(_texts(5, first=number), network, deadline=_deadline())
            )
            for number, network in enumerate((one, other, one, other))
        ]
        await _settled()
        one.gate.set()
        results = await asyncio.gather(*asked)
        assert [int(each[0, 0]) for each in results] == [0, 1, 2, 3]
        engine.close()

    _run(task)
    assert sorted(chain(*one.passes)) == [0, 2]
    assert sorted(chain(*other.passes)) == [1, 3]


def test_a_result_that_the_loop_comes_to_after_the_deadline_is_not_used() -> None:
    async def task() -> None:
        network, engine = _Network(is_open=False), Engine()

        async def asked(first: int, seconds: float) -> None:
            await engine.computed(_texts(3, first=first), network, deadline=_deadline(seconds))
            time.sleep(1.0)  # as a large answer keeps the loop busy

        before = asyncio.create_task(asked(1, FAR))
        await _settled()
        large, small = asyncio.create_task(asked(2, FAR)), asyncio.create_task(asked(3, 1.5))
        await _settled()
        network.gate.set()
        with pytest.raises(DeadlinePassedError):
            await small
        await asyncio.gather(before, large)
        assert network.passes == [[1], [2, 3]]

    _run(task)
