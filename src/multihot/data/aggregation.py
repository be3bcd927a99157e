"""Make one text of several lines, and one label of what several annotators said.

Letters: `N` lines, `L` labels, `G` texts (groups of lines), `U` annotators of all texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from multihot.core.labels import LabelMatrix
from multihot.core.options import DataOptions
from multihot.core.text_tables import counted, listed
from multihot.data.checked_file import CheckedFile
from multihot.data.columns.row_counts import ReadCounts
from multihot.data.columns.text_and_id import required_column
from multihot.data.columns.vote_columns import VoteReader, VoteSuspects
from multihot.data.examples import Examples
from multihot.data.readers.table import as_text
from multihot.errors import DataError, OptionError

__all__ = ["aggregation_rule", "checked_aggregation", "merged_lines"]

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Rule = Literal["union", "majority", "share"]

_RULES: dict[str, Rule] = {"union": "union", "majority": "majority", "share": "share"}
_TIE = 1e-4  # shares of float32 that are this near to one half are a tie


def aggregation_rule(data: DataOptions) -> Rule:
    """Return how the labels of several annotators become one."""
    if data.aggregate is None:
        return "share" if data.soft_labels or data.votes is not None else "union"
    if data.aggregate not in _RULES:
        raise OptionError(
            f"data.aggregate={data.aggregate} is unknown. Known: {', '.join(_RULES)}."
        )
    return _RULES[data.aggregate]


def checked_aggregation(data: DataOptions) -> DataOptions:
    """Return the options, with soft labels where shares are asked for.

    Raises `OptionError` where options need others that are not set.
    """
    rule = aggregation_rule(data)
    if data.group_by is None:
        if data.aggregate is not None and data.votes is None:
            raise OptionError(
                f"data.aggregate={data.aggregate} needs several annotators: lines of one text, which "
                "data.group_by=COLUMN merges, or counts of votes (data.votes)."
            )
        needing = {
            "data.annotator_column": data.annotator_column,
            "data.vote_columns": ",".join(data.vote_columns) or None,
        }
        for option, value in needing.items():
            if value is not None:
                raise OptionError(
                    f"{option}={value} needs data.group_by=COLUMN, the column whose equal values say "
                    "which lines are one text."
                )
    if data.vote_columns and data.label_column is None:
        raise OptionError(
            f"data.vote_columns={','.join(data.vote_columns)} needs data.label_column=NAME, the column "
            "that names the label they vote on."
        )
    if data.vote_columns and data.label_hierarchy is not None:
        raise OptionError(
            "data.vote_columns holds votes on one label a line, and data.label_hierarchy adds labels to "
            "lines that were not voted on. Use columns of votes for each label (data.votes), or one of them."
        )
    soft = rule == "share" and (data.aggregate is not None or data.votes is not None)
    return replace(data, soft_labels=data.soft_labels or soft)


def merged_lines(file: CheckedFile, examples: Examples, column: str) -> Examples:
    """Make one text of the lines with equal values in `column`, and one row of their labels.

    Raises `DataError` where the lines contradict each other, or where it is unclear what counts.
    """
    if column not in file.columns:
        raise DataError(
            f"There is no column '{column}' (data.group_by). The columns are: "
            f"{listed(file.columns)}. Set data.group_by=none if every line is a text of its own.",
            path=file.source,
        )
    lines = _read_lines(file, column)
    group_of, kept = _grouped(lines.keys)
    _check_equal(examples, lines.keys, kept[group_of], column)
    united = examples.take(kept)
    counts = ReadCounts()
    counts.add_texts(united.texts)
    if united.weights is not None:
        counts.add_weights(united.weights)
    notes = [
        *file.found,
        f"{len(group_of)} lines with equal '{column}' were merged into {counted(len(kept), 'text')}.",
    ]
    if examples.labels is not None:
        rule = aggregation_rule(file.data)
        values = examples.labels.values
        if lines.votes is not None:
            merged = _voted(values, lines, group_of, len(kept), rule)
        else:
            merged = _agreed(values, group_of, lines.annotators, len(kept), rule)
        hierarchy = examples.labels.space.hierarchy
        if hierarchy is not None:  # a tie above a majority
            merged = hierarchy.completed(merged).values
        united = replace(united, labels=LabelMatrix(examples.labels.space, merged))
        counts.add_values(merged)
        notes += _rule_notes(rule, lines, file.data)
    return replace(united, notes=(*notes, *counts.notes()))


@dataclass(frozen=True)
class _Lines:
    """What merging needs of all lines. *Shape:* N, each; votes (N, V)."""

    keys: list[str]
    annotators: list[str] | None
    votes: FloatArray | None
    num_above: int


def _read_lines(file: CheckedFile, column: str) -> _Lines:
    data, columns, plan = file.data, file.columns, file.plan
    index = columns.index(column)
    annotator = None
    votes: list[int] = []
    unused: dict[str, int] = {}
    if plan is not None:
        if data.annotator_column is not None:
            name = required_column(
                data.annotator_column, columns, file.source, "data.annotator_column"
            )
            annotator = columns.index(name)
        for name in data.vote_columns:
            votes.append(
                columns.index(required_column(name, columns, file.source, "data.vote_columns"))
            )
        if not votes:
            names = set(plan.data.ignore_columns).difference(data.ignore_columns)
            unused = {name: number for number, name in enumerate(columns) if name in names}
    suspects, reader = VoteSuspects(unused), VoteReader(data, file.source)
    keys, annotators, parts = list[str](), list[str](), list[FloatArray]()
    for batch in file.again():
        some = list(map(as_text, batch.cells[index]))
        keys += some
        if annotator is not None:
            annotators += (as_text(cell).strip() for cell in batch.cells[annotator])
        if votes:
            parts.append(reader.values([batch.cells[number] for number in votes], batch.lines))
        suspects.update(some, batch.lines, batch.cells)
    if plan is not None:
        suspects.refuse(
            file.source,
            None if plan.form is None else columns[plan.columns[0]],
            counts_lines=annotator is None and aggregation_rule(data) != "union",
        )
    return _Lines(
        keys,
        None if annotator is None else annotators,
        np.concatenate(parts) if parts else None,
        reader.num_above,
    )


def _grouped(keys: Sequence[Any]) -> tuple[IntArray, IntArray]:
    """Return the group of every line, by first occurrence, and the first line of every group."""
    number_of: dict[Any, int] = {}
    group_of = np.empty(len(keys), dtype=np.int64)
    kept: list[int] = []
    for row, key in enumerate(keys):
        group = number_of.setdefault(key, len(number_of))
        if group == len(kept):
            kept.append(row)
        group_of[row] = group
    return group_of, np.array(kept, dtype=np.int64)


def _check_equal(
    examples: Examples, keys: Sequence[str], first_rows: IntArray, column: str
) -> None:
    """Raise `DataError` where lines of one group have different texts or weights."""
    for row, first in enumerate(first_rows.tolist()):
        if examples.texts[first].strip() != examples.texts[row].strip():
            raise DataError(
                f"The texts of line {examples.lines[first]} and line {examples.lines[row]} differ, "
                f"although both have the value {keys[row]!r}. Make them equal, or correct data.group_by.",
                path=examples.source,
                line=examples.lines[row],
                column=column,
            )
        if examples.weights is not None and examples.weights[first] != examples.weights[row]:
            raise DataError(
                f"The weights of line {examples.lines[first]} and line {examples.lines[row]} differ, "
                f"although both have the value {keys[row]!r} of '{column}'. Make them equal.",
                path=examples.source,
                line=examples.lines[row],
                column=examples.data.weight_column,
            )


def _by_annotator(
    group_of: IntArray, annotators: Sequence[str] | None
) -> tuple[IntArray, IntArray]:
    """Return the annotator of every line, and the group of every annotator; a blank one is alone."""
    if annotators is None:
        return np.arange(len(group_of)), group_of
    pairs = [
        (group, name or row)
        for row, (group, name) in enumerate(zip(group_of.tolist(), annotators, strict=True))
    ]
    unit_of, first = _grouped(pairs)
    return unit_of, group_of[first]


def _agreed(
    values: FloatArray,
    group_of: IntArray,
    annotators: Sequence[str] | None,
    num_groups: int,
    rule: Rule,
) -> FloatArray:
    """Merge the labels that every line gives. *Shape:* (N, L) to (G, L)."""
    if rule == "union":
        united = np.full((num_groups, values.shape[1]), np.nan, dtype=np.float32)
        np.fmax.at(united, group_of, values)  # 1 over 0 over unknown
        return united
    unit_of, group_of_unit = _by_annotator(group_of, annotators)
    units = values
    if annotators is not None:
        units = np.full((len(group_of_unit), values.shape[1]), np.nan, dtype=np.float32)
        np.fmax.at(units, unit_of, values)
    known = ~np.isnan(units)
    total = np.zeros((num_groups, values.shape[1]), dtype=np.float32)
    count = np.zeros_like(total)
    np.add.at(total, group_of_unit, np.where(known, units, np.float32(0)))
    np.add.at(count, group_of_unit, known.astype(np.float32))
    return _decided(total, count, rule)


def _voted(
    values: FloatArray, lines: _Lines, group_of: IntArray, num_groups: int, rule: Rule
) -> FloatArray:
    """Merge the votes on the labels that every line names. *Shape:* (N, L) to (G, L).

    A label that no line of a text names has no vote.
    """
    votes, annotators = lines.votes, lines.annotators
    assert votes is not None
    named = values == 1
    known = ~np.isnan(votes)
    sums = np.where(known, votes, np.float32(0)).sum(axis=1, keepdims=True)
    counts = known.sum(axis=1, keepdims=True).astype(np.float32)
    if annotators is not None:
        unit_of, group_of_unit = _by_annotator(group_of, annotators)
        with np.errstate(invalid="ignore"):
            given = np.where(named, sums / counts, np.float32(np.nan))
        units = np.full((len(group_of_unit), values.shape[1]), np.nan, dtype=np.float32)
        np.fmax.at(units, unit_of, given)
        seen = np.zeros(units.shape, dtype=bool)
        np.logical_or.at(seen, unit_of, named)
        merged = _agreed(
            np.where(seen, units, np.float32(0)), group_of_unit, None, num_groups, rule
        )
    else:
        total = np.zeros((num_groups, values.shape[1]), dtype=np.float32)
        count, seen = np.zeros_like(total), np.zeros(total.shape, dtype=bool)
        np.add.at(total, group_of, np.where(named, sums, np.float32(0)))
        np.add.at(count, group_of, np.where(named, counts, np.float32(0)))
        np.logical_or.at(seen, group_of, named)
        merged = _decided(total, np.where(seen, count, np.float32(1)), rule)
    unlabelled = np.ones(num_groups, dtype=bool)
    np.logical_and.at(unlabelled, group_of, np.isnan(values).all(axis=1))
    merged[unlabelled] = np.nan
    merged[:, np.isnan(values).all(axis=0)] = np.nan  # labels that the file says nothing about
    return merged


def _decided(total: FloatArray, count: FloatArray, rule: Rule) -> FloatArray:
    """Return what `count` votes with this sum mean; NaN where there are none."""
    with np.errstate(invalid="ignore"):
        share = total / count
    if rule == "share":
        return share
    positive = total > 0 if rule == "union" else share > 0.5
    decided = np.where(np.isnan(share), share, positive.astype(np.float32))
    if rule == "majority":
        decided[np.abs(share - 0.5) < _TIE] = np.nan
    return decided


def _rule_notes(rule: Rule, lines: _Lines, data: DataOptions) -> list[str]:
    whose = (
        f"annotators ('{data.annotator_column}')"
        if data.annotator_column is not None
        else f"votes in {', '.join(data.vote_columns)}"
        if data.vote_columns
        else "lines (one annotator each)"
    )
    notes = {
        "union": "A text has the labels of all its lines (data.aggregate=union; `majority` and `share` "
        "count annotators).",
        "majority": f"A text has the labels that more than half of its {whose} gave; a tie is unknown.",
        "share": f"The labels of a text are the proportions of its {whose}.",
    }[rule]
    if rule == "union" and lines.votes is not None:
        notes = "A text has every label with a vote above 0 (data.aggregate=union)."
    above = f"{counted(lines.num_above, 'vote is', 'votes are')} above 1: a yes; data.votes=K would count them."
    return [notes, above] if lines.num_above else [notes]
