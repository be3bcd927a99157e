"""What the page's own script needs: curves for the sliders, and the errors to look through.

Everything in it is ready to be shown: the script changes no name and no text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from multihot.core.text_tables import printable
from multihot.reporting.charts import PLOT

__all__ = ["browser_data", "pieces"]

_MOST_CHARACTERS = 300_000  # of all texts together
_LONGEST, _SHORTEST = 1200, 160  # characters of one text
_MOST_NAMES = 20  # labels of one text
_LEVELS = 3

Piece = tuple[str, int]
"""Part of a text, and how far it spoke for a label: -3 to 3."""


def browser_data(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return names, curves, rows and errors; labels and rows are numbers there."""
    names = list(document["details"])
    columns = {name: column for column, name in enumerate(names)}
    rows, errors = document["rows"], document["errors"]
    room = max(_SHORTEST, min(_LONGEST, _MOST_CHARACTERS // max(1, len(rows))))
    return {
        "plot": PLOT,
        "names": [printable(name) for name in names],
        "labels": [
            _curve(document, name, columns[name])
            for name in document["shown_labels"]
            if document["details"][name]["curve"] is not None
        ],
        "rows": [
            {
                "id": printable(row["id"]),
                "line": row["line"],
                "text": printable(row["text"][:room], lines=True),
                "more": max(0, len(row["text"]) - room),
                "labels": [columns[name] for name in row["labels"]][:_MOST_NAMES],
                "predicted": [columns[name] for name in row["predicted"]][:_MOST_NAMES],
                "left": [max(0, len(row[key]) - _MOST_NAMES) for key in ("labels", "predicted")],
                "unknown": row["unknown_labels"],
                "cut": row["truncated"],
            }
            for row in rows
        ],
        "errors": [
            {
                "row": each["row"],
                "label": columns[each["label"]],
                "missed": each["kind"] == "missed",
                "score": float(f"{each['score']:.4g}"),
                **_reasons(each, rows[each["row"]]["text"][:room]),
            }
            for each in errors
        ],
    }


def _curve(document: Mapping[str, Any], name: str, column: int) -> dict[str, Any]:
    facts = document["details"][name]
    curve, label = facts["curve"], document["evaluation"]["labels"][name]
    thresholds = curve["thresholds"]
    return {
        "label": column,
        "support": label["support"],
        "known": facts["known"],
        "stored": thresholds.index(label["threshold"]),
        "thresholds": [float(f"{value:.5g}") for value in thresholds],
        "right": curve["true_positives"],
        "extra": curve["false_positives"],
    }


def _reasons(error: Mapping[str, Any], text: str) -> dict[str, Any]:
    return {} if error["reasons"] is None else {"pieces": pieces(text, error["reasons"])}


def pieces(text: str, reasons: Sequence[Sequence[float]]) -> list[Piece]:
    """Cut a text at the parts that spoke for a label or against it; the strongest has level 3."""
    strongest = max((abs(part[2]) for part in reasons), default=0.0)
    cut: list[Piece] = []
    at = 0
    for start, stop, weight in sorted(map(tuple, reasons)):
        first, last = max(at, int(start)), min(int(stop), len(text))
        if first >= last or not strongest:
            continue
        if first > at:
            cut.append((printable(text[at:first], lines=True), 0))
        cut.append((printable(text[first:last], lines=True), round(_LEVELS * weight / strongest)))
        at = last
    if at < len(text):
        cut.append((printable(text[at:], lines=True), 0))
    return cut
