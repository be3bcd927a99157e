"""Small calls of several threads, computed together: one pass over eight texts takes far less than eight.

Nobody waits for company. A call computes at once while fewer than `num_passes` others do; whoever comes
meanwhile waits, and the first of them computes for all.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

__all__ = ["CombinedCalls"]

Work = TypeVar("Work")
Result = TypeVar("Result")


class _Call(Generic[Work, Result]):
    """What one thread asks for; `turn` is set when it has its result or is to compute."""

    def __init__(self, work: Work, size: int) -> None:
        self.work = work
        self.size = size
        self.turn = threading.Event()
        self.leads = False
        self.result: Result | None = None


class CombinedCalls(Generic[Work, Result]):
    """Computes what threads ask for, together where several wait.

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
        self._num_leading = 0

    def __call__(self, work: Work, size: int) -> Result:
        """Return the result of `work`; raises what computing it alone raises."""
        call: _Call[Work, Result] = _Call(work, size)
        with self._lock:
            if self._num_leading < self._num_passes():
                self._num_leading += 1
                call.leads = True
            else:
                self._waiting.append(call)
        if not call.leads:
            self._wait(call)
        if call.leads:
            with self._leading():
                self._lead(call)
        if call.result is None:  # what was computed together failed
            (call.result,) = self._compute([work])
        return call.result

    def _wait(self, call: _Call[Work, Result]) -> None:
        try:
            call.turn.wait()
        except BaseException:  # interrupted: somebody else has to lead
            with self._lock:
                if call.leads:
                    self._hand_over()
                elif call in self._waiting:
                    self._waiting.remove(call)
            raise

    @contextlib.contextmanager
    def _leading(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                self._hand_over()

    def _hand_over(self) -> None:
        """Let the call that has waited longest lead; nobody does where none waits."""
        if self._waiting:
            first = self._waiting.popleft()
            first.leads = True
            first.turn.set()
        else:
            self._num_leading -= 1

    def _lead(self, own: _Call[Work, Result]) -> None:
        """Compute `own`, and together with it as many of the waiting calls as one pass takes."""
        calls, size = [own], own.size
        with self._lock:
            while self._waiting and size + self._waiting[0].size <= self._max_size:
                calls.append(self._waiting.popleft())
                size += calls[-1].size
        try:
            results = self._compute([call.work for call in calls])
            for call, result in zip(calls, results, strict=True):
                call.result = result
        except Exception:
            if len(calls) == 1:
                raise
        finally:  # also when interrupted: the others compute for themselves
            for call in calls[1:]:
                call.turn.set()
