"""`multihot VERB ...`: find the verb, run it, turn errors into sentences and exit codes."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from multihot.errors import MultihotError

__all__ = ["main"]

_VERBS = {
    "train": "train a classifier on a file of texts and labels",
    "evaluate": "score a model on a labelled file",
    "compare": "compare two models on a labelled file",
    "decide": "fit goal, thresholds and calibration again, without training",
    "predict": "label texts",
    "split": "split a labelled file into parts or folds, stratified by label",
    "inspect": "look at data files or a model before trusting them",
    "tokenizer": "make a tokenizer from a corpus of texts",
    "pretrain": "pretrain an encoder on texts",
    "fill-mask": "ask a pretrained model which tokens fit a mask",
    "next-sentence": "ask a pretrained model whether one text follows another",
    "demo": "see it all work on the data set in the package",
}

_USAGE = """usage: multihot VERB ...

verbs:
{verbs}

'multihot VERB --help' explains one. Exit codes: 0 done, 1 multihot failed, 2 the command or the
input is wrong, 3 a stated gate was not met, 130 interrupted (resumable where it says so).
"""

_REPORT = "Run it again with MULTIHOT_TRACEBACK=1 for details, and please report them."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; no exception but `SystemExit` leaves it."""
    _let_every_character_out()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        _tell(sys.stdout if given else sys.stderr, _usage())
        return 0 if given else 2
    if given[0] == "--version":
        from importlib.metadata import version

        _tell(sys.stdout, f"multihot {version('multihot')}\n")
        return 0
    verb, *rest = given
    if verb not in _VERBS:
        _tell(sys.stderr, f"multihot: there is no verb '{verb}'.\n\n{_usage()}")
        return 2
    return _run(verb, rest)


def _run(verb: str, arguments: Sequence[str]) -> int:
    try:
        return int(importlib.import_module(f"multihot.cli.{verb.replace('-', '_')}").run(arguments))
    except MultihotError as error:
        message, code = str(error), error.exit_code
    except KeyboardInterrupt:
        message, code = "interrupted.", 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("MULTIHOT_TRACEBACK"):
            raise
        message, code = f"this should not happen: {type(error).__name__}: {error}\n{_REPORT}", 1
    _tell(sys.stderr, f"multihot {verb}: {message}\n")
    return code


def _usage() -> str:
    width = max(map(len, _VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {what}" for verb, what in _VERBS.items())
    return _USAGE.format(verbs=verbs)


def _let_every_character_out() -> None:
    r"""Write characters that a terminal or pipe cannot show as `\xe9` instead of stopping there."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _tell(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()
