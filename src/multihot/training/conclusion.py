"""One line at the end of training: is the model good, was it still learning, and what to try.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multihot.core.options import TrainOptions
from multihot.decision.decision import Decision
from multihot.decision.objective import decided_value
from multihot.decision.thresholds import fit_global
from multihot.evaluation.report import Report

__all__ = ["best_constant_value", "conclusion"]

_FEW_ROWS = 100
_MAX_CELLS = 1 << 26  # above, the constant answer is measured on the first rows only


def best_constant_value(decision: Decision, truth: npt.NDArray[np.float32]) -> float | None:
    """Return what the goal reaches when all texts get the same labels: the best set by frequency.

    *Shape* of the truth: (N, L), each 0, 1 or NaN (unknown). `None` where the goal is undefined.
    """
    truth = truth[: max(1, _MAX_CELLS // truth.shape[1])]
    known = np.maximum((~np.isnan(truth)).sum(axis=0), 1)
    prior = ((truth == 1).sum(axis=0) / known).astype(np.float32)
    goal = decision.parsed_goal()
    if goal.name == "top_k":
        given = np.zeros(len(prior), dtype=np.bool_)
        given[np.argsort(-prior, kind="stable")[: goal.num_labels]] = True
    else:
        scores = np.broadcast_to(prior, truth.shape)
        given = prior >= fit_global(scores, truth, goal)
    return decided_value(np.broadcast_to(given, truth.shape), truth, goal)


def conclusion(
    decision: Decision,
    report: Report,
    options: TrainOptions,
    *,
    constant: float | None,
    best_epoch: int | None,
) -> str:
    """Return the line.

    Parameters
    ----------
    decision, report
        Of the validation rows.
    constant
        As `best_constant_value`.
    best_epoch
        1-based; `None` where no epoch was selected.
    """
    value = report.goal_value
    goal = decision.parsed_goal()
    if value is None or constant is None:
        return f"Is it good? {goal} is undefined on these rows: they have no positive label."
    low, high = report.intervals.get(goal.text, (None, None))
    interval = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    compared = (
        f"{goal.with_value(value)}{interval}; the same labels for every text reach "
        f"{goal.shown(constant)}"
    )
    learning = best_epoch == options.epochs
    if value <= constant:
        more = "If that does not help, try" if learning else "Try more epochs,"
        verdict, advice = "No", f"{more} a higher learning_rate or another encoder."
    elif low is not None and low <= constant:
        verdict, advice = "Perhaps", "More validation rows would tell."
    elif value < 0:
        verdict, advice = "Not yet", "Try a lower bound or more labelled rows."
    else:
        verdict, advice = "Better than no model", ""
        if not learning:
            advice = "To go on: more labelled rows, or a larger encoder."
    parts = [f"Is it good? {verdict}: {compared}."]
    if report.rows < _FEW_ROWS:
        parts.append(f"Only {report.rows} rows measure it.")
    if learning:
        parts.append(
            f"The best epoch was the last of {options.epochs}, so it was still learning: try "
            f"epochs={2 * options.epochs}."
        )
    return " ".join([*parts, advice]).strip()
