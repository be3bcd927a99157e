"""AdamW's groups, the schedule and the norm, against their formulas."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.families import FAMILIES, write_family
from multihot.core.labels import LabelSpace
from multihot.errors import OptionError
from multihot.models.network import build_network
from multihot.training.optimizer import build_optimizer, freeze_layers, linear_schedule
from training.toys import steps_of, toy_network, toy_rows, train_toy


def test_matrices_decay_and_offsets_do_not() -> None:
    network = toy_network()

    decayed, plain = build_optimizer(network, 1e-3, 0.1).param_groups

    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    assert {id(p) for p in decayed["params"]} == {
        id(network.get_parameter(name)) for name in ("0.weight", "4.weight")
    }
    assert {id(p) for p in plain["params"]} == {
        id(network.get_parameter(name)) for name in ("0.bias", "1.weight", "1.bias", "4.bias")
    }


def test_a_frozen_parameter_is_in_no_group() -> None:
    network = toy_network()
    network[0].requires_grad_(False)

    groups = build_optimizer(network, 1e-3, 0.1).param_groups

    assert sum(len(group["params"]) for group in groups) == 4


def test_lower_layers_and_the_head_learn_at_rates_of_their_own(tiny_encoder: Path) -> None:
    network = build_network(tiny_encoder, LabelSpace(("joy", "love")), "mean", seed=0)

    groups = build_optimizer(
        network, 1e-4, 0.1, head_learning_rate=1e-3, layer_decay=0.5
    ).param_groups

    scales = {id(p): group["scale"] for group in groups for p in group["params"]}
    found = {name: scales[id(p)] for name, p in network.named_parameters()}
    assert found["head.classifier.weight"] == pytest.approx(10)
    assert found["encoder.pooler.dense.weight"] == pytest.approx(10)
    assert found["encoder.encoder.layer.1.output.dense.bias"] == 1.0
    assert found["encoder.encoder.layer.0.output.dense.weight"] == 0.5
    assert found["encoder.embeddings.word_embeddings.weight"] == 0.25
    assert found["encoder.embeddings.LayerNorm.weight"] == 0.25


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_its_layers_found(tmp_path: Path, family: str) -> None:
    network = build_network(
        write_family(family, tmp_path), LabelSpace(("joy", "love")), "mean", seed=0
    )

    groups = build_optimizer(network, 1e-4, 0.1, layer_decay=0.5).param_groups

    assert {group["scale"] for group in groups} == {1.0, 0.5, 0.25}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("count", "trained"), [(0, {0, 1, 2}), (1, {2}), (2, set())])
def test_the_lowest_layers_and_the_embeddings_can_be_frozen(
    tmp_path: Path, family: str, count: int, trained: set[int]
) -> None:
    network = build_network(
        write_family(family, tmp_path), LabelSpace(("joy", "love")), "mean", seed=0
    )

    freeze_layers(network, count)

    groups = build_optimizer(
        network, 1.0, 0.1, head_learning_rate=3.0, layer_decay=0.5
    ).param_groups
    assert {group["scale"] for group in groups} == {3.0, *(0.5 ** (2 - n) for n in trained)}


@pytest.mark.parametrize("family", [*FAMILIES, "deberta-v2"])
def test_below_the_trained_layers_nothing_has_a_gradient(tmp_path: Path, family: str) -> None:
    changes = {"norm_rel_ebd": "layer_norm"} if family == "deberta-v2" else {}
    network = build_network(
        write_family(family, tmp_path, **changes), LabelSpace(("joy", "love")), "mean", seed=0
    )
    freeze_layers(network, 1)
    outputs = []
    layers = next(m for m in network.transformer.modules() if isinstance(m, torch.nn.ModuleList))
    for layer in layers:
        layer.register_forward_hook(
            lambda module, args, output: outputs.append(
                output if isinstance(output, torch.Tensor) else output[0]
            )
        )

    network(torch.tensor([[5, 6, 7]]), torch.ones(1, 3, dtype=torch.int64))

    assert [output.requires_grad for output in outputs] == [False, True]


def test_more_layers_than_there_are_cannot_be_frozen(tiny_encoder: Path) -> None:
    network = build_network(tiny_encoder, LabelSpace(("joy", "love")), "mean", seed=0)

    with pytest.raises(OptionError, match="frozen_layers=3, but this encoder has 2 layers; exp"):
        freeze_layers(network, 3)
    network.encoder = network.encoder.embeddings  # as where layers share their weights
    with pytest.raises(OptionError, match="frozen_layers=1 needs an encoder with layers that"):
        freeze_layers(network, 1)
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_updates_are_those_of_the_adamw_paper() -> None:
    network, rate, decay = toy_network(), 0.01, 0.1
    rows = toy_rows()
    start = network[4].weight.detach().double().numpy().copy()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(network(rows[0]), rows[1])
    (gradient,) = torch.autograd.grad(loss, [network[4].weight])

    train_toy(network, steps_of([rows]), rate=rate, optimizer=build_optimizer(network, rate, decay))

    # In the first step both bias corrections cancel the moments' factors (Algorithm 2).
    g = gradient.double().numpy()
    expected = start * (1 - rate * decay) - rate * g / (np.abs(g) + 1e-8)
    assert np.allclose(expected, network[4].weight.detach().numpy(), atol=1e-6)


@given(st.integers(1, 300), st.floats(0, 0.9))
def test_the_schedule_rises_to_one_and_falls_to_zero(total: int, fraction: float) -> None:
    warmup = round(fraction * total)
    shares = [linear_schedule(step, total, warmup) for step in range(total + 1)]

    assert all(0 < share <= 1 for share in shares[:total])
    assert shares[total] == 0
    assert max(shares) == pytest.approx(1)
    assert all(a < b for a, b in pairwise(shares[:warmup]))
    assert all(a > b for a, b in pairwise(shares[warmup:]))


def test_the_schedule_in_numbers() -> None:
    shares = [linear_schedule(step, 10, 2) for step in range(12)]

    expected = [0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0.0, 0.0]
    assert shares == pytest.approx(expected)


def test_a_warmup_over_all_steps_never_divides_by_zero() -> None:
    assert [linear_schedule(step, 2, 2) for step in range(3)] == [0.5, 1.0, 0.0]
