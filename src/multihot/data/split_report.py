"""The result of a split: rows and label frequencies of its parts, and what was kept together.

Letters: `N` rows, `L` labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from multihot.core.report_views import as_frame, as_html
from multihot.core.text_tables import (
    DEFAULT_WIDTH,
    aligned,
    counted,
    format_percent,
    listed,
    shown_labels,
)
from multihot.data.label_statistics import LabelBits, LabelFrequency, label_frequencies

__all__ = ["KeptTogether", "SplitPart", "SplitReport"]

IntArray = npt.NDArray[np.int64]

_MAX_NAMES = 10  # labels that a line names


@dataclass(frozen=True)
class KeptTogether:
    """Groups of rows that had to stay in one part, for one reason."""

    groups: int
    """Groups of at least two rows."""
    rows: int
    """Rows in such groups."""
    largest: int
    """Rows in the largest group."""

    @classmethod
    def from_key(cls, key: IntArray) -> KeptTogether:
        """Count rows of equal numbers; -1 equals no other. *Shape:* (N,)."""
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
    labels: Mapping[str, LabelFrequency] = field(default_factory=dict)


@dataclass(frozen=True)
class SplitReport:
    """The result of `multihot.split`; `print` it or take `to_json()`."""

    source: str
    """The path as it was given."""
    rows: int
    seed: int
    labels: Mapping[str, LabelFrequency]
    """Of all rows."""
    parts: tuple[SplitPart, ...]
    largest_deviation: float
    """Largest difference between a label's frequency in a part and in all rows, a fraction."""
    deviating_label: str
    """The label and the part of the largest deviation; empty when there is none."""
    deviating_part: str
    alike: KeptTogether
    """Near-duplicates: rows whose texts have the same words."""
    groups: KeptTogether | None
    """Rows with equal values in `group_column`."""
    group_column: str | None
    notes: tuple[str, ...]

    @classmethod
    def of_rows(
        cls,
        labels: LabelBits,
        part: IntArray,
        parts: Sequence[SplitPart],
        *,
        source: str,
        seed: int,
        alike: KeptTogether,
        groups: KeptTogether | None,
        group_column: str | None,
        notes: tuple[str, ...],
    ) -> SplitReport:
        """Measure the parts.

        Parameters
        ----------
        labels
            *Shape:* (N, L). Of all rows.
        part
            *Shape:* (N,). The index of each row's part in `parts`.
        parts
            Names and files.
        """
        everything = label_frequencies(labels)
        measured, worst = [], (0.0, "", "")
        for number, each in enumerate(parts):
            rows = np.flatnonzero(part == number)
            frequencies = label_frequencies(labels.take(rows))
            measured.append(replace(each, rows=len(rows), labels=frequencies))
            for label, frequency in frequencies.items():
                whole = everything[label].share
                if frequency.share is not None and whole is not None:
                    worst = max(worst, (abs(frequency.share - whole), label, each.name))
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
        """Return the labels that some row has, but no row of some part."""
        return [
            name
            for name, frequency in self.labels.items()
            if frequency.positives and any(not part.labels[name].positives for part in self.parts)
        ]

    def lacking(self) -> dict[str, list[str]]:
        """Return, for each part that lacks labels, those that rows of other parts have."""
        names = self.without_positives()
        lacking = {
            part.name: [name for name in names if not part.labels[name].positives]
            for part in self.parts
        }
        return {name: labels for name, labels in lacking.items() if labels}

    def to_json(self) -> dict[str, Any]:
        """Return the document that `split --json` prints; all shares are fractions, 0 to 1."""
        return asdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per label with its share in all rows and in each part as a pandas data frame."""
        columns = {"all": self.labels, **{part.name: part.labels for part in self.parts}}
        rows = {
            name: {column: values[name].share for column, values in columns.items()}
            for name in self.labels
        }
        return as_frame(rows, "label")

    def _repr_html_(self) -> str:
        return as_html(self)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH, all_labels: bool = False) -> str:
        """Return the tables and remarks for so many columns; of many labels, some, or all."""
        counts = {name: each.positives for name, each in self.labels.items()}
        shown, left_out = shown_labels(counts, every=all_labels)
        heads = ["", "all", *(part.name for part in self.parts)]
        table = [["rows", str(self.rows), *(str(part.rows) for part in self.parts)]]
        columns = [self.labels, *(part.labels for part in self.parts)]
        table += [
            [name, *(format_percent(column[name].share, 2) for column in columns)] for name in shown
        ]
        lines = [*aligned(heads, table, width=width), *left_out]
        if self.largest_deviation:
            lines.append(
                f"\nLargest deviation of a label frequency: {100 * self.largest_deviation:.2f} points "
                f"({self.deviating_label} in {self.deviating_part})."
            )
        lines += self._lacking_lines()
        lines.append(_kept(self.alike, "near-duplicate texts"))
        if self.groups is not None:
            lines.append(_kept(self.groups, f"equal values of '{self.group_column}'"))
        lines += [f"{part.name}: {', '.join(part.files)}" for part in self.parts]
        return "\n".join(lines)

    def _lacking_lines(self) -> list[str]:
        """Say which part lacks which labels, and what to do where those are to be learnt."""
        names, lacking = self.without_positives(), self.lacking()
        if not names:
            return []
        lines = [f"Labels without a positive in some part: {listed(names, _MAX_NAMES)}."]
        lines += [
            f"  No row of {part} has: {listed(labels, _MAX_NAMES)}."
            for part, labels in lacking.items()
        ]
        untaught = self._untaught()
        lines += [
            f"  A model trained on {file} cannot know {listed(labels, _MAX_NAMES)}; "
            "data.unknown_labels=ignore passes over them in other files."
            for file, labels in untaught.items()
        ]
        return lines

    def _untaught(self) -> dict[str, list[str]]:
        """Return the labels that files to train on lack, the first part or the other folds."""
        first = self.parts[0]
        if len(first.files) == 1:
            labels = self.lacking().get(first.name, [])
            return {first.files[0]: labels} if labels else {}
        untaught = {
            part.files[0]: [
                name
                for name, frequency in self.labels.items()
                if frequency.positives and part.labels[name].positives == frequency.positives
            ]
            for part in self.parts
        }
        return {file: labels for file, labels in untaught.items() if labels}


def _kept(kept: KeptTogether, what: str) -> str:
    if not kept.rows:
        return f"Kept together: no rows with {what}."
    return (
        f"Kept together: {kept.rows} rows in {counted(kept.groups, 'group')} with {what}; the largest group "
        f"has {kept.largest} rows."
    )
