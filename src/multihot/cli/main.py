"""`multihot COMMAND ...`: dispatch to the command and turn errors into messages and exit codes."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from multihot.errors import MultihotError

__all__ = ["main"]

_COMMANDS = {
    "train": "train a classifier on a labelled file",
    "evaluate": "compute metrics of a model on a labelled file",
    "compare": "compare two models on a labelled file",
    "decide": "refit thresholds and calibration for a goal, without retraining",
    "predict": "predict the labels of texts",
    "split": "split a labelled file into parts or folds, stratified by label",
    "inspect": "check data files, or summarise a model",
    "tokenizer": "train a tokenizer on a text corpus",
    "pretrain": "pretrain an encoder on a text corpus",
    "fill-mask": "predict masked tokens with a pretrained encoder",
    "next-sentence": "predict whether one text follows another",
    "demo": "run the whole workflow on the bundled data set",
}

_USAGE = """usage: multihot COMMAND ...

commands:
{commands}

'multihot COMMAND --help' describes one. Exit codes: 0 success, 1 multihot failed, 2 invalid command
or input, 3 a required check failed (reserved), 130 interrupted (resumable where reported).
"""

_REPORT = "Run again with MULTIHOT_TRACEBACK=1 to see the traceback, and please report it."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; no exception but `SystemExit` leaves it."""
    _escape_unencodable()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        _write(sys.stdout if given else sys.stderr, _usage())
        return 0 if given else 2
    if given[0] == "--version":
        from importlib.metadata import version

        _write(sys.stdout, f"multihot {version('multihot')}\n")
        return 0
    command, *rest = given
    if command not in _COMMANDS:
        _write(sys.stderr, f"multihot: unknown command '{command}'.\n\n{_usage()}")
        return 2
    return _run(command, rest)


def _run(command: str, arguments: Sequence[str]) -> int:
    try:
        module = importlib.import_module(f"multihot.cli.{command.replace('-', '_')}")
        return int(module.run(arguments))
    except MultihotError as error:
        message, code = str(error), error.exit_code
    except KeyboardInterrupt:
        message, code = "interrupted.", 130
    except BrokenPipeError:
        # The pipe was closed (`| head`); redirect, so that the flush at exit does not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("MULTIHOT_TRACEBACK"):
            raise
        message, code = f"internal error: {type(error).__name__}: {error}\n{_REPORT}", 1
    _write(sys.stderr, f"multihot {command}: {message}\n")
    return code


def _usage() -> str:
    width = max(map(len, _COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {purpose}" for name, purpose in _COMMANDS.items())
    return _USAGE.format(commands=commands)


def _escape_unencodable() -> None:
    r"""Write characters that the stream cannot encode as `\xe9` instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _write(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()
