"""Which columns hold text, id, weight and group; an ambiguous choice is refused.

Letters: `N` rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.options import DataOptions
from multihot.core.text_tables import cut, listed
from multihot.data.columns.headings import (
    ID_NAMES,
    LABEL_NAMES,
    TEXT_NAMES,
    is_id_name,
    is_label_name,
    is_text_name,
)
from multihot.data.readers.table import as_number, as_text, lines_advice, nearest
from multihot.errors import DataError

__all__ = [
    "column_notes",
    "extra_columns",
    "find_id_column",
    "find_text_column",
    "group_cells",
    "other_columns",
    "paragraph_notes",
    "required_column",
    "text_cells",
    "text_of",
    "weight_cells",
]


def find_text_column(columns: Sequence[str], data: DataOptions, path: str | Path) -> str:
    """Return `data.text_column`, the only column named as in `TEXT_NAMES`, or the only candidate.

    A candidate is a column that no option names and that is not named like an id or a label. The
    column that keeps or puts rows together is the text only where no other one is named like a text.
    Names of other languages (`is_text_name`) count where none of `TEXT_NAMES` is there.
    """
    if data.text_column is not None:
        return required_column(data.text_column, columns, path, "data.text_column")
    taken = {data.id_column, data.label_column, *data.label_columns, *data.ignore_columns}
    taken.update(other_columns(data))
    together = {data.group_by, data.split_by}
    free = [name for name in columns if name not in taken and name not in together]
    keys = [name for name in columns if name in together and name not in taken - together]
    named = next(filter(None, (_text_names(names) for names in (free, keys))), [])
    # What annotation tools call it; in other tables it means many things.
    named = named or [name for name in free if name.casefold() == "data"]
    if len(named) > 1:
        raise DataError(
            f"Several columns are named like a text: {listed(named)}. Choose one with "
            "data.text_column=NAME, or join them with data.text_columns=NAME,NAME.",
            path=path,
        )
    plain = [name for name in free if not is_id_name(name) and not is_label_name(name)]
    if len(plain) != 1:
        plain = [
            name for name in free if not _is_plain_id(name) and name.casefold() not in LABEL_NAMES
        ]
    if len(named or plain) == 1:
        return (named or plain)[0]
    advice = (
        "if the first line is not a header, set data.header=false."
        if data.header
        else "without a header, columns are named 1, 2, 3 ..."
    )
    raise DataError(
        f"No column is named like a text. The columns are: {listed(columns)}. Choose one with "
        f"data.text_column=NAME; {advice}{lines_advice(path)}",
        path=path,
    )


def _text_names(columns: Sequence[str]) -> list[str]:
    usual = [name for name in columns if name.casefold() in TEXT_NAMES]
    return usual or [name for name in columns if is_text_name(name)]


def _is_plain_id(name: str) -> bool:
    return name.casefold() in ID_NAMES or name.casefold().endswith("_id")


def find_id_column(
    columns: Sequence[str], data: DataOptions, path: str | Path, text: str
) -> str | None:
    """Return `data.id_column` if the file has it, else a column named like an id, else `None`.

    Named like an id, in this order: `id`; `data.group_by`; the only name of `ID_NAMES` or that ends
    with `_id`. More than one of these is an error.
    """
    if data.id_column is not None:
        return data.id_column if data.id_column in columns else None
    taken = {text, data.label_column, *data.label_columns, *data.ignore_columns}
    taken.update(other_columns(data))
    free = [name for name in columns if name not in taken]
    found = list(filter(_is_plain_id, free))
    others = list(filter(is_id_name, free))
    if not found and len(others) == 1:
        found = others
    for preferred in (*(name for name in found if name.casefold() == "id"), data.group_by):
        if preferred in columns and preferred not in taken:
            return preferred
    if len(found) > 1:
        raise DataError(
            f"Several columns are named like an id: {listed(found)}. Choose one with "
            "data.id_column=NAME, and name the others in data.ignore_columns.",
            path=path,
        )
    return found[0] if found else None


def other_columns(data: DataOptions) -> tuple[str | None, ...]:
    """Return the columns that options name as neither text, id nor labels."""
    return data.weight_column, data.split_by, data.annotator_column, *data.vote_columns


def column_notes(text: str, row_id: str | None, data: DataOptions) -> list[str]:
    """Say which columns are used."""
    notes = [
        f"Texts: column '{text}'; ids: " + (f"column '{row_id}'." if row_id else "row numbers.")
    ]
    if data.id_column is not None and row_id is None:
        notes.append(f"There is no id column '{data.id_column}' in this file: rows are numbered.")
    return notes


def paragraph_notes(num_lists: int) -> list[str]:
    """Say how many texts are lists of paragraphs."""
    if not num_lists:
        return []
    return [f"{num_lists} texts are lists of paragraphs, which are joined by line breaks."]


def text_of(cell: Any, source: str, line: int, column: str) -> str:
    """Return the cell of a text column, a list of paragraphs joined by line breaks.

    Raises `DataError` when it is not a text.
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, list) and all(part is None or isinstance(part, str) for part in cell):
        return "\n".join(part for part in cell if part)
    what = "is missing (null)" if cell is None else f"is {cut(cell)}, not a text"
    raise DataError(
        f"The text {what}. Write it as a text; an empty one is allowed.",
        path=source,
        line=line,
        column=column,
    )


