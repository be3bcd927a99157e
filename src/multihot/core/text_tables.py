"""Numbers and tables as plain text."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["aligned", "format_number", "format_percent", "shortened"]


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


def shortened(names: Sequence[str], most: int) -> str:
    """Return names separated by commas; of more than `most` the first, and how many there are."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} ... ({len(names)} in all)"
