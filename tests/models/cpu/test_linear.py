"""Layers that are laid out for prediction give the numbers of those they stand in for."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.packable import PACKABLE, REFUSED, make_network, make_texts, run
from multihot.models.cpu.linear import can_prepare, prepare_linears
from multihot.models.packed.self_test import enable_packed

FUSED = ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "mpnet", "deberta-v2")
MANY = np.random.default_rng(0).integers(20, 60, 20).tolist()
"""Lengths of texts that have more tokens than are worth a product in the other layout."""

CPU = torch.device("cpu")
needs_layout = pytest.mark.skipif(
    not can_prepare(CPU, torch.float32), reason="torch was built without oneDNN"
)


def recorded(network: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list that every activation of a product in the other layout will be noted in."""
    seen: list[str] = []
    product = torch.ops.mkldnn._linear_pointwise

    def noted(*args: Any) -> Tensor:
        seen.append(args[3])
        found: Tensor = product(*args)
        return found

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", noted)
    return seen


def through_a_file(encoder: Any) -> Any:
    """Do what a process does that hands a fitted model to another one."""
    return pickle.loads(pickle.dumps(encoder))


@needs_layout
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", PACKABLE + REFUSED)
def test_logits_stay_the_same_in_every_family(family: str, pooling: str, tmp_path: Path) -> None:
    network = make_network(family, tmp_path, pooling)
    packed = enable_packed(network, gradients=False) is None
    texts = make_texts(network, MANY)
    with torch.inference_mode():
        expected = run(network, texts, packed=packed)

    prepare_linears(network, torch.float32)

    with torch.inference_mode():
        found = run(network, texts, packed=packed)
    assert (found - expected).abs().max() < 1e-5


@needs_layout
@pytest.mark.parametrize("family", FUSED)
def test_gelu_is_part_of_the_product(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(family, tmp_path, "mean")
    prepare_linears(network, torch.float32)
    seen = recorded(network, monkeypatch)

    with torch.inference_mode():
        run(network, make_texts(network, MANY), packed=False)

    assert seen.count("gelu") == 2  # one in each of two layers
    assert seen.count("none") >= 2 * 5


@needs_layout
def test_few_rows_take_the_plain_way_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network("bert", tmp_path, "cls")
    texts = make_texts(network, [3, 7])
    expected = run(network, texts, packed=False)
    prepare_linears(network, torch.float32)
    seen = recorded(network, monkeypatch)

    found = run(network, texts, packed=False)

    assert seen == []
    assert torch.equal(found, expected)


@needs_layout
def test_another_gelu_stays_where_it_is(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "mean", hidden_act="gelu_new")
    texts = make_texts(network, MANY)
    with torch.inference_mode():
        expected = run(network, texts, packed=False)

    prepare_linears(network, torch.float32)

    with torch.inference_mode():
        assert (run(network, texts, packed=False) - expected).abs().max() < 1e-5
    block = network.transformer.encoder.layer[0].intermediate
    assert not isinstance(block.intermediate_act_fn, nn.Identity)


@needs_layout
def test_a_second_time_changes_nothing_and_the_state_is_that_of_before(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "mean")
    state = copy.deepcopy(network.state_dict())
    texts = make_texts(network, MANY)
    prepare_linears(network, torch.float32)
    with torch.inference_mode():
        once = run(network, texts, packed=False)

    prepare_linears(network, torch.float32)

    with torch.inference_mode():
        assert torch.equal(run(network, texts, packed=False), once)
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


@needs_layout
def test_a_copy_computes_the_same_and_can_be_prepared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = make_network("bert", tmp_path, "mean").transformer
    ids = torch.randint(5, encoder.config.vocab_size, (20, 40))
    prepare_linears(encoder, torch.float32)
    with torch.inference_mode():
        expected = encoder(ids).last_hidden_state
    seen = recorded(encoder, monkeypatch)

    for again in (copy.deepcopy(encoder), through_a_file(encoder)):
        with torch.inference_mode():
            assert (again(ids).last_hidden_state - expected).abs().max() < 1e-5
            assert seen == []
            prepare_linears(again, torch.float32)
            assert (again(ids).last_hidden_state - expected).abs().max() < 1e-5
        assert seen.count("gelu") == 2
        seen.clear()


@pytest.mark.skipif(not can_prepare(CPU, torch.bfloat16), reason="no oneDNN products in bf16 here")
def test_half_precision_is_as_near_to_float32_as_autocast(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "mean", initializer_range=0.05)
    texts = make_texts(network, MANY)

    def half() -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            return run(network, texts, packed=False).float()

    with torch.inference_mode():
        exact = run(network, texts, packed=False)
    by_autocast = half()
    prepare_linears(network, torch.bfloat16)

    assert (half() - exact).abs().max() < 2 * (by_autocast - exact).abs().max()


def test_only_processors_and_two_precisions_are_prepared() -> None:
    assert not can_prepare(torch.device("meta"), torch.float32)
    assert not can_prepare(CPU, torch.float64)
