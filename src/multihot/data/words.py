"""The words of a text, with their places, in any script.

Letters: `W` words of a text, `T` tokens.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Word", "shares_of_words", "words_of"]

_APOSTROPHES = "'’ʼ"
_SIGILS = "#@"
_JOINERS = "\u200c\u200d\ufe0e\ufe0f\u20e3"
# Scripts that put no spaces between words: ideographs, kana, Thai, Lao, Myanmar, Khmer.
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3005, 0x3007),
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)


@dataclass(frozen=True)
class Word:
    """One word: `text[start:end]`."""

    text: str
    start: int
    end: int


def words_of(text: str) -> tuple[Word, ...]:
    """Return the words of a text in their order; only white space is in none of them.

    A word is a run of letters, marks and digits, with apostrophes inside (`don't`) and a `#` or `@`
    before it; in scripts that put no spaces between words (Chinese, Japanese, Thai ...) it is one
    character with its marks. Other signs are words of their own: a run of punctuation (`:)`, `!!!`),
    or one emoji.
    """
    return tuple(Word(text[start:end], start, end) for start, end in _spans(text))


def _spans(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    kinds = [_kind(character) for character in text]
    for place in range(1, len(text) + 1):
        if place < len(text) and _goes_on(text, kinds, place):
            continue
        if kinds[start] != "space":
            yield start, place
        start = place


def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    category = unicodedata.category(character)
    if (
        category[0] == "M"
        or character in _JOINERS
        or (category == "Sk" and ord(character) > 0xFFFF)
    ):
        return "mark"  # also the tones of skin of an emoji
    code = ord(character)
    if any(first <= code <= last for first, last in _UNSPACED) and category[0] in "LN":
        return "single"
    if character.isalnum() or character == "_":
        return "word"
    return "symbol" if category == "So" else "sign"


def _goes_on(text: str, kinds: Sequence[str], place: int) -> bool:
    """Return whether the character at a place belongs to the word of the one before it."""
    before, here = kinds[place - 1], kinds[place]
    if here == "mark":
        return before != "space"
    if text[place - 1] == "\u200d" and here == "symbol":  # emoji that are joined into one
        return True
    base = place - 1
    while base and kinds[base] == "mark":
        base -= 1
    before = kinds[base]
    following = kinds[place + 1] if place + 1 < len(text) else "space"
    if here == "word":
        joined = text[base] in _APOSTROPHES and base > 0 and kinds[base - 1] in ("word", "mark")
        is_tag = text[base] in _SIGILS and (base == 0 or kinds[base - 1] == "space")
        return before == "word" or joined or is_tag
    if here == "sign" and text[place] in _APOSTROPHES and before == "word":
        return following == "word"
    if here == "sign":
        # A "#" before a word begins that word, unless it stands inside of signs.
        return before == "sign" and not (text[place] in _SIGILS and following == "word")
    return before == here == "space"


def shares_of_words(
    words: Sequence[Word], offsets: Sequence[tuple[int, int]]
) -> npt.NDArray[np.float64]:
    """Return how much of each token belongs to each word.

    Parameters
    ----------
    words
        W words, by their places.
    offsets
        First and last-plus-one character of T tokens.

    Returns
    -------
    shares
        *Shape:* (T, W). The rows of a token add up to 1, or to 0 where it touches no word.
    """
    shares = np.zeros((len(offsets), len(words)))
    if not words:
        return shares
    ends = np.array([word.end for word in words])
    for token, (start, end) in enumerate(offsets):
        first = int(np.searchsorted(ends, start, side="right"))
        for place in range(first, len(words)):
            if words[place].start >= end:
                break
            shares[token, place] = min(end, words[place].end) - max(start, words[place].start)
    total = shares.sum(axis=1, keepdims=True)
    shares /= np.where(total > 0, total, 1)
    return shares
