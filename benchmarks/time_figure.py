"""A figure of minutes against quality: one point with its interval for each side and setting."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "docs" / "pictures"))

from lesson_svg import ACCENT, FAINT, INK, line, page, text, text_width

__all__ = ["Point", "drawn"]

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 700, 40, 310
_FONT_SIZE = 14  # a little more than the labels have, as some are bold
_Box = tuple[float, float, float, float]
"""Left, right, top, bottom."""
_METRICS = {"jaccard": "Jaccard", "macro_f1": "macro-F1", "micro_f1": "micro-F1"}
_MARKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)  # minutes


@dataclass(frozen=True)
class Point:
    """Minutes, and the mean score over the seeds with the bounds of its 95 % intervals."""

    name: str
    minutes: float
    score: float
    low: float
    high: float
    is_ours: bool = False


def drawn(points: Sequence[Point], goal: str, target: float) -> str:
    """Return the figure; minutes are on a logarithmic scale."""
    fastest = min(each.minutes for each in points) / 1.6
    slowest = max(each.minutes for each in points) * 1.6
    lowest = min(target, *(each.low for each in points)) - 0.01
    highest = max(target, *(each.high for each in points)) + 0.01

    def across(minutes: float) -> float:
        share = math.log(minutes / fastest) / math.log(slowest / fastest)
        return _LEFT + share * (_RIGHT - _LEFT)

    def up(score: float) -> float:
        return _BOTTOM - (score - lowest) / (highest - lowest) * (_BOTTOM - _TOP)

    metric = _METRICS.get(goal, goal)
    parts = [
        line((_LEFT, _BOTTOM), (_RIGHT, _BOTTOM)),
        line((_LEFT, _TOP), (_LEFT, _BOTTOM)),
        text(
            (_LEFT + _RIGHT) / 2,
            344,
            "minutes of one processor from the files to the model",
            anchor="middle",
        ),
        text(_LEFT, 20, f"test {metric}"),
        line((_LEFT, up(target)), (_RIGHT, up(target)), dashed=True),
    ]
    for mark in _MARKS:
        if fastest <= mark <= slowest:
            parts.append(line((across(mark), _BOTTOM), (across(mark), _BOTTOM + 5)))
            parts.append(text(across(mark), _BOTTOM + 16, f"{mark:g}", size=12, anchor="middle"))
    for hundredth in range(math.ceil(lowest * 50), math.floor(highest * 50) + 1):
        score = hundredth / 50
        parts.append(line((_LEFT - 5, up(score)), (_LEFT, up(score))))
        label = f"{score:.2f}".lstrip("0")
        parts.append(text(_LEFT - 9, up(score), label, size=12, anchor="end"))
    marks = [
        (each, across(each.minutes), up(each.score), up(each.low), up(each.high)) for each in points
    ]
    taken = [(x - 7, x + 7, top, bottom) for _, x, _, bottom, top in marks]
    for each, x, y, bottom, top in marks:
        colour = ACCENT if each.is_ours else FAINT
        parts.append(line((x, bottom), (x, top), colour=colour))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
        label = f"{each.name}, {each.minutes:.1f} min"
        (left, middle, anchor), box = _free_place(label, (x, y, bottom, top), taken)
        taken.append(box)
        parts.append(
            text(
                left,
                middle,
                label,
                colour=ACCENT if each.is_ours else INK,
                bold=each.is_ours,
                anchor=anchor,
            )
        )
    return page(_WIDTH, _HEIGHT, parts)


def _free_place(
    label: str, mark: tuple[float, float, float, float], taken: Sequence[_Box]
) -> tuple[tuple[float, float, str], _Box]:
    """Return where a label overlaps least, with its anchor, and what it covers: beside its mark, below or above."""
    x, y, bottom, top = mark
    width = text_width(label, _FONT_SIZE)
    places = [
        (x + 10, y, "start", 0.0),
        (x - 10, y, "end", 1.0),
        (x, bottom + 14, "middle", 0.5),
        (x, top - 14, "middle", 0.5),
    ]
    found = []
    for left, middle, anchor, share in places:
        box = (left - share * width, left + (1 - share) * width, middle - 9, middle + 9)
        outside = max(0, _LEFT - box[0]) + max(0, box[1] - _RIGHT - 10)
        covered = sum(_common(box, other) for other in taken)
        found.append((covered + 1000 * outside, ((left, middle, anchor), box)))
    return min(found, key=lambda each: each[0])[1]


def _common(one: _Box, other: _Box) -> float:
    """Return the area that two boxes share."""
    across = min(one[1], other[1]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[2], other[2])
    return max(0.0, across) * max(0.0, down)
