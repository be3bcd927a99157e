"""Fast dropout is dropout: the right probability, the right scale, the right gradient, from the seed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from models.packable import make_network
from multihot.models.cpu.dropout import FastDropout, fast_dropout, replace_dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_probability_is_met_and_the_rest_scaled(probability: float, dtype: torch.dtype) -> None:
    num_values = 400_000
    output = fast_dropout(torch.ones(num_values, dtype=dtype), probability)

    dropped = (output == 0).float().mean().item()
    deviation = (probability * (1 - probability) / num_values) ** 0.5
    assert abs(dropped - probability) < 5 * deviation
    assert output.dtype == dtype
    assert output.unique().float().tolist() == pytest.approx([0, 1 / (1 - probability)], rel=4e-3)


def test_neighbours_are_dropped_independently() -> None:
    dropped = (fast_dropout(torch.ones(400_000), 0.5) == 0).float() - 0.5

    for distance in (1, 2, 3, 4, 8):
        assert abs((dropped[distance:] * dropped[:-distance]).mean().item()) < 0.002


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (2, 3, 7)])
def test_any_shape_can_be_dropped(shape: tuple[int, ...]) -> None:
    assert fast_dropout(torch.ones(shape), 0.3).shape == shape


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_nothing_and_everything_can_be_dropped(probability: float, expected: float) -> None:
    assert fast_dropout(torch.ones(3), probability).tolist() == [expected] * 3


def test_the_seed_decides() -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return fast_dropout(torch.ones(100), 0.5)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_the_gradient_passes_where_the_value_did() -> None:
    values = torch.randn(1000, requires_grad=True)
    output = fast_dropout(values, 0.25)
    (gradient,) = torch.autograd.grad(output.sum(), values)

    assert torch.allclose(gradient, torch.where(output == 0, 0.0, 1 / 0.75))
    assert torch.allclose(output, values * gradient)


def test_a_network_keeps_its_names_its_probabilities_and_its_answers(tmp_path: Path) -> None:
    network = make_network("roberta", tmp_path, "mean").train()
    names, probabilities = (
        list(network.state_dict()),
        [module.p for module in network.modules() if isinstance(module, nn.Dropout)],
    )

    replace_dropout(network)

    replaced = [module for module in network.modules() if isinstance(module, FastDropout)]
    assert list(network.state_dict()) == names
    assert [module.p for module in replaced] == probabilities
    assert all(module.training for module in replaced)
    values = torch.randn(50)
    assert torch.equal(replaced[0].eval()(values), values)
    assert not torch.equal(replaced[1](values), values)
