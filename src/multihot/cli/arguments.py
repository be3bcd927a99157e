"""Parsing shared by the commands, and reading numbered lines from a file or standard input."""

from __future__ import annotations

import argparse
import codecs
import difflib
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from multihot.cli.console import StandardOutput, be_quiet, table_width
from multihot.core.options import DataOptions, TrainOptions
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.recipes import build_options, parse_assignments, updated
from multihot.core.text_tables import cut, printable, wrapped
from multihot.errors import DataError, OptionError, StorageError, escaped

__all__ = [
    "add_backend_flags",
    "check_new",
    "check_order",
    "data_options",
    "files_and_assignments",
    "flags_of",
    "holds_unicode",
    "json_text",
    "line_windows",
    "new_parser",
    "parse",
    "print_json",
    "refuse_file_name",
]

_FILE_NAME = re.compile(
    r"\S+\.(csv|tsv|tab|txt|jsonl|ndjson|json|parquet|xlsx|xlsm|xls|ods)(\.(gz|zst|zip))?",
    re.IGNORECASE,
)

_OPTIONS: dict[str, type[Any]] = {
    "train": TrainOptions,
    "audit": TrainOptions,
    "pretrain": PretrainOptions,
}
_WITHOUT_OPTIONS = ("demo", "tokenizer", "fill-mask", "next-sentence", "options", "completion")


