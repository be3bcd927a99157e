"""Prepare the next items of an iterator in a thread while this one is computed on."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetched"]

T = TypeVar("T")


def prefetched(items: Iterator[T], ahead: int = 2) -> Iterator[T]:
    """Yield the items in their order, with up to `ahead` of them made in advance.

    What the iterator raises is raised here, when its turn comes.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting: deque[Future[T | None]] = deque()
        while True:
            while len(waiting) <= ahead:
                waiting.append(thread.submit(next, items, None))
            item = waiting.popleft().result()
            if item is None:
                return
            yield item
