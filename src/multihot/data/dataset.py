"""The rows of a run: tokenised once, matched by name, set aside, and described to the user."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from multihot.core.labels import LabelSpace
from multihot.core.progress import Listener
from multihot.core.seeding import named_generator
from multihot.data.array_store import EncodedRows
from multihot.data.encode import encode_file, encode_texts
from multihot.data.examples import Examples
from multihot.data.label_codes import LabelCells
from multihot.data.labelled_file import LabelledFile
from multihot.data.stratify import split_positives, split_units, units_of
from multihot.data.tokens import TokenizedTexts
from multihot.errors import DataError, MultihotError

__all__ = [
    "EncodedExamples",
    "Labelled",
    "describe_rows",
    "encode",
    "label_space",
    "with_validation",
]

Labelled = Examples | LabelledFile
"""Labelled rows: in memory, or a file that is read piece by piece."""

_FEW_ROWS = 50  # below this one row moves a threshold's goal by more than a percent
_HASHES_AT_ONCE = 2**20
_CHUNK_ROWS = 1024


@dataclass(frozen=True)
class EncodedExamples:
    """Tokens, labels in the model's order, and hashes of N rows; their texts stay where they came from.

    Attributes
    ----------
    origin
        Where the rows came from; asked again only to name a row to people.
    stored
        All rows of the origin, in memory or in mapped files.
    tokens, labels
        Those of the N rows.
    places
        *Shape:* (N,), int64. Where in `stored` each row is; `None` = all, in their order.
    """

    origin: Labelled
    stored: EncodedRows
    tokens: TokenizedTexts
    labels: LabelCells
    places: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: npt.NDArray[np.int64]) -> EncodedExamples:
        """Return the given rows in the given order; only their places are copied."""
        places = rows if self.places is None else self.places[rows]
        # One array of places serves both views.
        tokens = replace(self.stored.tokens.take(places), rows=places)
        labels = LabelCells(self.labels.space, self.stored.codes, places)
        return replace(self, tokens=tokens, labels=labels, places=places)

    def hashes(self) -> npt.NDArray[np.uint64]:
        """Return the hash of each row. *Shape:* (N,)."""
        return self.stored.hashes if self.places is None else self.stored.hashes[self.places]

    def weights_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32] | None:
        """Return what the given rows count in training, `None` = 1 each. *Shapes:* (B,) -> (B,)."""
        if self.stored.weights is None:
            return None
        return self.stored.weights[rows if self.places is None else self.places[rows]]

    def units(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
        """Return a number for each given row, equal where a split must not part them; `None` = none.

        *Shapes:* (B,) -> (B,), int64.
        """
        if self.stored.groups is None:
            return None
        groups = self.stored.groups[rows if self.places is None else self.places[rows]]
        return units_of(np.where(groups == 0, -1, np.unique(groups, return_inverse=True)[1]))

    def fingerprint(self) -> str:
        """SHA-256 over all rows in their order: texts, labels and weights."""
        digest = hashlib.sha256()
        stored = self.stored
        arrays: list[npt.NDArray[Any] | None] = [stored.hashes, stored.weights]
        if stored.codes.dtype == np.float32:  # the hashes know whether a text has a label, no more
            arrays.append(stored.codes)
        for array in arrays:
            for start in range(0, 0 if array is None else len(self), _HASHES_AT_ONCE):
                part = slice(start, start + _HASHES_AT_ONCE)
                assert array is not None
                digest.update(array[part if self.places is None else self.places[part]].tobytes())
        return digest.hexdigest()

    def names(self, rows: npt.NDArray[np.int64]) -> list[str]:
        """Return id and line of each given row, as people find it in their file."""
        places = (rows if self.places is None else self.places[rows]).tolist()
        ids = _ids(self.origin, places)
        return [
            f"{ids.get(place, f'row {place + 1}')} ({_file_of(self.origin, place)}line "
            f"{self.stored.lines[place]})"
            for place in places
        ]


def label_space(labelled: Labelled) -> LabelSpace:
    """Return the labels of training rows; raise `DataError` where there are none."""
    if isinstance(labelled, LabelledFile):
        return labelled.space
    if labelled.labels is None:
        raise DataError("has no labels to train on.", path=labelled.source)
    return labelled.labels.space


def encode(
    labelled: Labelled,
    space: LabelSpace,
    tokenizer: Tokenizer,
    max_length: int,
    listener: Listener | None = None,
    *,
    labels_required: bool = True,
) -> EncodedExamples:
    """Match the labels to `space` by name and tokenise the texts to `max_length` tokens.

    A large file is read in pieces and kept in the cache (see `encode_file`). Raises `DataError` when
    no row has a weight above 0 or, unless others will teach them, a known label.
    """
    if isinstance(labelled, LabelledFile):
        say = (listener or Listener()).say
        stored = encode_file(labelled, space, tokenizer, max_length, say)
    else:
        stored = encode_texts(labelled, space, tokenizer, max_length)
    found = EncodedExamples(labelled, stored, stored.tokens, LabelCells(space, stored.codes))
    if labels_required and not found.labels.labelled().any():
        raise DataError("has no row with a known label.", path=labelled.source)
    if stored.weights is not None and not (stored.weights > 0).any():
        raise DataError("has no row with a weight above 0.", path=labelled.source)
    return found


def with_validation(
    training: EncodedExamples,
    validation: EncodedExamples | None,
    *,
    fraction: float,
    seed: int,
    listener: Listener,
) -> tuple[EncodedExamples, EncodedExamples]:
    """Return training and validation rows.

    Without `validation`, a stratified `fraction` of the training rows is set aside, drawn from
    `seed`. Rows of one group (`data.split_by`) stay together, so that the number set aside may then
    be another.
    """
    if validation is not None:
        return training, validation
    generator = named_generator(seed, "validation split")
    # Rows without any known label can train nothing and judge nothing, so they are not set aside.
    labelled = np.flatnonzero(training.labels.labelled())
    if len(labelled) < 2:
        raise DataError(
            f"has {len(labelled)} rows with a known label; training needs at least two, one of them "
            "for validation.",
            path=training.origin.source,
        )
    positive, units = training.labels.is_positive(labelled), training.units(labelled)
    if units is None:
        _, chosen = split_positives(positive, fraction, generator)
    elif len(np.unique(units)) > 1:
        chosen = np.flatnonzero(split_units(positive, units, (1 - fraction, fraction), generator))
    else:
        raise DataError(
            "All rows have one value in data.split_by and must stay together, so that none can be set "
            "aside. Give a validation file of its own.",
            path=training.origin.source,
        )
    held_out = labelled[chosen]
    kept = np.ones(len(training), dtype=np.bool_)
    kept[held_out] = False
    listener.say(
        f"No validation file: {len(held_out)} of {len(labelled)} labelled rows are set aside, "
        "stratified by label, to choose the epoch and fit the thresholds."
    )
    return training.take(np.flatnonzero(kept)), training.take(held_out)


def describe_rows(
    train_set: EncodedExamples,
    held_out: EncodedExamples | None,
    max_length: int,
    listener: Listener,
    *,
    label_tokens: int = 0,
    taught: bool = False,
) -> None:
    """Say how many rows there are, and which texts, cells and labels need a second look.

    Without `held_out` all rows are trained on. `label_tokens` of each text's tokens are label names.
    With `taught` a teacher will say something of the unknown labels of the training rows.
    """
    names = f", of which the label names take {label_tokens}" if label_tokens else ""
    parts = [(train_set, "training")]
    if held_out is not None:
        parts.append((held_out, "validation"))
    counts = " and ".join(f"{len(part)} {name}" for part, name in parts)
    listener.say(f"{counts} rows, {len(train_set.labels.space)} labels.")
    for part, name in parts:
        if cut := int(part.tokens.truncated.sum()):
            listener.say(f"{cut} {name} texts are cut to max_length={max_length} tokens{names}.")
        if num_unknown := part.labels.num_unknown():
            what = "left to the teacher" if taught and part is train_set else "masked"
            listener.say(f"{num_unknown} {name} label cells are unknown and {what}.")
    if held_out is not None and len(held_out) < _FEW_ROWS:
        listener.say(
            f"Only {len(held_out)} validation rows choose the epoch and the thresholds: both "
            "will follow chance. Label more rows, or raise validation_fraction."
        )
    without = _without_positives(train_set.labels)
    if without:
        listener.say(f"No training row has these labels: {', '.join(without)}.")


def _without_positives(labels: LabelCells) -> list[str]:
    return [
        name
        for name, count in zip(labels.space.names, labels.positives(), strict=True)
        if count == 0
    ]


def _file_of(origin: Labelled, place: int) -> str:
    """Return the file that a row is from, where there are several."""
    for part in origin.parts if isinstance(origin, LabelledFile) else ():
        if place < len(part):
            return f"{part.source}, "
        place -= len(part)
    return ""


def _ids(origin: Labelled, places: Sequence[int]) -> dict[int, str]:
    """Return the ids of rows by their place; those that a file no longer has are left out."""
    if isinstance(origin, Examples):
        return {place: origin.ids[place] for place in places}
    found: dict[int, str] = {}
    start = 0
    try:
        for chunk in origin.chunks(_CHUNK_ROWS):
            ids = dict(enumerate(chunk.ids, start))
            found |= {place: ids[place] for place in places if place in ids}
            start += len(chunk)
            if len(found) == len(set(places)):
                break
    except (
        MultihotError,
        OSError,
    ):  # the file is gone or has changed; the lines are known all the same
        return found
    return found
