"""Warnings about data files: what the figures mean and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from multihot.core.text_tables import counted, format_percent, listed, printable
from multihot.data.duplicates import Duplicates
from multihot.data.inspection.lengths import BATCH_SIZE
from multihot.data.inspection.report import (
    FileComparison,
    FileInspection,
    Leaks,
    short_names,
)
from multihot.data.unknown_tokens import UnknownTokens

__all__ = ["FEW_POSITIVES", "remarks"]

FEW_POSITIVES = 25
"""Below so many positives, one true positive more changes a label's recall by over 4 points."""

_MAX_NAMED = 8  # labels or label sets in one sentence
_FEW_TEXTS = 2 * BATCH_SIZE  # below, padding costs nothing that anybody would notice
_MUCH_PADDING = 0.25


def remarks(
    files: Sequence[FileInspection], comparisons: Sequence[FileComparison], leaks: Sequence[Leaks]
) -> list[str]:
    """Return warnings, faults of the data before its properties."""
    sources = [file.source for file in files]
    names = dict(zip(sources, short_names(sources), strict=True))
    sentences: list[str] = []
    for file in files:
        sentences += _text_remarks(file, names[file.source])
    for leak in leaks:
        sentences += _leak_remarks(leak, names[leak.first], names[leak.second])
    for number, file in enumerate(files):
        sentences += _label_remarks(file, names[file.source], is_training=number == 0)
    for comparison in comparisons:
        first = names[files[0].source]
        sentences += _comparison_remarks(comparison, first, names[comparison.source])
    multi_class = [names[file.source] for file in files if file.is_multi_class]
    if multi_class:
        sentences.append(
            f"Every labelled text of {_listed(multi_class)} has exactly one label: this looks like a "
            "multi-class task. A multi-label model may predict no label or several."
        )
    sentences += _padding_remarks(files[0], names[files[0].source])
    return sentences


def _text_remarks(file: FileInspection, name: str) -> Iterator[str]:
    if file.empty_texts:
        yield (
            f"{name}: {_texts(file.empty_texts, 'is', 'are')} empty; remove them or find out why they "
            "are."
        )
    if file.broken_texts:
        yield (
            f"{name}: {_texts(file.broken_texts, 'contains', 'contain')} replacement, private-use or "
            "control characters, which a wrong decoding leaves (often of emoji)."
        )
    if file.tokens is not None and file.tokens.truncated:
        yield (
            f"{name}: {_texts(file.tokens.truncated, 'is', 'are')} longer than max_length="
            f"{file.tokens.max_length} tokens and will be truncated: "
            f"{format_percent(file.tokens.truncated_characters_share)} of the characters are not read; "
            "training with windows=max reads all."
        )
    if (file_tokens := file.tokens) is not None:
        num_tokens = round(file_tokens.unknown / (file_tokens.unknown_share or 1))
        unknown = UnknownTokens(file_tokens.unknown, num_tokens)
        if remark := unknown.remark(name):
            refused = " Training refuses such a file (max_unknown_fraction)." * unknown.is_most
            yield remark + refused
        if number := file_tokens.texts_with_special:
            yield (
                f"{name}: {_texts(number, 'writes', 'write')} a special token of the tokenizer, such as "
                "[SEP] or [MASK], which is read as that token and not as its letters; replace it where "
                "it is meant as text."
            )
    if file.alike_repeats.rows:
        advice = (
            "Correct the labels, or make the conflicting cells unknown."
            if file.alike_repeats.conflicting
            else "Keep one row of each text."
        )
        found = _near_duplicates(file.equal_repeats, file.alike_repeats, "the same file")
        yield f"{name}: {found} {advice}"


def _leak_remarks(leak: Leaks, first: str, second: str) -> Iterator[str]:
    if leak.alike.rows:
        yield (
            f"{second}: {_near_duplicates(leak.equal, leak.alike, first)} Remove them from {first}: "
            f"metrics on {second} should be metrics on new texts."
        )


def _near_duplicates(exact: Duplicates, near: Duplicates, source: str) -> str:
    """Return how many rows repeat texts, and how many of the texts have conflicting labels."""
    rows = counted(near.rows, "row is a near-duplicate", "rows are near-duplicates")
    texts = counted(near.texts, "text", "texts")
    conflicting = counted(near.conflicting, "text has", "texts have")
    return f"{rows} of {texts} in {source} ({exact.rows} exact); {conflicting} conflicting labels."


def _label_remarks(file: FileInspection, name: str, *, is_training: bool) -> Iterator[str]:
    known = {label: each for label, each in file.labels.items() if each.share is not None}
    absent = [label for label, each in file.labels.items() if not each.positives]
    if absent:
        effect = "they cannot be learnt" if is_training else "their recall is undefined"
        yield f"{name}: no text is positive for {_listed(absent)}; {effect}."
    constant = [label for label, each in known.items() if each.share == 1]
    if constant:
        yield f"{name}: every text with a known value is positive for {_listed(constant)}."
    few = [
        f"{label} ({each.positives})"
        for label, each in sorted(known.items(), key=lambda pair: pair[1].positives)
        if 0 < each.positives < FEW_POSITIVES
    ]
    if few:
        yield (
            f"{name}: fewer than {FEW_POSITIVES} texts are positive for {_listed(few)}; one true "
            "positive more or less changes that recall by over 4 points, so macro-F1 has a high "
            "variance."
        )


def _comparison_remarks(comparison: FileComparison, first: str, name: str) -> Iterator[str]:
    shifts = [(label, shift) for label, shift in comparison.shifts.items() if shift.significant]
    if shifts:
        shifts.sort(key=lambda pair: -abs(pair[1].difference))
        shifted = [
            f"{label} {100 * shift.first:.1f} % -> {100 * shift.second:.1f} %"
            for label, shift in shifts
        ]
        yield (
            f"{name}: label frequencies differ significantly from {first}: {_listed(shifted)}. "
            f"Thresholds fitted on data like {first} will be biased on {name}."
        )
    unseen = comparison.unseen_sets
    if unseen.rows:
        examples = [printable(" + ".join(names)) or "(none)" for names in unseen.examples]
        sets = counted(unseen.sets, "distinct set", "distinct sets")
        yield (
            f"{name}: {_texts(unseen.rows, 'has', 'have')} a label set that never occurs in {first} "
            f"({sets}, such as {'; '.join(examples[:3])})."
        )


def _padding_remarks(file: FileInspection, name: str) -> Iterator[str]:
    tokens = file.tokens
    if tokens is None or file.rows < _FEW_TEXTS or tokens.padding_to_max_length < _MUCH_PADDING:
        return
    yield (
        f"Padding every text of {name} to max_length={tokens.max_length} would make "
        f"{100 * tokens.padding_to_max_length:.0f} % of all positions padding; padding to the "
        f"longest of each {BATCH_SIZE}: {100 * tokens.padding_to_longest:.0f} %. Packed execution "
        "needs no padding, length_bucketing little."
    )


def _texts(count: int, singular: str, plural: str) -> str:
    return counted(count, f"text {singular}", f"texts {plural}")


def _listed(names: Sequence[str]) -> str:
    return listed(names, _MAX_NAMED)
