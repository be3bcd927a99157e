"""The last layer works for the tokens that are read alone, and says the same about them."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.packable import LENGTHS, make_network, make_texts, run
from multihot.models.packed.encoder import encoder_inputs, read_vectors
from multihot.models.packed.layout import Packing, lay_out
from multihot.models.packed.self_test import enable_packed

NARROWED = ("bert", "roberta", "xlm-roberta", "electra")
OTHERS = ("distilbert", "modernbert")


def rows_through(module: Any, call: Any) -> int:
    """Return how many rows went through a linear layer during a call."""
    seen: list[int] = []

    def note(_: Any, args: Any) -> None:
        seen.append(args[0].numel() // args[0].shape[-1])

    handle = module.register_forward_pre_hook(note)
    call()
    handle.remove()
    return sum(seen)


@pytest.mark.parametrize("family", NARROWED)
def test_only_first_tokens_pass_the_last_block_under_a_head_on_cls(
    family: str, tmp_path: Path
) -> None:
    network = make_network(family, tmp_path, "cls")
    texts = make_texts(network)
    assert enable_packed(network) is None
    layers = network.transformer.encoder.layer

    def rows_of(number: int, *, packed: bool) -> int:
        dense = layers[number].intermediate.dense
        return rows_through(dense, lambda: run(network, texts, packed=packed))

    assert rows_of(-1, packed=True) == len(LENGTHS)
    assert rows_of(0, packed=True) >= sum(LENGTHS)
    assert rows_of(-1, packed=False) == len(LENGTHS) * max(LENGTHS)
    difference = run(network, texts, packed=True) - run(network, texts, packed=False)
    assert difference.abs().max() < 1e-5


def test_a_mean_over_all_tokens_needs_all_of_them(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "mean")
    assert enable_packed(network) is None
    dense = network.transformer.encoder.layer[-1].intermediate.dense
    texts = make_texts(network)

    assert rows_through(dense, lambda: run(network, texts, packed=True)) >= sum(LENGTHS)


@pytest.mark.parametrize("family", [*NARROWED, *OTHERS])
def test_vectors_that_are_read_are_those_of_the_whole_row(family: str, tmp_path: Path) -> None:
    network = make_network(family, tmp_path, "cls")
    assert enable_packed(network) is None
    encoder = network.transformer
    texts = make_texts(network)
    ids = torch.from_numpy(texts.ids.astype(np.int64))
    packing = lay_out(texts.offsets, torch.device("cpu"))
    read = torch.tensor([7, 3, 3, 100])

    def vectors(layout: Packing) -> torch.Tensor:
        # Not by calling the encoder: the hook that serves the head would take the first tokens.
        output = type(encoder).forward(encoder, **encoder_inputs(encoder, ids, layout))
        hidden: torch.Tensor = output.last_hidden_state[0]
        return hidden

    whole = vectors(packing)
    found = read_vectors(encoder, vectors(replace(packing, read=read)), read)

    torch.testing.assert_close(found, whole[read], atol=1e-5, rtol=1e-5)


def test_a_copy_computes_with_its_own_weights(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "cls")
    assert enable_packed(network) is None
    texts = make_texts(network)
    before = run(network, texts, packed=True)
    other = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in other.transformer.encoder.layer[-1].attention.parameters():
            parameter.zero_()

    assert not torch.allclose(run(other, texts, packed=True), before)
    torch.testing.assert_close(run(network, texts, packed=True), before)
