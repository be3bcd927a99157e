"""What a split did: rows and label shares of its parts, and what was kept together.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix
from multihot.core.text_tables import aligned
from multihot.data.label_statistics import LabelShare, label_shares

__all__ = ["Kept", "SplitPart", "SplitReport"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Kept:
    """Rows that had to stay on one side, for one reason."""

    groups: int
    """Values that several rows have."""
    rows: int
    """Rows that have such a value."""
    largest: int
    """Rows of the most frequent one."""

    @classmethod
    def of_key(cls, key: IntArray) -> Kept:
        """Count rows of equal numbers; -1 is equal to no other. *Shape:* (N,)."""
        _, counts = np.unique(key[key != -1], return_counts=True)
        several = counts[counts > 1]
        return cls(len(several), int(several.sum()), int(several.max(initial=0)))


@dataclass(frozen=True)
class SplitPart:
    """One part, or one fold."""

    name: str
    files: tuple[str, ...]
    """The files that were written; of a fold, those to train and to validate with."""
    rows: int = 0
    """Of a fold: the rows to validate with."""
    labels: Mapping[str, LabelShare] = field(default_factory=dict)


@dataclass(frozen=True)
class SplitReport:
    """The result of `multihot.split`; `print` it or take `to_json()`."""

    source: str
    """The path as it was given."""
    rows: int
    seed: int
    labels: Mapping[str, LabelShare]
    """Of all rows."""
    parts: tuple[SplitPart, ...]
    largest_deviation: float
    """Largest difference between a label's share in a part and in all rows, a fraction."""
    deviating_label: str
    """Where it is; empty when there is none."""
    deviating_part: str
    alike: Kept
    """Rows whose texts have the same words."""
    groups: Kept | None
    """Rows with equal values in `group_column`."""
    group_column: str | None
    notes: tuple[str, ...]

    @classmethod
    def of_rows(
        cls,
        labels: LabelMatrix,
        part: IntArray,
        parts: Sequence[SplitPart],
        *,
        source: str,
        seed: int,
        alike: Kept,
        groups: Kept | None,
        group_column: str | None,
        notes: tuple[str, ...],
    ) -> SplitReport:
        """Measure parts by the number of each row's part. *Shape:* (N,)."""
        everything = label_shares(labels)
        measured, worst = [], (0.0, "", "")
        for number, one in enumerate(parts):
            rows = np.flatnonzero(part == number)
            shares = label_shares(labels.take(rows))
            measured.append(SplitPart(one.name, one.files, len(rows), shares))
            for label, share in shares.items():
                whole = everything[label].share
                if share.share is not None and whole is not None:
                    worst = max(worst, (abs(share.share - whole), label, one.name))
        return cls(
            source=source,
            rows=len(labels),
            seed=seed,
            labels=everything,
            parts=tuple(measured),
            largest_deviation=worst[0],
            deviating_label=worst[1],
            deviating_part=worst[2],
            alike=alike,
            groups=groups,
            group_column=group_column,
            notes=notes,
        )

    def without_positives(self) -> list[str]:
        """Name labels that some row has, but no row of some part."""
        return [
            name
            for name, share in self.labels.items()
            if share.positives and any(not part.labels[name].positives for part in self.parts)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the document that `split --json` prints; all shares are fractions."""
        return asdict(self)

    def __str__(self) -> str:
        heads = ["", "all", *(part.name for part in self.parts)]
        table = [["rows", str(self.rows), *(str(part.rows) for part in self.parts)]]
        columns = [self.labels, *(part.labels for part in self.parts)]
        table += [[name, *(_percent(column[name]) for column in columns)] for name in self.labels]
        lines = aligned(heads, table)
        if self.largest_deviation:
            lines.append(
                f"\nLargest deviation of a label's share: {100 * self.largest_deviation:.2f} points "
                f"({self.deviating_label} in {self.deviating_part})."
            )
        if lacking := self.without_positives():
            lines.append(f"Some part has no row with: {', '.join(lacking)}.")
        lines.append(_kept(self.alike, "texts alike but for links, case and punctuation"))
        if self.groups is not None:
            lines.append(_kept(self.groups, f"equal values of '{self.group_column}'"))
        lines += [f"{part.name}: {', '.join(part.files)}" for part in self.parts]
        return "\n".join(lines)


def _percent(share: LabelShare) -> str:
    return "-" if share.share is None else f"{100 * share.share:.2f} %"


def _kept(kept: Kept, what: str) -> str:
    if not kept.rows:
        return f"Kept together: no rows have {what}."
    return (
        f"Kept together: {kept.rows} rows in {kept.groups} groups with {what}; the largest has "
        f"{kept.largest} rows."
    )
