"""Sentences about what was found in data files: what it means and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from multihot.data.duplicates import Repeats
from multihot.data.inspection.lengths import BATCH_SIZE
from multihot.data.inspection.report import Comparison, FileInspection, Leaks, short_names

__all__ = ["FEW_POSITIVES", "remarks"]

FEW_POSITIVES = 25
"""Below so many texts of a label, finding one more of them moves its recall by over 4 points."""

_MAX_NAMED = 8  # labels or label sets that one sentence names


def remarks(
    files: Sequence[FileInspection], comparisons: Sequence[Comparison], leaks: Sequence[Leaks]
) -> list[str]:
    """Return what deserves a look, the faults of the data before its properties."""
    names = dict(
        zip([file.source for file in files], short_names([f.source for f in files]), strict=True)
    )
    found: list[str] = []
    for file in files:
        found += _text_remarks(file, names[file.source])
    for leak in leaks:
        found += _leak_remarks(leak, names[leak.first], names[leak.second])
    for place, file in enumerate(files):
        found += _label_remarks(file, names[file.source], is_training=place == 0)
    for comparison in comparisons:
        first = names[files[0].source]
        found += _comparison_remarks(comparison, first, names[comparison.source])
    multi_class = [names[file.source] for file in files if file.is_multi_class]
    if multi_class:
        found.append(
            f"Every labelled text of {_listed(multi_class)} has exactly one label: this looks like a "
            "multi-class task. A multi-label model may give a text none or several of them."
        )
    found += _padding_remarks(files[0], names[files[0].source])
    return found


def _text_remarks(file: FileInspection, name: str) -> Iterator[str]:
    if file.empty_texts:
        yield f"{name}: {_texts(file.empty_texts, 'is', 'are')} empty; remove them or find out why."
    if file.broken_texts:
        yield (
            f"{name}: {_texts(file.broken_texts, 'holds', 'hold')} replacement, private-use or "
            "control characters, the traces of a wrong conversion (often of emoji)."
        )
    if file.tokens is not None and file.tokens.truncated:
        yield (
            f"{name}: {_texts(file.tokens.truncated, 'is', 'are')} longer than max_length="
            f"{file.tokens.max_length} tokens and would lose the end."
        )
    if file.alike_repeats.rows:
        yield f"{name}: {_repeated(file.equal_repeats, file.alike_repeats, 'of the same file')}" + (
            " Decide which labels hold, or make the cells in doubt unknown."
            if file.alike_repeats.conflicting
            else " Keep one of each."
        )


def _leak_remarks(leak: Leaks, first: str, second: str) -> Iterator[str]:
    if leak.alike.rows:
        yield (
            f"{second}: {_repeated(leak.equal, leak.alike, f'of {first}')} Take them out of "
            f"{first}: figures on {second} should be figures on new texts."
        )


def _repeated(equal: Repeats, alike: Repeats, source: str) -> str:
    """Say how many rows repeat texts, and how many of the texts have conflicting labels."""
    rows = _counted(alike.rows, "row repeats", "rows repeat")
    texts = _counted(alike.texts, "text", "texts")
    conflicting = _counted(alike.conflicting, "text has", "texts have")
    return (
        f"{rows} the words of {texts} {source} ({equal.rows} character by character); {conflicting} "
        "conflicting labels."
    )


def _label_remarks(file: FileInspection, name: str, *, is_training: bool) -> Iterator[str]:
    known = {label: one for label, one in file.labels.items() if one.share is not None}
    absent = [label for label, one in file.labels.items() if not one.positives]
    if absent:
        effect = "nothing can be learnt about them" if is_training else "their recall is undefined"
        yield f"{name}: no text has {_listed(absent)}; {effect}."
    constant = [label for label, one in known.items() if one.share == 1]
    if constant:
        yield f"{name}: every text of which it is known has {_listed(constant)}."
    few = [
        f"{label} ({one.positives})"
        for label, one in sorted(known.items(), key=lambda pair: pair[1].positives)
        if 0 < one.positives < FEW_POSITIVES
    ]
    if few:
        yield (
            f"{name}: fewer than {FEW_POSITIVES} texts have {_listed(few)}; one of them found more or "
            "less moves that recall by over 4 points, so that macro-F1 cannot resolve such labels."
        )


def _comparison_remarks(comparison: Comparison, first: str, name: str) -> Iterator[str]:
    shifts = [(label, shift) for label, shift in comparison.shifts.items() if shift.significant]
    if shifts:
        shifts.sort(key=lambda pair: -abs(pair[1].difference))
        moved = [
            f"{label} {100 * shift.first:.1f} % -> {100 * shift.second:.1f} %"
            for label, shift in shifts
        ]
        yield (
            f"{name}: label shares differ from {first} by more than chance: {_listed(moved)}. "
            f"Thresholds fitted on rows like {first} will be off on {name}."
        )
    unseen = comparison.unseen_sets
    if unseen.rows:
        examples = [" + ".join(names) or "(none)" for names in unseen.examples]
        yield (
            f"{name}: {_texts(unseen.rows, 'carries', 'carry')} a set of labels that never occurs in "
            f"{first} ({unseen.sets} different sets, such as {'; '.join(examples[:3])})."
        )


def _padding_remarks(file: FileInspection, name: str) -> Iterator[str]:
    if file.tokens is not None:
        tokens = file.tokens
        yield (
            f"Padding every text of {name} to max_length={tokens.max_length} would make "
            f"{100 * tokens.padding_to_max_length:.0f} % of all positions padding; to the longest of "
            f"each {BATCH_SIZE}: {100 * tokens.padding_to_longest:.0f} %. Packed "
            "execution computes none of it, length_bucketing little."
        )


def _texts(count: int, singular: str, plural: str) -> str:
    return _counted(count, f"text {singular}", f"texts {plural}")


def _counted(count: int, singular: str, plural: str) -> str:
    return f"{count} {singular if count == 1 else plural}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMED])
    left = len(names) - _MAX_NAMED
    return f"{shown} and {left} more" if left > 0 else shown
