"""A network of two layers and rows for it: the smallest things the loop can train."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from multihot.models.losses import binary_cross_entropy, weighted_sum
from multihot.training import loop
from multihot.training.optimizer import build_optimizer

Rows = tuple[Tensor, Tensor]
"""Inputs (B, 4) and targets (B, 3) with NaN for unknown."""


def toy_network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Linear(4, 8), nn.LayerNorm(8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3)
    )


def toy_rows(num_rows: int = 8, *, unknown: float = 0.0, seed: int = 0) -> Rows:
    generator = np.random.default_rng(seed)
    inputs = torch.tensor(generator.normal(size=(num_rows, 4)), dtype=torch.float32)
    targets = generator.integers(0, 2, (num_rows, 3)).astype(np.float32)
    targets[generator.random((num_rows, 3)) < unknown] = np.nan
    return inputs, torch.tensor(targets)


def parts(rows: Rows, *sizes: int) -> list[Rows]:
    """Cut rows into micro-batches of the given sizes."""
    return list(zip(rows[0].split(list(sizes)), rows[1].split(list(sizes)), strict=True))


def steps_of(*steps: Sequence[Rows], epochs: int = 1) -> list[loop.Step[Rows]]:
    found = []
    for epoch in range(1, epochs + 1):
        for position, micro_batches in enumerate(steps, start=1):
            number = len(found) + 1
            found.append(loop.Step(number, epoch, position == len(steps), micro_batches))
    return found


def toy_loss(network: nn.Module, batch: Rows) -> tuple[Tensor, Tensor]:
    return weighted_sum(binary_cross_entropy(network(batch[0]), batch[1]), batch[1])


def train_toy(
    network: nn.Module,
    steps: Sequence[loop.Step[Rows]],
    *,
    rate: float = 0.01,
    max_gradient_norm: float = 0.0,
    optimizer: torch.optim.Optimizer | None = None,
    explain: Callable[[Rows], str] = lambda batch: "no one asked",
    after_step: Sequence[Callable[[loop.StepResult[Rows]], Any]] = (),
) -> list[loop.StepResult[Rows]]:
    """Run the loop and return what it reported after each step."""
    results: list[loop.StepResult[Rows]] = []
    loop.run(
        network,
        steps,
        toy_loss,
        optimizer or build_optimizer(network, rate, 0.0),
        learning_rate=lambda step: rate,
        seed_of=lambda step: step,
        autocast=contextlib.nullcontext,
        max_gradient_norm=max_gradient_norm,
        explain=explain,
        after_step=[results.append, *after_step],
    )
    return results


def copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Return whether two state dictionaries are equal to the last bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
