"""What an audit found and what a correction changed, as tables and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from multihot.core.report_views import as_frame, as_html
from multihot.core.text_tables import (
    DEFAULT_WIDTH,
    aligned,
    counted,
    format_number,
    format_percent,
    shown_labels,
)

__all__ = ["AuditReport", "AuditedLabel", "CorrectionReport"]


@dataclass(frozen=True)
class AuditedLabel:
    """One label of an audited file."""

    known: int
    positives: int
    expected_extra: float
    """How many of the positives are expected to be wrong: the sum of their probabilities."""
    expected_missing: float
    """How many of the negatives are expected to be wrong."""
    confident_extra: int
    """The same by the counts of confident learning, in whole cells."""
    confident_missing: int
    listed: int
    """How many of its cells the table has."""


@dataclass(frozen=True)
class AuditReport:
    """The result of `multihot.audit`; `print` it or take `to_json()`."""

    source: str
    """The path as it was given."""
    rows: int
    rows_unlabelled: int
    cells_known: int
    expected_wrong: float
    """How many known cells are expected to be wrong."""
    listed: int
    """Rows of the table."""
    listed_reasons: Mapping[str, int]
    """How many of them by reason; a row may have two."""
    same_words: int
    """Rows that share their words with another row of the file."""
    conflicting: int
    """Those among them that have another value of a label than such a row."""
    in_other_files: Mapping[str, int]
    """Rows whose words a file beside has, by its path."""
    settled: int
    """Cells that were not listed since somebody had decided about them."""
    labels: Mapping[str, AuditedLabel]
    table: str
    scores: str
    """Where the out-of-fold scores are."""
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document that `audit --json` prints."""
        return asdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per label as a pandas data frame."""
        return as_frame({name: asdict(each) for name, each in self.labels.items()}, "label")

    def _repr_html_(self) -> str:
        return as_html(self)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH, all_labels: bool = False) -> str:
        """Return the tables and remarks for so many columns; of many labels, some, or all."""
        expected = {
            name: each.expected_extra + each.expected_missing for name, each in self.labels.items()
        }
        shown, left_out = shown_labels(expected, every=all_labels)
        heads = ["", "known", "positives", "extra", "missing", "listed"]
        rows = []
        for name in shown:
            each = self.labels[name]
            rows.append(
                [
                    name,
                    str(each.known),
                    str(each.positives),
                    format_number(each.expected_extra, 1),
                    format_number(each.expected_missing, 1),
                    str(each.listed),
                ]
            )
        share = self.expected_wrong / self.cells_known if self.cells_known else None
        lines = [
            *aligned(heads, rows, width=width),
            *left_out,
            "",
            f"Expected to be wrong: {self.expected_wrong:.0f} of {self.cells_known} known cells "
            f"({format_percent(share, 2)}). 'extra' are labels given that may not be true, 'missing' "
            "labels not given that may be.",
            f"Same words: {counted(self.same_words, 'row')}, {self.conflicting} of them with other labels "
            "than another row of the same words.",
        ]
        lines += [
            f"Words of {counted(number, 'row')} stand in {name}, too."
            for name, number in self.in_other_files.items()
            if number
        ]
        if self.rows_unlabelled:
            lines.append(f"{counted(self.rows_unlabelled, 'row')} without any known label.")
        if self.settled:
            lines.append(
                f"{counted(self.settled, 'cell')} decided before and not listed again (NAME.changes.jsonl)."
            )
        reasons = ", ".join(f"{number} {name}" for name, number in self.listed_reasons.items())
        lines.append(
            f"Listed: {counted(self.listed, 'cell')}" + (f" ({reasons})." if reasons else ".")
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class CorrectionReport:
    """The result of `multihot.apply_corrections`; `print` it or take `to_json()`."""

    source: str
    output: str
    record: str
    """JSON lines with every change, and those made before."""
    changed: int
    confirmed: int
    """Cells whose given value somebody confirmed."""
    labels: Mapping[str, Mapping[str, int]]
    """By label: how many cells were `added`, `removed`, made `unknown`, or changed otherwise (`other`)."""
    earlier: int
    """Lines of the record that were there before."""
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document that `audit --apply --json` prints."""
        return asdict(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def _repr_html_(self) -> str:
        return as_html(self)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH, all_labels: bool = False) -> str:
        """Return the table for so many columns; of many labels, some, or all."""
        totals = {name: sum(counts.values()) for name, counts in self.labels.items()}
        shown, left_out = shown_labels(totals, every=all_labels)
        kinds = ("added", "removed", "unknown", "other")
        rows = [[name, *(str(self.labels[name].get(kind, 0)) for kind in kinds)] for name in shown]
        lines = [*aligned(["", *kinds], rows, width=width), *left_out, ""] if rows else []
        lines.append(
            f"{counted(self.changed, 'cell')} changed, {self.confirmed} confirmed as given; "
            f"{counted(self.earlier, 'earlier decision')} kept in the record."
        )
        return "\n".join(lines)
