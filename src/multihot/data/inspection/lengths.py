"""Lengths of texts in words, characters and tokens; what truncation leaves out, and what padding costs.

Letters: `N` texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from multihot.data.tokens import special_tokens, tokenize
from multihot.data.unknown_tokens import UnknownTokensCounter, texts_with_special_tokens

__all__ = [
    "BATCH_SIZE",
    "LengthFigures",
    "TokenFigures",
    "character_figures",
    "token_figures",
    "word_figures",
]

IntArray = npt.NDArray[np.int64]

BATCH_SIZE = 32
"""Texts of a batch that is padded to its longest."""

_UNLIMITED = 2**31 - 1  # a max_length that truncates nothing


@dataclass(frozen=True)
class LengthFigures:
    """Lengths of N texts."""

    mean: float
    median: float
    percentile_95: int
    """The shortest length that 95 % of the texts do not exceed."""
    longest: int


@dataclass(frozen=True)
class TokenFigures:
    """Lengths in tokens, special tokens included, and truncation and padding at `max_length`."""

    lengths: LengthFigures
    """Before truncation."""
    max_length: int
    truncated: int
    """Texts that are longer than `max_length`."""
    truncated_share: float
    """The fraction of the N texts that they are, 0 to 1."""
    padding_to_max_length: float
    """Fraction of all positions that are padding when every text is padded to `max_length`."""
    padding_to_longest: float
    """The same when each batch of 32 texts, in file order, is padded to its longest."""
    unknown: int = 0
    """Tokens that the vocabulary does not have; special tokens count in neither."""
    unknown_share: float = 0.0
    """The fraction of the tokens that they are, 0 to 1."""
    texts_with_special: int = 0
    """Texts that write a special token themselves, such as `[SEP]`."""
    truncated_characters: int = 0
    """Characters behind the last token that is read, of all texts together."""
    truncated_characters_share: float = 0.0
    """The fraction of all characters that they are, 0 to 1."""


def word_figures(texts: Sequence[str]) -> LengthFigures:
    """Measure texts in words separated by white space. N is at least 1."""
    return _figures(np.array([len(text.split()) for text in texts], dtype=np.int64))


def character_figures(texts: Sequence[str]) -> LengthFigures:
    """Measure texts in characters, which are Unicode code points. N is at least 1."""
    return _figures(np.array([len(text) for text in texts], dtype=np.int64))


def token_figures(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> TokenFigures:
    """Measure texts in tokens; `tokenizer` has padding and truncation cleared. N is at least 1."""
    tokenized = tokenize(tokenizer, texts, _UNLIMITED)
    lengths, unknown = tokenized.lengths, UnknownTokensCounter(tokenizer).count(tokenized)
    kept = np.minimum(lengths, max_length)
    starts = np.arange(0, len(kept), BATCH_SIZE)
    sizes = np.diff(np.append(starts, len(kept)))
    padded = int((np.maximum.reduceat(kept, starts) * sizes).sum())
    is_truncated = lengths > max_length
    cut = [texts[row] for row in np.flatnonzero(is_truncated).tolist()]
    num_left_out = _characters_left_out(tokenizer, cut, max_length) if cut else 0
    return TokenFigures(
        lengths=_figures(lengths),
        max_length=max_length,
        truncated=int(is_truncated.sum()),
        truncated_share=float(is_truncated.mean()),
        padding_to_max_length=1 - int(kept.sum()) / (len(kept) * max_length),
        padding_to_longest=1 - int(kept.sum()) / max(padded, 1),
        unknown=unknown.unknown,
        unknown_share=unknown.fraction,
        texts_with_special=texts_with_special_tokens(tokenizer, tokenized),
        truncated_characters=num_left_out,
        truncated_characters_share=num_left_out / max(sum(map(len, texts)), 1),
    )


def _characters_left_out(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> int:
    """Return how many characters stand behind the last token read of texts that are truncated."""
    prefix, suffix = special_tokens(tokenizer)
    last = max_length - len(suffix) - 1
    if last < len(prefix):  # no room for text: training refuses such a max_length
        return sum(map(len, texts))
    return sum(len(text) - tokenizer.encode(text).offsets[last][1] for text in texts)


def _figures(lengths: IntArray) -> LengthFigures:
    return LengthFigures(
        mean=float(lengths.mean()),
        median=float(np.median(lengths)),
        percentile_95=int(np.percentile(lengths, 95, method="inverted_cdf")),
        longest=int(lengths.max()),
    )
