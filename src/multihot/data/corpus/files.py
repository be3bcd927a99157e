"""The documents of one file: plain text with blank lines between them, or JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from multihot.core.text_tables import listed
from multihot.data.readers.compression import open_bytes
from multihot.data.readers.jsonl import parse_objects
from multihot.data.readers.text_encoding import stream_lines
from multihot.errors import DataError

__all__ = ["MAX_CHARACTERS", "CorpusFile", "Pieces", "read_pieces"]

Pieces = Iterator[tuple[str, list[str], bool]]
"""Id, passages, and whether lines were joined, of each document of one file."""

MAX_CHARACTERS = 200_000_000
"""Of one document, which is held in memory."""

_LONGEST_WRAPPED_LINE = 100
_WRAPPED_FRACTION = 0.9  # of the lines that must be full


@dataclass(frozen=True)
class CorpusFile:
    """One file of a corpus and how it is read."""

    path: Path
    is_json: bool
    compression: str | None
    encoding: str


def read_pieces(file: CorpusFile, *, max_characters: int = MAX_CHARACTERS) -> Pieces:
    """Yield the documents of one file.

    Raises `DataError` for a line that is no document, and for a text document of more than
    `max_characters`.
    """
    with open_bytes(file.path, file.compression) as handle:
        lines = stream_lines(handle, file.encoding, str(file.path))
        if file.is_json:
            yield from _json_pieces(lines, file.path)
        else:
            yield from _text_pieces(lines, file.path, max_characters)


def _text_pieces(lines: Iterator[str], path: Path, max_characters: int) -> Pieces:
    block: list[str] = []
    first, num_characters = 1, 0
    for number, line in enumerate(lines, start=1):
        content = line.strip()
        if content:
            first = first if block else number
            block.append(content)
            num_characters += len(content)
            if num_characters > max_characters:
                raise DataError(
                    f"A document of more than {max_characters} characters begins here. Put a blank "
                    "line between documents.",
                    path=path,
                    line=first,
                )
        elif block:
            yield f"{path.name}:{first}", *_unwrapped(block)
            block, num_characters = [], 0
    if block:
        yield f"{path.name}:{first}", *_unwrapped(block)


def _json_pieces(lines: Iterator[str], path: Path) -> Pieces:
    for number, record in parse_objects(lines, path):
        name = record.get("id")
        shown = f"{path.name}:{number}" if name is None else str(name)

        def refuse(message: str, column: str | None = None, line: int = number) -> DataError:
            return DataError(message, path=path, line=line, column=column)

        if ("text" in record) == ("paragraphs" in record):
            raise refuse(
                "Expected either the key 'text' (a string) or 'paragraphs' (a list of strings); the "
                f"keys are: {listed([*record]) or 'none'}."
            )
        if "text" in record:
            yield shown, *_text_passages(record["text"], refuse)
        else:
            yield shown, _paragraphs(record["paragraphs"], refuse), False


def _text_passages(text: Any, refuse: Callable[..., DataError]) -> tuple[list[str], bool]:
    if not isinstance(text, str | None):
        raise refuse(f"Expected a string, not {text!r:.60}.", "text")
    blocks: list[list[str]] = [[]]
    for line in (text or "").splitlines():
        if line.strip():
            blocks[-1].append(line.strip())
        else:
            blocks.append([])
    parts = [_unwrapped(block) for block in blocks]
    return [line for lines, _ in parts for line in lines], any(wrapped for _, wrapped in parts)


def _paragraphs(paragraphs: Any, refuse: Callable[..., DataError]) -> list[str]:
    if not isinstance(paragraphs, list) or not all(isinstance(each, str) for each in paragraphs):
        raise refuse("Expected a list of strings.", "paragraphs")
    return [each for each in paragraphs if each.strip()]


def _unwrapped(lines: list[str]) -> tuple[list[str], bool]:
    """Join lines that were wrapped at a fixed width; return whether they were.

    They were when almost no line has room for the first word of the next one. Otherwise every line
    would end a sentence.
    """
    width = max(map(len, lines), default=0)
    if len(lines) < 3 or width > _LONGEST_WRAPPED_LINE:
        return lines, False
    num_full = sum(
        len(line) + 1 + len(following.split(maxsplit=1)[0]) > width
        for line, following in pairwise(lines)
    )
    if num_full < _WRAPPED_FRACTION * (len(lines) - 1):
        return lines, False
    return [" ".join(lines)], True
