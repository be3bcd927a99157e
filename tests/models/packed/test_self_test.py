"""The check lets nothing wrong through and leaves nothing behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.packable import PACKABLE, REFUSED, make_network, make_texts, run
from multihot.models.packed import encoder as packed
from multihot.models.packed.attention import packed_attention
from multihot.models.packed.encoder import ATTENTION
from multihot.models.packed.layout import Packing, lay_out
from multihot.models.packed.self_test import check_packed, enable_packed


def one_text(packing: Packing) -> Packing:
    num_tokens = int(packing.cu_seq_lens[-1])
    return lay_out(np.array([0, num_tokens]), torch.device("cpu"))


def contaminating(q: Tensor, k: Tensor, v: Tensor, packing: Packing, **kwargs: Any) -> Tensor:
    return packed_attention(q, k, v, one_text(packing), **kwargs)


def without_window(*args: Any, **kwargs: Any) -> Tensor:
    return packed_attention(*args, **{**kwargs, "window": None})


def without_gradient(q: Tensor, k: Tensor, v: Tensor, packing: Packing, **kwargs: Any) -> Tensor:
    return packed_attention(q, k.detach(), v, packing, **kwargs)


def unscaled(*args: Any, **kwargs: Any) -> Tensor:
    return packed_attention(*args, **{**kwargs, "scale": 1.0})


def failing(*args: Any, **kwargs: Any) -> Tensor:
    raise ValueError("no such thing")


def state_of(network: Any) -> tuple[Any, ...]:
    return (
        network.transformer.config._attn_implementation,
        network.training,
        [parameter.grad for parameter in network.parameters()],
        torch.get_rng_state().tolist(),
    )


@pytest.mark.parametrize("scale", [0.02, 0.3])
@pytest.mark.parametrize("family", PACKABLE)
def test_every_packable_family_passes_and_is_left_as_it_was(
    family: str, scale: float, tmp_path: Path
) -> None:
    network = make_network(family, tmp_path, "cls", initializer_range=scale).train()
    before = state_of(network)

    assert check_packed(network) is None
    assert state_of(network) == before
    assert enable_packed(network) is None
    assert state_of(network) == (ATTENTION, *before[1:])


@pytest.mark.parametrize(
    ("family", "broken", "reason"),
    [
        ("bert", contaminating, r"BertModel gives other vectors for packed texts after layer 1 \("),
        ("roberta", contaminating, r"RobertaModel gives other vectors .* after layer 1 \("),
        ("modernbert", without_window, r"ModernBertModel gives other vectors .* after layer"),
        ("electra", unscaled, "ElectraModel gives other vectors"),
        ("distilbert", without_gradient, "DistilBertModel gives other gradients .* first of"),
        ("bert", failing, "BertModel cannot run a packed row: ValueError: no such thing"),
    ],
)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_broken_attention_is_refused(
    family: str,
    broken: Any,
    reason: str,
    pooling: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = make_network(family, tmp_path, pooling).train()
    before = state_of(network)
    monkeypatch.setattr(packed, "packed_attention", broken)

    found = enable_packed(network)

    assert found is not None
    assert re.match(reason, found), found
    assert state_of(network) == before


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_contamination_is_seen_with_untrained_weights_of_the_usual_size(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network(family, tmp_path, "cls", initializer_range=0.02)
    monkeypatch.setattr(packed, "packed_attention", contaminating)

    assert "gives other vectors" in str(enable_packed(network))


def test_positions_that_run_on_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from multihot.models import network as network_module

    network = make_network("bert", tmp_path, "cls", max_position_embeddings=500)

    def running_on(encoder: Any, input_ids: Tensor, packing: Packing) -> dict[str, Any]:
        inputs = packed.encoder_inputs(encoder, input_ids, packing)
        return {**inputs, "position_ids": torch.arange(len(input_ids))[None]}

    monkeypatch.setattr(network_module, "encoder_inputs", running_on)

    assert "after the embeddings" in str(check_packed(network))


def test_an_attention_that_is_never_called_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network("mpnet", tmp_path, "cls")
    network.transformer._supports_attention_backend = True  # as a family that says so wrongly

    monkeypatch.setattr(packed, "set_attention", lambda encoder, name: None)
    reason = check_packed(network)

    assert reason is not None
    assert reason.startswith("MPNetModel ")


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("family", REFUSED)
def test_families_without_the_interface_are_refused_and_run_padded(
    family: str, pooling: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.modeling_utils import AttentionInterface

    network = make_network(family, tmp_path, pooling)
    texts = make_texts(network)
    before, logits = state_of(network), run(network, texts, packed=False)
    names = set(AttentionInterface())

    reason = enable_packed(network)

    assert reason is not None
    assert reason.endswith("Model does not take its attention from transformers' interface.")
    assert state_of(network) == before
    assert set(AttentionInterface()) == names
    assert torch.equal(run(network, texts, packed=False), logits)
    assert capfd.readouterr() == ("", "")


def test_the_context_of_half_precision_is_compared_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network("bert", tmp_path, "cls")

    def autocast() -> Any:
        return torch.autocast("cpu", dtype=torch.bfloat16)

    def wrong_in_half(q: Tensor, k: Tensor, v: Tensor, packing: Packing, **kwargs: Any) -> Tensor:
        broken = contaminating if q.dtype == torch.bfloat16 else packed_attention
        return broken(q, k, v, packing, **kwargs)

    assert check_packed(network, autocast=autocast) is None
    monkeypatch.setattr(packed, "packed_attention", wrong_in_half)
    assert check_packed(network) is None
    assert "in half precision" in str(check_packed(network, autocast=autocast))


def test_gradients_may_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_network("bert", tmp_path, "cls")
    monkeypatch.setattr(packed, "packed_attention", without_gradient)

    assert check_packed(network, gradients=False) is None
    assert "other gradients" in str(check_packed(network))
