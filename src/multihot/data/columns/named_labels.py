"""Labels in the cells of one column: names, indices, vectors of 0 and 1, or objects with a value each.

Letters: `L` labels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from multihot.core.labels import normalized_name
from multihot.core.options import DataOptions
from multihot.core.text_tables import cut, listed
from multihot.data.columns.binary_labels import label_value
from multihot.data.columns.label_hierarchy import Ancestry
from multihot.data.columns.label_names import Spelling
from multihot.data.columns.printed_collections import read_collection, read_tags
from multihot.data.columns.separators import split_cell
from multihot.data.readers.table import nearest
from multihot.errors import DataError, LabelError

__all__ = ["NameForm", "Writing"]

Writing = Literal["lists", "objects", "written", "tags", "delimited", "choices"]
Content = Literal["names", "indices", "vectors", "keyed", "values"]

_MAX_PARSED = 1 << 14
_OBJECT_TYPES: dict[str, type] = {"lists": list, "objects": dict}


@dataclass(frozen=True)
class NameForm:
    """How one column holds labels, as decided from all of its cells.

    Attributes
    ----------
    path, column
        The file and the column, for messages.
    data
        The options; of them, `label_key`, `soft_labels`, `unknown_labels` and
        `empty_labels` count here.
    writing
        `lists` or `objects` (of JSON and Parquet); `written` (lists or objects written as text);
        `tags` (`<a><b>`); `delimited` (texts); or `choices` (Label Studio's, a bare name for one).
    delimiter
        What separates the labels of a cell; `None` when nothing does or the cells are lists.
    known
        The names that may occur; `None` = any.
    indexed
        The names that indices and vectors are about; `None` = there are none.
    content
        What the parts of a cell are: `names`; `indices`; `vectors` of L values; `keyed`, objects
        that hold a name under a key; or `values`, objects from names to values.
    key
        The key of the names in objects.
    unmentioned
        The value of a label that an object of values lacks.
    spelling
        What makes names equal.
    ancestry
        What names imply; `None` = nothing. Implied labels are named by the cell, too.
    note
        What was recognised.
    """

    path: str
    column: str
    data: DataOptions
    writing: Writing
    delimiter: str | None = None
    known: Sequence[str] | None = None
    indexed: Sequence[str] | None = None
    content: Content = "names"
    key: str | None = None
    unmentioned: float = 0.0
    spelling: Spelling = field(default_factory=Spelling)
    ancestry: Ancestry | None = None
    note: str = ""
    _parsed: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    _allowed: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_allowed", frozenset(self.known or ()))

    @property
    def has_values(self) -> bool:
        """Whether a cell gives labels a value, rather than naming those that are positive."""
        return self.content in ("vectors", "values")

    def names(self, line: int, cell: Any) -> list[str] | None:
        """Return the label names of one cell and what they imply, for a form without values.

        `None` is an unlabelled row; an empty text or list has no label.

        Raises
        ------
        DataError
            A cell, an index or a name is wrong.
        """
        parts = self.parts(line, cell)
        if parts is None:
            return None
        if self.content == "indices":
            parts = self._from_indices(parts, line)
        elif self.content == "keyed":
            parts = [self._name_in(part, line) for part in parts]
        names = self._checked(parts, line)
        return names if self.ancestry is None else [*names, *self._implied(names, parts, line)]

    def _implied(self, names: Sequence[str], parts: Sequence[Any], line: int) -> list[str]:
        """Return what the names of a cell imply, also those that are passed over, and it lacks."""
        assert self.ancestry is not None
        try:
            found = [self.ancestry.ancestors(self.spelling(part)) for part in parts]
        except LabelError as error:
            raise self.fail(line, str(error)) from None
        implied = dict.fromkeys(above for some in found for above in some)
        known = implied if self.known is None else self._allowed
        return [above for above in implied if above in known and above not in names]

    def values(self, line: int, cell: Any) -> dict[str, float] | None:
        """Return the value of each label that a cell speaks of: 0, 1, a fraction, or NaN (unknown).

        `None` is an unlabelled row. Raises `DataError` when the cell is wrong.
        """
        parts = self.parts(line, cell)
        if parts is None:
            return None
        if self.content == "vectors":
            assert self.indexed is not None
            if len(parts) != len(self.indexed):
                raise self.fail(
                    line,
                    f"{cut(cell)} has {len(parts)} values, but there are {len(self.indexed)} labels. "
                    "Other cells are vectors with one value for each label.",
                )
            pairs: list[tuple[Any, Any]] = list(zip(self.indexed, parts, strict=True))
        else:
            if not isinstance(parts, dict):
                if parts:
                    raise self.fail(
                        line, f"{cut(cell)} is a list, but other cells give each label a value."
                    )
                return {}
            pairs = [pair for pair in parts.items() if not self._passes_over(pair[0])]
        names = self._checked([name for name, _ in pairs], line)
        return {
            name: self._value(value, line) for name, (_, value) in zip(names, pairs, strict=True)
        }

    def _value(self, cell: Any, line: int) -> float:
        value = label_value(cell, soft=self.data.soft_labels)
        if value is None:
            advice = " Fractions need data.soft_labels=true." * (
                label_value(cell, soft=True) is not None
            )
            if isinstance(cell, list):
                advice = (
                    " If the labels are the list of one key, write that list alone, or (in JSON and "
                    f"Parquet) set data.label_column={self.column}.KEY."
                )
            elif isinstance(cell, (int, float)) and not advice:
                advice = " Votes are read from one column for each label (data.votes)."
            raise self.fail(
                line,
                f"The value {cut(cell)} of a label is not 0 or 1 (or true, false), nor unknown "
                f"(null, -1).{advice}",
            )
        return value

    def parts(self, line: int, cell: Any) -> Any:
        """Return the names, indices, objects or values of one cell, unchecked; `None` = unlabelled."""
        if cell is None:
            return None
        if self.writing in _OBJECT_TYPES:
            if not isinstance(cell, _OBJECT_TYPES[self.writing]):
                kind = "a list" if self.writing == "lists" else "an object"
                raise self.fail(
                    line, f"{cut(cell)} is not {kind}, but other rows have {self.writing} here."
                )
            return self._of_object(cell) if isinstance(cell, dict) else cell
        if self.writing == "choices" and isinstance(cell, dict):
            return self._of_object(cell)
        if not isinstance(cell, (str, int)) or isinstance(cell, bool):
            raise self.fail(line, f"{cut(cell)} is not a label name, nor a list of label names.")
        text = str(cell).strip()
        if not text:
            return None if self.data.empty_labels == "unknown" else []
        return self._of_text(text, line)

    def _of_text(self, text: str, line: int) -> Any:
        if self.writing == "delimited":
            return split_cell(text, self.delimiter)
        if self.writing == "tags":
            return read_tags(text)
        if self.writing == "choices" and not text.startswith("{"):
            return [text]
        if text not in self._parsed:
            if len(self._parsed) > _MAX_PARSED:
                self._parsed.clear()
            self._parsed[text] = self._collection(text, line)
        return self._parsed[text]

    def _collection(self, text: str, line: int) -> Any:
        try:
            found = read_collection(text)
        except ValueError as error:
            raise self.fail(
                line,
                f"{cut(text)} looks like a list, but cannot be read as one: {error}. Write it as a "
                'JSON list, such as ["joy", "love"]; if it is plain text, set data.label_delimiter '
                "(empty: one label a cell).",
            ) from None
        return self._of_object(found) if isinstance(found, dict) else found

    def _of_object(self, found: dict[Any, Any]) -> Any:
        """Return what an object holds: the list under its only key, its values, or one name."""
        if self.content == "keyed":
            return [found]
        if len(found) == 1:
            [(key, only)] = found.items()
            if isinstance(only, list) and (self.writing == "choices" or key == self.key):
                return only
        return found

    def _name_in(self, part: Any, line: int) -> Any:
        if not isinstance(part, dict) or self.key not in part:
            raise self.fail(
                line,
                f"{cut(part)} has no '{self.key}'; names are read from that key (data.label_key). "
                "Where keys differ from row to row, write a list of the names alone.",
            )
        return part[self.key]

    def _from_indices(self, row: Sequence[Any], line: int) -> list[str]:
        assert self.indexed is not None
        indices = [int(part) for part in row]
        for index in indices:
            if not 0 <= index < len(self.indexed):
                raise self.fail(
                    line,
                    f"The index {cut(index)} is not one of the {len(self.indexed)} label names (0 is "
                    "the first). If indices count from 1, subtract 1 from each.",
                )
        repeated = len(set(indices)) < len(indices)
        if repeated and len(indices) == len(self.indexed) and set(indices) <= {0, 1}:
            raise self.fail(
                line,
                f"{row} may be a vector of 0 and 1, or repeated indices; other cells are indices. Use "
                "one way in all cells.",
            )
        return [self.indexed[index] for index in indices]

    def unknown_names(self, line: int, cell: Any) -> list[str]:
        """Return the names of one cell that `data.unknown_labels=ignore` passes over."""
        parts = self.parts(line, cell)
        if parts is None or self.content in ("indices", "vectors"):
            return []
        named = [self._name_in(part, line) for part in parts] if self.content == "keyed" else parts
        return [self.spelling(name) for name in named if self._passes_over(name)]

    def _passes_over(self, name: Any) -> bool:
        if self.known is None or self.data.unknown_labels != "ignore" or not isinstance(name, str):
            return False
        spelled = self.spelling(name)
        return bool(spelled) and spelled not in self._allowed

    def _checked(self, row: Sequence[Any], line: int) -> list[str]:
        if self.data.unknown_labels == "ignore":
            row = [name for name in row if not self._passes_over(name)]
        if not set(map(type, row)) <= {str}:
            wrong = next((name for name in row if not isinstance(name, str)), None)
            raise self.fail(line, self.not_a_name(wrong))
        spelling = self.spelling if self.spelling.changes_names else normalized_name
        names = [spelling(name) for name in row]
        if "" in names:
            raise self.fail(line, "A label name in the list is empty.")
        if printed := next((name for name in names if name[:1] in _OPENING), None):
            self._refuse_printed(printed, line)
        if not all(map(str.isascii, names)) and (broken := _half_of_a_pair(names)):
            raise self.fail(
                line,
                f"The label {cut(broken)} holds half of a surrogate pair, which is not a character. "
                "Write the whole pair or remove it.",
            )
        if self.known is not None and not self._allowed.issuperset(names):
            unknown = next(name for name in names if name not in self._allowed)
            raise self.fail(
                line,
                f"The label {cut(unknown)} is not among the known labels: {listed(self.known)}."
                f"{nearest(unknown, self.known)} Correct it, or train with a file that has it; "
                "data.unknown_labels=ignore passes over labels that are not known.",
            )
        return names

    def _refuse_printed(self, name: str, line: int) -> None:
        is_asked = self.data.label_delimiter is not None or (self.known and name in self.known)
        if _PRINTED.fullmatch(name) and not is_asked:
            raise self.fail(
                line,
                f"The label {cut(name)} is a printed list inside the list. Write its names themselves.",
            )

    def not_a_name(self, part: Any) -> str:
        """Return why an object or a number is no label name, and what to do."""
        if part is None:
            return "A label in the list is null, a missing value: leave it out; [] is no label."
        if isinstance(part, dict):
            keys = [key for key, value in part.items() if isinstance(value, str)]
            return (
                f"The label {cut(part)} is an object. Set data.label_key to the key that holds the "
                f"name{f', such as {keys[0]}' if keys else ''}."
            )
        return (
            f"The label {cut(part)} is not a text. Numbers are understood as 0-based indices, and "
            "lists of 0 and 1 with one number for each label as vectors, once data.label_names=FILE "
            "names the labels, one a line."
        )

    def fail(self, line: int, message: str) -> DataError:
        """Return the error for one line."""
        return DataError(message, path=self.path, line=line, column=self.column)


_OPENING = ("[", "(", "{")
_PRINTED = re.compile(
    r"""\[\s*(['"]).*\1\s*\]|\(\s*(['"]).*\2\s*,?\s*\)|\{\s*(['"]).*\3.*\}""", re.DOTALL
)


def _half_of_a_pair(names: Sequence[str]) -> str | None:
    """Return a name that no file can hold: an escape in a printed list made half of a character."""
    return next((name for name in names if any("\ud800" <= c <= "\udfff" for c in name)), None)
