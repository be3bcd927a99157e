"""The result of inspecting data files: the figures, their JSON, and plain tables for people.

Lengths of texts are measured in `lengths`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from multihot.core.report_views import as_frame, as_html
from multihot.core.text_tables import (
    DEFAULT_WIDTH,
    aligned,
    fitted,
    format_percent,
    listed,
    printable,
    short_names,
    shown_labels,
)
from multihot.data.duplicates import DuplicatedText, Duplicates
from multihot.data.inspection.lengths import LengthFigures, TokenFigures
from multihot.data.label_statistics import LabelCardinality, LabelFrequency, Shift, UnseenSets

__all__ = [
    "FileComparison",
    "FileInspection",
    "Inspection",
    "Leaks",
    "short_names",
]

_MAX_SHOWN = 3  # examples of each kind in the tables; the JSON has some more
_MAX_TEXT = 60  # characters of a text
_MAX_NAME = 20  # columns of the name of a file above a column
_NEAR = (
    "near-duplicates: equal apart from links, user names, case, punctuation, emoji and white space"
)


@dataclass(frozen=True)
class FileInspection:
    """The figures of one file."""

    source: str
    """The path as it was given."""
    rows: int
    row_counts: LabelCardinality
    labels: Mapping[str, LabelFrequency]
    empty_texts: int
    """Texts of nothing but white space."""
    broken_texts: int
    """Texts with replacement, private-use or control characters, which a wrong decoding leaves."""
    words: LengthFigures
    tokens: TokenFigures | None
    """`None` when there is no tokenizer."""
    equal_repeats: Duplicates
    """Exact duplicates."""
    alike_repeats: Duplicates
    """Near-duplicates: texts of the same words, exact duplicates included."""
    notes: tuple[str, ...]
    """What the reader of the file detected."""
    characters: LengthFigures
    """Lengths in characters, which say more than words where a script writes none apart."""

    @property
    def is_multi_class(self) -> bool:
        """Whether every labelled row has exactly one of several labels."""
        counts = self.row_counts
        others = counts.without_label + counts.with_several_labels
        return len(self.labels) > 1 and counts.with_one_label > 0 and others == 0


@dataclass(frozen=True)
class FileComparison:
    """A file against the first one, which is taken as the training file."""

    source: str
    shifts: Mapping[str, Shift]
    unseen_sets: UnseenSets


@dataclass(frozen=True)
class Leaks:
    """Texts that occur in two files."""

    first: str
    second: str
    equal: Duplicates
    """Exact duplicates."""
    alike: Duplicates
    """Near-duplicates, exact ones included."""


@dataclass(frozen=True)
class Inspection:
    """The result of `inspect_files`; `print` it or take `to_json()`."""

    files: tuple[FileInspection, ...]
    """In the order given; the first is taken as the training file."""
    comparisons: tuple[FileComparison, ...]
    """Each further file against the first."""
    leaks: tuple[Leaks, ...]
    """Every pair of files."""
    encoder: str | None
    """Whose tokenizer counted the tokens."""
    remarks: tuple[str, ...]
    """Warnings, in sentences."""

    def to_json(self) -> dict[str, Any]:
        """Return the document that `inspect --json` prints; all shares are fractions, 0 to 1."""
        content = asdict(self)
        for shown, comparison in zip(content["comparisons"], self.comparisons, strict=True):
            for name, shift in comparison.shifts.items():
                shown["shifts"][name]["significant"] = shift.significant
        return content

    def to_dict(self) -> dict[str, Any]:
        """Return the same as `to_json`."""
        return self.to_json()

    def to_frame(self) -> Any:
        """Return one row per label with its frequency in every file as a pandas data frame."""
        rows = {
            name: {
                f"{file.source}: {key}": getattr(file.labels.get(name), key, None)
                for file in self.files
                for key in ("positives", "unknown", "share")
            }
            for name in dict.fromkeys(name for file in self.files for name in file.labels)
        }
        return as_frame(rows, "label")

    def _repr_html_(self) -> str:
        return as_html(self)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = DEFAULT_WIDTH, all_labels: bool = False) -> str:
        """Return the tables and remarks for so many columns; of many labels, some, or all."""
        names = _column_names([file.source for file in self.files])
        by_source = dict(zip([file.source for file in self.files], names, strict=True))
        figures = aligned(
            ["", *names], list(_figure_rows(self.files)), width=width, keep_first=True
        )
        parts = [
            [f"{name}: {file.source}" for name, file in zip(names, self.files, strict=True)],
            [*figures, _NEAR],
            self._label_table(names, width, all_labels=all_labels),
            self._leak_table(by_source, width),
            self._examples(by_source),
            self._notes(names),
            ["Remarks", *(f"- {remark}" for remark in self.remarks or ("Nothing stands out.",))],
        ]
        return "\n\n".join("\n".join(part) for part in parts if part)

    def _label_table(self, names: Sequence[str], width: int, *, all_labels: bool) -> list[str]:
        """Positives and frequency of each label, and the difference in points to the first file."""
        heads, groups = ["label", names[0], "freq."], [2]
        for name in names[1:]:
            heads += [name, "freq.", "diff"]
            groups.append(3)
        has_unknown = any(label.unknown for file in self.files for label in file.labels.values())
        if has_unknown:
            heads += [f"unknown in {name}" for name in names]
            groups += [1] * len(names)
        counts = {name: label.positives for name, label in self.files[0].labels.items()}
        shown, left_out = shown_labels(counts, every=all_labels)
        rows = [self._label_row(label, has_unknown=has_unknown) for label in shown]
        table = [*aligned(heads, rows, width=width, groups=groups), *left_out]
        if any(shift.significant for each in self.comparisons for shift in each.shifts.values()):
            table.append("* significant: two-proportion z-test, p < 0.01 after Holm's correction")
        return table

    def _label_row(self, label: str, *, has_unknown: bool) -> list[str]:
        first, *others = [file.labels[label] for file in self.files]
        cells = [label, str(first.positives), format_percent(first.share)]
        for other, comparison in zip(others, self.comparisons, strict=True):
            difference = _difference(comparison.shifts.get(label))
            cells += [str(other.positives), format_percent(other.share), difference]
        return cells + ([str(each.unknown) for each in (first, *others)] if has_unknown else [])

    def _leak_table(self, names: Mapping[str, str], width: int) -> list[str]:
        if not self.leaks:
            return []
        heads = ["texts in two files", "exact", "rows", "near", "rows", "conflicting"]
        rows = []
        for leak in self.leaks:
            exact, near = leak.equal, leak.alike
            counts = (exact.texts, exact.rows, near.texts, near.rows, near.conflicting)
            rows.append([f"{names[leak.first]} / {names[leak.second]}", *map(str, counts)])
        return aligned(heads, rows, width=width)

    def _examples(self, names: Mapping[str, str]) -> list[str]:
        """Return the first conflicting texts with their lines and labels."""
        within = [file.alike_repeats for file in self.files]
        between = [leak.alike for leak in self.leaks]
        lines = []
        for title, all_duplicates in (("within a file", within), ("between files", between)):
            shown = [
                text
                for duplicates in all_duplicates
                for text in duplicates.examples
                if text.conflicting
            ]
            if shown:
                lines.append(f"Conflicting labels {title}, for example:")
                lines += [
                    line for text in shown[:_MAX_SHOWN] for line in _occurrence_lines(text, names)
                ]
        return lines

    def _notes(self, names: Sequence[str]) -> list[str]:
        lines = [
            f"- {name}: {note}"
            for name, file in zip(names, self.files, strict=True)
            for note in file.notes
        ]
        return ["Notes from reading", *lines] if lines else []


def _column_names(sources: Sequence[str]) -> list[str]:
    """Return short names that fit the head of a column; numbers where cut names would be equal."""
    names = [fitted(name, _MAX_NAME) for name in short_names(sources)]
    if len(set(names)) < len(names):
        return [f"file {number}" for number in range(1, len(names) + 1)]
    return names


def _figure_rows(files: Sequence[FileInspection]) -> Iterator[list[str]]:
    """Yield one row of cells per figure; rare kinds only where a file has them."""
    counts = [file.row_counts for file in files]
    yield ["texts", *(str(file.rows) for file in files)]
    for title, numbers, always in (
        ("unlabelled", [each.unlabelled for each in counts], False),
        ("without any label", [each.without_label for each in counts], True),
        ("with one label", [each.with_one_label for each in counts], True),
        ("with several labels", [each.with_several_labels for each in counts], True),
        ("empty", [file.empty_texts for file in files], False),
        ("with broken characters", [file.broken_texts for file in files], False),
    ):
        if always or any(numbers):
            yield [f"  {title}", *map(str, numbers)]
    yield ["labels per text", *(_decimal(each.mean_labels, 3) for each in counts)]
    yield ["distinct label sets", *(str(each.label_sets) for each in counts)]
    yield ["words per text, median", *(_decimal(file.words.median) for file in files)]
    yield ["words per text, maximum", *(str(file.words.longest) for file in files)]
    yield ["characters per text, median", *(_decimal(f.characters.median) for f in files)]
    yield ["characters per text, maximum", *(str(file.characters.longest) for file in files)]
    yield from _token_rows([file.tokens for file in files if file.tokens is not None])
    for title, all_duplicates in (
        ("exact duplicates", [file.equal_repeats for file in files]),
        ("near-duplicates", [file.alike_repeats for file in files]),
    ):
        yield [f"{title}, texts", *(str(each.texts) for each in all_duplicates)]
        yield ["  rows that repeat them", *(str(each.rows) for each in all_duplicates)]
        yield [
            "  texts with conflicting labels",
            *(str(each.conflicting) for each in all_duplicates),
        ]


def _token_rows(tokens: Sequence[TokenFigures]) -> Iterator[list[str]]:
    """Yield the rows about tokens; all files have them, or none."""
    if not tokens:
        return
    lengths = [each.lengths for each in tokens]
    yield ["tokens per text, mean", *(_decimal(each.mean, 1) for each in lengths)]
    yield ["tokens per text, median", *(_decimal(each.median) for each in lengths)]
    yield ["tokens per text, 95th percentile", *(str(each.percentile_95) for each in lengths)]
    yield ["tokens per text, maximum", *(str(each.longest) for each in lengths)]
    yield [f"truncated at {tokens[0].max_length} tokens", *(str(each.truncated) for each in tokens)]
    yield ["  fraction of the texts", *(format_percent(each.truncated_share) for each in tokens)]
    if any(each.truncated for each in tokens):
        cut = (format_percent(each.truncated_characters_share) for each in tokens)
        yield ["  fraction of the characters", *cut]
    if any(each.unknown for each in tokens):
        yield ["unknown tokens", *(format_percent(each.unknown_share) for each in tokens)]


def _occurrence_lines(duplicated: DuplicatedText, names: Mapping[str, str]) -> list[str]:
    """Return the text, its first row and the row that differs most, with lines and labels."""
    text = printable(" ".join(duplicated.text.split()))
    shown = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
    first, *others = duplicated.occurrences
    other = max(others, key=lambda row: (row.source != first.source, row.labels != first.labels))
    rows = [
        f"    {names[row.source]}, line {row.line}: {listed(row.labels) or '(no label)'}"
        for row in (first, other)
    ]
    left = duplicated.rows - len(rows)
    return [f"  {shown}", *rows, *([f"    and {left} more"] if left else [])]


def _difference(shift: Shift | None) -> str:
    if shift is None:
        return "- "
    return f"{100 * shift.difference:+.1f}{'*' if shift.significant else ' '}"


def _decimal(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if digits is None else f"{value:.{digits}f}"
