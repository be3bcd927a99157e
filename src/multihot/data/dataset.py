"""The rows of a run: tokenised once, selected by index, split for validation, and described.

Letters: `M` rows of the origin, `N` rows of a subset, `B` rows of a batch, `L` labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.progress import Listener
from multihot.core.seeding import named_generator
from multihot.core.text_tables import counted, listed
from multihot.core.windows import WindowSettings
from multihot.data.batches import Batch, make_batch
from multihot.data.encode import EncodedRows, encode_file, encode_texts
from multihot.data.examples import Examples
from multihot.data.label_codes import (
    LabelTotals,
    has_known_label,
    is_soft,
    label_totals,
    label_values,
    positive_cells,
    weighted_totals,
)
from multihot.data.labelled_file import LabelledFile
from multihot.data.stratify import split_positives, split_units, units_of
from multihot.data.tokens import TokenizedTexts
from multihot.errors import DataError, MultihotError

__all__ = [
    "EncodedExamples",
    "Labelled",
    "Subset",
    "describe_rows",
    "encode",
    "label_space",
    "with_validation",
]

Labelled = Examples | LabelledFile
"""Labelled rows: in memory, or a file that is read piece by piece."""

IntArray = npt.NDArray[np.int64]

_FEW_ROWS = 50  # below this one row moves a threshold's goal by more than a percent
_HASHES_AT_ONCE = 2**20


@dataclass(frozen=True)
class EncodedExamples:
    """All M rows of an origin as tokens, label codes and hashes; their texts stay in the origin.

    Attributes
    ----------
    origin
        Where the rows came from; read again only to name a row.
    space
        The labels, in the order of the columns of `rows.codes`.
    rows
        The arrays, in memory or in mapped files.
    """

    origin: Labelled
    space: LabelSpace
    rows: EncodedRows

    def __len__(self) -> int:
        return len(self.rows.hashes)

    def names(self, indices: IntArray) -> list[str]:
        """Return id, file (of several) and line of each given row."""
        ids = _ids(self.origin, indices.tolist())
        return [
            f"{ids.get(index, f'row {index + 1}')} ({_file_of(self.origin, index)}line "
            f"{self.rows.lines[index]})"
            for index in indices.tolist()
        ]


@dataclass(frozen=True)
class Subset:
    """Some rows of encoded examples, in an order of their own, as `torch.utils.data.Subset`.

    The arrays of the dataset stay whole; `indices`, (N,), int64, are applied where values are asked
    for.
    """

    dataset: EncodedExamples
    indices: IntArray

    @classmethod
    def whole(cls, dataset: EncodedExamples) -> Subset:
        """Return all rows in their order."""
        return cls(dataset, np.arange(len(dataset)))

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, positions: IntArray) -> Subset:
        """Return the rows at the given positions of this subset, in the given order."""
        return Subset(self.dataset, self.indices[positions])

    @property
    def space(self) -> LabelSpace:
        """The L labels."""
        return self.dataset.space

    @property
    def origin(self) -> Labelled:
        """Where the rows came from."""
        return self.dataset.origin

    @property
    def tokens(self) -> TokenizedTexts:
        """Token ids of all M rows of the dataset."""
        return self.dataset.rows.tokens

    def lengths(self) -> IntArray:
        """Return the tokens of each row. *Shape:* (N,)."""
        return self.tokens.spans(self.indices)[1]

    def window_counts(self) -> IntArray | None:
        """Return the windows of each text; `None` where texts are read at once. *Shape:* (N,)."""
        windows = self.tokens.windows
        return None if windows is None else windows.counts[self.indices]

    def num_truncated(self) -> int:
        """Return how many texts were longer than what is read of them."""
        return int(self.tokens.truncated[self.indices].sum())

    def hashes(self) -> npt.NDArray[np.uint64]:
        """Return the hash of each row. *Shape:* (N,)."""
        return self.dataset.rows.hashes[self.indices]

    def text_hashes(self) -> npt.NDArray[np.uint64] | None:
        """Return the hash of each text, if it is at hand. *Shape:* (N,)."""
        texts = self.dataset.rows.texts
        return None if texts is None else texts[self.indices]

    def labels(self) -> LabelMatrix:
        """Return all label values in memory, at four bytes a cell."""
        return LabelMatrix(self.space, label_values(self.dataset.rows.codes, self.indices))

    def label_totals(self) -> LabelTotals:
        """Count the known cells and the positives of each label."""
        return label_totals(self.dataset.rows.codes, self.indices)

    def weighted_totals(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the positives and the known cells of each label, every row counted by its weight.

        *Shapes:* (L,) each.
        """
        weights = self.weights()
        if weights is None:
            totals = self.label_totals()
            return totals.sums, totals.known.astype(np.float64)
        return weighted_totals(self.dataset.rows.codes, self.indices, weights)

    def weights(self) -> npt.NDArray[np.float32] | None:
        """Return the weight of each row in training, (N,); `None` = 1 each."""
        weights = self.dataset.rows.weights
        return None if weights is None else weights[self.indices]

    def has_known_label(self) -> npt.NDArray[np.bool_]:
        """Return which rows have a known label. *Shape:* (N,)."""
        return has_known_label(self.dataset.rows.codes, self.indices)

    def positive_cells(self) -> npt.NDArray[np.bool_]:
        """Return which rows have which label (above 0.5). *Shape:* (N, L)."""
        return positive_cells(self.dataset.rows.codes, self.indices)

    def batch(self, positions: IntArray, pad_id: int, *, packed: bool) -> Batch:
        """Gather the rows at the given positions, with labels and weights; see `make_batch`."""
        rows, indices = self.dataset.rows, self.indices[positions]
        return make_batch(
            rows.tokens,
            indices,
            pad_id,
            packed=packed,
            labels=label_values(rows.codes, indices),
            weights=None if rows.weights is None else rows.weights[indices],
        )

    def units(self) -> IntArray | None:
        """Return a number for each row, equal where a split must keep rows together; `None` = none.

        *Shape:* (N,), int64.
        """
        if self.dataset.rows.groups is None:
            return None
        groups = self.dataset.rows.groups[self.indices]
        return units_of(np.where(groups == 0, -1, np.unique(groups, return_inverse=True)[1]))

    def fingerprint(self) -> str:
        """Return the SHA-256 over all rows in their order: texts, labels and weights."""
        digest = hashlib.sha256()
        rows = self.dataset.rows
        arrays: list[npt.NDArray[Any]] = [rows.hashes]
        if rows.weights is not None:
            arrays.append(rows.weights)
        if is_soft(rows.codes):  # hashes tell whether a text has a label, no fraction
            arrays.append(rows.codes)
        for array in arrays:
            for start in range(0, len(self), _HASHES_AT_ONCE):
                digest.update(array[self.indices[start : start + _HASHES_AT_ONCE]].tobytes())
        return digest.hexdigest()


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
    windows: WindowSettings | None = None,
    labels_required: bool = True,
) -> Subset:
    """Match the labels to `space` by name and tokenise the texts to `max_length` tokens or windows of them.

    A large file is read in pieces and kept in the cache (see `encode_file`). Raises `DataError` when
    no row has a weight above 0 or, with `labels_required`, a known label.
    """
    if isinstance(labelled, LabelledFile):
        say = (listener or Listener()).say
        rows = encode_file(labelled, space, tokenizer, max_length, say, windows=windows)
    else:
        rows = encode_texts(labelled, space, tokenizer, max_length, windows=windows)
    encoded = Subset.whole(EncodedExamples(labelled, space, rows))
    if labels_required and not encoded.has_known_label().any():
        raise DataError("has no row with a known label.", path=labelled.source)
    if rows.weights is not None and not (rows.weights > 0).any():
        raise DataError("has no row with a weight above 0.", path=labelled.source)
    return encoded


