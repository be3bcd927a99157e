"""The losses of pretraining against torch's own, and how a step in parts adds up."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from multihot.models.pretraining import loss as pretraining_loss
from multihot.models.pretraining.loss import (
    LossParts,
    next_sentence_loss,
    step_loss,
    vocabulary_loss,
)


def _layer(rows: int = 40, vocabulary: int = 50, width: int = 8) -> tuple[Tensor, ...]:
    hidden = torch.randn(rows, width, requires_grad=True)
    weight = torch.randn(vocabulary, width, requires_grad=True)
    bias = torch.randn(vocabulary, requires_grad=True)
    return hidden, weight, bias, torch.randint(0, vocabulary, (rows,))


def _expected(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight, bias).float(), labels, reduction="sum")


@pytest.mark.parametrize("rows_at_once", [1, 7, 40, 1000])
def test_value_and_gradients_are_those_of_cross_entropy(
    rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretraining_loss, "_CPU_VALUES", rows_at_once * 50)
    hidden, weight, bias, labels = _layer()
    inputs = (hidden, weight, bias)

    found = vocabulary_loss(*inputs, labels)
    expected = _expected(*inputs, labels)

    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, rtol=1e-6)
    # The sum is divided and added to something later, so its gradient is not 1.
    for one, other in zip(
        torch.autograd.grad(found * 0.3, inputs),
        torch.autograd.grad(expected * 0.3, inputs),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_layer_without_bias_has_the_same_loss() -> None:
    hidden, weight, _, labels = _layer()

    found = vocabulary_loss(hidden, weight, None, labels)
    expected = _expected(hidden, weight, None, labels)

    assert torch.allclose(found, expected, rtol=1e-6)
    for one, other in zip(
        torch.autograd.grad(found, (hidden, weight)),
        torch.autograd.grad(expected, (hidden, weight)),
        strict=True,
    ):
        assert torch.allclose(one, other, atol=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    hidden, weight, bias, labels = _layer(rows=6, vocabulary=5, width=3)
    step = 1e-3

    (gradient,) = torch.autograd.grad(vocabulary_loss(hidden, weight, bias, labels), bias)
    for place in range(5):
        nudge = torch.zeros(5).index_fill_(0, torch.tensor([place]), step)
        with torch.no_grad():
            above = vocabulary_loss(hidden, weight, bias + nudge, labels)
            below = vocabulary_loss(hidden, weight, bias - nudge, labels)
        assert abs((above - below).item() / (2 * step) - gradient[place].item()) < 0.02


def test_in_half_precision_only_the_products_are_rounded() -> None:
    hidden, weight, bias, labels = _layer(rows=200)
    inputs = (hidden, weight, bias)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = vocabulary_loss(*inputs, labels)
        logits = F.linear(*inputs)
    expected = F.cross_entropy(logits.float(), labels, reduction="sum")

    assert logits.dtype == torch.bfloat16
    assert found.dtype == torch.float32
    assert torch.allclose(found, expected, rtol=1e-6)
    exact = torch.autograd.grad(_expected(*inputs, labels), inputs)
    for one, other in zip(torch.autograd.grad(found, inputs), exact, strict=True):
        assert one.dtype == torch.float32
        assert F.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.999


def test_large_logits_stay_finite() -> None:
    hidden, weight, bias, labels = _layer()

    loss = vocabulary_loss(hidden * 1e4, weight, bias, labels)

    assert torch.isfinite(loss)
    assert torch.isfinite(torch.autograd.grad(loss, weight)[0]).all()


def test_nothing_masked_costs_nothing() -> None:
    hidden, weight, bias, labels = _layer(rows=0)

    loss = vocabulary_loss(hidden, weight, bias, labels)
    (gradient,) = torch.autograd.grad(loss, weight)

    assert loss.item() == 0
    assert not gradient.any()


def test_without_gradients_only_the_value_is_computed() -> None:
    hidden, weight, bias, labels = _layer()

    with torch.inference_mode():
        found = vocabulary_loss(hidden, weight, bias, labels)

    assert torch.allclose(found, _expected(hidden, weight, bias, labels), rtol=1e-6)


def test_class_zero_means_that_the_second_text_follows() -> None:
    sure_of_next = torch.tensor([[9.0, -9.0]], dtype=torch.bfloat16)

    assert next_sentence_loss(sure_of_next, torch.tensor([0])).item() < 1e-6
    assert next_sentence_loss(sure_of_next, torch.tensor([1])).item() == pytest.approx(18)


@given(
    counts=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), min_size=1, max_size=6),
    seed=st.integers(0, 2**20),
    with_pairs=st.booleans(),
)
def test_a_step_in_parts_is_the_step_as_a_whole(
    counts: list[tuple[int, int]], seed: int, with_pairs: bool
) -> None:
    draw = torch.Generator().manual_seed(seed)
    masked, pairs = (sum(column) for column in zip(*counts, strict=True))
    parts = [
        LossParts(
            torch.rand((), generator=draw) * num_masked,
            num_masked,
            torch.rand((), generator=draw) * num_pairs if with_pairs else None,
            num_pairs,
        )
        for num_masked, num_pairs in counts
    ]

    losses = [step_loss(part, masked_in_step=masked, pairs_in_step=pairs) for part in parts]
    total = sum(loss for loss, _ in losses)
    weight = sum(share for _, share in losses)

    expected = sum(part.mlm for part in parts) / max(1, masked)
    expected += sum(part.nsp for part in parts if part.nsp is not None) / pairs
    assert float(weight) == pytest.approx(1.0)
    assert float(total / weight) == pytest.approx(float(expected), abs=1e-5)
