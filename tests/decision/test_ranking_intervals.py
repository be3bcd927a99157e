"""Standard errors of areas: against derivatives by hand, and the ordinary bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from multihot.decision import ranking
from multihot.decision.binned_cells import BinnedCells
from multihot.decision.ranking import Ranking, RankingMetrics
from multihot.decision.ranking_intervals import (
    Influences,
    binned_influences,
    exact_influences,
    is_near,
    standard_errors,
)
from multihot.decision.sorted_cells import packed_cells

Array = npt.NDArray[np.float32]
Ranked = Callable[[Array, Array], Influences]


def rows(num_rows: int, seed: int = 0, *, unknown: float = 0.0) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_rows, 3)) < [0.5, 0.3, 0.2]).astype(np.float32)
    scores = np.clip(generator.random((num_rows, 1)) * 0.3 + 0.2 * truth, 0, 1)
    scores = (scores + 0.4 * generator.random(truth.shape)).astype(np.float32)
    truth[generator.random(truth.shape) < unknown] = np.nan
    return truth, scores


def binned(truth: Array, scores: Array) -> Influences:
    bins = BinnedCells(truth.shape[1])
    bins.update(truth, scores)
    return binned_influences(packed_cells(truth, scores).T, bins)


def exact(truth: Array, scores: Array) -> Influences:
    return exact_influences(packed_cells(truth, scores).T)


KINDS = pytest.mark.parametrize("ranked", [exact, binned])


def together(found: Influences) -> npt.NDArray[np.float64]:
    return np.concatenate(list(found.blocks))


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


@KINDS
@pytest.mark.parametrize("unknown", [0.0, 0.2])
def test_influences_are_derivatives_by_the_weight_of_a_row(ranked: Ranked, unknown: float) -> None:
    truth, scores = rows(60, unknown=unknown)
    scores = np.round(scores, 1)  # many ties, each score alone in its bin
    found = ranked(truth, scores)
    moved = together(found)
    if ranked is exact:  # bins give the middle of what average precision may be
        assert found.values == pytest.approx(areas(truth, scores, np.ones(60)))
    assert found.values[1:] == pytest.approx(areas(truth, scores, np.ones(60))[1:])
    for row in range(0, 60, 7):
        weights, step = np.ones(60), 1e-4
        weights[row] += step
        less = np.ones(60)
        less[row] -= step
        more = np.array(areas(truth, scores, weights)) - areas(truth, scores, less)
        assert moved[row] == pytest.approx(more / (2 * step), abs=1e-5)


@KINDS
def test_influences_sum_to_nothing(ranked: Ranked) -> None:
    truth, scores = rows(500, unknown=0.1)

    assert together(ranked(truth, scores)).sum(axis=0) == pytest.approx([0, 0, 0], abs=1e-5)


@KINDS
def test_standard_errors_are_those_of_the_ordinary_bootstrap(ranked: Ranked) -> None:
    truth, scores = rows(300)
    generator = np.random.default_rng(1)
    drawn = []
    for _ in range(150):
        chosen = generator.integers(0, 300, 300)
        drawn.append(areas(truth[chosen], scores[chosen], np.ones(300)))

    found = standard_errors(ranked(truth, scores).blocks, 300)

    assert found == pytest.approx(np.std(drawn, axis=0), rel=0.2)


def test_rows_without_a_known_cell_and_labels_of_one_kind_move_nothing() -> None:
    truth, scores = rows(40)
    wide = np.concatenate([truth, np.full((40, 1), np.nan), np.ones((40, 1))], axis=1)
    more = np.concatenate([wide, np.full((5, 5), np.nan)]).astype(np.float32)
    chances = np.concatenate([scores, scores[:, :2]], axis=1)
    found = exact(more, np.concatenate([chances, chances[:5]]))
    moved = together(found)

    assert (moved[40:] == 0).all()
    assert found.values[2] == pytest.approx(areas(truth, scores, np.ones(40))[2])
    assert moved[:40, 2] == pytest.approx(together(exact(truth, scores))[:, 2])
    nothing = exact(np.full((3, 2), np.nan, np.float32), np.zeros((3, 2), np.float32))
    assert np.isnan(nothing.values).all()
    assert (together(nothing) == 0).all()


def test_blocks_of_bins_are_those_of_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, scores = rows(50, unknown=0.1)
    at_once = together(binned(truth, scores))
    monkeypatch.setattr("multihot.decision.ranking_intervals._BLOCK_CELLS", 21)

    assert (together(binned(truth, scores)) == at_once).all()


def collapsed(num_rows: int) -> tuple[Array, Array, Array]:
    """Return truth, scores that all but agree, and scores of the same order that spread out."""
    generator = np.random.default_rng(0)
    truth = (generator.random((num_rows, 3)) < 0.4).astype(np.float32)
    close = (0.4967 + 1e-5 * generator.random(truth.shape)).astype(np.float32)
    wide = (close.astype(np.float64) - close.min()) / (close.max() - close.min())
    return truth, close, (0.05 + 0.9 * wide).astype(np.float32)


def evaluated(truth: Array, scores: Array) -> RankingMetrics:
    found = Ranking(*truth.shape, intervals=True)
    found.update(truth, scores)
    return found.result()


AREAS = {"mean_average_precision", "micro_roc_auc", "macro_roc_auc"}


def test_the_order_alone_says_how_sure_an_area_is() -> None:
    truth, close, wide = collapsed(200)
    one, other = evaluated(truth, close), evaluated(truth, wide)

    for name in AREAS:
        low, high = one.intervals[name]
        assert high - low > 0.05
        assert one.intervals[name] == pytest.approx(other.intervals[name])


def test_bins_that_do_not_tell_the_scores_apart_give_no_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth, close, wide = collapsed(200)
    exact = evaluated(truth, wide)
    monkeypatch.setattr(ranking, "MAX_CELLS_IN_MEMORY", 0)

    assert AREAS.isdisjoint(evaluated(truth, close).intervals)
    found = evaluated(truth, wide)
    assert found.metrics == exact.metrics
    for name in AREAS:
        assert found.intervals[name] == pytest.approx(exact.intervals[name], abs=0.005)


def test_near_is_half_a_standard_error() -> None:
    assert is_near(0.8, 0.809, 0.02)
    assert not is_near(0.8, 0.811, 0.02)
    assert is_near(1.0, 1.0, 0.0)
    assert not is_near(0.8, float("nan"), 0.02)


def test_areas_of_a_model_have_intervals_as_long_as_they_are_exact() -> None:
    truth, scores = rows(100)
    binned = Ranking(100, 3, intervals=True, max_exact_cells=0)
    binned.update(truth, scores)

    assert binned.influences() is None
    assert Ranking(100, 3).influences() is None
    assert set(evaluated(truth, scores).intervals) >= AREAS
    assert set(binned.result().intervals) == {
        "expected_calibration_error_if_calibrated",
        "mean_label_ece_if_calibrated",
    }
