"""Label names and label values, as every other module uses them.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.files import digest_64
from multihot.core.hierarchy import Hierarchy
from multihot.core.text_tables import cut, listed
from multihot.errors import LabelError

__all__ = ["LabelMatrix", "LabelSpace", "normalized_name", "row_hashes", "text_hashes"]

FloatArray = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.int64]

_WINDOW_CELLS = 1 << 18  # that are checked at once
_HALF = 0.5  # a tie of the annotators


def normalized_name(name: str) -> str:
    """Return a label name as it is compared and kept: in Unicode's form NFC, and stripped."""
    return unicodedata.normalize("NFC", name).strip()


@dataclass(frozen=True)
class LabelSpace:
    """Label names in a fixed order, which is that of all label columns.

    Names are normalised to NFC and stripped; they must be non-empty, unique and free of control
    characters. Raises `LabelError` otherwise.
    """

    names: tuple[str, ...]
    hierarchy: Hierarchy | None = field(default=None, compare=False)
    """Which labels imply others; spaces of the same names are equal whatever it is."""

    def __post_init__(self) -> None:
        given: Any = self.names
        if isinstance(given, str | bytes) or not isinstance(given, Iterable):
            raise LabelError(f"The label names are {cut(given)}; expected a sequence of names.")
        names = tuple(normalized_name(str(name)) for name in self.names)
        object.__setattr__(self, "names", names)
        if not names:
            raise LabelError("There are no labels: at least one label name is needed.")
        for name in names:
            if not name:
                raise LabelError(
                    f"A label name is empty. The names are: [{listed([*map(repr, names)])}]"
                )
            if not name.isprintable() and "Cc" in map(unicodedata.category, name):
                raise LabelError(f"The label name {cut(name)} contains a control character.")
        if self.hierarchy is not None and len(self.hierarchy.parents) != len(names):
            raise LabelError(
                f"The hierarchy is of {len(self.hierarchy.parents)} labels, and there are {len(names)}."
            )
        repeated = sorted(name for name, count in Counter(names).items() if count > 1)
        if repeated:
            raise LabelError(
                f"Label names must be unique; these occur more than once: {listed(repeated)}"
            )

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def columns(self) -> Mapping[str, int]:
        """The column of each name."""
        return {name: column for column, name in enumerate(self.names)}

    def index(self, name: str) -> int:
        """Return the column of `name`; raise `LabelError` when there is none."""
        column = self.columns.get(normalized_name(name))
        if column is None:
            raise LabelError(f"Unknown label {cut(name)}. The labels are: {listed(self.names)}")
        return column


