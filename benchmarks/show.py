"""Print rows for people, as `tables` shows those of a results file, and keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from provenance import append_row
from tables import table

__all__ = ["print_rows", "show_and_keep"]


def print_rows(file_name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows that are meant for a file in `results/`, column under column."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    texts = [{name: str(row.get(name, "")) for name in names} for row in rows]
    heads, cells = table(file_name, texts)
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    print()
    for line in (heads, *cells):
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def show_and_keep(
    file_name: str,
    rows: Sequence[Mapping[str, object]],
    born: Mapping[str, object],
    *,
    keep: bool,
) -> None:
    """Print rows and, with `keep`, add them with their provenance `born` to a file in `results/`."""
    print_rows(file_name, rows)
    for row in rows if keep else ():
        append_row(file_name, {**row, **born})
