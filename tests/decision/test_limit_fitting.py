"""Limits are kept for the population that the rows were drawn from, so often as they promise."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.limits import split_goal
from multihot.decision.decision import Decision
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.decision.limit_fitting import with_limits
from multihot.decision.promises import PromiseTally
from multihot.decision.risk_bounds import (
    binomial_cdf,
    fewest_rows,
    hoeffding_bentkus,
    most_losses,
    most_on_average,
)
from multihot.errors import ArtifactError, DataError, OptionError

Array = npt.NDArray[Any]
SPACE = LabelSpace(("joy", "anger", "fear"))
PREVALENCE = (0.4, 0.3, 0.2)


def rows(num_rows: int, seed: int = 0, unknown: float = 0.05) -> FittingRows:
    generator = np.random.default_rng(seed)
    truth = (generator.random((num_rows, 3)) < PREVALENCE).astype(np.float32)
    logits = (generator.normal(size=truth.shape) * 1.5 - 2 + 3 * truth).astype(np.float32)
    truth[generator.random(truth.shape) < unknown] = np.nan
    texts = [f"text {n} of {seed}" for n in range(num_rows)]
    return FittingRows.of_labels(SPACE, logits, LabelMatrix(SPACE, truth), texts)


def limited(some: FittingRows, goal: str, **options: Any) -> Decision:
    base, limits = split_goal(goal)
    chosen = DecisionOptions(base or "micro_f1", empty_set_rule="abstain", **options)
    return with_limits(fit(SPACE, some, chosen).decision, some, limits).decision


def reached(decision: Decision, of: FittingRows) -> list[float]:
    tally = PromiseTally([each.parsed() for each in decision.promises], SPACE.names)
    tally.update(of.truth, decision.decide(decision.scores(of.logits)))
    return [check.value or 0.0 for check in tally.checks()]


@pytest.mark.parametrize("probability", [0.003, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("trials", [1, 29, 400, 20_000])
def test_the_binomial_distribution_is_that_of_scipy(trials: int, probability: float) -> None:
    for count in {0, trials // 10, trials // 2, trials - 1, trials}:
        expected = binom.cdf(count, trials, probability)
        assert binomial_cdf(count, trials, probability) == pytest.approx(
            expected, rel=1e-8, abs=1e-13
        )


def test_the_fewest_rows_are_those_with_which_none_may_be_lost() -> None:
    assert (fewest_rows(0.1, 0.05), fewest_rows(0.1, None)) == (29, 9)
    assert [most_losses(n, 0.1, 0.05) for n in (28, 29, 45, 46)] == [-1, 0, 0, 1]
    assert [most_on_average(n, 0.1) for n in (8, 9, 18, 19)] == [-1, 0, 0, 1]


def test_bounds_equal_those_of_mapie() -> None:
    methods = pytest.importorskip("mapie.risk_control.methods")
    for mean, num_rows, risk in [
        (0.05, 300, 0.1),
        (0.0, 40, 0.2),
        (0.3, 90, 0.25),
        (0.012, 999, 0.02),
    ]:
        expected = methods.compute_hoeffding_bentkus_p_value(np.array([mean]), num_rows, risk)
        found = hoeffding_bentkus(mean, num_rows, risk)
        assert found == pytest.approx(min(1.0, float(np.squeeze(expected))), rel=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_samples_recall_on_average_is_conformal_risk_control_as_in_mapie() -> None:
    control = pytest.importorskip("mapie.risk_control")
    some = rows(200, unknown=0.0)
    some = some.take((some.truth == 1).any(axis=1))  # the only rows that it takes
    grid = np.arange(0, 0.6, 0.005)
    scores = 1 / (1 + np.exp(-some.logits.astype(np.float64)))
    oracle = control.MultiLabelClassificationController(
        predict_function=lambda rows: scores,
        risk="recall",
        method="crc",
        target_level=0.9,
        predict_params=grid,
    ).calibrate(np.zeros((len(scores), 1)), some.truth.astype(int))

    decision = limited(some, "subset_accuracy, samples_recall>=0.9@mean")

    assert max(decision.thresholds) == pytest.approx(float(oracle.best_predict_param[0]), abs=0.01)


@pytest.mark.parametrize(
    "goal",
    [
        "macro_f1, recall[fear]>=0.9",
        "jaccard, abstained<=0.2",
        "jaccard, samples_recall>=0.9",
        "micro_f1, precision[joy]>=0.7",
    ],
)
@pytest.mark.slow
def test_a_limit_holds_for_the_population_in_as_many_samples_as_it_promises(goal: str) -> None:
    population, made, broken = rows(10_000, seed=9), 0, 0
    for seed in range(100):
        drawn = np.random.default_rng([7, seed]).integers(len(population), size=300)
        with contextlib.suppress(DataError):  # a promise that is not made
            decision = limited(population.take(drawn), goal)
            (promise,) = decision.promises
            made += 1
            broken += not promise.parsed().is_kept(reached(decision, population)[0])

    assert broken <= binom.ppf(1 - 1e-4, 100, 0.05)
    assert made >= 90


def test_a_precision_holds_where_large_logits_share_one_score() -> None:
    drawn, population = (
        replace(some, logits=some.logits + 16) for some in (rows(1500, seed=1), rows(20_000, 2))
    )

    decision = limited(drawn, "macro_f1, precision[joy]>=0.8@0.99")

    assert reached(decision, population)[0] >= 0.8


def test_rows_that_all_share_the_highest_score_are_no_base_for_a_precision() -> None:
    some = rows(300)

    with pytest.raises(DataError, match=r"share the highest score.*--calibration"):
        limited(replace(some, logits=some.logits + 60), "macro_f1, precision[joy]>=0.9")


def test_a_precision_of_a_label_that_no_row_has_is_refused() -> None:
    some = rows(300)
    truth = np.where(some.truth == 1, np.float32(0), some.truth)
    truth[:, 1] = some.truth[:, 1]

    with pytest.raises(DataError, match="there are none among the"):
        limited(replace(some, truth=truth), "macro_f1, precision[joy]>=0.5")


def test_without_the_limit_the_same_goal_would_break_it() -> None:
    population = rows(10_000, seed=9)
    kept = 0
    for seed in range(40):
        drawn = np.random.default_rng([7, seed]).integers(len(population), size=300)
        decision = limited(population.take(drawn), "macro_f1")
        given = decision.decide(decision.scores(population.logits))[:, 2]
        kept += given[population.truth[:, 2] == 1].mean() >= 0.9

    assert kept < 20


@pytest.mark.parametrize("calibration", ["none", "platt", "isotonic", "beta"])
@pytest.mark.parametrize("thresholds", ["global", "per_label", "shrunk", "by_frequency=0.3"])
def test_no_more_rows_are_lost_than_allowed_with_any_calibration(
    thresholds: str, calibration: str
) -> None:
    some = rows(400)
    goal = "micro_f1, recall[fear]>=0.9, abstained<=0.3@mean"

    decision = limited(some, goal, thresholds=thresholds, calibration=calibration)

    has_label = int((some.truth[:, 2] == 1).sum())
    recall, abstained = reached(decision, some)
    assert (1 - recall) * has_label <= most_losses(has_label, 0.1, 0.05) + 1e-6
    assert abstained * len(some) <= most_on_average(len(some), 0.3) + 1e-6


def test_a_text_at_the_border_keeps_its_label_where_logits_have_the_noise_of_another_runtime() -> (
    None
):
    some = rows(400)
    some = replace(some, logits=some.logits * 8)

    decision = limited(some, "macro_f1, recall[fear]>=0.9, abstained<=0.2")
    noise = np.random.default_rng(0).uniform(-5e-6, 5e-6, some.logits.shape)
    noisy = replace(some, logits=(some.logits * (1 + noise)).astype(np.float32))

    assert reached(decision, noisy) == reached(decision, some)


def test_thresholds_that_keep_a_limit_already_stay() -> None:
    some = rows(400)

    decision = limited(some, "micro_f1, recall[joy]>=0.3")

    assert decision.thresholds == limited(some, "micro_f1").thresholds


def test_limits_that_hold_together_get_their_part_of_the_tolerated_probability() -> None:
    some = rows(400)
    alone = limited(some, "micro_f1, recall[joy]>=0.95@0.9")
    both = limited(some, "micro_f1, recall[joy]>=0.95@0.9, recall[fear]>=0.5@0.9")
    stricter = limited(some, "micro_f1, recall[joy]>=0.95")

    assert both.thresholds[0] == stricter.thresholds[0] < alone.thresholds[0]


@pytest.mark.parametrize(
    ("goal", "needed"),
    [
        ("recall[fear]>=0.99", "at least 299 rows that have the label"),
        ("recall[fear]>=0.99@mean", "at least 99 rows that have the label"),
        ("abstained<=0.01", "at least 299 rows, and there are 60"),
        ("samples_recall>=0.99", "at least 299 rows with a known label"),
        ("precision[fear]>=0.94", "no threshold keeps the limit"),
        ("precision[fear]>=0.97", "at least 99 rows in which the label is known"),
    ],
)
def test_too_few_rows_are_refused_with_the_number_that_is_needed(goal: str, needed: str) -> None:
    with pytest.raises(DataError, match=needed):
        limited(rows(60), f"micro_f1, {goal}")


def test_limits_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(DataError, match="together with the others"):
        limited(rows(3000), "micro_f1, precision[fear]>=0.8, recall[fear]>=0.97")


def test_rows_without_labels_and_unknown_cells_are_no_obstacle() -> None:
    some = rows(300)
    truth = some.truth.copy()
    truth[:60] = np.nan  # nothing is known
    truth[60:120] = 0  # no label at all
    some = replace(some, truth=truth)

    decision = limited(some, "jaccard, samples_recall>=0.9, abstained<=0.5, recall[joy]>=0.8")

    counted = [promise.rows for promise in decision.promises]
    assert counted == [240, 300, int((truth[:, 0] == 1).sum())]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"goal": "top_k=1"}, "taken by rank"),
        ({"thresholds": 0.5}, "is given"),
        ({"empty_set_rule": "allow"}, "--empty-set-rule abstain"),
    ],
)
def test_decisions_that_cannot_promise_are_refused(options: dict[str, Any], message: str) -> None:
    some = rows(100)
    chosen = DecisionOptions(**{"goal": "micro_f1", "empty_set_rule": "abstain", **options})
    decision = fit(SPACE, some, chosen).decision

    with pytest.raises(OptionError, match=message):
        with_limits(decision, some, split_goal("abstained<=0.5")[1])


def test_promises_are_stored_with_the_decision() -> None:
    decision = limited(rows(300), "jaccard, recall[joy]>=0.8, samples_recall>=0.7@mean")

    again = Decision.from_json(decision.to_json())

    assert again.promises == decision.promises
    assert [promise.method for promise in again.promises] == ["binomial", "conformal_risk_control"]
    assert again.with_threshold(0.5).promises == ()


@pytest.mark.parametrize(
    "damage",
    [
        [],
        {"limit": "jaccard"},
        {"limit": "recall[nobody]>=0.9"},
        {"limit": 3},
        {"rows": -1},
        {"value": 2.0},
        "text",
    ],
)
def test_damaged_promises_are_refused(damage: Any) -> None:
    content = limited(rows(300), "jaccard, recall[joy]>=0.8").to_json()
    stored = content["promises"][0]
    content["promises"] = [{**stored, **damage} if isinstance(damage, dict) else damage]

    with pytest.raises(ArtifactError, match="promises"):
        Decision.from_json(content)
