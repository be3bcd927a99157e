"""Label cells with single labels changed, written as the other cells of their file are.

Letters: `L` labels.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multihot.core.options import DataOptions
from multihot.data.columns.binary_labels import ValueReader, value_reader
from multihot.data.columns.named_labels import NameForm
from multihot.data.columns.separators import split_cell
from multihot.data.correcting.text import NotWritableError

__all__ = ["BinaryCells", "edited_cell"]

Changes = Mapping[str, float]
"""New values of some labels of a row, by name: 1, 0, a fraction, or NaN (unknown)."""

_TYPICAL: Mapping[type, Mapping[float, Any]] = {
    bool: {1.0: True, 0.0: False},
    str: {1.0: "1", 0.0: "0"},
}
_MAX_DISTINCT = 1 << 12


@dataclass
class BinaryCells:
    """How 0/1 columns write their values, as learned from their cells.

    Attributes
    ----------
    data
        The options, which say what words mean.
    columns
        The names of the L columns.
    """

    data: DataOptions
    columns: Sequence[str]
    _counts: dict[str, Counter[Any]] = field(default_factory=dict)

    def update(self, cells: Sequence[Sequence[Any]]) -> None:
        """Add the cells of some rows. *Shape:* L columns of N cells."""
        for name, column in zip(self.columns, cells, strict=True):
            counts = self._counts.setdefault(name, Counter())
            if len(counts) < _MAX_DISTINCT:
                bare = (cell.strip() if isinstance(cell, str) else cell for cell in column)
                counts.update((type(cell), cell) for cell in bare)

    def cell(self, column: str, value: float) -> Any:
        """Return what the column has most often for a value, else what the others have, else 1 or 0."""
        reader = value_reader(self.data)
        others = sum((self._counts[name] for name in self.columns if name != column), Counter())
        for counts in (self._counts[column], others):
            for (_, cell), _ in counts.most_common():
                if _same(_value_of(reader, cell), value):
                    return cell
        types = Counter[type]()
        for (kind, _), number in (self._counts[column] + others).items():
            types[kind] += number
        if self.data.votes is not None or (self.data.true_values and value in (0, 1)):
            raise NotWritableError(f"no cell of the file is written as {value:g}")
        return self._typical(types, value)

    @staticmethod
    def _typical(types: Counter[type], value: float) -> Any:
        kind = next((each for each, _ in types.most_common() if each is not type(None)), str)
        if math.isnan(value):
            return "" if kind is str else None
        if value in (0, 1):
            return _TYPICAL.get(kind, {}).get(value, int(value))
        return f"{value:.6g}" if kind is str else value


def _value_of(reader: ValueReader, cell: Any) -> float:
    return float(reader.values([cell])[0])


def _same(one: float, other: float) -> bool:
    return (math.isnan(one) and math.isnan(other)) or abs(one - other) < 1e-6


def edited_cell(form: NameForm, line: int, cell: Any, changes: Changes) -> Any:
    """Return a cell of names, or of a value for each label, with some labels changed.

    What a removed label implied is written out, unless another name implies it.

    Raises
    ------
    NotWritableError
        The form cannot say it, such as an unknown label in a list of names.
    """
    if form.has_values:
        return _with_values(form, line, cell, changes)
    for label, value in changes.items():
        if value not in (0, 1):
            shown = "unknown" if math.isnan(value) else f"{value:g}"
            raise NotWritableError(
                f"a list of names cannot say that '{label}' is {shown}; it needs one column for each label"
            )
    parts = form.parts(line, cell)
    if isinstance(parts, dict) or form.writing == "choices":
        raise NotWritableError("labels are objects of another program here")
    parts = list(parts or [])
    names = [_name_of(form, part) for part in parts]
    kept = [part for part, name in zip(parts, names, strict=True) if changes.get(name, 1) == 1]
    new = [
        _made(form, label, parts)
        for label, value in changes.items()
        if value == 1 and label not in names
    ]
    if form.ancestry is not None:
        left = {_name_of(form, part) for part in [*kept, *new]}
        left.update(*map(form.ancestry.ancestors, left))
        for name in form.names(line, cell) or ():  # the nearest first
            if changes.get(name, 1) == 1 and name not in left:
                new.append(_made(form, name, parts))
                left |= {name, *form.ancestry.ancestors(name)}
    return _written(form, cell, kept, new)


def _name_of(form: NameForm, part: Any) -> str:
    if form.content == "indices":
        assert form.indexed is not None
        return form.indexed[int(part)]
    name = part[form.key] if form.content == "keyed" else part
    return form.spelling(str(name))


def _made(form: NameForm, label: str, parts: Sequence[Any]) -> Any:
    """Return what stands for a label in a list."""
    if form.content == "keyed":
        return {form.key: label}
    if form.content != "indices":
        return label
    assert form.indexed is not None
    index = list(form.indexed).index(label)
    is_text = form.writing == "delimited" or any(isinstance(part, str) for part in parts)
    return str(index) if is_text else index


def _written(form: NameForm, cell: Any, kept: Sequence[Any], new: Sequence[Any]) -> Any:
    """Return a cell with these parts, written as it was."""
    parts = [*kept, *new]
    if form.writing == "lists":
        return parts
    if form.writing == "objects":
        [key] = cell
        return {key: parts}
    if form.writing == "tags":
        return "".join(f"<{part}>" for part in parts)
    if form.writing == "written":
        return _printed(str(cell or "").strip(), parts)
    mark = form.delimiter
    for part in new:
        if split_cell(str(part), mark) != [str(part)]:
            raise NotWritableError(f"the name '{part}' holds what separates labels, {mark!r}")
    if len(parts) > 1 and mark in (None, ""):
        raise NotWritableError("cells hold one label each here")
    return _joint(str(cell or ""), mark).join(map(str, parts))


def _joint(text: str, mark: str | None) -> str:
    """Return what stands between two labels of a cell, spaces included."""
    mark = {"space": " ", "newline": "\n", "tab": "\t"}.get(mark or "", mark or "")
    first, found, rest = text.strip().partition(mark or "\0")
    if not found:
        return mark
    before, after = first[len(first.rstrip()) :], rest[: len(rest) - len(rest.lstrip())]
    return f"{before}{mark}{after}" if mark.strip() else mark


def _printed(text: str, parts: Sequence[Any]) -> str:
    """Return a printed list: of Python where the cell is one, else of JSON."""
    try:
        json.loads(text or "[]")
    except ValueError:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise NotWritableError("the cell is a printed list of another program") from None
        if isinstance(value, list):
            return repr(list(parts))
        if isinstance(value, tuple):
            return repr(tuple(parts))
        if isinstance(value, set):
            return "{" + ", ".join(map(repr, parts)) + "}" if parts else "[]"
        raise NotWritableError("the cell is a printed value of another program") from None
    return json.dumps(list(parts), ensure_ascii=not re.search(r"[^\x00-\x7f]", text))


def _with_values(form: NameForm, line: int, cell: Any, changes: Changes) -> Any:
    """Return an object or a vector with the values of some labels changed."""
    if form.writing == "objects" and isinstance(cell, dict):
        spelled = {form.spelling(str(name)): name for name in cell}
        shapes = [value for value in cell.values() if value is not None]
        are_bools = bool(shapes) and all(isinstance(value, bool) for value in shapes)
        new = {
            spelled.get(label, label): _plain(value, are_bools) for label, value in changes.items()
        }
        return {**cell, **new}
    parts = form.parts(line, cell)
    if form.content == "vectors" and form.writing == "lists" and isinstance(parts, list):
        assert form.indexed is not None
        vector = list(parts)
        are_bools = all(isinstance(value, bool) for value in vector)
        for label, value in changes.items():
            vector[list(form.indexed).index(label)] = _plain(value, are_bools)
        return vector
    raise NotWritableError("values of labels are printed in one cell here")


def _plain(value: float, are_bools: bool) -> Any:
    if math.isnan(value):
        return None
    if value in (0, 1):
        return bool(value) if are_bools else int(value)
    return float(np.float32(value))
