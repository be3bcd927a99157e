"""The network that computes heads only where they are needed, on packed and on padded batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.families import write_family
from models.pretraining.tiny import Masked, masked_pairs, packed_network, spread
from multihot.errors import EncoderError
from multihot.models.network import _from_pretrained
from multihot.models.packed.encoder import ATTENTION
from multihot.models.packed.layout import lay_out
from multihot.models.pretraining.checkpoint import load_pretraining_model, new_pretraining_model
from multihot.models.pretraining.loss import step_loss
from multihot.models.pretraining.network import (
    PretrainingNetwork,
    enable_packed_pretraining,
    pretraining_loss,
)
from multihot.training.loop import Step, StepResult, run

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "modernbert")
VOCABULARY = 90


def _model(*, next_sentence: bool = True, **changes: Any) -> Any:
    model = new_pretraining_model(
        "2x64", VOCABULARY, seed=1, max_positions=64, next_sentence=next_sentence, **changes
    )
    return spread(model)


def _padded_arguments(batch: Masked) -> dict[str, Any]:
    """Return the same batch as padded rows, masked positions in the flattened rows."""
    padded = batch.padded()
    wanted = padded.pop("labels").flatten() != -100
    return {
        "input_ids": padded["input_ids"],
        "layout": padded["attention_mask"],
        "token_type_ids": padded["token_type_ids"],
        "masked_positions": torch.nonzero(wanted)[:, 0],
    }


def test_packed_and_padded_batches_have_the_same_answers() -> None:
    network = packed_network(_model())
    batch = masked_pairs(VOCABULARY)

    with torch.inference_mode():
        packed = network(**batch.arguments(labels=False))
        padded = network(**_padded_arguments(batch))

    assert torch.allclose(packed.mlm_logits, padded.mlm_logits, atol=1e-5)
    assert torch.allclose(packed.nsp_logits, padded.nsp_logits, atol=1e-5)
    assert packed.mlm_loss is padded.mlm_loss is None


def test_only_masked_tokens_and_first_tokens_meet_the_heads() -> None:
    network = packed_network(_model())
    batch = masked_pairs(VOCABULARY)
    seen: dict[str, tuple[int, ...]] = {}
    model: Any = network.model
    for name, module in (
        ("mlm", model.cls.predictions.transform),
        ("nsp", model.cls.seq_relationship),
    ):
        module.register_forward_hook(
            lambda _, inputs, output, name=name: seen.update({name: tuple(output.shape)})
        )

    output = network(**batch.arguments(labels=False))

    assert seen == {"mlm": (len(batch.masked_labels), 64), "nsp": (len(batch.is_random), 2)}
    assert output.mlm_logits.shape == (len(batch.masked_labels), VOCABULARY)


def test_labels_give_the_loss_of_the_logits() -> None:
    network = packed_network(_model())
    batch = masked_pairs(VOCABULARY)

    with_labels = network(**batch.arguments())
    without = network(**batch.arguments(labels=False))
    one, other = (
        pretraining_loss(output, batch.masked_labels, batch.is_random)
        for output in (with_labels, without)
    )

    assert with_labels.mlm_logits is None
    assert torch.allclose(one.mlm, other.mlm, rtol=1e-5)
    assert torch.equal(one.nsp, other.nsp)  # type: ignore[arg-type]
    expected = F.cross_entropy(without.mlm_logits, batch.masked_labels, reduction="sum")
    assert torch.allclose(other.mlm, expected, rtol=1e-6)
    assert (one.num_masked, one.num_pairs) == (len(batch.masked_labels), len(batch.is_random))


def test_token_types_change_the_answers() -> None:
    network = packed_network(_model())
    batch = masked_pairs(VOCABULARY)
    single = replace(batch, token_type_ids=torch.zeros_like(batch.token_type_ids))

    with torch.inference_mode():
        pairs = network(**batch.arguments(labels=False))
        singles = network(**single.arguments(labels=False))
        without = network(**{**batch.arguments(labels=False), "token_type_ids": None})

    assert (pairs.mlm_logits - singles.mlm_logits).abs().max() > 0.1
    assert torch.allclose(singles.mlm_logits, without.mlm_logits, atol=1e-6)
    assert torch.allclose(singles.nsp_logits, without.nsp_logits, atol=1e-6)


def test_one_text_does_not_hear_of_another() -> None:
    network = packed_network(_model())
    batch = masked_pairs(VOCABULARY, (20, 30))
    first = batch.masked_positions < 20
    changed = batch.input_ids.clone()
    changed[20:] = 7

    with torch.inference_mode():
        one = network(**batch.arguments(labels=False))
        other = network(**replace(batch, input_ids=changed).arguments(labels=False))

    assert torch.allclose(one.mlm_logits[first], other.mlm_logits[first], atol=1e-6)
    assert not torch.allclose(one.mlm_logits[~first], other.mlm_logits[~first], atol=1e-2)


def test_without_a_next_sentence_head_there_are_no_such_logits() -> None:
    network = packed_network(_model(next_sentence=False))
    batch = masked_pairs(VOCABULARY)

    parts = pretraining_loss(network(**batch.arguments()), batch.masked_labels, batch.is_random)

    assert not network.has_next_sentence
    assert parts.nsp is None
    assert parts.num_pairs == len(batch.is_random)
    with pytest.raises(EncoderError, match=r"BertForMaskedLM has no next-sentence head"):
        network.next_sentence(batch.input_ids, batch.packing, batch.token_type_ids)


def test_a_batch_without_masks_still_has_pairs() -> None:
    network = packed_network(_model())
    batch = masked_pairs(VOCABULARY)
    nothing = torch.zeros(0, dtype=torch.int64)
    bare = replace(batch, masked_positions=nothing, masked_labels=nothing)

    parts = pretraining_loss(network(**bare.arguments()), nothing, batch.is_random)
    total, _ = step_loss(parts, masked_in_step=0, pairs_in_step=len(batch.is_random))
    total.backward()

    assert parts.mlm.item() == 0
    assert total.item() > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_the_check_of_packed_execution_covers_every_family(family: str, tmp_path: Path) -> None:
    changes = {"local_attention": 16} if family == "modernbert" else {}
    folder = write_family(family, tmp_path, initializer_range=0.3, **changes)
    network = PretrainingNetwork(load_pretraining_model(folder, seed=1).model)

    assert enable_packed_pretraining(network) is None

    assert network.config._attn_implementation == ATTENTION
    assert network.training  # as it was


def test_the_check_finds_token_types_that_get_lost_in_a_packed_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = PretrainingNetwork(_model()).eval()
    embedding = network.transformer.embeddings.token_type_embeddings

    def forgetful(ids: Tensor) -> Tensor:
        # The check's texts have at most 64 tokens here, and 72 together.
        return F.embedding(ids if ids.shape[1] <= 64 else ids * 0, embedding.weight)

    monkeypatch.setattr(embedding, "forward", forgetful)

    reason = enable_packed_pretraining(network)

    assert reason is not None
    assert "other vectors for packed texts after the embeddings" in reason
    assert network.config._attn_implementation != ATTENTION


def test_the_check_finds_heads_that_mix_the_texts_up(monkeypatch: pytest.MonkeyPatch) -> None:
    network = PretrainingNetwork(_model()).eval()
    pooler = network.transformer.pooler
    original = pooler.forward

    def mixed(hidden: Tensor) -> Tensor:
        found: Tensor = original(hidden)
        return found.flip(0)

    monkeypatch.setattr(pooler, "forward", mixed)

    reason = enable_packed_pretraining(network)

    assert reason is not None
    assert "other logits" in reason
    assert network.config._attn_implementation != ATTENTION


def test_another_family_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    from transformers import MODEL_MAPPING

    from multihot.models.encoder import read_config

    folder = write_family("mpnet", tmp_path)
    encoder = _from_pretrained(MODEL_MAPPING, folder, read_config(folder))

    with pytest.raises(EncoderError, match=r"family 'mpnet', .* known are bert, camembert,"):
        PretrainingNetwork(encoder)


def test_the_one_loop_trains_it_the_same_in_any_number_of_parts() -> None:
    lengths = (9, 33, 4, 60, 17, 22)
    batch = masked_pairs(VOCABULARY, lengths)

    def train(num_parts: int) -> tuple[list[float], list[float], Tensor]:
        network = packed_network(_model(dropout=0.0))
        steps = (
            Step(number, 1, False, list(_parts(batch, lengths, num_parts)))
            for number in range(1, 9)
        )
        results: list[StepResult[Masked]] = []

        def loss(network: Any, part: Masked) -> tuple[Tensor, Tensor]:
            parts = pretraining_loss(
                network(**part.arguments()), part.masked_labels, part.is_random
            )
            return step_loss(
                parts,
                masked_in_step=len(batch.masked_labels),
                pairs_in_step=len(batch.is_random),
            )

        def keep(result: StepResult[Masked]) -> None:
            results.append(result)

        run(
            network,
            steps,
            loss,
            torch.optim.SGD(network.parameters(), lr=0.1),
            learning_rate=lambda step: 0.1,
            seed_of=lambda step: step,
            autocast=lambda: torch.autocast("cpu", enabled=False),
            max_gradient_norm=1.0,
            explain=lambda part: "",
            after_step=[keep],
        )
        weights = torch.cat([p.detach().flatten() for p in network.parameters()])
        return [r.loss for r in results], [r.weight for r in results], weights

    losses, shares, weights = train(1)
    for num_parts in (2, 3, 6):
        others, other_shares, other_weights = train(num_parts)
        assert others == pytest.approx(losses, rel=1e-4)
        assert other_shares == pytest.approx(shares)
        assert torch.allclose(other_weights, weights, atol=1e-4)
    assert losses[-1] < losses[0] - 0.5


def _parts(batch: Masked, lengths: tuple[int, ...], num_parts: int) -> Iterator[Masked]:
    """Cut a batch into parts of whole pairs."""
    ends = [0, *torch.tensor(lengths).cumsum(0).tolist()]
    size = len(lengths) // num_parts
    for first in range(0, len(lengths), size):
        start, end = ends[first], ends[first + size]
        chosen = (batch.masked_positions >= start) & (batch.masked_positions < end)
        layout = torch.tensor(ends[first : first + size + 1]) - start
        yield Masked(
            batch.input_ids[start:end],
            lay_out(layout.numpy(), torch.device("cpu")),
            batch.token_type_ids[start:end],
            batch.masked_positions[chosen] - start,
            batch.masked_labels[chosen],
            batch.is_random[first : first + size],
        )
