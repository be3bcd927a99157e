"""Metrics on the hold-out corpus, and those of baselines without a network on the same examples.

The examples and their masks are fixed.

Letters: `N` examples, `M` masked tokens, `V` vocabulary, `U` units that are resampled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from multihot.core.seeding import named_generator
from multihot.data.corpus.baselines import (
    length_baseline,
    overlap_baseline,
    unigram_baseline,
)
from multihot.data.corpus.masking import MaskedBatch
from multihot.data.corpus.pairs import Pairs
from multihot.data.corpus.tokenize import CorpusTokens
from multihot.errors import DataError
from multihot.evaluation.bootstrap import Estimate, bootstrapped
from multihot.training.compute import Hardware
from multihot.training.pretraining.batches import ExampleSource, masked_batch_tensors
from multihot.training.ranks import ALONE, Ranks

__all__ = [
    "HoldoutEvaluator",
    "HoldoutExamples",
    "bootstrap_units",
    "draw_holdout",
    "estimates",
    "measure_baselines",
]

_ROWS_AT_ONCE = 64
_ENOUGH_DOCUMENTS = 20  # to resample documents; with fewer the interval itself is unreliable
_COLUMNS = ("mlm_loss", "mlm_top1", "nsp_loss", "nsp_accuracy")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HoldoutExamples:
    """The examples of every evaluation of a run.

    Attributes
    ----------
    pairs
        Pairs of the hold-out corpus.
    rows
        *Shape:* (N,), int64. Indices of the pairs that are used, in order.
    batches
        The examples with their masks.
    units
        *Shape:* (N,), int64, from 0. The resampling unit of each example: its document, or itself
        where there are fewer than 20 documents.
    num_documents
        Documents that the examples come from.
    """

    pairs: Pairs
    rows: npt.NDArray[np.int64]
    batches: list[MaskedBatch]
    units: npt.NDArray[np.int64]
    num_documents: int

    @property
    def by_document(self) -> bool:
        """Whether documents are resampled."""
        return self.num_documents >= _ENOUGH_DOCUMENTS


def draw_holdout(source: ExampleSource, num_rows: int) -> HoldoutExamples:
    """Draw examples and masks of the hold-out corpus from the seed.

    Raises `DataError` when it is too small for a single pair.
    """
    if source.corpus.num_tokens == 0:
        raise DataError("The hold-out corpus is empty. Add documents, or raise held_out_fraction.")
    pairs = source.pairs(1, "held-out pairs")
    generator = named_generator(source.seed, "held-out masks")
    rows = np.sort(generator.permutation(len(pairs))[:num_rows])
    if len(rows) == 0:
        raise DataError("The hold-out corpus yields no example; add documents.")
    cuts = np.arange(_ROWS_AT_ONCE, len(rows), _ROWS_AT_ONCE)
    batches = [source.mask(pairs, part, generator) for part in np.split(rows, cuts)]
    units, num_documents = bootstrap_units(source.corpus, pairs, rows)
    return HoldoutExamples(pairs, rows, batches, units, num_documents)


def bootstrap_units(
    corpus: CorpusTokens, pairs: Pairs, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], int]:
    """Return the resampling unit of each example, numbered from 0, and the number of documents.

    *Shape:* (N,), int64. Documents; the examples themselves where there are fewer than 20.
    """
    documents = _documents(corpus, pairs.first_spans[rows, 0])
    names, units = np.unique(documents, return_inverse=True)
    by_document = len(names) >= _ENOUGH_DOCUMENTS
    return (units if by_document else np.arange(len(rows))), len(names)


def _documents(corpus: CorpusTokens, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the source document of each token position."""
    starts = np.asarray(corpus.sentence_offsets)[np.asarray(corpus.document_offsets)[:-1]]
    found: npt.NDArray[np.int64] = np.asarray(corpus.sources)[
        np.searchsorted(starts, positions, side="right") - 1
    ]
    return found