def text_cells(cells: Sequence[Any], lines: Sequence[int], source: str, column: str) -> list[str]:
    """Return the cells of a text column; raise `DataError` for the first that is not a text."""
    if set(map(type, cells)) <= {str}:
        return list(cells)
    return [text_of(cell, source, line, column) for line, cell in zip(lines, cells, strict=True)]


def required_column(name: str, columns: Sequence[str], path: str | Path, option: str) -> str:
    """Return `name`; raise `DataError` when there is no such column."""
    if name not in columns:
        raise DataError(
            f"There is no column '{name}' ({option}).{nearest(name, columns)} The columns are: "
            f"{listed(columns)}.{lines_advice(path) if option == 'data.text_column' else ''}",
            path=path,
        )
    return name


_LARGEST = float(np.finfo(np.float32).max)


def extra_columns(
    columns: Sequence[str], data: DataOptions, source: str
) -> tuple[int | None, int | None]:
    """Return the index of the column of weights and of the column that keeps rows together.

    `None` without an option.

    Raises `DataError` when there is no such column.
    """
    named = (data.weight_column, "data.weight_column"), (data.split_by, "data.split_by")
    weight, group = (
        None if name is None else columns.index(required_column(name, columns, source, option))
        for name, option in named
    )
    return weight, group


def weight_cells(
    cells: Sequence[Any], lines: Sequence[int], path: str, column: str
) -> npt.NDArray[np.float32]:
    """Read every cell as a weight.

    Returns
    -------
    weights
        *Shape:* (N,), float32, each finite and at least 0.

    Raises
    ------
    DataError
        A cell is no such number; an empty one is none.
    """
    weights = np.empty(len(cells), dtype=np.float32)
    for number, (line, cell) in enumerate(zip(lines, cells, strict=True)):
        weight = _number(cell)
        if weight is None or not 0 <= weight <= _LARGEST:
            raise DataError(
                f"The weight is {cut(cell)}; expected a number, 0 or more, such as 1 or 0.5.",
                path=path,
                line=line,
                column=column,
            )
        weights[number] = weight
    return weights


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, (str, int, float)):
        return None
    value = as_number(cell)
    return None if value is None or math.isnan(value) else value


def group_cells(cells: Sequence[Any]) -> list[str]:
    """Read every cell as text; an empty one keeps its row with no other."""
    return [as_text(cell).strip() for cell in cells]
