"""A copy of a labelled file with other values in some label cells, in the file's own format.

Text tables and JSON lines keep every byte outside those cells. The copy is read back before it appears:
texts, ids and all labels must be what was asked for. Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

from multihot.core.files import flush_file, flush_folder, storage_errors
from multihot.core.labels import LabelSpace
from multihot.core.options import DataOptions
from multihot.core.staging import staged_folder, told_when_stopped
from multihot.core.text_tables import counted, cut
from multihot.data.checked_file import CheckedFile, ReadLimits, open_checked
from multihot.data.copy_rows import part_ending
from multihot.data.correcting.lines import write_lines
from multihot.data.correcting.source import CorrectedFile, RowChanges, learned_cells
from multihot.data.correcting.tables import write_json_lines, write_parquet, write_workbook
from multihot.data.examples import Examples, portable
from multihot.data.labelled_file import open_labelled
from multihot.data.readers.open_table import open_table, table_format
from multihot.errors import DataError, MultihotError, OptionError

__all__ = ["copy_corrected", "corrected_ending", "open_for_correction"]

_MERGING = ("group_by", "votes", "vote_columns", "annotator_column")


def open_for_correction(path: str | Path, data: DataOptions) -> CheckedFile:
    """Open a labelled file whose cells can be written back; raise `OptionError` where they are merged."""
    for name in _MERGING:
        if getattr(data, name):
            raise OptionError(
                f"data.{name}: labels are made of several cells, so that there is no cell to correct. "
                "Correct what the annotators wrote, or the merged file."
            )
    file = open_checked(path, data, None, labels="required", holds_rows=False, limits=ReadLimits())
    assert file.plan is not None
    return file


def corrected_ending(path: str | Path, data: DataOptions) -> str:
    """Return what the name of a corrected copy ends in."""
    return part_ending(path, data)


def copy_corrected(
    file: CheckedFile,
    data: DataOptions,
    changes: Mapping[int, RowChanges],
    target: Path,
    *,
    at_last: Callable[[], None] | None = None,
) -> list[str]:
    """Write a copy of `open_for_correction(path, data)` with new values in some rows; return notes.

    Parameters
    ----------
    changes
        By 0-based row.
    target
        The new file; it appears whole or not at all.
    at_last
        Called when the copy is complete, before it appears.

    Raises
    ------
    DataError
        The format cannot hold a value, or the file changed since it was opened.
    StorageError
        The copy cannot be written.
    """
    path = Path(file.source)
    assert file.plan is not None
    kind = table_format(path, data)
    table = open_table(path, data)
    source = CorrectedFile(
        path, data, file, file.plan, table.columns, table.delimiter, None, changes
    )
    if file.plan.form is None:
        source = replace(source, binary=learned_cells(source))
    with ExitStack() as stack:
        stack.enter_context(told_when_stopped(target))
        with storage_errors(target):
            folder = staged_folder(target.with_name(f"{target.name}.new"), is_output=False)
            stage = stack.enter_context(folder)
        staged = stage / target.name
        notes = _WRITERS.get(kind.name, write_json_lines)(source, staged)
        if kind.name in ("csv", "tsv", "jsonl", "fasttext", "libmultilabel"):
            unpacked = kind.packing not in (None, "gzip")
            notes += [f"The copy is not packed, unlike {path.name}."] if unpacked else []
        num_filled = _check(source, staged)
        if num_filled:
            notes.append(
                f"{counted(num_filled, 'row')} had no labels at all and now list some: the labels that "
                "such a list lacks are negative."
            )
        with storage_errors(target):
            flush_file(staged)
        if at_last is not None:
            at_last()
        with storage_errors(target):
            os.replace(staged, target)
            flush_folder(target.parent)
    return notes


_WRITERS = {
    "csv": write_lines,
    "tsv": write_lines,
    "jsonl": write_lines,
    "fasttext": write_lines,
    "libmultilabel": write_lines,
    "parquet": write_parquet,
    "xlsx": write_workbook,
}


def _check(source: CorrectedFile, staged: Path) -> int:
    """Compare the copy with what was asked for; return how many rows had no label at all before.

    Raises `DataError` for the first row that is read otherwise.
    """
    space = source.plan.space
    kind = table_format(source.path, source.data).name
    data = portable(source.plan.data)
    data = replace(
        data,
        format=source.data.format if kind in _WRITERS else "auto",
        quoting=source.data.quoting,
        delimiter=source.data.delimiter,
        encoding=source.data.encoding if kind in _WRITERS else None,
        header=source.data.header,
    )
    try:
        copy = open_labelled(staged, data, space=space)
        pairs = zip_longest(source.file.chunks(1024), copy.chunks(1024))
        start = num_filled = 0
        for old, new in pairs:
            if old is None or new is None or len(old) != len(new):
                raise _differs(source, min(source.changes))
            num_filled += _compare(source, old, new, start, space)
            start += len(old)
    except MultihotError as error:
        if isinstance(error, DataError) and error.path != str(staged):
            raise
        raise DataError(
            f"A corrected copy could not be read back, so none was written: {error}",
            path=source.path,
        ) from None
    return num_filled


def _compare(
    source: CorrectedFile, old: Examples, new: Examples, start: int, space: LabelSpace
) -> int:
    assert old.labels is not None
    assert new.labels is not None
    wanted, num_filled = old.labels.values.copy(), 0
    for row in range(start, start + len(old)):
        if row not in source.changes:
            continue
        values = wanted[row - start]
        if source.plan.form is not None and np.isnan(values).all():
            values[:] = source.plan.form.unmentioned if source.plan.form.has_values else 0
            num_filled += 1
        for label, value in source.changes[row].values.items():
            values[space.index(label)] = value
    if space.hierarchy is not None:
        wanted = space.hierarchy.completed(wanted).values
        for row in sorted(set(range(start, start + len(old))) & set(source.changes)):
            for label, value in source.changes[row].values.items():
                if wanted[row - start, space.index(label)] > value:
                    raise _implied(source, row, label)
    found = new.labels.aligned_to(space).values
    close = np.asarray(np.isclose(found, wanted, atol=1e-5, equal_nan=True))
    differing = set(np.argwhere(~close)[:, 0].tolist())
    rows = [
        row
        for row in range(len(old))
        if row in differing or old.texts[row] != new.texts[row] or old.ids[row] != new.ids[row]
    ]
    if rows:
        raise _differs(source, start + rows[0])
    return num_filled


def _implied(source: CorrectedFile, row: int, label: str) -> DataError:
    change = source.changes[row]
    return DataError(
        f"Row {row + 1} of {source.path.name} has a label that implies {cut(label)}, which is corrected to be "
        "lower, so nothing was written. Correct the labels below it, too.",
        path=change.table,
        line=change.place,
    )


def _differs(source: CorrectedFile, row: int) -> DataError:
    change = source.changes.get(row)
    return DataError(
        f"Row {row + 1} of {source.path.name} would be read otherwise than it was corrected, so nothing was "
        "written: its form of labels cannot hold the correction. Write the labels as 0/1 columns, or as "
        "one list for each text.",
        path=source.path if change is None else change.table,
        line=None if change is None else change.place,
    )
