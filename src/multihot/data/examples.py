"""Texts, labels and ids: from a file, or from lists and arrays in memory as scikit-learn users have them.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions
from multihot.data.columns.label_plan import KNOWN_LABELS
from multihot.errors import DataError, LabelError

__all__ = [
    "Examples",
    "as_examples",
    "as_texts",
    "as_validation",
    "is_matrix",
    "portable",
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


_UNRECOGNISED = ("fasttext", "libmultilabel")  # by its first bytes, or not always


def portable(data: DataOptions) -> DataOptions:
    """Return the options that hold for later files too: columns and label shape.

    Sheet and split name one part of one file, and a later file may have another format, unless it is
    one that cannot be recognised. A file of labels belongs to one file of texts, unless `*` stands for
    the name of that.

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
        format=data.format if data.format in _UNRECOGNISED else "auto",
        label_file=data.label_file if "*" in (data.label_file or "") else None,
        sheet=None,
        split=None,
        label_names=label_names,
        weight_column=None,
        split_by=None,
        ignore_columns=(*data.ignore_columns, *extra),
    )


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
