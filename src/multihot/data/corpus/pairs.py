"""Sentence pairs for masked language modelling and next-sentence prediction.

The rules are those of Devlin et al. 2018, appendix A.1 and A.2, and of the script published with it:
sentences are collected up to a target length, one example in ten gets a smaller target, the collected
sentences are split in two at a random position, and a side that is too long is truncated at both ends.

There is one difference. The script draws a random second side of any length, so that lengths, document
ends and the position of the split leak the class. Here all pairs are true ones first; then pairs of
different documents with second sides of equal length are coupled, and half of the couples, drawn at
random, swap their second sides. So each side by itself, and the two lengths together, have the same
distribution in both classes, and no text is wasted or used twice.

Letters: `N` examples; `S`, `D`: see `CorpusTokens`.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.data.corpus.tokenize import CorpusTokens
from multihot.errors import OptionError

__all__ = ["Pairs", "make_pairs"]

IntArray = npt.NDArray[np.int64]

_SPECIAL_TOKENS_OF_PAIR = 3
_SPECIAL_TOKENS_ALONE = 2


@dataclass(frozen=True)
class Pairs:
    """The examples of one epoch, as positions in `CorpusTokens.ids`, in the order of the corpus.

    Attributes
    ----------
    first_spans
        *Shape:* (N, 2), int64. Start and end of the first side.
    second_spans
        *Shape:* (N, 2), int64. Start and end of the second side; both 0 without next-sentence
        prediction.
    is_random
        *Shape:* (N,), int8. 1 = the second side is from another document, 0 = it follows the first
        (transformers' convention: class 0 is next).
    """

    first_spans: IntArray
    second_spans: IntArray
    is_random: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.is_random)

    @property
    def lengths(self) -> IntArray:
        """Tokens per example, special tokens included. *Shape:* (N,), int64."""
        second = np.diff(self.second_spans)[:, 0]
        return np.diff(self.first_spans)[:, 0] + second + np.where(second > 0, 3, 2)


def make_pairs(
    corpus: CorpusTokens,
    *,
    max_length: int,
    short_fraction: float = 0.1,
    next_sentence: bool,
    generator: np.random.Generator,
) -> Pairs:
    """Draw the examples of one epoch; every token belongs to one of them or is truncated.

    Parameters
    ----------
    corpus
        Tokens of one part of a corpus.
    max_length
        Maximum tokens per example, special tokens included.
    short_fraction
        Fraction of the examples whose target length is drawn uniformly from 2 to the maximum.
    next_sentence
        Whether examples are pairs. Half of the couples of pairs are random ones.
    generator
        Source of all random numbers.

    Raises
    ------
    OptionError
        `max_length` leaves no room; the corpus is empty; or pairs are requested of a single document.
    """
    room = max_length - (_SPECIAL_TOKENS_OF_PAIR if next_sentence else _SPECIAL_TOKENS_ALONE)
    if room < 2:
        raise OptionError(f"max_length={max_length} leaves no room for text; use a larger one.")
    if corpus.num_tokens == 0:
        raise OptionError("There is no text in this part of the corpus; use a larger corpus.")
    chunks = _collect(corpus, room, short_fraction, at_least=1 + next_sentence, generator=generator)
    if not next_sentence:
        first = _trimmed(chunks.spans(corpus), chunks.lengths(corpus) - room, generator)
        none = np.zeros(len(first), np.int8)
        return Pairs(first, np.zeros_like(first), none)
    first, second, sources = _split(corpus, chunks, generator)
    if len(np.unique(sources)) < 2:
        raise OptionError(
            "A random next sentence comes from another document, and there is only one document in "
            "this part of the corpus. Put blank lines between documents, add documents, or turn "
            "next-sentence prediction off (next_sentence=false)."
        )
    first, second = _shorten(first, second, room, generator)
    second, is_random = _swap(corpus, first, second, sources, generator)
    return Pairs(first, second, is_random)


@dataclass(frozen=True)
class _Chunks:
    """Sentences `starts[n]` to `ends[n]` of one document. *Shapes:* (N,), int64."""

    starts: IntArray
    ends: IntArray
    documents: IntArray

    def spans(self, corpus: CorpusTokens) -> IntArray:
        offsets = corpus.sentence_offsets
        return np.stack([offsets[self.starts], offsets[self.ends]], axis=1)

    def lengths(self, corpus: CorpusTokens) -> IntArray:
        return np.diff(self.spans(corpus))[:, 0]


def _collect(
    corpus: CorpusTokens,
    room: int,
    short_fraction: float,
    *,
    at_least: int,
    generator: np.random.Generator,
) -> _Chunks:
    """Collect sentences until a target is reached or the document ends.

    A chunk has `at_least` sentences where the document still has as many.
    """
    starts: list[int] = []
    ends: list[int] = []
    documents: list[int] = []
    targets: list[int] = []
    for document in range(len(corpus.sources)):
        first, last = corpus.document_offsets[document : document + 2].tolist()
        offsets = corpus.sentence_offsets[first : last + 1].tolist()
        start, num_sentences = 0, last - first
        while start < num_sentences:
            if not targets:
                targets = _targets(room, short_fraction, generator)
            reached = bisect_left(offsets, offsets[start] + targets.pop(), start + 1)
            end = min(max(reached, start + at_least), num_sentences)
            starts.append(first + start)
            ends.append(first + end)
            start = end
        documents += [document] * (len(starts) - len(documents))
    return _Chunks(np.array(starts), np.array(ends), np.array(documents))


def _targets(room: int, short_fraction: float, generator: np.random.Generator) -> list[int]:
    short = generator.random(4096) < short_fraction
    drawn = generator.integers(2, room, size=4096, endpoint=True)
    return [int(each) for each in np.where(short, drawn, room)]


def _split(
    corpus: CorpusTokens, chunks: _Chunks, generator: np.random.Generator
) -> tuple[IntArray, IntArray, IntArray]:
    """Split each chunk between sentences, a single sentence between tokens; drop single tokens."""
    num_sentences = chunks.ends - chunks.starts
    drawn = generator.random(len(num_sentences))
    inner = chunks.starts + 1 + np.floor(drawn * (num_sentences - 1)).astype(np.int64)
    spans = chunks.spans(corpus)
    lengths = np.diff(spans)[:, 0]
    inside = spans[:, 0] + 1 + np.floor(drawn * (lengths - 1)).astype(np.int64)
    cuts = np.where(num_sentences > 1, corpus.sentence_offsets[inner], inside)
    kept = lengths > 1
    first = np.stack([spans[:, 0], cuts], axis=1)[kept]
    second = np.stack([cuts, spans[:, 1]], axis=1)[kept]
    return first, second, corpus.sources[chunks.documents[kept]]


def _shorten(
    first: IntArray, second: IntArray, room: int, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Remove tokens from the longer side until both fit, each from a random one of its ends."""
    num_first, num_second = np.diff(first)[:, 0], np.diff(second)[:, 0]
    excess = np.maximum(0, num_first + num_second - room)
    from_longer = np.minimum(excess, np.abs(num_first - num_second))
    rest = excess - from_longer  # the sides are equally long by then: in turn, the second first
    from_first = np.where(num_first > num_second, from_longer, 0) + rest // 2
    from_second = np.where(num_first > num_second, 0, from_longer) + (rest + 1) // 2
    return _trimmed(first, from_first, generator), _trimmed(second, from_second, generator)


def _trimmed(spans: IntArray, excess: IntArray, generator: np.random.Generator) -> IntArray:
    excess = np.maximum(0, excess)
    at_front = generator.binomial(excess, 0.5)
    return np.stack([spans[:, 0] + at_front, spans[:, 1] - (excess - at_front)], axis=1)


def _swap(
    corpus: CorpusTokens,
    first: IntArray,
    second: IntArray,
    sources: IntArray,
    generator: np.random.Generator,
) -> tuple[IntArray, npt.NDArray[np.int8]]:
    """Couple pairs of different documents, equalize their second sides, and swap half of them."""
    couples, alone = _couples(
        _kinds(corpus, first, second), np.diff(second)[:, 0], sources, generator
    )
    donors = _donors(alone, np.diff(second)[:, 0], sources, generator)
    left = np.concatenate([couples[:, 0], alone])
    right = np.concatenate([couples[:, 1], donors])
    lengths = np.minimum(*(np.diff(second[side])[:, 0] for side in (left, right)))
    ends = second[:, 1].copy()
    ends[left] = second[left, 0] + lengths
    ends[couples[:, 1]] = second[couples[:, 1], 0] + lengths[: len(couples)]
    level = np.stack([second[:, 0], ends], axis=1)
    swapped = generator.permutation(len(left)) < len(left) // 2
    spans, is_random = level.copy(), np.zeros(len(second), np.int8)
    spans[left[swapped], 0] = second[right[swapped], 0]
    spans[left[swapped], 1] = second[right[swapped], 0] + lengths[swapped]
    is_random[left[swapped]] = 1
    mutual = couples[swapped[: len(couples)]]
    spans[mutual[:, 1]] = level[mutual[:, 0]]
    is_random[mutual[:, 1]] = 1
    return spans, is_random


def _kinds(corpus: CorpusTokens, first: IntArray, second: IntArray) -> IntArray:
    """Return which of three positions are sentence boundaries, as a number from 0 to 7.

    They are the end of the first side and both ends of the second. The pairs of a couple have the same
    ones; otherwise a split inside a sentence would leak the class.
    """
    kinds = np.zeros(len(first), np.int64)
    for position in (first[:, 1], second[:, 0], second[:, 1]):
        nearest = np.searchsorted(corpus.sentence_offsets, position)
        kinds = 2 * kinds + (corpus.sentence_offsets[nearest] == position)
    return kinds


def _couples(
    kinds: IntArray, lengths: IntArray, sources: IntArray, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Couple examples of the same kind, nearest length and different documents.

    Returns the couples, (C, 2), and the examples that are left over, all of one document in each kind.
    """
    rest = np.lexsort((generator.random(len(kinds)), lengths, kinds))
    couples = [np.zeros((0, 2), np.int64)]
    shift = rounds_without = 0
    while rounds_without < 2:
        num_couples = max(0, len(rest) - shift) // 2
        row = rest[shift : shift + 2 * num_couples].reshape(-1, 2)
        left, right = row[:, 0], row[:, 1]
        fitting = (sources[left] != sources[right]) & (kinds[left] == kinds[right])
        couples.append(row[fitting])
        kept = np.ones(len(rest), np.bool_)
        kept[shift : shift + 2 * num_couples] = np.repeat(~fitting, 2)
        rest = rest[kept]
        rounds_without = 0 if fitting.any() else rounds_without + 1
        shift = 1 - shift
    return np.concatenate(couples), rest


def _donors(
    alone: IntArray, lengths: IntArray, sources: IntArray, generator: np.random.Generator
) -> IntArray:
    """Return for each left-over example one of another document, at least as long if possible."""
    donors = np.zeros(len(alone), np.int64)
    for source in np.unique(sources[alone]):
        others = np.flatnonzero(sources != source)
        others = others[np.lexsort((generator.random(len(others)), lengths[others]))]
        mine = sources[alone] == source
        nearest = np.searchsorted(lengths[others], lengths[alone[mine]])
        later = np.searchsorted(lengths[others], lengths[alone[mine]], side="right")
        width = np.maximum(1, later - nearest)
        drawn = nearest + np.floor(generator.random(len(nearest)) * width).astype(np.int64)
        donors[mine] = others[np.minimum(drawn, len(others) - 1)]
    return donors
