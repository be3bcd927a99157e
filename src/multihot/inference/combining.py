"""Small calls of several threads, computed together: one pass over eight texts takes far less than eight.

Nobody waits for company. A call computes at once while fewer than `num_passes` others do; whoever comes
meanwhile waits, and the first of them computes for all.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

__all__ = ["CombinedCalls"]

Work = TypeVar("Work")
Result = TypeVar("Result")


class _Call(Generic[Work, Result]):
    """What one thread asks for; `turn` opens when it has its result or is to compute."""

    def __init__(self, work: Work, size: int) -> None:
        self.work = work
        self.size = size
        # Plain locks, since an exception of a signal may leave the lock of an `Event` taken.
        self.turn = threading.Lock()
        self.turn.acquire()
        self.taken: list[_Call[Work, Result]] = []
        """Calls that this one computes, too."""
        self.result: Result | None = None

    def wake(self) -> None:
        """Open `turn`, if it is not open yet."""
        if self.turn.locked():
            self.turn.release()


class CombinedCalls(Generic[Work, Result]):
    """Computes what threads ask for, together where several wait.

    A thread may be interrupted at any place, such as by Ctrl-C: the others go on, and so do later calls.

    Parameters
    ----------
    compute
        Computes some works in one pass and returns their results in order. What it raises for several
        is tried again for each alone, so that the error of one is not that of others.
    max_size
        How much work, by the sizes that come with it, one pass takes.
    num_passes
        How many passes may run at the same time; asked before each.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Work]], Sequence[Result]],
        *,
        max_size: int,
        num_passes: Callable[[], int],
    ) -> None:
        self._compute = compute
        self._max_size = max_size
        self._num_passes = num_passes
        self._lock = threading.Lock()
        self._waiting: deque[_Call[Work, Result]] = deque()
        self._leading: set[_Call[Work, Result]] = set()

    def __call__(self, work: Work, size: int) -> Result:
        """Return the result of `work`; raises what computing it alone raises."""
        call: _Call[Work, Result] = _Call(work, size)
        try:
            self._take_turn(call)
        finally:
            try:
                self._leave(call)
            except BaseException:  # interrupted here, of all places
                self._leave(call)
                raise
        if call.result is None:  # what was computed together failed
            (call.result,) = self._compute([work])
        return call.result

    def _take_turn(self, call: _Call[Work, Result]) -> None:
        with self._lock:
            if len(self._leading) < self._num_passes():
                self._leading.add(call)
            else:
                self._waiting.append(call)
        if call not in self._leading:
            call.turn.acquire()
        if call in self._leading:
            self._lead(call)

    def _lead(self, own: _Call[Work, Result]) -> None:
        """Compute `own`, and together with it as many of the waiting calls as one pass takes."""
        size = own.size
        with self._lock:
            while self._waiting and size + self._waiting[0].size <= self._max_size:
                own.taken.append(self._waiting[0])
                size += self._waiting[0].size
                self._waiting.popleft()
        calls = [own, *own.taken]
        try:
            results = self._compute([call.work for call in calls])
            for call, result in zip(calls, results, strict=True):
                call.result = result
        except Exception:
            if len(calls) == 1:
                raise

    def _leave(self, call: _Call[Work, Result]) -> None:
        """Wake those whose turn has come; may be done again after it was interrupted half way."""
        with self._lock:
            self._leading.discard(call)
            if call in self._waiting:
                self._waiting.remove(call)
            for other in call.taken:
                other.wake()
            while self._waiting and self._may_lead(self._waiting[0]):
                first = self._waiting[0]
                self._leading.add(first)
                first.wake()
                self._waiting.popleft()

    def _may_lead(self, call: _Call[Work, Result]) -> bool:
        return call in self._leading or len(self._leading) < max(1, self._num_passes())
