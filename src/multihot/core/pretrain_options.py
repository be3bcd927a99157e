"""The options of pretraining; see `options` for what all options have in common.

The defaults suit a run of minutes to hours on a few processor cores; the recipes raise them for
cards.
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
    """Encoder to go on from: `starter`, a folder or a hub name; default: a new one of `encoder_size`."""
    encoder_size: str = "mini"
    """Size of a new encoder: tiny, mini, small, medium, base, or layers x width such as 12x512; mini (4 layers of 256) is the largest that learns from a corpus of books in minutes on a processor."""
    tokenizer: str | None = None
    """Tokenizer of a new encoder: a folder or a hub name; default: one is trained on the corpus first."""
    vocab_size: int = 8192
    """Entries of a tokenizer that is trained; a quarter of BERT's, because in a small model the vectors of rare words would be most of the weights and hardly be trained."""
    lowercase: bool = True
    """Whether a tokenizer that is trained drops case and accents."""
    language: str = "auto"
    """How passages are cut into sentences: `en`, `zh`, or `auto` (by the characters of each passage)."""
    max_length: int = 128
    """Longest example in tokens, special tokens included; BERT itself spent 90 % of its steps at 128."""
    short_fraction: float = 0.1
    """Share of the examples that are made shorter at random, so that short texts are no surprise."""
    next_sentence: bool | None = None
    """Whether sentence pairs are made and the next-sentence task is learnt; default: yes, unless the encoder to go on from has no head for it."""
    masking_rate: float = 0.15
    """Share of the tokens to predict; of these 80 % become [MASK], 10 % another token, 10 % stay."""
    whole_word_masking: bool = False
    """Whether all pieces of a word are masked together."""
    epochs: int = 10
    """Passes over the corpus when neither `total_steps` nor `hours` is given; pairs and masks are drawn anew in each."""
    total_steps: int | None = None
    """Optimiser steps of the run, instead of `epochs`."""
    hours: float | None = None
    """Time for training with its evaluations, instead of `epochs`; the steps it allows are measured at the start. Reading the corpus and a probe come on top."""
    batch_size: int = 32
    """Examples per optimiser step; small, because in a run of minutes the number of steps counts most."""
    batch_tokens: int | None = None
    """Tokens per optimiser step, instead of `batch_size`: an even amount of work whatever the lengths."""
    accumulation_steps: int = 1
    """Micro-batches that one optimiser step is computed in; saves memory."""
    learning_rate: float | None = None
    """Peak learning rate; default: 1e-3 up to a width of 256, 5e-4 up to 512, 2e-4 above, and 1e-4 when going on from an encoder."""
    warmup_fraction: float = 0.06
    """Share of all steps in which the learning rate rises; afterwards it falls to 0."""
    head_fraction: float = 0.05
    """Share of the steps that train new heads only, when the encoder to go on from lacks them: a random head would at first teach it wrong things."""
    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW; never applied to biases and normalisation weights."""
    beta1: float = 0.9
    """AdamW's memory of gradients."""
    beta2: float = 0.98
    """AdamW's memory of squared gradients; shorter than its usual 0.999 (as in RoBERTa), which would still hold the first steps at the end of a short run."""
    dropout: float = 0.0
    """Share of values dropped while pretraining; 0, because in a run of minutes no text comes often enough to be learnt by heart. The saved model keeps the share it was made for (0.1 in BERT)."""
    max_gradient_norm: float = 1.0
    """Gradients are scaled down to this L2 norm; 0 turns clipping off."""
    held_out_fraction: float = 0.05
    """Share of the documents, chosen by a hash of their text, that only evaluation sees."""
    held_out_rows: int = 2048
    """Held-out examples of an evaluation at most; these make accuracies certain to about 2 points and take seconds."""
    evaluation_steps: int | None = None
    """Evaluate every so many steps; default: ten times in the run. Start and end always are."""
    checkpoint_steps: int = 500
    """Write a checkpoint every so many optimiser steps."""
    snapshots: int = 2
    """Encoders kept on the way for a later probe: after 1/4, 1/16 ... of all steps, besides the one before the first; each takes as much room as the model."""
    seed: int = 0
    """The one seed that every random stream is derived from."""
    precision: str = "auto"
    """`fp32`, `bf16`, or `auto` (bf16 where the processor or card computes it natively)."""
    execution: str = "auto"
    """`packed` (no padding is computed), `padded`, or `auto` (packed where a check finds it equal)."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`."""
    threads: int | None = None
    """Processor threads; default: what torch chooses. Part of the run: another number, other last bits."""
    trackers: tuple[str, ...] = ()
    """Trackers of accelerate that also receive the log, such as tensorboard."""
    probe: TrainOptions = field(default_factory=TrainOptions)
    """How the probe fine-tunes: every option of `train`, its encoder aside; `pooling=auto` means the mean here, for all alike."""

    def __post_init__(self) -> None:
        shape = re.fullmatch(r"[1-9]\d*x[1-9]\d*", self.encoder_size)
        known = shape is not None or self.encoder_size in _NAMED_SIZES
        expected = f"one of {', '.join(_NAMED_SIZES)}, or layers x width such as 12x512"
        require(known, "encoder_size", self.encoder_size, expected)
        both = self.total_steps is not None and self.hours is not None
        require(not both, "hours", self.hours, "none beside total_steps: both say when to end")
        _require_choice("language", self.language, ("auto", "en", "zh"))
        _require_choice("execution", self.execution, ("auto", "packed", "padded"))
        _require_choice("precision", self.precision, ("auto", "fp32", "bf16"))
        for name in ("epochs", "batch_size", "accumulation_steps", "checkpoint_steps"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("weight_decay", "max_gradient_norm", "seed", "snapshots"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        for name in ("masking_rate", "held_out_fraction"):
            share = getattr(self, name)
            require(0 < share < 1, name, share, "a number between 0 and 1")
        for name in ("head_fraction", "warmup_fraction", "beta1", "beta2", "dropout"):
            share = getattr(self, name)
            require(0 <= share < 1, name, share, "at least 0 and below 1")
        share = self.short_fraction
        require(0 <= share <= 1, "short_fraction", share, "a number from 0 to 1")
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
                "(tokens) exclude each other: leave one of them out."
            )


def _require_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    require(value in known, name, value, f"one of {', '.join(known)}")
