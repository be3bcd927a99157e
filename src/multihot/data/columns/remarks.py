"""Remarks on label names and columns that may mean something else than they were taken for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from multihot.core.labels import LabelSpace
from multihot.core.options import DataOptions
from multihot.core.text_tables import listed
from multihot.data.columns.headings import (
    is_annotator_name,
    is_fact_name,
    is_id_name,
    prediction_columns,
)
from multihot.data.columns.separators import split_cell
from multihot.data.columns.vote_columns import is_vote_name
from multihot.data.columns.ways_of_writing import MISSING_WORDS
from multihot.errors import DataError

__all__ = ["fact_columns_notes", "odd_names_notes", "refuse_fractions", "unused_columns_notes"]

_WHO = re.compile("worker|annotator|rater|coder|judge")


def fact_columns_notes(columns: Sequence[str]) -> list[str]:
    """Point out 0/1 columns that are named like facts about a row, where others are not."""
    facts = [name for name in columns if is_fact_name(name)]
    if not facts or len(facts) == len(columns):
        return []
    return [
        f"{listed(facts)} may be facts about a row rather than labels: if so, set data.ignore_columns="
        f"{','.join(facts[:30])}."
    ]


def odd_names_notes(space: LabelSpace, known: Sequence[str] | None) -> list[str]:
    """Point out labels whose names are numbers, or what programs write for a missing value.

    Known names are not remarked.
    """
    notes: list[str] = []
    if known:
        return notes
    missing = [name for name in space.names if name.casefold() in MISSING_WORDS]
    if missing:
        notes.append(
            f"The label {listed(missing)} is taken as a name, although programs write a missing value "
            "like that: if it is one, empty these cells."
        )
    names = set(space.names)
    for mark in ("|", ";", ","):
        joined = [name for name in space.names if mark in name]
        apart = [name for name in joined if any(part in names for part in split_cell(name, mark))]
        if apart:
            notes.append(
                f"{listed(apart)} may be several labels joined by '{mark}': parts of it are labels, too. "
                "If so, separate them in the file."
            )
    if all(name.isascii() and name.isdigit() for name in space.names):
        notes.append(
            "All label names are numbers: if they are indices of labels, data.label_names=FILE names "
            "these."
        )
    return notes


def refuse_fractions(names: Sequence[str], path: str, column: str) -> None:
    """Raise `DataError` where all label names are numbers between 0 and 1, some of them fractions."""
    try:
        values = [float(name.replace(",", ".")) for name in names]
    except ValueError:
        return
    if all(0 <= value <= 1 for value in values) and any(0 < value < 1 for value in values):
        raise DataError(
            "The cells are fractions: these may be values of one label, or names of labels. Set "
            f"data.label_columns={column} data.soft_labels=true for the first, "
            f"data.label_column={column} for the second.",
            path=path,
            column=column,
        )


def unused_columns_notes(unused: Sequence[str], data: DataOptions) -> list[str]:
    """Point out unused columns that say whose labels a line holds, or whether they hold at all."""
    notes = []
    annotators = [
        name
        for name in unused
        if is_annotator_name(name) or (is_id_name(name) and _WHO.search(name.casefold()))
    ]
    if annotators and data.group_by is None:
        notes.append(
            f"'{annotators[0]}' is named like who labelled a row. Every line counts as a text of its own: "
            "if several lines hold one text, set data.group_by to its id."
        )
    votes = [name for name in unused if is_vote_name(name) and name not in annotators]
    if votes and data.label_column is not None and data.group_by is None:
        notes.append(
            f"{listed(votes)} may hold votes or scores for the label in the same line, and every line "
            "gives its label whatever they say. If a line is one of several of a text, set data.group_by "
            f"to its id and data.vote_columns={','.join(votes[:30])}."
        )
    predicted = [name for name in prediction_columns(unused) if not name.startswith("score_")]
    if predicted:
        notes.append(
            f"{listed(predicted)} and the scores beside are predictions of a model, not labels."
        )
    if "answer" in unused and data.label_column is not None:
        notes.append(
            "'answer' is not used: exports of Prodigy say there whether an annotator accepted the labels "
            "of the row. Remove the rows with reject and ignore."
        )
    return notes
