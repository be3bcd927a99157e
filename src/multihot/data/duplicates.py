"""Texts that occur more than once, inside a file and between two files.

Two texts are *exact duplicates* when every character is the same, and *near-duplicates* when their
words are: see `normalised`. Blank texts are left out. Rows of one text *conflict* when some label is 1
in one of them and 0 in another; an unknown cell conflicts with nothing, and a fraction counts as the
decision it stands for.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.data.label_bits import LabelBits

__all__ = [
    "DuplicatedText",
    "Duplicates",
    "LabelledTexts",
    "Occurrence",
    "RowsByText",
    "find_duplicates",
    "find_leaks",
    "normalised",
    "rows_by_text",
]

RowsByText = Mapping[str, Sequence[int]]
"""Row numbers by text, or by what a text is normalised to, in the order of the file."""

_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_USER_NAME = re.compile(r"(?<!\w)@\w+")
_NOT_WORD = re.compile(r"\W+")
# They select the coloured or the plain form of an emoji, which is removed itself.
_VARIATION_MARKS = "\ufe0e\ufe0f\u20e3"
_MAX_EXAMPLES = 5
_MAX_OCCURRENCES = 50


@dataclass(frozen=True)
class LabelledTexts:
    """The N rows of one file, with their labels packed.

    Attributes
    ----------
    source
        The path as it was given.
    texts
        *Shape:* N.
    lines
        *Shape:* (N,), int64: the 1-based line (or row) of each text in the file.
    labels
        *Shape:* (N, L).
    """

    source: str
    texts: Sequence[str]
    lines: npt.NDArray[np.int64]
    labels: LabelBits

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Occurrence:
    """One row that holds a duplicated text."""

    source: str
    line: int
    """1-based line (or row) in the file."""
    labels: tuple[str, ...]


@dataclass(frozen=True)
class DuplicatedText:
    """A text and the rows that hold it."""

    text: str
    """As the first row has it."""
    rows: int
    """How many rows hold it."""
    conflicting: bool
    """Whether some label is 1 in one of the rows and 0 in another."""
    occurrences: tuple[Occurrence, ...]
    """The rows; of more than 50 the first and the last 25."""


@dataclass(frozen=True)
class Duplicates:
    """How many texts occur more than once."""

    texts: int
    """Different texts that occur more than once; of two files: that occur in both."""
    rows: int
    """Rows that repeat such a text; of two files: rows of the second."""
    conflicting: int
    """Texts among them whose rows conflict."""
    examples: tuple[DuplicatedText, ...]
    """The first few, conflicting ones before others."""


def normalised(text: str) -> str:
    """Return the words of a text, so that near-duplicates compare as equal.

    HTML entities are decoded, links and user names (`@name`) removed, case and width folded (NFKC,
    casefold), and every run of characters that are neither letters, marks, digits nor underscores
    (white space, punctuation, `#`, emoji) becomes one space. A text without any word keeps its
    characters instead, with its white space collapsed, because two rows of emoji are not one text.
    """
    bare = _USER_NAME.sub(" ", _LINK.sub(" ", html.unescape(text)))
    folded = unicodedata.normalize("NFKC", bare.casefold())
    return " ".join(_NOT_WORD.sub(_space, folded).split()) or " ".join(text.casefold().split())


def _space(match: re.Match[str]) -> str:
    """Return a space, but keep combining marks: in many scripts they are vowels."""
    run = match[0]
    if run.isascii():
        return " "
    return "".join(
        sign if unicodedata.category(sign)[0] == "M" and sign not in _VARIATION_MARKS else " "
        for sign in run
    )


def rows_by_text(texts: Sequence[str], key: Callable[[str], str] = str) -> dict[str, list[int]]:
    """Return the rows of each different `key(text)`; blank texts are left out."""
    groups: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        if text.strip():
            groups.setdefault(key(text), []).append(row)
    return groups


def find_duplicates(file: LabelledTexts, groups: RowsByText) -> Duplicates:
    """Return the texts that occur more than once in one file, by `rows_by_text` of its texts."""
    duplicated = [[(file, rows)] for rows in groups.values() if len(rows) > 1]
    return _duplicates(duplicated, sum(len(rows) - 1 for ((_, rows),) in duplicated))


def find_leaks(
    first: LabelledTexts, groups: RowsByText, second: LabelledTexts, other_groups: RowsByText
) -> Duplicates:
    """Return the texts that occur in both files, whose labels have the same columns.

    `groups` and `other_groups` are the `rows_by_text` of their texts, with the same key.
    """
    shared = [key for key in groups if key in other_groups]
    duplicated = [[(first, groups[key]), (second, other_groups[key])] for key in shared]
    return _duplicates(duplicated, sum(len(other_groups[key]) for key in shared))


_Rows = list[tuple[LabelledTexts, Sequence[int]]]
"""The rows of one text in each of the files."""


def _duplicates(duplicated: list[_Rows], num_rows: int) -> Duplicates:
    conflicts = [_conflict(rows) for rows in duplicated]
    order = sorted(range(len(duplicated)), key=lambda index: not conflicts[index])[:_MAX_EXAMPLES]
    examples = tuple(_duplicated_text(duplicated[index], conflicts[index]) for index in order)
    return Duplicates(len(duplicated), num_rows, sum(conflicts), examples)


def _conflict(rows: _Rows) -> bool:
    """Return whether some label is 1 in one of the rows and 0 in another."""
    parts = [file.labels.contrast(np.asarray(numbers)) for file, numbers in rows]
    positive, negative = (np.bitwise_or.reduce(part) for part in zip(*parts, strict=True))
    return bool((positive & negative).any())


def _duplicated_text(rows: _Rows, conflicting: bool) -> DuplicatedText:
    pairs = [(file, row) for file, numbers in rows for row in numbers]
    first, row = pairs[0]
    half = _MAX_OCCURRENCES // 2
    shown = tuple(_occurrence(*pair) for pair in pairs[:half] + pairs[half:][-half:])
    return DuplicatedText(first.texts[row], len(pairs), conflicting, shown)


def _occurrence(file: LabelledTexts, row: int) -> Occurrence:
    labels = file.labels
    return Occurrence(file.source, int(file.lines[row]), labels.names(labels.positive[row]))
