from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from corpora import letter_tokenizer, token_corpus
from multihot.data.corpus.baselines import (
    length_baseline,
    overlap_baseline,
    unigram_baseline,
)
from multihot.data.corpus.masking import mask_vocabulary
from multihot.data.corpus.pairs import Pairs, make_pairs
from multihot.data.corpus.tokenize import CorpusTokens
from multihot.errors import DataError


def _topical(seed: int) -> CorpusTokens:
    """Every document draws half of its tokens from ten of its own."""
    corpus = token_corpus(seed, documents=60, sentences=40)
    ends = corpus.sentence_offsets[corpus.document_offsets]
    document = np.searchsorted(ends, np.arange(corpus.num_tokens), side="right") - 1
    own = 100 + 10 * document + corpus.ids % 10
    return replace(corpus, ids=np.where(corpus.ids % 4 < 2, own, corpus.ids).astype(np.uint16))


def _pairs(corpus: CorpusTokens, seed: int, *, next_sentence: bool = True) -> Pairs:
    generator = np.random.default_rng(seed)
    return make_pairs(corpus, max_length=64, next_sentence=next_sentence, generator=generator)


def test_the_most_frequent_token_is_the_best_constant_prediction() -> None:
    vocabulary = mask_vocabulary(letter_tokenizer())
    corpus = token_corpus(0, documents=3, vocab_size=59)
    ids = corpus.ids.copy()
    ids[::3], ids[1::3] = 7, 1  # half of the rest is the unknown token, which is never predicted
    found = unigram_baseline(replace(corpus, ids=ids), vocabulary)
    labels = np.array([7, 7, 8, 9])

    assert found.best_id == 7
    assert found.correct(labels).tolist() == [True, True, False, False]
    assert np.exp(found.log_probabilities).sum() == pytest.approx(1)
    assert np.isneginf(found.log_probabilities[:5]).all()
    assert found.loss(labels) == pytest.approx(-found.log_probabilities[labels].mean())
    assert found.loss(labels[:2]) < found.loss(labels[2:])


def test_word_overlap_classifies_sides_of_one_topic() -> None:
    training, held_out = _topical(1), _topical(2)
    right = overlap_baseline(training, _pairs(training, 1), held_out, _pairs(held_out, 2))

    assert right.mean() > 0.8


def test_word_overlap_of_random_words_is_uninformative() -> None:
    training, held_out = (token_corpus(seed, documents=300) for seed in (1, 2))
    right = overlap_baseline(training, _pairs(training, 1), held_out, _pairs(held_out, 2))

    assert right.mean() == pytest.approx(0.5, abs=0.03)


def test_lengths_are_uninformative_unless_they_leak() -> None:
    corpus = token_corpus(1, documents=400, sentences=100)
    fitted, pairs = _pairs(corpus, 1), _pairs(corpus, 2)
    leaking = replace(
        pairs,
        second_spans=pairs.second_spans - np.stack([0 * pairs.is_random, 2 * pairs.is_random], 1),
    )
    fitted_on_leaks = replace(
        fitted,
        second_spans=fitted.second_spans
        - np.stack([0 * fitted.is_random, 2 * fitted.is_random], 1),
    )

    assert len(pairs) > 10_000
    assert length_baseline(fitted, pairs).mean() == pytest.approx(0.5, abs=0.015)
    whole = (np.diff(leaking.second_spans) > 0)[:, 0] & (leaking.lengths > 60)
    other = (np.diff(fitted_on_leaks.second_spans) > 0)[:, 0] & (fitted_on_leaks.lengths > 60)
    found = length_baseline(_taken(fitted_on_leaks, other), _taken(leaking, whole))
    assert found.mean() > 0.9


def _taken(pairs: Pairs, kept: np.ndarray) -> Pairs:
    return Pairs(pairs.first_spans[kept], pairs.second_spans[kept], pairs.is_random[kept])


def test_examples_of_one_side_are_refused() -> None:
    corpus = token_corpus(1)
    alone = _pairs(corpus, 1, next_sentence=False)

    with pytest.raises(DataError):
        length_baseline(alone, alone)
