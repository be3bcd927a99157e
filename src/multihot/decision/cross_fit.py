"""What a fitted decision is worth on rows that did not fit it (see `FitReport`).

Letters: `N` texts, `L` labels, `B` draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.goals import GOALS, Goal, is_fitted
from multihot.core.labels import LabelSpace
from multihot.decision.counts import Counts
from multihot.decision.decision import Decision
from multihot.decision.fit_report import FitReport
from multihot.decision.fitting import NUM_FOLDS, Choices, Fit, at_half, fit_rows
from multihot.decision.fold_assignment import assign_folds, mixed
from multihot.decision.objective import counted_value

__all__ = ["with_report"]

FloatArray = npt.NDArray[np.float32]
HashArray = npt.NDArray[np.uint64]

_MOST_CELLS = 400_000  # of more, a part of the rows is enough
_CELLS_OF_DRAWS = 2_000_000  # in all draws together


@dataclass(frozen=True)
class _Rows:
    """Rows in an order of their own, whatever order they were given in."""

    logits: FloatArray
    truth: FloatArray
    hashes: HashArray

    def take(self, rows: npt.NDArray[Any]) -> _Rows:
        return _Rows(self.logits[rows], self.truth[rows], self.hashes[rows])

    def fit(self, space: LabelSpace, choices: Choices) -> Fit:
        return fit_rows(space, self.logits, self.truth, self.hashes, choices)


def with_report(
    decision: Decision,
    logits: FloatArray,
    truth: FloatArray,
    hashes: HashArray,
    choices: Choices,
    *,
    seed: int = 0,
) -> Decision:
    """Return the decision that `choices` fitted on the rows, with its `FitReport`.

    Parameters
    ----------
    decision
        What was fitted on the rows; with `None` in `fitted_on` nothing was, and there is no report.
    logits, truth
        *Shapes:* (N, L); truth is 0, 1 or NaN (unknown). With fewer rows than twice the number of
        folds, or without a positive, there is no report.
    hashes
        `row_hashes`, by which rows are dealt out; their order plays no part. *Shape:* (N,).
    choices
        What was fitted.
    seed
        Of folds and draws.
    """
    few = len(logits) < 2 * NUM_FOLDS or not (truth == 1).any()
    if few or decision.fitted_on is None:
        return decision
    order = np.argsort(mixed(hashes, seed), kind="stable")
    most = max(2 * NUM_FOLDS, _MOST_CELLS // truth.shape[1])
    rows = _Rows(logits, truth, hashes).take(order[:most])
    return replace(decision, fit_report=_report(decision.space, rows, choices, len(order), seed))


def _report(
    space: LabelSpace, rows: _Rows, choices: Choices, num_rows: int, seed: int
) -> FitReport:
    """Fit again on parts of the rows and on draws of them, and say what comes of it."""
    folds = assign_folds(rows.hashes, rows.truth == 1, NUM_FOLDS, seed=seed)
    fit = rows.fit(space, choices)
    decision, goal = fit.decision, fit.decision.parsed_goal()
    fitted, half = _cross_fitted(space, rows, choices, folds)
    # The recall of decisions without a budget of labels is no price of one with it.
    outside = None if goal.name == "top_k" else goal
    goals = {"0.5": _metrics(half, outside)}
    for words in dict.fromkeys((*GOALS, choices.goal)):
        if words == choices.goal:
            goals[words] = _metrics(fitted, goal)
        elif isinstance(choices.thresholds, str):
            other = replace(choices, goal=words, costs=None)
            goals[words] = _metrics(_cross_fitted(space, rows, other, folds)[0], outside)
    part = [f"Measured on {len(rows.hashes)} of the {num_rows} rows."]
    num_draws = int(np.clip(_CELLS_OF_DRAWS // rows.truth.size, 10, 50))
    again = replace(choices, strength=fit.strength)
    return FitReport(
        goal=choices.goal,
        folds=NUM_FOLDS,
        in_sample=decision.goal_value(decision.scores(rows.logits), rows.truth),
        cross_fitted=counted_value(fitted, goal),
        cross_fitted_at_half=counted_value(half, goal),
        bootstraps=num_draws if is_fitted(decision.kind) else 0,
        threshold_spread=_spread(space, rows, again, num_draws, seed)
        if is_fitted(decision.kind)
        else {},
        goals=goals,
        notes=(*fit.notes, *(part if len(rows.hashes) < num_rows else [])),
    )


def _cross_fitted(
    space: LabelSpace, rows: _Rows, choices: Choices, folds: npt.NDArray[np.int64]
) -> tuple[Counts, Counts]:
    """Return the counts of cross-fitted decisions, and of 0.5 on scores calibrated likewise."""
    fitted, half = Counts(len(space)), Counts(len(space))
    for fold in np.unique(folds):
        held_out = rows.take(folds == fold)
        decision = rows.take(folds != fold).fit(space, choices).decision
        scores = decision.scores(held_out.logits)
        fitted.update(held_out.truth, decision.decide(scores))
        half.update(held_out.truth, at_half(decision).decide(scores))
    return fitted, half


def _metrics(counts: Counts, goal: Goal | None) -> dict[str, float | None]:
    metrics = counts.metrics()
    shown = {name: metrics[name] for name in GOALS}
    if goal is not None and goal.text not in shown:
        shown[goal.text] = counted_value(counts, goal)
    return shown


def _spread(
    space: LabelSpace, rows: _Rows, choices: Choices, num_draws: int, seed: int
) -> dict[str, float]:
    """Return the standard deviation of each label's threshold over draws with replacement."""
    generator = np.random.default_rng([seed, 0x5EED])
    num_rows = len(rows.hashes)
    found = np.empty((num_draws, len(space)))
    for draw in range(num_draws):
        drawn = rows.take(np.sort(generator.integers(num_rows, size=num_rows)))
        found[draw] = drawn.fit(space, choices).decision.thresholds
    spread = found.std(axis=0, ddof=1).tolist()
    return dict(zip(space.names, spread, strict=True))
