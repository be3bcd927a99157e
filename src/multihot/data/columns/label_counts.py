"""Count rows by the labels that the cells of one column name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from multihot.core.labels import LabelSpace
from multihot.core.text_tables import counted, listed
from multihot.data.columns.label_names import nearly_equal_names
from multihot.data.columns.name_cells import NameCell
from multihot.data.columns.named_labels import NameForm
from multihot.data.columns.row_counts import ReadCounts

__all__ = [
    "count_names",
    "count_values",
    "ignored_columns_notes",
    "ignored_names_notes",
    "similar_names_notes",
]

_MAX_IGNORED = 10
_MAX_SIMILAR = 8  # groups of names that are nearly equal


def count_names(
    form: NameForm, cells: Iterable[NameCell], counts: ReadCounts
) -> tuple[float, int, tuple[str, ...]]:
    """Count rows by their names.

    Returns the fewest names of a labelled row, how many rows repeat a name, and all names, sorted.
    """
    occurring: set[str] = set()
    fewest, num_repeating = math.inf, 0
    for line, cell, count in cells:
        names = form.names(line, cell)
        if names is None:
            counts.unlabelled += count
            continue
        occurring.update(names)
        num_names = len(set(names))
        counts.empty_cells += count if isinstance(cell, str) and not cell.strip() else 0
        num_repeating += count if num_names < len(names) else 0
        fewest = min(fewest, num_names)
        counts.negative += count if not num_names else 0
    counts.has_positive = bool(occurring)
    return fewest, num_repeating, tuple(sorted(occurring))


def count_values(
    form: NameForm, cells: Iterable[NameCell], counts: ReadCounts, known: Sequence[str] | None
) -> tuple[str, ...]:
    """Count rows by the values they give labels; return the names of these labels, sorted."""
    occurring: set[str] = set()
    # How many rows, the labels each mentions, how many of these are known, whether they are all 0.
    rows: list[tuple[int, int, int, bool]] = []
    for line, cell, count in cells:
        values = form.values(line, cell)
        if values is None:
            counts.unlabelled += count
            continue
        occurring.update(values)
        given = [value for value in values.values() if not math.isnan(value)]
        rows.append((count, len(values), len(given), not any(given)))
        counts.soft += count * sum(0 < value < 1 for value in given)
        counts.half += count * given.count(0.5)
        counts.has_positive = counts.has_positive or any(value > 0.5 for value in given)
        counts.has_zero = counts.has_zero or form.unmentioned == 0 or 0 in given
    num_labels = len(known) if known else len(occurring)
    leaves_unknown = math.isnan(form.unmentioned)
    for count, num_mentioned, num_given, is_zero in rows:
        num_unknown = (num_labels if leaves_unknown else num_mentioned) - num_given
        if num_unknown == num_labels:
            counts.unlabelled += count
        else:
            counts.unknown += count * num_unknown
            counts.negative += count if is_zero and not num_unknown else 0
    return tuple(sorted(occurring))


def ignored_names_notes(form: NameForm, cells: Iterable[NameCell]) -> list[str]:
    """Count the names that `data.unknown_labels=ignore` passes over, and the rows without another.

    Raises `DataError` where no known name is left in the column.
    """
    ignored: Counter[str] = Counter()
    num_without, first, has_known = 0, None, False
    for line, cell, count in cells:
        unknown = dict.fromkeys(form.unknown_names(line, cell), count)
        rest = bool(form.values(line, cell) if form.has_values else form.names(line, cell))
        has_known = has_known or rest
        ignored.update(unknown)
        if unknown:
            first = first or line
            num_without += 0 if rest else count
    if not ignored:
        return []
    by_number = sorted(ignored.items(), key=lambda each: (-each[1], each[0]))
    shown = listed([f"{name} ({number})" for name, number in by_number], _MAX_IGNORED)
    if first is not None and not has_known:
        raise form.fail(
            first, f"Not one label of the column is known; all would be ignored: {shown}."
        )
    left = (
        f"; {counted(num_without, 'row has', 'rows have')} no other label: negative"
        if num_without
        else ""
    )
    return [
        f"Ignored {counted(len(ignored), 'label')} not among the known ones, with the number of rows: {shown}"
        f"{left} (data.unknown_labels=ignore)."
    ]


def ignored_columns_notes(names: Sequence[str]) -> list[str]:
    """Count the 0/1 columns that `data.unknown_labels=ignore` passes over."""
    if not names:
        return []
    return [
        f"Ignored {len(names)} 0/1 columns that are not among the known labels: {listed(names)} "
        "(data.unknown_labels=ignore)."
    ]


def similar_names_notes(space: LabelSpace) -> list[str]:
    """Point out label names that are nearly equal."""
    groups = nearly_equal_names(space.names)
    if not groups:
        return []
    shown = "; ".join(" = ".join(group[:4]) for group in groups[:_MAX_SIMILAR])
    more = f"; and {len(groups) - _MAX_SIMILAR} more" if len(groups) > _MAX_SIMILAR else ""
    return [
        "Label names that are equal but for case, spaces, punctuation or a plural s are labels of "
        f"their own: {shown}{more}. data.label_case=fold or data.label_aliases=FILE merges them."
    ]
