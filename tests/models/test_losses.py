"""Masked binary cross-entropy, against torch, numpy and its own definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from multihot.models.losses import masked_binary_cross_entropy

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 4))


def draw(rows: int = 5, labels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(rows, labels)) * 3
    targets = generator.integers(0, 2, size=(rows, labels))
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(targets, dtype=torch.float32)


def test_without_unknowns_the_mean_is_that_of_torch() -> None:
    logits, targets = draw()

    total, weight = masked_binary_cross_entropy(logits, targets)

    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    assert weight.item() == 15
    assert torch.equal(expected * 15, total) or torch.allclose(expected * 15, total, rtol=1e-6)


@given(st.data())
def test_the_sum_is_that_of_the_formula_over_known_cells(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    finite = st.floats(-30, 30, width=32)
    logits = data.draw(arrays(np.float32, shape, elements=finite))
    targets = data.draw(arrays(np.float32, shape, elements=st.sampled_from([0.0, 1.0, np.nan])))

    total, weight = masked_binary_cross_entropy(torch.tensor(logits), torch.tensor(targets))

    known = ~np.isnan(targets)
    z, y = logits[known].astype(np.float64), targets[known]
    # -log s(z) = log(1 + exp(-z)) and -log(1 - s(z)) = log(1 + exp(z))
    expected = np.sum(y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z))
    assert weight.item() == known.sum()
    assert total.item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_an_unknown_cell_has_no_gradient() -> None:
    logits, targets = draw()
    targets[1, 2] = targets[4, 0] = torch.nan
    logits.requires_grad_()

    total, _ = masked_binary_cross_entropy(logits, targets)
    (gradient,) = torch.autograd.grad(total, logits)

    known = ~torch.isnan(targets)
    assert torch.equal(gradient == 0, ~known)
    assert torch.allclose(gradient[known], (torch.sigmoid(logits) - targets)[known])


def test_a_row_without_known_cells_changes_nothing() -> None:
    logits, targets = draw()
    more = torch.cat([targets, torch.full((1, 3), torch.nan)])

    found = masked_binary_cross_entropy(torch.cat([logits, torch.full((1, 3), 9.0)]), more)

    expected = masked_binary_cross_entropy(logits, targets)
    assert torch.allclose(torch.stack(expected), torch.stack(found), rtol=1e-6)


def test_nothing_known_is_a_sum_and_a_weight_of_zero() -> None:
    total, weight = masked_binary_cross_entropy(torch.ones(2, 3), torch.full((2, 3), torch.nan))

    assert (total.item(), weight.item()) == (0.0, 0.0)


def test_the_loss_is_computed_in_float32() -> None:
    logits, targets = draw()
    half = logits.bfloat16()

    total, weight = masked_binary_cross_entropy(half, targets)

    assert total.dtype == weight.dtype == torch.float32
    assert torch.equal(total, masked_binary_cross_entropy(half.float(), targets)[0])


def test_huge_logits_neither_overflow_nor_saturate() -> None:
    logits = torch.tensor([[1e4, -1e4]])

    right, _ = masked_binary_cross_entropy(logits, torch.tensor([[1.0, 0.0]]))
    wrong, _ = masked_binary_cross_entropy(logits, torch.tensor([[0.0, 1.0]]))

    assert (right.item(), wrong.item()) == (0.0, 2e4)
