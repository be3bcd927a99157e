"""Texts that occur more than once, inside a file and between two files.

Two texts are *equal* when every character is, and *alike* when their words are: see `normalised`.
Blank texts are left out. Rows of one text *conflict* when some label is 1 in one of them and 0 in
another; an unknown cell conflicts with nothing, and a fraction counts as what it decides for.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from multihot.data.examples import Examples

__all__ = [
    "Occurrence",
    "RepeatedText",
    "Repeats",
    "find_leaks",
    "find_repeats",
    "group_rows",
    "normalised",
]

Groups = Mapping[str, Sequence[int]]
"""Row numbers by key, in the order of the file."""

_LINK = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_USER_NAME = re.compile(r"(?<!\w)@\w+")
_NOT_WORD = re.compile(r"\W+")
# They ask for the coloured or the plain form of an emoji, which is dropped itself.
_VARIATION_MARKS = "\ufe0e\ufe0f\u20e3"
_MAX_EXAMPLES = 5
_MAX_OCCURRENCES = 50


@dataclass(frozen=True)
class Occurrence:
    """One row that holds a repeated text."""

    source: str
    line: int
    """1-based line (or row) in the file."""
    labels: tuple[str, ...]


@dataclass(frozen=True)
class RepeatedText:
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
class Repeats:
    """How many texts occur more than once."""

    texts: int
    """Different texts that occur more than once; of two files: that occur in both."""
    rows: int
    """Rows that hold such a text again; of two files: rows of the second."""
    conflicting: int
    """Texts among them whose rows conflict."""
    examples: tuple[RepeatedText, ...]
    """The first few, conflicting ones before others."""


def normalised(text: str) -> str:
    """Return the words of a text, so that copies of it compare as equal.

    HTML entities are resolved, links and user names (`@name`) removed, case and width folded (NFKC,
    casefold), and every run of characters that are neither letters, marks, digits nor underscores
    (white space, punctuation, `#`, emoji) becomes one space. A text without any word keeps its
    characters instead, with its white space squeezed, because two rows of emoji are not one text.
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


def group_rows(texts: Sequence[str], key: Callable[[str], str] = str) -> dict[str, list[int]]:
    """Return the rows of each different `key(text)`; blank texts are left out."""
    groups: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        if text.strip():
            groups.setdefault(key(text), []).append(row)
    return groups


def find_repeats(examples: Examples, groups: Groups) -> Repeats:
    """Return the texts that occur more than once in one file, by `group_rows` of its texts."""
    repeated = [[(examples, row) for row in rows] for rows in groups.values() if len(rows) > 1]
    return _repeats(repeated, sum(len(rows) - 1 for rows in repeated))


def find_leaks(first: Examples, groups: Groups, second: Examples, other_groups: Groups) -> Repeats:
    """Return the texts that occur in both files, whose labels have the same columns.

    `groups` and `other_groups` are the `group_rows` of their texts, with the same key.
    """
    shared = [key for key in groups if key in other_groups]
    repeated = [
        [(first, row) for row in groups[key]] + [(second, row) for row in other_groups[key]]
        for key in shared
    ]
    return _repeats(repeated, sum(len(other_groups[key]) for key in shared))


def _repeats(repeated: list[list[tuple[Examples, int]]], num_rows: int) -> Repeats:
    conflicts = [_conflict(rows) for rows in repeated]
    order = sorted(range(len(repeated)), key=lambda place: not conflicts[place])[:_MAX_EXAMPLES]
    examples = tuple(_repeated_text(repeated[place], conflicts[place]) for place in order)
    return Repeats(len(repeated), num_rows, sum(conflicts), examples)


def _conflict(rows: list[tuple[Examples, int]]) -> bool:
    """Return whether some label is 1 in one of the rows and 0 in another."""
    values = [examples.labels.values[row] for examples, row in rows if examples.labels is not None]
    if not values:
        return False
    stacked = np.stack(values)
    return bool(((stacked > 0.5).any(axis=0) & (stacked < 0.5).any(axis=0)).any())


def _repeated_text(rows: list[tuple[Examples, int]], conflicting: bool) -> RepeatedText:
    first, row = rows[0]
    half = _MAX_OCCURRENCES // 2
    kept = tuple(_occurrence(*place) for place in rows[:half] + rows[half:][-half:])
    return RepeatedText(first.texts[row], len(rows), conflicting, kept)


def _occurrence(examples: Examples, row: int) -> Occurrence:
    labels = [] if examples.labels is None else examples.labels.take([row]).to_names()[0]
    return Occurrence(examples.source, examples.lines[row], tuple(labels))
