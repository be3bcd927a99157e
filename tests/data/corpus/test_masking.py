"""Statistics of the masks on 100 000 tokens and more, and the layout of a batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from corpora import FIRST_ORDINARY, letter_tokenizer, token_corpus
from multihot.data.corpus.masking import MaskedBatch, MaskVocabulary, mask_batch, mask_vocabulary
from multihot.data.corpus.pairs import Pairs, make_pairs
from multihot.data.corpus.tokenize import CorpusTokens
from multihot.errors import OptionError

VOCAB_SIZE = 1000
CLS, SEP, MASK = 2, 3, 4


def _vocabulary(continuing: int = 0) -> MaskVocabulary:
    """The last `continuing` of 1000 tokens continue words."""
    number = np.arange(VOCAB_SIZE)
    return MaskVocabulary(
        CLS,
        SEP,
        MASK,
        number[FIRST_ORDINARY:],
        number < FIRST_ORDINARY,
        number >= VOCAB_SIZE - continuing,
    )


def _batch(
    corpus: CorpusTokens,
    seed: int = 0,
    *,
    max_length: int = 64,
    continuing: int = 0,
    **options: object,
) -> tuple[MaskedBatch, Pairs]:
    generator = np.random.default_rng(seed)
    pairs = make_pairs(corpus, max_length=max_length, next_sentence=True, generator=generator)
    rows = generator.permutation(len(pairs))
    vocabulary = _vocabulary(continuing)
    return mask_batch(corpus, pairs, rows, vocabulary, generator=generator, **options), pairs  # type: ignore[arg-type]


def _restored(batch: MaskedBatch) -> np.ndarray:
    ids = batch.input_ids.copy()
    ids[batch.masked_positions] = batch.masked_labels
    return ids


CORPUS = token_corpus(1, documents=100, sentences=120)


@pytest.mark.parametrize("rate", [0.15, 0.3])
def test_the_masking_rate_and_the_replacement_rates_hold(rate: float) -> None:
    batch, pairs = _batch(CORPUS, masking_rate=rate)
    num_text = batch.num_tokens - 3 * len(pairs)
    now = batch.input_ids[batch.masked_positions]
    replaced = (now != MASK) & (now != batch.masked_labels)

    assert num_text > 100_000
    assert len(batch.masked_positions) / num_text == pytest.approx(rate, abs=0.003)
    assert np.mean(now == MASK) == pytest.approx(0.8, abs=0.01)
    assert np.mean(replaced) == pytest.approx(0.1, abs=0.01)  # a random token may be the same one
    assert np.mean(now == batch.masked_labels) == pytest.approx(0.1, abs=0.01)


def test_random_tokens_are_uniform_over_the_ordinary_ones() -> None:
    one = token_corpus(2, documents=300, sentences=120, token=7)
    batch, _ = _batch(one, masking_rate=0.5)
    now = batch.input_ids[batch.masked_positions]
    drawn = now[(now != MASK) & (now != 7)]
    counts = np.bincount(drawn, minlength=VOCAB_SIZE)[FIRST_ORDINARY:]
    counts = np.delete(counts, 7 - FIRST_ORDINARY)
    expected = len(drawn) / len(counts)
    chi_square = ((counts - expected) ** 2 / expected).sum()

    assert len(drawn) > 10_000
    assert drawn.min() >= FIRST_ORDINARY
    assert abs(chi_square - len(counts)) < 4 * np.sqrt(2 * len(counts))


def test_special_tokens_are_never_masked() -> None:
    ids = CORPUS.ids.copy()
    ids[::3] = 1  # unknown tokens
    corpus = CorpusTokens(ids, CORPUS.sentence_offsets, CORPUS.document_offsets, CORPUS.sources)
    batch, _ = _batch(corpus, masking_rate=0.9)

    assert batch.masked_labels.min() >= FIRST_ORDINARY
    assert (np.diff(batch.masked_positions) > 0).all()


def test_every_example_has_at_least_one_masked_token() -> None:
    corpus = token_corpus(3, documents=500, sentences=2, longest=3)
    batch, pairs = _batch(corpus, max_length=8)
    owners = np.searchsorted(batch.cu_seq_lens, batch.masked_positions, side="right") - 1

    assert set(owners.tolist()) == set(range(len(pairs)))
    text = np.diff(batch.cu_seq_lens) - 3
    assert (np.bincount(owners)[text < 6] == 1).all()


@pytest.mark.parametrize("whole_word", [False, True])
def test_positions_are_masked_equally_often(whole_word: bool) -> None:
    batch, pairs = _batch(CORPUS, whole_word=whole_word, continuing=300)
    starts = np.repeat(batch.cu_seq_lens[:-1], np.diff(batch.cu_seq_lens))
    place = np.arange(batch.num_tokens) - starts
    is_masked = np.isin(np.arange(batch.num_tokens), batch.masked_positions)
    full = np.repeat(pairs.lengths[batch.rows] == 64, np.diff(batch.cu_seq_lens))
    shares = [is_masked[full & (place // 8 == block)].mean() for block in range(8)]

    assert max(shares[1:-1]) - min(shares[1:-1]) < 0.03


def test_whole_words_are_masked_together_at_the_same_rate() -> None:
    batch, pairs = _batch(CORPUS, whole_word=True, continuing=400)
    ids = _restored(batch)
    continues = ids >= VOCAB_SIZE - 400
    is_masked = np.zeros(batch.num_tokens, np.bool_)
    is_masked[batch.masked_positions] = True
    after = np.flatnonzero(continues[1:] & (ids[:-1] >= FIRST_ORDINARY)) + 1
    num_text = batch.num_tokens - 3 * len(pairs)

    assert len(after) > 10_000
    np.testing.assert_array_equal(is_masked[after], is_masked[after - 1])
    assert is_masked.sum() / num_text == pytest.approx(0.15, abs=0.003)


def test_pieces_of_a_word_are_masked_apart_without_the_option() -> None:
    batch, _ = _batch(CORPUS, continuing=400)
    ids = _restored(batch)
    after = np.flatnonzero((ids[1:] >= VOCAB_SIZE - 400) & (ids[:-1] >= FIRST_ORDINARY)) + 1
    is_masked = np.isin(np.arange(batch.num_tokens), batch.masked_positions)

    assert (is_masked[after] != is_masked[after - 1]).mean() > 0.2


def test_examples_are_laid_out_with_their_special_tokens() -> None:
    corpus = token_corpus(4, documents=5, sentences=6)
    batch, pairs = _batch(corpus)
    ids = _restored(batch)
    for place, row in enumerate(batch.rows):
        start, end = batch.cu_seq_lens[place : place + 2]
        first, second = (
            corpus.ids[slice(*spans[row])].tolist()
            for spans in (pairs.first_spans, pairs.second_spans)
        )

        assert ids[start:end].tolist() == [CLS, *first, SEP, *second, SEP]
        assert batch.token_type_ids[start:end].tolist() == [0] * (len(first) + 2) + [1] * (
            len(second) + 1
        )
        assert end - start == pairs.lengths[row]
    np.testing.assert_array_equal(batch.is_random, pairs.is_random[batch.rows])
    assert batch.is_random.dtype == batch.input_ids.dtype == np.int64


def test_a_single_side_has_one_separator() -> None:
    corpus = token_corpus(4, documents=1, sentences=6)
    generator = np.random.default_rng(0)
    pairs = make_pairs(corpus, max_length=32, next_sentence=False, generator=generator)
    rows = np.arange(len(pairs))
    batch = mask_batch(corpus, pairs, rows, _vocabulary(), generator=generator)

    assert (batch.input_ids[batch.cu_seq_lens[:-1]] == CLS).all()
    assert (batch.input_ids[batch.cu_seq_lens[1:] - 1] == SEP).all()
    assert (_restored(batch) == SEP).sum() == len(pairs)
    assert not batch.token_type_ids.any()
    np.testing.assert_array_equal(np.diff(batch.cu_seq_lens), pairs.lengths)


def test_masks_are_a_function_of_the_generator() -> None:
    corpus = token_corpus(5, documents=5)
    pairs = make_pairs(
        corpus, max_length=32, next_sentence=True, generator=np.random.default_rng(0)
    )
    rows = np.arange(len(pairs))
    first, again, other = (
        mask_batch(corpus, pairs, rows, _vocabulary(), generator=np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(first.input_ids, again.input_ids)
    assert set(first.masked_positions.tolist()) != set(other.masked_positions.tolist())


@given(st.integers(0, 500), st.booleans(), st.floats(0.01, 0.99))
def test_what_is_masked_can_be_restored(seed: int, whole_word: bool, rate: float) -> None:
    corpus = token_corpus(seed, documents=9, sentences=3, longest=9)
    batch, pairs = _batch(
        corpus, seed, max_length=16, whole_word=whole_word, masking_rate=rate, continuing=500
    )
    ids = _restored(batch)

    assert len(ids) == batch.cu_seq_lens[-1] == pairs.lengths.sum()
    assert (ids != MASK).all()
    assert len(batch.masked_positions) == len(batch.masked_labels)


def test_a_batch_without_anything_to_mask_is_left_alone() -> None:
    corpus = token_corpus(6, documents=3, token=1)
    for whole_word in (False, True):
        batch, _ = _batch(corpus, whole_word=whole_word)

        assert len(batch.masked_positions) == 0
        assert (batch.input_ids != MASK).all()


def test_the_vocabulary_of_word_pieces_is_read_from_the_tokenizer() -> None:
    found = mask_vocabulary(letter_tokenizer())

    assert (found.cls_id, found.sep_id, found.mask_id, found.vocab_size) == (2, 3, 4, 59)
    assert found.is_special.tolist() == [True] * 5 + [False] * 54
    assert found.continues.tolist() == [False] * 31 + [True] * 26 + [False] * 2
    assert found.ordinary_ids.tolist() == list(range(5, 59))


def test_other_families_mark_the_beginning_of_words_instead() -> None:
    names = ["<s>", "<pad>", "</s>", "<unk>", "Ġthe", "re", "Ġcat", "<mask>"]
    tokenizer = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.add_special_tokens([name for name in names if name.startswith("<")])
    found = mask_vocabulary(tokenizer)

    assert (found.cls_id, found.sep_id, found.mask_id) == (0, 2, 7)
    assert np.flatnonzero(found.continues).tolist() == [5]
    assert found.ordinary_ids.tolist() == [4, 5, 6]


def test_a_tokenizer_without_a_mask_token_is_refused() -> None:
    tokenizer = Tokenizer(models.WordPiece({"[CLS]": 0, "[SEP]": 1, "[UNK]": 2}, unk_token="[UNK]"))

    with pytest.raises(OptionError, match=r"\[MASK\]"):
        mask_vocabulary(tokenizer)


def test_examples_that_are_taken_keep_their_masks() -> None:
    batch, _ = _batch(token_corpus(1, documents=5, sentences=8))
    chosen = np.array([7, 2, 0, 9])
    taken = batch.take(chosen)

    assert taken.rows.tolist() == batch.rows[chosen].tolist()
    assert taken.is_random.tolist() == batch.is_random[chosen].tolist()
    for position, number in enumerate(chosen):
        parts = [
            slice(*each.cu_seq_lens[at : at + 2])
            for each, at in ((taken, position), (batch, int(number)))
        ]
        assert taken.input_ids[parts[0]].tolist() == batch.input_ids[parts[1]].tolist()
        assert taken.token_type_ids[parts[0]].tolist() == batch.token_type_ids[parts[1]].tolist()
        assert _restored(taken)[parts[0]].tolist() == _restored(batch)[parts[1]].tolist()
    assert (np.diff(taken.masked_positions) > 0).all()
    everything = batch.take(np.arange(len(batch.rows)))
    assert everything.masked_positions.tolist() == batch.masked_positions.tolist()
    assert len(batch.take(chosen[:0]).input_ids) == 0
