"""Signals that end a command: what it wrote aside is removed, and a sentence says what happened."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["StoppedBySignal", "end_on_signals", "stop_behind", "stop_message"]

_NUM_KILLING = 3  # signals after which the process ends without cleaning up


class StoppedBySignal(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP arrived; `number` says which."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def end_on_signals(*, for_good: bool = False) -> Iterator[None]:
    """Raise `StoppedBySignal` in the block for the first SIGINT, SIGTERM or SIGHUP.

    With `for_good` the process ends after the block: once a signal has come, later ones are received in
    the same way until its end, and else the first one ends it without a word.

    A second signal does not disturb the removal of temporary files, a third ends the process. A signal
    that is ignored, as `nohup` arranges it, stays so. Outside the main thread nothing is installed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) == 1:
            raise StoppedBySignal(number)
        if len(received) == _NUM_KILLING:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    before = {}
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) in (
            signal.SIG_DFL,
            signal.default_int_handler,
        ):
            before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        if not (for_good and received):
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if for_good else handler)


def stop_message(stop: KeyboardInterrupt) -> tuple[str, int]:
    """Return what to say of a command that a signal ended, and its exit code."""
    number = stop.number if isinstance(stop, StoppedBySignal) else signal.SIGINT
    how = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
    prevented = " and ".join(dict.fromkeys(getattr(stop, "__notes__", ())))
    return f"{how}: {prevented}." if prevented else f"{how}.", 128 + number


def stop_behind(error: BaseException) -> KeyboardInterrupt | None:
    """Return the signal that an error follows from: a library that it interrupts may fail with another one."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        if isinstance(each, KeyboardInterrupt):
            return each
        seen.add(id(each))
        each = each.__cause__ or each.__context__
    return None
