"""Baselines of pretraining: the most frequent token, the word overlap of two sides, their lengths.

Letters: `N` examples, `M` masked tokens, `V` vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.data.corpus.masking import MaskVocabulary
from multihot.data.corpus.pairs import Pairs
from multihot.data.corpus.tokenize import CorpusTokens
from multihot.errors import DataError, MissingExtraError

__all__ = ["Unigram", "length_baseline", "overlap_baseline", "unigram_baseline"]

_MAX_FITTED = 20_000  # examples that a baseline is fitted on
_CHUNK_TOKENS = 1 << 24

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Unigram:
    """How often each ordinary token occurs in the training part."""

    best_id: int
    """The most frequent token."""
    log_probabilities: npt.NDArray[np.float64]
    """*Shape:* (V,). With one occurrence added to each ordinary token; special ones have -inf."""

    def correct(self, labels: npt.NDArray[np.int64]) -> BoolArray:
        """Return where always predicting `best_id` is correct. *Shape:* (M,)."""
        return np.asarray(labels == self.best_id)

    def loss(self, labels: npt.NDArray[np.int64]) -> float:
        """Return the mean cross-entropy in nats of predicting the frequencies."""
        return float(-self.log_probabilities[labels].mean())


def unigram_baseline(training: CorpusTokens, vocabulary: MaskVocabulary) -> Unigram:
    """Count the tokens of the training part; the ids are read in chunks."""
    counts = np.zeros(vocabulary.vocab_size)
    for start in range(0, training.num_tokens, _CHUNK_TOKENS):
        chunk = training.ids[start : start + _CHUNK_TOKENS]
        counts += np.bincount(chunk, minlength=vocabulary.vocab_size)
    counts = np.where(vocabulary.is_special, 0, counts + 1)
    with np.errstate(divide="ignore"):
        return Unigram(int(counts.argmax()), np.log(counts / counts.sum()))


def overlap_baseline(
    training: CorpusTokens, fitted: Pairs, corpus: CorpusTokens, pairs: Pairs
) -> BoolArray:
    """Classify next against random by the word overlap of the sides; return where it is correct.

    The score of a pair is the cosine of the TF-IDF vectors of its sides, tokens being the terms
    (sublinear term frequencies). Inverse document frequencies and the threshold come from the
    `fitted` pairs of the training part, of which at most 20 000 are used.

    Returns
    -------
    numpy.ndarray
        *Shape:* (N,), bool.
    """
    fitted = _some(fitted)
    size = 1 + int(max(training.ids.max(initial=0), corpus.ids.max(initial=0)))
    transformer = _tfidf_transformer()
    sides = [_counts(training, spans, size) for spans in (fitted.first_spans, fitted.second_spans)]
    transformer.fit(_stacked(sides))
    threshold = _best_threshold(_cosines(transformer, sides), _is_next(fitted))
    others = [_counts(corpus, spans, size) for spans in (pairs.first_spans, pairs.second_spans)]
    predicted_next = _cosines(transformer, others) >= threshold
    return np.asarray(predicted_next == _is_next(pairs))


def length_baseline(fitted: Pairs, pairs: Pairs) -> BoolArray:
    """Classify next against random by the lengths of the sides alone; return where it is correct.

    A logistic regression on both lengths, their squares, product, sum and difference. Its accuracy
    must be one half: anything else means that the lengths leak the class.

    Returns
    -------
    numpy.ndarray
        *Shape:* (N,), bool.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fitted = _some(fitted)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(_length_features(fitted), _is_next(fitted))
    return np.asarray(model.predict(_length_features(pairs)) == _is_next(pairs))


def _is_next(pairs: Pairs) -> BoolArray:
    if not (np.diff(pairs.second_spans) > 0).all():
        raise DataError(
            "These examples have no second side, so there are no classes to tell apart."
        )
    return np.asarray(pairs.is_random == 0)


def _some(pairs: Pairs) -> Pairs:
    """Return evenly spaced examples, at most as many as a baseline is fitted on."""
    rows = np.linspace(0, len(pairs) - 1, min(len(pairs), _MAX_FITTED)).astype(np.int64)
    return Pairs(pairs.first_spans[rows], pairs.second_spans[rows], pairs.is_random[rows])


def _length_features(pairs: Pairs) -> npt.NDArray[np.float64]:
    first = np.diff(pairs.first_spans)[:, 0].astype(float)
    second = np.diff(pairs.second_spans)[:, 0].astype(float)
    columns = [first, second, first**2, second**2, first * second, first + second]
    return np.stack([*columns, np.abs(first - second)], axis=1)


def _tfidf_transformer() -> Any:
    try:
        from sklearn.feature_extraction.text import TfidfTransformer
    except ImportError:
        raise MissingExtraError("scikit-learn", "train", "The word-overlap baseline") from None
    return TfidfTransformer(sublinear_tf=True)


def _counts(corpus: CorpusTokens, spans: npt.NDArray[np.int64], size: int) -> Any:
    """Return how often each token occurs in each span, (N, V) sparse."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    lengths = np.diff(spans)[:, 0]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    positions = np.arange(offsets[-1]) + np.repeat(spans[:, 0] - offsets[:-1], lengths)
    ids = corpus.ids[positions].astype(np.int64)
    counts = csr_matrix((np.ones(len(ids)), ids, offsets), shape=(len(spans), size))
    counts.sum_duplicates()
    return counts


def _stacked(blocks: list[Any]) -> Any:
    from scipy.sparse import vstack

    return vstack(blocks, format="csr")


def _cosines(transformer: Any, sides: list[Any]) -> npt.NDArray[np.float64]:
    first, second = (transformer.transform(side) for side in sides)
    return np.asarray(first.multiply(second).sum(axis=1)).ravel()


def _best_threshold(scores: npt.NDArray[np.float64], is_next: BoolArray) -> float:
    """Return the threshold with the highest accuracy when `score >= threshold` means next."""
    order = np.argsort(scores, kind="stable")
    # With the threshold at index k, random pairs below and next pairs from k on are correct.
    correct = np.concatenate([[0], np.cumsum(~is_next[order])])
    correct = correct + np.concatenate([np.cumsum(is_next[order][::-1])[::-1], [0]])
    return float(np.append(scores[order], np.inf)[correct.argmax()])
