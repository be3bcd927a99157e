"""Attention within each text of a packed row, against the formula."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from multihot.models.packed import attention as packed_attention_module
from multihot.models.packed.attention import attention_failure, packed_attention
from multihot.models.packed.layout import Packing, lay_out


def layout(*lengths: int) -> Packing:
    return lay_out(np.cumsum([0, *lengths]), torch.device("cpu"))


def reference(
    query: Tensor,
    ends: Tensor,
    window: int | None,
    scale: float | None,
    key: Tensor | None = None,
    value: Tensor | None = None,
    kept: Callable[[int], Tensor] | None = None,
) -> Tensor:
    """Attend text by text with a plain softmax. *Shapes:* (T, H, D) -> (T, H, D).

    `kept` gives the factors that dropout puts on the weights of each text, (H, S, S).
    """
    key, value = query if key is None else key, query if value is None else value
    pieces = []
    for number, (start, end) in enumerate(pairwise(ends.tolist())):
        q, k, v = (rows[start:end].transpose(0, 1) for rows in (query, key, value))
        scores = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
        places = torch.arange(end - start)
        if window is not None:
            far = (places[:, None] - places[None, :]).abs() > window
            scores = scores.masked_fill(far, -torch.inf)
        weights = scores.softmax(dim=-1)
        weights = weights if kept is None else weights * kept(number)
        pieces.append((weights @ v).transpose(0, 1))
    return torch.cat(pieces)


@pytest.mark.parametrize("window", [None, 0, 3, 100])
@pytest.mark.parametrize("lengths", [(4, 9, 1), (6, 6)])
@pytest.mark.parametrize("scale", [None, 0.7])
def test_attention_is_the_plain_softmax_text_by_text(
    lengths: tuple[int, ...], window: int | None, scale: float | None
) -> None:
    packing = layout(*lengths)
    rows = torch.randn(sum(lengths), 2, 4)

    found = packed_attention(rows, rows, rows, packing, window=window, scale=scale)

    expected = reference(rows, packing.cu_seq_lens, window, scale)
    assert torch.allclose(found, expected, atol=1e-6)
    again = packed_attention(rows, rows, rows, packing, window=window, scale=scale)
    assert torch.equal(found, again)  # the window's mask is kept for the next layer


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("scale", [None, 0.7])
@pytest.mark.parametrize("lengths", [(4, 9, 1), (6, 6, 6, 40)])
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_values_and_gradients_are_those_of_the_formula(
    lengths: tuple[int, ...],
    window: int | None,
    scale: float | None,
    dropout: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packing, drawn = layout(*lengths), []
    heads = [torch.randn(sum(lengths), 2, 4, requires_grad=True) for _ in range(3)]
    row = [packing.fill_up(rows) for rows in heads]

    def draw(weights: Tensor, probability: float) -> Tensor:
        assert probability == dropout
        drawn.append((torch.rand(weights.shape) >= probability).to(weights.dtype))
        return drawn[-1]

    assert attention_failure(torch.float32) is None  # before the masks are replaced
    monkeypatch.setattr(packed_attention_module, "keep_mask", draw)
    found = packed_attention(*row, packing, window=window, dropout=dropout, scale=scale)
    found = found[: sum(lengths)]

    factors: dict[int, Tensor] = {}
    for (group, slots), mask in zip(packing.group_slots(), drawn, strict=False):
        by_text = mask.unflatten(0, (group.num_texts, 2))
        for place in range(group.num_texts):
            token = int(packing.tokens[slots][place * group.longest])
            number = int((packing.attention_ends <= token).sum()) - 1
            length = lengths[number] if number < len(lengths) else 0
            factors[number] = by_text[place, :, :length, :length] / (1 - dropout)
    kept = factors.__getitem__ if dropout else None
    expected = reference(heads[0], packing.cu_seq_lens, window, scale, *heads[1:], kept)

    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    weights = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad((found * weights).sum(), heads),
        torch.autograd.grad((expected * weights).sum(), heads),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_large_groups_are_multiplied_in_the_precision_they_come_in() -> None:
    lengths = (450, 20, 430)
    packing = layout(*lengths)
    heads = torch.randn(sum(lengths), 2, 8, requires_grad=True)
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        row = packing.fill_up(heads.to(dtype))
        found = packed_attention(row, row, row, packing)[: sum(lengths)]
        assert found.dtype == dtype
        results.append((found.float(), *torch.autograd.grad(found.float().square().sum(), heads)))

    for expected, found in zip(*results, strict=True):
        assert (found - expected).abs().max() < 0.05 * expected.abs().max()


@pytest.mark.parametrize("window", [None, 3])
def test_flash_attention_is_given_what_its_signature_asks_for(
    window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check what is handed to torch where no GPU is at hand: types, lengths, window and scale.

    The stand-in has the signature of torch's function and computes the formula; whether torch's own
    agrees is the test below, on a GPU.
    """
    from torch.nn.attention import varlen

    def varlen_attn(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        cu_seq_q: Tensor,
        cu_seq_k: Tensor,
        max_q: int,
        max_k: int,
        *,
        scale: float | None,
        window_size: tuple[int, int],
    ) -> Tensor:
        assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
        assert (max_q, max_k) == (9, 9)
        assert window_size[0] == window_size[1]
        return reference(query, cu_seq_q, None if window_size[0] < 0 else window_size[0], scale)

    monkeypatch.setattr(varlen, "varlen_attn", varlen_attn)
    packing, rows = layout(4, 9, 1), torch.randn(14, 2, 8)
    gathered = packed_attention(rows, rows, rows, packing, window=window, scale=0.5)
    monkeypatch.setattr(packed_attention_module, "_flash_attends", lambda query: True)
    flash = packed_attention(rows, rows, rows, packing, window=window, scale=0.5)
    dropped = packed_attention(rows, rows, rows, packing, window=window, dropout=0.5)

    assert torch.allclose(flash, gathered, atol=1e-6)
    assert not torch.allclose(dropped, gathered, atol=1e-3)  # taken by the way that can drop


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("window", [None, 3])
def test_flash_attention_on_a_gpu_is_the_gathered_one(window: int | None) -> None:
    device = torch.device("cuda")
    packing = lay_out(np.cumsum([0, 4, 90, 1]), device)
    rows = torch.randn(95, 2, 32, device=device, requires_grad=True)
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        heads = rows.to(dtype)
        found = packed_attention(heads, heads, heads, packing, window=window).float()
        results.append((found, *torch.autograd.grad(found.square().sum(), rows)))

    for expected, found in zip(*results, strict=True):
        assert (found - expected).abs().max() < 0.05 * expected.abs().max()
