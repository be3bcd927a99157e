"""How a file of texts and labels is read: the options `data.*`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DataOptions"]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How to read a file of texts and labels (`data.*` in a recipe or on the command line)."""

    format: str = "auto"
    """Format: auto, csv, tsv, jsonl, json, fasttext, libmultilabel, lines (one text a line), folder (one text a file), parquet, xlsx or dataset (a saved Hugging Face folder or hub id)."""
    text_column: str | None = None
    """Column of the text; default: the column named like a text, or the only candidate."""
    text_columns: tuple[str, ...] = ()
    """Columns that together are the text, such as title,body: joined by a space, empty ones left out."""
    id_column: str | None = None
    """Column of the row id; default: a column named `id` or `..._id`, else row numbers."""
    label_column: str | None = None
    """Column that holds all labels of a row, as a delimited cell or a list."""
    label_columns: tuple[str, ...] = ()
    """Columns of 0/1 values, one per label, or columns that hold one label name each, such as label1,label2; default: all columns except id and text."""
    ignore_columns: tuple[str, ...] = ()
    """Columns that are neither id, text nor label."""
    label_delimiter: str | None = None
    """Separator of the labels within a cell, such as `|`, `space`, `newline` or `tab`; of several, such as `，、；`, each separates; empty: one label per cell; default: detected."""
    label_key: str | None = None
    """Key of the label name where labels are objects, such as `name` in `[{"id": 18, "name": "Drama"}]`; default: the only key with texts."""
    label_case: str = "keep"
    """`fold` makes one label, in lower case, of names that differ in case alone; `keep` keeps them apart."""
    label_aliases: str | None = None
    """File of other spellings: TOML, JSON or CSV with `alias, name` in each entry; an alias counts as the label it stands for."""
    label_hierarchy: str | None = None
    """Labels that imply others: a separator of levels, such as `/` (then `a/b` implies `a`), or a file of `child,parent` pairs (CSV, TSV, JSON, TOML); a label may have several parents."""
    label_names: str | None = None
    """File with one label name per line, or JSON (a list, or indices to names), which fixes the label order; cells may then hold 0-based indices or vectors of 0 and 1. `@labels` in a model folder means the model's own labels."""
    label_file: str | None = None
    """File with the labels of each line of a file of one text a line; `*` in it stands for the name of that file without its ending."""
    delimiter: str | None = None
    """Column separator of a text table: a character or `tab`; default: detected."""
    quoting: bool | None = None
    """Whether cells may be quoted with `"`; default: yes, except in tab-separated files."""
    header: bool = True
    """Whether the first line holds the column names; without a header, columns are named 1, 2, 3 ..."""
    encoding: str | None = None
    """Character encoding, such as utf-8, utf-16, cp1252 or gb18030; default: detected and reported."""
    true_values: tuple[str, ...] = ()
    """Words that mean 1 in 0/1 columns, such as yes or x, in any case; `blank` is the empty cell."""
    false_values: tuple[str, ...] = ()
    """Words that mean 0 in 0/1 columns, such as no or `blank`."""
    soft_labels: bool = False
    """Whether label columns may hold values between 0 and 1 (soft labels), such as annotator proportions."""
    partial_labels: bool = False
    """Whether a file may lack some of the known labels, which are then unknown in its rows."""
    empty_labels: str = "negative"
    """What an empty cell in a column of label names says: `negative` (no label) or `unknown`; an empty 0/1 cell is always unknown."""
    unknown_labels: str = "error"
    """Labels of a file that are not among the known ones, those of the training file: `error`, or `ignore`, which counts them and passes over them."""
    weight_column: str | None = None
    """Column of non-negative sample weights, used in training only."""
    split_by: str | None = None
    """Grouping column for splits: rows with equal values, such as one author's texts, stay on one side of every split."""
    group_by: str | None = None
    """Column whose equal values merge several lines into one text; `data.aggregate` says how their labels become one."""
    aggregate: str | None = None
    """How the labels of several annotators become one: `union` (anyone chose it), `majority` (more than half; a tie is unknown) or `share` (the proportion, a soft label); default: `share` with `data.soft_labels` or `data.votes`, else `union`."""
    votes: int | None = None
    """Number of votes that label cells count: a cell holds 0 to this number."""
    vote_columns: tuple[str, ...] = ()
    """Columns of votes on the label that `data.label_column` names in the same line, such as one per annotator; above 0 is a yes, and with `data.votes` cells count 0 to that number."""
    annotator_column: str | None = None
    """Column that says whose labels a line holds; with `data.group_by`, all lines of one annotator on one text count once."""
    sheet: str | None = None
    """Sheet of an .xlsx workbook; default: the first."""
    split: str | None = None
    """Split of a Hugging Face data set, such as train."""
