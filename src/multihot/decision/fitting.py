"""Fit a decision on rows that the model was not trained on: calibration, then thresholds for a goal.

Thresholds are fitted on the calibrated scores of the same rows. A map that does not change the order
within a label leaves the decisions that thresholds can make as they are, so what is overfitted is
the thresholds; `with_report` measures both together on rows that fitted neither.

Letters: `N` texts, `L` labels.

Folds for cross-fitting depend on what rows are (their hash), not on their position.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.goals import Costs, Goal, frequency_fraction, parse_goal, parse_thresholds
from multihot.core.labels import LabelMatrix, LabelSpace, row_hashes, text_hashes
from multihot.core.options import CALIBRATIONS
from multihot.core.text_tables import listed
from multihot.decision.calibration import Calibration, fit_calibration
from multihot.decision.decision import Decision
from multihot.decision.objective import goal_value
from multihot.decision.provenance import FittedOn
from multihot.decision.regularized_thresholds import blend, fit_by_frequency, fit_shrunk
from multihot.decision.scored_cells import ScoredCells
from multihot.decision.thresholds import global_threshold, label_thresholds
from multihot.errors import LabelError, OptionError

__all__ = [
    "NUM_FOLDS",
    "Calibrated",
    "DecisionOptions",
    "Fit",
    "FittingRows",
    "at_half",
    "calibrate",
    "fit",
    "hashed_folds",
    "mixed",
]

HashArray = npt.NDArray[np.uint64]

IntArray = npt.NDArray[np.int64]


def hashed_folds(
    hashes: HashArray, positive: npt.NDArray[np.bool_], num_folds: int, *, seed: int = 0
) -> IntArray:
    """Return the fold of each row: rows of one label set are dealt out in turn.

    Equal rows share a fold. Neither the order of the rows nor that of the labels plays a part.

    Parameters
    ----------
    hashes
        `row_hashes`. *Shape:* (N,), uint64.
    positive
        Which row has which label. *Shape:* (N, L).
    num_folds
        At least 2.
    seed
        Another seed deals otherwise.

    Returns
    -------
    folds
        *Shape:* (N,), int64, each from 0 to `num_folds` - 1.
    """
    numbers = mixed(hashes, seed)
    # A row of no label is a row of bits too; as bytes, label sets compare in one go.
    packed = np.packbits(positive, axis=1)
    _, group = np.unique(packed, axis=0, return_inverse=True)
    order = np.lexsort((numbers, group.reshape(-1)))
    folds = np.empty(len(hashes), dtype=np.int64)
    sorted_group, sorted_numbers = group.reshape(-1)[order], numbers[order]
    opens = np.append(True, sorted_group[1:] != sorted_group[:-1])[: len(order)]
    differs = np.append(True, sorted_numbers[1:] != sorted_numbers[:-1])[: len(order)] | opens
    rank = np.cumsum(differs)
    first = np.flatnonzero(opens)[np.cumsum(opens) - 1]
    # Each label set begins at a fold of its own, or rare sets would all land in the first.
    begin = (sorted_numbers[first] % np.uint64(num_folds)).astype(np.int64)
    folds[order] = (rank - rank[first] + begin) % num_folds
    return folds


def mixed(hashes: HashArray, seed: int) -> HashArray:
    """Return the hashes mixed with a seed, by the finaliser of SplitMix64 (Steele et al., 2014)."""
    values = hashes ^ np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


NUM_FOLDS = 5
"""Folds that rows are assigned to wherever something is measured on rows that did not fit it."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DecisionOptions:
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
class FittingRows:
    """The rows that a decision is fitted on.

    Attributes
    ----------
    logits, truth
        *Shape:* (N, L) each; columns in the order of the model's labels, truth 0, 1 or NaN (unknown).
    hashes
        The `row_hashes`: they assign rows to folds and identify them later. *Shape:* (N,).
    texts
        The `text_hashes`, which identify texts later, whatever their labels; `None`: not at hand.
    """

    logits: FloatArray
    truth: FloatArray
    hashes: HashArray
    texts: HashArray | None = None

    def __len__(self) -> int:
        return len(self.hashes)

    @classmethod
    def of_labels(
        cls, space: LabelSpace, logits: FloatArray, labels: LabelMatrix, texts: Sequence[str]
    ) -> FittingRows:
        """Return rows whose labels are matched to `space` by name; of texts only hashes are kept.

        Raises `LabelError` when the numbers of rows differ, or `labels` has a name that `space` lacks.
        """
        labels = labels.aligned_to(space)
        if not len(logits) == len(labels) == len(texts):
            raise LabelError(
                f"There are {len(logits)} rows of logits, {len(labels)} of labels and {len(texts)} "
                "texts; expected the same number of each."
            )
        hashes = row_hashes(texts, labels)
        return cls(logits, labels.hard().values, hashes, text_hashes(texts))

    def take(self, rows: npt.NDArray[Any]) -> FittingRows:
        """Return the rows at the given indices, or where a mask is true."""
        texts = None if self.texts is None else self.texts[rows]
        return FittingRows(self.logits[rows], self.truth[rows], self.hashes[rows], texts)


