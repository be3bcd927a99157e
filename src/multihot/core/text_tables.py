"""Numbers and tables as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["aligned", "cut", "format_number", "format_percent", "listed"]

_MAX_CHARACTERS = 80
_MAX_NAMES = 30


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
