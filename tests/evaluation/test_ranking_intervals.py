"""Standard errors and biases of areas: against derivatives, left out texts, the ordinary bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from multihot.evaluation.intervals import logit_interval
from multihot.evaluation.ranking import Ranking, RankingMetrics
from multihot.evaluation.ranking_cells import BinnedCells, packed_cells
from multihot.evaluation.ranking_intervals import (
    Influences,
    binned_influences,
    exact_influences,
    is_near,
    standard_errors,
)

Array = npt.NDArray[np.float32]
Ranked = Callable[[Array, Array], Influences]


def rows(num_rows: int, seed: int = 0, *, unknown: float = 0.0) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_rows, 3)) < [0.5, 0.3, 0.2]).astype(np.float32)
    scores = np.clip(generator.random((num_rows, 1)) * 0.3 + 0.2 * truth, 0, 1)
    scores = (scores + 0.4 * generator.random(truth.shape)).astype(np.float32)
    truth[generator.random(truth.shape) < unknown] = np.nan
    return truth, scores


def binned(truth: Array, scores: Array, **options: int) -> Influences:
    bins = BinnedCells(truth.shape[1])
    bins.update(truth, scores)
    return binned_influences(packed_cells(truth, scores).T, bins, **options)


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
def test_influences_on_roc_areas_are_derivatives_by_the_weight_of_a_row(
    ranked: Ranked, unknown: float
) -> None:
    truth, scores = rows(60, unknown=unknown)
    scores = np.round(scores, 1)  # many ties, each score alone in its bin
    found = ranked(truth, scores)
    moved = together(found)[:, 1:]
    assert found.values[1:] == pytest.approx(areas(truth, scores, np.ones(60))[1:])
    for row in range(0, 60, 7):
        weights, step = np.ones(60), 1e-4
        weights[row] += step
        less = np.ones(60)
        less[row] -= step
        more = np.array(areas(truth, scores, weights)) - areas(truth, scores, less)
        assert moved[row] == pytest.approx(more[1:] / (2 * step), abs=1e-5)


def jackknife(truth: Array, scores: Array) -> tuple[float, npt.NDArray[np.float64]]:
    """Return what leaving out texts says of mean average precision: its bias, and each text's part."""
    bias, moved = 0.0, np.zeros(len(truth))
    for column in range(truth.shape[1]):
        known = np.flatnonzero(~np.isnan(truth[:, column]))
        cells = truth[known, column], scores[known, column]
        value = average_precision_score(*cells)
        without = np.array(
            [
                average_precision_score(*(np.delete(values, one) for values in cells))
                for one in range(len(known))
            ]
        )
        bias += (len(known) - 1) * (without.mean() - value)
        moved[known] += (len(known) - 1) / len(known) * (without.mean() - without)
    return bias / truth.shape[1], moved / truth.shape[1]


@KINDS
@pytest.mark.parametrize("unknown", [0.0, 0.2])
@pytest.mark.parametrize("digits", [1, 7])
def test_average_precision_takes_the_jackknife(ranked: Ranked, unknown: float, digits: int) -> None:
    truth, scores = rows(60, unknown=unknown)
    scores = np.round(scores, digits)
    bias, moved = jackknife(truth, scores)

    found = ranked(truth, scores)

    is_close = 1e-5 if ranked is exact or digits == 1 else 0.01
    assert found.biases == pytest.approx([bias, 0, 0], abs=is_close)
    assert together(found)[:, 0] == pytest.approx(moved, abs=is_close)
    if ranked is exact:  # bins give the middle of what average precision may be
        assert found.values == pytest.approx(areas(truth, scores, np.ones(60)))


def test_a_label_of_one_positive_is_not_left_without_it() -> None:
    truth = np.array([[0], [1], [0], [0]], dtype=np.float32)
    found = exact(truth, np.array([[0.9], [0.7], [0.5], [0.3]], dtype=np.float32))

    assert found.values[0] == 0.5
    # Without the text above it, the only positive would be first: the mean of four is 0.625.
    assert found.biases[0] == pytest.approx(3 * 0.125)
    assert together(found)[:, 0] == pytest.approx(0.75 * np.array([-0.375, 0.125, 0.125, 0.125]))


@KINDS
def test_influences_sum_to_nothing(ranked: Ranked) -> None:
    truth, scores = rows(500, unknown=0.1)

    assert together(ranked(truth, scores)).sum(axis=0) == pytest.approx([0, 0, 0], abs=1e-5)


@pytest.mark.slow
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


def test_blocks_of_bins_are_those_of_one_piece() -> None:
    truth, scores = rows(50, unknown=0.1)

    in_blocks = together(binned(truth, scores, block_cells=21))

    assert (in_blocks == together(binned(truth, scores))).all()


def collapsed(num_rows: int) -> tuple[Array, Array, Array]:
    """Return truth, scores that all but agree, and scores of the same order that spread out."""
    generator = np.random.default_rng(0)
    truth = (generator.random((num_rows, 3)) < 0.4).astype(np.float32)
    close = (0.4967 + 1e-5 * generator.random(truth.shape)).astype(np.float32)
    wide = (close.astype(np.float64) - close.min()) / (close.max() - close.min())
    return truth, close, (0.05 + 0.9 * wide).astype(np.float32)


def evaluated(truth: Array, scores: Array, **options: int) -> RankingMetrics:
    found = Ranking(*truth.shape, intervals=True, **options)
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


def test_bins_that_do_not_tell_the_scores_apart_give_no_interval() -> None:
    truth, close, wide = collapsed(200)
    exact = evaluated(truth, wide)

    assert AREAS.isdisjoint(evaluated(truth, close, max_cells_in_memory=0).intervals)
    found = evaluated(truth, wide, max_cells_in_memory=0)
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


def test_intervals_hold_the_average_precision_of_rare_labels() -> None:
    generator = np.random.default_rng(0)
    truth = (generator.random((20_000, 20)) < 0.05).astype(np.float32)
    logits = 1.5 * truth + generator.normal(size=truth.shape)
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    expected = exact(truth, scores).values[0]
    held, held_without_bias = 0, 0
    for start in range(0, 20_000, 200):
        some = slice(start, start + 200)
        found = exact(truth[some], scores[some])
        value, bias = float(found.values[0]), float(found.biases[0])
        error = float(standard_errors(found.blocks, 200)[0])
        low, high = logit_interval(value, error, 200, bias)
        held += low <= expected <= high
        low, high = logit_interval(value, error, 200)
        held_without_bias += low <= expected <= high

    assert held_without_bias < 80
    assert held >= 92


def test_the_interval_of_average_precision_is_made_around_less_than_it() -> None:
    truth, scores = rows(100)
    found = exact(truth, scores)
    value, bias = float(found.values[0]), float(found.biases[0])
    error = float(standard_errors(found.blocks, 100)[0])

    shown = evaluated(truth, scores).intervals

    assert bias > 0.001
    expected = logit_interval(value, error, 100, bias)
    assert shown["mean_average_precision"] == pytest.approx(expected)
    low, high = shown["mean_average_precision"]
    assert value - low > high - value
