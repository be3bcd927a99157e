"""The highest scores give the threshold that all of them give."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from multihot.core.goals import parse_goal
from multihot.decision.leading_cells import threshold_of_leading_cells
from multihot.decision.scored_cells import ScoredCells
from multihot.decision.threshold_sweep import GroupCounts, best_threshold

GOAL = parse_goal("micro_f1")


def drawn(seed: int, shift: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return scores and truth of 400 texts and 60 labels, with unknown cells and equal scores."""
    generator = np.random.default_rng(seed)
    truth = (generator.random((400, 60)) < 0.02).astype(np.float32)
    logits = generator.normal(size=truth.shape) + shift * truth - 3
    scores = (1 / (1 + np.exp(-logits.round(seed % 4)))).astype(np.float32)
    truth[generator.random(truth.shape) < 0.1] = np.nan
    return scores, truth


def of_all_cells(scores: npt.NDArray[np.float32], truth: npt.NDArray[np.float32]) -> float:
    points = ScoredCells(scores, truth).points(GOAL)
    nothing = np.zeros(1, dtype=np.int64)
    positives = np.array([int(points.positive.sum())])
    return best_threshold(GOAL, points, GroupCounts(nothing, nothing, positives))[0]


@pytest.mark.parametrize("seed", range(24))
def test_it_is_the_threshold_of_all_cells(seed: int) -> None:
    scores, truth = drawn(seed, shift=3 + seed % 3)

    found = threshold_of_leading_cells(scores, truth, GOAL)

    assert found == of_all_cells(scores, truth)


def test_scores_that_tell_nothing_need_all_cells() -> None:
    scores, truth = drawn(0, shift=0)

    assert threshold_of_leading_cells(np.full_like(scores, 0.3), truth, GOAL) is None
    assert threshold_of_leading_cells(scores, np.zeros_like(truth), GOAL) is None
