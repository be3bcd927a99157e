"""Which labels imply others, as `data.label_hierarchy` says it: a separator, or a file of parents."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multihot.core.files import read_table, unique_keys
from multihot.core.hierarchy import Hierarchy, require_no_cycle
from multihot.core.labels import LabelMatrix, LabelSpace, normalized_name
from multihot.core.options import DataOptions
from multihot.core.text_tables import counted, cut, listed
from multihot.data.columns.label_names import Spelling
from multihot.data.readers.text_encoding import file_encoding, read_lines
from multihot.errors import DataError, LabelError, OptionError

__all__ = ["Ancestry", "ancestry_of", "hierarchy_notes", "raised_notes", "with_hierarchy"]

_OPTION = "data.label_hierarchy"
_TABLES = {".csv": ",", ".tsv": "\t"}
_ENDINGS = (*_TABLES, ".json", ".toml")
_HEADER = ("child", "parent")


@dataclass(frozen=True)
class Ancestry:
    """The parents of any label name, whether or not it occurs.

    Attributes
    ----------
    separator
        What joins the name of a label to that of its parent, as `/` in `a/b`; `None` = nothing does.
    parents
        The parents of names by a table.
    """

    separator: str | None = None
    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _known: dict[str, tuple[str, ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def of_space(cls, space: LabelSpace | None) -> Ancestry | None:
        """Return what the hierarchy of known labels says; `None` without one."""
        if space is None or space.hierarchy is None:
            return None
        by_name = space.hierarchy.by_name(space.names)
        return cls(parents={name: tuple(some) for name, some in by_name.items()})

    def parents_of(self, name: str) -> tuple[str, ...]:
        """Return the parents of a label; raise `LabelError` where a part of its name is empty."""
        if self.separator is None:
            return self.parents.get(name, ())
        parts = [part.strip() for part in name.split(self.separator)]
        if "" in parts:
            raise LabelError(
                f"The label {cut(name)} has an empty part between '{self.separator}', which "
                f"{_OPTION} takes for the separator of its levels. Correct the name."
            )
        above = normalized_name(name.rpartition(self.separator)[0])
        return (above,) if above else ()

    def ancestors(self, name: str) -> tuple[str, ...]:
        """Return all labels that a label implies, the nearest first; raises as `parents_of`."""
        found = self._known.get(name)
        if found is None:
            implied: dict[str, None] = dict.fromkeys(self.parents_of(name))
            waiting = [*implied]
            for above in waiting:  # grows while it is gone through
                new = [each for each in self.parents_of(above) if each not in implied]
                implied.update(dict.fromkeys(new))
                waiting += new
            found = self._known[name] = tuple(implied)
        return found

    def within(self, names: Sequence[str]) -> Hierarchy:
        """Return the hierarchy of these labels; where a parent is not among them, its parents count."""
        columns = {name: column for column, name in enumerate(names)}
        return Hierarchy(tuple(self._nearest(name, columns) for name in names))

    def space(self, names: Sequence[str]) -> LabelSpace:
        """Return these labels with their hierarchy."""
        plain = LabelSpace(tuple(names))
        return LabelSpace(plain.names, self.within(plain.names))

    def stored(self) -> str:
        """Return what `data.label_hierarchy` takes wherever a file of parents goes."""
        if self.separator is not None:
            return self.separator
        table = {name: list(some) for name, some in self.parents.items()}
        return json.dumps(table, ensure_ascii=False)

    def _nearest(self, name: str, columns: Mapping[str, int]) -> tuple[int, ...]:
        found: dict[int, None] = {}
        waiting = [*self.parents_of(name)]
        for above in waiting:
            if above in columns:
                found[columns[above]] = None
            else:
                waiting += [each for each in self.parents_of(above) if each not in waiting]
        return tuple(found)


def ancestry_of(data: DataOptions, spelling: Spelling) -> Ancestry | None:
    """Return what `data.label_hierarchy` asks for, `None` where it is not set.

    Raises
    ------
    OptionError
        It is neither a separator nor a file, a label is its own parent, or labels go in a circle.
    DataError
        A line of the file is no pair.
    """
    source = data.label_hierarchy
    if source is None:
        return None
    is_inline = source.lstrip().startswith("{")  # as it is stored with a model
    if not is_inline and Path(source).suffix.lower() not in _ENDINGS:
        if not source.strip() or any(map(str.isalnum, source)):
            raise OptionError(
                f"{_OPTION}={source} is neither a separator of levels, such as / or ::, nor a file of "
                f"`child,parent` pairs, whose name ends in {', '.join(_ENDINGS)}."
            )
        return Ancestry(separator=normalized_name(source))
    parents: dict[str, tuple[str, ...]] = {}
    for child, above in _pairs(source, is_inline=is_inline):
        name, parent = spelling(child), spelling(above)
        if not name or not parent:
            raise OptionError(f"{_OPTION}: the pair {cut(child)}, {cut(above)} has an empty name.")
        if name == parent:
            raise OptionError(
                f"{_OPTION}: the label {cut(name)} is its own parent. Remove the pair."
            )
        parents[name] = (
            *parents.get(name, ()),
            *([] if parent in parents.get(name, ()) else [parent]),
        )
    try:
        require_no_cycle(parents)
    except LabelError as error:
        raise OptionError(f"{_OPTION}: {error}") from None
    return Ancestry(parents=parents)


def _pairs(source: str, *, is_inline: bool) -> list[tuple[str, str]]:
    """Return child and parent of each pair of a file, or of JSON itself."""
    path = Path(source)
    if not is_inline and not path.is_file():
        raise OptionError(f"{_OPTION}={source}: there is no such file.")
    if not is_inline and path.suffix.lower() in _TABLES:
        return _lines(path)
    try:
        if is_inline:
            table = dict(json.loads(source, object_pairs_hook=unique_keys))
        else:
            table = read_table(path, _OPTION)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{_OPTION} is not valid JSON: {error}") from None
    pairs = []
    for child, above in table.items():
        some = [above] if isinstance(above, str) else above
        if not isinstance(some, list) or not all(isinstance(one, str) for one in some):
            raise OptionError(
                f"{_OPTION}: the parent of {cut(child)} is {cut(above)}; expected the name of a label, "
                "or a list of names."
            )
        pairs += [(child, one) for one in some]
    return pairs


def _lines(path: Path) -> list[tuple[str, str]]:
    lines: Any = read_lines(path, file_encoding(path).name)
    pairs = []
    for number, row in enumerate(
        csv.reader(lines, delimiter=_TABLES[path.suffix.lower()]), start=1
    ):
        if not row or (number == 1 and tuple(map(str.casefold, map(str.strip, row))) == _HEADER):
            continue
        if len(row) != 2 or not all(map(str.strip, row)):
            raise DataError(
                f"{row!r} is no pair of a label and its parent; a label of several parents has a line "
                "for each.",
                path=path,
                line=number,
            )
        pairs.append((row[0], row[1]))
    if not pairs:
        raise DataError("There is no pair of a label and its parent.", path=path)
    return pairs


def with_hierarchy(
    labels: LabelMatrix, source: str | None, space: LabelSpace | None
) -> tuple[LabelMatrix, str | None, tuple[str, ...]]:
    """Return labels of no file with what they imply.

    Parameters
    ----------
    labels
        Aligned to `space`, where that is given.
    source
        As `data.label_hierarchy`; `None` = the hierarchy of `space`, if any.
    space
        The known labels. Without them, implied names become labels where labels are lists of names.

    Returns
    -------
    labels, stored, notes
        The labels, what `data.label_hierarchy` is from now on, and what is to be said.
    """
    ancestry = ancestry_of(DataOptions(label_hierarchy=source), Spelling()) or Ancestry.of_space(
        space
    )
    if ancestry is None:
        return labels, None, ()
    names = labels.space.names
    if space is None and labels.lists_all:
        implied = (above for name in names for above in ancestry.ancestors(name))
        names = tuple(sorted({*names, *implied}))
    own = ancestry.space(names)
    assert own.hierarchy is not None
    found = own.hierarchy.completed(labels.aligned_to(LabelSpace(own.names)).values)
    changed = raised_notes(0 if labels.lists_all else found.num_raised, found.num_lowered)
    notes = (*hierarchy_notes(ancestry, own, space), *changed)
    return LabelMatrix(own, found.values, labels.lists_all), ancestry.stored(), notes


def hierarchy_notes(ancestry: Ancestry, space: LabelSpace, known: LabelSpace | None) -> list[str]:
    """Say how many labels imply others, which names of the hierarchy are no labels, and what is odd.

    `known` are the labels that were known before, such as a model's, with a hierarchy of their own or none.
    """
    assert space.hierarchy is not None
    num_below = len(space.hierarchy.by_name(space.names))
    num_labels, separator = counted(len(space), "label"), ancestry.separator
    if num_below:
        levels = counted(space.hierarchy.num_levels, "level")
        notes = [f"Hierarchy: {num_below} of {num_labels} imply others; {levels}."]
    elif separator is None or any(separator in name for name in space.names):
        notes = [f"Hierarchy: none of {num_labels} implies another."]
    else:
        notes = [
            f"Hierarchy: none of {num_labels} implies another, as no name has '{separator}' in it; is "
            f"{_OPTION} right?"
        ]
    if known is not None and known.hierarchy not in (None, space.hierarchy):
        notes.append(
            f"{_OPTION} differs from the hierarchy of the known labels: it completes the labels that are "
            "read, while decisions and hierarchical metrics follow that of the known labels."
        )
    implied = dict.fromkeys(above for name in space.names for above in ancestry.ancestors(name))
    lacking = [name for name in implied if name not in space.columns]
    if lacking:
        notes.append(
            f"Labels that others imply, but that are not among the labels, are left out: {listed(lacking)}."
        )
    unused = [
        name for name in _names(ancestry) if name not in space.columns and name not in implied
    ]
    if unused:
        notes.append(f"{_OPTION} names labels that the data lacks: {listed(unused)}.")
    return notes


def raised_notes(num_raised: int, num_lowered: int) -> list[str]:
    """Say how many cells a hierarchy changed."""
    notes = []
    if num_raised:
        cells = counted(num_raised, "label cell was", "label cells were")
        notes.append(
            f"{cells} 0, lower or unknown above a positive one, which implies it: changed."
        )
    if num_lowered:
        cells = counted(num_lowered, "unknown label cell is", "unknown label cells are")
        notes.append(f"{cells} 0, because a label that it implies is.")
    return notes


def _names(ancestry: Ancestry) -> Collection[str]:
    pairs = ancestry.parents.items()
    return dict.fromkeys(name for child, some in pairs for name in (child, *some))
