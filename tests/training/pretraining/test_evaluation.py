"""Evaluation on held-out text: fixed examples, figures of transformers, honest units."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from multihot.data.corpus.documents import read_corpus
from multihot.data.corpus.masking import mask_vocabulary
from multihot.data.corpus.tokenize import tokenize_corpus
from multihot.data.tokens import load_tokenizer
from multihot.errors import DataError
from multihot.models.devices import Precision
from multihot.models.pretraining.checkpoint import new_pretraining_model
from multihot.models.pretraining.network import PretrainingNetwork, enable_packed_pretraining
from multihot.training.compute import Hardware
from multihot.training.pretraining.batches import ExampleSource, masked_batch_tensors
from multihot.training.pretraining.evaluation import (
    HoldoutEvaluator,
    draw_holdout,
    estimates,
    measure_baselines,
)
from small_corpus import write_corpus

CPU = torch.device("cpu")
FULL_PRECISION = Hardware(CPU, Precision("fp32", "requested"))


@pytest.fixture(scope="module")
def sources(
    tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExampleSource, ExampleSource]:
    """The training and the held-out part of 80 documents."""
    folder = tmp_path_factory.mktemp("evaluation")
    tokenizer = load_tokenizer(tiny_encoder / "tokenizer.json")
    corpus = read_corpus([write_corpus(folder / "texts.jsonl", 80)])
    training, held_out = (
        ExampleSource(
            tokenize_corpus(corpus, tokenizer, folder, held_out=part, fraction=0.4),
            mask_vocabulary(tokenizer),
            max_length=32,
            short_fraction=0.1,
            next_sentence=True,
            masking_rate=0.15,
            whole_word_masking=False,
            batch_size=8,
            batch_tokens=None,
            accumulation_steps=1,
            seed=0,
        )
        for part in (False, True)
    )
    return training, held_out


@pytest.fixture(scope="module")
def network(sources: tuple[ExampleSource, ExampleSource]) -> PretrainingNetwork:
    model = new_pretraining_model("1x64", sources[0].vocabulary.vocab_size, seed=0)
    found = PretrainingNetwork(model)
    assert enable_packed_pretraining(found) is None
    return found


def _evaluator(source: ExampleSource, num_rows: int, *, packed: bool = True) -> HoldoutEvaluator:
    examples = draw_holdout(source, num_rows)
    return HoldoutEvaluator(examples, FULL_PRECISION, packed, 0, seed=0)


def test_the_figures_are_those_of_transformers(
    sources: tuple[ExampleSource, ExampleSource], network: PretrainingNetwork
) -> None:
    evaluator = _evaluator(sources[1], 70)
    network.train()
    found = evaluator(network)
    assert network.training
    network.eval()
    model: Any = network.model
    losses, hits, right = [], [], []
    for batch in evaluator.examples.batches:
        on = masked_batch_tensors(batch, CPU, packed=False, pad_id=0)
        with torch.no_grad():
            output = model(
                input_ids=on.input_ids, attention_mask=on.layout, token_type_ids=on.token_type_ids
            )
        logits = output.prediction_logits.flatten(0, 1)[on.masked_positions]
        losses += F.cross_entropy(logits, on.masked_labels, reduction="none").tolist()
        hits += (logits.argmax(1) == on.masked_labels).tolist()
        right += (output.seq_relationship_logits.argmax(1) == on.is_random).tolist()

    assert len(right) == 70
    assert found["mlm_loss"].value == pytest.approx(np.mean(losses), abs=1e-5)
    assert found["perplexity"].value == pytest.approx(np.exp(np.mean(losses)), rel=1e-5)
    assert found["mlm_top1"].value == pytest.approx(np.mean(hits))
    assert found["nsp_accuracy"].value == pytest.approx(np.mean(right))


def test_padded_and_packed_agree(
    sources: tuple[ExampleSource, ExampleSource], network: PretrainingNetwork
) -> None:
    packed, padded = (_evaluator(sources[1], 20, packed=way)(network) for way in (True, False))

    for name, estimate in packed.items():
        assert [estimate.value, estimate.low] == pytest.approx(
            [padded[name].value, padded[name].low], abs=1e-5
        )


def test_examples_and_masks_are_fixed(sources: tuple[ExampleSource, ExampleSource]) -> None:
    one, other = draw_holdout(sources[1], 20), draw_holdout(sources[1], 20)

    for first, second in zip(one.batches, other.batches, strict=True):
        assert np.array_equal(first.input_ids, second.input_ids)
        assert np.array_equal(first.masked_positions, second.masked_positions)
    assert len(one.rows) == 20
    assert len(draw_holdout(sources[1], 10**6).rows) == len(one.pairs)


def test_documents_are_resampled_where_there_are_enough(
    sources: tuple[ExampleSource, ExampleSource],
) -> None:
    many = draw_holdout(sources[1], 10**6)
    few = draw_holdout(sources[1], 10)

    assert many.by_document
    assert len(np.unique(many.units)) == many.num_documents >= 20
    assert not few.by_document
    assert few.units.tolist() == list(range(10))


def test_examples_of_one_document_stay_together(
    sources: tuple[ExampleSource, ExampleSource],
) -> None:
    corpus, examples = sources[1].corpus, draw_holdout(sources[1], 10**6)
    for row, unit in zip(examples.rows, examples.units, strict=True):
        place = examples.pairs.first_spans[row, 0]
        sentence = np.searchsorted(corpus.sentence_offsets, place, side="right") - 1
        document = np.searchsorted(corpus.document_offsets, sentence, side="right") - 1
        assert unit == document


def test_a_loss_without_an_end_has_a_finite_perplexity() -> None:
    ones = np.ones((3, 4))
    found = estimates(ones * [1e9, 0, 0, 0], ones, np.arange(3), seed=0)

    assert found["perplexity"].value == np.exp(700.0)


def test_the_baselines_need_no_network(sources: tuple[ExampleSource, ExampleSource]) -> None:
    training, held_out_source = sources
    held_out = draw_holdout(held_out_source, 10**6)
    found = measure_baselines(held_out, held_out_source, training)
    counts = np.bincount(training.corpus.ids, minlength=training.vocabulary.vocab_size)
    counts[training.vocabulary.is_special] = 0
    labels = np.concatenate([batch.masked_labels for batch in held_out.batches])

    assert found["unigram_top1"].value == pytest.approx(np.mean(labels == counts.argmax()))
    length, overlap = found["length_accuracy"].value, found["word_overlap_accuracy"].value
    assert length is not None
    assert overlap is not None
    assert overlap > 0.7  # sentences of a document share its topic's words
    assert 0.3 < length < 0.7
    alone = replace(training, next_sentence=False), replace(held_out_source, next_sentence=False)
    found = measure_baselines(draw_holdout(alone[1], 10), alone[1], alone[0])
    assert list(found) == ["unigram_loss", "unigram_top1"]


def test_a_held_out_part_without_text_is_refused(
    sources: tuple[ExampleSource, ExampleSource],
) -> None:
    empty = replace(sources[1].corpus, ids=np.zeros(0, np.uint16))
    with pytest.raises(DataError, match="The hold-out corpus is empty"):
        draw_holdout(replace(sources[1], corpus=empty), 10)
