"""Mask the examples of a batch and concatenate them.

Letters: `B` examples, `T` tokens of all of them, `M` masked tokens, `V` vocabulary.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from multihot.data.corpus.pairs import Pairs
from multihot.data.corpus.tokenize import CorpusTokens
from multihot.errors import OptionError

__all__ = ["MaskVocabulary", "MaskedBatch", "mask_batch", "mask_vocabulary"]

IntArray = npt.NDArray[np.int64]

_MASK_RATE, _RANDOM_RATE = 0.8, 0.1  # one tenth is unchanged (Devlin et al. 2018, A.1)
_ROLES = {
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}
_OTHER_SPECIAL = ("[PAD]", "[UNK]", "<pad>", "<unk>")


@dataclass(frozen=True)
class MaskVocabulary:
    """What masking needs to know about a tokenizer.

    Attributes
    ----------
    cls_id, sep_id, mask_id
        Ids of the special tokens.
    ordinary_ids
        *Shape:* (V',), int64. Ids of random replacements: all but special tokens.
    is_special
        *Shape:* (V,), bool. Tokens that are never masked: special ones, including the unknown token.
    continues
        *Shape:* (V,), bool. Tokens that continue the word of the previous token.
    """

    cls_id: int
    sep_id: int
    mask_id: int
    ordinary_ids: IntArray
    is_special: npt.NDArray[np.bool_]
    continues: npt.NDArray[np.bool_]

    @property
    def vocab_size(self) -> int:
        """V."""
        return len(self.is_special)


@dataclass(frozen=True)
class MaskedBatch:
    """Concatenated examples: `[CLS] first [SEP]`, or `[CLS] first [SEP] second [SEP]`.

    Attributes
    ----------
    rows
        *Shape:* (B,), int64. Indices of the examples in the epoch.
    input_ids
        *Shape:* (T,), int64. After masking.
    cu_seq_lens
        *Shape:* (B + 1,), int64. Example `n` is `input_ids[cu_seq_lens[n]:cu_seq_lens[n + 1]]`.
    token_type_ids
        *Shape:* (T,), int64. 1 = second side and its [SEP], 0 = everything before.
    masked_positions
        *Shape:* (M,), int64, ascending. Positions in `input_ids` whose token is to be predicted.
    masked_labels
        *Shape:* (M,), int64. The original tokens at these positions.
    is_random
        *Shape:* (B,), int64. 1 = the second side is from another document, 0 = it is the next.
    """

    rows: IntArray
    input_ids: IntArray
    cu_seq_lens: IntArray
    token_type_ids: IntArray
    masked_positions: IntArray
    masked_labels: IntArray
    is_random: IntArray

    @property
    def num_tokens(self) -> int:
        """T."""
        return len(self.input_ids)

    def take(self, positions: IntArray) -> MaskedBatch:
        """Return some of the examples, in this order. *Shape:* (some of B,)."""
        starts, lengths = self.cu_seq_lens[positions], np.diff(self.cu_seq_lens)[positions]
        ends = np.cumsum(lengths)
        begins = ends - lengths
        tokens = np.arange(int(lengths.sum())) + np.repeat(starts - begins, lengths)
        first, last = np.searchsorted(self.masked_positions, [starts, starts + lengths])
        counts = last - first
        before = np.cumsum(counts) - counts
        masked = np.arange(int(counts.sum())) + np.repeat(first - before, counts)
        return MaskedBatch(
            self.rows[positions],
            self.input_ids[tokens],
            np.concatenate([[0], ends]),
            self.token_type_ids[tokens],
            self.masked_positions[masked] + np.repeat(begins - starts, counts),
            self.masked_labels[masked],
            self.is_random[positions],
        )


def mask_vocabulary(tokenizer: Tokenizer) -> MaskVocabulary:
    """Read the special tokens and the word pieces of a tokenizer (BERT's or RoBERTa's names).

    A token continues a word when it has WordPiece's prefix, or lacks the mark of a new word that
    byte-level and SentencePiece tokenizers use. Raises `OptionError` when a special token is missing.
    """
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    roles = {}
    for role, names in _ROLES.items():
        known = [vocabulary[name] for name in names if name in vocabulary]
        if not known:
            raise OptionError(
                f"The tokenizer has none of the tokens {' and '.join(names)}, which masked language "
                "modelling needs. Train one with 'multihot tokenizer'."
            )
        roles[f"{role}_id"] = known[0]
    size = max(vocabulary.values()) + 1
    added = tokenizer.get_added_tokens_decoder()
    special = {number for number, token in added.items() if token.special}
    special |= {vocabulary[name] for name in _OTHER_SPECIAL if name in vocabulary}
    special |= set(roles.values())
    is_special = np.ones(size, np.bool_)  # ids without a token are never drawn
    is_special[[number for number in vocabulary.values() if number not in special]] = False
    continues = _continues(tokenizer, vocabulary, size) & ~is_special
    return MaskVocabulary(
        **roles,
        ordinary_ids=np.flatnonzero(~is_special),
        is_special=is_special,
        continues=continues,
    )


def _continues(
    tokenizer: Tokenizer, vocabulary: dict[str, int], size: int
) -> npt.NDArray[np.bool_]:
    model = json.loads(tokenizer.to_str())["model"]
    continues = np.zeros(size, np.bool_)
    prefix = model.get("continuing_subword_prefix")
    marks = ("Ġ", "Ċ", "▁")
    marked = any(token.startswith(marks) for token in vocabulary)
    for token, number in vocabulary.items():
        if prefix:
            continues[number] = token.startswith(prefix)
        elif marked:
            continues[number] = not token.startswith(marks)
    return continues


def mask_batch(
    corpus: CorpusTokens,
    pairs: Pairs,
    rows: IntArray,
    vocabulary: MaskVocabulary,
    *,
    masking_rate: float = 0.15,
    whole_word: bool = False,
    generator: np.random.Generator,
) -> MaskedBatch:
    """Concatenate examples and mask them: 80 % of the chosen tokens become [MASK], 10 % a random one.

    Each example has `masking_rate` of its tokens chosen (rounded up or down at random, so that the
    rate holds on average), at least one. Special tokens are neither chosen nor counted.

    Parameters
    ----------
    corpus, pairs
        Tokens, and examples of one epoch.
    rows
        *Shape:* (B,), int64. Indices of the examples.
    vocabulary
        From `mask_vocabulary`.
    masking_rate
        Fraction of the tokens to predict.
    whole_word
        Whether all pieces of a word are chosen together. Words are then chosen in random order, the
        last one with the probability that makes the rate hold on average.
    generator
        Source of all random numbers; one for each (seed, epoch, step) gives dynamic masking.
    """
    input_ids, cu_seq_lens, token_types = _concatenated(corpus, pairs, rows, vocabulary)
    candidates = np.flatnonzero(~vocabulary.is_special[input_ids])
    owners = np.repeat(np.arange(len(rows)), np.diff(cu_seq_lens))[candidates]
    counts = np.bincount(owners, minlength=len(rows))
    wanted = np.maximum(1.0, masking_rate * counts)
    if whole_word:
        follows = np.diff(candidates, prepend=-2) == 1
        begins = ~(vocabulary.continues[input_ids[candidates]] & follows)
        words = np.cumsum(begins) - 1
    else:
        words = np.arange(len(candidates))
    chosen = _chosen_words(owners, words, wanted, generator)
    positions = candidates[chosen[words]] if len(candidates) else candidates
    labels = input_ids[positions]
    draw = generator.random(len(positions))
    drawn = vocabulary.ordinary_ids[
        generator.integers(0, len(vocabulary.ordinary_ids), size=len(positions))
    ]
    replaced = np.where(draw < _MASK_RATE + _RANDOM_RATE, drawn, labels)
    input_ids[positions] = np.where(draw < _MASK_RATE, vocabulary.mask_id, replaced)
    is_random = pairs.is_random[rows].astype(np.int64)
    return MaskedBatch(rows, input_ids, cu_seq_lens, token_types, positions, labels, is_random)


def _chosen_words(
    owners: IntArray,
    words: IntArray,
    wanted: npt.NDArray[np.float64],
    generator: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Return which words are chosen: in random order until an example has the wanted tokens.

    `owners` and `words` are the example and the word of each candidate token, both ascending.
    """
    sizes = np.bincount(words)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    owner = owners[first] if len(owners) else owners
    order = np.argsort(owner + generator.random(len(sizes)), kind="stable")
    ordered = sizes[order]
    before = np.cumsum(ordered) - ordered
    # The words of an example are adjacent in the order.
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    before = before - np.repeat(before[starts], np.diff([*starts, len(owner)]))
    missing = wanted[owner] - before
    chosen = np.zeros(len(sizes), np.bool_)
    chosen[order] = (missing / ordered > generator.random(len(sizes))) | (before == 0)
    return chosen


def _concatenated(
    corpus: CorpusTokens, pairs: Pairs, rows: IntArray, vocabulary: MaskVocabulary
) -> tuple[IntArray, IntArray, IntArray]:
    """Return ids with special tokens, offsets of the examples, and token types."""
    first, second = pairs.first_spans[rows], pairs.second_spans[rows]
    num_first, num_second = np.diff(first)[:, 0], np.diff(second)[:, 0]
    has_second = num_second > 0
    lengths = 2 + num_first + np.where(has_second, num_second + 1, 0)
    cu_seq_lens = np.concatenate([[0], np.cumsum(lengths)])
    starts = cu_seq_lens[:-1]
    input_ids = np.full(cu_seq_lens[-1], vocabulary.sep_id, np.int64)
    input_ids[starts] = vocabulary.cls_id
    first_positions = _ranges(starts + 1, num_first)
    second_positions = _ranges(starts + num_first + 2, num_second)
    input_ids[first_positions] = corpus.ids[_ranges(first[:, 0], num_first)]
    input_ids[second_positions] = corpus.ids[_ranges(second[:, 0], num_second)]
    token_types = np.zeros(len(input_ids), np.int64)
    token_types[second_positions] = 1
    token_types[cu_seq_lens[1:][has_second] - 1] = 1
    return input_ids, cu_seq_lens, token_types


def _ranges(starts: IntArray, lengths: IntArray) -> IntArray:
    """Return the concatenated ranges of `lengths[n]` numbers from `starts[n]`. (N,) -> (sum,)."""
    ends = np.cumsum(lengths)
    numbers: IntArray = np.arange(lengths.sum()) + np.repeat(starts - (ends - lengths), lengths)
    return numbers
