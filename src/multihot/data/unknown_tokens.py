"""How much of some texts a tokenizer cannot read: tokens that all stand for "unknown".

A vocabulary without the letters of a script, or WordPiece's limit of 100 letters a word, turns whole
texts into `[UNK]`, and texts that differ in nothing else get the same scores.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

from multihot.data.tokens import TokenizedTexts, tokenize
from multihot.errors import DataError

if TYPE_CHECKING:
    from multihot.data.dataset import Subset

__all__ = [
    "UnknownTokens",
    "UnknownTokensCounter",
    "check_unknown_tokens",
    "texts_with_special_tokens",
    "unknown_token_id",
    "unknown_tokens_in",
]

_REMARK_FROM = 0.03
_MOST = 0.5
_TOKENS_AT_ONCE = 1 << 22  # compared at once; the ids may lie in a mapped file


@dataclass(frozen=True)
class UnknownTokens:
    """How many tokens of some texts are unknown; special tokens count in neither."""

    unknown: int
    tokens: int

    @property
    def fraction(self) -> float:
        """Unknown tokens as a fraction of all; 0 without any token."""
        return self.unknown / self.tokens if self.tokens else 0.0

    @property
    def is_most(self) -> bool:
        """Whether the texts are mostly unreadable."""
        return self.fraction > _MOST

    def __add__(self, other: UnknownTokens) -> UnknownTokens:
        return UnknownTokens(self.unknown + other.unknown, self.tokens + other.tokens)

    def remark(self, what: str) -> str | None:
        """Return a sentence about the tokens of `what`, where they are more than a few per cent."""
        if self.fraction < _REMARK_FROM:
            return None
        return (
            f"{100 * self.fraction:.0f} % of the tokens of {what} are unknown to the vocabulary "
            f"({self.unknown} of {self.tokens}): texts that differ in nothing else get the same scores. "
            "Use an encoder of their language; words of over 100 letters are unknown to WordPiece."
        )


class UnknownTokensCounter:
    """Counts the unknown tokens that one tokenizer made; one without such a token makes none."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._id = unknown_token_id(tokenizer)
        of_nothing = tokenizer.encode("").ids  # special tokens, and the labels of a label prompt
        self._special = len(of_nothing)
        self._special_unknown = sum(each == self._id for each in of_nothing)

    def count(
        self, tokenized: TokenizedTexts, first: int = 0, last: int | None = None
    ) -> UnknownTokens:
        """Count the tokens of the texts from `first` up to, not including, `last`."""
        offsets = tokenized.offsets
        last = len(tokenized) if last is None else last
        start, end = int(offsets[first]), int(offsets[last])
        num_texts = last - first
        num_tokens = max(0, end - start - self._special * num_texts)
        if self._id is None:
            return UnknownTokens(0, num_tokens)
        found = sum(
            int(np.count_nonzero(tokenized.ids[at : min(at + _TOKENS_AT_ONCE, end)] == self._id))
            for at in range(start, end, _TOKENS_AT_ONCE)
        )
        return UnknownTokens(max(0, found - self._special_unknown * num_texts), num_tokens)


def unknown_tokens_in(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> UnknownTokens:
    """Tokenise texts and count."""
    return UnknownTokensCounter(tokenizer).count(tokenize(tokenizer, texts, max_length))


def texts_with_special_tokens(tokenizer: Tokenizer, tokenized: TokenizedTexts) -> int:
    """Count the texts that write a special token themselves, such as `[SEP]`; the unknown token is none.

    It is read as that token, not as its letters, as in `transformers`.
    """
    unknown = unknown_token_id(tokenizer)
    special = [
        number
        for number, token in tokenizer.get_added_tokens_decoder().items()
        if token.special and number != unknown
    ]
    own = int(np.isin(tokenizer.encode("").ids, special).sum())
    found = np.concatenate([[0], np.cumsum(np.isin(tokenized.ids, special), dtype=np.int64)])
    counts = found[tokenized.offsets[1:]] - found[tokenized.offsets[:-1]]
    num_windows = 1 if tokenized.windows is None else tokenized.windows.counts
    return int((counts > own * num_windows).sum())


def check_unknown_tokens(
    rows: Subset, tokenizer: Tokenizer, say: Callable[[str], None], max_fraction: float
) -> None:
    """Remark on each file of a dataset with unknown tokens; of `rows`, the whole dataset counts.

    Raises `DataError` when more than `max_fraction` of its tokens are unknown.
    """
    origin, counter = rows.origin, UnknownTokensCounter(tokenizer)
    parts = getattr(origin, "parts", ()) or (origin,)
    total, first = UnknownTokens(0, 0), 0
    for part in parts:
        found = counter.count(rows.tokens, first, first + len(part))
        first += len(part)
        total += found
        if remark := found.remark(Path(part.source).name):
            say(remark)
    if total.fraction > max_fraction:
        raise DataError(
            f"{100 * total.fraction:.0f} % of the tokens are unknown to the vocabulary of the encoder, so "
            "most of the text cannot be read. Use an encoder of its language (encoder=NAME), or set "
            "max_unknown_fraction=1 to train all the same.",
            path=origin.source,
        )


def unknown_token_id(tokenizer: Tokenizer) -> int | None:
    """Return the id that stands for what the vocabulary does not have; `None` where there is none."""
    token = getattr(tokenizer.model, "unk_token", None)
    if token is not None:
        return tokenizer.token_to_id(token)
    if type(tokenizer.model).__name__ != "Unigram":
        return None
    found = json.loads(tokenizer.to_str())["model"].get("unk_id")  # no attribute tells it
    return None if found is None else int(found)