@dataclass(frozen=True)
class HoldoutEvaluator:
    """Scores a network on the hold-out examples."""

    examples: HoldoutExamples
    hardware: Hardware
    packed: bool
    pad_id: int
    seed: int
    ranks: Ranks = ALONE
    """Several processes score the examples together."""

    def __call__(self, network: nn.Module) -> dict[str, Estimate]:
        """Return loss, perplexity and accuracies of the network in its present state, each with an interval."""
        found = np.zeros((2, len(self.examples.rows), len(_COLUMNS)))
        sums, weights = found
        was_training, start = network.training, 0
        network.eval()
        try:
            with torch.inference_mode(), self.hardware.autocast():
                for number, batch in enumerate(self.examples.batches):
                    rows = slice(start, start + len(batch.rows))
                    if number % self.ranks.count == self.ranks.rank:
                        sums[rows], weights[rows] = self._score(network, batch)
                    start += len(batch.rows)
        finally:
            network.train(was_training)
        sums, weights = self.ranks.sum_array(found)
        return estimates(sums, weights, self.examples.units, self.seed)

    def _score(self, network: nn.Module, batch: MaskedBatch) -> tuple[Floats, Floats]:
        """Return sums and weights of each example for the four metrics. *Shape:* (B, 4) each."""
        device = self.hardware.device
        on = masked_batch_tensors(batch, device, packed=self.packed, pad_id=self.pad_id)
        output = network(
            on.input_ids, on.layout, on.token_type_ids, masked_positions=on.masked_positions
        )
        losses = F.cross_entropy(output.mlm_logits.float(), on.masked_labels, reduction="none")
        hits = output.mlm_logits.argmax(dim=1) == on.masked_labels
        sums, weights = np.zeros((2, len(batch.rows), len(_COLUMNS)))
        owners = np.searchsorted(batch.cu_seq_lens, batch.masked_positions, side="right") - 1
        np.add.at(sums[:, 0], owners, losses.double().cpu().numpy())
        np.add.at(sums[:, 1], owners, hits.double().cpu().numpy())
        np.add.at(weights[:, 0], owners, 1)
        weights[:, 1] = weights[:, 0]
        if output.nsp_logits is not None:
            losses = F.cross_entropy(output.nsp_logits.float(), on.is_random, reduction="none")
            sums[:, 2] = losses.double().cpu().numpy()
            sums[:, 3] = (output.nsp_logits.argmax(dim=1) == on.is_random).cpu().numpy()
            weights[:, 2:] = 1
        return sums, weights


def estimates(
    sums: Floats, weights: Floats, units: npt.NDArray[np.int64], seed: int
) -> dict[str, Estimate]:
    """Return every metric with its interval over units.

    Parameters
    ----------
    sums, weights
        Of each example: loss and hits of both tasks, and their counts. *Shape:* (N, 4).
    units
        *Shape:* (N,), int64, from 0.
    seed
        Of the run; the resamples use a stream of their own.
    """
    generator = named_generator(seed, "held-out resamples")
    found = dict(zip(_COLUMNS, bootstrapped(sums, weights, units, generator), strict=True))
    loss = found["mlm_loss"]
    exponents = {name: _exponential(value) for name, value in vars(loss).items()}
    known = {"mlm_loss": loss, "perplexity": replace(loss, **exponents)}
    rest: Mapping[str, Estimate] = {
        name: one for name, one in found.items() if one.value is not None
    }
    return {**known, **rest}


def _exponential(value: float | None) -> float | None:
    return None if value is None else math.exp(min(value, 700.0))


def measure_baselines(
    holdout: HoldoutExamples, holdout_source: ExampleSource, source: ExampleSource
) -> dict[str, Estimate]:
    """Return the metrics of baselines without a network, each with its interval.

    Parameters
    ----------
    holdout
        The examples.
    holdout_source, source
        Their source, and the training part, which every baseline is fitted on.

    Returns
    -------
    dict
        `unigram_loss` and `unigram_top1`; with sentence pairs `word_overlap_accuracy` on the same
        examples, and `length_accuracy` on all pairs of the hold-out corpus: it needs many to show
        that lengths carry no information.
    """
    names = ("unigram_loss", "unigram_top1")
    found = dict(zip(names, _unigram(holdout, source), strict=True))
    fitted = source.pairs(1)
    if not source.next_sentence or not (_has_both(fitted) and _has_both(holdout.pairs)):
        return found
    pairs = holdout.pairs
    right = overlap_baseline(source.corpus, fitted, holdout_source.corpus, pairs)
    overlap = _accuracy(right[holdout.rows], holdout.units, source.seed)
    units = bootstrap_units(holdout_source.corpus, pairs, np.arange(len(pairs)))[0]
    length = _accuracy(length_baseline(fitted, pairs), units, source.seed)
    return {**found, "word_overlap_accuracy": overlap, "length_accuracy": length}


def _unigram(holdout: HoldoutExamples, source: ExampleSource) -> list[Estimate]:
    unigram = unigram_baseline(source.corpus, source.vocabulary)
    sums, weights = np.zeros((2, len(holdout.rows), 2))
    start = 0
    for batch in holdout.batches:
        owners = np.searchsorted(batch.cu_seq_lens, batch.masked_positions, side="right") - 1
        np.add.at(sums[:, 0], owners + start, -unigram.log_probabilities[batch.masked_labels])
        np.add.at(sums[:, 1], owners + start, unigram.correct(batch.masked_labels))
        np.add.at(weights, owners + start, 1)
        start += len(batch.rows)
    return bootstrapped(sums, weights, holdout.units, _resamples(source.seed))


def _accuracy(right: npt.NDArray[np.bool_], units: npt.NDArray[np.int64], seed: int) -> Estimate:
    hits: Floats = right[:, None].astype(np.float64)
    return bootstrapped(hits, np.ones_like(hits), units, _resamples(seed))[0]


def _resamples(seed: int) -> np.random.Generator:
    return named_generator(seed, "held-out resamples")


def _has_both(pairs: Pairs) -> bool:
    """Return whether there are true and random pairs; a tiny corpus may lack one kind."""
    return len(np.unique(pairs.is_random)) == 2
