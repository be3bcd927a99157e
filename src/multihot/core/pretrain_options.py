"""The options of pretraining; see `options` for what all options have in common.

The defaults suit a run of minutes to hours on a few CPU cores; on a GPU, raise the batch size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from multihot.core.options import TrainOptions
from multihot.core.recipes import require
from multihot.errors import OptionError

__all__ = ["PretrainOptions"]

_NAMED_SIZES = ("tiny", "mini", "small", "medium", "base")


@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """Everything that decides the result of one pretraining run."""

    encoder: str | None = None
    """Encoder to continue pretraining: `starter`, a folder or a hub name; default: a new encoder of `encoder_size`."""
    encoder_size: str = "mini"
    """Size of a new encoder: tiny, mini, small, medium, base, or layers x width such as 12x512; mini (4 layers, width 256) is the largest that learns from a corpus of books within minutes on a CPU."""
    tokenizer: str | None = None
    """Tokenizer of a new encoder: a folder or a hub name; default: trained on the corpus first."""
    vocab_size: int = 8192
    """Vocabulary size of a trained tokenizer; a quarter of BERT's, because in a small model the embeddings of rare words would be most of the weights and hardly be trained."""
    lowercase: bool = True
    """Whether a trained tokenizer lowercases text and strips accents."""
    language: str = "auto"
    """Sentence segmentation: `en`, `zh`, or `auto` (by the characters of each passage)."""
    max_length: int = 128
    """Maximum tokens per example, special tokens included; BERT spent 90 % of its steps at 128."""
    short_fraction: float = 0.1
    """Fraction of the examples that are shortened at random, so that the encoder also sees short texts."""
    next_sentence: bool | None = None
    """Whether to train next-sentence prediction on sentence pairs; default: yes, unless the encoder to continue from has no head for it. Measured effect on fine-tuning: -0.4 points of Jaccard (-2.2 to +1.3)."""
    masking_rate: float = 0.15
    """Fraction of the tokens to predict; of these, 80 % become [MASK], 10 % a random token, and 10 % stay."""
    whole_word_masking: bool = False
    """Whether all word pieces of a word are masked together."""
    epochs: int = 10
    """Passes over the corpus if neither `total_steps` nor `hours` is given; pairs and masks are redrawn in each."""
    total_steps: int | None = None
    """Optimiser steps of the run; replaces `epochs`."""
    hours: float | None = None
    """Training time budget in hours, evaluations included; replaces `epochs`. The number of steps is measured at the start. Reading the corpus and the probe are not included."""
    batch_size: int = 32
    """Examples per optimiser step; small, because the number of steps matters most in a run of minutes."""
    batch_tokens: int | None = None
    """Tokens per optimiser step; replaces `batch_size` for an even amount of work at varying lengths."""
    accumulation_steps: int = 1
    """Micro-batches per optimiser step; saves memory."""
    learning_rate: float | None = None
    """Peak learning rate; default: 1e-3 up to a width of 256, 5e-4 up to 512, 2e-4 above, and 1e-4 to continue from an encoder."""
    warmup_fraction: float = 0.06
    """Fraction of the steps with linear warm-up; afterwards the rate decays linearly to 0."""
    head_fraction: float = 0.05
    """Fraction of the steps in which only new heads are trained, if the encoder to continue from lacks them: the gradients of a random head would damage the encoder."""
    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW; never applied to biases and normalisation weights."""
    beta1: float = 0.9
    """AdamW beta1, the decay of the gradient average."""
    beta2: float = 0.98
    """AdamW beta2, the decay of the squared-gradient average; 0.98 as in RoBERTa, because 0.999 would still remember the first steps at the end of a short run."""
    dropout: float = 0.0
    """Dropout probability during pretraining; 0, because a run of minutes does not overfit. The saved model keeps its configured dropout (0.1 in BERT)."""
    max_gradient_norm: float = 1.0
    """Gradient clipping at this global L2 norm; 0 turns it off."""
    held_out_fraction: float = 0.05
    """Fraction of the documents in the hold-out corpus, chosen by a hash of their text and used for evaluation only."""
    held_out_rows: int = 2048
    """Maximum hold-out examples per evaluation; 2048 give accuracies to about 2 points within seconds."""
    evaluation_steps: int | None = None
    """Evaluation interval in steps; default: ten evaluations per run. The first and last step are always evaluated."""
    checkpoint_steps: int = 500
    """Checkpoint interval in optimiser steps."""
    snapshots: int = 2
    """Intermediate encoders kept for a later probe: after 1/4, 1/16 ... of all steps, besides the initial one; each takes the disk space of the model."""
    seed: int = 0
    """Seed from which all random streams are derived."""
    precision: str = "auto"
    """Training precision: `fp32`, `bf16`, or `auto` (bf16 where the CPU or GPU computes it natively)."""
    execution: str = "auto"
    """`packed` (no padding), `padded`, or `auto` (packed if the self-test of the encoder passes)."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    threads: int | None = None
    """CPU threads; default: torch's choice, less the processors that other programs keep busy at the start. Affects bitwise reproducibility."""
    trackers: tuple[str, ...] = ()
    """Experiment trackers of accelerate that also receive the log, such as tensorboard."""
    probe: TrainOptions = field(default_factory=TrainOptions)
    """Fine-tuning options of the probe: every option of `train` except the encoder; `pooling=auto` means mean pooling, for all compared encoders."""

    def __post_init__(self) -> None:
        shape = re.fullmatch(r"[1-9]\d*x[1-9]\d*", self.encoder_size)
        known = shape is not None or self.encoder_size in _NAMED_SIZES
        expected = f"one of {', '.join(_NAMED_SIZES)}, or layers x width such as 12x512"
        require(known, "encoder_size", self.encoder_size, expected)
        both = self.total_steps is not None and self.hours is not None
        require(
            not both, "hours", self.hours, "none beside total_steps: both set the length of the run"
        )
        _require_choice("language", self.language, ("auto", "en", "zh"))
        _require_choice("execution", self.execution, ("auto", "packed", "padded"))
        _require_choice("precision", self.precision, ("auto", "fp32", "bf16"))
        for name in ("epochs", "batch_size", "accumulation_steps", "checkpoint_steps"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("weight_decay", "max_gradient_norm", "seed", "snapshots"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        for name in ("masking_rate", "held_out_fraction"):
            fraction = getattr(self, name)
            require(0 < fraction < 1, name, fraction, "a number between 0 and 1")
        for name in ("head_fraction", "warmup_fraction", "beta1", "beta2", "dropout"):
            fraction = getattr(self, name)
            require(0 <= fraction < 1, name, fraction, "at least 0 and below 1")
        fraction = self.short_fraction
        require(0 <= fraction <= 1, "short_fraction", fraction, "a number from 0 to 1")
        require(self.max_length >= 8, "max_length", self.max_length, "at least 8")
        require(self.vocab_size >= 10, "vocab_size", self.vocab_size, "at least 10")
        require(self.held_out_rows >= 1, "held_out_rows", self.held_out_rows, "at least 1")
        optional = ("total_steps", "hours", "batch_tokens", "learning_rate", "evaluation_steps")
        for name in (*optional, "threads"):
            value = getattr(self, name)
            require(value is None or value > 0, name, value, "more than 0")
        if self.batch_tokens is not None and self.batch_size != type(self).batch_size:
            raise OptionError(
                f"batch_size={self.batch_size} (examples) and batch_tokens={self.batch_tokens} "
                "(tokens) are mutually exclusive; set only one of them."
            )


def _require_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    require(value in known, name, value, f"one of {', '.join(known)}")
