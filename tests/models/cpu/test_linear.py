"""Layers that are laid out for prediction give the numbers of those they stand in for."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.packable import PACKABLE, REFUSED, make_network, make_texts, run
from multihot.data.tokens import TokenizedTexts
from multihot.models.cpu.linear import linear_failure, prepare_linears
from multihot.models.packed.self_test import enable_packed

FUSED = ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "mpnet", "deberta-v2")
MANY = np.random.default_rng(0).integers(20, 60, 20).tolist()
"""Lengths of texts that have more tokens than are worth a product in the other layout."""

needs_layout = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
    reason="torch was built without oneDNN",
)


def outputs_of_layers(network: Any, texts: TokenizedTexts) -> dict[str, Tensor]:
    """Return what every linear layer of the encoder puts out for the texts."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: object, output: Tensor) -> None:
            outputs[name] = output.clone()

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in network.transformer.named_modules()
        if isinstance(module, nn.Linear)
    ]
    with torch.inference_mode():
        run(network, texts, packed=False)
    for handle in handles:
        handle.remove()
    return outputs


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
def test_gelu_becomes_part_of_the_layer_before_it(family: str, tmp_path: Path) -> None:
    network = make_network(family, tmp_path, "mean")
    texts = make_texts(network, MANY)
    before = outputs_of_layers(network, texts)

    prepare_linears(network, torch.float32)

    after = outputs_of_layers(network, texts)
    with_gelu = [
        name for name, output in after.items() if not torch.allclose(output, before[name], atol=0.1)
    ]
    assert len(with_gelu) == 2  # one in each of two layers
    for name, output in after.items():
        expected = F.gelu(before[name]) if name in with_gelu else before[name]
        assert (output - expected).abs().max() < 1e-4 * max(1, expected.abs().max())


@needs_layout
def test_few_rows_are_computed_by_plain_torch_to_the_last_bit(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "cls")
    texts = make_texts(network, [3, 7])
    expected = run(network, texts, packed=False)

    prepare_linears(network, torch.float32)

    assert torch.equal(run(network, texts, packed=False), expected)


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
@pytest.mark.parametrize("copied", [copy.deepcopy, through_a_file])
def test_a_copy_computes_as_plain_torch_does_and_can_be_prepared_again(
    copied: Callable[[Any], Any], tmp_path: Path
) -> None:
    encoder = make_network("bert", tmp_path, "mean").transformer
    ids = torch.randint(5, encoder.config.vocab_size, (20, 40))
    with torch.inference_mode():
        plain = encoder(ids).last_hidden_state
    prepare_linears(encoder, torch.float32)

    again = copied(encoder)

    with torch.inference_mode():
        assert torch.equal(again(ids).last_hidden_state, plain)  # the layout was left behind
        prepare_linears(again, torch.float32)
        prepared = again(ids).last_hidden_state
        assert torch.equal(prepared, encoder(ids).last_hidden_state)
        assert (prepared - plain).abs().max() < 1e-5


@pytest.mark.skipif(
    linear_failure(torch.bfloat16) is not None, reason="no oneDNN products in bf16 here"
)
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
