"""What the cells of a column that may hold label names have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from multihot.data.columns.label_names import Spelling
from multihot.data.columns.printed_collections import kind_of
from multihot.data.columns.separators import DELIMITERS, split_cell

__all__ = ["MAX_DISTINCT_BYTES", "NameCell", "NameCells", "cell_key"]

MAX_DISTINCT_BYTES = 1 << 24
"""How much of the distinct cells of a column is held while a file is checked, unless said otherwise."""

_CELL_BYTES = 200  # what a cell takes beside its characters

NameCell = tuple[int, Any, int]
"""The line that a cell first occurs in, the cell, and how often it occurs."""


class NameCells:
    """The cells of a column that may hold label names.

    Holds what all cells have in common, however many there are, and the distinct cells in order of
    appearance, as long as they fit.

    Attributes
    ----------
    has_content
        A cell is neither empty nor null.
    first
        Line and cell of the first cell of each kind that occurs: `list`, `dict` and `number` (a
        whole one) as JSON and Parquet have them; `other`; and texts by
        `printed_collections.kind_of`. Null and empty cells are of no kind, but
        an empty text is `empty`.
    example
        The first of the plain texts with the most kinds of delimiters, and their number.
    """

    def __init__(
        self,
        known: Sequence[str] | None = None,
        *,
        max_bytes: int = MAX_DISTINCT_BYTES,
        spelling: Spelling | None = None,
    ) -> None:
        self.has_content = False
        self.first: dict[str, tuple[int, Any]] = {}
        self.example: tuple[int, str] = (0, "")
        self._spelling = spelling or Spelling()
        self._known = set(known or ())
        self._delimiters: set[str] = set()
        self._fitting: list[str | None] = [] if known is None else [None, *DELIMITERS]
        self._counts: dict[Any, int] | None = {}
        self._first_lines: list[tuple[int, Any]] = []
        self._room = max_bytes

    @property
    def has_list(self) -> bool:
        """Whether a cell is a list or an object, of JSON or Parquet."""
        return "list" in self.first or "dict" in self.first

    @property
    def delimiters(self) -> list[str]:
        """The possible delimiters that occur in plain texts."""
        return [mark for mark in DELIMITERS if mark in self._delimiters]

    @property
    def fitting(self) -> list[str | None]:
        """The delimiters among them that leave nothing but known names; `None` = no delimiter."""
        return [mark for mark in self._fitting if mark is None or mark in self._delimiters]

    def update(self, lines: Sequence[int], cells: Sequence[Any]) -> None:
        """Add the cells of some rows."""
        counts = self._counts
        for line, cell in zip(lines, cells, strict=True):
            key = cell_key(cell)
            if counts is not None and key in counts:
                counts[key] += 1
                continue
            self._summarise(line, cell)
            if counts is not None:
                counts[key] = 1
                self._first_lines.append((line, cell))
                self._room -= _CELL_BYTES + len(key if isinstance(key, str) else key[0])
                if self._room < 0:
                    counts = self._counts = None
                    self._first_lines = []

    def distinct(self, again: Callable[[], Iterator[NameCell]] | None = None) -> Iterator[NameCell]:
        """Return the distinct cells, or, if they did not fit, all cells as `again` reads them."""
        if self._counts is None:
            assert again is not None
            return again()
        return (
            (line, cell, count)
            for (line, cell), count in zip(self._first_lines, self._counts.values(), strict=True)
        )

    def _summarise(self, line: int, cell: Any) -> None:
        if cell is None:
            return
        if isinstance(cell, str):
            text = cell.strip()
            text_kind = kind_of(text) if text else "empty"
            self.first.setdefault(text_kind, (line, cell))
            if text:
                self._summarise_text(text, is_plain=text_kind == "plain")
            return
        self.has_content = True
        if isinstance(cell, list):
            kind = "list"
        elif isinstance(cell, dict):
            kind = "dict"
        else:
            is_whole = isinstance(cell, int) and not isinstance(cell, bool)
            kind = "number" if is_whole else "other"
            if is_whole:
                self._summarise_text(str(cell), is_plain=True)
        self.first.setdefault(kind, (line, cell))

    def _summarise_text(self, text: str, *, is_plain: bool) -> None:
        self.has_content = True
        marks = [mark for mark in DELIMITERS if mark in text]
        self._delimiters.update(marks)
        if is_plain and len(marks) > self.example[0]:
            self.example = len(marks), text
        if self._fitting:
            self._fitting = [
                mark
                for mark in self._fitting
                if self._known.issuperset(map(self._spelling, split_cell(text, mark)))
            ]


def cell_key(cell: Any) -> Any:
    """Return what tells a cell from all others and can be a key of a dictionary."""
    return cell if type(cell) is str else (repr(cell),)
