"""Open a file of texts and labels: check all of its cells in one pass over its bytes.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from multihot.core.labels import LabelSpace
from multihot.core.options import DataOptions
from multihot.data.columns.label_plan import LabelPlan
from multihot.data.columns.label_scan import LabelScan
from multihot.data.columns.name_cells import MAX_DISTINCT_BYTES
from multihot.data.columns.reshaping import Reshaped, reshaped
from multihot.data.columns.row_counts import ReadCounts
from multihot.data.columns.text_and_id import (
    column_notes,
    extra_columns,
    find_id_column,
    find_text_column,
    group_cells,
    text_cells,
    weight_cells,
)
from multihot.data.examples import Examples
from multihot.data.readers.open_table import open_table
from multihot.data.readers.table import (
    BATCH_ROWS,
    CellBatch,
    Table,
    advised,
    as_text,
    refuse_faults,
    regrouped,
)
from multihot.data.readers.text_encoding import BLOCK_BYTES
from multihot.errors import DataError, UserError

__all__ = ["CheckedFile", "ReadLimits", "open_checked"]


@dataclass(frozen=True)
class ReadLimits:
    """How much of a file is held in memory while it is read.

    Attributes
    ----------
    batch_rows, block_bytes
        How many rows and bytes are read at once.
    distinct_bytes
        How much of the distinct cells of a column of label names is held.
    """

    batch_rows: int = BATCH_ROWS
    block_bytes: int = BLOCK_BYTES
    distinct_bytes: int = MAX_DISTINCT_BYTES


@dataclass(frozen=True)
class CheckedFile:
    """A file whose cells have all been checked; `text` and what follows are indices of columns."""

    source: str
    data: DataOptions
    columns: tuple[str, ...]
    again: Callable[[], Iterator[CellBatch]]
    is_held: bool
    plan: LabelPlan | None
    counts: ReadCounts
    found: tuple[str, ...]
    text: int
    row_id: int | None
    weight: int | None
    group: int | None

    @property
    def num_rows(self) -> int:
        """N, as of the check."""
        return self.counts.rows

    def notes(self) -> tuple[str, ...]:
        """Return what was detected, and what was counted."""
        return *self.found, *self.counts.notes()

    def chunks(self, chunk_rows: int) -> Iterator[Examples]:
        """Yield all rows in order, `chunk_rows` at a time; each call reads them again."""
        num_before = 0
        for batch in regrouped(self.again(), chunk_rows):
            yield self.examples(batch, num_before)
            num_before += len(batch)

    def examples(self, batch: CellBatch, num_before: int) -> Examples:
        """Return rows as examples; `num_before` rows come before them."""
        lines, cells = list(batch.lines), batch.cells
        data = self.data if self.plan is None else self.plan.data
        numbers = range(num_before + 1, num_before + len(lines) + 1)
        return Examples(
            texts=text_cells(cells[self.text], lines, self.source, self.columns[self.text]),
            labels=None if self.plan is None else self.plan.matrix(batch),
            ids=list(map(str, numbers))
            if self.row_id is None
            else list(map(as_text, cells[self.row_id])),
            source=self.source,
            data=data,
            notes=(),
            lines=lines,
            weights=None
            if self.weight is None
            else weight_cells(cells[self.weight], lines, self.source, self.columns[self.weight]),
            groups=None if self.group is None else group_cells(cells[self.group]),
        )


def open_checked(
    path: str | Path,
    data: DataOptions,
    space: LabelSpace | None,
    *,
    labels: Literal["required", "ignore"],
    holds_rows: bool,
    limits: ReadLimits,
) -> CheckedFile:
    """Read and check a file once.

    Encoding and columns are taken from its beginning. Before anything is refused, they are made
    certain, and the file is read again.
    """
    may_be_wrong = True

    def attempt(*, is_provisional: bool) -> CheckedFile:
        nonlocal may_be_wrong
        table = open_table(
            path,
            data,
            is_provisional=is_provisional,
            batch_rows=limits.batch_rows,
            block_bytes=limits.block_bytes,
        )
        may_be_wrong = table.is_provisional
        known = None if space is None else space.names
        for_labels = labels == "required"
        with advised(table):
            shaped = reshaped(table, data, str(path), known=known, for_labels=for_labels)
            checked = _checked(
                shaped,
                str(path),
                space,
                labels=labels,
                holds_rows=holds_rows,
                distinct_bytes=limits.distinct_bytes,
            )
            refuse_faults(shaped.table, _used_columns(checked, data))
            return checked

    if data.format != "dataset":
        try:
            return attempt(is_provisional=True)
        except UserError:
            if not may_be_wrong:
                raise
    return attempt(is_provisional=False)


def _used_columns(file: CheckedFile, data: DataOptions) -> list[str | None]:
    places = [file.text, file.row_id, file.weight, file.group]
    if file.plan is not None:
        places += file.plan.columns
    names: list[str | None] = [file.columns[place] for place in places if place is not None]
    return [*names, data.group_by, data.annotator_column, *data.vote_columns]


def _label_scan(
    table: Table, data: DataOptions, space: LabelSpace | None, source: str, distinct_bytes: int
) -> tuple[LabelScan | None, UserError | None]:
    """Return the scan of a table's labels, or why there can be none."""
    try:
        scan = LabelScan(
            table.columns,
            data,
            space,
            source,
            max_bytes=distinct_bytes,
            class_names=table.class_names,
        )
    except UserError as error:
        return None, error
    return scan, None


def _checked(
    shaped: Reshaped,
    source: str,
    space: LabelSpace | None,
    *,
    labels: Literal["required", "ignore"],
    holds_rows: bool,
    distinct_bytes: int,
) -> CheckedFile:
    table, data = shaped.table, shaped.data
    columns = table.columns
    text = find_text_column(columns, data, source)
    row_id = find_id_column(columns, data, source, text)
    weight, group = extra_columns(columns, data, source)
    resolved = replace(data, text_column=text, id_column=row_id or data.id_column)
    counts = ReadCounts()
    # What is wrong with labels or weights is judged last.
    scan, failure = None, None
    if labels == "required":
        scan, failure = _label_scan(table, resolved, space, source, distinct_bytes)
    is_held = holds_rows or table.again is None
    held: list[CellBatch] = []
    for batch in table.batches:
        texts = batch.cells[columns.index(text)]
        counts.add_texts(text_cells(texts, batch.lines, source, text), texts)
        if scan is not None:
            scan.update(batch, counts)
        if weight is not None and failure is None:
            try:
                cells = batch.cells[weight]
                counts.add_weights(weight_cells(cells, batch.lines, source, columns[weight]))
            except DataError as error:
                failure = error
        if is_held:
            held.append(batch)
    if not counts.rows:
        raise DataError("There is a header, but not a single row.", path=source)
    again = table.again if table.again is not None and not is_held else held.__iter__
    plan = None if scan is None else scan.plan(counts, again)
    if failure is not None:
        raise failure
    notes = [*table.notes, *column_notes(text, row_id, data), *(() if plan is None else plan.notes)]
    return CheckedFile(
        source,
        shaped.restored(resolved),
        columns,
        again,
        is_held or table.is_held,
        None if plan is None else replace(plan, data=shaped.restored(plan.data)),
        counts,
        tuple(notes),
        columns.index(text),
        None if row_id is None else columns.index(row_id),
        weight,
        group,
    )
