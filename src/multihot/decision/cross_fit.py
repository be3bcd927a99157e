"""What a fitted decision is worth on rows that did not fit it: cross-fitting and the bootstrap.

See `FitReport`. Letters: `N` texts, `L` labels, `B` bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from multihot.core.goals import GOALS, Goal, is_fitted
from multihot.core.labels import LabelSpace
from multihot.decision.counts import Counts
from multihot.decision.decision import Decision
from multihot.decision.fit_report import FitReport
from multihot.decision.fitting import (
    NUM_FOLDS,
    DecisionOptions,
    FittingRows,
    at_half,
    calibrate,
    fit,
    hashed_folds,
    mixed,
)
from multihot.decision.objective import counted_value

__all__ = ["with_report"]

_MAX_CELLS = 400_000  # of more, a part of the rows is enough
_MAX_SAMPLED_CELLS = 2_000_000  # in all bootstrap samples together


def with_report(
    decision: Decision, rows: FittingRows, options: DecisionOptions, *, seed: int = 0
) -> Decision:
    """Return the decision that `options` fitted on the rows, with its `FitReport`.

    Parameters
    ----------
    decision
        What was fitted on the rows; with `None` in `fitted_on` nothing was, and there is no report.
    rows
        The rows; their order plays no part. With fewer than twice the number of folds, or without a
        positive, there is no report.
    options
        What was fitted.
    seed
        Of folds and bootstrap samples.
    """
    few = len(rows) < 2 * NUM_FOLDS or not (rows.truth == 1).any()
    if few or decision.fitted_on is None:
        return decision
    order = np.argsort(mixed(rows.hashes, seed), kind="stable")
    most = max(2 * NUM_FOLDS, _MAX_CELLS // rows.truth.shape[1])
    report = _report(decision.space, rows.take(order[:most]), options, len(rows), seed)
    return replace(decision, fit_report=report)


def _report(
    space: LabelSpace, rows: FittingRows, options: DecisionOptions, num_rows: int, seed: int
) -> FitReport:
    """Fit again on parts of the rows and on bootstrap samples of them, and measure what comes of it."""
    folds = hashed_folds(rows.hashes, rows.truth == 1, NUM_FOLDS, seed=seed)
    whole = fit(space, rows, options)
    decision, goal = whole.decision, whole.decision.parsed_goal()
    others = {
        text: replace(options, goal=text, costs=None)
        for text in GOALS
        if text != options.goal and isinstance(options.thresholds, str)
    }
    (fitted, *outcomes), half = _cross_fitted(space, rows, [options, *others.values()], folds)
    counts_of = dict(zip(others, outcomes, strict=True))
    # The recall of decisions without a budget of labels is no price of one with it.
    outside = None if goal.name == "top_k" else goal
    goals = {"0.5": _metrics(half, outside)}
    for text in dict.fromkeys((*GOALS, options.goal)):
        if text == options.goal:
            goals[text] = _metrics(fitted, goal)
        elif text in counts_of:
            goals[text] = _metrics(counts_of[text], outside)
    part = [f"Measured on {len(rows)} of the {num_rows} rows."]
    num_samples = 0
    spread: dict[str, float] = {}
    if is_fitted(decision.kind):
        num_samples = int(np.clip(_MAX_SAMPLED_CELLS // rows.truth.size, 10, 50))
        spread = _spread(space, rows, options, whole.strength, num_samples=num_samples, seed=seed)
    return FitReport(
        goal=options.goal,
        folds=NUM_FOLDS,
        in_sample=decision.goal_value(decision.scores(rows.logits), rows.truth),
        cross_fitted=counted_value(fitted, goal),
        cross_fitted_at_half=counted_value(half, goal),
        bootstraps=num_samples,
        threshold_spread=spread,
        goals=goals,
        notes=(*whole.notes, *(part if len(rows) < num_rows else [])),
    )


def _cross_fitted(
    space: LabelSpace,
    rows: FittingRows,
    options: Sequence[DecisionOptions],
    folds: npt.NDArray[np.int64],
) -> tuple[list[Counts], Counts]:
    """Return the counts of cross-fitted decisions, and of 0.5 on scores calibrated likewise.

    All options have the same calibration, which is fitted once.
    """
    fitted, half = [Counts(len(space)) for _ in options], Counts(len(space))
    for fold in np.unique(folds):
        rest, test_fold = rows.take(folds != fold), rows.take(folds == fold)
        calibrated = calibrate(space, rest, options[0].calibration)
        decisions = [fit(space, rest, each, calibrated=calibrated).decision for each in options]
        scores = decisions[0].scores(test_fold.logits)
        for counts, decision in zip(fitted, decisions, strict=True):
            counts.update(test_fold.truth, decision.decide(scores))
        half.update(test_fold.truth, at_half(decisions[0]).decide(scores))
    return fitted, half


def _metrics(counts: Counts, goal: Goal | None) -> dict[str, float | None]:
    metrics = counts.metrics()
    shown = {name: metrics[name] for name in GOALS}
    if goal is not None and goal.text not in shown:
        shown[goal.text] = counted_value(counts, goal)
    return shown


def _spread(
    space: LabelSpace,
    rows: FittingRows,
    options: DecisionOptions,
    strength: float | None,
    *,
    num_samples: int,
    seed: int,
) -> dict[str, float]:
    """Return the standard deviation of each label's threshold over bootstrap samples."""
    generator = np.random.default_rng([seed, 0x5EED])
    thresholds = np.empty((num_samples, len(space)))
    for sample in range(num_samples):
        drawn = rows.take(np.sort(generator.integers(len(rows), size=len(rows))))
        thresholds[sample] = fit(space, drawn, options, strength=strength).decision.thresholds
    spread = thresholds.std(axis=0, ddof=1).tolist()
    return dict(zip(space.names, spread, strict=True))
