"""Standard errors of areas: against derivatives by hand, and the ordinary bootstrap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from multihot.decision.binned_cells import BinnedCells
from multihot.decision.ranking import Ranking
from multihot.decision.ranking_intervals import influences, standard_errors
from multihot.decision.sorted_cells import packed_cells

Array = npt.NDArray[np.float32]


def rows(num_rows: int, seed: int = 0, *, unknown: float = 0.0) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_rows, 3)) < [0.5, 0.3, 0.2]).astype(np.float32)
    scores = np.clip(generator.random((num_rows, 1)) * 0.3 + 0.2 * truth, 0, 1)
    scores = (scores + 0.4 * generator.random(truth.shape)).astype(np.float32)
    truth[generator.random(truth.shape) < unknown] = np.nan
    return truth, scores


def influences_of(truth: Array, scores: Array) -> npt.NDArray[np.float64]:
    bins = BinnedCells(truth.shape[1])
    bins.update(truth, scores)
    return np.concatenate(list(influences(packed_cells(truth, scores).T, bins)))


def areas(truth: Array, scores: Array, weights: npt.NDArray[np.float64]) -> list[float]:
    cells = np.repeat(weights[:, None], truth.shape[1], axis=1)
    known = ~np.isnan(truth)
    columns = [
        (truth[known[:, n], n], scores[known[:, n], n], weights[known[:, n]])
        for n in range(truth.shape[1])
    ]
    return [
        float(np.mean([average_precision_score(t, s, sample_weight=w) for t, s, w in columns])),
        float(roc_auc_score(truth[known], scores[known], sample_weight=cells[known])),
        float(np.mean([roc_auc_score(t, s, sample_weight=w) for t, s, w in columns])),
    ]


@pytest.mark.parametrize("unknown", [0.0, 0.2])
def test_influences_are_derivatives_by_the_weight_of_a_row(unknown: float) -> None:
    truth, scores = rows(60, unknown=unknown)
    scores = np.round(scores, 1)  # many ties, each score alone in its bin
    found = influences_of(truth, scores)
    for row in range(0, 60, 7):
        weights, step = np.ones(60), 1e-4
        weights[row] += step
        less = np.ones(60)
        less[row] -= step
        more = np.array(areas(truth, scores, weights)) - areas(truth, scores, less)
        assert found[row] == pytest.approx(more / (2 * step), abs=1e-5)


def test_influences_sum_to_nothing() -> None:
    truth, scores = rows(500, unknown=0.1)

    assert influences_of(truth, scores).sum(axis=0) == pytest.approx([0, 0, 0], abs=1e-5)


def test_standard_errors_are_those_of_the_ordinary_bootstrap() -> None:
    truth, scores = rows(300)
    generator = np.random.default_rng(1)
    drawn = []
    for _ in range(150):
        chosen = generator.integers(0, 300, 300)
        drawn.append(areas(truth[chosen], scores[chosen], np.ones(300)))

    found = standard_errors(iter([influences_of(truth, scores)]), 300)

    assert found == pytest.approx(np.std(drawn, axis=0), rel=0.2)


def test_areas_of_a_model_have_intervals_as_long_as_they_are_exact() -> None:
    truth, scores = rows(100)
    exact = Ranking(100, 3, intervals=True)
    exact.update(truth, scores)
    binned = Ranking(100, 3, intervals=True, max_exact_cells=0)
    binned.update(truth, scores)

    assert list(binned.influences()) == []
    assert {"macro_roc_auc", "mean_average_precision"} <= set(exact.result().intervals)
    assert set(binned.result().intervals) == {
        "expected_calibration_error_if_calibrated",
        "mean_label_ece_if_calibrated",
    }
