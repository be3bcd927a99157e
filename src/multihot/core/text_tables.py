"""Numbers and tables as plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["aligned", "cut", "format_number", "format_percent", "listed", "shown_labels"]

_MAX_CHARACTERS = 80
_MAX_NAMES = 30
_MOST, _LEAST = 40, 20  # labels in a table


def format_number(value: float | None, decimals: int = 3, missing: str = "-") -> str:
    """Return a number with so many decimals, and `missing` for `None`."""
    return missing if value is None else f"{value:.{decimals}f}"


def format_percent(fraction: float | None, decimals: int = 1, missing: str = "-") -> str:
    """Return a fraction in percent with so many decimals, and `missing` for `None`."""
    return missing if fraction is None else f"{100 * fraction:.{decimals}f} %"


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: the first column left-aligned, the others right-aligned."""
    columns = list(zip(heads, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in (heads, *rows)
    ]


def cut(value: Any) -> str:
    """Return the `repr` of a value from a file as messages show it: its first 80 characters."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, lists without end
        return "a value that is too long to show"
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]} ..."


def listed(names: Sequence[Any], most: int = _MAX_NAMES) -> str:
    """Return names as messages list them: the first ones, cut, and how many are left."""
    shown = ", ".join(
        name if len(name) <= _MAX_CHARACTERS else f"{name[:_MAX_CHARACTERS]} ..."
        for name in map(str, names[:most])
    )
    left = len(names) - most
    return f"{shown} and {left} more" if left > 0 else shown


def shown_labels(counts: Mapping[str, float]) -> tuple[list[str], list[str]]:
    """Return the labels that a table shows, and a line about the others where there are any.

    Up to 60 labels are all shown, in their order; of more, those with the 40 highest counts and the 20
    lowest ones, by falling count.
    """
    names = list(counts)
    left = len(names) - _MOST - _LEAST
    if left <= 0:
        return names, []
    names.sort(key=lambda name: -counts[name])
    line = f"Labels: the first {_MOST} and the last {_LEAST} of {len(names)}; --json has all."
    return [*names[:_MOST], *names[-_LEAST:]], [line]
