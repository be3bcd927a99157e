"""Messages and progress on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from multihot.core.progress import Listener, StepProgress

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from multihot.inference.predictor import Predictor

__all__ = ["NUM_SAMPLED", "ConsoleListener", "TextCounter", "say", "say_if_unknown"]

NUM_SAMPLED = 1000
"""Texts at the beginning of a file whose tokens are looked at."""

_SECONDS_BETWEEN_LINES = 5.0  # when stderr is no terminal


def say(message: str) -> None:
    """Print a message."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def say_if_unknown(predictor: Predictor, texts: Sequence[str]) -> None:
    """Say so when a model cannot read most of some texts."""
    found = predictor.unknown_tokens(texts)
    if found.is_most and (remark := found.remark("these texts")):
        say(remark)


class ConsoleListener(Listener):
    """Shows a progress bar on a terminal and a line every few seconds elsewhere; a context manager."""

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
        """Print a message above the progress bar."""
        if self._bar is None:
            say(message)
        else:
            self._bar.console.print(message, markup=False, highlight=False)

    def progress(self, update: StepProgress) -> None:
        """Update the progress bar, or print a line when one is due."""
        text = (
            f"epoch {update.epoch}/{update.epochs}  loss {update.loss:.4f}  "
            f"{update.tokens_per_second:,.0f} tokens/s  {_duration(update.seconds_left)} left"
        )
        if sys.stderr.isatty():
            self._update_bar(update, text)
        elif time.monotonic() >= self._next_line or update.step == update.total_steps:
            self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
            say(f"step {update.step}/{update.total_steps}  {text}")

    def _update_bar(self, update: StepProgress, text: str) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("", total=update.total_steps)
            self._bar.start()
        assert self._task is not None
        # The bar is reused by successive runs, and a run may end before its last planned step.
        total, completed = update.total_steps, update.step
        self._bar.update(self._task, total=total, completed=completed, description=text)


class TextCounter:
    """Counts processed texts and prints the rate every few seconds."""

    def __init__(self, num_texts: int | None = None) -> None:
        self._total = "" if num_texts is None else f" of {num_texts}"
        self._started = self._printed = time.monotonic()

    def __call__(self, num_processed: int) -> None:
        """Print the number of processed texts when a line is due."""
        now = time.monotonic()
        if now >= self._printed + _SECONDS_BETWEEN_LINES:
            self._printed = now
            say(
                f"{num_processed}{self._total} texts, {num_processed / (now - self._started):.0f} texts/s"
            )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
