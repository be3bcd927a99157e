"""The one object that turns a model's logits into scores and scores into labels.

Letters: `N` texts, `L` labels. logits (N, L) -> activation -> scores (N, L) -> thresholds -> labels.
A `Decision` is stored by label name in `thresholds.json` and knows which rows it was fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.decision.fitted_rows import FittedOn, row_hashes
from multihot.decision.thresholds import fit_global, fit_per_label, goal_value
from multihot.errors import ArtifactError, LabelError, NonFiniteError, OptionError
from multihot.files import required_value
from multihot.labels import LabelMatrix, LabelSpace
from multihot.options import GOALS

__all__ = ["KINDS", "Decision", "FittedOn", "fit_decision", "row_hashes", "rows_fitted"]

KINDS = ("global", "per_label", "fixed")
"""How thresholds came about: one fitted number, one fitted number per label, or a given number."""

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
HashArray = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Decision:
    """How scores become labels: a label is given where `score >= threshold`.

    Raises `OptionError` when a field has a value that is not supported.
    """

    space: LabelSpace
    thresholds: tuple[float, ...]
    """One per label, in label order, each between 0 and 1."""
    goal: str
    """The goal that the thresholds serve, one of `GOALS`."""
    kind: str
    """One of `KINDS`."""
    activation: str = "sigmoid"
    calibration: None = None
    empty_set_rule: str = "allow"
    """`allow`: a text may end up without any label."""
    fitted_on: FittedOn | None = None
    """None when the thresholds are fixed."""

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(self.space):
            raise OptionError(
                f"There are {len(self.thresholds)} thresholds for {len(self.space)} labels; "
                "expected one per label."
            )
        pairs = zip(self.space.names, self.thresholds, strict=True)
        thresholds = tuple(_threshold(f"thresholds.{name}", value) for name, value in pairs)
        object.__setattr__(self, "thresholds", thresholds)
        _one_of("goal", self.goal, GOALS)
        _one_of("threshold_kind", self.kind, KINDS)
        _one_of("activation", self.activation, ("sigmoid",))
        _one_of("calibration", self.calibration, (None,))
        _one_of("empty_set_rule", self.empty_set_rule, ("allow",))

    def scores(self, logits: FloatArray) -> FloatArray:
        """Return the probability of each label.

        Parameters
        ----------
        logits
            *Shape:* (N, L).

        Returns
        -------
        scores
            *Shape:* (N, L), float32, each between 0 and 1.

        Raises
        ------
        NonFiniteError
            A logit is NaN: such a text has no labels, and not the empty set of labels.
        """
        logits = self._checked(logits, "logits")
        num_broken = int(np.isnan(logits).any(axis=1).sum())
        if num_broken:
            raise NonFiniteError(
                f"The model returned NaN for {num_broken} of {len(logits)} texts. "
                "Its weights are damaged or its training diverged: train it again."
            )
        return _sigmoid(logits)

    def decide(self, scores: FloatArray) -> BoolArray:
        """Return whether each text gets each label. *Shapes:* (N, L) -> (N, L), bool."""
        scores = self._checked(scores, "scores")
        return np.greater_equal(scores, np.asarray(self.thresholds, dtype=np.float64))

    def names(self, scores: FloatArray) -> list[list[str]]:
        """Return the label names of each text, in label order. *Shape of scores:* (N, L)."""
        return [
            [self.space.names[column] for column in np.flatnonzero(row)]
            for row in self.decide(scores)
        ]

    def with_threshold(self, value: float) -> Decision:
        """Return the same decision with one given threshold between 0 and 1 for all labels."""
        return replace(
            self,
            thresholds=(_threshold("threshold", value),) * len(self.space),
            kind="fixed",
            fitted_on=None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the decision's keys of `thresholds.json` (see `schemas/thresholds.schema.json`)."""
        return {
            "labels": list(self.space.names),
            "activation": self.activation,
            "calibration": self.calibration,
            "thresholds": dict(zip(self.space.names, self.thresholds, strict=True)),
            "threshold_kind": self.kind,
            "goal": self.goal,
            "empty_set_rule": self.empty_set_rule,
            "fitted_on": None if self.fitted_on is None else self.fitted_on.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Decision:
        """Read what `to_json` wrote; keys that are not the decision's are left alone.

        Raises `ArtifactError`, with the name of the key, when one is missing or invalid.
        """
        labels = required_value(content, "labels", list)
        thresholds = required_value(content, "thresholds", dict)
        fitted_on = required_value(content, "fitted_on", dict | None)
        try:
            space = LabelSpace(tuple(labels))
            if set(thresholds) != set(space.names):
                different = sorted(set(thresholds) ^ set(space.names))
                raise ArtifactError(
                    "The keys 'labels' and 'thresholds' do not name the same labels; "
                    f"only one of them has: {', '.join(different)}"
                )
            return cls(
                space=space,
                thresholds=tuple(thresholds[name] for name in space.names),
                goal=required_value(content, "goal", str),
                kind=required_value(content, "threshold_kind", str),
                activation=required_value(content, "activation", str),
                calibration=required_value(content, "calibration", object),
                empty_set_rule=required_value(content, "empty_set_rule", str),
                fitted_on=None if fitted_on is None else FittedOn.from_json(fitted_on),
            )
        except LabelError as error:
            raise ArtifactError(f"The key 'labels' is invalid. {error}") from error
        except OptionError as error:
            raise ArtifactError(f"The stored decision is invalid. The key {error}") from error

    def _checked(self, values: FloatArray, what: str) -> FloatArray:
        values = np.asarray(values)
        if values.ndim != 2 or values.shape[1] != len(self.space):
            raise LabelError(
                f"The {what} have shape {values.shape}; expected (texts, {len(self.space)}) "
                f"for the labels {', '.join(self.space.names)}"
            )
        return values


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
    goal
        What the thresholds shall make large, one of `GOALS`.
    thresholds
        `global`, `per_label`, or a number between 0 and 1, with which nothing is fitted.
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
        Goal or thresholds are not among the allowed values.
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
    half = Decision(space, (0.5,) * len(space), goal, "fixed")
    if not isinstance(thresholds, str):
        return half.with_threshold(thresholds)
    scores, truth = half.scores(logits), labels.values
    fitted = _fit(scores, truth, goal, thresholds)
    defined = bool((truth == 1).any())
    fitted_on = FittedOn.of_hashes(
        row_hashes(texts, labels) if hashes is None else hashes,
        source=source,
        goal_value=goal_value(scores, truth, fitted, goal) if defined else None,
        goal_value_at_half=goal_value(scores, truth, 0.5, goal) if defined else None,
    )
    return replace(half, thresholds=fitted, kind=thresholds, fitted_on=fitted_on)


def rows_fitted(decision: Decision, texts: Sequence[str], labels: LabelMatrix) -> int:
    """Return how many of these rows are among those that the thresholds were fitted on."""
    if decision.fitted_on is None:
        return 0
    return int(decision.fitted_on.holds(row_hashes(texts, labels)).sum())


def _fit(scores: FloatArray, truth: FloatArray, goal: str, thresholds: str) -> tuple[float, ...]:
    if thresholds == "global":
        return (fit_global(scores, truth, goal),) * int(scores.shape[1])
    if thresholds == "per_label":
        return tuple(float(value) for value in fit_per_label(scores, truth, goal))
    raise OptionError(
        f"Unknown thresholds '{thresholds}'; expected global, per_label or a number from 0 to 1."
    )


def _sigmoid(logits: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)) in float32, computed so that exp never overflows."""
    logits = logits.astype(np.float32)
    with np.errstate(under="ignore"):
        small = np.exp(-np.abs(logits))
        scores: FloatArray = np.where(logits >= 0, 1, small) / (1 + small)
        return scores


def _threshold(key: str, value: Any) -> float:
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if is_number and 0 <= value <= 1:
        return float(value)
    raise OptionError(f"'{key}' is {value!r}; expected a number between 0 and 1.")


def _one_of(key: str, value: object, allowed: Sequence[object]) -> None:
    if value not in allowed:
        raise OptionError(
            f"'{key}' is {value!r}; expected one of: {', '.join(str(choice) for choice in allowed)}"
        )
