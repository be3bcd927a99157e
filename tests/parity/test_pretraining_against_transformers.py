"""Packed heads and their loss are those of transformers' own models on the same, padded, batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from models.families import write_family
from models.pretraining.tiny import masked_pairs, packed_network, spread, write_bert
from multihot.inference.masked_lm import FillMask, NextSentence
from multihot.models.encoder import load_encoder_tokenizer
from multihot.models.pretraining.checkpoint import (
    load_pretraining_model,
    new_pretraining_model,
    save_pretraining_model,
)
from multihot.models.pretraining.loss import step_loss
from multihot.models.pretraining.network import pretraining_loss

pytestmark = pytest.mark.parity

MASKED_FAMILIES = (
    "bert",
    "roberta",
    "xlm-roberta",
    "camembert",
    "distilbert",
    "electra",
    "modernbert",
)


def _gradients(model: Any) -> torch.Tensor:
    """Return all gradients in one row, zeros where there is none."""
    flat = [
        torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten().clone()
        for p in model.parameters()
    ]
    model.zero_grad()
    return torch.cat(flat)


@pytest.mark.parametrize("seed", range(4))
def test_loss_and_gradient_of_pairs_are_those_of_bert_for_pretraining(seed: int) -> None:
    network = packed_network(spread(new_pretraining_model("2x64", 90, seed=seed, max_positions=64)))
    model: Any = network.model
    batch = masked_pairs(90, seed=seed)

    parts = pretraining_loss(network(**batch.arguments()), batch.masked_labels, batch.is_random)
    total, weight = step_loss(
        parts, masked_in_step=len(batch.masked_labels), pairs_in_step=len(batch.is_random)
    )
    total.backward()
    found = _gradients(model)
    expected = model(**batch.padded(), next_sentence_label=batch.is_random)
    expected.loss.backward()

    assert weight.item() == 1.0
    assert abs(total.item() - expected.loss.item()) < 1e-5
    assert F.cosine_similarity(found, _gradients(model), dim=0) > 0.99999
    assert expected.loss > 3


@pytest.mark.parametrize("family", MASKED_FAMILIES)
def test_loss_and_gradient_without_pairs_are_those_of_masked_lm(
    family: str, tmp_path: Path
) -> None:
    changes = {"local_attention": 16} if family == "modernbert" else {}
    folder = write_family(family, tmp_path, initializer_range=0.3, **changes)
    network = packed_network(load_pretraining_model(folder, seed=1, next_sentence=False).model)
    model: Any = network.model
    batch = masked_pairs(network.config.vocab_size)
    padded = batch.padded()
    if family in ("distilbert", "modernbert"):
        del padded["token_type_ids"]
    padded["input_ids"][padded["attention_mask"] == 0] = network.config.pad_token_id

    parts = pretraining_loss(network(**batch.arguments()), batch.masked_labels, batch.is_random)
    mean = parts.mlm / parts.num_masked
    mean.backward()
    found = _gradients(model)
    expected = model(**padded)
    expected.loss.backward()

    assert parts.nsp is None
    assert abs(mean.item() - expected.loss.item()) < 1e-5
    assert F.cosine_similarity(found, _gradients(model), dim=0) > 0.99999


def test_logits_of_masked_tokens_and_of_pairs_are_the_same(tmp_path: Path) -> None:
    network = packed_network(spread(new_pretraining_model("2x64", 90, seed=1, max_positions=64)))
    batch = masked_pairs(90)
    padded = batch.padded()

    with torch.inference_mode():
        found = network(**batch.arguments(labels=False))
        expected = network.model(**padded)

    chosen = expected.prediction_logits[padded["labels"] != -100]
    assert torch.allclose(chosen, found.mlm_logits, atol=1e-5)
    assert torch.allclose(expected.seq_relationship_logits, found.nsp_logits, atol=1e-5)


TEXTS = [
    "i am [MASK] and the bert model is [MASK] good",
    "today is[MASK]happy.",
    "[MASK]",
    "never again, not today, and we love the [MASK] rain today and never again",
]


@pytest.mark.parametrize("family", MASKED_FAMILIES)
def test_the_fill_mask_pipeline_of_transformers_gives_our_answers(
    family: str, tmp_path: Path
) -> None:
    from transformers import pipeline

    folder = write_family(family, tmp_path / "encoder", initializer_range=0.3)
    model = load_pretraining_model(folder, seed=1, next_sentence=False).model
    saved = tmp_path / "saved"
    save_pretraining_model(model, *load_encoder_tokenizer(folder), saved)
    theirs = pipeline("fill-mask", str(saved), device="cpu")
    ours = FillMask.load(saved, device="cpu")
    texts = [text.replace("[MASK]", ours.mask_token) for text in TEXTS]
    special = {*theirs.tokenizer.all_special_tokens} - {ours.mask_token}

    def without_special(sequence: str) -> str:
        # With several masks, the pipeline prints the special tokens around the text, too.
        for token in special:
            sequence = sequence.replace(token, "")
        return " ".join(sequence.split())

    found = ours.fill(texts, top=7)

    for text, masks in zip(texts, found, strict=True):
        expected = theirs(text, top_k=7)
        expected = expected if isinstance(expected[0], list) else [expected]
        for mask, proposals in zip(masks, expected, strict=True):
            assert [fill.token_id for fill in mask] == [one["token"] for one in proposals]
            assert [fill.token for fill in mask] == [one["token_str"] for one in proposals]
            for fill, one in zip(mask, proposals, strict=True):
                if fill.token not in {*special, ours.mask_token}:
                    assert without_special(fill.text) == without_special(one["sequence"])
            scores = torch.tensor([fill.score for fill in mask])
            assert torch.allclose(
                scores, torch.tensor([one["score"] for one in proposals]), atol=1e-6
            )


def test_next_sentence_probabilities_are_those_of_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, BertForNextSentencePrediction

    folder = write_bert(tmp_path)
    theirs = BertForNextSentencePrediction.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pairs = [
        ("i am happy", "the sun is good"),
        ("the rain is not so good today and we never love it", "sad"),
        ("sad", "i am not angry and i am not happy today, never again"),
    ]

    found = NextSentence.load(folder, device="cpu").probabilities(pairs)

    inputs = tokenizer(*map(list, zip(*pairs, strict=True)), padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = theirs(**inputs).logits.softmax(dim=1)
    assert torch.allclose(expected, torch.from_numpy(found), atol=1e-6)
