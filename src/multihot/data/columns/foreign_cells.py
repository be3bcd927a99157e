"""Label cells of other formats, which none of the ways to write label names fits."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["foreign_cell"]

_SPARSE = re.compile(r"\d+:\d+(?:\.\d+)?(?:\s+\d+:\d+(?:\.\d+)?)*")
_ELEMENT = re.compile(r"<([A-Za-z][\w-]*)(?:\s[^<>]*)?>.*</\1>", re.DOTALL)
_ITEM = re.compile(r"[-*•] \S.*")
_BITS = re.compile(r"[01]{2,}")


def foreign_cell(cells: Sequence[str]) -> tuple[str, str] | None:
    """Return a stripped cell that is written in a format of its own, and what to do; else `None`."""
    first = cells[0] if cells else ""
    if cells and all(map(_SPARSE.fullmatch, cells)):
        return first, (
            "looks like a sparse vector of index:value. Write the indices alone, such as 1 5, with "
            "data.label_delimiter=space, and name the labels in data.label_names=FILE."
        )
    if cells and all(map(_BITS.fullmatch, cells)) and _are_even(cells):
        return first, (
            "looks like a vector of 0 and 1 without separators. Write it as 0,1,0 and name the "
            "labels in data.label_names=FILE."
        )
    element = next(filter(_ELEMENT.fullmatch, cells), None)
    if element is not None:
        return element, "is an element of HTML or XML. Write the names alone, separated by '|'."
    series = next((cell for cell in cells if cell.endswith("dtype: object")), None)
    if series is not None:
        return series, "is a printed Series of pandas. Write its tolist(), a list of names."
    if cells and all(all(map(_ITEM.fullmatch, cell.splitlines())) for cell in cells):
        return (
            first,
            "is a list of YAML or Markdown. Write the names without the marks before them.",
        )
    return None


def _are_even(cells: Sequence[str]) -> bool:
    """Whether all cells are of one length and one begins with 0, as no number does."""
    return len({len(cell) for cell in cells}) == 1 and any(cell[0] == "0" for cell in cells)
