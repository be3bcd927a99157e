"""The geometry of a report's charts: paths and points in the coordinates of their pictures.

The axes of a plot begin at 0 and end at 1, or earlier where rare labels have low scores only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["PLOT", "histogram", "precision_recall", "reliability"]

PLOT = {"width": 254, "height": 196, "left": 48, "top": 8, "across": 190, "down": 150}
"""Size of a picture, and where its plot begins and how large it is."""

_ENDS = (1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


def _x(share: float) -> float:
    return round(PLOT["left"] + PLOT["across"] * share, 1)


def _y(share: float) -> float:
    return round(PLOT["top"] + PLOT["down"] * (1 - share), 1)


def precision_recall(
    curve: Mapping[str, Sequence[float]] | None, label: Mapping[str, Any], prevalence: float | None
) -> dict[str, Any] | None:
    """Return the curve over all thresholds, the chosen point, and the precision of giving it always.

    `None` where no threshold decides, or where no text has the label.
    """
    if curve is None or not label["support"]:
        return None
    points = []
    pairs = zip(curve["true_positives"], curve["false_positives"], strict=True)
    for right, extra in reversed(list(pairs)):
        if right + extra:
            points.append((_x(right / label["support"]), _y(right / (right + extra))))
    chosen = None
    if label["precision"] is not None and label["recall"] is not None:
        chosen = _x(label["recall"]), _y(label["precision"])
    return {"line": _line(points), "chosen": chosen, "always": _y(prevalence or 0)}


def reliability(bins: Sequence[Mapping[str, float]]) -> dict[str, Any] | None:
    """Return the bins of a label as points whose areas are their cells, and the line through them."""
    if not bins:
        return None
    most = max(each["cells"] for each in bins)
    largest = max(max(each["mean_score"], each["share_true"]) for each in bins)
    end = min(end for end in _ENDS if end >= min(largest, 1))
    points = [(_x(each["mean_score"] / end), _y(each["share_true"] / end)) for each in bins]
    radii = [round(1.5 + 3 * math.sqrt(each["cells"] / most), 1) for each in bins]
    dots = [(*point, radius) for point, radius in zip(points, radii, strict=True)]
    return {"line": _line(points), "dots": dots, "end": end}


def histogram(found: Mapping[str, Sequence[float]], threshold: float | None) -> dict[str, Any]:
    """Return the shares of positives above a middle line and of negatives below it.

    Heights are square roots of shares, so that rare scores are seen.
    """
    positives, negatives = sum(found["positives"]), sum(found["negatives"])
    shares = [
        [count / total if total else 0.0 for count in counts]
        for counts, total in ((found["positives"], positives), (found["negatives"], negatives))
    ]
    most, end = max(*shares[0], *shares[1]) or 1.0, found["edges"][-1]
    return {
        "positives": _bars(shares[0], most, 1),
        "negatives": _bars(shares[1], most, -1),
        "middle": _y(0.5),
        "threshold": None if threshold is None else _x(threshold / end),
        "end": end,
    }


def _bars(shares: Sequence[float], most: float, direction: int) -> str:
    width = PLOT["across"] / len(shares)
    parts = []
    for place, share in enumerate(shares):
        if share:
            height = round(direction * PLOT["down"] / 2 * math.sqrt(share / most), 1)
            left = round(PLOT["left"] + place * width, 1)
            parts.append(f"M{left} {_y(0.5)}v{-height}h{round(width - 0.6, 1)}v{height}z")
    return "".join(parts)


def _line(points: Sequence[tuple[float, float]]) -> str:
    """Return a path through points, those on a straight line between equal neighbours left out."""
    kept: list[tuple[float, float]] = []
    for point in points:
        if kept and point == kept[-1]:
            continue
        if len(kept) > 1 and kept[-1][0] == kept[-2][0] == point[0]:
            kept[-1] = point
        else:
            kept.append(point)
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in kept) if kept else ""
