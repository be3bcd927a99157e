"""Every loss against its formula in numpy, and what all of them owe to unknown cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from multihot.models import losses

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 4))
FINITE = st.floats(-30, 30, width=32)
HARD = st.sampled_from([0.0, 1.0, np.nan])
SOFT = st.one_of(st.floats(0, 1, width=32), st.just(np.nan))

Doubles = npt.NDArray[np.float64]

EVERY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": losses.binary_cross_entropy,
    "weighted": lambda z, y: losses.binary_cross_entropy(z, y, torch.arange(1.0, z.shape[1] + 1)),
    "focal": lambda z, y: losses.focal(z, y, 2.0),
    "asymmetric": lambda z, y: losses.asymmetric(z, y, 1.0, 4.0, 0.05),
    "zlpr": losses.zlpr,
    "distribution_balanced": lambda z, y: losses.distribution_balanced(
        z, y, torch.linspace(0.1, 0.6, z.shape[1])
    ),
    "correlation": losses.label_correlation,
    "consistency": lambda z, y: losses.consistency(z, z.flip(0) * 0.5, y),
}


def draw(rows: int = 5, labels: int = 3) -> tuple[Tensor, Tensor]:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(rows, labels)) * 3
    targets = generator.integers(0, 2, size=(rows, labels))
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(targets, dtype=torch.float32)


def logistic(z: Doubles) -> Doubles:
    return 1 / (1 + np.exp(-z))


def cells(z: Doubles, y: Doubles) -> Doubles:
    return y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)


def doubles(logits: Tensor, targets: Tensor) -> tuple[Doubles, Doubles]:
    return logits.double().numpy(), targets.double().numpy()


def test_without_unknowns_the_mean_is_that_of_torch() -> None:
    logits, targets = draw()

    total, weight = losses.weighted_sum(losses.binary_cross_entropy(logits, targets), targets)

    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    assert weight.item() == 15
    assert torch.allclose(expected * 15, total, rtol=1e-6)


@given(st.data())
def test_cross_entropy_is_the_sum_of_the_formula_over_known_cells(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    logits = data.draw(arrays(np.float32, shape, elements=FINITE))
    targets = data.draw(arrays(np.float32, shape, elements=SOFT))

    rows = losses.binary_cross_entropy(torch.tensor(logits), torch.tensor(targets))
    total, weight = losses.weighted_sum(rows, torch.tensor(targets))

    known = ~np.isnan(targets)
    expected = cells(logits[known].astype(np.float64), targets[known].astype(np.float64)).sum()
    assert weight.item() == known.sum()
    assert total.item() == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_a_positive_weight_multiplies_the_positive_part_alone() -> None:
    logits, targets = draw()
    weight = torch.tensor([1.0, 3.0, 0.5])

    found = losses.binary_cross_entropy(logits, targets, weight)

    z, y = doubles(logits, targets)
    expected = weight.numpy() * y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)
    assert np.allclose(expected.sum(axis=1), found.numpy(), rtol=1e-5)


@given(st.data())
def test_focal_is_its_formula_and_without_focus_the_cross_entropy(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    z = data.draw(arrays(np.float32, shape, elements=st.floats(-8, 8, width=32)))
    y = data.draw(arrays(np.float32, shape, elements=st.sampled_from([0.0, 1.0])))

    focused = losses.focal(torch.tensor(z), torch.tensor(y), 2.0)
    plain = losses.focal(torch.tensor(z), torch.tensor(y), 0.0)

    z64, y64 = z.astype(np.float64), y.astype(np.float64)
    p_true = np.where(y64 == 1, logistic(z64), 1 - logistic(z64))
    expected = ((1 - p_true) ** 2 * -np.log(p_true)).sum(axis=1)
    assert np.allclose(expected, focused.numpy(), rtol=1e-3, atol=1e-4)
    assert np.allclose(cells(z64, y64).sum(axis=1), plain.numpy(), rtol=1e-4, atol=1e-4)


def test_asymmetric_is_its_formula() -> None:
    logits, targets = draw(20, 4)

    found = losses.asymmetric(logits, targets, 1.0, 4.0, 0.05)

    z, y = doubles(logits, targets)
    p = logistic(z)
    q = np.maximum(p - 0.05, 0)
    expected = -(y * (1 - p) * np.log(p) + (1 - y) * q**4 * np.log(1 - q))
    assert np.allclose(expected.sum(axis=1), found.numpy(), rtol=1e-3, atol=1e-5)


def test_asymmetric_without_focus_and_margin_is_the_cross_entropy() -> None:
    logits, targets = draw()

    found = losses.asymmetric(logits * 20, targets, 0.0, 0.0, 0.0)

    expected = losses.binary_cross_entropy(logits * 20, targets)
    assert torch.allclose(expected, found, rtol=1e-5, atol=1e-6)


def test_a_negative_cell_below_the_margin_counts_nothing() -> None:
    logits = torch.tensor([[-4.0, 1.0]], requires_grad=True)

    losses.asymmetric(logits, torch.tensor([[0.0, 0.0]]), 0.0, 4.0, 0.05).sum().backward()

    assert logits.grad is not None
    assert logits.grad[0, 0].abs().item() < 1e-12
    assert logits.grad[0, 1].item() > 0


def test_zlpr_is_its_formula() -> None:
    logits, targets = draw(20, 4)
    targets[0], targets[1] = 0, 1

    found = losses.zlpr(logits, targets)

    z, y = doubles(logits, targets)
    expected = np.log1p((y * np.exp(-z)).sum(axis=1)) + np.log1p(((1 - y) * np.exp(z)).sum(axis=1))
    assert np.allclose(expected, found.numpy(), rtol=1e-5)


def test_soft_targets_of_zlpr_lie_between_the_hard_ones() -> None:
    logits, _ = draw(1, 3)
    values = [
        losses.zlpr(logits, torch.tensor([[share, 1.0, 0.0]])).item() for share in (0.0, 0.5, 1.0)
    ]

    z = logits.double().numpy()[0]
    half = np.log1p(0.5 * np.exp(-z[0]) + np.exp(-z[1])) + np.log1p(
        0.5 * np.exp(z[0]) + np.exp(z[2])
    )
    assert values[1] == pytest.approx(half, rel=1e-5)


def test_distribution_balanced_is_its_formula() -> None:
    logits, targets = draw(20, 3)
    targets[0] = 0
    share = np.array([0.05, 0.3, 0.6])

    found = losses.distribution_balanced(logits, targets, torch.tensor(share, dtype=torch.float32))

    z, y = doubles(logits, targets)
    by_row = (y / share).sum(axis=1, keepdims=True)
    weight = 0.1 + logistic(10 * np.clip(1 / share / np.maximum(by_row, 1e-6), 0, 50) - 3)
    x = z - 0.05 * np.log(1 / share - 1)
    expected = weight * (y * np.logaddexp(0, -x) + (1 - y) * np.logaddexp(0, 5 * x) / 5)
    assert np.allclose(expected.sum(axis=1), found.numpy(), rtol=1e-4)


def test_label_correlation_is_the_mean_over_all_pairs() -> None:
    logits, targets = draw(12, 4)
    targets[0], targets[1] = 0, 1

    found = losses.label_correlation(logits, targets)

    z, y = doubles(logits, targets)
    for row in range(12):
        p = logistic(z[row])
        pairs = [np.exp(a - b) for a in p[y[row] == 0] for b in p[y[row] == 1]]
        assert found[row].item() == pytest.approx(np.mean(pairs) if pairs else 0.0, rel=1e-5)


def test_consistency_is_the_symmetric_divergence_of_the_cells() -> None:
    first, targets = draw()
    second = first.flip(0) / 2

    found = losses.consistency(first, second, targets)

    p, q = (logistic(z.double().numpy()) for z in (first, second))
    forward = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    backward = q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))
    assert np.allclose((forward + backward).sum(axis=1) / 2, found.numpy(), rtol=1e-3)
    assert losses.consistency(first, first, targets).abs().max() == 0


@pytest.mark.parametrize("name", EVERY)
@given(data=st.data())
def test_unknown_cells_have_no_value_and_no_gradient(name: str, data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    logits = data.draw(arrays(np.float32, shape, elements=st.floats(-8, 8, width=32)))
    targets = torch.tensor(data.draw(arrays(np.float32, shape, elements=HARD)))
    unknown = torch.isnan(targets)
    inputs = torch.tensor(logits, requires_grad=True)

    rows = EVERY[name](inputs, targets)
    (gradient,) = torch.autograd.grad(rows.sum(), inputs, allow_unused=True)

    assert rows.shape == shape[:1]
    assert rows.dtype == torch.float32
    assert torch.isfinite(rows).all()
    if name != "consistency":  # whose second pass is made of other rows here
        moved = torch.where(unknown, torch.tensor(7.0), torch.tensor(logits))
        assert torch.equal(rows.detach(), EVERY[name](moved, targets))
        assert gradient is None or bool((gradient[unknown] == 0).all())


# Of the others the labels differ, or the rows are paired.
@pytest.mark.parametrize("name", [name for name in EVERY if name != "consistency"])
def test_known_rows_are_the_same_beside_a_row_with_an_unknown_cell(name: str) -> None:
    logits, targets = draw()
    beside = targets.clone()
    beside[0, 0] = torch.nan

    alone, together = (EVERY[name](logits, each) for each in (targets, beside))

    torch.testing.assert_close(alone[1:], together[1:])
    weights = [losses.weighted_sum(alone, each)[1].item() for each in (targets, beside)]
    assert weights == [15, 14]


@pytest.mark.parametrize("name", ["bce", "focal", "asymmetric", "zlpr", "correlation"])
def test_the_order_of_rows_and_labels_does_not_matter(name: str) -> None:
    logits, targets = draw(6, 4)
    targets[2, 1] = torch.nan
    rows, columns = [3, 0, 5, 1, 2, 4], [2, 0, 3, 1]

    found = EVERY[name](logits[rows][:, columns], targets[rows][:, columns])

    assert torch.allclose(EVERY[name](logits, targets)[rows], found, rtol=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_huge_logits_do_not_overflow(name: str) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4]], requires_grad=True)
    targets = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, torch.nan]])

    rows = EVERY[name](logits, targets)
    (gradient,) = torch.autograd.grad(rows.sum(), logits)

    assert torch.isfinite(rows).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", EVERY)
def test_the_loss_is_computed_in_float32(name: str) -> None:
    logits, targets = draw()
    half = logits.bfloat16()

    assert torch.equal(EVERY[name](half.float(), targets), EVERY[name](half, targets))


def test_a_row_without_known_cells_changes_nothing() -> None:
    logits, targets = draw()
    more = torch.cat([targets, torch.full((1, 3), torch.nan)])

    rows = losses.binary_cross_entropy(torch.cat([logits, torch.full((1, 3), 9.0)]), more)
    found = losses.weighted_sum(rows, more)

    expected = losses.weighted_sum(losses.binary_cross_entropy(logits, targets), targets)
    assert torch.allclose(torch.stack(expected), torch.stack(found), rtol=1e-6)


def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    logits, targets = draw()
    targets[0, 1] = torch.nan
    rows = losses.binary_cross_entropy(logits, targets)
    weights = torch.tensor([2.0, 1.0, 0.0, 1.0, 1.0])
    repeated = [0, 0, 1, 3, 4]

    found = losses.weighted_sum(rows, targets, weights)

    expected = losses.weighted_sum(rows[repeated], targets[repeated])
    assert torch.allclose(torch.stack(expected), torch.stack(found))


def test_smoothing_moves_targets_towards_a_half_and_leaves_unknowns() -> None:
    found = losses.smooth_targets(torch.tensor([0.0, 1.0, 0.5, torch.nan]), 0.2)

    assert torch.allclose(torch.tensor([0.1, 0.9, 0.5]), found[:3])
    assert torch.isnan(found[3])
