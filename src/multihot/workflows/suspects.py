"""Which cells of an audited file are listed, and why.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from multihot.core.numeric import sigmoid
from multihot.data.correcting.table import Suspect
from multihot.data.labelled_file import LabelledFile
from multihot.data.same_texts import OtherRows, SameTexts

__all__ = ["AuditedRows", "Findings", "choose_cells", "suspects_of"]

BoolArray = npt.NDArray[np.bool_]
DoubleArray = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.float32]

_HALF = 0.5
Cell = tuple[int, int]
"""Row and label."""


@dataclass(frozen=True)
class AuditedRows:
    """What is kept of a file while it is audited."""

    content: OtherRows
    given: FloatArray
    """Values as the file has them, fractions included. *Shape:* (N, L)."""
    settled: frozenset[Cell]
    """Row and label of cells that somebody decided about."""


@dataclass(frozen=True)
class Findings:
    """What is known about the cells of a file.

    Attributes
    ----------
    logits
        *Shape:* (N, L). Out of fold.
    log_odds
        *Shape:* (N, L). That labels are true, by the scores alone.
    wrong
        *Shape:* (N, L). How likely known values are wrong, and unknown labels true.
    same
        Rows of the same words.
    """

    file: LabelledFile
    rows: AuditedRows
    logits: FloatArray
    log_odds: DoubleArray
    wrong: DoubleArray
    same: SameTexts

    @cached_property
    def known(self) -> BoolArray:
        """Which cells are known. *Shape:* (N, L)."""
        return ~np.isnan(self.rows.content.values)

    @cached_property
    def conflicts(self) -> BoolArray:
        """Which cells have another value than a row of the same words. *Shape:* (M, L)."""
        own = self.rows.content.values[self.same.rows]
        positive, negative = self.same.positive > 0, self.same.negative > 0
        return np.asarray(((own == 1) & negative) | ((own == 0) & positive))


def choose_cells(findings: Findings, most: int) -> list[Cell]:
    """Return the cells to list: as many as are expected to be wrong, then unknown ones.

    Cells that contradict a row of the same words are listed where they are more likely wrong than not.
    There are at most `most` of each kind, the most suspicious first.
    """
    known, same = findings.known, findings.same
    suspicion = np.where(known, findings.wrong, -1.0)
    unknown = np.where(~known & (findings.wrong >= _HALF), findings.wrong, -1.0)
    for cell in findings.rows.settled:
        suspicion[cell] = unknown[cell] = -1.0
    best = _largest(suspicion, min(most, math.ceil(np.maximum(suspicion, 0).sum())))
    conflicting = np.zeros_like(known)
    conflicting[same.rows] = findings.conflicts
    more = _largest(np.where(conflicting & (suspicion >= _HALF), suspicion, -1.0), most)
    cells = sorted({*best, *more}, key=lambda cell: (-suspicion[cell], cell))[:most]
    return [*cells, *_largest(unknown, most)]


def _largest(values: DoubleArray, number: int) -> list[Cell]:
    """Return the cells of the largest values that are not negative, largest first."""
    flat = values.ravel()
    number = min(number, int((flat >= 0).sum()))
    if not number:
        return []
    part = np.argpartition(-flat, number - 1)[:number]
    order = part[np.lexsort((part, -flat[part]))]
    return [divmod(int(place), values.shape[1]) for place in order]


def suspects_of(findings: Findings, cells: Sequence[Cell]) -> list[Suspect]:
    """Return cells with their texts, for which the file is read once more."""
    texts = _texts(findings.file, {row for row, _ in cells})
    return [_suspect(findings, cell, *texts[cell[0]]) for cell in cells]


def _texts(file: LabelledFile, rows: set[int]) -> dict[int, tuple[str, str]]:
    """Return text and id of some rows."""
    texts, start = dict[int, tuple[str, str]](), 0
    for chunk in file.chunks():
        for place in range(len(chunk)):
            if start + place in rows:
                texts[start + place] = chunk.texts[place], chunk.ids[place]
        start += len(chunk)
    return texts


def _suspect(findings: Findings, cell: Cell, text: str, row_id: str) -> Suspect:
    row, label = cell
    value = findings.rows.content.values[cell]
    disagreeing = findings.same.disagreeing(row, label)
    probability = float(sigmoid(findings.log_odds[cell].reshape(1), np.float64)[0])
    reason = "unlabelled" if np.isnan(value) else "extra" if value == 1 else "missing"
    evidence = f"probability {probability:.3f} by the other folds"
    if disagreeing:
        reason += " + conflict"
        evidence += f"; same words, other value: {disagreeing}"
    return Suspect(
        row=row + 1,
        line=int(findings.rows.content.lines[row]),
        row_id=row_id,
        label=findings.file.space.names[label],
        given=float(findings.rows.given[cell]),
        suggested=0.0 if value == 1 else 1.0,
        score=float(findings.wrong[cell]),
        reason=reason,
        evidence=evidence,
        text=text,
    )
