"""Mean pooling: an average over tokens, whatever stands in the padding."""

from __future__ import annotations

import torch

from multihot.models.heads import MeanPoolingHead, mean_pool


def test_the_mean_is_over_the_tokens_of_each_row() -> None:
    hidden = torch.randn(2, 5, 4)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])

    pooled = mean_pool(hidden, mask)

    assert torch.allclose(pooled[0], hidden[0, :3].mean(dim=0))
    assert torch.allclose(pooled[1], hidden[1].mean(dim=0))


def test_padding_vectors_do_not_count() -> None:
    hidden = torch.randn(1, 4, 3)
    mask = torch.tensor([[1, 1, 0, 0]])
    other = hidden.clone()
    other[:, 2:] = 1e6

    assert torch.equal(mean_pool(hidden, mask), mean_pool(other, mask))


def test_a_row_without_tokens_is_zero_and_not_nan() -> None:
    assert mean_pool(torch.ones(1, 2, 3), torch.zeros(1, 2)).tolist() == [[0.0, 0.0, 0.0]]


def test_half_precision_is_averaged_in_float32() -> None:
    hidden = torch.full((1, 4096, 1), 0.1).bfloat16()

    pooled = mean_pool(hidden, torch.ones(1, 4096))

    assert pooled.dtype == torch.float32
    assert torch.allclose(pooled, hidden[:, 0].float())


def test_the_head_starts_small_and_without_offset() -> None:
    head = MeanPoolingHead(width=300, num_labels=40, dropout=0.3)

    assert head.dropout.p == 0.3
    assert head.classifier.bias.tolist() == [0.0] * 40
    assert abs(head.classifier.weight.std().item() - 0.02) < 0.001
