"""The progress of a fit on standard error: one updating line in a terminal or a notebook."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TextIO

from multihot.core.progress import Listener, StepProgress
from multihot.core.text_tables import cut, printable
from multihot.errors import OptionError

__all__ = ["ProgressLine", "listening"]

_CELLS = 24
_WIDTH = 78  # fits a terminal of 80 columns, so that the line never wraps


@contextlib.contextmanager
def listening(listener: Listener | None, *, verbose: bool | int) -> Iterator[Listener]:
    """Yield the listener of a run: the caller's, a silent one, and a `ProgressLine` where `verbose`."""
    if not isinstance(verbose, int):
        raise OptionError(f"verbose is {cut(verbose)}; expected True or False.")
    if listener is not None and not (hasattr(listener, "say") and hasattr(listener, "progress")):
        raise OptionError(
            f"listener is {cut(listener)}; expected an object like multihot.Listener, with the methods "
            "say(message) and progress(update)."
        )
    heard = listener or Listener()
    if not verbose or sys.stderr is None:  # a windowed process has none
        yield heard
        return
    line = ProgressLine(sys.stderr, heard)
    try:
        yield line
    finally:
        line.close()


class ProgressLine(Listener):
    """Shows messages and a progress bar; passes both on.

    On a terminal and in a notebook one line is updated in place; elsewhere every epoch has a line.
    """

    def __init__(self, stream: TextIO, then: Listener) -> None:
        self._stream = stream
        self._then = then
        self._in_place = stream.isatty() or type(stream).__module__.startswith("ipykernel")
        self._epoch = 0
        self._shown = ""

    def say(self, message: str) -> None:
        """Show a message above the line, and pass it on."""
        self._erase()
        self._write(f"{printable(message, lines=True)}\n")
        self._then.say(message)

    def progress(self, update: StepProgress) -> None:
        """Update the line, and pass the progress on."""
        if self._in_place:
            self._erase()
            self._shown = _bar(update)[:_WIDTH]
            self._write(self._shown)
        elif update.epoch != self._epoch or update.step == update.total_steps:
            self._write(f"{_bar(update)}\n")
        self._epoch = update.epoch
        self._then.progress(update)

    def close(self) -> None:
        """End the line that is shown."""
        if self._shown:
            self._write("\n")
            self._shown = ""

    def _erase(self) -> None:
        if self._shown:
            self._write(f"\r{' ' * len(self._shown)}\r")
            self._shown = ""

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _bar(update: StepProgress) -> str:
    done = _CELLS * update.step // max(1, update.total_steps)
    minutes, seconds = divmod(int(update.seconds_left), 60)
    return (
        f"[{'#' * done}{'.' * (_CELLS - done)}] {update.step}/{update.total_steps}  "
        f"epoch {update.epoch}/{update.epochs}  loss {update.loss:.4f}  {minutes}:{seconds:02d} left"
    )
