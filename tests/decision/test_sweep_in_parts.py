"""Cells that are swept in parts give the threshold that all of them give at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from multihot.core.goals import Goal, parse_goal
from multihot.decision import sweep_in_parts
from multihot.decision.scored_cells import ScoredCells
from multihot.decision.sweep_in_parts import threshold_in_parts
from multihot.decision.threshold_sweep import GroupCounts, best_threshold

GOALS = [
    "micro_f1",
    "macro_f1",
    "jaccard",
    "subset_accuracy",
    "precision>=0.6",
    "recall>=0.6",
    "cost=1:7",
]


def drawn(seed: int, shift: float) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return scores and truth of 400 texts and 60 labels, with unknown cells and equal scores."""
    generator = np.random.default_rng(seed)
    truth = (generator.random((400, 60)) < 0.02).astype(np.float32)
    logits = generator.normal(size=truth.shape) + shift * truth - 3
    scores = (1 / (1 + np.exp(-logits.round(seed % 4)))).astype(np.float32)
    truth[generator.random(truth.shape) < 0.1] = np.nan
    truth[7], truth[:, -1] = np.nan, np.nan  # a text and a label that nothing is known of
    return scores, truth


def of_all_cells(
    scores: npt.NDArray[np.float32], truth: npt.NDArray[np.float32], goal: Goal
) -> float:
    points = ScoredCells(scores, truth).points(goal)
    positives = np.bincount(points.group, weights=points.positive).astype(np.int64)
    nothing = np.zeros_like(positives)
    return best_threshold(goal, points, GroupCounts(nothing, nothing, positives))[0]


@pytest.mark.parametrize("largest_part", [1, 300, 1 << 21])
@pytest.mark.parametrize("shift", [0, 3, 5])
@pytest.mark.parametrize("text", GOALS)
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_threshold_of_all_cells(
    seed: int, text: str, shift: float, largest_part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, truth = drawn(seed, shift)
    goal = parse_goal(text)

    monkeypatch.setattr(sweep_in_parts, "_SWEPT_CELLS", 170)

    found = threshold_in_parts(scores, truth, goal, largest_part=largest_part)

    assert found == of_all_cells(scores, truth, goal)


@pytest.mark.parametrize("text", GOALS)
def test_scores_in_double_precision_are_told_apart(text: str) -> None:
    scores, truth = drawn(3, 3)
    finer = scores.astype(np.float64) * (1 - 1e-9 * np.arange(60))
    goal = parse_goal(text)

    found = threshold_in_parts(finer, truth, goal, largest_part=50)

    assert found == of_all_cells(finer, truth, goal)


@pytest.mark.parametrize("largest_part", [1, 1 << 21])
def test_a_zero_may_have_a_sign(largest_part: int) -> None:
    scores, truth = drawn(3, 3)
    signed = np.where(scores < 0.3, np.float32(-0.0), scores)
    signed[::2][signed[::2] == 0] = 0.0
    goal = parse_goal("recall>=0.6")

    found = threshold_in_parts(signed, truth, goal, largest_part=largest_part)

    assert found == of_all_cells(signed, truth, goal)


@pytest.mark.parametrize("text", GOALS)
def test_every_score_may_be_the_same(text: str) -> None:
    scores, truth = drawn(0, 0)
    goal = parse_goal(text)

    found = threshold_in_parts(np.full_like(scores, 0.3), truth, goal, largest_part=50)

    assert found == of_all_cells(np.full_like(scores, 0.3), truth, goal)


def test_cells_that_cannot_matter_are_not_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, truth = drawn(3, 9)
    monkeypatch.setattr(sweep_in_parts, "_FIRST_PART", 100)
    seen: list[int] = []
    joined = sweep_in_parts._joined
    monkeypatch.setattr(sweep_in_parts, "_joined", lambda found: seen.append(1) or joined(found))

    threshold_in_parts(scores, truth, parse_goal("micro_f1"), largest_part=1000)

    assert len(seen) < 8