@dataclass(frozen=True)
class Fit:
    """A fitted decision, and how the fit went."""

    decision: Decision
    notes: tuple[str, ...] = ()
    """What could not be fitted as asked, and what was chosen, in sentences."""
    strength: float | None = None
    """Of shrunk thresholds, see `STRENGTHS`."""


@dataclass(frozen=True)
class Calibrated:
    """A fitted calibration, `None` for none, what it makes of the rows, and what is to be said."""

    calibration: Calibration | None
    cells: ScoredCells
    notes: tuple[str, ...] = ()


def fit(
    space: LabelSpace,
    rows: FittingRows,
    options: DecisionOptions,
    *,
    source: str | None = None,
    strength: float | None = None,
    calibrated: Calibrated | None = None,
) -> Fit:
    """Fit a decision.

    Parameters
    ----------
    space
        The labels of the model, in the order of its outputs.
    rows
        What the decision is fitted on. Without any known positive the thresholds stay at 0.5, and
        `fitted_on.goal_value` is None.
    options
        What is fitted.
    source
        Where the rows came from, such as a file name. With it the decision remembers which rows they
        were, unless nothing was fitted.
    strength
        Of shrunk thresholds; `None`: chosen on rows that did not fit them.
    calibrated
        What `calibrate` gave for these rows and this calibration, where it is at hand.

    Raises
    ------
    OptionError
        The goal asks for more labels than there are, or costs name an unknown label.
    """
    calibrated = calibrate(space, rows, options.calibration) if calibrated is None else calibrated
    found = _fit(space, rows, options, strength, calibrated)
    decision = found.decision
    if source is None or (decision.kind == "fixed" and decision.calibration is None):
        return found
    scores, defined = calibrated.cells.scores, bool((rows.truth == 1).any())
    fitted_on = FittedOn.of_hashes(
        rows.hashes,
        text_hashes=rows.texts,
        source=source,
        goal_value=decision.goal_value(scores, rows.truth) if defined else None,
        goal_value_at_half=at_half(decision).goal_value(scores, rows.truth) if defined else None,
    )
    return replace(found, decision=replace(decision, fitted_on=fitted_on))


def calibrate(space: LabelSpace, rows: FittingRows, method: str) -> Calibrated:
    """Fit a calibration, one of `CALIBRATIONS`; it does not depend on the goal."""
    plain = Decision(space, (0.5,) * len(space), "micro_f1", "fixed")
    scores = plain.scores(rows.logits)  # raises what is wrong with the logits
    if method == "none":
        return Calibrated(None, ScoredCells(scores, rows.truth))
    calibration, notes = fit_calibration(method, rows.logits, rows.truth, space.names)
    scores = replace(plain, calibration=calibration).scores(rows.logits)
    return Calibrated(calibration, ScoredCells(scores, rows.truth), tuple(notes))


