"""Several columns that hold one label name each, such as `label1`, `label2`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from multihot.core.labels import normalized_name
from multihot.core.options import DataOptions
from multihot.core.text_tables import cut
from multihot.data.columns.binary_labels import label_value, value_reader
from multihot.data.columns.headings import is_label_name
from multihot.data.columns.text_and_id import other_columns
from multihot.data.columns.value_words import are_yes_and_no
from multihot.data.readers.table import as_number
from multihot.errors import DataError

__all__ = ["names_of_row", "numbered_columns", "uniting_columns"]

_NUMBERED = re.compile(r"(.*?)[\s_.:#/\[(-]*(\d{1,4})[\])]*")
_LONGEST_NAME = 100
_FEWEST_NAMES = 3  # fewer words in columns that are not numbered may mean 1 and 0


def numbered_columns(columns: Sequence[str], data: DataOptions) -> tuple[str, ...]:
    """Return the columns that are named like labels and numbered; none where one column is named so."""
    taken = {data.text_column, data.id_column, data.group_by, *data.ignore_columns}
    taken.update(other_columns(data))
    free = [name for name in columns if name not in taken]
    if any(is_label_name(name) for name in free):
        return ()
    stems: dict[str, list[str]] = {}
    for name in free:
        stem = _stem(name)
        if stem is not None:
            stems.setdefault(stem.casefold(), []).append(name)
    return tuple(next(iter(stems.values()))) if len(stems) == 1 else ()


def _stem(name: str) -> str | None:
    """Return what stands before the number of a column that is named like labels, else `None`."""
    match = _NUMBERED.fullmatch(name.strip()) if len(name) <= _LONGEST_NAME else None
    return match[1] if match is not None and is_label_name(match[1]) else None


def uniting_columns(
    names: Sequence[str],
    batches: Iterable[Sequence[Sequence[Any]]],
    data: DataOptions,
    known: Sequence[str] | None,
) -> bool:
    """Whether the cells of these columns are names rather than values of one label each.

    The first cells that are not blank decide.
    """
    if known and not {normalized_name(name) for name in names}.isdisjoint(known):
        return False
    values = value_reader(data)
    is_numbered = all(_stem(name) is not None for name in names)
    for columns in batches:
        cells = [cell for column in columns for cell in column if not _is_blank(cell)]
        if cells:
            plain = list({cell for cell in cells if not isinstance(cell, (list, dict))})
            is_value = values.values(plain) >= 0
            named = [
                str(cell).strip().casefold()
                for cell, known_value in zip(plain, is_value, strict=True)
                if not known_value and (data.label_names is not None or not _is_number(cell))
            ]
            has_lists = any(isinstance(cell, list) for cell in cells)
            if any(isinstance(cell, dict) for cell in cells):
                return False
            if are_yes_and_no(named) and not (has_lists and not plain):
                return False
            # Columns with such names are refused where one cell holds a value; others need to agree.
            return is_numbered or (len(named) == len(plain) and len(named) >= _FEWEST_NAMES)
    return bool(known)


def names_of_row(
    cells: Sequence[Any], columns: Sequence[str], source: str, line: int, *, may_be_numbers: bool
) -> list[Any]:
    """Return the names in the cells of a row; raise `DataError` for a value of 0/1 columns."""
    found: list[Any] = []
    for column, cell in zip(columns, cells, strict=True):
        if _is_blank(cell):
            continue
        if isinstance(cell, list):
            found += cell
            continue
        if not may_be_numbers and _is_number(cell):
            raise DataError(
                f"{cut(cell)} stands in a column of label names. Either it means that there is no label: "
                "empty the cell. Or the column holds numbers and is none of them: name the columns of "
                "names in data.label_columns. Indices of labels need data.label_names.",
                path=source,
                line=line,
                column=column,
            )
        found.append(cell.strip() if isinstance(cell, str) else cell)
    return found


def _is_blank(cell: Any) -> bool:
    if isinstance(cell, (list, dict)):
        return not cell
    value = label_value(cell, soft=False)
    return value is not None and math.isnan(value)


def _is_number(cell: Any) -> bool:
    if isinstance(cell, str) and cell.strip().casefold() in ("true", "false"):
        return True
    return as_number(cell) is not None
