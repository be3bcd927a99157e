"""Heads: each against its formula, packed as padded, whatever stands in the padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from multihot.data.tokens import LabelPrompt
from multihot.models.heads import (
    AttentionPoolingHead,
    Head,
    LabelsInTextHead,
    MeanPoolingHead,
    mean_pool,
)
from multihot.models.packed.layout import Packing, lay_out

PROMPT = LabelPrompt(((1, 2), (2, 4), (4, 5)), length=6, text_type=1)
LENGTHS = (9, 7, 8)


def heads() -> list[Head]:
    torch.manual_seed(0)
    made = [
        MeanPoolingHead(4, 3, 0.1),
        AttentionPoolingHead(4, 3, 0.1),
        LabelsInTextHead(4, PROMPT, 0.1),
    ]
    for head in made:
        for parameter in head.parameters():
            torch.nn.init.normal_(parameter)
        head.eval()
    return made


def padded() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.tensor([[1] * length + [0] * (9 - length) for length in LENGTHS])
    return torch.randn(3, 9, 4), mask


def packed(hidden: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, Packing]:
    packing = lay_out(np.cumsum([0, *LENGTHS]), torch.device("cpu"))
    tokens = hidden[mask.bool()]
    return torch.cat([tokens, tokens[: packing.num_filler]]), packing


def test_the_mean_is_over_the_tokens_of_each_row() -> None:
    hidden = torch.randn(2, 5, 4)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])

    pooled = mean_pool(hidden, mask)

    assert torch.allclose(pooled[0], hidden[0, :3].mean(dim=0))
    assert torch.allclose(pooled[1], hidden[1].mean(dim=0))


def test_a_weighted_mean_is_that_of_numpy() -> None:
    hidden, mask = padded()
    weights = torch.rand(3, 9) + 0.1

    pooled = mean_pool(hidden, mask, weights)

    for row, length in enumerate(LENGTHS):
        expected = np.average(
            hidden[row, :length].numpy(), axis=0, weights=weights[row, :length].numpy()
        )
        assert np.allclose(expected, pooled[row].numpy(), atol=1e-5)


@pytest.mark.parametrize("number", range(3))
def test_padding_vectors_do_not_count(number: int) -> None:
    head, (hidden, mask) = heads()[number], padded()
    other = torch.where(mask[..., None].bool(), hidden, torch.tensor(1e6))

    assert torch.allclose(head(hidden, mask), head(other, mask), atol=1e-6)


@pytest.mark.parametrize("number", range(3))
def test_packed_rows_give_the_logits_of_padded_ones(number: int) -> None:
    head, (hidden, mask) = heads()[number], padded()

    found = head(*packed(hidden, mask))

    assert found.shape == (3, 3)
    assert torch.allclose(head(hidden, mask), found, atol=1e-5)


@pytest.mark.parametrize("number", range(3))
def test_every_parameter_of_a_head_learns(number: int) -> None:
    head, (hidden, mask) = heads()[number], padded()

    head(hidden, mask).square().sum().backward()

    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in head.parameters())


def test_a_row_without_tokens_is_zero_and_not_nan() -> None:
    assert mean_pool(torch.ones(1, 2, 3), torch.zeros(1, 2)).tolist() == [[0.0, 0.0, 0.0]]


def test_half_precision_is_averaged_in_float32() -> None:
    hidden = torch.full((1, 4096, 1), 0.1).bfloat16()

    pooled = mean_pool(hidden, torch.ones(1, 4096))

    assert pooled.dtype == torch.float32
    assert torch.allclose(pooled, hidden[:, 0].float())


def test_the_mean_head_starts_small_and_without_offset() -> None:
    head = MeanPoolingHead(width=300, num_labels=40, dropout=0.3)

    assert head.dropout.p == 0.3
    assert head.classifier.bias.tolist() == [0.0] * 40
    assert abs(head.classifier.weight.std().item() - 0.02) < 0.001


def test_attention_pooling_starts_as_the_mean() -> None:
    head, (hidden, mask) = AttentionPoolingHead(4, 3, 0.0), padded()

    expected = head.classifier(mean_pool(hidden, mask))

    assert torch.allclose(expected, head(hidden, mask), atol=1e-6)


def test_a_label_is_scored_where_it_stands() -> None:
    head, (hidden, mask) = LabelsInTextHead(4, PROMPT, 0.0), padded()
    torch.nn.init.normal_(head.offset)

    found = head(hidden, mask)

    for label, (start, end) in enumerate(PROMPT.spans):
        vector = hidden[:, start:end].mean(dim=1)
        expected = head.scorer(torch.tanh(head.projection(vector)))[:, 0] + head.offset[label]
        assert torch.allclose(expected, found[:, label], atol=1e-5)
