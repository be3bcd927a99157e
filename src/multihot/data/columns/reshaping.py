"""Columns that are made of others before texts and labels are read: keys, joined texts, united names.

Letters: `N` rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from multihot.core.options import DataOptions
from multihot.core.text_tables import listed
from multihot.data.columns.nested_keys import at_path, has_path, nested_paths, path_in
from multihot.data.columns.numbered_names import names_of_row, numbered_columns, uniting_columns
from multihot.data.columns.text_and_id import required_column, text_of
from multihot.data.readers.table import CellBatch, Table, nearest
from multihot.errors import DataError, OptionError

__all__ = ["Reshaped", "reshaped"]

_SEPARATOR = " "
_TOGETHER = " + "
_REQUIRED = ("data.text_column", "data.text_columns", "data.label_column")


@dataclass(frozen=True)
class _Added:
    """A column made of those at `sources`: `combine` takes the line number and their cells."""

    name: str
    sources: tuple[int, ...]
    combine: Callable[..., Any]


@dataclass(frozen=True)
class Reshaped:
    """A table with the columns that the options speak of.

    Attributes
    ----------
    table
        The table with the added columns at its end; the columns they replace are left out.
    data
        The options, which name the added columns.
    added
        How the added columns are made of all columns before them, those of the file first.
    united
        The columns that hold one label name each.
    """

    table: Table
    data: DataOptions
    given: DataOptions
    added: tuple[_Added, ...] = ()
    united: tuple[str, ...] = ()

    def restored(self, data: DataOptions) -> DataOptions:
        """Return options resolved for the table as they are for the file."""
        if self.data.text_column != self.given.text_column and self.given.text_columns:
            data = replace(data, text_column=None, text_columns=self.given.text_columns)
        if self.data.label_column != self.given.label_column:
            data = replace(
                data,
                label_column=None,
                label_columns=self.united,
                label_delimiter=self.given.label_delimiter,
            )
        return data

    def with_added(self, line: int, cells: Sequence[Any]) -> list[Any]:
        """Return the cells of a row of the file, and those of the added columns."""
        row = list(cells)
        for column in self.added:
            row.append(column.combine(line, *(row[index] for index in column.sources)))
        return row


def reshaped(
    table: Table,
    data: DataOptions,
    source: str,
    *,
    known: Sequence[str] | None = None,
    for_labels: bool = True,
    keeps_all: bool = False,
) -> Reshaped:
    """Add the columns that options name by keys of objects, or that are several columns together.

    - `meta.accusation` is the key `accusation` of column `meta`, unless a column has that name.
    - `data.text_columns` are joined by a space; empty ones are left out.
    - `data.label_columns` that hold names, and columns numbered such as `label1`, `label2`, become
      one list of names.

    Parameters
    ----------
    known
        The known labels; columns of these names hold no names.
    for_labels
        Whether labels are read at all.
    keeps_all
        Whether the columns that others replace stay.

    Raises
    ------
    DataError
        There is no such key or column.
    OptionError
        The options contradict each other.
    """
    shaping = _Shaping(table, source)
    given = data
    shaping.add_paths(data, for_labels=for_labels)
    if data.text_columns:
        data = shaping.join_texts(data)
    if for_labels and data.label_column is None:
        data = shaping.unite_names(data, known)
    if not shaping.added:
        return Reshaped(shaping.table(), data, given)
    return Reshaped(
        shaping.shaped(data, keeps_all=keeps_all), data, given, tuple(shaping.added), shaping.united
    )


class _Shaping:
    """Collects the columns to add to a table; its first batch is read when they depend on cells."""

    def __init__(self, table: Table, source: str) -> None:
        self._table, self._source = table, source
        self.columns = list(table.columns)
        self.added: list[_Added] = []
        self.united: tuple[str, ...] = ()
        self._replaced: set[str] = set()
        self._batches = table.batches
        self._first: CellBatch | None = None

    def table(self) -> Table:
        """Return the table as it was."""
        return self._table if self._first is None else replace(self._table, batches=self._batches)

    def _beginning(self) -> CellBatch:
        if self._first is None:
            empty: list[list[Any]] = [[] for _ in self._table.columns]
            self._first = next(self._batches, CellBatch([], empty))
            self._batches = chain([self._first], self._batches)
        return self._first

    def _all_batches(self) -> Iterator[CellBatch]:
        """Yield the first batch, and where nothing has been found in it, all of them."""
        yield self._beginning()
        if self._table.again is not None:
            yield from self._table.again()

    def _add(self, name: str, sources: Sequence[str], combine: Callable[..., Any]) -> None:
        self.added.append(_Added(name, tuple(map(self.columns.index, sources)), combine))
        self.columns.append(name)
        self._replaced.update(sources)

    def add_paths(self, data: DataOptions, *, for_labels: bool) -> None:
        """Add a column for every name that is a path into objects."""
        in_file = set(self.columns)
        known = set(in_file)
        for option, name in _named(data, for_labels=for_labels):
            if name in known:
                continue
            found = path_in(name, in_file)
            known.add(name)
            if found is not None:
                column, keys = found
                index = self._table.columns.index(column)
                if not any(
                    has_path(cell, keys)
                    for batch in self._all_batches()
                    for cell in batch.cells[index]
                ):
                    raise self._no_path(name, option)
                self._add(name, [column], _Key(keys))
                self._table.notes.append(
                    f"'{name}' is the key {'.'.join(keys)} of the objects in column '{column}'."
                )
            elif option in _REQUIRED and nested_paths(self._table.columns, self._beginning().cells):
                raise self._no_path(name, option)

    def _no_path(self, name: str, option: str) -> DataError:
        paths = nested_paths(self._table.columns, self._beginning().cells)
        last = name.rpartition(".")[2].casefold()
        same = [path for path in paths if path.rpartition(".")[2].casefold() == last]
        near = f" Did you mean '{same[0]}'?" if same else nearest(name, [*self.columns, *paths])
        keys = (
            f" The keys of objects are: {listed(paths)}."
            if paths
            else " None of them holds objects."
        )
        return DataError(
            f"There is no column '{name}' ({option}).{near} The columns are: "
            f"{listed(self._table.columns)}.{keys}",
            path=self._source,
        )

    def join_texts(self, data: DataOptions) -> DataOptions:
        """Add the joined texts."""
        names = data.text_columns
        joined = _TOGETHER.join(names)
        if data.text_column not in (None, joined):
            raise OptionError(
                f"data.text_column={data.text_column} and data.text_columns={','.join(names)} exclude "
                "each other. Empty one of them: data.text_column=none or data.text_columns="
            )
        for name in names:
            required_column(name, self.columns, self._source, "data.text_columns")
        self._add(joined, names, _Joined(names, self._source))
        self._table.notes.append(
            f"A text is {joined}, joined by a space; empty parts are left out."
        )
        return replace(data, text_column=joined, text_columns=())

    def unite_names(self, data: DataOptions, known: Sequence[str] | None) -> DataOptions:
        """Add one column of lists where several columns hold a name each."""
        candidates = data.label_columns or numbered_columns(self.columns, data)
        if len(candidates) < 2 or not set(candidates) <= set(self.columns):
            return data
        places = [self.columns.index(name) for name in candidates]
        all_columns = range(len(self.columns))
        batches = (self._changed(batch, all_columns) for batch in self._all_batches())
        columns = ([batch.cells[place] for place in places] for batch in batches)
        if not uniting_columns(candidates, columns, data, known):
            return data
        self.united, united = tuple(candidates), _TOGETHER.join(candidates)
        self._add(
            united, candidates, _United(candidates, self._source, data.label_names is not None)
        )
        self._table.notes.append(
            f"Columns {listed(candidates)} hold a label name each; together they are the labels of a row."
        )
        return replace(data, label_column=united, label_columns=())

    def shaped(self, data: DataOptions, *, keeps_all: bool) -> Table:
        """Return the table with the added columns, without those that they replace."""
        named = {name for _, name in _named(data, for_labels=True)}
        kept = [
            index
            for index, name in enumerate(self.columns)
            if keeps_all or name not in self._replaced or name in named
        ]
        again = self._table.again

        def changed(batches: Iterator[CellBatch]) -> Iterator[CellBatch]:
            return (self._changed(batch, kept) for batch in batches)

        return replace(
            self._table,
            columns=tuple(self.columns[index] for index in kept),
            batches=changed(self._batches),
            again=None if again is None else lambda: changed(again()),
            faults=self._faults(),
        )

    def _faults(self) -> dict[str, DataError]:
        """Return the faults of all columns; an added one has the first of those it is made of."""
        faults = dict(self._table.faults)
        first = len(self._table.columns)
        for name, column in zip(self.columns[first:], self.added, strict=True):
            sources = [self.columns[source] for source in column.sources]
            found = [faults[source] for source in sources if source in faults]
            faults.update({name: found[0]} if found else {})
        return faults

    def _changed(self, batch: CellBatch, kept: Sequence[int]) -> CellBatch:
        cells = list(batch.cells)
        for column in self.added:
            sources = [cells[index] for index in column.sources]
            cells.append(
                [
                    column.combine(line, *row)
                    for line, *row in zip(batch.lines, *sources, strict=True)
                ]
            )
        return CellBatch(batch.lines, [cells[index] for index in kept])


def _named(data: DataOptions, *, for_labels: bool) -> list[tuple[str, str]]:
    """Return option and name of every column that options name."""
    names = [
        ("data.text_column", data.text_column),
        *(("data.text_columns", name) for name in data.text_columns),
        ("data.id_column", data.id_column),
    ]
    if for_labels:
        names += [
            ("data.label_column", data.label_column),
            *(("data.label_columns", name) for name in data.label_columns),
            ("data.weight_column", data.weight_column),
            ("data.split_by", data.split_by),
            ("data.group_by", data.group_by),
            ("data.annotator_column", data.annotator_column),
            *(("data.vote_columns", name) for name in data.vote_columns),
        ]
    return [(option, name) for option, name in names if name is not None]


@dataclass(frozen=True)
class _Key:
    keys: tuple[str, ...]

    def __call__(self, line: int, cell: Any) -> Any:
        return at_path(cell, self.keys)


@dataclass(frozen=True)
class _Joined:
    names: tuple[str, ...]
    source: str

    def __call__(self, line: int, *cells: Any) -> str | None:
        if all(cell is None for cell in cells):
            return None
        texts = (
            text_of(cell, self.source, line, name)
            for name, cell in zip(self.names, cells, strict=True)
            if cell is not None
        )
        return _SEPARATOR.join(text for text in texts if text.strip())


@dataclass(frozen=True)
class _United:
    names: tuple[str, ...]
    source: str
    are_indices: bool

    def __call__(self, line: int, *cells: Any) -> list[Any]:
        return names_of_row(cells, self.names, self.source, line, may_be_numbers=self.are_indices)
