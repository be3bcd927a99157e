"""Every option a user can set: frozen dataclasses with a sentence under each field.

A value of `None` means "decided from the data or the encoder, and said aloud". Options never enter
a loss, a metric or an optimiser: the verb unpacks them into plain arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from multihot.errors import OptionError

__all__ = ["DEFAULT_MAX_LENGTH", "GOALS", "DataOptions", "TrainOptions"]

GOALS = ("micro_f1", "macro_f1", "jaccard", "subset_accuracy")
"""Metrics that thresholds can be fitted for and that can choose the best epoch."""

DEFAULT_MAX_LENGTH = 256
"""Tokens per text when `max_length` is not set and the encoder takes as many."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How to read a file of texts and labels (`data.*` in a recipe or on the command line)."""

    format: str = "auto"
    """One of auto, csv, tsv, jsonl, parquet, xlsx, dataset (a saved Hugging Face folder or hub id)."""
    text_column: str | None = None
    """Column that holds the text; default: the one named like a text, or the only candidate."""
    id_column: str | None = None
    """Column that holds the row id; default: one named like `id` or `..._id`, else row numbers."""
    label_column: str | None = None
    """Column that holds all labels of a row, as one delimited cell or as a list."""
    label_columns: tuple[str, ...] = ()
    """Columns of 0/1 values, one per label; default: every column that is not the id or the text."""
    ignore_columns: tuple[str, ...] = ()
    """Columns that are neither id, text nor label."""
    label_delimiter: str | None = None
    """What separates the labels inside one cell, such as `|`; empty: nothing does; default: detected."""
    label_names: str | None = None
    """File with one label name a line; it fixes the order, and label cells may then hold its 0-based indices; in a model folder `@labels`, its own names."""
    delimiter: str | None = None
    """What separates the columns of a text table: a character or `tab`; default: detected."""
    quoting: bool | None = None
    """Whether cells may be quoted with `"`; default: yes, but not in tab-separated files."""
    header: bool = True
    """Whether the first line names the columns; without it the columns are named 1, 2, 3 ..."""
    encoding: str | None = None
    """Character encoding, such as utf-8, utf-16, cp1252, gb18030; default: detected and said aloud."""
    group_by: str | None = None
    """Column whose equal values make one text out of several lines; their labels are united."""
    sheet: str | None = None
    """Sheet of an .xlsx workbook; default: the first."""
    split: str | None = None
    """Split of a Hugging Face data set, such as train."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Everything that decides the result of one training run."""

    encoder: str = "starter"
    """`starter`, a folder, or a hub name of any transformers encoder."""
    goal: str = "micro_f1"
    """Metric that the thresholds are fitted for and that chooses the best epoch: see `GOALS`."""
    thresholds: str | float = "global"
    """`global` (one fitted number), `per_label` (one per label), or a fixed number between 0 and 1."""
    epochs: int = 5
    """Passes over the training rows."""
    batch_size: int = 32
    """Rows per optimiser step."""
    batch_tokens: int | None = None
    """Instead of `batch_size`: tokens per optimiser step at most, padding not counted."""
    accumulation_steps: int = 1
    """Micro-batches that one optimiser step is computed in; changes memory, not the result."""
    learning_rate: float | None = None
    """Peak learning rate; default: 1e-4 for encoders below 40 million parameters, else 3e-5."""
    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW; never applied to biases and normalisation weights."""
    warmup_fraction: float = 0.1
    """Share of all optimiser steps in which the learning rate rises; afterwards it falls to 0."""
    max_gradient_norm: float = 1.0
    """Gradients are scaled down to this L2 norm; 0 turns clipping off."""
    max_length: int | None = None
    """Longest text in tokens, special tokens included; default: 256 or the encoder's limit."""
    pooling: str = "auto"
    """How token vectors become one: `cls`, `mean`, or `auto` (what the encoder was made for)."""
    precision: str = "auto"
    """`fp32`, `bf16`, or `auto` (bf16 where the processor or card computes it natively)."""
    execution: str = "auto"
    """`packed` (no padding is computed), `padded`, or `auto` (packed where a check finds it equal)."""
    length_bucketing: bool | None = None
    """Whether texts of similar length share a batch; default: only where padding is computed."""
    early_stopping_epochs: int | None = None
    """Stop after this many epochs without a better goal on validation; default: never."""
    validation_fraction: float = 0.1
    """Share of the training rows set aside for validation when no validation file is given."""
    seed: int = 0
    """The one seed that every random stream is derived from."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    threads: int | None = None
    """Processor threads; default: what torch chooses. Part of the run: another number, other last bits."""
    checkpoint_steps: int = 500
    """Write a checkpoint every so many optimiser steps, besides the one after each epoch."""
    trackers: tuple[str, ...] = ()
    """Trackers of accelerate that also receive the log, such as tensorboard."""
    data: DataOptions = field(default_factory=DataOptions)
    """How the files are read."""

    def __post_init__(self) -> None:
        _require(self.goal in GOALS, "goal", self.goal, f"one of {', '.join(GOALS)}")
        fixed = isinstance(self.thresholds, float) and 0 < self.thresholds < 1
        named = self.thresholds in ("global", "per_label")
        expected = "global, per_label or a number between 0 and 1"
        _require(fixed or named, "thresholds", self.thresholds, expected)
        known = ("auto", "packed", "padded")
        _require(self.execution in known, "execution", self.execution, f"one of {', '.join(known)}")
        known = ("auto", "cls", "mean")
        _require(self.pooling in known, "pooling", self.pooling, f"one of {', '.join(known)}")
        known = ("auto", "fp32", "bf16")
        _require(self.precision in known, "precision", self.precision, f"one of {', '.join(known)}")
        for name in ("epochs", "batch_size", "accumulation_steps", "checkpoint_steps"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("weight_decay", "max_gradient_norm", "seed"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        share = self.warmup_fraction
        _require(0 <= share < 1, "warmup_fraction", share, "at least 0 and below 1")
        share = self.validation_fraction
        _require(0 < share < 1, "validation_fraction", share, "a number between 0 and 1")
        for name in (
            "batch_tokens",
            "learning_rate",
            "early_stopping_epochs",
            "max_length",
            "threads",
        ):
            value = getattr(self, name)
            _require(value is None or value > 0, name, value, "more than 0")
        if self.batch_tokens is not None and self.batch_size != type(self).batch_size:
            raise OptionError(
                f"batch_size={self.batch_size} (rows) and batch_tokens={self.batch_tokens} (tokens) "
                "exclude each other: leave one of them out."
            )


def _require(met: bool, name: str, value: object, expected: str) -> None:
    if not met:
        raise OptionError(f"Option '{name}' is {value!r}; expected {expected}.")
