"""How long texts are in words and tokens, how many are truncated, and what padding would cost.

Letters: `N` texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from multihot.data.tokens import tokenize

__all__ = ["LengthFigures", "TokenFigures", "token_figures", "word_figures"]

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


def word_figures(texts: Sequence[str]) -> LengthFigures:
    """Measure texts in words separated by white space. N is at least 1."""
    return _figures(np.array([len(text.split()) for text in texts], dtype=np.int64))


def token_figures(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> TokenFigures:
    """Measure texts in tokens; `tokenizer` has padding and truncation cleared. N is at least 1."""
    lengths = tokenize(tokenizer, texts, _UNLIMITED).lengths
    kept = np.minimum(lengths, max_length)
    starts = np.arange(0, len(kept), BATCH_SIZE)
    sizes = np.diff(np.append(starts, len(kept)))
    padded = int((np.maximum.reduceat(kept, starts) * sizes).sum())
    is_truncated = lengths > max_length
    return TokenFigures(
        lengths=_figures(lengths),
        max_length=max_length,
        truncated=int(is_truncated.sum()),
        truncated_share=float(is_truncated.mean()),
        padding_to_max_length=1 - int(kept.sum()) / (len(kept) * max_length),
        padding_to_longest=1 - int(kept.sum()) / max(padded, 1),
    )


def _figures(lengths: IntArray) -> LengthFigures:
    return LengthFigures(
        mean=float(lengths.mean()),
        median=float(np.median(lengths)),
        percentile_95=int(np.percentile(lengths, 95, method="inverted_cdf")),
        longest=int(lengths.max()),
    )
