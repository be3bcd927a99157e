"""Words and progress for people, on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from multihot.core.progress import Listener, StepProgress

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["ConsoleListener", "TextCounter", "say"]

_SECONDS_BETWEEN_LINES = 5.0  # when stderr is no terminal


def say(message: str) -> None:
    """Print a sentence for people."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


class ConsoleListener(Listener):
    """Shows a bar on a terminal and a line every few seconds elsewhere; use it in a `with`."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._next_line = 0.0

    def __enter__(self) -> ConsoleListener:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, message: str) -> None:
        """Print a sentence above the bar."""
        if self._bar is None:
            say(message)
        else:
            self._bar.console.print(message, markup=False, highlight=False)

    def progress(self, update: StepProgress) -> None:
        """Move the bar, or print a line when one is due."""
        words = (
            f"epoch {update.epoch}/{update.epochs}  loss {update.loss:.4f}  "
            f"{update.tokens_per_second:,.0f} tokens/s  {_duration(update.seconds_left)} left"
        )
        if sys.stderr.isatty():
            self._move_bar(update, words)
        elif time.monotonic() >= self._next_line or update.step == update.total_steps:
            self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
            say(f"step {update.step}/{update.total_steps}  {words}")

    def _move_bar(self, update: StepProgress, words: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("", total=update.total_steps)
            self._bar.start()
        assert self._task is not None
        # Runs follow each other, and one may end earlier than planned.
        total, done = update.total_steps, update.step
        self._bar.update(self._task, total=total, completed=done, description=words)


class TextCounter:
    """Call it with the number of texts done; prints a line every few seconds."""

    def __init__(self, num_texts: int | None = None) -> None:
        self._of = "" if num_texts is None else f" of {num_texts}"
        self._started = self._printed = time.monotonic()

    def __call__(self, num_done: int) -> None:
        """Print how many texts are done when a line is due."""
        now = time.monotonic()
        if now >= self._printed + _SECONDS_BETWEEN_LINES:
            self._printed = now
            say(f"{num_done}{self._of} texts, {num_done / (now - self._started):.0f} texts/s")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
