"""Count what the notes report about the rows of a file: empty texts, unknown labels.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.text_tables import counted
from multihot.data.columns.text_and_id import paragraph_notes

__all__ = ["ReadCounts"]

FloatArray = npt.NDArray[np.float32]


@dataclass
class ReadCounts:
    """Counts over the rows of a file that grow as it is read.

    Attributes
    ----------
    rows
        All rows.
    empty
        Texts without anything but white space.
    lists
        Texts that are lists of paragraphs.
    zero_weights
        Rows that have the weight 0.
    has_labels
        Whether labels were counted; without them the following are 0.
    unlabelled
        Rows all of whose labels are unknown.
    unknown
        Unknown label cells of the other rows.
    negative
        Rows all of whose labels are 0.
    empty_cells
        Empty cells of a column of label names that were read as no label.
    soft, half
        Label cells that are fractions; that are exactly 0.5.
    has_positive, has_zero
        Whether a label cell is above 0.5; is 0.
    """

    rows: int = 0
    empty: int = 0
    lists: int = 0
    zero_weights: int = 0
    has_labels: bool = False
    unlabelled: int = 0
    unknown: int = 0
    negative: int = 0
    empty_cells: int = 0
    soft: int = 0
    half: int = 0
    has_positive: bool = False
    has_zero: bool = False

    def add_texts(self, texts: Sequence[str], cells: Sequence[Any] = ()) -> None:
        """Count rows, their texts and the cells that hold them."""
        if list in set(map(type, cells)):
            self.lists += sum(isinstance(cell, list) for cell in cells)
        self.rows += len(texts)
        self.empty += texts.count("") + sum(map(str.isspace, texts))

    def add_weights(self, weights: FloatArray) -> None:
        """Count the weights of rows. *Shape:* (N,)."""
        self.zero_weights += int((weights == 0).sum())

    def add_values(self, values: FloatArray) -> None:
        """Count label values. *Shape:* (N, L), each between 0 and 1, or NaN."""
        self.has_labels = True
        unknown, zero = np.isnan(values), values == 0
        num_unknown, num_zero = int(unknown.sum()), int(zero.sum())
        if num_unknown:
            num_unlabelled = int(unknown.all(axis=1).sum())
            self.unlabelled += num_unlabelled
            self.unknown += num_unknown - num_unlabelled * values.shape[1]
        self.negative += int(zero.all(axis=1).sum())
        self.has_zero = self.has_zero or num_zero > 0
        num_one = int((values == 1).sum())
        num_soft = values.size - num_unknown - num_zero - num_one
        self.has_positive = self.has_positive or num_one > 0
        if num_soft:
            self.soft += num_soft
            self.half += int((values == 0.5).sum())
            self.has_positive = self.has_positive or bool((values > 0.5).any())

    def clear_values(self) -> None:
        """Forget label values that were counted, to count label names instead."""
        counts = ReadCounts(self.rows, self.empty, self.lists, self.zero_weights, has_labels=True)
        self.__dict__.update(counts.__dict__)

    def add_absent(self, num_labels: int) -> None:
        """Count labels that the file says nothing about, unknown in all rows counted so far."""
        self.unknown += num_labels * (self.rows - self.unlabelled)
        self.negative = 0 if num_labels else self.negative

    def notes(self) -> list[str]:
        """Say how many texts are empty, unlabelled, partly labelled or without any label."""
        notes = paragraph_notes(self.lists)
        if self.empty:
            notes.append(f"{self.empty} of {self.rows} texts are empty.")
        if self.zero_weights:
            notes.append(f"{self.zero_weights} of {self.rows} texts have the weight 0.")
        return notes + self._label_notes() if self.has_labels else notes

    def _label_notes(self) -> list[str]:
        notes = []
        if self.soft:
            notes.append(
                f"{counted(self.soft, 'label cell is a fraction', 'label cells are fractions')}; "
                f"{self.half} of them are exactly 0.5, which "
                "counts as unknown wherever something is decided or measured."
            )
        if self.unlabelled:
            notes.append(f"{self.unlabelled} of {self.rows} texts are unlabelled.")
        if self.unknown:
            cells = counted(self.unknown, "label cell is", "label cells are")
            notes.append(f"{cells} unknown (empty, null, NaN, NA or -1).")
        if self.negative:
            notes.append(f"{self.negative} of {self.rows} texts have no label.")
        if self.empty_cells:
            notes.append(
                f"{self.empty_cells} empty label cells count as negative for every label; "
                "data.empty_labels=unknown makes them unknown."
            )
        return [*notes, *self._doubts()]

    def _doubts(self) -> list[str]:
        if not self.has_positive:
            return ["Not a single text has a label."]
        if self.unknown and not self.has_zero:
            return ["No label cell is 0: if -1 means negative (absent), write 0; -1 means unknown."]
        return []
