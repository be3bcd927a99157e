"""Shared formulas against SciPy, scikit-learn's conventions and figures computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.special import logit as scipy_logit
from scipy.stats import binomtest

from multihot.core.numeric import frequency_logit, holm, logit, sigmoid, wilson_interval

P_VALUES = st.lists(st.none() | st.floats(0, 1), max_size=12)


def test_sigmoid_is_float32_by_default_and_never_overflows() -> None:
    logits = np.array([[-1e4, -np.inf, -90], [0, 1, 1e4]], dtype=np.float32)

    with np.errstate(all="raise"):
        scores = sigmoid(logits)

    assert scores.dtype == np.float32
    np.testing.assert_allclose(
        scores, [[0, 0, np.exp(-90.0)], [0.5, 1 / (1 + np.exp(-1.0)), 1]], rtol=1e-6
    )


def test_sigmoid_in_float64_is_that_of_scipy() -> None:
    logits = np.linspace(-700, 700, 1001)

    np.testing.assert_allclose(sigmoid(logits, np.float64), expit(logits), rtol=1e-14)


def test_logit_is_that_of_scipy_and_finite_at_both_ends() -> None:
    probabilities = np.linspace(0.001, 0.999, 999)

    np.testing.assert_allclose(logit(probabilities), scipy_logit(probabilities), rtol=1e-12)
    assert np.isfinite(logit(np.array([0.0, 1.0], dtype=np.float32))).all()


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (3, 9), (40, 40), (500, 1234)])
def test_wilson_interval_is_that_of_scipy(successes: int, trials: int) -> None:
    low, high = wilson_interval(successes, trials)

    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert low <= successes / trials <= high


def test_without_a_trial_there_is_no_wilson_interval() -> None:
    assert np.isnan(wilson_interval([0, 1], [0, 2])).tolist() == [[True, False]] * 2


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.04, 0.01, 0.03, 0.02], [0.06, 0.04, 0.06, 0.06]),
        ([0.01, 0.04, None, 0.03, 0.005], [0.03, 0.06, None, 0.06, 0.02]),
        ([0.6, 0.7], [1.0, 1.0]),
        ([None], [None]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values: list[float | None], expected: list[float | None]) -> None:
    assert holm(p_values) == pytest.approx(expected)


@given(P_VALUES)
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(
    p_values: list[float | None],
) -> None:
    pairs = [
        (value, corrected)
        for value, corrected in zip(p_values, holm(p_values), strict=True)
        if value is not None and corrected is not None
    ]

    assert len(pairs) == sum(value is not None for value in p_values)
    for value, corrected in pairs:
        assert value <= corrected <= min(1.0, len(pairs) * value)
    assert np.all(np.diff([corrected for _, corrected in sorted(pairs)]) >= 0)


def test_the_logit_of_a_frequency_is_finite_and_antisymmetric() -> None:
    positives, known = np.array([0, 3, 5, 8]), np.array([8, 8, 10, 8])

    found = frequency_logit(positives, known)

    np.testing.assert_allclose(found, np.log([0.5 / 8.5, 3.5 / 5.5, 1, 8.5 / 0.5]), rtol=1e-12)
    np.testing.assert_allclose(found, -frequency_logit(known - positives, known), atol=1e-12)
