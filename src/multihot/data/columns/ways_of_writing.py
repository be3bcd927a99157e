"""How the cells of a column of label names are written: all of them in one way, or an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from multihot.core.options import DataOptions
from multihot.core.text_tables import cut
from multihot.data.columns.name_cells import NameCells
from multihot.data.columns.named_labels import Writing
from multihot.data.columns.printed_collections import kind_of, read_collection
from multihot.errors import DataError

__all__ = ["MISSING_WORDS", "way_of_writing"]

MISSING_WORDS = frozenset({"nan", "none", "null", "na", "n/a", "<na>", "nat", "\\n", "#n/a"})
"""How programs write a missing value, in lower case."""

_WRITTEN_KINDS = ("collection", "quoted", "tags")


def way_of_writing(cells: NameCells, path: str, column: str, data: DataOptions) -> Writing:
    """Return how the cells are written; raise `DataError` when they are written in several ways."""
    first = cells.first
    if cells.has_list:
        is_mixed = "plain" in first and "list" not in first
        if is_mixed and _is_choices(first["dict"][1]):
            return "choices"
        return "lists" if "list" in first else "objects"
    written = [kind for kind in _WRITTEN_KINDS if kind in first]
    if cells.fitting or data.label_delimiter == "" or not written or "other" in first:
        return "delimited"
    if written == ["quoted"] and "plain" in first and "," not in str(first["quoted"][1]):
        return "delimited"  # a name in quotes among others
    if data.label_delimiter is not None:
        if data.label_delimiter == "tags" and written == ["tags"]:
            return "tags"
        line, cell = first[written[0]]
        raise DataError(
            f"{cut(cell)} is a printed list of labels, which data.label_delimiter="
            f"{data.label_delimiter} would cut apart with its brackets. Leave that option out; if it "
            "is one label, make the option empty.",
            path=path,
            line=line,
            column=column,
        )
    return _writing_of_texts(first, written, path, column)


def _writing_of_texts(
    first: Mapping[str, tuple[int, Any]], written: Sequence[str], path: str, column: str
) -> Writing:
    """Return how printed lists are written, of which there are some."""
    bare = first.get("plain") or first.get("number")
    if bare is not None:
        if written == ["collection"] and _is_written_choices(str(first["collection"][1])):
            return "choices"
        earlier, later = sorted([bare, first[written[0]]], key=lambda place: place[0])
        raise _mixed_error(path, later, earlier, column)
    if "tags" in written and len(written) > 1:
        earlier, later = sorted((first[kind] for kind in written), key=lambda place: place[0])[:2]
        raise _mixed_error(path, later, earlier, column)
    return "tags" if written == ["tags"] else "written"


def _mixed_error(
    path: str, later: tuple[int, Any], earlier: tuple[int, Any], column: str
) -> DataError:
    missing = next(
        (p for p in (earlier, later) if str(p[1]).strip().casefold() in MISSING_WORDS), None
    )
    if missing is not None:
        other = earlier if missing is later else later
        return DataError(
            f"{cut(missing[1])} stands among printed lists, such as {cut(other[1])} in line {other[0]}: "
            "this is how programs write a missing value. "
            "If the row has no label, write []; if it has not been labelled, empty the cell and set "
            "data.empty_labels=unknown.",
            path=path,
            line=missing[0],
            column=column,
        )
    return DataError(
        f"{cut(later[1])} is written otherwise than {cut(earlier[1])} in line {earlier[0]}: one is "
        "a printed list of labels, the other a bare text. Write all cells of the column the same way "
        "([] or an empty cell for no label); if the brackets belong to names, set "
        "data.label_delimiter (empty: one label a cell).",
        path=path,
        line=later[0],
        column=column,
    )


def _is_choices(cell: Any) -> bool:
    return (
        isinstance(cell, dict) and list(cell) == ["choices"] and isinstance(cell["choices"], list)
    )


def _is_written_choices(text: str) -> bool:
    try:
        return kind_of(text.strip()) == "collection" and _is_choices(read_collection(text.strip()))
    except ValueError:
        return False