def with_validation(
    training: Subset,
    validation: Subset | None,
    *,
    fraction: float,
    seed: int,
    listener: Listener,
) -> tuple[Subset, Subset]:
    """Return training and validation rows.

    Without `validation`, a stratified `fraction` of the training rows is set aside, drawn from
    `seed`. Rows of one group (`data.split_by`) stay together, so that the number may then be
    another.
    """
    if validation is not None:
        return training, validation
    # Rows without any known label can neither train nor measure anything, so they are not set aside.
    positions = np.flatnonzero(training.has_known_label())
    if len(positions) < 2:
        raise DataError(
            f"has {len(positions)} rows with a known label; training needs at least two, one of them "
            "for validation.",
            path=training.origin.source,
        )
    chosen = positions[_validation_positions(training.take(positions), fraction, seed)]
    kept = np.ones(len(training), dtype=np.bool_)
    kept[chosen] = False
    listener.say(
        f"No validation file: {len(chosen)} of {len(positions)} labelled rows are set aside, "
        "stratified by label, to choose the epoch and fit the thresholds."
    )
    return training.take(np.flatnonzero(kept)), training.take(chosen)


def _validation_positions(labelled: Subset, fraction: float, seed: int) -> IntArray:
    """Return which of the labelled rows are for validation."""
    generator = named_generator(seed, "validation split")
    positive, units = labelled.positive_cells(), labelled.units()
    if units is None:
        return split_positives(positive, fraction, generator)[1]
    if len(np.unique(units)) == 1:
        raise DataError(
            "All rows have one value in data.split_by and must stay together, so that none can be set "
            "aside. Give a validation file of its own.",
            path=labelled.origin.source,
        )
    parts = split_units(positive, units, (1 - fraction, fraction), generator)
    return np.flatnonzero(parts)


