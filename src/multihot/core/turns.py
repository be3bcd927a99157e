"""Locks for what a process has only once, such as its random state; a fork does not leave them locked."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator

__all__ = ["OneAtATime"]


class OneAtATime:
    """Lets one thread at a time do something; that thread may begin it again inside."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        """Forget the thread that held the lock when the process was forked: it is not here."""
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def turn(self, on_waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait until no other thread is in such a block; `on_waiting` is called before a wait."""
        lock = self._lock
        if not lock.acquire(blocking=False):
            on_waiting()
            lock.acquire()
        try:
            yield
        finally:
            if lock is self._lock:  # else this is a fork of the process that took it
                lock.release()
