"""`multihot COMMAND ...`: dispatch to the command and turn errors into messages and exit codes."""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence

from multihot.cli.console import StandardOutput, discard, say_error
from multihot.cli.stopping import end_on_signals, stop_behind, stop_message
from multihot.core.launch import speaker
from multihot.core.processors import sleep_while_waiting
from multihot.errors import MultihotError, StorageError, shown_path

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "train": "train a classifier on a labelled file",
    "evaluate": "compute metrics of a model on a labelled file",
    "report": "write one HTML file that shows where a model is good, where not, and why",
    "compare": "compare two models on a labelled file",
    "decide": "refit thresholds and calibration for a goal, without retraining",
    "predict": "predict the labels of texts",
    "watch": "compare unlabelled texts with the rows that fitted the decision",
    "explain": "show which words spoke for and against labels",
    "export": "write a model in a form that runs elsewhere: ONNX, int8, OpenVINO",
    "serve": "answer over HTTP, with a page to try it",
    "bench": "measure how fast a model answers, and how to serve it",
    "suggest": "choose the texts to label next",
    "split": "split a labelled file into parts or folds, stratified by label",
    "inspect": "check data files, or summarise a model",
    "audit": "find labels that may be wrong, and correct them",
    "doctor": "check a checkpoint of another tool, correct it, or import it",
    "tokenizer": "train a tokenizer on a text corpus",
    "pretrain": "pretrain an encoder on a text corpus",
    "fill-mask": "predict masked tokens with a pretrained encoder",
    "next-sentence": "predict whether one text follows another",
    "demo": "run the whole workflow on the bundled data set",
    "options": "list the options that are written key=value",
    "completion": "print a completion script for bash or zsh",
    "help": "describe a command (multihot help COMMAND)",
    "version": "print the version",
}

_USAGE = """usage: multihot COMMAND ...

commands:
{commands}

'multihot help COMMAND' or 'multihot COMMAND --help' describes one.
--quiet prints only results and errors.

Exit codes: 0 success, 1 multihot failed, 2 invalid command or input,
3 a stated check failed, 130 interrupted (resumable where
reported), 143 and 129 stopped by SIGTERM and SIGHUP.
"""

_SYNONYMS = {
    "fit": "train",
    "finetune": "train",
    "fine-tune": "train",
    "eval": "evaluate",
    "score": "evaluate",
    "test": "evaluate",
    "diff": "compare",
    "tune": "decide",
    "thresholds": "decide",
    "label": "predict",
    "classify": "predict",
    "why": "explain",
    "interpret": "explain",
    "check": "inspect",
    "info": "inspect",
    "show": "inspect",
    "monitor": "watch",
    "drift": "watch",
    "diagnose": "doctor",
    "import": "doctor",
    "fix": "doctor",
    "tokenize": "tokenizer",
    "active": "suggest",
    "sample": "suggest",
}
"""What other tools call a command."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REPORT = "Run again with MULTIHOT_TRACEBACK=1 to see the traceback, and please report it."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; no exception but `SystemExit` leaves it."""
    _prepare_streams()
    if arguments is None:
        sleep_while_waiting()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            code = _dispatch(given, is_process=arguments is None)
        finally:
            StandardOutput().flush()  # a closed pipe or a full disk is noticed here, not at exit
    except BrokenPipeError:
        # The pipe was closed (`| head`); redirect, so that the flush at exit does not fail again.
        discard(sys.stdout)
        return 0
    except StorageError as error:
        say_error(f"multihot: {error}")
        return 1
    if arguments is None and speaker() is not None:
        # Of several processes: what torch tears down at exit can end a process that had succeeded.
        sys.stderr.flush()
        os._exit(code)
    return code


