"""Files of texts alone as rows whose labels are all unknown, behind the rows of a labelled file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from multihot.data.labelled_file import LabelledFile
from multihot.data.records import Examples
from multihot.data.streams import stream_texts
from multihot.data.tables import open_table
from multihot.errors import DataError
from multihot.labels import LabelMatrix, LabelSpace
from multihot.options import DataOptions

__all__ = ["with_unlabelled"]


def with_unlabelled(
    labelled: LabelledFile, paths: Sequence[str | Path], data: DataOptions
) -> LabelledFile:
    """Return the rows of `labelled` and behind them all texts of the files `paths`.

    Each file is recognised by itself; `data`, as it was given, holds for all, but what it says about
    labels, weights and groups is for the labelled files. Labels that a file has are not read.

    Raises `DataError` for a file without rows, or one that is named twice.
    """
    if not paths:
        return labelled
    parts = [*(labelled.parts or (labelled,))]
    num_labelled = len(parts)
    for path in paths:
        if Path(path).resolve() in [Path(part.source).resolve() for part in parts]:
            raise DataError("This file is named more than once; name it once.", path=path)
        parts.append(_opened(path, labelled, data))
    new = parts[num_labelled:]
    names = " + ".join(part.source for part in new)
    num_texts = sum(map(len, new))
    notes = [f"{part.source}: {note}" for part in new for note in part.notes]

    def chunks(chunk_rows: int) -> Iterator[Examples]:
        yield from labelled.chunks(chunk_rows)
        for part in new:
            yield from part.chunks(chunk_rows)

    return LabelledFile(
        space=labelled.space,
        data=labelled.data,
        source=" + ".join(Path(part.source).name for part in parts),
        notes=(*labelled.notes, *notes, f"{num_texts} texts without labels from {names}."),
        num_rows=len(labelled) + num_texts,
        _chunks=chunks,
        parts=tuple(parts),
    )


def _opened(path: str | Path, labelled: LabelledFile, data: DataOptions) -> LabelledFile:
    source = str(path)
    if source == "-":
        raise DataError("Standard input cannot be read twice; name a file of texts.", path=source)
    own = _reading_options(source, labelled.data, data)
    stream = stream_texts(source, own)
    num_rows = sum(1 for _ in stream.rows)
    # Soft, if the labels beside them are, so that unknown is written alike. That all columns are
    # passed over tells these rows from labelled ones, in the key of the cache.
    kept = replace(own, ignore_columns=stream.columns, soft_labels=labelled.data.soft_labels)
    if not num_rows:
        raise DataError("There is not a single text.", path=source)
    is_weighted = labelled.data.weight_column is not None
    is_grouped = labelled.data.split_by is not None

    def chunks(chunk_rows: int) -> Iterator[Examples]:
        rows = stream_texts(source, own).rows
        while window := list(islice(rows, chunk_rows)):
            yield Examples(
                texts=[row.text for row in window],
                labels=_unknown(len(window), labelled.space),
                ids=[row.id for row in window],
                source=source,
                data=kept,
                notes=(),
                lines=[row.line for row in window],
                weights=np.ones(len(window), dtype=np.float32) if is_weighted else None,
                groups=[""] * len(window) if is_grouped else None,
            )

    return LabelledFile(labelled.space, kept, source, tuple(stream.notes), num_rows, chunks)


def _reading_options(source: str, labelled: DataOptions, given: DataOptions) -> DataOptions:
    """Return the options to read texts with: columns that mean something else there are passed over."""
    others = (
        labelled.label_column,
        *labelled.label_columns,
        given.weight_column,
        given.split_by,
        given.group_by,
    )
    own = replace(
        given,
        label_column=None,
        label_columns=(),
        label_delimiter=None,
        label_names=None,
        soft_labels=False,
        weight_column=None,
        split_by=None,
        group_by=None,
        ignore_columns=(*given.ignore_columns, *(name for name in others if name is not None)),
    )
    columns = open_table(source, own).columns
    if own.text_column is None and labelled.text_column in columns:
        return replace(own, text_column=labelled.text_column)
    return own


def _unknown(num_rows: int, space: LabelSpace) -> LabelMatrix:
    return LabelMatrix(space, np.full((num_rows, len(space)), np.nan, dtype=np.float32))
