"""The rows of a run: set aside, matched by name, tokenised, and described to the user."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from tokenizers import Tokenizer

from multihot.data.records import Examples
from multihot.data.splits import stratified_split
from multihot.data.tokens import TokenizedTexts, tokenize
from multihot.decision.fitted_rows import row_hashes
from multihot.errors import DataError
from multihot.labels import LabelMatrix, LabelSpace
from multihot.listener import Listener
from multihot.randomness import named_generator

__all__ = ["EncodedExamples", "describe_rows", "encode", "with_validation"]

_FEW_ROWS = 50  # below this one row moves a threshold's goal by more than a percent


@dataclass(frozen=True)
class EncodedExamples:
    """Examples with their tokens and their labels in the model's order."""

    examples: Examples
    labels: LabelMatrix
    tokens: TokenizedTexts

    def fingerprint(self) -> str:
        """SHA-256 over all rows in their order."""
        return hashlib.sha256(row_hashes(self.examples.texts, self.labels).tobytes()).hexdigest()


def with_validation(
    training: Examples,
    validation: Examples | None,
    *,
    fraction: float,
    seed: int,
    listener: Listener,
) -> tuple[Examples, Examples]:
    """Return training and validation examples.

    Without `validation`, a stratified `fraction` of the training rows is set aside, drawn from
    `seed`.
    """
    if training.labels is None:
        raise DataError("has no labels to train on.", path=training.source)
    if validation is not None:
        return training, validation
    generator = named_generator(seed, "validation split")
    # Rows without any known label can train nothing and judge nothing, so they are not set aside.
    labelled = np.flatnonzero(training.labels.known.any(axis=1))
    if len(labelled) < 2:
        raise DataError(
            f"has {len(labelled)} rows with a known label; training needs at least two, one of them "
            "for validation.",
            path=training.source,
        )
    _, chosen = stratified_split(training.labels.take(labelled), fraction, generator)
    held_out = labelled[chosen]
    kept = np.setdiff1d(np.arange(len(training)), held_out)
    listener.say(
        f"No validation file: {len(held_out)} of {len(labelled)} labelled rows are set aside, "
        "stratified by label, to choose the epoch and fit the thresholds."
    )
    return training.take(kept), training.take(held_out)


def encode(
    examples: Examples, space: LabelSpace, tokenizer: Tokenizer, max_length: int
) -> EncodedExamples:
    """Match the labels to `space` by name and tokenise the texts to `max_length` tokens."""
    if examples.labels is None:
        raise DataError("has no labels.", path=examples.source)
    labels = examples.labels.aligned_to(space)
    if not labels.known.any():
        raise DataError("has no row with a known label.", path=examples.source)
    tokens = tokenize(tokenizer, examples.texts, max_length)
    return EncodedExamples(replace(examples, labels=labels), labels, tokens)


def describe_rows(
    train_set: EncodedExamples, held_out: EncodedExamples, max_length: int, listener: Listener
) -> None:
    """Say how many rows there are, and which texts, cells and labels need a second look."""
    listener.say(
        f"{len(train_set.tokens)} training and {len(held_out.tokens)} validation rows, "
        f"{len(train_set.labels.space)} labels."
    )
    for part, name in ((train_set, "training"), (held_out, "validation")):
        if cut := int(part.tokens.truncated.sum()):
            listener.say(f"{cut} {name} texts are cut to max_length={max_length} tokens.")
        if num_unknown := int((~part.labels.known).sum()):
            listener.say(f"{num_unknown} {name} label cells are unknown and masked.")
    if len(held_out.tokens) < _FEW_ROWS:
        listener.say(
            f"Only {len(held_out.tokens)} validation rows choose the epoch and the thresholds: both "
            "will follow chance. Label more rows, or raise validation_fraction."
        )
    without = _without_positives(train_set.labels)
    if without:
        listener.say(f"No training row has these labels: {', '.join(without)}.")


def _without_positives(labels: LabelMatrix) -> list[str]:
    return [
        name
        for name, count in zip(labels.space.names, labels.positives(), strict=True)
        if count == 0
    ]
