"""Turn Arrow tables into rows of Python values, with class names instead of class numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["arrow_rows", "class_names"]


def class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the class names of every column of Hugging Face features (as plain values) that has some.

    A column has names when it is a `ClassLabel`, or a list of them.
    """
    found = {}
    for column, feature in features.items():
        inner = feature
        while isinstance(inner, Mapping) and isinstance(inner.get("feature"), Mapping):
            inner = inner["feature"]
        if isinstance(inner, list) and len(inner) == 1:  # how older versions write a list
            inner = inner[0]
        if isinstance(inner, Mapping) and inner.get("_type") == "ClassLabel" and inner.get("names"):
            found[column] = list(inner["names"])
    return found


def arrow_rows(
    tables: Iterable[Any], names: Mapping[str, list[str]]
) -> Iterator[tuple[int, list[Any]]]:
    """Yield 1-based row numbers and cells of Arrow tables or record batches.

    Class numbers become lists of names, also single ones, so that no name is cut at a comma; the
    number -1, which stands for no annotation, becomes `None`.
    """
    number = 0
    for table in tables:
        columns = [
            [_named(cell, names[column]) for cell in values] if column in names else values
            for column, values in zip(
                table.schema.names, (column.to_pylist() for column in table.columns), strict=True
            )
        ]
        for cells in zip(*columns, strict=True):
            number += 1
            yield number, list(cells)


def _named(cell: Any, names: list[str]) -> list[str] | None:
    if cell is None or cell == -1:
        return None
    numbers = cell if isinstance(cell, list) else [cell]
    return [names[number] for number in numbers]
