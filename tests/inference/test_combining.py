"""Calls that wait are computed together; what happens to one happens to no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from multihot.inference.combining import CombinedCalls

PATIENCE = 60


class Doubling:
    """Doubles numbers; the first pass waits until it is let go. Zero cannot be doubled."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []
        self.is_computing, self.may_go_on = threading.Event(), threading.Event()
        self.interrupt: type[BaseException] | None = None

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.passes.append(list(numbers))
        self.is_computing.set()
        assert self.may_go_on.wait(PATIENCE)
        if self.interrupt is not None:
            interrupt, self.interrupt = self.interrupt, None
            raise interrupt
        if 0 in numbers:
            raise ValueError("zero")
        return [2 * number for number in numbers]


def calls_of(compute: Callable[[Sequence[int]], list[int]], max_size: int = 100) -> CombinedCalls:
    return CombinedCalls(compute, max_size=max_size, num_passes=lambda: 1)


def ask_while_busy(
    calls: CombinedCalls, compute: Doubling, pool: ThreadPoolExecutor, numbers: Sequence[int]
) -> list[Future[int]]:
    """Ask for the first number, and for the others one after another while it is computed."""
    asked = [pool.submit(calls, numbers[0], 1)]
    assert compute.is_computing.wait(PATIENCE)
    for count, number in enumerate(numbers[1:], 1):
        asked.append(pool.submit(calls, number, 1))
        until = time.monotonic() + PATIENCE
        while len(calls._waiting) < count:
            assert time.monotonic() < until
            time.sleep(0.001)
    compute.may_go_on.set()
    return asked


def test_who_comes_while_another_computes_shares_the_next_pass() -> None:
    compute = Doubling()

    with ThreadPoolExecutor(4) as pool:
        asked = ask_while_busy(calls_of(compute), compute, pool, [1, 2, 3, 4])
        found = [each.result(PATIENCE) for each in asked]

    assert found == [2, 4, 6, 8]
    assert compute.passes == [[1], [2, 3, 4]]


def test_a_pass_takes_no_more_than_its_size() -> None:
    compute = Doubling()

    with ThreadPoolExecutor(5) as pool:
        asked = ask_while_busy(calls_of(compute, max_size=2), compute, pool, [1, 2, 3, 4, 5])
        found = [each.result(PATIENCE) for each in asked]

    assert found == [2, 4, 6, 8, 10]
    assert compute.passes == [[1], [2, 3], [4, 5]]


def test_the_error_of_one_call_is_not_that_of_others() -> None:
    compute = Doubling()

    with ThreadPoolExecutor(4) as pool:
        asked = ask_while_busy(calls_of(compute), compute, pool, [1, 2, 0, 4])
        found = [asked[at].result(PATIENCE) for at in (0, 1, 3)]
        with pytest.raises(ValueError, match="zero"):
            asked[2].result(PATIENCE)

    assert found == [2, 4, 8]


def test_a_thread_that_is_interrupted_leaves_the_others_their_results() -> None:
    compute = Doubling()
    compute.interrupt = KeyboardInterrupt
    calls = calls_of(compute)

    with ThreadPoolExecutor(3) as pool:
        asked = ask_while_busy(calls, compute, pool, [1, 2, 3])
        with pytest.raises(KeyboardInterrupt):
            asked[0].result(PATIENCE)
        assert [each.result(PATIENCE) for each in asked[1:]] == [4, 6]
        assert calls(5, 1) == 10
