"""One number, moved for each label by its frequency: between the global threshold and even chances."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multihot.core.goals import frequency_fraction, is_fitted, parse_goal, parse_thresholds
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.decision.decision import Decision
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.decision.objective import decided_value, goal_value
from multihot.decision.regularized_thresholds import fit_by_frequency
from multihot.decision.thresholds import fit_global
from multihot.errors import ArtifactError, OptionError

Array = npt.NDArray[Any]
LAWS = settings(derandomize=True, deadline=None, database=None, max_examples=60)
SHARES = np.array([0.5, 0.2, 0.05])
SPACE = LabelSpace(("often", "seldom", "rare"))


def case(seed: int, num_rows: int = 400) -> tuple[Array, Array]:
    """Calibrated scores of labels that occur in a half, a fifth and a twentieth of the rows."""
    generator = np.random.default_rng(seed)
    logits = 1.5 * generator.normal(size=(num_rows, 3)) + np.log(SHARES / (1 - SHARES))
    scores = 1 / (1 + np.exp(-logits))
    truth = generator.random(scores.shape) < scores
    return scores.astype(np.float32), truth.astype(np.float32)


def fitted(scores: Array, truth: Array, options: DecisionOptions) -> Decision:
    return fit(SPACE, rows_of(scores, truth), options).decision


def rows_of(scores: Array, truth: Array) -> FittingRows:
    logits = np.log(scores / (1 - scores)).astype(np.float32)
    texts = [str(row) for row in range(len(truth))]
    return FittingRows.of_labels(SPACE, logits, LabelMatrix(SPACE, truth), texts)


@LAWS
@given(st.integers(0, 10_000), st.sampled_from(["micro_f1", "macro_f1", "jaccard"]))
def test_a_share_of_nothing_decides_like_the_global_threshold(seed: int, goal: str) -> None:
    scores, truth = case(seed, 60)

    found = fit_by_frequency(scores, truth, goal, 0.0)

    assert len(set(found)) == 1
    expected = goal_value(scores, truth, fit_global(scores, truth, goal), goal)
    assert goal_value(scores, truth, found, goal) == pytest.approx(expected, abs=0.02)


@LAWS
@given(st.integers(0, 10_000), st.floats(0.05, 1.0), st.sampled_from(["jaccard", "micro_f1"]))
def test_thresholds_lie_apart_by_the_share_of_the_log_odds(
    seed: int, share: float, goal: str
) -> None:
    scores, truth = case(seed)

    found = fit_by_frequency(scores, truth, goal, share)

    positives = truth.sum(axis=0) + 0.5
    log_odds = np.log(positives / (len(truth) + 1 - positives))
    own = np.log(found / (1 - found))
    assert np.allclose(own - own[0], share * (log_odds - log_odds[0]), atol=1e-3)
    assert found[2] < found[1] < found[0]


def test_rare_labels_are_found_for_little_of_the_goal() -> None:
    """What it is for: over many data sets, more macro-F1 at hardly less Jaccard."""
    gained, lost = [], []
    for seed in range(30):
        scores, truth = case(seed, 1000)
        plain = fit_global(scores, truth, "jaccard")
        moved = fit_by_frequency(scores, truth, "jaccard", 0.3)
        other, unseen = case(1000 + seed, 1000)
        for values, goal in ((gained, "macro_f1"), (lost, "jaccard")):
            found = [
                decided_value(other >= thresholds, unseen, parse_goal(goal)) or 0.0
                for thresholds in (plain, moved)
            ]
            values.append(found[1] - found[0])

    assert np.mean(gained) > 0.01
    assert np.mean(lost) > -np.mean(gained) / 2


@LAWS
@given(
    st.integers(0, 10_000), st.floats(0, 1), st.sampled_from(["jaccard", "macro_f1", "cost=1:3"])
)
def test_it_never_hurts_the_goal_on_the_rows_that_fitted_it(
    seed: int, share: float, goal: str
) -> None:
    scores, truth = case(seed, 50)

    decision = fitted(scores, truth, DecisionOptions(goal, f"by_frequency={share:g}"))

    reached = decision.goal_value(scores, truth)
    half = decided_value(scores >= 0.5, truth, decision.parsed_goal())
    assert reached is not None
    assert half is None or reached >= half


@LAWS
@given(st.integers(0, 10_000), st.permutations(range(3)))
def test_the_order_of_labels_and_rows_changes_nothing(seed: int, order: list[int]) -> None:
    scores, truth = case(seed, 80)
    rows = np.random.default_rng(seed).permutation(80)

    found = fit_by_frequency(scores, truth, "jaccard", 0.4)

    again = fit_by_frequency(scores[rows][:, order], truth[rows][:, order], "jaccard", 0.4)
    assert np.array_equal(found[order], again)


def test_unknown_cells_count_in_no_frequency() -> None:
    scores, truth = case(3)
    more_scores = np.concatenate([scores, np.full((50, 3), 0.99, dtype=np.float32)])
    more_truth = np.concatenate([truth, np.full((50, 3), np.nan, dtype=np.float32)])

    found = fit_by_frequency(more_scores, more_truth, "micro_f1", 0.3)

    assert np.array_equal(found, fit_by_frequency(scores, truth, "micro_f1", 0.3))


def test_a_label_that_nobody_has_and_no_positive_at_all() -> None:
    scores, truth = case(4)
    truth[:, 2] = 0

    found = fit_by_frequency(scores, truth, "jaccard", 0.3)

    assert 0 < found[2] < found[1]
    nothing = fit_by_frequency(scores, np.zeros_like(truth), "jaccard", 0.3)
    assert nothing.tolist() == [0.5] * 3


def test_the_kind_is_stored_and_read_again() -> None:
    scores, truth = case(5)

    decision = fitted(scores, truth, DecisionOptions("jaccard", "by_frequency=.30"))

    assert decision.kind == "by_frequency=0.3"
    assert Decision.from_json(decision.to_json()) == decision
    assert decision.train_values()["thresholds"] == "by_frequency=0.3"


@pytest.mark.parametrize("kind", ["by_frequency=abc", "by_frequency=5"])
def test_a_damaged_file_is_refused(kind: str) -> None:
    content = fitted(*case(6), DecisionOptions("jaccard", "by_frequency=0.3")).to_json()

    with pytest.raises(ArtifactError, match="expected global, per_label, shrunk, by_frequency=T"):
        Decision.from_json({**content, "threshold_kind": kind})


@pytest.mark.parametrize(
    "words", ["by_frequency", "by_frequency=", "by_frequency=2", "by_frequency=x", "frequency=0.1"]
)
def test_what_is_no_share_is_refused(words: str) -> None:
    with pytest.raises(OptionError, match=r"expected global, per_label, shrunk, by_frequency=T"):
        parse_thresholds(words)
    with pytest.raises(OptionError, match="'thresholds' is"):
        DecisionOptions("jaccard", words)


def test_words_of_thresholds() -> None:
    assert parse_thresholds("by_frequency=1e-1") == "by_frequency=0.1"
    assert parse_thresholds("by_frequency=-0") == "by_frequency=0"
    assert parse_thresholds(0.4) == 0.4
    assert frequency_fraction("by_frequency=0.1") == 0.1
    assert frequency_fraction("shrunk") is None
    assert frequency_fraction(0.3) is None
    kinds = ("global", "per_label", "shrunk", "by_frequency=0.3", "fixed", "top_k")
    assert [is_fitted(kind) for kind in kinds] == [True] * 4 + [False] * 2


def test_where_a_half_for_every_label_is_better_it_is_taken_and_said() -> None:
    scores, truth = case(3)
    # A rare label that the scores know nothing of: favouring it only costs.
    scores[:, 2] = np.random.default_rng(0).uniform(0.3, 0.45, len(scores))
    rows = rows_of(scores, truth)

    much, little = (
        fit(SPACE, rows, DecisionOptions("micro_f1", f"by_frequency={share}"))
        for share in (1.0, 0.0)
    )

    assert much.decision.thresholds == (0.5, 0.5, 0.5)
    assert any("0.5 for every label scores higher on micro_f1" in note for note in much.notes)
    assert little.decision.thresholds != (0.5, 0.5, 0.5)
    assert little.notes == ()
