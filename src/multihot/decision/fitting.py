"""Fit a decision on held-out rows: calibration, then thresholds for a goal.

Thresholds are fitted on the calibrated scores of the same rows. A map that does not change the order
within a label leaves the decisions that thresholds can make as they are, so what is overfitted is
the thresholds; `with_report` measures both together on rows that fitted neither.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from multihot.core.goals import Costs, Goal, frequency_share, parse_goal, parse_thresholds
from multihot.core.labels import LabelMatrix, LabelSpace, row_hashes
from multihot.core.options import CALIBRATIONS
from multihot.decision.calibration import fit_calibration
from multihot.decision.decision import Decision
from multihot.decision.fold_assignment import assign_folds
from multihot.decision.objective import goal_value
from multihot.decision.provenance import FittedOn
from multihot.decision.regularized_thresholds import blend, fit_by_frequency, fit_shrunk
from multihot.decision.thresholds import fit_global, fit_per_label
from multihot.errors import LabelError, OptionError

__all__ = [
    "NUM_FOLDS",
    "Choices",
    "Fit",
    "at_half",
    "fit_choices",
    "fit_decision",
    "fit_rows",
]

NUM_FOLDS = 5
"""Parts that rows are dealt into wherever something is measured on rows that did not fit it."""

FloatArray = npt.NDArray[np.float32]
HashArray = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Choices:
    """What is to be fitted.

    Raises `OptionError` when a field is not among the allowed values, or two do not fit together.
    """

    goal: str
    """As `parse_goal` reads it."""
    thresholds: str | float = "global"
    """`global`, `per_label`, `shrunk`, `by_frequency=T`, or a number between 0 and 1, with which
    nothing is fitted."""
    calibration: str = "none"
    """One of `CALIBRATIONS`."""
    empty_set_rule: str = "allow"
    """One of `EMPTY_SET_RULES`."""
    costs: Costs | None = None
    """Costs of single labels, for the goal `cost`."""
    strength: float | None = None
    """Of shrunk thresholds; `None`: chosen on rows that did not fit them."""

    def __post_init__(self) -> None:
        goal = parse_goal(self.goal)
        object.__setattr__(self, "goal", goal.text)
        object.__setattr__(self, "thresholds", parse_thresholds(self.thresholds))
        if goal.name == "top_k" and not isinstance(self.thresholds, str):
            raise OptionError(
                f"The goal {goal} takes labels by rank, and thresholds={self.thresholds} is a number; "
                "give one of them only."
            )
        if self.calibration not in CALIBRATIONS:
            raise OptionError(
                f"'calibration' is {self.calibration!r}; expected one of {', '.join(CALIBRATIONS)}."
            )


@dataclass(frozen=True)
class Fit:
    """What `fit_rows` found."""

    decision: Decision
    notes: tuple[str, ...] = ()
    """What could not be fitted as asked, and what was chosen, in sentences."""
    strength: float | None = None
    """Of shrunk thresholds, see `STRENGTHS`."""


def fit_decision(
    space: LabelSpace,
    logits: FloatArray,
    labels: LabelMatrix,
    *,
    goal: str,
    thresholds: str | float,
    source: str,
    texts: Sequence[str] = (),
    hashes: HashArray | None = None,
    calibration: str = "none",
    empty_set_rule: str = "allow",
    costs: Costs | None = None,
) -> Decision:
    """Fit a decision on held-out rows and remember which rows they were.

    Parameters
    ----------
    space
        The labels of the model, in the order of its outputs.
    logits
        What the model returned for the rows. *Shape:* (N, L).
    labels
        The truth of the same rows, matched to `space` by name.
    goal, thresholds, calibration, empty_set_rule, costs
        See `Choices`.
    source, texts
        Where the rows came from, and their texts, of which only hashes are kept.
    hashes
        The `row_hashes` of the rows where they are at hand; the texts are then not needed.

    Returns
    -------
    decision
        Without any known positive the thresholds stay at 0.5 and `fitted_on.goal_value` is None.

    Raises
    ------
    OptionError
        A choice is not among the allowed values.
    LabelError
        The numbers of rows differ, or `labels` has a name that `space` lacks.
    """
    labels = labels.aligned_to(space)
    num_texts = len(texts) if hashes is None else len(hashes)
    if not len(logits) == len(labels) == num_texts:
        raise LabelError(
            f"There are {len(logits)} rows of logits, {len(labels)} of labels and {num_texts} texts; "
            "expected the same number of each."
        )
    choices = Choices(goal, thresholds, calibration, empty_set_rule, costs)
    found = row_hashes(texts, labels) if hashes is None else hashes
    return fit_choices(space, logits, labels, found, choices, source=source)


def fit_choices(
    space: LabelSpace,
    logits: FloatArray,
    labels: LabelMatrix,
    hashes: HashArray,
    choices: Choices,
    *,
    source: str,
) -> Decision:
    """Do what `fit_decision` does, for labels in the order of `space`."""
    truth = labels.hard().values
    decision = fit_rows(space, logits, truth, hashes, choices).decision
    if decision.kind == "fixed" and decision.calibration is None:
        return decision
    scores = decision.scores(logits)
    defined = bool((truth == 1).any())
    fitted_on = FittedOn.of_hashes(
        hashes,
        source=source,
        goal_value=decision.goal_value(scores, truth) if defined else None,
        goal_value_at_half=at_half(decision).goal_value(scores, truth) if defined else None,
    )
    return replace(decision, fitted_on=fitted_on)


def fit_rows(
    space: LabelSpace, logits: FloatArray, truth: FloatArray, hashes: HashArray, choices: Choices
) -> Fit:
    """Fit a decision, without the record of the rows.

    *Shapes:* logits and truth (N, L), hashes (N,). Raises `OptionError` when the goal asks for more
    labels than there are.
    """
    goal = parse_goal(choices.goal).with_costs(choices.costs, space.names)
    goal.require_labels(len(space))
    start = Decision(
        space,
        (0.5,) * len(space),
        choices.goal,
        "fixed",
        empty_set_rule=choices.empty_set_rule,
        costs=None if choices.costs is None else goal.costs,
    )
    notes: list[str] = []
    if choices.calibration != "none":
        start.scores(logits)  # raises what is wrong with the logits
        calibration, notes = fit_calibration(choices.calibration, logits, truth, space.names)
        start = replace(start, calibration=calibration)
    if not isinstance(choices.thresholds, str):
        return Fit(start.with_threshold(choices.thresholds), tuple(notes))
    if goal.name == "top_k":
        return Fit(replace(start, thresholds=(0.0,) * len(space), kind="top_k"), tuple(notes))
    scores = start.scores(logits)
    thresholds, strength = _fit_thresholds(scores, truth, hashes, goal, choices)
    if strength is not None:
        how = "all the way" if math.isinf(strength) else f"as if it had {strength:g} positive rows"
        notes.append(f"Thresholds pulled towards the global one {how}.")
    decision = replace(start, thresholds=thresholds, kind=choices.thresholds)
    kept = _not_worse_than_half(decision, scores, truth)
    if kept is not decision and frequency_share(decision.kind) is not None:
        notes.append(
            f"0.5 for every label reaches more of {goal} on these rows than thresholds={decision.kind}, "
            "so it was taken. A smaller share moves rare labels less and costs less."
        )
    return Fit(kept, (*notes, *_unreached(kept, scores, truth)), strength)


def at_half(decision: Decision) -> Decision:
    """Return the same decision with 0.5 for every label, measured by the same goal."""
    kind = "fixed" if decision.kind == "top_k" else decision.kind
    return replace(decision, thresholds=(0.5,) * len(decision.space), kind=kind)


def _fit_thresholds(
    scores: FloatArray, truth: FloatArray, hashes: HashArray, goal: Goal, choices: Choices
) -> tuple[tuple[float, ...], float | None]:
    """Return the thresholds, and how strongly they were shrunk where they were."""
    if choices.thresholds == "global":
        return (fit_global(scores, truth, goal),) * int(scores.shape[1]), None
    if (share := frequency_share(choices.thresholds)) is not None:
        return tuple(fit_by_frequency(scores, truth, goal, share).tolist()), None
    own = goal.of_each_label()
    if choices.thresholds == "per_label":
        return tuple(fit_per_label(scores, truth, own).tolist()), None
    strength = choices.strength
    if strength is None and len(scores) >= 2 * NUM_FOLDS:
        folds = assign_folds(hashes, truth == 1, NUM_FOLDS)
        shrunk, strength = fit_shrunk(scores, truth, own, folds)
        return tuple(shrunk.tolist()), strength
    strength = math.inf if strength is None else strength  # too few rows to choose one
    support = (truth == 1).sum(axis=0)
    pair = fit_per_label(scores, truth, own), fit_global(scores, truth, own)
    return tuple(blend(*pair, support, strength).tolist()), strength


def _not_worse_than_half(decision: Decision, scores: FloatArray, truth: FloatArray) -> Decision:
    """Return the decision, or 0.5 for every label where that is better.

    Thresholds are fitted as if empty sets were allowed; with a rule that fills them, 0.5 may win.
    So it may beside shrunk ones where every label shall meet a bound.
    """
    half = at_half(decision)
    reached, at_a_half = (one.goal_value(scores, truth) for one in (decision, half))
    worse = reached is not None and at_a_half is not None and at_a_half > reached
    return half if worse else decision


def _unreached(decision: Decision, scores: FloatArray, truth: FloatArray) -> list[str]:
    """Name the labels in which a least precision or recall is not met by any threshold."""
    goal = decision.parsed_goal()
    if goal.name not in ("precision", "recall") or not (truth == 1).any():
        return []
    tail = f"a {goal.name} of {goal.level:g}"
    if not goal.each_label:
        value = goal_value(scores, truth, decision.thresholds, goal)
        if value is None or value >= 0:
            return []
        reached = f"the nearest reaches {goal.level + value:.3f}"
        return [f"No threshold reaches {tail} on these rows; {reached}."]
    missed, silent = [], []
    for column, name in enumerate(decision.space.names):
        alone = scores[:, [column]], truth[:, [column]]
        value = goal_value(*alone, decision.thresholds[column], goal)
        if value is not None and value < 0:
            missed.append(name)
        elif value == 0:  # no text has the score
            silent.append(name)
    notes = []
    if silent:
        notes.append(
            f"No threshold reaches {tail} in these labels; theirs lies above all scores of these rows: {', '.join(silent)}."
        )
    if missed:
        which = "no threshold reaches" if decision.kind == "per_label" else "the threshold misses"
        notes.append(f"In these labels {which} {tail}: {', '.join(missed)}.")
    return notes
