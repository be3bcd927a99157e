"""The examples are those of the BERT paper, and nothing but the texts tells the two classes apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from corpora import token_corpus
from multihot.data.corpus.pairs import Pairs, make_pairs
from multihot.data.corpus.tokenize import CorpusTokens
from multihot.errors import OptionError


def _pairs(
    corpus: CorpusTokens, seed: int = 0, *, max_length: int = 64, **options: object
) -> Pairs:
    generator = np.random.default_rng(seed)
    chosen = {"next_sentence": True, **options}
    return make_pairs(corpus, max_length=max_length, generator=generator, **chosen)  # type: ignore[arg-type]


def _documents(corpus: CorpusTokens, places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    sentences = np.searchsorted(corpus.sentence_offsets, places, side="right") - 1
    return corpus.sources[np.searchsorted(corpus.document_offsets, sentences, side="right") - 1]


def _shapes(corpus: CorpusTokens, pairs: Pairs) -> npt.NDArray[np.float64]:
    """Return everything about a pair but its tokens: lengths, kinds of ends, ends of documents."""
    spans = np.concatenate([pairs.first_spans, pairs.second_spans], axis=1)
    whole = np.isin(spans, corpus.sentence_offsets)
    edges = np.isin(spans, corpus.sentence_offsets[corpus.document_offsets])
    lengths = np.stack([spans[:, 1] - spans[:, 0], spans[:, 3] - spans[:, 2]], axis=1)
    return np.concatenate([lengths, lengths.sum(1, keepdims=True), whole, edges], axis=1).astype(
        float
    )


BIG = token_corpus(1, documents=600, sentences=120)


def test_half_of_the_pairs_are_random_and_those_are_of_another_document() -> None:
    pairs = _pairs(BIG)
    first, second = (
        _documents(BIG, spans[:, 0]) for spans in (pairs.first_spans, pairs.second_spans)
    )

    assert len(pairs) > 20_000
    assert pairs.is_random.mean() == pytest.approx(0.5, abs=0.001)
    assert set(np.unique(pairs.is_random)) == {0, 1}
    np.testing.assert_array_equal(first != second, pairs.is_random == 1)
    for spans in (pairs.first_spans, pairs.second_spans):
        np.testing.assert_array_equal(
            _documents(BIG, spans[:, 0]), _documents(BIG, spans[:, 1] - 1)
        )


def test_the_second_side_of_a_true_pair_comes_after_the_first() -> None:
    pairs = _pairs(BIG)
    true = pairs.is_random == 0
    gaps = (pairs.second_spans[:, 0] - pairs.first_spans[:, 1])[true]
    fits = pairs.lengths[true] < 64

    assert (gaps >= 0).all()
    assert np.median(gaps) < 20
    assert (gaps[fits] == 0).mean() > 0.95  # the others were full before they met their partner


def test_the_two_lengths_do_not_leak_the_class() -> None:
    fitted, pairs = _pairs(BIG, 1), _pairs(BIG, 2)
    lengths = [_shapes(BIG, each)[:, :2] for each in (fitted, pairs)]
    model = make_pipeline(
        PolynomialFeatures(3), StandardScaler(), LogisticRegression(max_iter=500)
    ).fit(lengths[0], fitted.is_random)

    assert len(pairs) > 20_000
    assert model.score(lengths[1], pairs.is_random) == pytest.approx(0.5, abs=0.01)


def test_no_shape_of_a_pair_leaks_the_class() -> None:
    fitted, pairs = _pairs(BIG, 3), _pairs(BIG, 4)
    model = HistGradientBoostingClassifier(max_iter=50, random_state=0)
    model.fit(_shapes(BIG, fitted), fitted.is_random)

    assert model.score(_shapes(BIG, pairs), pairs.is_random) == pytest.approx(0.5, abs=0.01)


def test_documents_of_one_sentence_leak_nothing_either() -> None:
    corpus = token_corpus(2, documents=20_000, sentences=1)
    mixed = token_corpus(3, documents=12_000, sentences=2)
    for each in (corpus, mixed):
        fitted, pairs = _pairs(each, 1), _pairs(each, 2)
        model = HistGradientBoostingClassifier(max_iter=50, random_state=0)
        model.fit(_shapes(each, fitted), fitted.is_random)

        assert len(pairs) > 10_000
        assert pairs.is_random.mean() == pytest.approx(0.5, abs=0.001)
        assert model.score(_shapes(each, pairs), pairs.is_random) == pytest.approx(0.5, abs=0.015)


def test_one_target_in_ten_is_shorter() -> None:
    # Sentences of one token reach every target exactly, and documents are long: few ends.
    corpus = token_corpus(4, documents=60, sentences=6000, longest=2)
    corpus = replace(corpus, sentence_offsets=np.arange(corpus.num_sentences + 1))
    for next_sentence, special in ((True, 3), (False, 2)):
        found = _pairs(corpus, next_sentence=next_sentence).lengths - special
        largest = 64 - special - 10  # leaves out full ones that lost a token to their partner
        short = found[found < largest]

        assert len(found) > 4000
        expected = 0.1 * (largest - 2) / (64 - special - 1)
        assert len(short) / len(found) == pytest.approx(expected, abs=0.015)
        assert short.min() <= 2
        assert short.mean() == pytest.approx((2 + largest - 1) / 2, abs=2.5)
    assert (_pairs(corpus, short_fraction=0.0).lengths == 64).mean() > 0.9


def test_sides_that_are_too_long_are_truncated_evenly_at_both_ends() -> None:
    pairs = _pairs(BIG)
    true = pairs.is_random == 0
    first, second = pairs.first_spans[true], pairs.second_spans[true]
    full = pairs.lengths[true] == 64
    cut_front = ~np.isin(first[full, 0], BIG.sentence_offsets)
    cut_back = ~np.isin(second[full, 1], BIG.sentence_offsets)

    assert pairs.lengths.max() == 64
    assert full.mean() > 0.7
    assert cut_front.mean() == pytest.approx(cut_back.mean(), abs=0.1)
    lengths = np.diff(first)[:, 0], np.diff(second)[:, 0]
    assert np.mean(lengths[0]) == pytest.approx(np.mean(lengths[1]), rel=0.1)


def test_no_token_is_used_twice() -> None:
    pairs = _pairs(BIG)
    used = np.zeros(BIG.num_tokens + 1, np.int64)
    for spans in (pairs.first_spans, pairs.second_spans):
        np.add.at(used, spans[:, 0], 1)
        np.add.at(used, spans[:, 1], -1)
    covered = np.cumsum(used)[:-1]

    assert (covered <= 1).mean() > 0.999  # those without a partner borrow a second side
    assert covered.mean() > 0.7


def test_without_next_sentences_there_is_one_side() -> None:
    pairs = _pairs(BIG, next_sentence=False)

    assert not pairs.second_spans.any()
    assert not pairs.is_random.any()
    assert pairs.lengths.max() == 64
    np.testing.assert_array_equal(
        _documents(BIG, pairs.first_spans[:, 0]), _documents(BIG, pairs.first_spans[:, 1] - 1)
    )


def test_the_same_generator_draws_the_same_and_another_one_others() -> None:
    corpus = token_corpus(5)
    first, again, other = _pairs(corpus, 1), _pairs(corpus, 1), _pairs(corpus, 2)

    np.testing.assert_array_equal(first.first_spans, again.first_spans)
    np.testing.assert_array_equal(first.second_spans, again.second_spans)
    np.testing.assert_array_equal(first.is_random, again.is_random)
    assert len(first) != len(other) or (first.first_spans != other.first_spans).any()


def test_one_document_larger_than_all_others_still_gets_its_random_pairs() -> None:
    corpus = token_corpus(6, documents=30, sentences=20)
    sources = np.minimum(corpus.sources, 27) // 27  # the first 27 are sections of one document
    corpus = replace(corpus, sources=1 - sources)
    pairs = _pairs(corpus)
    first, second = (
        _documents(corpus, spans[:, 0]) for spans in (pairs.first_spans, pairs.second_spans)
    )

    assert pairs.is_random.mean() == pytest.approx(0.5, abs=0.1)
    np.testing.assert_array_equal(first != second, pairs.is_random == 1)


@given(
    seed=st.integers(0, 1000),
    documents=st.integers(2, 6),
    sentences=st.integers(1, 5),
    longest=st.integers(2, 30),
    max_length=st.integers(5, 40),
)
def test_every_pair_is_sound(
    seed: int, documents: int, sentences: int, longest: int, max_length: int
) -> None:
    corpus = token_corpus(seed, documents=documents, sentences=sentences, longest=longest)
    lengths = np.diff(corpus.sentence_offsets[corpus.document_offsets])
    assume((lengths > 1).sum() > 1)  # two documents that can be cut in two
    for next_sentence in (True, False):
        try:
            pairs = _pairs(corpus, seed, max_length=max_length, next_sentence=next_sentence)
        except OptionError:  # only single tokens were left over in all documents but one
            continue

        assert (pairs.lengths <= max_length).all()
        assert (np.diff(pairs.first_spans) > 0).all()
        assert (np.diff(pairs.second_spans) > 0).all() or not next_sentence
        assert pairs.first_spans.min(initial=0) >= 0
        assert pairs.second_spans.max(initial=0) <= corpus.num_tokens
        assert len(pairs.second_spans) == len(pairs.is_random) == len(pairs)
        if next_sentence and len(pairs):
            first, second = (
                _documents(corpus, spans[:, 0]) for spans in (pairs.first_spans, pairs.second_spans)
            )
            np.testing.assert_array_equal(first != second, pairs.is_random == 1)


def test_pairs_that_cannot_be_are_refused() -> None:
    single = token_corpus(0, documents=1)
    empty = CorpusTokens(
        np.zeros(0, np.uint16), np.zeros(1, int), np.zeros(1, int), np.zeros(0, int)
    )

    with pytest.raises(OptionError, match="next_sentence=false"):
        _pairs(single)
    with pytest.raises(OptionError, match="max_length=4"):
        _pairs(single, max_length=4)
    with pytest.raises(OptionError):
        _pairs(empty)
    assert len(_pairs(single, next_sentence=False)) > 0
