"""Paths into cells that are objects, such as `meta.accusation`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

__all__ = ["at_path", "has_path", "nested_paths", "path_in"]

_DEEPEST = 5
_MOST_PATHS = 200
_MOST_ROWS = 100


def path_in(name: str, columns: Collection[str]) -> tuple[str, tuple[str, ...]] | None:
    """Return the column and the keys that a dotted name stands for; the longest column name wins."""
    parts = name.split(".")
    for number in range(len(parts) - 1, 0, -1):
        column = ".".join(parts[:number])
        if column in columns:
            return column, tuple(parts[number:])
    return None


def at_path(cell: Any, keys: Sequence[str]) -> Any:
    """Return what is at the keys; of a list of objects, the list of what is there in each."""
    for number, key in enumerate(keys):
        if isinstance(cell, list):
            found = [at_path(item, keys[number:]) for item in cell]
            return [
                value
                for item in found
                for value in (item if isinstance(item, list) else [item])
                if value is not None
            ]
        if not isinstance(cell, dict):
            return None
        # A key that holds a dot goes before a path.
        rest = ".".join(keys[number:])
        if rest in cell:
            return cell[rest]
        cell = cell.get(key)
    return cell


def has_path(cell: Any, keys: Sequence[str]) -> bool:
    """Whether the keys are there, whatever they hold."""
    if isinstance(cell, list):
        return any(has_path(item, keys) for item in cell)
    if not isinstance(cell, dict):
        return False
    if ".".join(keys) in cell:
        return True
    return keys[0] in cell and (len(keys) == 1 or has_path(cell[keys[0]], keys[1:]))


def nested_paths(columns: Sequence[str], cells: Sequence[Sequence[Any]]) -> list[str]:
    """Return the paths into the objects of the first rows, in order of appearance."""
    found: dict[str, None] = {}

    def walk(prefix: str, value: Any, depth: int) -> None:
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, dict) or depth > _DEEPEST or len(found) >= _MOST_PATHS:
                continue
            for key, inner in item.items():
                path = f"{prefix}.{key}"
                if not isinstance(inner, dict):
                    found[path] = None
                walk(path, inner, depth + 1)

    for name, column in zip(columns, cells, strict=True):
        for cell in column[:_MOST_ROWS]:
            walk(name, cell, 1)
    return list(found)
