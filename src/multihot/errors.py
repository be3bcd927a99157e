"""Every error that multihot raises on purpose.

    MultihotError               multihot failed                              exit 1
    ├── TrainingError           a run cannot continue
    │   ├── NonFiniteError      the loss or a gradient is NaN or infinite
    │   └── StorageError        the disk is full or refuses to write
    ├── UserError               invalid command or input                     exit 2
    │   ├── OptionError         an option or a recipe
    │   ├── DataError           a data file; has path, line and column
    │   ├── LabelError          label names or a label matrix
    │   ├── EncoderError        an encoder folder or name
    │   ├── ArtifactError       a saved model folder
    │   └── MissingExtraError   an optional package is not installed
    └── InterruptedRunError     stopped by a signal, can be resumed          exit 130

Exit code 3 means that a stated check failed; no error has it, because what was asked for was done.
A message states what was given, what was expected and what to do. What a terminal would obey or hide is
escaped in it, and of a message of more than 4,000 characters the middle is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "ArtifactError",
    "CheckFailedError",
    "DataError",
    "EncoderError",
    "InterruptedRunError",
    "LabelError",
    "MissingExtraError",
    "MultihotError",
    "NonFiniteError",
    "OptionError",
    "StorageError",
    "TrainingError",
    "UserError",
    "escaped",
    "shown_path",
    "system_errors",
]

_MAX_SHOWN = 240
_NUM_LAST = 80
_MAX_MESSAGE, _NUM_LAST_OF_MESSAGE = 4000, 1000

# Control characters, marks that change the direction of writing, line separators, marks without width
# and halves of surrogate pairs. Joiners stay: emoji and several scripts are written with them.
_HIDDEN = (
    "\\x00-\\x1f\\x7f-\\x9f\\xad\\u061c\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff"
    "\\ufff9-\\ufffb\\ud800-\\udfff"
)
_UNPRINTABLE = re.compile(f"[{_HIDDEN}]")
_UNPRINTABLE_IN_LINES = re.compile(f"(?![\\n\\t])[{_HIDDEN}]")


def escaped(text: str, *, lines: bool = False, json: bool = False) -> str:
    r"""Return a text with what a terminal would obey or hide escaped, such as `\x1b` and `\u202e`.

    Line breaks and tabs are escaped, too, but with `lines`. With `json` it is a JSON document, and
    means the same afterwards.
    """
    pattern = _UNPRINTABLE_IN_LINES if lines or json else _UNPRINTABLE
    if json:
        return pattern.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
    return pattern.sub(lambda match: repr(match.group())[1:-1], text)


class MultihotError(Exception):
    """Base of all errors raised by multihot."""

    exit_code = 1
    is_shared = False
    """Whether all processes of a run raise it, so that the first one alone says it."""

    def __init__(self, *values: object) -> None:
        super().__init__(*(_shown(each) if isinstance(each, str) else each for each in values))


def _shown(message: str) -> str:
    if len(message) > _MAX_MESSAGE:
        first = message[: _MAX_MESSAGE - _NUM_LAST_OF_MESSAGE]
        message = f"{first} ... {message[-_NUM_LAST_OF_MESSAGE:]}"
    return escaped(message, lines=True)


class TrainingError(MultihotError, RuntimeError):
    """A training run cannot continue."""


class NonFiniteError(TrainingError):
    """The loss or a gradient became NaN or infinite; the update was not applied."""


class StorageError(TrainingError):
    """A file could not be written; what was complete before is still complete."""


class UserError(MultihotError, ValueError):
    """The command or the input is invalid."""

    exit_code = 2


class OptionError(UserError):
    """An option, a `key=value` pair or a recipe is wrong."""


class LabelError(UserError):
    """Label names or a label matrix are invalid, or two label spaces do not match."""


class EncoderError(UserError):
    """An encoder cannot be found, is unsafe to load or is not supported."""


class ArtifactError(UserError):
    """A saved model folder is unfinished, damaged or of an unknown version."""


class MissingExtraError(UserError):
    """An optional package is needed for this and is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed. "
            f"Install it with: pip install 'multihot[{extra}]'"
        )


class DataError(UserError):
    """A data file is wrong.

    Parameters
    ----------
    message
        What was read, what was expected and what to do.
    path
        The file, when there is one.
    line
        1-based line (or row) number in the file, header included, when it is known.
    column
        Name of the column, when it is known.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | Path | None = None,
        line: int | None = None,
        column: str | None = None,
    ) -> None:
        self.path = None if path is None else str(path)
        self.line = line
        self.column = column
        position = shown_path(self.path or "")
        if line is not None:
            position += f":{line}" if position else f"line {line}"
        if column is not None:
            position += f"{', ' if position else ''}column '{column}'"
        position = position.replace("\n", "\\n").replace("\r", "\\r")  # a name may have line breaks
        super().__init__(f"{position}: {message}" if position else message)


class CheckFailedError(MultihotError):
    """A check that was asked for, such as equal decisions of an export, is not met.

    Parameters
    ----------
    message
        What was asked for and what was found.
    report
        What was measured; it can be printed.
    """

    exit_code = 3

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report


class InterruptedRunError(MultihotError):
    """The run was stopped by a signal and can be resumed."""

    exit_code = 130


@contextmanager
def system_errors(what: str) -> Iterator[None]:
    """Turn what the system says of a file or folder into an `OptionError` about `what`."""
    try:
        yield
    except OSError as error:
        raise OptionError(f"{shown_path(what)}: {error.strerror or error}.") from None


def shown_path(path: str | Path) -> str:
    """Return a path as messages show it: of a very long one, its beginning and its end."""
    text = str(path)
    if len(text) <= _MAX_SHOWN:
        return text
    return f"{text[: _MAX_SHOWN - _NUM_LAST]} ... {text[-_NUM_LAST:]}"
