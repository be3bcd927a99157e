"""A labelled file that is read chunk by chunk, as often as wanted, in constant memory.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.columns.label_plan import LabelPlan, plan_labels
from multihot.data.columns.text_and_id import (
    column_notes,
    extra_places,
    find_id_column,
    find_text_column,
    group_cells,
    text_of,
    weight_cells,
)
from multihot.data.examples import Examples, Tally, read_examples
from multihot.data.readers.open_table import open_table
from multihot.data.readers.table import Row, as_text
from multihot.errors import DataError

__all__ = ["WINDOW_ROWS", "LabelledFile", "labelled_chunks", "open_labelled", "required_labels"]

_CHECKED_ROWS = 1024  # rows held at once while the file is checked

Chunks = Callable[[int], Iterator[Examples]]

WINDOW_ROWS = 1024
"""Rows that are read, sorted by length and scored together."""


@dataclass(frozen=True)
class LabelledFile:
    """A file of texts and labels, checked from its first row to its last.

    Attributes
    ----------
    space
        The labels: the known ones as given, else those that occur.
    data
        The options as resolved, as in `Examples.data`.
    source
        The path as it was given.
    notes
        Everything that was detected, merged or found missing, for people.
    num_rows
        N, as of the check.
    parts
        Of several files that are read as one: each of them, in their order.
    """

    space: LabelSpace
    data: DataOptions
    source: str
    notes: tuple[str, ...]
    num_rows: int
    _chunks: Chunks
    parts: tuple[LabelledFile, ...] = ()

    def __len__(self) -> int:
        return self.num_rows

    def chunks(self, chunk_rows: int = WINDOW_ROWS) -> Iterator[Examples]:
        """Yield all rows in order, `chunk_rows` at a time (the last chunk may be smaller).

        Every call reads the file again from its beginning. The chunks together are what
        `read_examples` returns; their own notes are empty.

        Raises
        ------
        DataError
            The file has changed since it was opened.
        """
        num_read = 0
        for chunk in self._chunks(chunk_rows):
            num_read += len(chunk)
            yield chunk
        if num_read != self.num_rows:
            raise DataError(
                f"The file had {self.num_rows} rows when it was opened and has {num_read} now. "
                "Start again when nothing writes to it any more.",
                path=self.source,
            )


def open_labelled(
    path: str | Path, data: DataOptions | None = None, *, space: LabelSpace | None = None
) -> LabelledFile:
    """Open a file of texts and labels without keeping it in memory.

    Everything is checked before this returns, for which the file is read several times. Memory does
    not grow with the rows, but for `data.group_by` and .xlsx workbooks, which are held as a whole;
    a note says so.

    Parameters, errors: as for `read_examples`.
    """
    data = data or DataOptions()
    source = str(path)
    if data.group_by is not None:
        return _in_memory(read_examples(path, data, space=space), "data.group_by needs all rows")
    table = open_table(path, data)
    if table.again is None:
        return _in_memory(read_examples(path, data, space=space), "workbooks are not streamed")
    text = find_text_column(table.columns, data, source)
    row_id = find_id_column(table.columns, data, source, text)
    extra = extra_places(table.columns, data, source)
    place = table.columns.index(text)
    num_rows = 0
    for line, cells in table.rows:
        text_of(cells[place], source, line, text)
        num_rows += 1
    if not num_rows:
        raise DataError("There is a header, but not a single row.", path=source)
    notes = (*table.notes, *column_notes(text, row_id, data))
    resolved = replace(data, text_column=text, id_column=row_id or data.id_column)
    rows = _Rows(table.again)
    plan = plan_labels(table.columns, rows, resolved, space, source)
    reader = _Reader(
        table.again,
        plan,
        place,
        None if row_id is None else table.columns.index(row_id),
        *extra,
    )
    tally = Tally()
    for chunk in reader.chunks(_CHECKED_ROWS):
        tally.update(chunk)
    said = (*notes, *plan.notes, *tally.notes())
    return LabelledFile(plan.space, plan.data, source, said, num_rows, reader.chunks)


@dataclass(frozen=True)
class _Rows:
    """Rows that can be gone through any number of times."""

    again: Callable[[], Iterator[Row]]

    def __iter__(self) -> Iterator[Row]:
        return self.again()


@dataclass(frozen=True)
class _Reader:
    """How the rows of one file become examples; `text` and what follows are places of cells."""

    again: Callable[[], Iterator[Row]]
    plan: LabelPlan
    text: int
    row_id: int | None
    weight: int | None
    group: int | None

    def chunks(self, chunk_rows: int) -> Iterator[Examples]:
        rows = self.again()
        num_before = 0
        while window := list(islice(rows, chunk_rows)):
            yield self._examples(window, num_before)
            num_before += len(window)

    def _examples(self, rows: list[Row], num_before: int) -> Examples:
        plan = self.plan
        column = str(plan.data.text_column)
        numbers = range(num_before + 1, num_before + len(rows) + 1)
        return Examples(
            texts=[text_of(cells[self.text], plan.source, line, column) for line, cells in rows],
            labels=plan.matrix(rows),
            ids=[str(number) for number in numbers]
            if self.row_id is None
            else [as_text(cells[self.row_id]) for _, cells in rows],
            source=plan.source,
            data=plan.data,
            notes=(),
            lines=[line for line, _ in rows],
            weights=None
            if self.weight is None
            else weight_cells(rows, self.weight, plan.source, str(plan.data.weight_column)),
            groups=None if self.group is None else group_cells(rows, self.group),
        )


def _in_memory(examples: Examples, reason: str) -> LabelledFile:
    """Return examples that had to be read as a whole."""
    assert examples.labels is not None

    def chunks(chunk_rows: int) -> Iterator[Examples]:
        for start in range(0, len(examples), chunk_rows):
            rows = range(start, min(start + chunk_rows, len(examples)))
            yield replace(examples.take(list(rows)), notes=())

    return LabelledFile(
        space=examples.labels.space,
        data=examples.data,
        source=examples.source,
        notes=(*examples.notes, f"The whole file is held in memory: {reason}."),
        num_rows=len(examples),
        _chunks=chunks,
    )


def labelled_chunks(
    examples: Examples | LabelledFile,
) -> Iterator[tuple[Examples, LabelMatrix]]:
    """Go through examples in pieces that are scored together, with their labels.

    Raises `DataError` when there are none.
    """
    if isinstance(examples, LabelledFile):
        for chunk in examples.chunks(WINDOW_ROWS):
            yield chunk, required_labels(chunk)
        return
    for start in range(0, len(examples), WINDOW_ROWS):
        chunk = examples.take(range(start, min(start + WINDOW_ROWS, len(examples))))
        yield chunk, required_labels(chunk)


def required_labels(examples: Examples) -> LabelMatrix:
    """Return the labels; raise `DataError` where there are none."""
    if examples.labels is None:
        raise DataError("has no labels to compare with.", path=examples.source)
    return examples.labels