def _dispatch(given: list[str], *, is_process: bool) -> int:
    if not given:
        say_error(_usage().rstrip("\n"))
        return 2
    command, *rest = given
    if command in ("help", "version") and {"-h", "--help"} & set(rest):
        StandardOutput().write(_usage())
        raise SystemExit(0)  # as the parsers of other commands do
    if command in ("-h", "--help") or given in (["help"], ["help", "help"], ["help", "version"]):
        StandardOutput().write(_usage())
        return 0
    if command in ("version", "--version", "-V"):
        from importlib.metadata import version

        StandardOutput().write(f"multihot {version('multihot')}\n")
        return 0
    if command == "help":
        command, rest = rest[0], ["--help"]
    if command not in COMMANDS:
        say_error(f"{_usage()}\nmultihot: unknown command '{command}'.{_hint(command, rest)}")
        return 2
    return _run(command, rest, is_process=is_process)


def _hint(name: str, rest: Sequence[str]) -> str:
    """Return what may have been meant by an unknown command; empty where nothing is near."""
    lowered = name.lower()
    folded = lowered.replace("_", "-")
    near = next(iter(difflib.get_close_matches(folded, COMMANDS, n=1)), _SYNONYMS.get(folded))
    if near is not None:
        return f" Did you mean 'multihot {near}'?"
    if name.startswith("-") and rest and any(word in COMMANDS for word in rest):
        command = next(word for word in rest if word in COMMANDS)
        return f" Options stand after the command: multihot {command} ... {name}"
    if os.path.exists(name):
        return f" It is a file or folder: did you mean 'multihot inspect {name}'?"
    return ""


def _run(command: str, arguments: Sequence[str], *, is_process: bool) -> int:
    try:
        # What is said belongs to it, so that a second Ctrl-C does not disturb that either.
        with end_on_signals(for_good=is_process):
            return _run_and_say(command, arguments)
    except KeyboardInterrupt as stop:  # behind the last step
        message, code = stop_message(stop)
    say_error(f"multihot {command}: {message}")
    return code


def _run_and_say(command: str, arguments: Sequence[str]) -> int:
    try:
        module = importlib.import_module(f"multihot.cli.{command.replace('-', '_')}")
        code = int(module.run(arguments))
        StandardOutput().flush()
        return code
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - what is unexpected is said as such
        message, code = _message(error)
        process, is_shared = speaker(), getattr(error, "is_shared", False)
    if process is not None and process.rank and is_shared:
        return code  # the first process says it
    which = f" (process {process.rank} of {process.count})" if process and not is_shared else ""
    say_error(f"multihot {command}{which}: {message}")
    return code


def _message(error: BaseException) -> tuple[str, int]:
    # What a stopped run cannot write any more is said as it is.
    stop = None if isinstance(error, StorageError) else stop_behind(error)
    if stop is not None:
        return stop_message(stop)
    if isinstance(error, MultihotError):
        # A line break in the name of a column begins no line that looks like one of ours.
        return str(error).replace("\n", "\n  "), error.exit_code
    if os.environ.get("MULTIHOT_TRACEBACK"):
        raise error
    return _unexpected(error)


def _unexpected(error: BaseException) -> tuple[str, int]:
    """Return message and exit code for an error that no part of multihot explained."""
    if isinstance(error, OSError) and isinstance(error.filename, str):
        shown = shown_path(error.filename)
        if error.errno in _FULL:
            return f"{shown} cannot be written: {error.strerror}. Free some space.", 1
        return f"{shown}: {error.strerror}. Check the name and who may read and write it.", 2
    if isinstance(error, OSError) and error.filename is None and error.errno is not None:
        full = " Free some space." if error.errno in _FULL else ""
        return f"The system refused to read or write: {error.strerror}.{full}", 1
    if isinstance(error, MemoryError):
        return "The memory of this machine is not enough for this.", 1
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return "The system refused to start a thread. Allow more processes (ulimit -u).", 1
    return f"internal error: {type(error).__name__}: {error}\n{_REPORT}", 1


def _usage() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {purpose}" for name, purpose in COMMANDS.items())
    return _USAGE.format(commands=commands)


def _prepare_streams() -> None:
    r"""Write characters that a stream cannot encode as `\xe9`; a closed stream holds nothing."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
