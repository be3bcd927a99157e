"""Several data sets as one: labels matched by name, what a set does not know is unknown in its rows.

Files of texts alone can follow, as rows whose labels are all unknown.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.files import digest_64
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.core.text_tables import counted, cut, listed
from multihot.data.columns.label_hierarchy import ancestry_of
from multihot.data.columns.label_names import spelling_of
from multihot.data.duplicates import normalised
from multihot.data.examples import Examples
from multihot.data.labelled_file import LabelledFile, open_labelled
from multihot.data.text_stream import stream_texts
from multihot.errors import DataError, OptionError

__all__ = ["open_union", "union_of", "with_unlabelled"]

_MAX_HASHED_ROWS = 2**25  # 256 MB of hashes; beyond, repeated texts are not counted


def union_of(*examples: Examples) -> Examples:
    """Return the rows of all data sets one after the other, with the labels of all.

    The labels are in order of first appearance. A label that a data set does not have is unknown (NaN)
    in all its rows. A set without weights counts 1 a row where another has weights. Texts that several
    sets hold are kept and counted in the notes.

    Raises `DataError` when there is nothing to unite, or a set has no labels.
    """
    if not examples:
        raise DataError("There is nothing to unite: give at least one data set.")
    for one in examples:
        if not isinstance(one, Examples):
            raise DataError(f"expected Examples of multihot.read_examples, got {cut(one)}.")
    if len(examples) == 1:
        return examples[0]
    for one in examples:
        if one.labels is None:
            raise DataError("has no labels to unite.", path=one.source)
    space = _united([_labels(one).space for one in examples], examples[0].data)
    sources = [one.source for one in examples]
    weights = [one.weights for one in examples]
    hashes = [_text_hashes(one.texts) for one in examples]
    own = [_labels(one).space for one in examples]
    return Examples(
        texts=[text for one in examples for text in one.texts],
        labels=LabelMatrix(space, np.concatenate([_widened(one, space) for one in examples])),
        ids=[row_id for one in examples for row_id in one.ids],
        source=_names(sources),
        data=_common([one.data for one in examples], DataOptions()),
        notes=tuple(_notes(sources, own, [len(one) for one in examples], space, hashes)),
        lines=[line for one in examples for line in one.lines],
        weights=None
        if all(one is None for one in weights)
        else np.concatenate(
            [
                np.ones(len(one), dtype=np.float32) if weight is None else weight
                for one, weight in zip(examples, weights, strict=True)
            ]
        ),
        groups=None
        if all(one.groups is None for one in examples)
        else [group for one in examples for group in one.groups or [""] * len(one)],
    )


def open_union(
    paths: Sequence[str | Path], data: DataOptions | None = None, *, space: LabelSpace | None = None
) -> LabelledFile:
    """Open several files as one, which is read chunk by chunk; see `union_of` and `open_labelled`.

    Each file is recognised by itself; `data` holds for all. With `space`, the known labels, every file
    may have some of them. The notes tell what was found in each file.
    """
    given = data or DataOptions()
    if len(paths) == 1:
        return open_labelled(paths[0], given, space=space)
    repeated = sorted(name for name, count in Counter(map(str, paths)).items() if count > 1)
    if repeated:
        raise DataError("This file is named more than once; name it once.", path=repeated[0])
    if given.label_file is not None and "*" not in given.label_file:
        raise OptionError(
            f"data.label_file={given.label_file} has the labels of one file. For several, write * for the "
            "name of each, such as data.label_file=*.labels."
        )
    own_options = given if space is None else replace(given, partial_labels=True)
    parts = tuple(open_labelled(path, own_options, space=space) for path in paths)
    united = space or _united([part.space for part in parts], parts[0].data)
    sources = [part.source for part in parts]
    num_rows = [len(part) for part in parts]
    hashes = None
    if sum(num_rows) <= _MAX_HASHED_ROWS:
        hashes = [_hashes_of(part) for part in parts]
    notes = [f"{part.source}: {note}" for part in parts for note in part.notes]
    own = [part.space for part in parts]
    notes += _notes(sources, own, num_rows, united, hashes)
    common = _common([part.data for part in parts], given)

    def chunks(chunk_rows: int) -> Iterator[Examples]:
        for part in parts:
            for chunk in part.chunks(chunk_rows):
                yield replace(chunk, labels=LabelMatrix(united, _widened(chunk, united)))

    return LabelledFile(united, common, _names(sources), tuple(notes), sum(num_rows), chunks, parts)


def _names(sources: Sequence[str]) -> str:
    return " + ".join(Path(source).name for source in sources)


def _labels(examples: Examples) -> LabelMatrix:
    assert examples.labels is not None
    return examples.labels


def _united(spaces: Sequence[LabelSpace], data: DataOptions) -> LabelSpace:
    """Return the labels of all sets, with the hierarchy that the first one is read with."""
    names = tuple(dict.fromkeys(name for space in spaces for name in space.names))
    ancestry = ancestry_of(data, spelling_of(data))
    return LabelSpace(names) if ancestry is None else ancestry.space(names)


def _widened(examples: Examples, space: LabelSpace) -> npt.NDArray[np.float32]:
    """Return the label values with the columns of `space`; other sets' labels are unknown."""
    return replace(_labels(examples), lists_all=False).aligned_to(space).values


