"""The gradient of a large table: the same numbers, cleared only where they were written."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from models.packable import make_network
from multihot.models.cpu.embedding import TouchedRowsEmbedding, track_touched_rows


def table(padding_idx: int | None = None) -> tuple[nn.Embedding, nn.Embedding]:
    """Return torch's own table and the same one that counts its rows."""
    torch.manual_seed(0)
    plain = nn.Embedding(20_001, 50, padding_idx=padding_idx)
    network = nn.Sequential(copy.deepcopy(plain))
    track_touched_rows(network)
    counted = network[0]
    assert isinstance(counted, TouchedRowsEmbedding)
    return plain, counted


def backward(embedding: nn.Embedding, input_ids: torch.Tensor, seed: int = 1) -> torch.Tensor:
    factors = torch.randn(*input_ids.shape, 50, generator=torch.Generator().manual_seed(seed))
    (embedding(input_ids) * factors).sum().backward()
    assert embedding.weight.grad is not None
    return embedding.weight.grad


@pytest.mark.parametrize("padding_idx", [None, 0])
@pytest.mark.parametrize("shape", [(40,), (4, 10)])
def test_the_gradient_is_that_of_torch(padding_idx: int | None, shape: tuple[int, ...]) -> None:
    plain, counted = table(padding_idx)
    input_ids = torch.randint(0, 30, shape)

    assert torch.equal(counted(input_ids), plain(input_ids))
    torch.testing.assert_close(backward(counted, input_ids), backward(plain, input_ids))


def test_gradients_of_several_lookups_add_up_until_they_are_cleared() -> None:
    plain, counted = table()
    first, second = torch.tensor([3, 5, 3]), torch.tensor([5, 20_000])
    for embedding in (plain, counted):
        backward(embedding, first)
        backward(embedding, second, seed=2)

    torch.testing.assert_close(counted.weight.grad, plain.weight.grad)
    assert counted.touched().tolist() == [3, 5, 20_000]

    buffer = counted.weight.grad
    counted.clear_gradient()
    assert counted.weight.grad is buffer
    assert buffer is not None
    assert not buffer.any()
    assert counted.touched().tolist() == []

    plain.zero_grad()
    torch.testing.assert_close(backward(counted, second), backward(plain, second))


def test_a_gradient_that_someone_else_dropped_is_made_anew() -> None:
    plain, counted = table()
    backward(counted, torch.tensor([1, 2]))
    counted.weight.grad = None

    torch.testing.assert_close(
        backward(counted, torch.tensor([7])), backward(plain, torch.tensor([7]))
    )
    assert counted.touched().tolist() == [7]


def test_nothing_is_counted_without_a_gradient() -> None:
    _, counted = table()
    with torch.no_grad():
        counted(torch.tensor([1]))
    counted.requires_grad_(False)
    counted(torch.tensor([2]))

    assert counted.weight.grad is None
    assert counted.touched().tolist() == []


def test_small_shared_and_special_tables_are_left_alone(tmp_path: Path) -> None:
    shared = nn.Embedding(20_001, 50)
    output = nn.Linear(50, 20_001, bias=False)
    output.weight = shared.weight
    network = nn.ModuleList(
        [
            nn.Embedding(100, 50),
            shared,
            output,
            nn.Embedding(20_001, 50, max_norm=1.0),
            nn.Embedding(20_001, 50, sparse=True),
            nn.Embedding(20_001, 50, scale_grad_by_freq=True),
        ]
    )
    track_touched_rows(network)
    assert not any(isinstance(module, TouchedRowsEmbedding) for module in network.modules())

    small = make_network("bert", tmp_path, "mean")
    names = list(small.state_dict())
    track_touched_rows(small)
    assert list(small.state_dict()) == names
