"""Where a text that is longer than a model reads at once is cut into overlapping windows.

A window ends with a sentence where one ends in its second half, else with its last token. The next one
begins `overlap` tokens before that end, or with the first sentence that begins in between.

Letters: `N` texts, `W` windows of all texts together.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.windows import WindowSettings
from multihot.errors import OptionError

__all__ = ["TextCutter", "TextWindows", "sentence_tokens", "window_bounds"]

IntArray = npt.NDArray[np.int64]

# Only where matches end counts. None is tried from inside a run, so that the time is linear.
_SENTENCE_END = re.compile(
    r"""(?<![.!?…])[.!?…]+["'“”‘’»«)\]]*\s+"""  # with white space behind it
    r"""|[。！？；]+["'”’」』）]*\s*"""
    r"""|\n\s*"""
)


@dataclass(frozen=True)
class TextWindows:
    """The windows of N texts, in the order of the texts.

    Attributes
    ----------
    starts
        *Shape:* (W + 1,), int64. Window `w` is `ids[starts[w]:starts[w + 1]]`, special tokens included.
    first
        *Shape:* (N + 1,), int64. Text `n` has the windows from `first[n]` up to `first[n + 1]`.
    characters
        *Shape:* (W, 2), int64. Where in its text each window begins and ends; `None` = not at hand.
    """

    starts: IntArray
    first: IntArray
    characters: IntArray | None = None

    @property
    def counts(self) -> IntArray:
        """Windows per text. *Shape:* (N,)."""
        return np.diff(self.first)

    def of_texts(self, indices: IntArray) -> tuple[IntArray, IntArray]:
        """Return the windows of the given texts, and where those of each begin, (texts + 1,)."""
        counts = self.counts[indices]
        first = np.append(0, np.cumsum(counts))
        within = np.arange(first[-1]) - np.repeat(first[:-1], counts)
        return np.repeat(self.first[indices], counts) + within, first

    def selected(self, indices: IntArray) -> TextWindows:
        """Return those of the given texts, whose ids lie side by side."""
        windows, first = self.of_texts(indices)
        starts = np.append(0, np.cumsum(np.diff(self.starts)[windows]))
        characters = None if self.characters is None else self.characters[windows]
        return TextWindows(starts, first, characters)

    @classmethod
    def joined(cls, parts: Sequence[TextWindows]) -> TextWindows:
        """Return the windows of one after those of the other."""
        lengths = np.concatenate([np.diff(part.starts) for part in parts])
        counts = np.concatenate([part.counts for part in parts])
        found = [part.characters for part in parts if part.characters is not None]
        characters = np.concatenate(found) if len(found) == len(parts) else None
        return cls(np.append(0, np.cumsum(lengths)), np.append(0, np.cumsum(counts)), characters)


def sentence_tokens(text: str, token_starts: Sequence[int]) -> list[int]:
    """Return the numbers of the tokens with which a sentence begins, the first one left out.

    `token_starts` is where in the text each token begins.
    """
    ends = (match.end() for match in _SENTENCE_END.finditer(text))
    found = dict.fromkeys(bisect_left(token_starts, end) for end in ends)
    return [number for number in found if 0 < number < len(token_starts)]


def window_bounds(
    num_tokens: int, room: int, settings: WindowSettings, sentences: Sequence[int]
) -> tuple[list[tuple[int, int]], bool]:
    """Return first and last-plus-one token of each window, and whether some were left out.

    Parameters
    ----------
    num_tokens
        Of the text, without special tokens.
    room
        Tokens of a window at most, more than `settings.overlap`.
    settings
        How far windows overlap, and how many there may be.
    sentences
        Tokens with which sentences begin, ascending.
    """
    bounds: list[tuple[int, int]] = []
    start = 0
    while len(bounds) < settings.max_windows:
        end = min(start + room, num_tokens)
        if end < num_tokens:
            # Beyond the overlap, so that the next window begins behind this one.
            least = start + max(room // 2, settings.overlap) + 1
            at = bisect_right(sentences, end) - 1
            end = sentences[at] if at >= 0 and sentences[at] >= least else end
        bounds.append((start, end))
        if end == num_tokens:
            return bounds, False
        start = end - settings.overlap
        at = bisect_left(sentences, start)
        if at < len(sentences) and sentences[at] < end:
            start = sentences[at]
    return bounds, True


class TextCutter:
    """Cuts encoded texts to what is read of them."""

    def __init__(
        self,
        prefix: list[int],
        suffix: list[int],
        max_length: int,
        settings: WindowSettings | None,
    ) -> None:
        self._prefix, self._suffix, self._settings = prefix, suffix, settings
        self._max_length = max_length
        self._room = max_length - len(prefix) - len(suffix)
        if self._room < 1:
            raise OptionError(
                f"max_length={max_length} leaves no room for text beside "
                f"{len(prefix) + len(suffix)} special tokens; use a larger one."
            )
        if settings is not None and settings.overlap >= self._room:
            raise OptionError(
                f"window_overlap={settings.overlap} leaves nothing new in windows of {self._room} tokens "
                f"(max_length={max_length}, special tokens left out); use a smaller one."
            )

    def __call__(self, text: str, encoding: Any) -> tuple[list[tuple[list[int], int, int]], bool]:
        """Return ids and characters of each window, and whether something is left out."""
        ids: list[int] = encoding.ids
        if len(ids) <= self._max_length:
            return [(ids, 0, len(text))], False
        content = ids[len(self._prefix) : len(ids) - len(self._suffix)]
        if self._settings is None:
            return [(self._prefix + content[: self._room] + self._suffix, 0, len(text))], True
        places = self._places(encoding)
        bounds, is_cut = self.bounds(text, encoding)
        windows = [
            (self._prefix + content[a:b] + self._suffix, places[a][0], places[b - 1][1])
            for a, b in bounds
        ]
        return windows, is_cut

    def bounds(self, text: str, encoding: Any) -> tuple[list[tuple[int, int]], bool]:
        """Return first and last-plus-one token of each window, and whether something is left out.

        Tokens are counted behind the special ones that stand before the text.
        """
        num_tokens = len(encoding.ids) - len(self._prefix) - len(self._suffix)
        if num_tokens <= self._room:
            return [(0, num_tokens)], False
        if self._settings is None:
            return [(0, self._room)], True
        sentences = sentence_tokens(text, [begin for begin, _ in self._places(encoding)])
        return window_bounds(num_tokens, self._room, self._settings, sentences)

    def _places(self, encoding: Any) -> list[tuple[int, int]]:
        places: list[tuple[int, int]] = encoding.offsets
        return places[len(self._prefix) : len(places) - len(self._suffix)]
