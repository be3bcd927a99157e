"""What the card of each label shows, from the document of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from multihot.core.text_tables import format_number
from multihot.reporting.charts import histogram, precision_recall, reliability
from multihot.reporting.page_data import pieces

__all__ = ["ERRORS_ON_A_CARD", "label_cards"]

ERRORS_ON_A_CARD = 3
"""Of each kind."""

_CHARACTERS = 280  # of a text


def label_cards(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one card for each label that is shown, in label order."""
    columns = {name: column for column, name in enumerate(document["details"])}
    return [_card(document, name, columns[name]) for name in document["shown_labels"]]


def _card(document: Mapping[str, Any], name: str, column: int) -> dict[str, Any]:
    label, facts = document["evaluation"]["labels"][name], document["details"][name]
    curve = facts["curve"]
    return {
        "name": name,
        "column": column,
        "label": label,
        "facts": facts,
        "stored": None if curve is None else curve["thresholds"].index(label["threshold"]),
        "steps": 0 if curve is None else len(curve["thresholds"]) - 1,
        "precision_recall": precision_recall(curve, label, facts["prevalence"]),
        "reliability": reliability(label["reliability"]),
        "histogram": histogram(facts["histogram"], label["threshold"]),
        "best": _best_threshold(facts, label),
        "findings": list(_findings(label, facts)),
        "missed": _of_kind(document, name, "missed"),
        "extra": _of_kind(document, name, "extra"),
    }


def _of_kind(document: Mapping[str, Any], name: str, kind: str) -> list[dict[str, Any]]:
    """Return the worst errors of a label, each with its row and its text in pieces."""
    errors = document["errors"]
    found = [each for each in errors if each["label"] == name and each["kind"] == kind]
    shown = []
    for each in found[:ERRORS_ON_A_CARD]:
        row = document["rows"][each["row"]]
        text = row["text"][:_CHARACTERS]
        cut = pieces(text, each["reasons"] or [])
        shown.append({**each, "id": row["id"], "pieces": cut, "more": len(row["text"]) > len(text)})
    return shown


def _best_threshold(facts: Mapping[str, Any], label: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the threshold of the curve at which F1 is highest on these texts, and that F1."""
    curve = facts["curve"]
    if curve is None or not label["support"]:
        return None
    rows = zip(
        *(curve[key] for key in ("thresholds", "true_positives", "false_positives")), strict=True
    )
    scored = [
        (2 * right / (label["support"] + right + extra), threshold)
        for threshold, right, extra in rows
    ]
    value, threshold = max(scored)
    return {"f1": value, "threshold": threshold}


def _findings(label: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """Return what stands out, in sentences."""
    sentences = []
    missed, extra, support = facts["false_negatives"], facts["false_positives"], label["support"]
    if not support:
        return ["No text here has this label, so only false alarms can be seen."]
    low, high = label["f1_low"], label["f1_high"]
    if low is not None and high is not None and high - low > 0.2:
        sentences.append(
            f"With {support} texts that have it, F1 is known only to lie between {low:.2f} and {high:.2f}."
        )
    if missed > 2 * max(extra, 1):
        sentences.append(
            "It is missed far more often than given wrongly: a lower threshold finds more."
        )
    elif extra > 2 * max(missed, 1):
        sentences.append(
            "It is given wrongly far more often than missed: a higher threshold is stricter."
        )
    error, calibrated = (
        label["expected_calibration_error"],
        label["expected_calibration_error_if_calibrated"],
    )
    if error is not None and calibrated is not None and error > 2 * calibrated and error > 0.02:
        sentences.append(
            f"Its scores are no probabilities here: they are off by {error:.3f} on average, calibrated "
            f"ones would be by {format_number(calibrated)}."
        )
    return sentences
