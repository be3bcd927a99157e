"""The content of a report as one JSON document; the page shows it and computes nothing anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from multihot.core.text_tables import format_percent, listed
from multihot.data.inspection.report import Inspection
from multihot.data.label_statistics import Shift
from multihot.decision.decision import Decision
from multihot.evaluation.report import Report
from multihot.inference.artifact import Artifact
from multihot.reporting.label_facts import (
    facts_of_label,
    gain_of_doubling,
    shifts_from_fitting,
    with_more_texts,
)
from multihot.reporting.tallies import MAX_PAIRED_LABELS, Mistake, ScoredRow, Tallies

__all__ = ["REPORT_VERSION", "Reasons", "data_document", "errors_of_a_label", "model_document"]

REPORT_VERSION = 1

Reasons = Mapping[tuple[int, str], Sequence[tuple[int, int, float]]]
"""By number of the row (from 0) and label: parts of the text, start and end in characters, and how far
each spoke for the label (above 0) or against it (below 0)."""

_MAX_NAMED = 8  # labels in one sentence
_MOST_ERRORS = 1000  # of all labels together
_LEAST_OF_A_LABEL, _MOST_OF_A_LABEL = 3, 20


def errors_of_a_label(num_labels: int) -> int:
    """Return how many errors of each kind are kept of a label, fewer where there are many labels."""
    share = _MOST_ERRORS // (2 * min(num_labels, _MOST_ERRORS))
    return max(_LEAST_OF_A_LABEL, min(_MOST_OF_A_LABEL, share))


def data_document(inspection: Inspection) -> dict[str, Any]:
    """Return the report of data files alone."""
    return {
        "format_version": REPORT_VERSION,
        "multihot_version": version("multihot"),
        "model": None,
        "data": inspection.to_json(),
    }


def model_document(
    artifact: Artifact,
    report: Report,
    tallies: Tallies,
    inspection: Inspection,
    *,
    source: str,
    shown: Sequence[str],
    reasons: Reasons | None = None,
) -> dict[str, Any]:
    """Return the report of a model on a file.

    Parameters
    ----------
    artifact
        The model.
    report
        Of `evaluate`.
    tallies
        What saw the rows that were evaluated.
    inspection
        Of the training files, where there are any, and then of the evaluated one.
    source
        The evaluated file as it was given.
    shown
        Labels that are shown in full, of `labels_that_matter`.
    reasons
        What in the texts of the shown errors spoke for their labels, and what against.
    """
    decision = artifact.decision
    more = with_more_texts(tallies.counts)
    details = {}
    for column, name in enumerate(decision.space.names):
        facts = facts_of_label(column, decision, tallies, detailed=name in shown)
        details[name] = {**facts, "f1_with_more_texts": more[column]}
    shifts = shifts_from_fitting(decision, tallies.counts)
    errors, rows = _errors(tallies, decision, set(shown), reasons or {})
    positives = {}
    if len(inspection.files) > 1:
        positives = {name: one.positives for name, one in inspection.files[0].labels.items()}
    return {
        "format_version": REPORT_VERSION,
        "multihot_version": version("multihot"),
        "model": _model(artifact),
        "source": source,
        "evaluation": report.to_json(reliability=True),
        "shown_labels": list(shown),
        "details": details,
        "shifts_from_fitting": None
        if shifts is None
        else {
            name: {**asdict(shift), "significant": shift.significant}
            for name, shift in shifts.items()
        },
        "gain_of_doubling": gain_of_doubling(report, positives),
        "errors": errors,
        "rows": rows,
        "data": inspection.to_json(),
        "remarks": [*report.remarks(), *_shifted(shifts or {}), *_missing(decision, inspection)],
    }


def _model(artifact: Artifact) -> dict[str, Any]:
    decision = artifact.decision
    fitted, fit_report = decision.fitted_on, decision.fit_report
    return {
        "name": artifact.folder.resolve().name,
        "form": artifact.form,
        "pooling": artifact.pooling,
        "max_length": artifact.max_length,
        "windows": None if artifact.windows is None else artifact.windows.to_json(),
        "written_by": artifact.multihot_version,
        "labels": len(decision.space),
        "goal": decision.goal,
        "threshold_kind": decision.kind,
        "calibration": None if decision.calibration is None else decision.calibration.method,
        "empty_set_rule": decision.empty_set_rule,
        "fitted_on": None
        if fitted is None
        else {"source": fitted.source, "rows": fitted.rows, "goal_value": fitted.goal_value},
        "cross_fitted": None if fit_report is None else fit_report.cross_fitted,
    }


def _errors(
    tallies: Tallies, decision: Decision, shown: set[str], reasons: Reasons
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the errors of the labels that are shown, and the rows they are in, in the file's order."""
    names = decision.space.names
    mistakes = [each for each in tallies.errors() if names[each.column] in shown]
    numbers = sorted({each.row for each in mistakes})
    places = {number: place for place, number in enumerate(numbers)}
    thresholds = decision.thresholds_by_name()

    def error(each: Mistake) -> dict[str, Any]:
        name = names[each.column]
        found = reasons.get((each.row, name))
        return {
            "row": places[each.row],
            "label": name,
            "kind": "missed" if each.is_missed else "extra",
            "score": each.score,
            "threshold": thresholds[name],
            "reasons": None if found is None else [list(part) for part in found],
        }

    rows = tallies.rows()
    return [error(each) for each in mistakes], [_row(n, rows[n], names) for n in numbers]


def _row(number: int, row: ScoredRow, names: Sequence[str]) -> dict[str, Any]:
    return {
        "number": number,
        "id": row.id,
        "line": row.line,
        "text": row.text,
        "labels": [names[column] for column in row.truth],
        "predicted": [names[column] for column in row.decided],
        "unknown_labels": row.unknown,
        "truncated": row.truncated,
    }


def _shifted(shifts: Mapping[str, Shift]) -> list[str]:
    names = [
        f"{name} {format_percent(shift.first)} -> {format_percent(shift.second)}"
        for name, shift in sorted(shifts.items(), key=lambda pair: -abs(pair[1].difference))
        if shift.significant
    ]
    if not names:
        return []
    return [
        f"Label frequencies differ significantly from the rows that fitted the decision: "
        f"{listed(names, _MAX_NAMED)}. Thresholds may not suit these texts."
    ]


def _missing(decision: Decision, inspection: Inspection) -> list[str]:
    """Return what a report lacks because the model or the call lacks it, and how to get it."""
    sentences = []
    if decision.kind == "top_k":
        sentences.append("Labels are taken by rank, so there is no threshold to move.")
    elif decision.fitted_on is None:
        sentences.append(
            "The model stores no validation facts: its thresholds were given, not fitted. 'multihot "
            "decide MODEL VALIDATION' fits them and stores how far they may vary."
        )
    elif decision.fit_report is None or not decision.fit_report.threshold_spread:
        sentences.append(
            "The model stores no spread of its thresholds; 'multihot decide MODEL VALIDATION' adds it."
        )
    if decision.fitted_on is not None and decision.fitting_facts is None:
        sentences.append(
            "The model does not store how often labels occurred in the rows that fitted it, so nothing "
            "is said of shifts from these; 'multihot decide MODEL VALIDATION' adds it."
        )
    if len(inspection.files) == 1:
        sentences.append(
            "Without --train FILE nothing is said of leaks from the training file, of shifts of label "
            "frequencies from it, and of what more training texts may bring."
        )
    if len(decision.space) > MAX_PAIRED_LABELS:
        sentences.append(f"Pairs of labels are counted up to {MAX_PAIRED_LABELS} labels.")
    return sentences