def describe_rows(
    train_set: Subset,
    validation_set: Subset | None,
    max_length: int,
    listener: Listener,
    *,
    label_tokens: int = 0,
    taught: bool = False,
) -> None:
    """Report how many rows there are, and which texts, cells and labels need a second look.

    Without `validation_set` all rows are trained on. `label_tokens` of each text's tokens are label
    names. With `taught`, teacher scores stand in for the unknown labels of the training rows.
    """
    parts = [(train_set, "training")]
    if validation_set is not None:
        parts.append((validation_set, "validation"))
    sizes = " and ".join(f"{len(part)} {name}" for part, name in parts)
    listener.say(f"{sizes} rows, {counted(len(train_set.space), 'label')}.")
    totals = [part.label_totals() for part, _ in parts]
    for (part, name), total in zip(parts, totals, strict=True):
        for note in _notes_on_lengths(part, name, max_length, label_tokens):
            listener.say(note)
        if num_unknown := len(part) * len(part.space) - int(total.known.sum()):
            what = "filled with teacher scores" if taught and name == "training" else "masked"
            listener.say(
                f"{counted(num_unknown, f'{name} label cell is', f'{name} label cells are')} unknown and {what}."
            )
    if any(part.window_counts() is None and part.num_truncated() for part, _ in parts):
        listener.say("To read whole texts, in windows whose logits are pooled: windows=max.")
    if validation_set is not None and len(validation_set) < _FEW_ROWS:
        listener.say(
            f"Only {len(validation_set)} validation rows, too few: the selected epoch and thresholds "
            "will have high variance. Label more rows, or use all for training and for thresholds: "
            "--folds 5, without a validation file."
        )
    without = [train_set.space.names[label] for label in np.flatnonzero(totals[0].positives == 0)]
    if without:
        listener.say(f"No training row has these labels: {listed(without)}.")


def _notes_on_lengths(part: Subset, name: str, max_length: int, label_tokens: int) -> Iterator[str]:
    """Yield how many texts are read in several windows, and how many are cut."""
    names = f", of which the label names take {label_tokens}" if label_tokens else ""
    counts, cut = part.window_counts(), part.num_truncated()
    if counts is not None and (several := int((counts > 1).sum())):
        yield (
            f"{counted(several, f'{name} text is', f'{name} texts are')} read in windows of "
            f"max_length={max_length} tokens{names}: {int(counts[counts > 1].sum())} windows, at most "
            f"{int(counts.max())} of one text."
        )
    if cut:
        limit = f"max_length={max_length} tokens{names}" if counts is None else "max_windows"
        yield f"{counted(cut, f'{name} text is', f'{name} texts are')} cut to {limit}."


def _file_of(origin: Labelled, index: int) -> str:
    """Return the file that a row is from, where there are several."""
    for part in origin.parts if isinstance(origin, LabelledFile) else ():
        if index < len(part):
            return f"{part.source}, "
        index -= len(part)
    return ""


def _ids(origin: Labelled, indices: Sequence[int]) -> dict[int, str]:
    """Return the ids of rows by their index; those that a file no longer has are left out."""
    if isinstance(origin, Examples):
        return {index: origin.ids[index] for index in indices}
    ids: dict[int, str] = {}
    start = 0
    try:
        for chunk in origin.chunks():
            ids |= {
                index: chunk.ids[index - start]
                for index in indices
                if start <= index < start + len(chunk)
            }
            start += len(chunk)
            if len(ids) == len(set(indices)):
                break
    except (MultihotError, OSError):
        return ids  # the file is gone or has changed; line numbers are known all the same
    return ids
