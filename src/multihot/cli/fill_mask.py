"""`multihot fill-mask`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from multihot.cli.arguments import json_text, line_windows, new_parser, parse
from multihot.cli.console import StandardOutput
from multihot.core.text_tables import printable
from multihot.errors import OptionError

if TYPE_CHECKING:
    from multihot.inference.masked_lm import Fill

__all__ = ["build_parser", "run"]

_EPILOG = """examples:
  multihot fill-mask bert-base-uncased "Paris is the [MASK] of France"
  multihot fill-mask runs/my-bert "The [MASK] sat on the [MASK]." --top 3 --json
  multihot fill-mask runs/my-bert --input texts.txt --json > filled.jsonl

Every mask is predicted independently. What a mask looks like depends on the tokenizer ([MASK] for
BERT, <mask> for RoBERTa); a text without one is an error. --input takes one text a line and skips
blank lines. With --json every text is one JSON line.
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = new_parser("fill-mask", "Predict the tokens at the masks of a text.", _EPILOG)
    parser.add_argument("model", metavar="MODEL", help="pretrained model: folder or hub name")
    parser.add_argument("texts", nargs="*", default=[], metavar="TEXT", help="texts with masks")
    parser.add_argument("--input", metavar="FILE|-", help="file of texts, or - for standard input")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="tokens per mask (5)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--json", action="store_true", help="JSON lines")
    return parser


def run(arguments: Sequence[str]) -> int:
    """Run the command with its arguments; return the exit code."""
    given = parse(build_parser(), arguments)
    if (given.input is None) == (not given.texts):
        raise OptionError(
            "Give texts, or --input FILE (or - for standard input): one of the two, not both."
        )
    if given.top < 1:
        raise OptionError(f"--top {given.top}; expected at least 1.")

    from multihot.inference.masked_lm import FillMask

    model = FillMask.load(given.model, device=given.device)
    for names, texts in _windows(given):
        for text, masks in zip(texts, model.fill(texts, top=given.top, names=names), strict=True):
            StandardOutput().write(_as_json(text, masks) if given.json else _as_lines(text, masks))
        StandardOutput().flush()
    return 0


def _windows(given: argparse.Namespace) -> Iterator[tuple[list[str], list[str]]]:
    if given.input is not None:
        return line_windows(given.input)
    return iter([([f"Text {number}" for number, _ in enumerate(given.texts, 1)], given.texts)])


def _as_json(text: str, masks: Sequence[Sequence[Fill]]) -> str:
    content = {
        "text": text,
        "masks": [
            [
                {
                    "token": fill.token,
                    "token_id": fill.token_id,
                    "score": round(fill.score, 6),
                    "text": fill.text,
                }
                for fill in fills
            ]
            for fills in masks
        ],
    }
    return json_text(content)


def _as_lines(text: str, masks: Sequence[Sequence[Fill]]) -> str:
    lines = [printable(text)]
    for number, fills in enumerate(masks, start=1):
        if len(masks) > 1:
            lines.append(f"  mask {number}:")
        lines += [
            f"  {fill.score:6.4f}  {printable(fill.token):<16}  {printable(fill.text)}"
            for fill in fills
        ]
    return "\n".join(lines) + "\n"