def new_parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Return a parser that keeps the epilog's indented lines and accepts no abbreviated flags."""
    parser = argparse.ArgumentParser(
        prog=f"multihot {command}",
        description=description,
        epilog=_filled(epilog),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    # argparse's own passes over a full disk.
    parser.print_help = lambda file=None: _print_help(parser)  # type: ignore[method-assign]
    parser.add_argument("--quiet", action="store_true", help="print results and errors only")
    return parser


def add_backend_flags(parser: argparse.ArgumentParser, *, precision: bool = True) -> None:
    """Add what says where a model runs: `--device`, `--backend` and, unless told not to, `--precision`."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--backend", default="auto", help="auto, torch, onnx, openvino")
    if precision:
        parser.add_argument("--precision", default="fp32", help="fp32, bf16 or auto")


def _print_help(parser: argparse.ArgumentParser) -> None:
    StandardOutput().write(parser.format_help())


def _filled(text: str) -> str:
    """Break paragraphs to the terminal; indented lines, such as examples, stay as they are."""
    parts = [""]
    for line in text.strip("\n").split("\n"):
        is_indented = line.startswith(" ")
        joins = line and parts[-1] and not is_indented and not parts[-1].startswith(" ")
        if joins and not parts[-1].endswith(":"):
            parts[-1] += f" {line}"
        else:
            parts.append(line)
    width = table_width() - 2
    return "\n".join(part if part.startswith(" ") else wrapped(part, width) for part in parts[1:])


def flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return the flags of a command, in the order of its help page."""
    return [flag for action in parser._actions for flag in action.option_strings]


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parse with options and positionals in any order (`FILE --output DIR epochs=3`)."""
    if {"-h", "--help"} & set(arguments):
        _add_options(parser)
    given, unknown = parser.parse_known_intermixed_args(list(arguments))
    be_quiet(given.quiet)
    if unknown:
        hint = _flag_hint(parser, unknown) or _assignment_hint(parser, unknown, arguments)
        parser.error(printable(f"unrecognized arguments: {' '.join(unknown)}{hint}"))
    return given


def _add_options(parser: argparse.ArgumentParser) -> None:
    """Put the options that most people need before the examples of a help page."""
    from multihot.cli.option_help import option_help

    options = option_help(parser.prog.rpartition(" ")[2], table_width() - 2)
    if options:
        parser.epilog = f"{options}\n\n{parser.epilog}"


def _flag_hint(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> str:
    """Return the flag that an unknown one is a misspelling of; empty where there is none."""
    flag = next((given for given in unknown if given.startswith("-")), "").partition("=")[0]
    known = [name for name in flags_of(parser) if name.startswith("--")]
    name = "--" + flag.strip("-").replace("_", "-").lower()
    extended = [each for each in known if len(name) > 4 and each.startswith(name)]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75) or extended
    is_option = name[2:].replace("-", "_") in _keys(parser)
    return f"; did you mean {near[0]}?" if flag and near and not is_option else ""


def _keys(parser: argparse.ArgumentParser) -> set[str]:
    """Return the names of options that a command takes as `key=value`, without `data.`."""
    command = parser.prog.rpartition(" ")[2]
    kinds: list[type[Any]] = [DataOptions, *([_OPTIONS[command]] if command in _OPTIONS else [])]
    return {field.name for kind in kinds for field in fields(kind)}


def _assignment_hint(
    parser: argparse.ArgumentParser, unknown: Sequence[str], arguments: Sequence[str]
) -> str:
    """Return how to write an option that was given as a flag; empty where it is not an option."""
    flag = next((given for given in unknown if given.startswith("--")), None)
    command = parser.prog.rpartition(" ")[2]
    if flag is None or command in _WITHOUT_OPTIONS:
        return ""
    name, _, value = flag[2:].partition("=")
    name = name.removeprefix("data.").replace("-", "_")
    following = [*arguments, ""][list(arguments).index(flag) + 1]
    value = value or (following if not following.startswith("--") else "") or "..."
    example = "epochs=3"
    if name not in _keys(parser):
        name = next(iter(difflib.get_close_matches(name, _keys(parser), n=1, cutoff=0.8)), name)
    if name in {field.name for field in fields(DataOptions)}:
        example = f"data.{name}={value}"
    elif command not in _OPTIONS:
        return ""
    elif name in {field.name for field in fields(_OPTIONS[command])}:
        example = f"{name}={value}"
    return f"; options are written key=value, for example {example}"


def files_and_assignments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate files from `key=value` pairs; keys consist of letters, digits, `_` and `.`."""
    pairs = [argument for argument in arguments if re.match(r"[A-Za-z_][\w.]*=", argument)]
    return [argument for argument in arguments if argument not in pairs], pairs


def check_new(path: Path, flag: str, *, force: bool) -> None:
    """Raise `OptionError` when the file to write is there, unless it may be replaced, or no file.

    Raises `StorageError` when its folder cannot be written to, before anything is computed for it.
    """
    if path.is_dir():
        raise OptionError(f"{flag} {path} is a folder; name a file.")
    if path.exists() and not path.is_file():
        raise OptionError(f"{flag} {path} is a pipe or a device; name a file.")
    if path.exists() and not force:
        raise OptionError(f"{path} exists. Choose another {flag}, or add --force to replace it.")
    folder = path.parent
    while not os.path.lexists(folder):  # folders that are missing are made
        folder = folder.parent
    if not folder.is_dir():
        raise StorageError(f"Cannot write {path}: {folder} is no folder. Choose another {flag}.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(
            f"Cannot write {path}: the folder {folder} may not be written to. Choose another {flag}."
        )


def refuse_file_name(text: str, use: str) -> None:
    """Raise `OptionError` for a text that is the name of a file, or looks like one.

    `use` says what would happen to it, and how to have that: `-- ` stands before texts that are meant.
    """
    try:
        is_file = Path(text).is_file() or (os.sep in text and Path(text).is_dir())
    except (OSError, ValueError):  # such as a text that is too long for a name
        is_file = False
    if is_file or _FILE_NAME.fullmatch(text):
        what = "is the name of a file" if is_file else "looks like the name of a file"
        raise OptionError(f"{cut(text)} {what}, and would be {use}, put -- before them.")


def check_order(model: str, file: str) -> None:
    """Raise `OptionError` when the model and the file to score it on were given the wrong way round."""
    if Path(model).is_file() and (Path(file) / "thresholds.json").is_file():
        raise OptionError(f"{model} is a file and {file} a model: give the model first.")


def data_options(pairs: Sequence[str], stored: dict[str, Any]) -> DataOptions:
    """Return the `data.*` options stored with a model, overridden by `data.KEY=VALUE` pairs."""
    given = parse_assignments(pairs)
    unsupported = [key for key in given if key != "data"]
    if unsupported:
        near = difflib.get_close_matches(unsupported[0], [f.name for f in fields(DataOptions)], n=1)
        hint = f" Did you mean 'data.{near[0]}'?" if near else ""
        raise OptionError(
            f"'{unsupported[0]}' is not an option of this command; only data.KEY=VALUE is.{hint}"
        )
    changes = given.get("data", {})
    if not isinstance(changes, dict):
        raise OptionError("'data' is a table; set 'data.NAME' instead.")
    return build_options(DataOptions, updated(stored, changes), prefix="data.")


def print_json(content: Any) -> None:
    """Print one strict JSON document on stdout."""
    StandardOutput().write(json_text(content, indent=2))


def json_text(content: Any, *, indent: int | None = None) -> str:
    """Return a JSON document for stdout with a line break; what a terminal would obey is escaped in it."""
    import json

    narrow = not holds_unicode(sys.stdout)
    text = json.dumps(content, indent=indent, ensure_ascii=narrow, allow_nan=False)
    return f"{escaped(text, json=True)}\n"


def holds_unicode(stream: TextIO) -> bool:
    """Return whether a stream can encode every character; stdout may be limited to ASCII or cp1252."""
    return stream.encoding is None or codecs.lookup(stream.encoding).name.startswith("utf")


_WINDOW_LINES = 256  # predicted together; bounds memory and the time until the first result


def line_windows(source: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield windows of lines of a file or of standard input (`-`): their names and texts.

    Blank lines are skipped. The encoding of a file is detected; standard input is UTF-8.
    Raises `DataError` for a file that does not exist or is not text.
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
    if isinstance(sys.stdin, io.StringIO):  # replaced by a stream of text instead of bytes
        return iter(sys.stdin)
    return stream_lines(sys.stdin.buffer, "utf-8-sig", "standard input")
