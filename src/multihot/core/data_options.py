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
    id_column: str | None = None
    """Column of the row id; default: a column named `id` or `..._id`, else row numbers."""
    label_column: str | None = None
    """Column that holds all labels of a row, as a delimited cell or a list."""
    label_columns: tuple[str, ...] = ()
    """Columns of 0/1 values, one per label; default: all columns except id and text."""
    ignore_columns: tuple[str, ...] = ()
    """Columns that are neither id, text nor label."""
    label_delimiter: str | None = None
    """Separator of the labels within a cell, such as `|`; empty: one label per cell; default: detected."""
    label_names: str | None = None
    """File with one label name per line, which fixes the label order; cells may then hold 0-based indices. `@labels` in a model folder means the model's own labels."""
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
    soft_labels: bool = False
    """Whether label columns may hold values between 0 and 1 (soft labels), such as annotator proportions."""
    partial_labels: bool = False
    """Whether a file may lack some of the known labels, which are then unknown in its rows."""
    weight_column: str | None = None
    """Column of non-negative sample weights, used in training only."""
    split_by: str | None = None
    """Grouping column for splits: rows with equal values, such as one author's texts, stay on one side of every split."""
    group_by: str | None = None
    """Column whose equal values merge several lines into one text with the union of their labels."""
    sheet: str | None = None
    """Sheet of an .xlsx workbook; default: the first."""
    split: str | None = None
    """Split of a Hugging Face data set, such as train."""
