"""Split a labelled file into parts or folds that keep the frequency of every label."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multihot.core.files import as_path, flush_folder, storage_errors
from multihot.core.labels import LabelMatrix
from multihot.core.options import DataOptions
from multihot.core.staging import check_new_folder, put_in_place, staged_folder
from multihot.core.text_tables import cut
from multihot.data.copy_rows import copy_rows, part_ending
from multihot.data.duplicates import normalised
from multihot.data.label_statistics import LabelBits
from multihot.data.labelled_file import LabelledFile, open_labelled, required_labels
from multihot.data.split_report import KeptTogether, SplitPart, SplitReport
from multihot.data.stratify import stratified_folds, stratified_parts, unit_key, units_of
from multihot.errors import DataError, OptionError

__all__ = ["DEFAULT_PARTS", "split"]

_MAX_FOLDS = 10_000
DEFAULT_PARTS = {"train": 0.8, "dev": 0.1, "test": 0.1}
"""Default names and proportions of the parts."""

_NAME = re.compile(r"\w[\w.-]*")

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def split(
    path: str | Path,
    output: str | os.PathLike[str],
    *,
    parts: Mapping[str, float] | None = None,
    folds: int | None = None,
    seed: int = 0,
    pairs: bool = False,
    data: DataOptions | None = None,
    force: bool = False,
) -> SplitReport:
    """Write the rows of a labelled file into several files, stratified by label.

    Near-duplicates (`data.duplicates.normalised`) stay together, and so do rows with equal values in
    the column `data.split_by` or `data.group_by`. Every line of a text table or of
    JSON lines is copied byte for byte, in its order, below the header; Parquet and
    workbooks stay what they are (of a workbook, the values of one sheet), other formats become JSON
    lines.

    Parameters
    ----------
    path
        Any labelled file that `read_examples` reads.
    output
        Folder for `NAME.csv` of each part, or `fold-1/train.csv` and `fold-1/dev.csv` of each fold.
    parts
        Names and sizes in proportion; default 8 : 1 : 1 as train, dev and test.
    folds
        Number of folds, instead of parts; each is `dev` once, with the others as `train`.
    seed
        Seed of the random split.
    pairs
        Whether to stratify by pairs of labels too.
    data
        How to read the file.
    force
        Whether files of the same names in `output` are replaced; others are never touched.

    Raises
    ------
    OptionError
        Parts, folds or the output are wrong.
    DataError
        The file is wrong, or has too few rows that may be separated.
    StorageError
        A file cannot be written; then `output` is as it was.
    """
    folder, names = as_path(output, "output"), _part_names(parts, folds)
    _check_output(folder, force=force)
    options = _by_split_column(data or DataOptions())
    file = open_labelled(path, options)
    labels, lines, texts, groups = _read(file)
    values = labels.matrix()
    units = units_of(texts) if groups is None else units_of(texts, groups)
    if folds is None:
        proportions = list((parts or DEFAULT_PARTS).values())
        part = stratified_parts(values, proportions, seed, units=units, pairs=pairs)
    else:
        part = stratified_folds(values, folds, seed, units=units, pairs=pairs)
    ending = part_ending(path, options)
    wanted = _rows_by_file(part, names, ending, folds=folds)
    notes = _write(path, options, lines, wanted, folder)
    return SplitReport.of_rows(
        labels,
        part,
        [
            SplitPart(name, tuple(str(folder / file) for file in _file_names(name, ending, folds)))
            for name in names
        ],
        source=file.source,
        seed=seed,
        alike=KeptTogether.from_key(texts),
        groups=None if groups is None else KeptTogether.from_key(groups),
        group_column=options.split_by,
        notes=(*file.notes, *notes),
    )


def _part_names(parts: Mapping[str, float] | None, folds: int | None) -> list[str]:
    if folds is not None:
        if parts is not None:
            raise OptionError("Give parts or folds, not both.")
        if isinstance(folds, bool) or not isinstance(folds, int) or folds > _MAX_FOLDS:
            raise OptionError(f"folds is {cut(folds)}; expected a whole number up to {_MAX_FOLDS}.")
        return [f"fold-{number}" for number in range(1, folds + 1)]
    if parts is not None and not isinstance(parts, Mapping):
        raise OptionError(
            f"parts is {cut(parts)}; expected names with sizes, such as {DEFAULT_PARTS}."
        )
    names = list(DEFAULT_PARTS if parts is None else parts)
    if len(names) < 2:
        raise OptionError("A split needs at least two parts, such as train=0.9,test=0.1.")
    for name in names:
        if not _NAME.fullmatch(name):
            raise OptionError(
                f"The part {name!r} cannot name a file; use letters, digits, '-' and '_'."
            )
    return names


def _check_output(folder: Path, *, force: bool) -> None:
    if not (force and folder.is_dir()):
        check_new_folder(
            folder,
            advice="Choose another --output, or add --force to replace files of the same names in it.",
        )


def _by_split_column(data: DataOptions) -> DataOptions:
    """Keep the lines of one text together instead of joining them, so that every line is copied.

    Votes on a label that a line names and whose they are say nothing about where the line belongs.
    """
    if data.group_by is None:
        return data
    about_labels = *data.vote_columns, data.annotator_column
    data = replace(
        data,
        aggregate=None,
        vote_columns=(),
        annotator_column=None,
        ignore_columns=(*data.ignore_columns, *(name for name in about_labels if name is not None)),
    )
    if data.split_by not in (None, data.group_by):
        raise OptionError(
            f"data.group_by={data.group_by} and data.split_by={data.split_by}: a split keeps rows "
            "together by one column. Leave data.group_by out if the other column covers it."
        )
    return replace(data, group_by=None, split_by=data.group_by)


def _read(file: LabelledFile) -> tuple[LabelBits, IntArray, IntArray, IntArray | None]:
    """Return labels, lines, and keys of equal texts and of groups; -1 equals no other."""
    lines, texts, groups = list[int](), list[int](), list[int]()

    def labels() -> Iterator[LabelMatrix]:
        for chunk in file.chunks():
            lines.extend(chunk.lines)
            texts.extend(unit_key(normalised(text)) for text in chunk.texts)
            groups.extend(map(unit_key, chunk.groups or ()))
            yield required_labels(chunk)

    bits = LabelBits.from_chunks(file.space, labels())
    keys = np.array(groups, dtype=np.int64) if groups else None
    return bits, np.array(lines, dtype=np.int64), np.array(texts, dtype=np.int64), keys


def _file_names(name: str, ending: str, folds: int | None) -> list[str]:
    if folds is None:
        return [f"{name}{ending}"]
    return [f"{name}/train{ending}", f"{name}/dev{ending}"]


def _rows_by_file(
    part: IntArray, names: list[str], ending: str, *, folds: int | None
) -> dict[str, BoolArray]:
    """Return which rows each file gets. *Shape of each:* (N,)."""
    wanted: dict[str, BoolArray] = {}
    for number, name in enumerate(names):
        files = _file_names(name, ending, folds)
        wanted[files[-1]] = part == number
        if folds is not None:
            wanted[files[0]] = part != number
    return wanted


def _write(
    path: str | Path,
    data: DataOptions,
    lines: IntArray,
    wanted: Mapping[str, BoolArray],
    folder: Path,
) -> list[str]:
    """Write all files to a temporary folder, then move them to `folder`; return notes."""
    with contextlib.ExitStack() as stack:
        with storage_errors(folder):
            stage = stack.enter_context(staged_folder(folder))
        targets = {stage / name: rows for name, rows in wanted.items()}
        with storage_errors(folder):
            for target in targets:
                target.parent.mkdir(parents=True, exist_ok=True)
        notes = _copied(path, data, lines, targets)
        with storage_errors(folder):
            put_in_place(stage, folder)
            flush_folder(folder)
    return notes


def _copied(
    path: str | Path, data: DataOptions, lines: IntArray, targets: Mapping[Path, BoolArray]
) -> list[str]:
    try:
        return copy_rows(path, data, lines, targets)
    except OSError as error:
        if error.filename is not None:  # the table, which was there before
            raise DataError(f"The file cannot be read: {error.strerror}.", path=path) from None
        with storage_errors(
            next(iter(targets)).parent
        ):  # a file that was closed with its last rows
            raise
        raise AssertionError("unreachable") from None
