"""`multihot next-sentence`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from multihot.cli.arguments import json_text, line_windows, new_parser, parse
from multihot.cli.console import StandardOutput
from multihot.core.text_tables import printable
from multihot.errors import DataError, OptionError

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot next-sentence bert-base-uncased "It was raining." \\
      "She opened her umbrella."
  multihot next-sentence runs/my-bert --input pairs.tsv --json

Prints the probability that the second text follows the first. --input takes one pair a line, its two
texts separated by a tab, and skips blank lines. With --json every pair is one JSON line.
"""

_Window = tuple[list[str], list[tuple[str, str]]]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("next-sentence", "Predict whether one text follows another.", _EPILOG)
    parser.add_argument("model", metavar="MODEL", help="pretrained BERT: folder or hub name")
    parser.add_argument("texts", nargs="*", default=[], metavar="TEXT", help="two texts")
    parser.add_argument("--input", metavar="FILE|-", help="pairs, or - for standard input")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--json", action="store_true", help="JSON lines")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    if len(given.texts) != (2 if given.input is None else 0):
        raise OptionError(
            f"Give two texts, or --input FILE (or - for standard input) and none; {len(given.texts)} "
            f"texts were given{' beside --input' if given.input else ''}."
        )

    from multihot.inference.masked_lm import NextSentence

    model = NextSentence.load(given.model, device=given.device)
    for names, pairs in _windows(given):
        probabilities = model.probabilities(pairs, names=names).tolist()
        for pair, (follows, random) in zip(pairs, probabilities, strict=True):
            StandardOutput().write((_as_json if given.json else _as_lines)(*pair, follows, random))
        StandardOutput().flush()
    return 0


def _windows(given: argparse.Namespace) -> Iterator[_Window]:
    if given.input is None:
        yield ["The pair"], [(given.texts[0], given.texts[1])]
        return
    for names, lines in line_windows(given.input):
        yield names, [_pair(name, line) for name, line in zip(names, lines, strict=True)]


def _pair(name: str, line: str) -> tuple[str, str]:
    texts = line.split("\t")
    if len(texts) != 2:
        raise DataError(
            f"{name} has {len(texts) - 1} tabs; expected two texts with one tab between them."
        )
    return texts[0], texts[1]


def _as_json(first: str, second: str, follows: float, random: float) -> str:
    content = {
        "first": first,
        "second": second,
        "is_next": round(follows, 6),
        "is_random": round(random, 6),
    }
    return json_text(content)


def _as_lines(first: str, second: str, follows: float, random: float) -> str:
    return f"{printable(first)}\n{printable(second)}\n  -> is next {follows:.4f}, random {random:.4f}\n"
