"""Recognise the header of a delimited table in a line that may be a text."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from multihot.data.columns.headings import LABEL_NAMES, TEXT_NAMES, is_id_name

__all__ = ["HeaderNames", "header_names"]

_DELIMITERS = ",;\t|"
_MAX_NAME = 40
_MAX_WORDS = 3
_SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f]$")


@dataclass(frozen=True)
class HeaderNames:
    """The names in a line that looks like a header, and what separates them."""

    columns: tuple[str, ...]
    delimiter: str

    def fits(self, lines: Sequence[str]) -> bool:
        """Whether lines are rows with one cell for each name; the last may go on in a further line."""
        *rows, last = _rows(lines, self.delimiter) or [[]]
        width = len(self.columns)
        is_open = "".join(lines).count('"') % 2 == 1
        return all(len(row) == width for row in rows) and (
            len(last) == width or (is_open and 0 < len(last) <= width)
        )


def header_names(line: str) -> HeaderNames | None:
    """Return the names of a line that looks like the header of a table of texts; else `None`.

    It has two or more different cells, all short and none of them a sentence, and one of them is a usual
    name of a text, of an id or of labels.
    """
    for delimiter in _DELIMITERS:
        first, *_ = _rows([line.strip("\r\n")], delimiter) or [[""]]  # of a blank line
        cells = [cell.strip() for cell in first]
        named = cells[1:] if not cells[0] else cells
        if len(cells) < 2 or len(set(cells)) < len(cells) or not all(map(_is_short, named)):
            continue
        folded = {cell.casefold() for cell in named}
        if folded & (TEXT_NAMES | LABEL_NAMES) or any(map(is_id_name, named)):
            return HeaderNames(tuple(cells), delimiter)
    return None


def _is_short(cell: str) -> bool:
    return (
        0 < len(cell) <= _MAX_NAME
        and len(cell.split()) <= _MAX_WORDS
        and not _SENTENCE_END.search(cell)
    )


def _rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        return [line.rstrip("\r\n").split(delimiter) for line in lines if line.strip()]
