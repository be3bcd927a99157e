"""What the commands' parsers share, and the lines of a file or of standard input, each with its place."""

from __future__ import annotations

import argparse
import codecs
import io
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from multihot.core.options import DataOptions, TrainOptions
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.recipes import build_options, parse_assignments, updated
from multihot.errors import DataError, OptionError

__all__ = [
    "data_options",
    "files_and_assignments",
    "holds_unicode",
    "line_windows",
    "new_parser",
    "parse",
    "print_json",
]

_OPTIONS: dict[str, type[Any]] = {"train": TrainOptions, "pretrain": PretrainOptions}


def new_parser(verb: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Return a parser that keeps its epilog as written and knows no abbreviations."""
    return argparse.ArgumentParser(
        prog=f"multihot {verb}",
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parse with options and positionals in any order (`FILE --output DIR epochs=3`)."""
    given, unknown = parser.parse_known_intermixed_args(list(arguments))
    if unknown:
        hint = _assignment_hint(parser, unknown, arguments)
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return given


def _assignment_hint(
    parser: argparse.ArgumentParser, unknown: Sequence[str], arguments: Sequence[str]
) -> str:
    """Return how an option that was given like a flag is written; empty where it is no option."""
    flag = next((word for word in unknown if word.startswith("--")), None)
    verb = parser.prog.rpartition(" ")[2]
    if flag is None or verb == "demo":
        return ""
    name, _, value = flag[2:].partition("=")
    name = name.removeprefix("data.").replace("-", "_")
    following = [*arguments, ""][list(arguments).index(flag) + 1]
    value = value or (following if not following.startswith("--") else "") or "..."
    example = "epochs=3"
    if name in {field.name for field in fields(DataOptions)}:
        example = f"data.{name}={value}"
    elif verb not in _OPTIONS:
        return ""
    elif name in {field.name for field in fields(_OPTIONS[verb])}:
        example = f"{name}={value}"
    return f"; options are written key=value, for example {example}"


def files_and_assignments(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell files from `key=value` pairs; keys hold letters, digits, `_` and `.` only."""
    pairs = [word for word in words if re.match(r"[A-Za-z_][\w.]*=", word)]
    return [word for word in words if word not in pairs], pairs


def data_options(pairs: Sequence[str], stored: dict[str, Any]) -> DataOptions:
    """Return `data.*` options: those stored with a model, with `data.KEY=VALUE` pairs laid over."""
    given = parse_assignments(pairs)
    wrong = [key for key in given if key != "data"]
    if wrong:
        raise OptionError(f"'{wrong[0]}' is not an option here; only data.KEY=VALUE is.")
    changes = given.get("data", {})
    if not isinstance(changes, dict):
        raise OptionError("'data' is a table; set 'data.NAME' instead.")
    return build_options(DataOptions, updated(stored, changes), prefix="data.")


def print_json(content: Any) -> None:
    """Print one strict JSON document on stdout."""
    import json

    escaped = not holds_unicode(sys.stdout)
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=escaped, allow_nan=False) + "\n")


def holds_unicode(stream: TextIO) -> bool:
    """Whether a stream takes every character; standard output may be limited to ASCII or cp1252."""
    return stream.encoding is None or codecs.lookup(stream.encoding).name.startswith("utf")


_WINDOW_LINES = 256  # answered together; bounds memory, and the time until the first answer


def line_windows(source: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the lines of a file, or of standard input (`-`), some at a time: names and texts.

    Blank lines are left out. The encoding of a file is detected; standard input is UTF-8.
    Raises `DataError` for a file that is not there or is no text.
    """
    where = "standard input" if source == "-" else source
    numbered = (
        (f"Line {number} of {where}", text)
        for number, text in enumerate((line.rstrip("\r\n") for line in _lines(source)), start=1)
        if text.strip()
    )
    while window := list(islice(numbered, _WINDOW_LINES)):
        yield [name for name, _ in window], [text for _, text in window]


def _lines(source: str) -> Iterator[str]:
    from multihot.data.readers.text_encoding import file_encoding, read_lines, stream_lines

    if source != "-":
        path = Path(source)
        if not path.is_file():
            raise DataError("There is no such file.", path=path)
        return read_lines(path, file_encoding(path).name)
    if isinstance(sys.stdin, io.StringIO):  # a program that feeds texts instead of bytes
        return iter(sys.stdin)
    return stream_lines(sys.stdin.buffer, "utf-8-sig", "standard input")