def _fit(
    space: LabelSpace,
    rows: FittingRows,
    options: DecisionOptions,
    strength: float | None,
    calibrated: Calibrated,
) -> Fit:
    goal = parse_goal(options.goal).with_costs(options.costs, space.names)
    goal.require_labels(len(space))
    start = Decision(
        space,
        (0.5,) * len(space),
        options.goal,
        "fixed",
        empty_set_rule=options.empty_set_rule,
        costs=None if options.costs is None else goal.costs,
    )
    notes = list(calibrated.notes)
    start = replace(start, calibration=calibrated.calibration)
    if not isinstance(options.thresholds, str):
        return Fit(start.with_threshold(options.thresholds), tuple(notes))
    if goal.name == "top_k":
        return Fit(replace(start, thresholds=(0.0,) * len(space), kind="top_k"), tuple(notes))
    kind, scores, truth = options.thresholds, calibrated.cells.scores, rows.truth
    thresholds, strength = _fit_thresholds(calibrated.cells, rows, goal, kind, strength)
    if strength is not None:
        how = "all the way" if math.isinf(strength) else f"as if it had {strength:g} positive rows"
        notes.append(f"Thresholds pulled towards the global one {how}.")
    decision = replace(start, thresholds=thresholds, kind=kind)
    kept = _not_worse_than_half(decision, scores, truth)
    if space.hierarchy is not None and kind in ("per_label", "shrunk"):
        kept = _not_worse_than_global(kept, calibrated.cells)
    if kept is not decision and frequency_fraction(decision.kind) is not None:
        notes.append(
            f"0.5 for every label scores higher on {goal} on these rows than thresholds={decision.kind}, "
            "so it is kept. A smaller T lowers the thresholds of rare labels less."
        )
    return Fit(kept, (*notes, *_unreached(kept, scores, truth)), strength)


def at_half(decision: Decision) -> Decision:
    """Return the same decision with 0.5 for every label, measured by the same goal."""
    kind = "fixed" if decision.kind == "top_k" else decision.kind
    return replace(decision, thresholds=(0.5,) * len(decision.space), kind=kind)


def _fit_thresholds(
    cells: ScoredCells, rows: FittingRows, goal: Goal, kind: str, strength: float | None
) -> tuple[tuple[float, ...], float | None]:
    """Return the thresholds, and how strongly they were shrunk where they were."""
    num_labels = cells.truth.shape[1]
    if kind == "global":
        return (global_threshold(cells, goal),) * num_labels, None
    if (fraction := frequency_fraction(kind)) is not None:
        return tuple(fit_by_frequency(cells.scores, cells.truth, goal, fraction).tolist()), None
    own = goal.of_each_label()
    if kind == "per_label":
        return tuple(label_thresholds(cells, own).tolist()), None
    positive = cells.truth == 1
    if strength is None and len(rows) >= 2 * NUM_FOLDS:
        folds = hashed_folds(rows.hashes, positive, NUM_FOLDS)
        shrunk, strength = fit_shrunk(cells, own, folds)
        return tuple(shrunk.tolist()), strength
    strength = math.inf if strength is None else strength  # too few rows to choose one
    pair = label_thresholds(cells, own), global_threshold(cells, own)
    return tuple(blend(*pair, positive.sum(axis=0), strength).tolist()), strength


def _not_worse_than_half(decision: Decision, scores: FloatArray, truth: FloatArray) -> Decision:
    """Return the decision, or 0.5 for every label where that is better.

    Thresholds are fitted as if empty sets were allowed; with a rule that fills them, 0.5 may win.
    So it may beside shrunk ones where every label shall meet a bound.
    """
    half = at_half(decision)
    reached, at_a_half = (one.goal_value(scores, truth) for one in (decision, half))
    worse = reached is not None and at_a_half is not None and at_a_half > reached
    return half if worse else decision


def _not_worse_than_global(decision: Decision, cells: ScoredCells) -> Decision:
    """Return the decision of a hierarchy, or one threshold for all labels where that is better.

    A threshold per label is fitted as if it alone gave the label; labels below give it, too. With one
    threshold for all, closed scores give closed decisions, so its fit is exact.
    """
    value = global_threshold(cells, decision.parsed_goal())
    alike = replace(decision, thresholds=(value,) * len(decision.space))
    own, other = (each.goal_value(cells.scores, cells.truth) for each in (decision, alike))
    return alike if own is not None and other is not None and other > own else decision


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
            f"No threshold reaches {tail} in these labels; their threshold is above every score of these "
            f"rows, so they are not predicted: {listed(silent)}."
        )
    if missed:
        which = "no threshold reaches" if decision.kind == "per_label" else "the threshold misses"
        notes.append(f"In these labels {which} {tail}: {listed(missed)}.")
    return notes
