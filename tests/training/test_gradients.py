"""All gradients as one thing; an embedding is visited only where it was touched."""

from __future__ import annotations

import copy

import torch
from torch import nn

from multihot.models.cpu.embedding import TouchedRowsEmbedding, track_touched_rows
from multihot.training.loop import Gradients
from multihot.training.optimizer import build_optimizer
from training.toys import toy_network, toy_rows


def test_the_norm_is_over_all_gradients_and_scaling_scales_it() -> None:
    network = toy_network()
    network(toy_rows()[0]).sum().backward()
    network[0].bias.grad = None
    expected = torch.cat(
        [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    ).norm()
    gradients = Gradients(network)

    assert torch.allclose(expected, gradients.norm())
    gradients.scale(0.5)
    assert torch.allclose(expected / 2, gradients.norm())
    gradients.clear()
    assert all(parameter.grad is None for parameter in network.parameters())


def test_frozen_parameters_have_no_part() -> None:
    network = toy_network()
    network(toy_rows()[0]).sum().backward()
    network[4].requires_grad_(False)
    network[4].weight.grad = torch.full_like(network[4].weight, 9.0)
    before = network[4].weight.grad.clone()

    gradients = Gradients(network)
    gradients.scale(0.0)

    assert gradients.norm().item() == 0.0
    assert torch.equal(network[4].weight.grad, before)


def reader() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(20_001, 50), nn.Linear(50, 3))


def test_training_with_counted_rows_moves_the_weights_as_training_without() -> None:
    plain = reader()
    counted = copy.deepcopy(plain)
    track_touched_rows(counted)
    assert isinstance(counted[0], TouchedRowsEmbedding)
    generator = torch.Generator().manual_seed(4)
    batches = [torch.randint(0, 20_001, (2, 30), generator=generator) for _ in range(5)]

    for network in (plain, counted):
        optimizer, gradients = build_optimizer(network, 1e-2, 0.1), Gradients(network)
        for parts in batches:
            gradients.clear()
            for input_ids in parts:  # two micro-batches
                network(input_ids).square().mean().backward()
            norm = gradients.norm().item()
            gradients.scale(1 / norm)
            optimizer.step()

    for ours, theirs in zip(counted.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
