"""The options on help pages: those that most people need, and where the others are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from multihot.core.options import DataOptions, TrainOptions
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.text_tables import wrapped

__all__ = ["option_help"]

_OF_TRAINING = (
    "epochs",
    "batch_size",
    "learning_rate",
    "max_length",
    "windows",
    "thresholds",
    "calibration",
    "empty_set_rule",
    "early_stopping_epochs",
    "validation_fraction",
    "seed",
)
_OF_PRETRAINING = ("epochs", "batch_size", "learning_rate", "max_length", "masking_rate", "seed")
_OF_READING = (
    "text_column",
    "label_column",
    "label_columns",
    "label_delimiter",
    "ignore_columns",
    "encoding",
    "sheet",
)
_READING = ("train", "evaluate", "compare", "decide", "predict", "split", "inspect", "audit")
_NAME_COLUMNS = 22


def option_help(command: str, width: int) -> str:
    """Return the part of a help page on options; empty for a command that takes none."""
    lines = [line for name, sentence in _options(command) for line in _lines(name, sentence, width)]
    if not lines:
        return ""
    rest = "multihot options pretrain" if command == "pretrain" else "multihot options"
    if command not in ("train", "audit", "pretrain"):
        rest += " data."
    return "\n".join(["often needed (key=value):", *lines, f"All of them: {rest}"])


def _options(command: str) -> Iterator[tuple[str, str]]:
    if command in ("train", "audit"):
        yield from _sentences(TrainOptions, "", _OF_TRAINING)
    if command == "pretrain":
        yield from _sentences(PretrainOptions, "", _OF_PRETRAINING)
    if command in _READING:
        yield from _sentences(DataOptions, "data.", _OF_READING)


def _sentences(kind: type[Any], prefix: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    from multihot.core.option_sentences import option_sentences, short_sentence

    sentences = option_sentences(kind)
    for name in names:
        yield prefix + name, short_sentence(sentences.get(name, ""))


def _lines(name: str, sentence: str, width: int) -> list[str]:
    """Return a name and its sentence beside it, as argparse shows flags."""
    indent = " " * (_NAME_COLUMNS + 2)
    first, *others = wrapped(sentence, max(20, width - len(indent))).split("\n")
    shown = f"  {name}"
    start = (
        [f"{shown:<{len(indent)}}{first}"] if len(shown) < len(indent) else [shown, indent + first]
    )
    return [*start, *(indent + line for line in others)]
