"""Intervals of ratios: exact values, and intervals that agree with theory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from multihot.evaluation.bootstrap import Estimate, PoissonBootstrap


def _of(numerators: list[float], denominators: list[float], seed: int = 0) -> Estimate:
    bootstrap = PoissonBootstrap(1, np.random.default_rng(seed))
    bootstrap.update(np.array(numerators)[:, None], np.array(denominators)[:, None])
    return bootstrap.estimates()[0]


def test_the_value_is_the_ratio_of_the_sums() -> None:
    found = _of([1.0, 5.0], [2.0, 8.0])

    assert found.value == 0.6
    assert found.low is not None
    assert found.high is not None
    assert 0.5 <= found.low <= found.high <= 0.625


def test_the_interval_of_a_share_is_that_of_the_normal_law() -> None:
    hits = (np.random.default_rng(1).random(4000) < 0.3).astype(float).tolist()
    found = _of(hits, [1.0] * 4000)

    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    half = 1.96 * math.sqrt(found.value * (1 - found.value) / 4000)
    assert found.high - found.value == pytest.approx(half, rel=0.12)
    assert found.value - found.low == pytest.approx(half, rel=0.12)


def test_units_of_many_rows_widen_the_interval() -> None:
    generator = np.random.default_rng(2)
    rates = generator.random(50)
    hits = (generator.random((50, 40)) < rates[:, None]).astype(float)
    by_row = _of(hits.ravel().tolist(), [1.0] * 2000)
    by_document = _of(hits.sum(axis=1).tolist(), [40.0] * 50)

    assert by_row.value == by_document.value
    assert by_row.high is not None
    assert by_row.low is not None
    assert by_document.high is not None
    assert by_document.low is not None
    assert by_document.high - by_document.low > 2 * (by_row.high - by_row.low)


def test_units_may_come_in_any_number_of_pieces() -> None:
    numerators = np.random.default_rng(3).random((5000, 2))
    whole = PoissonBootstrap(2, np.random.default_rng(0))
    whole.update(numerators, np.ones((5000, 2)))
    pieces = PoissonBootstrap(2, np.random.default_rng(0))
    for part in np.split(numerators, [4096]):
        pieces.update(part, np.ones_like(part))

    for one, other in zip(whole.estimates(), pieces.estimates(), strict=True):
        assert [one.value, one.low, one.high] == pytest.approx([other.value, other.low, other.high])


def test_nothing_over_nothing_is_undefined() -> None:
    assert _of([0.0], [0.0]) == Estimate(None, None, None)


def test_the_same_generator_gives_the_same_interval() -> None:
    assert _of([1.0, 0.0, 1.0], [1.0] * 3, 5) == _of([1.0, 0.0, 1.0], [1.0] * 3, 5)
