"""Steps of pretraining are a function of seed, epoch and step; padding changes no loss."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multihot.data.corpus.documents import read_corpus
from multihot.data.corpus.masking import mask_vocabulary
from multihot.data.corpus.tokenize import tokenize_corpus
from multihot.data.tokens import load_tokenizer
from multihot.models.cpu.dropout import set_dropout
from multihot.models.pretraining.checkpoint import new_pretraining_model
from multihot.models.pretraining.network import PretrainingNetwork, enable_packed_pretraining
from multihot.training.loop import Step
from multihot.training.pretraining.batches import (
    ExampleSource,
    MlmNspLoss,
    PretrainingBatch,
    explain_batch,
    masked_batch_tensors,
)
from small_corpus import write_corpus

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> ExampleSource:
    folder = tmp_path_factory.mktemp("steps")
    tokenizer = load_tokenizer(tiny_encoder / "tokenizer.json")
    tokens = tokenize_corpus(
        read_corpus([write_corpus(folder / "texts.jsonl", 12)]), tokenizer, folder, held_out=False
    )
    return ExampleSource(
        tokens,
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


@pytest.fixture(scope="module")
def network(source: ExampleSource) -> PretrainingNetwork:
    model = new_pretraining_model("1x64", source.vocabulary.vocab_size, seed=0)
    found = PretrainingNetwork(model)
    set_dropout(found, 0.0)
    assert enable_packed_pretraining(found) is None
    return found


def first(source: ExampleSource, number: int, **position: Any) -> list[Step[PretrainingBatch]]:
    return list(itertools.islice(source.steps_after(**{"last_step": 0, **position}), number))


def same(one: Step[PretrainingBatch], other: Step[PretrainingBatch]) -> bool:
    place = (one.number, one.epoch, one.last_of_epoch) == (
        other.number,
        other.epoch,
        other.last_of_epoch,
    )
    return place and all(
        np.array_equal(getattr(a.masked, name), getattr(b.masked, name))
        for a, b in zip(one.micro_batches, other.micro_batches, strict=True)
        for name in vars(a.masked)
    )


def test_any_step_can_be_begun_with(source: ExampleSource) -> None:
    num_steps = source.num_steps()
    steps = first(source, 2 * num_steps + 3)

    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    for last_step in (1, num_steps - 1, num_steps, num_steps + 2):
        (found,) = first(source, 1, last_step=last_step)
        assert same(found, steps[last_step])
    second = next(step for step in steps if step.epoch == 2)
    (found,) = first(source, 1, last_step=second.number, epoch=2, epoch_began=second.number - 1)
    assert same(found, steps[second.number])


def test_every_example_comes_once_in_an_epoch(source: ExampleSource) -> None:
    steps = list(itertools.takewhile(lambda step: step.epoch == 1, source.steps_after(0)))
    rows = np.concatenate([batch.masked.rows for step in steps for batch in step.micro_batches])

    assert sorted(rows) == list(range(len(source.pairs(1))))
    assert [step.last_of_epoch for step in steps] == [False] * (len(steps) - 1) + [True]


def test_epochs_have_other_pairs_orders_and_masks(source: ExampleSource) -> None:
    num_steps = source.num_steps()
    steps = first(source, num_steps + 1)

    assert not np.array_equal(source.pairs(1).first_spans, source.pairs(2).first_spans)
    one, other = steps[0].micro_batches[0].masked, steps[num_steps].micro_batches[0].masked
    assert not np.array_equal(one.rows, other.rows)


def test_another_seed_is_another_run(source: ExampleSource) -> None:
    assert not same(first(source, 1)[0], first(replace(source, seed=1), 1)[0])


def test_batches_of_tokens_hold_about_as_many(source: ExampleSource) -> None:
    chosen = replace(source, batch_tokens=150)
    steps = list(itertools.takewhile(lambda step: step.epoch == 1, chosen.steps_after(0)))
    sizes = [step.micro_batches[0].num_tokens for step in steps]

    assert all(150 - 32 <= size <= 150 + 32 for size in sizes[:-1])
    assert np.mean(sizes[:-1]) == pytest.approx(150, abs=8)
    rows = np.concatenate([step.micro_batches[0].masked.rows for step in steps])
    assert sorted(rows) == list(range(len(source.pairs(1))))


def test_micro_batches_know_the_counts_of_their_step(source: ExampleSource) -> None:
    (step,) = first(replace(source, accumulation_steps=3), 1)

    assert [len(batch.masked.rows) for batch in step.micro_batches] == [3, 3, 2]
    assert {batch.pairs_in_step for batch in step.micro_batches} == {8}
    total = sum(len(batch.masked.masked_labels) for batch in step.micro_batches)
    assert {batch.masked_in_step for batch in step.micro_batches} == {total}


def test_packed_and_padded_batches_have_the_same_loss(
    source: ExampleSource, network: PretrainingNetwork
) -> None:
    for step in first(source, 3):
        (batch,) = step.micro_batches
        losses = [
            MlmNspLoss(CPU, packed=packed, pad_id=0)(network, batch) for packed in (True, False)
        ]
        assert losses[0][0].item() == pytest.approx(losses[1][0].item(), abs=1e-5)
        assert losses[0][1].item() == losses[1][1].item() == 1.0


def test_the_loss_is_that_of_transformers(
    source: ExampleSource, network: PretrainingNetwork
) -> None:
    (batch,) = first(source, 1)[0].micro_batches
    found, _ = MlmNspLoss(CPU, packed=True, pad_id=0)(network, batch)
    on = masked_batch_tensors(batch.masked, CPU, packed=False, pad_id=0)
    labels = torch.full((on.input_ids.numel(),), -100)
    labels[on.masked_positions] = on.masked_labels
    model: Any = network.model
    expected = model(
        input_ids=on.input_ids,
        attention_mask=on.layout,
        token_type_ids=on.token_type_ids,
        labels=labels.view_as(on.input_ids),
        next_sentence_label=on.is_random,
    ).loss

    assert found.item() == pytest.approx(expected.item(), abs=1e-5)


def test_the_meter_has_the_means_since_it_was_asked(
    source: ExampleSource, network: PretrainingNetwork
) -> None:
    loss = MlmNspLoss(CPU, packed=True, pad_id=0)
    (step,) = first(replace(source, accumulation_steps=2), 1)
    total = sum(loss(network, batch)[0].item() for batch in step.micro_batches)
    means = loss.take_means()

    assert set(means) == {"mlm_loss", "nsp_loss"}
    assert sum(means.values()) == pytest.approx(total, rel=1e-5)
    assert loss.take_means() == {}


def test_examples_are_named_by_their_number(source: ExampleSource) -> None:
    (batch,) = first(replace(source, batch_size=10), 1)[0].micro_batches
    shown = explain_batch(batch)

    assert shown.startswith(f"examples {batch.masked.rows[0]}, {batch.masked.rows[1]}")
    assert shown.endswith("and 2 more")
