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
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        """Forget the thread that held the lock when the process was forked: it is not here."""
        self._lock = threading.RLock()
        self._holder: int | None = None

    @contextlib.contextmanager
    def turn(self, on_waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait until no other thread is in such a block; `on_waiting` is called before a wait."""
        own = threading.get_ident()
        if self._holder not in (None, own):
            on_waiting()
        with self._lock:  # and not `acquire`, behind which a signal may raise
            outer, self._holder = self._holder, own
            try:
                yield
            finally:
                self._holder = outer
