"""Passages to sentences, English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from multihot.errors import MissingExtraError, OptionError

__all__ = ["LANGUAGES", "split_sentences"]

LANGUAGES = ("auto", "en", "zh")
"""Values of the option `language`; `auto` decides for each passage."""

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LETTER = re.compile(r"[^\W\d_]")
_CHINESE_FRACTION = 0.3  # of the letters: Chinese passages contain Latin names and model numbers

# sentencex ends no sentence before a digit or a lower-case letter: right for English only.
_AFTER_FULL_STOP = re.compile(r"(?<=[。！？])(?=\w)")

# sentencex never splits quoted speech. So quotation marks and the `_` and `*` of emphasis are replaced
# by spaces before it is called; apostrophes inside words are kept.
_MARKS = re.compile('["“”„«»「」『』_*`]')
_APOSTROPHE_OUTSIDE_WORDS = re.compile(r"['‘’](?:(?!\w)|(?<!\w.))", re.DOTALL)
_OPENING = "\"'“‘„«「『_*`"


def split_sentences(passage: str, language: str = "auto") -> list[str]:
    """Return the sentences of a passage in order, stripped.

    The boundaries are those of `sentencex` (abbreviations, numbers, Chinese full stops), with three
    changes: quoted speech, frequent in novels, is split like other text; no English sentence begins
    with a lower-case letter (`"Go!" he said.` is one sentence); and a Chinese full stop also ends a
    sentence before a digit or a Latin letter.

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
    if sum(map(len, pieces)) != len(passage):  # characters were lost, so no boundary is reliable
        return _stripped([passage])
    return _stripped(_cut(passage, pieces, lowercase_begins=language == "zh"))


def _is_chinese(passage: str) -> bool:
    """Return whether enough letters are Han characters; pure ASCII needs no count."""
    if passage.isascii():
        return False
    num_han = len(_HAN.findall(passage))
    return num_han > 0 and num_han >= _CHINESE_FRACTION * len(_LETTER.findall(passage))


def _cut(passage: str, pieces: Sequence[str], *, lowercase_begins: bool) -> list[str]:
    """Split `passage` where the masked `pieces` end; opening marks belong to what they open."""
    sentences, start, end = [], 0, 0
    for piece, following in pairwise(pieces):
        end += len(piece)
        word_start = end + len(following) - len(following.lstrip())
        boundary = word_start
        while boundary > start and passage[boundary - 1] in _OPENING:
            boundary -= 1
        letter = passage[word_start : word_start + 1]
        if lowercase_begins or not letter.islower():
            sentences.append(passage[start:boundary])
            start = boundary
    sentences.append(passage[start:])
    return sentences


def _stripped(sentences: Sequence[str]) -> list[str]:
    return [sentence for each in sentences if (sentence := " ".join(each.split()))]
