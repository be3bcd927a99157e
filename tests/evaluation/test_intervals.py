"""Intervals of figures against theory and the ordinary bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest

from multihot.evaluation.bootstrap import ReplicateSums, poisson_counts
from multihot.evaluation.intervals import (
    corrected_interval,
    logit_interval,
    mean_of_labels_interval,
    percentile_interval,
)
from multihot.evaluation.row_statistics import (
    METRICS_OF_SUMS,
    SummedMetrics,
    metrics_of_sums,
    num_statistics,
    row_statistics,
)


def test_a_metric_that_never_varies_has_the_interval_of_a_share() -> None:
    low, high = corrected_interval(np.ones(101), 24) or (0, 0)

    assert (low, high) == pytest.approx((24 / (24 + 1.959964**2), 1.0))
    zero = corrected_interval(np.zeros(101), 24)
    assert zero == pytest.approx((0.0, 1 - low))


@pytest.mark.parametrize("values", [np.full(11, np.nan), np.array([0.5]), np.array([0.5, np.nan])])
def test_what_is_undefined_has_no_interval(values: np.ndarray) -> None:
    assert corrected_interval(values, 10) is percentile_interval(values) is None


def test_correction_moves_towards_the_side_where_the_replicates_are_missing() -> None:
    drawn = np.random.default_rng(0).normal(0.5, 0.05, 4000)
    biased = np.concatenate([[0.52], drawn])  # replicates lie below the figure
    low, high = corrected_interval(biased, 100) or (0, 0)
    plain = percentile_interval(biased) or (0, 0)

    assert low > plain[0]
    assert high > plain[1]
    assert percentile_interval(biased) == pytest.approx((0.402, 0.598), abs=0.005)


def test_logit_intervals_stay_between_zero_and_one() -> None:
    low, high = logit_interval(0.98, 0.02, 50)

    assert 0.8 < low < 0.98 < high < 1
    assert logit_interval(0.5, 0.01, 50) == pytest.approx((0.4804, 0.5196), abs=1e-4)
    assert logit_interval(1.0, 0.0, 24)[0] == pytest.approx(0.862, abs=1e-3)


def test_logit_intervals_are_made_around_the_value_less_its_bias() -> None:
    low, high = logit_interval(0.5, 0.01, 50, bias=0.01)

    plain = logit_interval(0.49, math.hypot(0.01, 0.005), 50)
    assert (low, high) == pytest.approx(plain)
    assert logit_interval(0.5, 0.01, 50, bias=-0.01) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("value", [0.001, 0.3, 0.999])
@pytest.mark.parametrize("bias", [-0.9, -0.1, 0.1, 0.9])
def test_logit_intervals_contain_the_value_whatever_its_bias(value: float, bias: float) -> None:
    low, high = logit_interval(value, 0.001, 50, bias)

    assert 0 <= low <= value <= high <= 1
    assert low < high


def test_intervals_are_those_of_the_ordinary_bootstrap() -> None:
    generator = np.random.default_rng(0)
    truth = (generator.random((400, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(np.float32)
    truth[generator.random(truth.shape) < 0.1] = np.nan
    scores = np.clip(0.3 * np.nan_to_num(truth) + 0.7 * generator.random(truth.shape), 0, 1)
    rows = row_statistics(truth, scores > 0.5, scores.astype(np.float32))
    sums = ReplicateSums(num_statistics(4), 1000, poisson_counts(0))
    sums.update(rows)
    plain = rows[generator.integers(0, 400, (2000, 400))].sum(axis=1)
    drawn = metrics_of_sums(np.concatenate([rows.sum(axis=0)[None], plain]))

    found = metrics_of_sums(sums.result())

    assert list(found) == list(METRICS_OF_SUMS)
    for name, values in found.items():
        expected = corrected_interval(drawn[name], 400)
        assert expected is not None
        width = expected[1] - expected[0]
        assert corrected_interval(values, 400) == pytest.approx(expected, abs=0.12 * width), name


def test_the_interval_of_a_mean_over_many_rare_labels_contains_it_and_mostly_the_truth() -> None:
    num_labels, num_rows = 300, 3000
    generator = np.random.default_rng(0)
    prior = 0.003 * np.exp(generator.normal(0, 1, num_labels))
    recall, extra = generator.beta(1, 1, num_labels), prior / 2
    right, missed = prior * recall, prior * (1 - recall)
    truth_f1 = float((2 * right / (2 * right + missed + (1 - prior) * extra)).mean())
    covered = 0
    for seed in range(10):
        drawn = np.random.default_rng(seed)
        truth = drawn.random((num_rows, num_labels)) < prior
        decided = drawn.random(truth.shape) < np.where(truth, recall, extra)
        sums = SummedMetrics(num_labels, 200, seed)
        sums.update(truth.astype(np.float32), decided, np.full(truth.shape, 0.5, np.float32))
        value, (low, high) = sums.metrics()["macro_f1"], sums.intervals()["macro_f1"]
        assert value is not None
        assert low <= value <= high
        covered += low <= truth_f1 <= high

    assert covered >= 8  # 3 of 10 by quantiles of the replicates


def test_a_mean_over_labels_without_bias_has_the_interval_of_its_replicates() -> None:
    drawn = np.random.default_rng(0).normal(0.5, 0.05, 4000)
    values = np.concatenate([[0.505], drawn])

    assert mean_of_labels_interval(values, 100) == corrected_interval(values, 100)


def test_every_interval_reaches_as_far_as_its_value() -> None:
    drawn = np.random.default_rng(0).normal(0.5, 0.05, 400)

    low, high = corrected_interval(np.concatenate([[0.9], drawn]), 100) or (0, 0)

    assert low < high == 0.9
