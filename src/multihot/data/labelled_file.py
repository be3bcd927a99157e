"""A labelled file that is read chunk by chunk, as often as wanted, in constant memory.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from multihot.core.files import as_path
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.memory import require_label_memory
from multihot.core.options import DataOptions
from multihot.core.text_tables import cut
from multihot.data.aggregation import checked_aggregation, merged_lines
from multihot.data.checked_file import CheckedFile, ReadLimits, open_checked
from multihot.data.examples import Examples
from multihot.data.readers.table import BATCH_ROWS
from multihot.errors import DataError, OptionError

__all__ = [
    "WINDOW_ROWS",
    "LabelledFile",
    "ReadLimits",
    "labelled_chunks",
    "open_labelled",
    "read_examples",
    "required_labels",
    "window_rows",
]

Chunks = Callable[[int], Iterator[Examples]]

WINDOW_ROWS = 1024
"""Rows that are read, sorted by length and scored together."""

_JOINED_CELLS = 1 << 20  # of rows that are joined to others at once
_WINDOW_CELLS = 1 << 22  # label values of these rows; with very many labels they are fewer rows


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

    def chunks(self, chunk_rows: int | None = None) -> Iterator[Examples]:
        """Yield all rows in order, `chunk_rows` at a time (the last chunk may be smaller).

        By default they are `WINDOW_ROWS`, and fewer with more than 4,096 labels.

        Every call reads the file again from its beginning. The chunks together are what
        `read_examples` returns; their own notes are empty.

        Raises
        ------
        DataError
            The file has changed since it was opened.
        """
        num_read = 0
        for chunk in self._chunks(
            window_rows(len(self.space)) if chunk_rows is None else chunk_rows
        ):
            num_read += len(chunk)
            if num_read > self.num_rows:
                raise self._changed("more")
            yield chunk
        if num_read != self.num_rows:
            raise self._changed(str(num_read))

    def _changed(self, now: str) -> DataError:
        return DataError(
            f"The file had {self.num_rows} rows when it was opened and has {now} now. "
            "Start again when nothing writes to it any more.",
            path=self.source,
        )


def read_examples(
    path: str | Path,
    data: DataOptions | None = None,
    *,
    space: LabelSpace | None = None,
    labels: Literal["required", "ignore"] = "required",
) -> Examples:
    """Read a whole file of texts and labels.

    Parameters
    ----------
    path
        A CSV, TSV, JSON lines, Parquet or .xlsx file, a saved Hugging Face data set, or with
        `data.format="dataset"` a hub name.
    data
        How to read it. Pass `portable(train.data)` for the files that belong to a training file.
    space
        The known labels (validation, test): columns are matched by name and other labels refused.
    labels
        `ignore` reads the texts alone.

    Raises
    ------
    DataError
        The file, a line or a cell is wrong, or which column is what is ambiguous.
    OptionError
        An option is wrong.
    MissingExtraError
        The package that reads this format is not installed.
    """
    given = _checked(path, data)
    file = open_checked(path, given, space, labels=labels, holds_rows=True, limits=ReadLimits())
    if given.group_by is not None:
        return merged_lines(file, _all_rows(file), given.group_by)
    return replace(_all_rows(file), notes=file.notes())


def window_rows(num_labels: int) -> int:
    """Return how many rows are read at once, so that their label values take at most 16 MB."""
    return max(1, min(WINDOW_ROWS, _WINDOW_CELLS // num_labels))


def _all_rows(file: CheckedFile) -> Examples:
    if file.plan is None:
        return _joined(file.chunks(BATCH_ROWS), file.num_rows)
    num_labels = len(file.plan.space)
    require_label_memory(file.num_rows, num_labels, file.source)
    step = max(1, min(BATCH_ROWS, _JOINED_CELLS // num_labels))
    return _joined(file.chunks(step), file.num_rows)


def open_labelled(
    path: str | Path,
    data: DataOptions | None = None,
    *,
    space: LabelSpace | None = None,
    limits: ReadLimits | None = None,
) -> LabelledFile:
    """Open a file of texts and labels without keeping it in memory.

    Everything is checked before this returns, for which the file is read once, unless its beginning
    misleads about its encoding or its columns. Memory does not grow with the rows, but for
    `data.group_by` and .xlsx workbooks, which are held as a whole; a note says so.

    Parameters, errors: as for `read_examples`; `limits` bound the memory.
    """
    data, limits = _checked(path, data), limits or ReadLimits()
    if data.group_by is not None:
        return _in_memory(read_examples(path, data, space=space), "data.group_by needs all rows")
    file = open_checked(path, data, space, labels="required", holds_rows=False, limits=limits)
    assert file.plan is not None
    notes = file.notes()
    if file.is_held:
        notes = (*notes, _held("workbooks are not streamed"))
    return LabelledFile(
        file.plan.space, file.plan.data, file.source, notes, file.num_rows, file.chunks
    )


def _checked(path: Any, data: Any) -> DataOptions:
    """Return the options, or those by default; raise `OptionError` for what is no path or no options."""
    as_path(path, "path")
    if data is not None and not isinstance(data, DataOptions):
        raise OptionError(f"data is {cut(data)}; expected DataOptions(...).")
    return checked_aggregation(data or DataOptions())


def _joined(chunks: Iterator[Examples], num_rows: int) -> Examples:
    """Return the rows of all chunks as one."""
    parts: list[Examples] = []
    values, start = None, 0
    for part in chunks:
        if part.labels is not None:
            if values is None:
                values = np.empty((num_rows, len(part.labels.space)), dtype=np.float32)
            values[start : start + len(part)] = part.labels.values
        start += len(part)
        labels = part.labels
        parts.append(replace(part, labels=None))
    first = parts[0]
    return replace(
        first,
        texts=[text for part in parts for text in part.texts],
        labels=None
        if labels is None or values is None
        else LabelMatrix(labels.space, values, labels.lists_all),
        ids=[row_id for part in parts for row_id in part.ids],
        lines=[line for part in parts for line in part.lines],
        weights=None
        if first.weights is None
        else np.concatenate([part.weights for part in parts if part.weights is not None]),
        groups=None
        if first.groups is None
        else [group for part in parts for group in part.groups or ()],
    )


def _held(reason: str) -> str:
    return f"The whole file is held in memory: {reason}."


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
        notes=(*examples.notes, _held(reason)),
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
        for chunk in examples.chunks():
            yield chunk, required_labels(chunk)
        return
    step = window_rows(len(required_labels(examples).space)) if len(examples) else WINDOW_ROWS
    for start in range(0, len(examples), step):
        chunk = examples.take(range(start, min(start + step, len(examples))))
        yield chunk, required_labels(chunk)


def required_labels(examples: Examples) -> LabelMatrix:
    """Return the labels; raise `DataError` where there are none."""
    if examples.labels is None:
        raise DataError("has no labels to compare with.", path=examples.source)
    return examples.labels
