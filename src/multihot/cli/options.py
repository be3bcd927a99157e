"""`multihot options`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from multihot.cli.arguments import new_parser, parse
from multihot.cli.console import StandardOutput, say, show, table_width
from multihot.core.option_sentences import option_sentences
from multihot.core.options import DataOptions, ObjectiveOptions, TrainOptions
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.text_tables import wrapped

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot options
  multihot options data.
  multihot options length
  multihot options pretrain

An option is written key=value after the files, or stands in a TOML recipe. data.* options hold for
every command that reads labelled files, the others for train; 'options pretrain' lists those of
pretrain.
"""
_Kinds = tuple[tuple[type[Any], str], ...]
_OF_TRAIN: _Kinds = ((TrainOptions, ""), (ObjectiveOptions, "objective."), (DataOptions, "data."))
_OF_PRETRAIN: _Kinds = ((PretrainOptions, ""),)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("options", "List the options that are written key=value.", _EPILOG)
    parser.add_argument(
        "words", nargs="*", default=[], metavar="WORD", help="only options that speak of these"
    )
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    words = [word.lower() for word in given.words]
    kinds = _OF_TRAIN
    if words and words[0] in ("train", "pretrain"):
        kinds = _OF_PRETRAIN if words.pop(0) == "pretrain" else _OF_TRAIN
    shown = [
        (name, default, sentence)
        for name, default, sentence in _options(kinds)
        if all(word in f"{name} {sentence}".lower() for word in words)
    ]
    for name, default, sentence in shown:
        show(wrapped(f"{name}={default}\n    {sentence}", table_width()))
    if not shown:
        say(f"No option speaks of {' and '.join(words)}; 'multihot options' lists all.")
    StandardOutput().flush()
    return 0 if shown else 2


def _options(kinds: Sequence[tuple[type[Any], str]]) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and sentence of every option."""
    for kind, prefix in kinds:
        sentences, defaults = option_sentences(kind), kind()
        for field in dataclasses.fields(kind):
            default = getattr(defaults, field.name)
            if not dataclasses.is_dataclass(default):
                yield prefix + field.name, _plain(default), sentences.get(field.name, "")


def _plain(default: object) -> str:
    if default is None or default == ():
        return "none"
    return str(default).lower() if isinstance(default, bool) else str(default)
