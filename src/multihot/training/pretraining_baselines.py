"""The figures of guessing without a network, on the held-out examples of a run.

Letters: `N` examples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.data.pretraining_baselines import (
    length_baseline,
    overlap_baseline,
    unigram_baseline,
)
from multihot.data.pretraining_pairs import Pairs
from multihot.decision.poisson import Estimate, bootstrapped
from multihot.randomness import named_generator
from multihot.training.pretraining_evaluation import HeldOutExamples, units_of
from multihot.training.pretraining_steps import ExampleSource

__all__ = ["measure_baselines"]

Floats = npt.NDArray[np.float64]


def measure_baselines(
    held_out: HeldOutExamples, held_out_source: ExampleSource, source: ExampleSource
) -> dict[str, Estimate]:
    """Return the figures of guessing without a network, each with its interval.

    Parameters
    ----------
    held_out
        The examples.
    held_out_source, source
        Where they come from, and the training part, which every baseline is fitted on.

    Returns
    -------
    dict
        `unigram_loss` and `unigram_top1`; with sentence pairs `word_overlap_accuracy` on the same
        examples, and `length_accuracy` on all pairs of the held-out part, of which it needs many to
        show that lengths betray nothing.
    """
    names = ("unigram_loss", "unigram_top1")
    found = dict(zip(names, _unigram(held_out, source), strict=True))
    fitted = source.pairs(1)
    if not source.next_sentence or not (_has_both(fitted) and _has_both(held_out.pairs)):
        return found
    pairs = held_out.pairs
    right = overlap_baseline(source.corpus, fitted, held_out_source.corpus, pairs)
    overlap = _share(right[held_out.rows], held_out.units, source.seed)
    everyone = np.arange(len(pairs))
    units = units_of(held_out_source.corpus, pairs, everyone)[0]
    length = _share(length_baseline(fitted, pairs), units, source.seed)
    return {**found, "word_overlap_accuracy": overlap, "length_accuracy": length}


def _unigram(held_out: HeldOutExamples, source: ExampleSource) -> list[Estimate]:
    unigram = unigram_baseline(source.corpus, source.vocabulary)
    sums, weights = np.zeros((2, len(held_out.rows), 2))
    start = 0
    for batch in held_out.batches:
        owners = np.searchsorted(batch.cu_seq_lens, batch.masked_positions, side="right") - 1
        np.add.at(sums[:, 0], owners + start, -unigram.log_probabilities[batch.masked_labels])
        np.add.at(sums[:, 1], owners + start, unigram.correct(batch.masked_labels))
        np.add.at(weights, owners + start, 1)
        start += len(batch.rows)
    return bootstrapped(sums, weights, held_out.units, _resamples(source.seed))


def _share(right: npt.NDArray[np.bool_], units: npt.NDArray[np.int64], seed: int) -> Estimate:
    hits: Floats = right[:, None].astype(np.float64)
    return bootstrapped(hits, np.ones_like(hits), units, _resamples(seed))[0]


def _resamples(seed: int) -> np.random.Generator:
    return named_generator(seed, "held-out resamples")


def _has_both(pairs: Pairs) -> bool:
    """Return whether there are true and random pairs; a tiny corpus may lack one kind."""
    return len(np.unique(pairs.is_random)) == 2
