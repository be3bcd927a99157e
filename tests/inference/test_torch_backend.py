"""The torch backend answers in the order of the texts, packed or padded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from models.packable import make_network, make_texts
from multihot.data.tokens import TokenizedTexts
from multihot.inference.torch_backend import TorchBackend
from multihot.models.devices import choose_precision


def backend(network: Any, packed: bool | None, *, frozen: bool = False) -> TorchBackend:
    device = torch.device("cpu")
    precision = choose_precision("fp32", device)
    return TorchBackend(network, 3, device, precision, packed=packed, frozen=frozen)


def alone(network: Any, texts: TokenizedTexts) -> npt.NDArray[np.float32]:
    found = []
    for start, end in zip(texts.offsets[:-1], texts.offsets[1:], strict=True):
        ids = torch.from_numpy(texts.ids[start:end].astype(np.int64))[None]
        with torch.inference_mode():
            found.append(network(ids, torch.ones_like(ids))[0].numpy())
    return np.array(found)


@pytest.mark.parametrize("packed", [None, False])
@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "mpnet"])
def test_many_texts_are_answered_like_each_of_them_alone(
    family: str, packed: bool | None, tmp_path: Path
) -> None:
    network = make_network(family, tmp_path, "cls").train()
    lengths = np.random.default_rng(0).integers(1, 60, 300).tolist()
    texts = make_texts(network, lengths)
    answering = backend(network, packed)

    found = answering.logits(texts)

    assert network.training
    assert answering.packed is (False if packed is False else family != "mpnet")
    assert np.abs(found - alone(network.eval(), texts)).max() < 1e-5


def test_a_few_texts_are_not_worth_a_check(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "mean")
    answering = backend(network, None)

    answering.logits(make_texts(network, [3, 4]))
    assert answering.packed is None
    answering.logits(make_texts(network, [3, 4] * 32))
    assert answering.packed is True
    answering.logits(make_texts(network, [3, 4]))
    assert answering.packed is True


def test_texts_without_tokens_are_answered(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "mean")
    answering = backend(network, None)

    found = answering.logits(make_texts(network, [3, 0] * 40))

    assert answering.packed is True
    assert np.isfinite(found).all()
    assert np.allclose(found[0::2][:1], answering.logits(make_texts(network, [3])), atol=1e-6)


def test_weights_that_can_still_change_are_read_in_every_call(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "mean")
    answering = backend(network, None)
    texts = make_texts(network, [30] * 64)
    before = answering.logits(texts)

    with torch.no_grad():
        for parameter in network.transformer.encoder.parameters():
            parameter.mul_(1.5)

    assert np.abs(answering.logits(texts) - before).max() > 1e-3
    assert np.abs(answering.logits(texts) - alone(network.eval(), texts)).max() < 1e-5


def test_final_weights_answer_like_those_that_can_change(tmp_path: Path) -> None:
    network = make_network("bert", tmp_path, "mean")
    texts = make_texts(network, np.random.default_rng(1).integers(1, 60, 100).tolist())
    expected = backend(network, None).logits(texts)

    answering = backend(network, None, frozen=True)

    assert np.abs(answering.logits(texts) - expected).max() < 1e-5
