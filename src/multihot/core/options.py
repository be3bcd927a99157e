"""Every option a user can set: frozen dataclasses with a sentence under each field.

`None` means "derived from the data or the encoder, and reported". Workflows and the training run
take options whole; losses, metrics and optimisers take plain arguments. *Experimental* options
are those that no recipe uses; their sentences state the measured effect (docs/en/reference/options.md says on
which data).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from multihot.core.data_options import DataOptions
from multihot.core.goals import GOALS, THRESHOLD_FORMS, parse_goal, parse_thresholds
from multihot.core.recipes import require
from multihot.core.windows import WINDOW_POOLINGS
from multihot.errors import OptionError

__all__ = [
    "CALIBRATIONS",
    "DEFAULT_MAX_LENGTH",
    "EMPTY_SET_RULES",
    "GOALS",
    "INITIAL_HEADS",
    "LOSS_NAMES",
    "CalibrationName",
    "DataOptions",
    "EmptySetRule",
    "ExecutionName",
    "InitialHeadName",
    "LossName",
    "ObjectiveOptions",
    "PoolingName",
    "PrecisionName",
    "SeedsKept",
    "TrainOptions",
    "WindowsName",
]

LossName = Literal["bce", "focal", "asymmetric", "zlpr", "distribution_balanced"]
CalibrationName = Literal["none", "temperature", "platt", "beta", "isotonic"]
EmptySetRule = Literal["allow", "at_least_one", "abstain"]
PoolingName = Literal["auto", "cls", "mean", "attention", "labels"]
PrecisionName = Literal["auto", "fp32", "bf16"]
WindowsName = Literal["none", "max", "mean", "log_sum_exp", "attention"]
ExecutionName = Literal["auto", "packed", "padded"]
SeedsKept = Literal["best", "average"]
InitialHeadName = Literal["random", "prevalence", "fitted"]

LOSS_NAMES = ("bce", "focal", "asymmetric", "zlpr", "distribution_balanced")
"""Names of the losses; the functions are in `models.losses`."""

_OF_ONE_LOSS = {
    "focal_gamma": "focal",
    "positive_gamma": "asymmetric",
    "negative_gamma": "asymmetric",
    "probability_margin": "asymmetric",
}


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions:
    """The loss and its additional terms (`objective.*` in a recipe or on the command line)."""

    loss: LossName = "bce"
    """`bce`, `focal`, `asymmetric`, `zlpr` or `distribution_balanced`; formulas: `models.losses`. *Experimental*: `focal`, +3.1 points of Jaccard (+1.7 to +4.5), and `distribution_balanced`, +2.1 (+0.6 to +3.6); no recipe uses them, as neither is distinguishable from `asymmetric` with `negative_gamma=2`, +2.7 (+1.5 to +3.9)."""
    positive_weight: str | float = 1.0
    """Weight of positive cells in `bce`: a number, or `balanced` (negatives per positive of each label) or `sqrt` (its square root). *Experimental*: `sqrt` +1.6 points of Jaccard (+0.2 to +3.1) with mean pooling, but -1.6 (-3.0 to -0.1) with `pooling=cls`; the others were not measured."""
    focal_gamma: float = 2.0
    """Focusing parameter gamma of `focal`: the larger, the less easy cells contribute. *Experimental*, as is `focal`."""
    positive_gamma: float = 0.0
    """Focusing parameter of `asymmetric` for positive cells. *Experimental*: values above 0 were not measured."""
    negative_gamma: float = 4.0
    """Focusing parameter of `asymmetric` for negative cells."""
    probability_margin: float = 0.05
    """Probability margin of `asymmetric`: negative cells below this probability contribute nothing."""
    label_smoothing: float = 0.0
    """Label smoothing per cell: targets move by this fraction towards 0.5. *Experimental*: +3.3 points of Jaccard (+2.0 to +4.6) at 0.1 after two epochs, but no better than `asymmetric` after three (.605 and .607), and its scores are not probabilities."""
    correlation_weight: float = 0.0
    """Weight of the label-correlation loss (SpanEmo), 0 to 1: positives of a text should score above its negatives. *Experimental*: +1.7 points of Jaccard (+0.6 to +2.7) at 0.2."""
    prior_adjustment: float = 0.0
    """Logit-adjustment strength tau (Menon et al. 2021), 0 to 1: raises the scores of rare labels."""
    r_drop_weight: float = 0.0
    """Weight of the R-Drop consistency loss between two dropout passes; doubles the time of a step. *Experimental*: +1.1 points of Jaccard (-0.1 to +2.2) at 1."""

    def __post_init__(self) -> None:
        require(
            self.loss in LOSS_NAMES, "objective.loss", self.loss, f"one of {', '.join(LOSS_NAMES)}"
        )
        weight = self.positive_weight
        require(
            weight in ("balanced", "sqrt") if isinstance(weight, str) else weight > 0,
            "objective.positive_weight",
            weight,
            "balanced, sqrt or a number above 0",
        )
        if weight != 1.0 and self.loss != "bce":
            raise OptionError(
                f"objective.positive_weight applies to objective.loss=bce only; {self.loss} weights cells "
                "itself. Set only one of them."
            )
        for name in ("focal_gamma", "positive_gamma", "negative_gamma", "r_drop_weight"):
            require(
                getattr(self, name) >= 0, f"objective.{name}", getattr(self, name), "at least 0"
            )
        for name in ("probability_margin", "label_smoothing"):
            value = getattr(self, name)
            require(0 <= value < 1, f"objective.{name}", value, "at least 0 and below 1")
        for name in ("correlation_weight", "prior_adjustment"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"objective.{name}", value, "a number between 0 and 1")
        for name, loss in _OF_ONE_LOSS.items():
            if self.loss != loss and getattr(self, name) != getattr(type(self), name):
                raise OptionError(
                    f"objective.{name} applies to objective.loss={loss} only, but the loss is {self.loss}. "
                    "Set only one of them."
                )


CALIBRATIONS: tuple[str, ...] = ("none", "temperature", "platt", "beta", "isotonic")
"""Calibration methods; see `decision.calibration`."""

EMPTY_SET_RULES: tuple[str, ...] = ("allow", "at_least_one", "abstain")
"""Predictions for a text whose scores reach no threshold."""

_MAX_THREADS = 1024  # more are a mistake, and systems refuse to start them

INITIAL_HEADS: tuple[str, ...] = ("random", "prevalence", "fitted")
"""How a new head starts; see `training.initial_head`."""

POOLINGS = ("auto", "cls", "mean", "attention", "labels")
"""How token vectors become logits."""

DEFAULT_MAX_LENGTH = 256
"""Tokens per text when `max_length` is not set and the encoder takes as many."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Everything that decides the result of one training run."""

    encoder: str = "starter"
    """Pretrained encoder: `starter`, a folder, or a hub name of a transformers encoder."""
    goal: str = "micro_f1"
    """Objective of the threshold fit and of epoch selection: `micro_f1`, `macro_f1`, `jaccard`, `subset_accuracy`, `precision>=P`, `recall>=R`, `top_k=K` or `cost=FP:FN`."""
    costs: str | None = None
    """File of per-label costs for the goal `cost`: TOML or JSON, `label = [FP, FN]`."""
    thresholds: str | float = "global"
    """`global` (one fitted threshold), `per_label`, `shrunk` (per label, regularised towards the global one by support), `by_frequency=T` (one fitted threshold, lowered for rare labels by T times their prior log odds), or a fixed number between 0 and 1."""
    calibration: CalibrationName = "none"
    """Calibration of scores into probabilities: `none`, `temperature`, `platt`, `beta` or `isotonic`."""
    empty_set_rule: EmptySetRule = "allow"
    """Prediction when no score reaches its threshold: `allow` (no label), `at_least_one` (the nearest label), `abstain` (no label, and marked)."""
    epochs: int = 5
    """Passes over the training set."""
    batch_size: int = 32
    """Rows per optimiser step."""
    batch_tokens: int | None = None
    """Maximum tokens per optimiser step, padding not counted; replaces `batch_size`."""
    accumulation_steps: int = 1
    """Micro-batches per optimiser step; affects memory, not the result."""
    learning_rate: float | None = None
    """Peak learning rate; default: 1e-4 for encoders below 40 million parameters, else 3e-5."""
    head_learning_rate: float | None = None
    """Peak learning rate of the head; default for a new head: the larger of 1e-3 and the encoder's rate; for a trained head: the encoder's rate."""
    initial_head: InitialHeadName | None = None
    """A new head before the first step: `random`, `prevalence` (random, and each label at its frequency) or `fitted` (logistic regression on the vectors that the untrained encoder gives the training rows); default: `prevalence`, but `fitted` where the median label has a positive in fewer than 400 steps, unless rows times labels exceed 33 million or rows 262,144."""
    layer_decay: float = 1.0
    """Layer-wise learning-rate decay: each encoder layer's rate relative to the layer above. *Experimental*: +1.0 points of Jaccard (-0.1 to +2.2) at 0.9."""
    frozen_layers: int = 0
    """Encoder layers, counted from the lowest, that keep their weights, as does all of the encoder outside its layers, such as the embeddings: training takes less time and memory. 0 trains the whole encoder."""
    weight_averaging: float = 0.0
    """Decay of an exponential moving average of the weights, such as 0.99, which is then evaluated and saved; 0 turns it off."""
    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW; never applied to biases and normalisation weights."""
    warmup_fraction: float = 0.1
    """Fraction of the optimiser steps with linear warm-up; afterwards the rate decays linearly to 0."""
    max_gradient_norm: float = 1.0
    """Gradient clipping at this global L2 norm; 0 turns it off."""
    max_length: int | None = None
    """Maximum tokens per text, special tokens included; default: 256 or the encoder's limit."""
    windows: WindowsName | None = None
    """How texts beyond `max_length` are read: `none` (only their beginning), or in windows of `max_length` tokens whose logits are pooled per label by `max`, `mean`, `log_sum_exp` or `attention` (a weighted mean with one learnt sharpness per label); default: `none`, or as the model that training starts from."""
    window_overlap: int | None = None
    """With `windows`: tokens that neighbouring windows share at most; default: 32, or an eighth of `max_length` where that is less. Windows end with a sentence where they can."""
    max_windows: int | None = None
    """With `windows`: windows read of one text, from its beginning; default: 32. A step holds as many windows in memory at once, or `batch_size` if that is more."""
    max_unknown_fraction: float = 0.5
    """Fraction of the tokens of a file, 0 to 1, that may be unknown to the encoder's vocabulary; beyond, training is refused; 1 never refuses."""
    pooling: PoolingName = "auto"
    """How token vectors become logits: `cls`, `mean`, `attention` (learnt weights), `labels` (label names are encoded with each text and scored at their positions), or `auto` (`cls` or `mean`, as the encoder was trained). *Experimental*: `attention`, +1.7 points of Jaccard (+0.6 to +2.8), and `labels`, +1.1 (-0.2 to +2.4), which also makes inputs longer; `cls` had +3.5 (+2.2 to +4.7)."""
    label_descriptions: str | None = None
    """With `pooling=labels`: a JSON or TOML file that maps label names to longer descriptions, or JSON itself. *Experimental*: not measured."""
    precision: PrecisionName = "auto"
    """Training precision: `fp32`, `bf16`, or `auto` (bf16 where the CPU or GPU computes it natively)."""
    execution: ExecutionName = "auto"
    """`packed` (no padding), `padded`, or `auto` (packed if the self-test of the encoder passes)."""
    length_bucketing: bool | None = None
    """Whether to batch texts of similar length; default: only in padded execution."""
    early_stopping_epochs: int | None = None
    """Early-stopping patience: epochs without an improvement of the goal on the validation set; default: none."""
    validation_fraction: float = 0.1
    """Fraction of the training rows used as the validation set when no validation file is given."""
    folds: int | None = None
    """K-fold cross-validation for few rows: out-of-fold scores fit thresholds and calibration, no validation set is split off, and the saved model is trained on all rows."""
    teacher: tuple[str, ...] = ()
    """Trained models to distil from, such as a larger one: their scores become part of the targets, and the only targets of unknown labels."""
    teacher_weight: float = 0.5
    """Weight of the teachers' scores in the targets of known labels, 0 to 1."""
    seed: int = 0
    """Seed from which all random streams are derived."""
    seeds: int = 1
    """Number of runs with seeds `seed`, `seed` + 1, ...; mean and standard deviation of the metrics are reported."""
    seeds_keep: SeedsKept = "best"
    """With several seeds: keep the `best` network by the goal, or the `average` of all weights. *Experimental*: `average`; validation Jaccard .612, and .611 as the mean of its three seeds."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    threads: int | None = None
    """CPU threads; default: torch's choice, less the processors that other programs keep busy at the start. Affects bitwise reproducibility."""
    checkpoint_steps: int = 500
    """Checkpoint interval in optimiser steps; a checkpoint is also written after each epoch."""
    trackers: tuple[str, ...] = ()
    """Experiment trackers of accelerate that also receive the log, such as tensorboard."""
    objective: ObjectiveOptions = field(default_factory=ObjectiveOptions)
    """The training loss."""
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
        names = (None, "none", *WINDOW_POOLINGS)
        expected = ", ".join(names[1:])
        require(self.windows in names, "windows", self.windows, f"one of {expected}")
        known = INITIAL_HEADS
        require(
            self.initial_head in (None, *known),
            "initial_head",
            self.initial_head,
            f"one of {', '.join(known)}",
        )
        if self.label_descriptions is not None and self.pooling != "labels":
            raise OptionError("label_descriptions needs pooling=labels.")
        known = ("auto", "fp32", "bf16")
        require(self.precision in known, "precision", self.precision, f"one of {', '.join(known)}")
        for name in ("epochs", "batch_size", "accumulation_steps", "checkpoint_steps", "seeds"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("frozen_layers", "weight_decay", "max_gradient_norm", "seed"):
            value = getattr(self, name)
            require(0 <= value < float("inf"), name, value, "at least 0, and finite")
        decay = self.weight_averaging
        require(0 <= decay < 1, "weight_averaging", decay, "at least 0 and below 1")
        decay = self.layer_decay
        require(0 < decay <= 1, "layer_decay", decay, "above 0 and at most 1")
        fraction = self.max_unknown_fraction
        require(0 <= fraction <= 1, "max_unknown_fraction", fraction, "a number from 0 to 1")
        fraction = self.warmup_fraction
        require(0 <= fraction < 1, "warmup_fraction", fraction, "at least 0 and below 1")
        fraction = self.validation_fraction
        require(0 < fraction < 1, "validation_fraction", fraction, "a number between 0 and 1")
        self._check_optional_numbers()
        weight = self.teacher_weight
        require(0 <= weight <= 1, "teacher_weight", weight, "a number from 0 to 1")
        if not self.teacher and weight != type(self).teacher_weight:
            raise OptionError(
                f"teacher_weight={weight:g} needs a teacher; set teacher=MODEL_FOLDER."
            )
        self._check_runs()
        if self.batch_tokens is not None and self.batch_size != type(self).batch_size:
            raise OptionError(
                f"batch_size={self.batch_size} (rows) and batch_tokens={self.batch_tokens} (tokens) "
                "are mutually exclusive; set only one of them."
            )

    def _check_optional_numbers(self) -> None:
        """Raise `OptionError` for a number out of range where `None` is allowed, too."""
        few = (self.threads or 1) <= _MAX_THREADS
        require(few, "threads", self.threads, f"at most {_MAX_THREADS}")
        overlap = self.window_overlap
        require(overlap is None or overlap >= 0, "window_overlap", overlap, "at least 0")
        for name in ("window_overlap", "max_windows"):
            value = getattr(self, name)
            if value is not None and self.windows == "none":
                raise OptionError(f"{name}={value} needs windows: set windows=max or another one.")
        for name in (
            "batch_tokens",
            "learning_rate",
            "head_learning_rate",
            "early_stopping_epochs",
            "max_length",
            "max_windows",
            "threads",
        ):
            value = getattr(self, name)
            finite = value is None or 0 < value < float("inf")
            require(finite, name, value, "more than 0, and finite")

    def _check_runs(self) -> None:
        """Raise `OptionError` when the options of several runs contradict each other."""
        known = ("best", "average")
        require(self.seeds_keep in known, "seeds_keep", self.seeds_keep, "best or average")
        if self.folds is None:
            return
        require(self.folds >= 2, "folds", self.folds, "at least 2")
        if self.seeds > 1:
            raise OptionError(
                f"folds={self.folds} and seeds={self.seeds} are mutually exclusive: with folds there is no "
                "validation set to compare the seeds on. Set only one of them."
            )
        if self.teacher:
            raise OptionError(
                f"folds={self.folds} and teacher={','.join(self.teacher)} are mutually exclusive: a teacher "
                "trained on the rows of a test fold would leak them. Set only one of them."
            )
        for name in ("early_stopping_epochs", "validation_fraction"):
            if getattr(self, name) != getattr(type(self), name):
                raise OptionError(
                    f"{name} and folds={self.folds} are mutually exclusive: with folds there is no "
                    "validation set. Set only one of them."
                )


def _goal(spec: str) -> str:
    try:
        return parse_goal(spec).name
    except OptionError as error:
        raise OptionError(f"Option {error}") from None
