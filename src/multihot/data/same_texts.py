"""What other rows of the same words say about a label: in the file itself, and in files beside it.

Texts are compared by `data.duplicates.normalised`. Letters: `N` rows, `M` rows that share their words
with another row, `L` labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelSpace
from multihot.core.text_tables import listed

__all__ = ["OtherRows", "SameTexts", "same_texts"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
_MOST_SHOWN = 5


@dataclass(frozen=True)
class OtherRows:
    """The rows of one file.

    Attributes
    ----------
    source
        The path as it was given.
    keys
        *Shape:* (N,). Equal for texts of the same words, -1 for blank ones (`data.stratify.unit_key`).
    lines
        *Shape:* (N,). The 1-based line (or row) of each text.
    values
        *Shape:* (N, L), each 0, 1 or NaN (unknown).
    """

    source: str
    keys: IntArray
    lines: IntArray
    values: FloatArray


@dataclass(frozen=True)
class SameTexts:
    """What rows of the same words say.

    Attributes
    ----------
    rows
        *Shape:* (M,), rising.
    positive, negative
        *Shape:* (M, L). How many other rows have the label, and how many have it not.
    """

    rows: IntArray
    positive: IntArray
    negative: IntArray
    space: LabelSpace
    _files: tuple[OtherRows, ...]
    _groups: dict[int, list[tuple[int, int]]]

    def disagreeing(self, row: int, label: int) -> str:
        """Name rows of the same words that have another value in a cell; empty where none does."""
        own = self._files[0].values[row, label]
        found = [
            (file, other)
            for file, other in self._groups.get(int(self._files[0].keys[row]), ())
            if abs(self._files[file].values[other, label] - own) == 1
        ]
        names = [
            f"line {self._files[file].lines[other]}"
            + (f" of {self._files[file].source}" if file else "")
            for file, other in found
        ]
        return listed(names, _MOST_SHOWN)

    def rows_in_other_files(self) -> dict[str, int]:
        """Return how many rows have words that each file beside has."""
        counts = [0] * len(self._files)
        for members in self._groups.values():
            num_own = sum(file == 0 for file, _ in members)
            for file in {file for file, _ in members}:
                counts[file] += num_own
        return {part.source: counts[file] for file, part in enumerate(self._files) if file}


def same_texts(space: LabelSpace, own: OtherRows, others: Sequence[OtherRows] = ()) -> SameTexts:
    """Compare the rows of a file with each other, and with those of files beside it."""
    files = (own, *others)
    groups: dict[int, list[tuple[int, int]]] = {}
    for file, part in enumerate(files):
        for row, key in enumerate(part.keys.tolist()):
            if key != -1:
                groups.setdefault(key, []).append((file, row))
    groups = {
        key: members for key, members in groups.items() if len(members) > 1 and members[0][0] == 0
    }
    rows = np.array(
        sorted(row for members in groups.values() for file, row in members if file == 0),
        dtype=np.int64,
    )
    positive = np.zeros((len(rows), len(space)), dtype=np.int64)
    negative = np.zeros_like(positive)
    place_of = {row: place for place, row in enumerate(rows.tolist())}
    for members in groups.values():
        values = np.stack([files[file].values[row] for file, row in members])
        totals = (values == 1).sum(axis=0), (values == 0).sum(axis=0)
        for (file, row), own_values in zip(members, values, strict=True):
            if file == 0:
                positive[place_of[row]] = totals[0] - (own_values == 1)
                negative[place_of[row]] = totals[1] - (own_values == 0)
    return SameTexts(rows, positive, negative, space, files, groups)