@dataclass(frozen=True)
class LabelMatrix:
    """Label values of N texts: 1 = positive, 0 = negative, NaN = unknown.

    A value between 0 and 1 is *soft*: the fraction of annotators who gave the label. Training uses it
    as it is; thresholds and metrics use `hard()`.

    Attributes
    ----------
    space
        The names of the L columns.
    values
        *Shape:* (N, L), float32, each between 0 and 1, or NaN.
    lists_all
        Whether labels were given as lists of names, so that a label without a column is negative in
        every labelled text. With 0/1 columns, a label without a column is unknown.
    """

    space: LabelSpace
    values: FloatArray
    lists_all: bool = False

    def __post_init__(self) -> None:
        try:
            values = np.asarray(self.values, dtype=np.float32)
        except (TypeError, ValueError):
            raise LabelError("The label matrix holds values that are not numbers.") from None
        if values.ndim != 2 or values.shape[1] != len(self.space):
            raise LabelError(
                f"The label matrix has shape {values.shape}; expected (rows, {len(self.space)}) "
                f"for the labels {listed(self.space.names)}"
            )
        wrong = _first_wrong(values)
        if wrong is not None:
            row, column = wrong
            raise LabelError(
                f"The label value {values[row, column]:g} in row {row}, label "
                f"'{self.space.names[column]}' is not 0, 1 or NaN (unknown), nor a fraction between."
            )
        object.__setattr__(self, "values", values)

    @classmethod
    def from_names(
        cls, rows: Iterable[Iterable[str] | None], space: LabelSpace | None = None
    ) -> LabelMatrix:
        """Build a matrix from one sequence of names per text.

        Parameters
        ----------
        rows
            The names of each text; an empty sequence = no label, `None` = unlabelled (all unknown).
        space
            The allowed names; without it, the sorted set of all names that occur.
        """
        given = _rows_of_names(rows)
        for number, row in enumerate(given):
            if isinstance(row, str):
                raise LabelError(
                    f"Row {number} has the string {cut(row)} where a list of label names was expected."
                )
            for name in row or ():
                if not isinstance(name, str):
                    raise LabelError(
                        f"Row {number} has the label {cut(name)}, which is not a string. Write names as "
                        "strings; pass rows of 0 and 1 as an array together with the label names."
                    )
        if space is None:
            names = {normalized_name(name) for row in given for name in row or ()}
            space = LabelSpace(tuple(sorted(names)))
        values = np.zeros((len(given), len(space)), dtype=np.float32)
        for number, row in enumerate(given):
            if row is None:
                values[number] = np.nan
                continue
            for name in row:
                column = space.columns.get(normalized_name(name))
                if column is None:
                    raise LabelError(
                        f"Row {number} has the label {cut(name)}, which is not among the labels: "
                        f"{listed(space.names)}"
                    )
                values[number, column] = 1.0
        return cls(space, values, lists_all=True)

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which cells are known. *Shape:* (N, L), bool."""
        return ~np.isnan(self.values)

    @property
    def is_soft(self) -> bool:
        """Whether a value is a fraction, neither 0 nor 1."""
        return bool(((self.values > 0) & (self.values < 1)).any())

    def hard(self) -> LabelMatrix:
        """Return the labels without fractions: above 0.5 is 1, below is 0, a tie (0.5) is unknown.

        Without fractions it is the matrix itself.
        """
        return replace(self, values=_hard_values(self.values)) if self.is_soft else self

    def positives(self) -> IndexArray:
        """Return the number of texts that have each label (above 0.5). *Shape:* (L,), int64."""
        return np.asarray((self.values > _HALF).sum(axis=0), dtype=np.int64)

    def take(self, rows: npt.ArrayLike) -> LabelMatrix:
        """Return the given rows (indices or a boolean mask) in the given order."""
        return replace(self, values=self.values[np.asarray(rows)])

    def aligned_to(self, space: LabelSpace) -> LabelMatrix:
        """Return the same labels with the columns of `space`, matched by name.

        A name of `space` that this matrix lacks becomes 0 in labelled rows where labels were given
        as lists (`lists_all`), else unknown. A name that `space` lacks raises `LabelError`: labels
        are never matched by position and never dropped. Where `space` has a hierarchy, the values
        agree with it afterwards (`Hierarchy.completed`).
        """
        if space == self.space:
            return self if space.hierarchy == self.space.hierarchy else self._within(space)
        extra = [name for name in self.space.names if name not in space.columns]
        if extra:
            raise LabelError(
                f"These labels are not known here: {listed(extra)}. "
                f"The known labels are: {listed(space.names)}"
            )
        values = np.full((len(self), len(space)), np.nan, dtype=np.float32)
        if self.lists_all:
            values[self.known.any(axis=1)] = 0.0
        values[:, [space.columns[name] for name in self.space.names]] = self.values
        return replace(self, values=values, space=space)._within(space)

    def _within(self, space: LabelSpace) -> LabelMatrix:
        """Return the same labels in a space of the same names, with what its hierarchy implies."""
        values = self.values
        if space.hierarchy is not None:
            values = space.hierarchy.completed(values).values
        return replace(self, space=space, values=values)

    def to_names(self) -> list[list[str]]:
        """Return the labels of each text by name, in column order (unknown counts as negative)."""
        return [
            [self.space.names[column] for column in np.flatnonzero(row > _HALF)]
            for row in self.values
        ]


def _rows_of_names(rows: Any) -> list[Any]:
    """Return the names of each text as lists; raise `LabelError` for what has no names."""
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise LabelError(f"The labels are {cut(rows)}; expected a list of names for each text.")
    found: list[Any] = []
    for number, row in enumerate(rows):
        if isinstance(row, bytes | Mapping) or not (row is None or isinstance(row, Iterable)):
            raise LabelError(
                f"Row {number} of the labels is {type(row).__name__} ({cut(row)}); expected a list of "
                "label names, [] for no label, or None for unlabelled."
            )
        found.append(row if row is None or isinstance(row, str) else list(row))
    return found


def _first_wrong(values: FloatArray) -> tuple[int, int] | None:
    """Return row and column of the first value that is no label value, a window of rows at a time."""
    step = max(1, _WINDOW_CELLS // values.shape[1])
    for start in range(0, len(values), step):
        window = values[start : start + step]
        allowed = (window >= 0) & (window <= 1)
        if not allowed.all() and not (allowed | np.isnan(window)).all():
            row, column = np.argwhere(~(allowed | np.isnan(window)))[0].tolist()
            return start + row, column
    return None


def _hard_values(values: FloatArray) -> FloatArray:
    """Return fractions as 0 or 1, one half as NaN. *Shapes:* (N, L), float32 -> (N, L), float32."""
    hard = (values > _HALF).astype(np.float32)
    hard[np.isnan(values) | (values == _HALF)] = np.nan
    return hard


def row_hashes(texts: Sequence[str], labels: LabelMatrix) -> npt.NDArray[np.uint64]:
    """Return a hash of each row: its text with the names of its labels and of its unknown labels.

    It does not depend on the order of the label columns, so that the same row is recognised in another
    file. Fractions are rounded first (`LabelMatrix.hard`). *Shape:* (N,), uint64.
    """
    labels = labels.hard()
    values, names = labels.values, np.asarray(labels.space.names, dtype=object)
    hashes = np.empty(len(labels), dtype="<u8")
    rows = zip(texts, values == 1, np.isnan(values), strict=True)
    for row, (text, has, unknown) in enumerate(rows):
        content = json.dumps([text, *(sorted(names[which]) for which in (has, unknown))])
        hashes[row] = digest_64(content.encode("ascii"))
    return hashes


def text_hashes(texts: Sequence[str]) -> npt.NDArray[np.uint64]:
    """Return a hash of each text, whatever its labels. *Shape:* (N,), uint64."""
    hashes = np.empty(len(texts), dtype="<u8")
    for row, text in enumerate(texts):
        hashes[row] = digest_64(text.encode("utf-8", "surrogatepass"))
    return hashes
