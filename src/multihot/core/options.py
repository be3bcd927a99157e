"""Every option a user can set: frozen dataclasses with a sentence under each field.

A value of `None` means "decided from the data or the encoder, and said aloud". Options never enter
a loss, a metric or an optimiser: the verb unpacks them into plain arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from multihot.core.goals import GOALS, THRESHOLD_FORMS, parse_goal, parse_thresholds
from multihot.core.objective_options import ObjectiveOptions
from multihot.core.recipes import require
from multihot.errors import OptionError

__all__ = [
    "CALIBRATIONS",
    "DEFAULT_MAX_LENGTH",
    "EMPTY_SET_RULES",
    "GOALS",
    "DataOptions",
    "TrainOptions",
]

CALIBRATIONS: tuple[str, ...] = ("none", "temperature", "platt", "beta", "isotonic")
"""What may make scores into probabilities; see `decision.calibration`."""

EMPTY_SET_RULES: tuple[str, ...] = ("allow", "at_least_one", "abstain")
"""What may happen to a text that no label's score is high enough for."""

POOLINGS = ("auto", "cls", "mean", "attention", "labels")
"""How a text's token vectors can become its logits."""

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
    soft_labels: bool = False
    """Whether label columns may hold fractions between 0 and 1, such as shares of annotators."""
    partial_labels: bool = False
    """Whether a file may lack some of the known labels; they are then unknown in its rows."""
    weight_column: str | None = None
    """Column of numbers, 0 or more: how much each row counts in training."""
    split_by: str | None = None
    """Column whose equal values, such as one author's texts, stay on one side of every split."""
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
    """What thresholds are fitted for and what chooses the best epoch: `micro_f1`, `macro_f1`, `jaccard`, `subset_accuracy`, `precision>=P`, `recall>=R`, `top_k=K` or `cost=FP:FN`."""
    costs: str | None = None
    """File of costs of single labels for the goal `cost`: TOML or JSON, `label = [FP, FN]`."""
    thresholds: str | float = "global"
    """`global` (one fitted number), `per_label` (one per label), `shrunk` (between the two by support), `by_frequency=T` (one number, lower for rare labels by a share T of their log odds), or a fixed number between 0 and 1."""
    calibration: str = "none"
    """`none`, `temperature`, `platt`, `beta` or `isotonic`: what makes scores into probabilities."""
    empty_set_rule: str = "allow"
    """A text without labels: `allow`, `at_least_one` (it gets the nearest), `abstain` (it is marked)."""
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
    head_learning_rate: float | None = None
    """Peak learning rate of the head; default: 1e-3 or the encoder's, whichever is larger, for a new head; the encoder's for a trained one."""
    layer_decay: float = 1.0
    """Each encoder layer learns at this share of the rate of the layer above."""
    weight_averaging: float = 0.0
    """Decay of a running average of the weights, such as 0.99, which is then evaluated and saved; 0 = none."""
    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW; never applied to biases and normalisation weights."""
    warmup_fraction: float = 0.1
    """Share of all optimiser steps in which the learning rate rises; afterwards it falls to 0."""
    max_gradient_norm: float = 1.0
    """Gradients are scaled down to this L2 norm; 0 turns clipping off."""
    max_length: int | None = None
    """Longest text in tokens, special tokens included; default: 256 or the encoder's limit."""
    pooling: str = "auto"
    """How token vectors become logits: `cls`, `mean`, `attention`, `labels` (label names are read with each text and scored where they stand), or `auto` (`cls` or `mean`, what the encoder was made for)."""
    label_descriptions: str | None = None
    """With `pooling=labels`: a JSON or TOML file of longer texts for label names, or JSON itself."""
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
    folds: int | None = None
    """For few rows: none are set aside; each is scored by a network that has not seen it, one for each of so many folds, to fit the decision; the model is trained on all rows."""
    teacher: tuple[str, ...] = ()
    """Finished models whose scores the training rows are taught, such as a larger one; also what unknown labels are aimed at."""
    teacher_weight: float = 0.5
    """Share of the teachers' scores in the targets of known labels, 0 to 1; unknown ones have no other target."""
    seed: int = 0
    """The one seed that every random stream is derived from."""
    seeds: int = 1
    """Runs with the seeds `seed`, `seed` + 1, ...; the mean and the spread of their metrics are said."""
    seeds_keep: str = "best"
    """Of several seeds: the `best` network by the goal, or the `average` of the weights of all."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    threads: int | None = None
    """Processor threads; default: what torch chooses. Part of the run: another number, other last bits."""
    checkpoint_steps: int = 500
    """Write a checkpoint every so many optimiser steps, besides the one after each epoch."""
    trackers: tuple[str, ...] = ()
    """Trackers of accelerate that also receive the log, such as tensorboard."""
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)
    """What is minimised."""
    data: DataOptions = field(default_factory=DataOptions)
    """How the files are read."""

    def __post_init__(self) -> None:
        goal = _goal(self.goal)
        if self.costs is not None:
            require(goal == "cost", "goal", self.goal, "cost=FP:FN, because 'costs' is set")
        fixed = isinstance(self.thresholds, float) and 0 < self.thresholds < 1
        named = isinstance(self.thresholds, str) and bool(parse_thresholds(self.thresholds))
        expected = f"{', '.join(THRESHOLD_FORMS)} or a number between 0 and 1"
        require(fixed or named, "thresholds", self.thresholds, expected)
        known = CALIBRATIONS
        require(
            self.calibration in known, "calibration", self.calibration, f"one of {', '.join(known)}"
        )
        known = EMPTY_SET_RULES
        rule = self.empty_set_rule
        require(rule in known, "empty_set_rule", rule, f"one of {', '.join(known)}")
        known = ("auto", "packed", "padded")
        require(self.execution in known, "execution", self.execution, f"one of {', '.join(known)}")
        require(self.pooling in POOLINGS, "pooling", self.pooling, f"one of {', '.join(POOLINGS)}")
        if self.label_descriptions is not None and self.pooling != "labels":
            raise OptionError("label_descriptions are read with pooling=labels only.")
        known = ("auto", "fp32", "bf16")
        require(self.precision in known, "precision", self.precision, f"one of {', '.join(known)}")
        for name in ("epochs", "batch_size", "accumulation_steps", "checkpoint_steps", "seeds"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("weight_decay", "max_gradient_norm", "seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        share = self.weight_averaging
        require(0 <= share < 1, "weight_averaging", share, "at least 0 and below 1")
        share = self.layer_decay
        require(0 < share <= 1, "layer_decay", share, "above 0 and at most 1")
        share = self.warmup_fraction
        require(0 <= share < 1, "warmup_fraction", share, "at least 0 and below 1")
        share = self.validation_fraction
        require(0 < share < 1, "validation_fraction", share, "a number between 0 and 1")
        for name in (
            "batch_tokens",
            "learning_rate",
            "head_learning_rate",
            "early_stopping_epochs",
            "max_length",
            "threads",
        ):
            value = getattr(self, name)
            require(value is None or value > 0, name, value, "more than 0")
        share = self.teacher_weight
        require(0 <= share <= 1, "teacher_weight", share, "a number from 0 to 1")
        if not self.teacher and share != type(self).teacher_weight:
            raise OptionError(f"teacher_weight={share:g} needs a teacher: name a model folder.")
        self._check_runs()
        if self.batch_tokens is not None and self.batch_size != type(self).batch_size:
            raise OptionError(
                f"batch_size={self.batch_size} (rows) and batch_tokens={self.batch_tokens} (tokens) "
                "exclude each other: leave one of them out."
            )

    def _check_runs(self) -> None:
        """Raise `OptionError` when what is asked of several runs does not fit together."""
        known = ("best", "average")
        require(self.seeds_keep in known, "seeds_keep", self.seeds_keep, "best or average")
        if self.folds is None:
            return
        require(self.folds >= 2, "folds", self.folds, "at least 2")
        if self.seeds > 1:
            raise OptionError(
                f"folds={self.folds} and seeds={self.seeds} exclude each other: no rows are left to "
                "compare the seeds on. Leave one of them out."
            )
        if self.teacher:
            raise OptionError(
                f"folds={self.folds} and teacher={','.join(self.teacher)} exclude each other: a teacher that "
                "knows the rows of a fold would tell the network that must not. Leave one of them out."
            )
        for name in ("early_stopping_epochs", "validation_fraction"):
            if getattr(self, name) != getattr(type(self), name):
                raise OptionError(
                    f"{name} and folds={self.folds} exclude each other: with folds no rows are set "
                    "aside. Leave one of them out."
                )


def _goal(words: str) -> str:
    try:
        return parse_goal(words).name
    except OptionError as error:
        raise OptionError(f"Option {error}") from None
