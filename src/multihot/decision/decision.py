"""The one object that turns a model's logits into scores and scores into labels.

Letters: `N` texts, `L` labels. logits (N, L) -> calibration -> activation -> hierarchy -> scores (N, L)
-> thresholds -> rule for empty sets -> hierarchy -> labels.
A `Decision` is stored by label name in `thresholds.json` and knows which rows it was fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.blocks import row_blocks
from multihot.core.files import required_value, required_values
from multihot.core.goals import Goal, frequency_fraction, parse_goal
from multihot.core.hierarchy import Hierarchy
from multihot.core.labels import LabelMatrix, LabelSpace, row_hashes, text_hashes
from multihot.core.numeric import sigmoid
from multihot.core.options import EMPTY_SET_RULES
from multihot.core.text_facts import TextFacts
from multihot.core.text_tables import cut, listed
from multihot.decision.calibration import Calibration
from multihot.decision.fit_report import FitReport
from multihot.decision.fitting_facts import FittingFacts, measured_facts
from multihot.decision.objective import counted_value, counts_in_blocks
from multihot.decision.promises import Promise, read_promises
from multihot.decision.provenance import FittedOn
from multihot.decision.ranks import highest, with_nearest
from multihot.errors import ArtifactError, LabelError, NonFiniteError, OptionError

__all__ = ["KINDS", "Decision", "FittedOn", "row_hashes", "rows_fitted"]

KINDS = ("global", "per_label", "shrunk", "fixed", "top_k")
"""How thresholds came about: one fitted number, one per label, one per label shrunk towards the global
one, a given number; with `top_k` there are none, and ranks decide. Beside these `by_frequency=T`: one
fitted number, moved for each label by its frequency."""

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


_STORED = {
    "labels": list,
    "thresholds": dict,
    "threshold_kind": str,
    "goal": str,
    "activation": str,
    "empty_set_rule": str,
    "fitted_on": dict | None,
    "calibration": object,
}
"""Keys of `thresholds.json` that every decision has, with their types."""

_DECIDED_CELLS = 1 << 22
"""At once: few blocks, since some calibrations go through them label by label."""

_LARGEST_SCORE = np.nextafter(np.float32(1), np.float32(0))
"""So that a threshold of 1 silences a label, however large its logits are."""


@dataclass(frozen=True)
class Decision:
    """How scores become labels: a label is given where `score >= threshold`, or by rank (`top_k`).

    Raises `OptionError` when a field has a value that is not supported.
    """

    space: LabelSpace
    thresholds: tuple[float, ...]
    """One per label, in label order, each between 0 (always given) and 1 (never)."""
    goal: str
    """The goal that the thresholds serve, as `parse_goal` reads it."""
    kind: str
    """One of `KINDS`, or `by_frequency=T`."""
    activation: str = "sigmoid"
    calibration: Calibration | None = None
    empty_set_rule: str = "allow"
    """`allow`: a text may end up without any label; `at_least_one`: it then gets the one whose score
    is nearest to its threshold, by logits; `abstain`: it stays without, and is said to abstain."""
    fitted_on: FittedOn | None = None
    """None when the thresholds are fixed."""
    costs: tuple[tuple[float, float], ...] | None = None
    """Of a false positive and a false negative of each label, in label order, where the goal is a
    cost that differs between labels."""
    fit_report: FitReport | None = None
    """What fitting was worth; None where it was not asked for."""
    promises: tuple[Promise, ...] = ()
    """Limits that the thresholds keep for texts like the rows that fitted them."""
    fitting_facts: FittingFacts | None = None
    """What later texts are compared with; None in models that were saved without."""

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(self.space):
            raise OptionError(
                f"There are {len(self.thresholds)} thresholds for {len(self.space)} labels; "
                "expected one per label."
            )
        thresholds = self.thresholds
        if not all(type(value) is float and 0 <= value <= 1 for value in thresholds):
            pairs = zip(self.space.names, thresholds, strict=True)
            thresholds = tuple(_threshold(f"thresholds.{name}", value) for name, value in pairs)
        object.__setattr__(self, "thresholds", thresholds)
        goal = parse_goal(self.goal)
        object.__setattr__(self, "goal", goal.text)
        if frequency_fraction(self.kind) is None:
            _one_of("threshold_kind", self.kind, KINDS)
        _one_of("activation", self.activation, ("sigmoid",))
        _one_of("empty_set_rule", self.empty_set_rule, EMPTY_SET_RULES)
        if self.costs is not None:
            goal.with_costs(dict(zip(self.space.names, self.costs, strict=True)), self.space.names)
        if self.kind == "top_k" and goal.name != "top_k":
            raise OptionError(f"'threshold_kind' is 'top_k', and the goal is {self.goal}.")

    def parsed_goal(self) -> Goal:
        """Return the goal with the costs of every label, and as asked of this kind of thresholds."""
        names = self.space.names
        table = None if self.costs is None else dict(zip(names, self.costs, strict=True))
        goal = parse_goal(self.goal).with_costs(table, names)
        return goal.of_each_label() if self.kind in ("per_label", "shrunk") else goal

    def scores(self, logits: FloatArray) -> FloatArray:
        """Return the probability of each label; in a hierarchy at least that of all that imply it.

        Parameters
        ----------
        logits
            *Shape:* (N, L).

        Returns
        -------
        scores
            *Shape:* (N, L), float32, each at least 0 and below 1: no score reaches a threshold of 1.

        Raises
        ------
        NonFiniteError
            A logit is NaN: such a text has no labels, and not the empty set of labels.
        """
        scores, hierarchy = self.own_scores(logits), self.space.hierarchy
        return scores if hierarchy is None else hierarchy.closed_scores(scores)

    def own_scores(self, logits: FloatArray) -> FloatArray:
        """Return the same from each label's own logit, before any hierarchy; raises the same."""
        logits = self._checked(logits, "logits")
        blocks = list(row_blocks(logits.shape))
        num_broken = sum(int(np.isnan(logits[rows]).any(axis=1).sum()) for rows in blocks)
        if num_broken:
            raise NonFiniteError(
                f"The model returned NaN for {num_broken} of {len(logits)} texts. "
                "Its weights are damaged or its training diverged: train it again."
            )
        calibrated = logits if self.calibration is None else self.calibration.apply(logits)
        scores = np.empty(logits.shape, dtype=np.float32)
        for rows in blocks:
            np.minimum(sigmoid(calibrated[rows]), _LARGEST_SCORE, out=scores[rows])
        return scores

    def decide(self, scores: FloatArray) -> BoolArray:
        """Return whether each text gets each label, and with it what that implies.

        *Shapes:* (N, L) -> (N, L), bool; scores as `scores` returns them.
        """
        scores, hierarchy = self._checked(scores, "scores"), self.space.hierarchy
        decided = self._own_decisions(scores)
        return decided if hierarchy is None else hierarchy.closed_decisions(decided)

    def decide_logits(self, logits: FloatArray) -> BoolArray:
        """Return the decisions that the scores of logits make. *Shapes:* (N, L) -> (N, L)."""
        decided = np.empty(logits.shape, dtype=np.bool_)
        for rows in row_blocks(logits.shape, cells=_DECIDED_CELLS):
            decided[rows] = self.decide(self.scores(logits[rows]))
        return decided

    def _own_decisions(self, scores: FloatArray) -> BoolArray:
        """Return the decisions before any hierarchy."""
        if self.kind == "top_k":
            order = None if self.space.hierarchy is None else self.space.hierarchy.order
            return highest(scores, self.parsed_goal().num_labels, order)
        decided = np.greater_equal(scores, np.asarray(self.thresholds, dtype=np.float64))
        if self.empty_set_rule == "at_least_one":
            return with_nearest(decided, scores, self.thresholds)
        return decided

    def goal_value(self, scores: FloatArray, truth: FloatArray) -> float | None:
        """Return what the decisions reach of the goal, `None` where it is undefined.

        *Shapes:* (N, L) both; truth is 0, 1 or NaN (unknown).
        """
        counts = counts_in_blocks(truth, lambda rows: self.decide(scores[rows]))
        return counted_value(counts, self.parsed_goal())

    def names(self, scores: FloatArray) -> list[list[str]]:
        """Return the label names of each text, in label order. *Shape of scores:* (N, L)."""
        return self.names_of(self.decide(scores))

    def names_of(self, decided: npt.NDArray[Any]) -> list[list[str]]:
        """Return the names where a decision is not 0, in label order. *Shape:* (N, L)."""
        return [[self.space.names[column] for column in np.flatnonzero(row)] for row in decided]

    def thresholds_by_name(self) -> dict[str, float | None]:
        """Return the threshold of each label, in label order; `None` where ranks decide (`top_k`)."""
        by_rank = self.kind == "top_k"
        pairs = zip(self.space.names, self.thresholds, strict=True)
        return {name: None if by_rank else value for name, value in pairs}

    def with_threshold(self, value: float) -> Decision:
        """Return the same decision with one given threshold between 0 and 1 for all labels.

        It remembers the rows that fitted it as long as a calibration that they fitted is part of it.
        """
        return replace(
            self,
            thresholds=(_threshold("threshold", value),) * len(self.space),
            kind="fixed",
            fitted_on=None if self.calibration is None else self.fitted_on,
            fit_report=None,
            promises=(),
            fitting_facts=None,
        )

    def with_facts(
        self, logits: FloatArray, truth: FloatArray, texts: TextFacts | None = None
    ) -> Decision:
        """Return the same decision with the facts of the rows that fitted it. *Shapes:* (N, L)."""
        decided = self.decide_logits(logits)
        facts = measured_facts(self.space.names, logits, truth, decided, texts)
        return replace(self, fitting_facts=facts)

    def train_values(self) -> dict[str, Any]:
        """Return the options of training that fit the like of this; costs of single labels are lost."""
        kind: str | float = "global" if self.kind == "top_k" else self.kind
        return {
            "goal": self.goal,
            "thresholds": self.thresholds[0] if kind == "fixed" else kind,
            "calibration": "none" if self.calibration is None else self.calibration.method,
            "empty_set_rule": self.empty_set_rule,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the decision's keys of `thresholds.json` (see `schemas/thresholds.schema.json`)."""
        calibration = self.calibration
        content: dict[str, Any] = {
            "labels": list(self.space.names),
            "activation": self.activation,
            "calibration": None if calibration is None else calibration.to_json(self.space),
            "thresholds": dict(zip(self.space.names, self.thresholds, strict=True)),
            "threshold_kind": self.kind,
            "goal": self.goal,
            "empty_set_rule": self.empty_set_rule,
            "fitted_on": None if self.fitted_on is None else self.fitted_on.to_json(),
        }
        if self.space.hierarchy is not None:
            content["hierarchy"] = self.space.hierarchy.by_name(self.space.names)
        if self.costs is not None:
            names = self.space.names
            content["costs"] = {n: list(pair) for n, pair in zip(names, self.costs, strict=True)}
        if self.fit_report is not None:
            content["fit_report"] = self.fit_report.to_json()
        if self.promises:
            content["promises"] = [promise.to_json() for promise in self.promises]
        if self.fitting_facts is not None:
            content["fitting_facts"] = self.fitting_facts.to_json()
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Decision:
        """Read what `to_json` wrote; keys that are not the decision's are left alone.

        Raises `ArtifactError`, with the name of the key, when one is missing or invalid.
        """
        stored = required_values(content, _STORED)
        thresholds, fitted_on = stored["thresholds"], stored["fitted_on"]
        calibration, report = stored["calibration"], content.get("fit_report")
        facts = content.get("fitting_facts")
        try:
            if wrong := [name for name in stored["labels"] if not isinstance(name, str)]:
                raise ArtifactError(f"The key 'labels' holds {cut(wrong[0])}; expected names.")
            space = _stored_space(stored["labels"], content)
            if set(thresholds) != set(space.names):
                different = sorted(set(thresholds) ^ set(space.names))
                raise ArtifactError(
                    "The keys 'labels' and 'thresholds' do not name the same labels; "
                    f"only one of them has: {listed(different)}"
                )
            decision = cls(
                space=space,
                thresholds=tuple(thresholds[name] for name in space.names),
                goal=stored["goal"],
                kind=stored["threshold_kind"],
                activation=stored["activation"],
                calibration=None
                if calibration is None
                else Calibration.from_json(calibration, space),
                empty_set_rule=stored["empty_set_rule"],
                fitted_on=None if fitted_on is None else FittedOn.from_json(fitted_on),
                costs=_stored_costs(content, space),
                fit_report=None if report is None else FitReport.from_json(report),
                promises=read_promises(content.get("promises"), space.names),
                fitting_facts=None if facts is None else FittingFacts.from_json(facts, space.names),
            )
            if decision.kind == "top_k" and decision.parsed_goal().num_labels > len(space):
                raise ArtifactError(
                    f"The key 'goal' is {cut(decision.goal)}, and there are {len(space)} labels."
                )
        except LabelError as error:
            raise ArtifactError(f"The key 'labels' is invalid. {error}") from error
        except OptionError as error:
            raise ArtifactError(f"The stored decision is invalid. The key {error}") from error
        return decision

    def _checked(self, values: FloatArray, what: str) -> FloatArray:
        values = np.asarray(values)
        if values.ndim != 2 or values.shape[1] != len(self.space):
            raise LabelError(
                f"The {what} have shape {values.shape}; expected (texts, {len(self.space)}) "
                f"for the labels {listed(self.space.names)}"
            )
        return values


def rows_fitted(decision: Decision, texts: Sequence[str], labels: LabelMatrix) -> int:
    """Return how many of these texts are among those that the thresholds were fitted on.

    With whatever labels; only of a model saved before texts were stored the labels must be equal.
    """
    if decision.fitted_on is None:
        return 0
    found = decision.fitted_on.holds_texts(text_hashes(texts))
    if found is not None:
        return int(found.sum())
    return int(decision.fitted_on.holds(row_hashes(texts, labels)).sum())


def _threshold(key: str, value: Any) -> float:
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if is_number and 0 <= value <= 1:
        return float(value)
    raise OptionError(f"'{key}' is {cut(value)}; expected a number between 0 and 1.")


def _one_of(key: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        raise OptionError(
            f"'{key}' is {cut(value)}; expected one of: {', '.join(str(choice) for choice in allowed)}"
        )


def _stored_space(names: list[str], content: Mapping[str, Any]) -> LabelSpace:
    """Return the labels with their hierarchy, if any; raise `ArtifactError` or `LabelError`."""
    space = LabelSpace(tuple(names))
    if content.get("hierarchy") is None:
        return space
    parents = required_value(content, "hierarchy", dict)
    for name, some in parents.items():
        if not isinstance(some, list) or not all(isinstance(parent, str) for parent in some):
            raise ArtifactError(
                f"The key {cut(f'hierarchy.{name}')} is {cut(some)}; expected a list of labels."
            )
    try:
        return replace(space, hierarchy=Hierarchy.of_names(space.names, parents))
    except LabelError as error:
        raise ArtifactError(f"The key 'hierarchy' is invalid. {error}") from error


def _stored_costs(
    content: Mapping[str, Any], space: LabelSpace
) -> tuple[tuple[float, float], ...] | None:
    if content.get("costs") is None:
        return None
    stored = required_value(content, "costs", dict)
    if set(stored) != set(space.names):
        raise ArtifactError("The keys 'labels' and 'costs' do not name the same labels.")
    for name, pair in stored.items():
        if not isinstance(pair, list) or len(pair) != 2:
            raise ArtifactError(
                f"The key {cut(f'costs.{name}')} is {cut(pair)}; expected two costs."
            )
    return tuple((stored[name][0], stored[name][1]) for name in space.names)
