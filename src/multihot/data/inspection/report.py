"""What was found in data files: the figures, their JSON, and plain tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from multihot.core.text_tables import aligned
from multihot.data.duplicates import RepeatedText, Repeats
from multihot.data.inspection.lengths import LengthFigures, TokenFigures
from multihot.data.label_statistics import LabelShare, RowCounts, Shift, UnseenSets

__all__ = ["Comparison", "FileInspection", "Inspection", "Leaks", "short_names"]

_MAX_SHOWN = 3  # examples of each kind in the tables; the JSON has some more
_MAX_TEXT = 60  # characters of a text
_ALIKE = "alike: equal but for links, user names, case, punctuation, emoji and white space"


@dataclass(frozen=True)
class FileInspection:
    """The figures of one file."""

    source: str
    """The path as it was given."""
    rows: int
    row_counts: RowCounts
    labels: Mapping[str, LabelShare]
    empty_texts: int
    """Texts of nothing but white space."""
    broken_texts: int
    """Texts with replacement, private-use or control characters: traces of a wrong conversion."""
    words: LengthFigures
    tokens: TokenFigures | None
    """`None` when there is no tokenizer."""
    equal_repeats: Repeats
    """Texts that occur again, character by character."""
    alike_repeats: Repeats
    """Texts whose words occur again."""
    notes: tuple[str, ...]
    """What the reader of the file detected."""

    @property
    def is_multi_class(self) -> bool:
        """Whether every labelled row has exactly one of several labels."""
        counts = self.row_counts
        others = counts.without_label + counts.with_several_labels
        return len(self.labels) > 1 and counts.with_one_label > 0 and others == 0


@dataclass(frozen=True)
class Comparison:
    """A file against the first one, which is taken as the training file."""

    source: str
    shifts: Mapping[str, Shift]
    unseen_sets: UnseenSets


@dataclass(frozen=True)
class Leaks:
    """Texts that occur in two files."""

    first: str
    second: str
    equal: Repeats
    alike: Repeats


@dataclass(frozen=True)
class Inspection:
    """The result of `inspect_files`; `print` it or take `to_json()`."""

    files: tuple[FileInspection, ...]
    """In the order given; the first is taken as the training file."""
    comparisons: tuple[Comparison, ...]
    """Each further file against the first."""
    leaks: tuple[Leaks, ...]
    """Every pair of files."""
    encoder: str | None
    """Whose tokenizer counted the tokens."""
    remarks: tuple[str, ...]
    """What deserves a look, in sentences."""

    def to_json(self) -> dict[str, Any]:
        """Return the document that `inspect --json` prints; all shares are fractions."""
        content = asdict(self)
        for shown, comparison in zip(content["comparisons"], self.comparisons, strict=True):
            for name, shift in comparison.shifts.items():
                shown["shifts"][name]["significant"] = shift.significant
        return content

    def __str__(self) -> str:
        names = short_names([file.source for file in self.files])
        by_source = dict(zip([file.source for file in self.files], names, strict=True))
        parts = [
            [f"{name}: {file.source}" for name, file in zip(names, self.files, strict=True)],
            [*aligned(["", *names], list(_figure_rows(self.files))), _ALIKE],
            self._label_table(names),
            self._leak_table(by_source),
            self._examples(by_source),
            self._notes(names),
            ["Remarks", *(f"- {remark}" for remark in self.remarks or ("Nothing stands out.",))],
        ]
        return "\n\n".join("\n".join(part) for part in parts if part)

    def _label_table(self, names: Sequence[str]) -> list[str]:
        """Texts and share of each label, and the difference in points to the first file."""
        heads, rows = ["label"], []
        for place, name in enumerate(names):
            heads += [name, "share", "diff"] if place else [name, "share"]
        has_unknown = any(one.unknown for file in self.files for one in file.labels.values())
        heads += [f"unknown in {name}" for name in names] if has_unknown else []
        for label in self.files[0].labels:
            cells = [label]
            for place, file in enumerate(self.files):
                one = file.labels[label]
                cells += [str(one.positives), _percent(one.share)]
                if place:
                    cells.append(_difference(self.comparisons[place - 1].shifts.get(label)))
            cells += [str(file.labels[label].unknown) for file in self.files] if has_unknown else []
            rows.append(cells)
        table = aligned(heads, rows)
        if any(shift.significant for one in self.comparisons for shift in one.shifts.values()):
            table.append(
                "* more than chance: two-proportion z-test, p < 0.01 after Holm's correction"
            )
        return table

    def _leak_table(self, names: Mapping[str, str]) -> list[str]:
        if not self.leaks:
            return []
        heads = ["texts in two files", "equal", "rows", "alike", "rows", "conflicting"]
        rows = []
        for leak in self.leaks:
            equal, alike = leak.equal, leak.alike
            counts = (equal.texts, equal.rows, alike.texts, alike.rows, alike.conflicting)
            rows.append([f"{names[leak.first]} / {names[leak.second]}", *map(str, counts)])
        return aligned(heads, rows)

    def _examples(self, names: Mapping[str, str]) -> list[str]:
        """Return the first conflicting texts with their lines and labels."""
        within = [file.alike_repeats for file in self.files]
        between = [leak.alike for leak in self.leaks]
        lines = []
        for title, found in (("inside a file", within), ("between files", between)):
            shown = [text for one in found for text in one.examples if text.conflicting]
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


def short_names(sources: Sequence[str]) -> list[str]:
    """Return names for columns: file names without what all of them begin with.

    Only whole words are left out: `2018-train.txt` and `2018-test.txt` become `train` and `test`.
    Files of equal names keep their paths.
    """
    stems = [Path(source).stem for source in sources]
    if len(set(stems)) < len(stems):
        return list(sources)
    if len(stems) == 1:
        return [Path(sources[0]).name]
    length = len(min(stems, key=len))
    while length and (len({stem[:length] for stem in stems}) > 1 or stems[0][length - 1].isalnum()):
        length -= 1
    cut = [stem[length:] for stem in stems]
    return cut if all(cut) else stems


def _figure_rows(files: Sequence[FileInspection]) -> Iterator[list[str]]:
    """Yield one row of cells per figure; rare kinds only where a file has them."""
    tokens = [file.tokens for file in files]

    def row(title: str, cells: list[str]) -> list[str]:
        return [title, *cells]

    counts = [file.row_counts for file in files]
    yield row("texts", [str(file.rows) for file in files])
    for title, numbers, always in (
        ("unlabelled", [one.unlabelled for one in counts], False),
        ("without any label", [one.without_label for one in counts], True),
        ("with one label", [one.with_one_label for one in counts], True),
        ("with several labels", [one.with_several_labels for one in counts], True),
        ("empty", [file.empty_texts for file in files], False),
        ("with broken characters", [file.broken_texts for file in files], False),
    ):
        if always or any(numbers):
            yield row(f"  {title}", list(map(str, numbers)))
    yield row("labels per text", [_decimal(one.mean_labels, 3) for one in counts])
    yield row("different label sets", [str(one.label_sets) for one in counts])
    yield row("words per text, median", [_decimal(file.words.median) for file in files])
    yield row("words per text, longest", [str(file.words.longest) for file in files])
    known = [one for one in tokens if one is not None]
    if known:
        yield row("tokens per text, mean", [_decimal(one.lengths.mean, 1) for one in known])
        yield row("tokens per text, median", [_decimal(one.lengths.median) for one in known])
        yield row(
            "tokens, 95 % of texts have at most", [str(one.lengths.percentile_95) for one in known]
        )
        yield row("tokens per text, longest", [str(one.lengths.longest) for one in known])
        yield row(f"cut at {known[0].max_length} tokens", [str(one.truncated) for one in known])
        yield row("  share of the texts", [_percent(one.truncated_share) for one in known])
    for kind, repeats in (
        ("equal", [file.equal_repeats for file in files]),
        ("alike", [file.alike_repeats for file in files]),
    ):
        yield row(f"repeated texts, {kind}", [str(one.texts) for one in repeats])
        yield row("  further rows that hold them", [str(one.rows) for one in repeats])
        yield row("  with conflicting labels", [str(one.conflicting) for one in repeats])


def _occurrence_lines(repeated: RepeatedText, names: Mapping[str, str]) -> list[str]:
    """Return the text, its first row and the row that differs most, with lines and labels."""
    text = " ".join(repeated.text.split())
    shown = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
    first, *others = repeated.occurrences
    other = max(others, key=lambda one: (one.source != first.source, one.labels != first.labels))
    rows = [
        f"    {names[one.source]}, line {one.line}: {', '.join(one.labels) or '(no label)'}"
        for one in (first, other)
    ]
    left = repeated.rows - len(rows)
    return [f"  {shown}", *rows, *([f"    and {left} more"] if left else [])]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _difference(shift: Shift | None) -> str:
    if shift is None:
        return "- "
    return f"{100 * shift.difference:+.1f}{'*' if shift.significant else ' '}"


def _decimal(value: float | None, digits: int | None = None) -> str:
    if value is None:
        return "-"
    return f"{value:g}" if digits is None else f"{value:.{digits}f}"
