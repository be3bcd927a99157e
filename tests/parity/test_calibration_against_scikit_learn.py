"""Calibrators beside scikit-learn's logistic and isotonic regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from multihot.decision.calibrators import (
    apply_beta,
    fit_beta,
    fit_platt,
    fit_slope,
    isotonic_blocks,
    logistic_regression,
    targets,
)

pytestmark = pytest.mark.parity
Array = npt.NDArray[Any]


def case(seed: int) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    positive = generator.random(400) < 0.2
    return generator.normal(size=400) * 1.5 - 2 + 2.5 * positive, positive


def oracle(features: Array, target: Array, *, intercept: bool) -> Array:
    """Soft targets as two weighted rows each."""
    model = LogisticRegression(C=np.inf, fit_intercept=intercept, tol=1e-10, max_iter=10_000)
    rows = np.concatenate([features, features])
    kinds = np.repeat([1, 0], len(features))
    model.fit(rows, kinds, sample_weight=np.concatenate([target, 1 - target]))
    return np.append(model.coef_[0], model.intercept_ if intercept else [])


@pytest.mark.parametrize("seed", range(4))
def test_logistic_maps_are_those_of_unpenalised_logistic_regression(seed: int) -> None:
    logits, positive = case(seed)
    target = targets(positive)

    slope = oracle(logits[:, None], target, intercept=False)
    platt = oracle(logits[:, None], target, intercept=True)
    beta = oracle(
        np.stack([-np.logaddexp(0, -logits), np.logaddexp(0, logits)], 1), target, intercept=True
    )

    assert fit_slope(logits, positive) == pytest.approx(slope[0], rel=1e-4)
    assert fit_platt(logits, positive) == pytest.approx(platt, rel=1e-3)
    if (beta[:2] > 0).all():
        assert fit_beta(logits, positive) == pytest.approx(beta, rel=1e-2, abs=1e-3)


def test_plain_targets_give_plain_logistic_regression() -> None:
    logits, positive = case(9)
    features = np.stack([logits, np.ones(400)], 1)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(logits[:, None], positive)

    found = logistic_regression(features, positive.astype(np.float64))

    assert found == pytest.approx([model.coef_[0, 0], model.intercept_[0]], rel=1e-4)


@pytest.mark.parametrize("decimals", [0, 1, 6])
@pytest.mark.parametrize("seed", range(3))
def test_blocks_are_those_of_isotonic_regression(seed: int, decimals: int) -> None:
    logits, positive = case(seed)
    logits = np.round(logits, decimals)

    _, shares, sizes = isotonic_blocks(logits, positive)

    expected = IsotonicRegression().fit_transform(logits, positive.astype(np.float64))
    np.testing.assert_allclose(np.repeat(shares, sizes), np.sort(expected), atol=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_beta_is_never_worse_than_platt_which_is_one_of_its_maps(seed: int) -> None:
    """With truths that bend the other way the best map has a negative part, so one part is left out."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 2, 500)
    bent = 2 * np.logaddexp(0, logits if seed % 2 else -logits) * (1 if seed % 2 else -1)
    chance = 1 / (1 + np.exp(-(bent + (-3 if seed % 2 else 3))))
    positive = generator.random(500) < chance
    target = targets(positive)

    beta, platt = fit_beta(logits, positive), fit_platt(logits, positive)

    assert beta is not None
    assert platt is not None
    platt_loss = loss(platt[0] * logits + platt[1], target)
    assert loss(apply_beta(logits, *beta), target) <= platt_loss + 1e-6


def loss(values: Array, target: Array) -> float:
    return float((np.logaddexp(0, values) - target * values).sum())
