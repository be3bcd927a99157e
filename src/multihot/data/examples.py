"""Texts, labels and ids: from a file, or from lists and arrays in memory as scikit-learn users have them.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.columns.label_plan import KNOWN_LABELS, plan_labels
from multihot.data.columns.text_and_id import (
    column_notes,
    extra_places,
    find_id_column,
    find_text_column,
    group_cells,
    text_of,
    weight_cells,
)
from multihot.data.readers.open_table import open_table
from multihot.data.readers.table import Row, as_text
from multihot.data.text_stream import TextRow, TextStream, stream_texts
from multihot.errors import DataError, LabelError

__all__ = [
    "Examples",
    "Tally",
    "TextRow",
    "TextStream",
    "as_examples",
    "as_texts",
    "as_validation",
    "is_matrix",
    "portable",
    "read_examples",
    "stream_texts",
]


@dataclass(frozen=True)
class Examples:
    """Texts, their labels and their ids.

    Attributes
    ----------
    texts
        *Shape:* N.
    labels
        *Shape:* (N, L); `None` only when read with `labels="ignore"`.
    ids
        *Shape:* N: the id column as text, else the row numbers from 1.
    source
        The path as it was given.
    data
        The options as resolved: columns and label shape are filled in; what was detected about
        this one file (encoding, delimiter) is not.
    notes
        Everything that was detected, merged or found missing, for people.
    lines
        *Shape:* N: the 1-based line (or row) of each text in the file.
    weights
        *Shape:* (N,), float32, at least 0: what each text counts in training; `None` = 1 each.
    groups
        *Shape:* N: texts of equal values stay on one side of every split, an empty value is alone;
        `None` = there is no such column.
    """

    texts: list[str]
    labels: LabelMatrix | None
    ids: list[str]
    source: str
    data: DataOptions
    notes: tuple[str, ...]
    lines: list[int]
    weights: npt.NDArray[np.float32] | None = None
    groups: list[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: npt.ArrayLike) -> Examples:
        """Return the given rows (indices or a boolean mask) in the given order."""
        wanted = np.asarray(rows) if np.size(rows) else np.zeros(0, dtype=np.int64)
        chosen = np.arange(len(self))[wanted].tolist()
        return replace(
            self,
            texts=[self.texts[row] for row in chosen],
            labels=None
            if self.labels is None
            else self.labels.take(np.asarray(chosen, dtype=np.int64)),
            ids=[self.ids[row] for row in chosen],
            lines=[self.lines[row] for row in chosen],
            weights=None if self.weights is None else self.weights[chosen],
            groups=None if self.groups is None else [self.groups[row] for row in chosen],
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
    data = data or DataOptions()
    source = str(path)
    table = open_table(path, data)
    text = find_text_column(table.columns, data, source)
    row_id = find_id_column(table.columns, data, source, text)
    weight, group = extra_places(table.columns, data, source)
    rows = list(table.rows)
    if not rows:
        raise DataError("There is a header, but not a single row.", path=source)
    notes = [*table.notes, *column_notes(text, row_id, data)]
    place = table.columns.index(text)
    texts = [text_of(cells[place], source, line, text) for line, cells in rows]
    resolved = replace(data, text_column=text, id_column=row_id or data.id_column)
    matrix = None
    if labels == "required":
        plan = plan_labels(table.columns, rows, resolved, space, source)
        matrix, resolved = plan.matrix(rows), plan.data
        notes += plan.notes
    ids = _ids(table.columns, rows, row_id)
    lines = [line for line, _ in rows]
    examples = Examples(
        texts,
        matrix,
        ids,
        source,
        resolved,
        (),
        lines,
        None if weight is None else weight_cells(rows, weight, source, table.columns[weight]),
        None if group is None else group_cells(rows, group),
    )
    if data.group_by is not None:
        examples, said = _grouped(examples, table.columns, rows, data.group_by)
        notes += said
    tally = Tally()
    tally.update(examples)
    return replace(examples, notes=(*notes, *tally.notes()))


def portable(data: DataOptions) -> DataOptions:
    """Return the options that hold for later files too: columns and label shape.

    Sheet and split name one part of one file, and a later file may have another format.

    A file of label names becomes the labels known from it, so that indices in later files keep
    their meaning wherever that file goes.

    Weights and groups serve training alone: later files need no such columns.

    Encoding, delimiter and quoting stay where the user set them: `Examples.data` never holds what was
    detected about one file.
    """
    label_names = None if data.label_names is None else KNOWN_LABELS
    extra = [name for name in (data.weight_column, data.split_by) if name is not None]
    return replace(
        data,
        format="auto",
        sheet=None,
        split=None,
        label_names=label_names,
        weight_column=None,
        split_by=None,
        ignore_columns=(*data.ignore_columns, *extra),
    )


def _ids(columns: Sequence[str], rows: Sequence[Row], row_id: str | None) -> list[str]:
    if row_id is None:
        return [str(number) for number in range(1, len(rows) + 1)]
    place = columns.index(row_id)
    return [as_text(cells[place]) for _, cells in rows]


def _grouped(
    examples: Examples, columns: Sequence[str], rows: Sequence[Row], column: str
) -> tuple[Examples, list[str]]:
    """Make one text of the lines with equal values in `column`; their labels are united."""
    if column not in columns:
        raise DataError(
            f"There is no column '{column}' (data.group_by). The columns are: {', '.join(columns)}. "
            "Set data.group_by=none if every line is a text of its own.",
            path=examples.source,
        )
    place = columns.index(column)
    first_of: dict[str, int] = {}
    group = np.empty(len(rows), dtype=np.int64)
    for row, (line, cells) in enumerate(rows):
        first = first_of.setdefault(as_text(cells[place]), row)
        if examples.texts[first].strip() != examples.texts[row].strip():
            raise DataError(
                f"The texts of line {examples.lines[first]} and line {line} differ, although both have "
                f"the value {as_text(cells[place])!r}. Make them equal, or correct data.group_by.",
                path=examples.source,
                line=line,
                column=column,
            )
        if examples.weights is not None and examples.weights[first] != examples.weights[row]:
            raise DataError(
                f"The weights of line {examples.lines[first]} and line {line} differ, although both "
                f"have the value {as_text(cells[place])!r} of '{column}'. Make them equal.",
                path=examples.source,
                line=line,
                column=examples.data.weight_column,
            )
        group[row] = first
    kept = np.array(sorted(first_of.values()), dtype=np.int64)
    united = examples.take(kept)
    if examples.labels is not None:
        values = np.full((len(rows), len(examples.labels.space)), np.nan, dtype=np.float32)
        np.fmax.at(values, group, examples.labels.values)  # 1 over 0 over unknown
        united = replace(united, labels=LabelMatrix(examples.labels.space, values[kept]))
    return united, [f"{len(rows)} lines with equal '{column}' were merged into {len(kept)} texts."]


class Tally:
    """Counts what is said about the rows of a file: texts without content, labels without value."""

    def __init__(self) -> None:
        self._rows = self._empty = self._unlabelled = self._unknown = self._without = 0
        self._soft = self._half = self._no_weight = 0
        self._has_labels = self._has_positive = self._has_zero = False

    def update(self, examples: Examples) -> None:
        """Add rows."""
        self._rows += len(examples)
        self._empty += sum(not text.strip() for text in examples.texts)
        if examples.weights is not None:
            self._no_weight += int((examples.weights == 0).sum())
        if examples.labels is None:
            return
        self._has_labels = True
        values, known = examples.labels.values, examples.labels.known
        unlabelled = ~known.any(axis=1)
        self._unlabelled += int(unlabelled.sum())
        self._unknown += int((~known[~unlabelled]).sum())
        self._without += int((values == 0).all(axis=1).sum())
        self._soft += int(((values > 0) & (values < 1)).sum())
        self._half += int((values == 0.5).sum())
        self._has_positive = self._has_positive or bool((values > 0.5).any())
        self._has_zero = self._has_zero or bool((values == 0).any())

    def notes(self) -> list[str]:
        """Say how many texts are empty, unlabelled, partly labelled or without any label."""
        notes = [f"{self._empty} of {self._rows} texts are empty."] if self._empty else []
        if self._no_weight:
            notes.append(f"{self._no_weight} of {self._rows} texts have the weight 0.")
        if not self._has_labels:
            return notes
        if self._soft:
            notes.append(
                f"{self._soft} label cells are fractions; {self._half} of them are exactly 0.5, which "
                "counts as unknown wherever something is decided or measured."
            )
        if self._unlabelled:
            notes.append(f"{self._unlabelled} of {self._rows} texts are unlabelled.")
        if self._unknown:
            notes.append(f"{self._unknown} label cells are unknown (empty, null, NaN or -1).")
        if self._without:
            notes.append(f"{self._without} of {self._rows} texts have no label.")
        if not self._has_positive:
            notes.append("Not a single text has a label.")
        elif self._unknown and not self._has_zero:
            notes.append("No label cell is 0: if -1 means 'has it not', write 0; -1 means unknown.")
        return notes


def as_texts(X: Iterable[str]) -> list[str]:
    """Return the texts as a list; a single string is refused, since it would become its letters."""
    if isinstance(X, str):
        raise DataError(f"expected a list of texts, got one string: {X[:60]!r}. Put it in a list.")
    return list(X)


def is_matrix(y: Any) -> bool:
    """Return whether `y` is an array-like of numbers rather than lists of names."""
    return len(getattr(y, "shape", ())) == 2


def _labels(y: Any, space: LabelSpace | None) -> LabelMatrix:
    if isinstance(y, LabelMatrix):
        return y.aligned_to(space) if space is not None else y
    if not is_matrix(y):
        return LabelMatrix.from_names(y, space)
    names = tuple(map(str, getattr(y, "columns", ()))) or (space.names if space else None)
    if names is None:
        raise LabelError(
            "The labels are an array without column names: add classes=[...], one name per column."
        )
    try:
        # scipy's sparse matrices do not say their values to numpy unasked.
        values = np.array(y.toarray() if hasattr(y, "toarray") else y, dtype=np.float32)
    except (TypeError, ValueError):
        raise LabelError(
            "The labels are an array with values that are not numbers; expected 0, 1, a fraction "
            "between, or for unknown NaN, None or -1. Give names as lists, one per text."
        ) from None
    values[values == -1] = np.nan
    matrix = LabelMatrix(LabelSpace(names), values)
    return matrix.aligned_to(space) if space is not None else matrix


def as_examples(
    X: Iterable[str],
    y: Any,
    space: LabelSpace | None,
    source: str,
    *,
    sample_weight: npt.ArrayLike | None = None,
) -> Examples:
    """Return in-memory texts and labels as examples with row numbers for ids."""
    texts = as_texts(X)
    labels = _labels(y, space)
    if len(texts) != len(labels):
        raise DataError(f"{source}: {len(texts)} texts, but {len(labels)} rows of labels.")
    numbers = list(range(1, len(texts) + 1))
    return Examples(
        texts=texts,
        labels=labels,
        ids=[str(number) for number in numbers],
        source=source,
        data=DataOptions(),  # there was no file, so the next one is recognised by itself
        notes=(),
        lines=numbers,
        weights=None if sample_weight is None else _weights(sample_weight, len(texts), source),
    )


def _weights(sample_weight: npt.ArrayLike, num_rows: int, source: str) -> npt.NDArray[np.float32]:
    try:
        weights = np.asarray(sample_weight, dtype=np.float32)
    except (TypeError, ValueError):
        raise DataError(f"{source}: sample_weight holds values that are not numbers.") from None
    if weights.shape != (num_rows,):
        raise DataError(
            f"{source}: sample_weight has the shape {weights.shape}; expected one number for each of "
            f"the {num_rows} texts."
        )
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise DataError(
            f"{source}: sample_weight of row {wrong[0]} is {weights[wrong[0]]:g}; expected a number, "
            "0 or more."
        )
    return weights


def as_validation(
    validation: Examples | tuple[Iterable[str], Any] | None, space: LabelSpace
) -> Examples | None:
    """Return validation rows given as `Examples` or as (texts, labels) as examples."""
    if validation is None or isinstance(validation, Examples):
        return validation
    texts, labels = validation
    return as_examples(texts, labels, space, "the validation data")