def _text_hashes(texts: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return a hash of the words of each text that is not blank. *Shape:* (at most N,)."""
    digests = (
        digest_64(normalised(text).encode("utf-8", "surrogatepass"))
        for text in texts
        if text.strip()
    )
    return np.fromiter(digests, dtype=np.uint64)


def _hashes_of(part: LabelledFile) -> npt.NDArray[np.uint64]:
    return np.concatenate([_text_hashes(chunk.texts) for chunk in part.chunks()])


def _notes(
    sources: Sequence[str],
    own: Sequence[LabelSpace],
    num_rows: Sequence[int],
    space: LabelSpace,
    hashes: Sequence[npt.NDArray[np.uint64]] | None,
) -> list[str]:
    """Say what became of the labels and how many texts occur in several sets."""
    notes = [
        f"{len(sources)} data sets with {sum(num_rows)} rows and {counted(len(space), 'label')} as one."
    ]
    for source, names, rows in zip(sources, own, num_rows, strict=True):
        lacking = [name for name in space.names if name not in names.columns]
        if lacking:
            notes.append(
                f"{source} knows {len(names)} of the labels; unknown in its {counted(rows, 'row')}: "
                f"{listed(lacking)}."
            )
    if len(space) == sum(map(len, own)):
        notes.append("The data sets share no label name; labels are matched by name alone.")
    if hashes is None:
        notes.append("Texts that occur in several files were not counted: there are too many rows.")
        return notes
    seen, num_again = hashes[0], 0
    for others in hashes[1:]:
        num_again += int(np.isin(others, seen).sum())
        seen = np.union1d(seen, others)
    if num_again:
        notes.append(
            f"{counted(num_again, 'row holds', 'rows hold')} a text that a data set before has too (but for links, case and "
            "punctuation). All are kept."
        )
    return notes


def _common(parts: Sequence[DataOptions], given: DataOptions) -> DataOptions:
    """Return the options that later files are read with: what all parts agree on, else as given."""
    values: dict[str, Any] = {}
    for field in fields(DataOptions):
        found = [getattr(part, field.name) for part in parts]
        agreed = all(value == found[0] for value in found)
        values[field.name] = found[0] if agreed else getattr(given, field.name)
    used = {
        name
        for part in parts
        for name in (
            part.text_column,
            *part.text_columns,
            part.id_column,
            part.label_column,
            *part.label_columns,
        )
    }
    ignored = dict.fromkeys(name for part in parts for name in part.ignore_columns)
    values["ignore_columns"] = tuple(name for name in ignored if name not in used)
    return DataOptions(**{**values, "partial_labels": True})


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
    opened = {os.path.realpath(part.source) for part in parts}
    for path in paths:
        if os.path.realpath(path) in opened:
            raise DataError("This file is named more than once; name it once.", path=path)
        opened.add(os.path.realpath(path))
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
        notes=(
            *labelled.notes,
            *notes,
            f"{counted(num_texts, 'text')} without labels from {names}.",
        ),
        num_rows=len(labelled) + num_texts,
        _chunks=chunks,
        parts=tuple(parts),
    )


def _opened(path: str | Path, labelled: LabelledFile, data: DataOptions) -> LabelledFile:
    source = str(path)
    if source == "-":
        raise DataError("Standard input cannot be read twice; name a file of texts.", path=source)
    own = _reading_options(labelled.data, data)
    stream = stream_texts(source, own, usual_text=labelled.data.text_column)
    own = stream.data
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


def _reading_options(labelled: DataOptions, given: DataOptions) -> DataOptions:
    """Return the options to read texts with: columns that mean something else there are passed over."""
    others = (
        labelled.label_column,
        *labelled.label_columns,
        given.weight_column,
        given.split_by,
        given.group_by,
        given.annotator_column,
        *given.vote_columns,
    )
    return replace(
        given,
        label_column=None,
        label_columns=(),
        label_delimiter=None,
        label_names=None,
        label_file=given.label_file if "*" in (given.label_file or "") else None,
        true_values=(),
        false_values=(),
        soft_labels=False,
        aggregate=None,
        votes=None,
        vote_columns=(),
        annotator_column=None,
        weight_column=None,
        split_by=None,
        group_by=None,
        ignore_columns=(*given.ignore_columns, *(name for name in others if name is not None)),
    )


def _unknown(num_rows: int, space: LabelSpace) -> LabelMatrix:
    return LabelMatrix(space, np.full((num_rows, len(space)), np.nan, dtype=np.float32))
