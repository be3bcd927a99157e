"""Passages to sentences, English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from multihot.errors import MissingExtraError, OptionError

__all__ = ["LANGUAGES", "split_sentences"]

LANGUAGES = ("auto", "en", "zh")
"""What `split_sentences` knows; `auto` decides passage by passage."""

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LETTER = re.compile(r"[^\W\d_]")
_CHINESE_SHARE = (
    0.3  # of the letters: Latin names and model numbers leave a Chinese passage Chinese
)

# sentencex ends no sentence before a digit or a small letter, which is right for English only.
_AFTER_FULL_STOP = re.compile(r"(?<=[。！？])(?=\w)")

# sentencex keeps quoted speech in one piece, however many sentences are spoken; so it sees spaces
# instead of quotation marks and of the `_` and `*` of emphasis, but for apostrophes inside words.
_MARKS = re.compile('["“”„«»「」『』_*`]')
_APOSTROPHE_OUTSIDE_WORDS = re.compile(r"['‘’](?:(?!\w)|(?<!\w.))", re.DOTALL)
_OPENING = "\"'“‘„«「『_*`"


def split_sentences(passage: str, language: str = "auto") -> list[str]:
    """Return the sentences of a passage, without the white space around them, in order.

    The boundaries are those of `sentencex` (abbreviations, numbers, Chinese full stops), with three
    changes: quoted speech, of which novels are full, is split like any other; no English sentence
    begins with a small letter (`"Go!" he said.` is one); and a Chinese full stop ends a sentence
    before a digit or a Latin letter, too.

    Parameters
    ----------
    passage
        Any text; a line end counts as a space, an empty line as a boundary.
    language
        `en`, `zh`, or `auto`: Chinese where at least 3 of 10 letters are Han characters.

    Raises
    ------
    MissingExtraError
        sentencex is not installed.
    OptionError
        The language is none of these.
    """
    try:
        from sentencex import segment
    except ImportError:
        raise MissingExtraError("sentencex", "pretrain", "Finding sentences") from None
    if language not in LANGUAGES:
        raise OptionError(f"language={language!r}; expected one of {', '.join(LANGUAGES)}.")
    if language == "auto":
        language = "zh" if _is_chinese(passage) else "en"
    masked = _APOSTROPHE_OUTSIDE_WORDS.sub(" ", _MARKS.sub(" ", passage))
    pieces = segment(language, masked)
    if language == "zh":
        pieces = [part for piece in pieces for part in _AFTER_FULL_STOP.split(piece)]
    if sum(map(len, pieces)) != len(passage):  # it did not keep every character: trust no place
        return _stripped([passage])
    return _stripped(_cut(passage, pieces, small_letters_begin=language == "zh"))


def _is_chinese(passage: str) -> bool:
    """Return whether enough letters are Han characters; pure ASCII is decided at once."""
    if passage.isascii():
        return False
    num_han = len(_HAN.findall(passage))
    return num_han > 0 and num_han >= _CHINESE_SHARE * len(_LETTER.findall(passage))


def _cut(passage: str, pieces: Sequence[str], *, small_letters_begin: bool) -> list[str]:
    """Cut `passage` where the masked `pieces` end, opening marks going with what they open."""
    sentences, start, place = [], 0, 0
    for piece, following in pairwise(pieces):
        place += len(piece)
        place_of_word = place + len(following) - len(following.lstrip())
        boundary = place_of_word
        while boundary > start and passage[boundary - 1] in _OPENING:
            boundary -= 1
        word = passage[place_of_word : place_of_word + 1]
        if small_letters_begin or not word.islower():
            sentences.append(passage[start:boundary])
            start = boundary
    sentences.append(passage[start:])
    return sentences


def _stripped(sentences: Sequence[str]) -> list[str]:
    return [sentence for each in sentences if (sentence := " ".join(each.split()))]
