"""Results on stdout, messages and progress on stderr.

What came from files is printed with control characters escaped. Tables are as wide as the terminal,
80 columns without one; sentences are broken to the width of a terminal, elsewhere each stays on its
line. Documents for programs, JSON and tables of predictions, are never changed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TextIO

from multihot.core.launch import Launch, launched
from multihot.core.progress import Listener, StepProgress
from multihot.core.text_tables import DEFAULT_WIDTH, printable, shortened, wrapped
from multihot.errors import StorageError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from multihot.inference.predictor import Predictor

__all__ = [
    "NUM_SAMPLED",
    "ConsoleListener",
    "Painted",
    "StandardOutput",
    "TextCounter",
    "be_quiet",
    "discard",
    "let_the_first_speak",
    "report_text",
    "say",
    "say_error",
    "say_if_unknown",
    "say_note",
    "show",
    "show_painted",
    "table_width",
]

NUM_SAMPLED = 1000
"""Texts at the beginning of a file whose tokens are looked at."""

_SECONDS_BETWEEN_LINES = 5.0  # when stderr is no terminal
_MIN_WIDTH = 40
_MAX_LINE = 5000  # characters of a line for people
_quiet = False


class _Report(Protocol):
    """What has tables with a row for each label."""

    def to_text(self, *, width: int, all_labels: bool) -> str:
        """Return the tables for so many columns."""


def be_quiet(quiet: bool) -> None:
    """Say nothing from now on, or say everything again; errors are always said."""
    global _quiet  # noqa: PLW0603 - one command runs in a process, and its flag holds for all of it
    _quiet = quiet


def let_the_first_speak() -> Launch:
    """Let all but the first of several processes say and print nothing but errors of their own."""
    launch = launched()
    if launch.rank:
        be_quiet(True)
        discard(sys.stdout)
    return launch


def say(message: str) -> None:
    """Print a message on stderr, unless the command was told to be quiet."""
    if not _quiet:
        say_error(message)


def say_note(note: str) -> None:
    """Print a sentence about a file; line breaks in names of its columns begin no new line."""
    say(printable(note))


def say_error(message: str) -> None:
    """Print a message on stderr; where that is full or closed, messages go nowhere and the command goes on."""
    try:
        sys.stderr.write(_for_people(message, sys.stderr) + "\n")
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def show(result: object) -> None:
    """Print a result for people on stdout."""
    StandardOutput().write(_for_people(str(result), sys.stdout) + "\n")
    StandardOutput().flush()


Painted = list[tuple[str, str | None]]
"""Pieces of a result, each with the parameters of its colour (as in `ESC [ 31 m`) or `None`."""


def show_painted(pieces: Painted) -> None:
    """Print a result on stdout, in colours where that is a terminal and `NO_COLOR` is not set."""
    colours = (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )
    with _output_errors():
        for text, colour in pieces:
            shown = printable(text, lines=True)
            paints = colours and colour is not None and text
            sys.stdout.write(f"\x1b[{colour}m{shown}\x1b[0m" if paints else shown)


class StandardOutput:
    """Where results go; what fails there is a `StorageError`, but for a closed pipe (`| head`)."""

    def write(self, text: str) -> int:
        """Write as a text file does; return the number of characters.

        On a terminal, what it would obey is escaped in tables for programs, too.
        """
        with _output_errors():
            return sys.stdout.write(printable(text, lines=True) if sys.stdout.isatty() else text)

    def flush(self) -> None:
        """Hand over what was written; a full disk may be noticed only here."""
        with _output_errors():
            sys.stdout.flush()


@contextlib.contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        discard(sys.stdout)
        raise StorageError(
            f"standard output cannot be written: {error.strerror or error}."
        ) from error


def discard(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere, so that it does not fail again at exit."""
    with contextlib.suppress(OSError, ValueError):  # not a real file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _for_people(text: str, stream: TextIO) -> str:
    """Escape what a terminal would obey, and break sentences where its width is known."""
    text = "\n".join(map(_cut_line, printable(text, lines=True).split("\n")))
    return wrapped(text, table_width()) if stream.isatty() else text


def _cut_line(line: str) -> str:
    """Leave out what is behind the first characters of an endless line, such as a name that is a text."""
    return shortened(line, _MAX_LINE)


def report_text(report: _Report, *, all_labels: bool) -> str:
    """Return the tables of a report as wide as the terminal allows."""
    return report.to_text(width=table_width(), all_labels=all_labels)


def table_width() -> int:
    """Return the columns of the terminal (or of `COLUMNS`); 80 without one."""
    return max(_MIN_WIDTH, shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns)


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
            shown = printable(message, lines=True)
            self._bar.console.print(shown, markup=False, highlight=False)

    def progress(self, update: StepProgress) -> None:
        """Update the progress bar, or print a line when one is due."""
        if _quiet:
            return
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
