"""Measure texts as a tokenizer reads them; see `core.text_facts`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from multihot.core.text_facts import LENGTH_BINS, TextFacts
from multihot.data.tokens import TokenizedTexts, largest_id, special_tokens
from multihot.data.unknown_tokens import unknown_token_id

__all__ = ["TextFactsCounter"]

_MARKS = (
    "\u0120",
    "\u2581",
)  # before the first token of a word: of byte-level BPE, of SentencePiece
_LEAST_MARKED = 0.05  # of a vocabulary, so that the mark means what it seems to


class TextFactsCounter:
    """Measures what one tokenizer made of texts."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        prefix, suffix = special_tokens(tokenizer)
        self._prefix, self._suffix = len(prefix), len(suffix)
        self._unknown = unknown_token_id(tokenizer)
        self._continues = _continuing(tokenizer)

    def count(self, tokenized: TokenizedTexts) -> TextFacts:
        """Return the facts of N texts."""
        num_texts = len(tokenized)
        lengths = np.maximum(tokenized.lengths - self._prefix - self._suffix, 0)
        row = np.repeat(np.arange(num_texts), tokenized.lengths)
        place = np.arange(len(row)) - tokenized.offsets[:-1][row]
        behind = self._prefix + lengths[row]
        inside = (place >= self._prefix) & (place < behind)
        ids, row = tokenized.ids[inside], row[inside]
        unknown = (
            np.bincount(row[ids == self._unknown], minlength=num_texts)
            if self._unknown is not None
            else None
        )
        bins = np.floor(2 * np.log2(np.maximum(lengths, 1))).astype(np.int64)
        counts = np.bincount(np.minimum(bins, LENGTH_BINS - 1), minlength=LENGTH_BINS)
        continuing, mean, variance = self._words(ids, row, lengths)
        return TextFacts(
            rows=num_texts,
            truncated=int(tokenized.truncated.sum()),
            with_unknown=0 if unknown is None else int((unknown > 0).sum()),
            tokens=int(lengths.sum()),
            unknown=0 if unknown is None else int(unknown.sum()),
            continuing=continuing,
            continuing_mean=mean,
            continuing_variance=variance,
            lengths=tuple(counts.tolist()),
        )

    def _words(
        self,
        ids: npt.NDArray[np.unsignedinteger],
        row: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
    ) -> tuple[int, float | None, float | None]:
        """Return how many tokens continue a word, and mean and variance of their fraction over texts."""
        if self._continues is None:
            return 0, None, None
        found = np.bincount(row[self._continues[ids]], minlength=len(lengths))
        fractions = found / np.maximum(lengths, 1)
        if not len(fractions):
            return 0, 0.0, 0.0
        return int(found.sum()), float(fractions.mean()), float(fractions.var())


def _continuing(tokenizer: Tokenizer) -> npt.NDArray[np.bool_] | None:
    """Return which ids continue a word; `None` where the vocabulary does not show it. *Shape:* (V,)."""
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    special = set(tokenizer.get_added_tokens_decoder())
    result = np.zeros(largest_id(tokenizer) + 1, dtype=np.bool_)
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None)
    if type(tokenizer.model).__name__ == "WordPiece" and prefix:
        for token, number in vocabulary.items():
            result[number] = token.startswith(prefix) and number not in special
        return result
    for mark in _MARKS:
        marked = sum(token.startswith(mark) for token in vocabulary)
        if marked >= _LEAST_MARKED * len(vocabulary):
            for token, number in vocabulary.items():
                result[number] = not token.startswith(mark) and number not in special
            return result
    return None
