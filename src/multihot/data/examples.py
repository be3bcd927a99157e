"""Texts, labels and ids, wherever they were read from.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix
from multihot.core.options import DataOptions
from multihot.data.columns.label_plan import KNOWN_LABELS

__all__ = ["Examples", "portable"]


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
