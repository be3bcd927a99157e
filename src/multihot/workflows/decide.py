"""Tune the decision of a finished model on new labelled rows, without training.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multihot.core.goals import Costs, Goal, frequency_fraction, is_fitted, parse_goal
from multihot.core.labels import row_hashes, text_hashes
from multihot.core.limits import Limit, split_goal
from multihot.core.report_views import as_frame, as_html
from multihot.core.text_facts import TextFacts
from multihot.core.text_tables import (
    DEFAULT_WIDTH,
    aligned,
    counted,
    format_number,
    listed,
    shown_labels,
)
from multihot.data.examples import Examples
from multihot.data.labelled_file import LabelledFile, labelled_chunks
from multihot.data.text_facts import TextFactsCounter
from multihot.decision.cross_fit import with_report
from multihot.decision.decision import Decision
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.decision.former import with_former_thresholds
from multihot.decision.limit_fitting import check_limits, with_limits
from multihot.decision.objective import counted_value, counts_in_blocks
from multihot.decision.promises import Promise
from multihot.errors import DataError
from multihot.inference.card_promises import renew_card
from multihot.inference.predictor import Predictor
from multihot.inference.renewal import replace_decision

__all__ = ["TuningResult", "decide", "require_positive", "save"]

_FEW_ROWS = 100  # below, a note warns of the variance of thresholds
_NOT_REACHED = "not reached"
_SHOWN = ("jaccard", "micro_f1", "macro_f1", "subset_accuracy", "micro_precision", "micro_recall")


@dataclass(frozen=True)
class TuningResult:
    """The result of `decide`; `print` it or take `to_json()`."""

    before: Decision
    decision: Decision
    rows: int
    """Texts that the new decision was fitted on."""
    metrics_before: Mapping[str, float | None]
    """On these rows, by the previous decision."""
    metrics: Mapping[str, float | None]
    """On these rows, by the new one; optimistic, see `decision.fit_report`."""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the document that `decide --json` prints."""
        report = self.decision.fit_report
        names = self.decision.space.names
        return {
            "rows": self.rows,
            "before": _described(self.before, self.metrics_before),
            "after": _described(self.decision, self.metrics),
            "labels": list(names),
            "fit_report": None if report is None else report.to_json(),
            "notes": list(self.notes),
            "promises": [promise.to_json() for promise in self.decision.promises],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per label with its threshold before and after as a pandas data frame."""
        before, after = self.before.thresholds_by_name(), self.decision.thresholds_by_name()
        rows = {name: {"before": before[name], "after": after[name]} for name in after}
        return as_frame(rows, "label")

    def _repr_html_(self) -> str:
        return as_html(self)

    def _goal(self) -> Goal:
        return self.decision.parsed_goal()

    def _cell(self, name: str, value: float | None) -> str:
        is_missed = name == self.decision.goal and value is not None and value < 0
        bounded = self._goal().name in ("precision", "recall")
        return _NOT_REACHED if is_missed and bounded else format_number(value)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH, all_labels: bool = False) -> str:
        """Return the tables and remarks for so many columns; of many labels, some, or all."""
        after = _settings(self.decision)
        rows = [[name, value, after[name]] for name, value in _settings(self.before).items()]
        missed = []
        for name, metric in self.metrics.items():
            pair = [self.metrics_before[name], metric]
            both = [self._cell(name, value) for value in pair]
            rows.append([name, *both])
            if _NOT_REACHED in both:
                shown = [self._goal().shown(value) for value in pair]
                missed.append(f"{name}: before {shown[0]}; after {shown[1]}.")
        lines = [*aligned(["", "before", "after"], rows, width=width), *missed]
        if self.decision.kind != "top_k":
            lines += ["", *self._thresholds(width, all_labels=all_labels)]
        if self.decision.promises:
            lines += ["", *map(_promised, self.decision.promises)]
        if self.decision.fit_report is not None:
            lines += ["", self.decision.fit_report.to_text(width=width)]
        return "\n".join(lines)

    def _thresholds(self, width: int, *, all_labels: bool) -> list[str]:
        """Return the lines of the thresholds; of many labels, those that changed most and least."""
        before, after = self.before.thresholds_by_name(), self.decision.thresholds_by_name()
        changes = {name: abs((after[name] or 0) - (before[name] or 0)) for name in after}
        names, left_out = shown_labels(changes, every=all_labels)
        rows = [[name, format_number(before[name]), format_number(after[name])] for name in names]
        return [*aligned(["label", "threshold before", "after"], rows, width=width), *left_out]


def decide(
    predictor: Predictor,
    examples: Examples | LabelledFile,
    *,
    goal: str | None = None,
    thresholds: str | float | None = None,
    calibration: str | None = None,
    empty_set_rule: str | None = None,
    costs: Costs | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> TuningResult:
    """Fit goal, thresholds and calibration on labelled rows; nothing is written (see `save`).

    Labels that are unknown in all rows keep their former thresholds, unless one is given.

    Parameters
    ----------
    predictor
        The model.
    examples
        N labelled examples, matched by name, that the model was not trained on.
    goal, thresholds, calibration, empty_set_rule
        As in `TrainOptions`; what is not given stays as the model has it. The goal may have limits
        beside it, which are promised (see `core.limits`); without a goal, those of the model are promised anew.
    costs
        Costs of single labels for the goal `cost`; not given, they stay unless a goal is given.
    seed
        Of the folds and bootstrap samples of the fit report.
    progress
        Receives the number of texts scored so far, now and then.

    Raises
    ------
    DataError
        There is no row, no text is known to have any label, or too few rows for a limit.
    OptionError
        A choice is not among the allowed values.
    """
    before = predictor.decision
    goal, limits = _goal_and_limits(before, goal)
    options = _options(
        before,
        goal=goal,
        thresholds=thresholds,
        calibration=calibration,
        empty_set_rule=empty_set_rule,
        costs=costs,
    )
    by_rank = parse_goal(options.goal).name == "top_k"
    given = isinstance(options.thresholds, float)
    check_limits(
        limits,
        before.space,
        kind="top_k" if by_rank else "fixed" if given else "fitted",
        empty_set_rule=options.empty_set_rule,
    )
    rows, texts = _scored(predictor, examples, progress)
    require_positive(rows.truth, examples.source)
    found = fit(before.space, rows, options, source=Path(examples.source).name)
    decision = with_report(found.decision, rows, options, seed=seed)
    absent = np.flatnonzero(np.isnan(rows.truth).all(axis=0))
    decision = with_former_thresholds(decision, before, absent[:0] if given else absent)
    notes = list(found.notes) if decision.fit_report is None else []
    limited = with_limits(decision, rows, limits, path=str(examples.source))
    decision = limited.decision.with_facts(rows.logits, rows.truth, texts)
    notes += limited.notes
    former, reached = (_metrics(each, rows, decision) for each in (before, decision))
    is_same = former[decision.goal] is not None and former[decision.goal] == reached[decision.goal]
    if is_same and is_fitted(decision.kind) and before.thresholds != decision.thresholds:
        notes.append(
            f"{decision.goal} is the same before and after: both thresholds are equally good on these rows. "
            "Of such, 0.5 is taken, or else the middle of the gap between scores that is nearest to it."
        )
    notes += _notes(decision, rows.truth)
    return TuningResult(before, decision, len(rows), former, reached, tuple(notes))


def require_positive(truth: Any, source: str | Path) -> None:
    """Raise `DataError` where no text is known to have a label: nothing can be fitted on such rows.

    Parameters
    ----------
    truth
        0, 1 or NaN (unknown). *Shape:* (N, L).
    source
        The file that they are from.
    """
    if not (truth == 1).any():
        raise DataError(
            f"no text among the {counted(len(truth), 'row')} is known to have a label, so nothing can be fitted. "
            "Give labelled rows.",
            path=str(source),
        )


def _scored(
    predictor: Predictor,
    examples: Examples | LabelledFile,
    progress: Callable[[int], None] | None,
) -> tuple[FittingRows, TextFacts]:
    """Return the logits of the model and the truth of all rows, and what their texts look like."""
    shape = len(examples), len(predictor.space)
    logits, truth = np.empty(shape, np.float32), np.empty(shape, np.float32)
    hashes, texts = np.empty(len(examples), np.uint64), np.empty(len(examples), np.uint64)
    num_scored = 0
    counter, facts = TextFactsCounter(predictor.tokenizer), TextFacts()
    for chunk, labels in labelled_chunks(examples):
        matched = labels.aligned_to(predictor.space).hard()
        tokenized = predictor.tokenized(chunk.texts)
        rows = slice(num_scored, num_scored + len(chunk))
        logits[rows], truth[rows] = predictor.logits_of(tokenized), matched.values
        facts += counter.count(tokenized)
        hashes[rows], texts[rows] = row_hashes(chunk.texts, matched), text_hashes(chunk.texts)
        num_scored += len(chunk)
        if progress is not None:
            progress(num_scored)
    return FittingRows(logits, truth, hashes, texts), facts


def save(predictor: Predictor, result: TuningResult) -> Predictor:
    """Write the new decision into the model's `thresholds.json`, and return the model with it.

    What it promises goes into the model card, too.
    """
    artifact = replace_decision(predictor.artifact, result.decision)
    renew_card(artifact.folder, result.decision)
    return predictor.with_artifact(artifact)


def _goal_and_limits(before: Decision, goal: str | None) -> tuple[str | None, tuple[Limit, ...]]:
    """Return the goal without its limits, and the limits that are to be promised."""
    if goal is None:
        return None, tuple(promise.parsed() for promise in before.promises)
    return split_goal(goal)


def _options(
    before: Decision,
    *,
    goal: str | None,
    thresholds: str | float | None,
    calibration: str | None,
    empty_set_rule: str | None,
    costs: Costs | None,
) -> DecisionOptions:
    """Return what is asked for, and for the rest what the model has."""
    goal_text = before.goal if goal is None else goal
    if costs is None and before.costs is not None and parse_goal(goal_text).name == "cost":
        costs = dict(zip(before.space.names, before.costs, strict=True)) if goal is None else None
    if thresholds is None:
        thresholds = "global" if before.kind in ("fixed", "top_k") else before.kind
        if before.kind == "fixed" and goal is None and len(set(before.thresholds)) == 1:
            thresholds = before.thresholds[0]
    if calibration is None:
        calibration = "none" if before.calibration is None else before.calibration.method
    return DecisionOptions(
        goal_text, thresholds, calibration, empty_set_rule or before.empty_set_rule, costs
    )


def _metrics(decision: Decision, rows: FittingRows, fitted: Decision) -> dict[str, float | None]:
    """Return the metrics of a decision, and what it reaches of the goal of the fitted one."""
    counts = counts_in_blocks(
        rows.truth, lambda part: decision.decide(decision.scores(rows.logits[part]))
    )
    metrics = counts.metrics()
    shown = {name: metrics[name] for name in _SHOWN}
    if fitted.goal not in shown:
        shown[fitted.goal] = counted_value(counts, fitted.parsed_goal())
    return shown


def _notes(decision: Decision, truth: Any) -> list[str]:
    notes = []
    if len(truth) < _FEW_ROWS:
        notes.append(
            f"Only {counted(len(truth), 'row')}: thresholds fitted on so few have high variance. Use a few hundred "
            "rows."
        )
    names = np.array(decision.space.names)
    is_known, has_positive = ~np.isnan(truth).all(axis=0), (truth == 1).any(axis=0)
    if not is_known.all() and decision.kind not in ("fixed", "top_k"):
        notes.append(
            "The rows say nothing about these labels; they keep their former thresholds: "
            f"{listed(names[~is_known].tolist())}."
        )
    without = names[is_known & ~has_positive].tolist()
    # For costs a label that rows are known to lack has an optimum of its own: not to be given.
    if decision.kind == "per_label" and decision.parsed_goal().name == "cost":
        without = []
    if without and decision.kind in ("per_label", "shrunk"):
        notes.append(f"No row has these labels; they get the global threshold: {listed(without)}.")
    if without and frequency_fraction(decision.kind):
        notes.append(
            "No row has these labels; their low thresholds follow from that alone: "
            f"{listed(without)}."
        )
    if decision.kind == "fixed":
        notes.append("The threshold is a given number and not fitted; thresholds=global fits one.")
    return notes


def _promised(promise: Promise) -> str:
    """Return a promise in words."""
    return (
        f"Promise: {promise.parsed().sentence()} ({promise.method}, {counted(promise.rows, 'row')}, here "
        f"{promise.value:.3f})."
    )


def _settings(decision: Decision) -> dict[str, str]:
    calibration = decision.calibration
    return {
        "goal": decision.goal,
        "thresholds": decision.kind,
        "calibration": "none" if calibration is None else calibration.method,
        "empty sets": decision.empty_set_rule,
    }


def _described(decision: Decision, metrics: Mapping[str, float | None]) -> dict[str, Any]:
    content = decision.to_json()
    content["thresholds"] = decision.thresholds_by_name()
    keys = ("goal", "threshold_kind", "thresholds", "calibration", "empty_set_rule")
    return {**{key: content[key] for key in keys}, "metrics": dict(metrics)}
