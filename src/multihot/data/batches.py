"""Which rows go together, and their padded or packed arrays.

Letters: `B` rows of a batch, `S` tokens of its longest row, `T` tokens of all its rows, `L` labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.data.tokens import TokenizedTexts

__all__ = [
    "Batch",
    "PackedBatch",
    "epoch_batches",
    "length_sorted_batches",
    "make_batch",
    "packed_batch",
    "padded_batch",
]

_BUCKET_BATCHES = 50  # batches whose rows are sorted by length together; the rest stays random


@dataclass(frozen=True)
class Batch:
    """Rows padded to the longest of them.

    Attributes
    ----------
    rows
        *Shape:* (B,), int64. Row numbers in the data.
    input_ids
        *Shape:* (B, S), int64.
    attention_mask
        *Shape:* (B, S), int64; 1 = token, 0 = padding.
    labels
        *Shape:* (B, L), float32 with NaN = unknown; `None` for prediction.
    """

    rows: npt.NDArray[np.int64]
    input_ids: npt.NDArray[np.int64]
    attention_mask: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float32] | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens without padding."""
        return int(self.attention_mask.sum())

    @property
    def texts(self) -> list[npt.NDArray[np.int64]]:
        """Token ids of each row, without padding."""
        lengths = self.attention_mask.sum(axis=1)
        return [ids[:length] for ids, length in zip(self.input_ids, lengths, strict=True)]


@dataclass(frozen=True)
class PackedBatch:
    """Rows one after the other, without padding.

    Attributes
    ----------
    rows
        *Shape:* (B,), int64. Row numbers in the data.
    input_ids
        *Shape:* (T,), int64.
    cu_seq_lens
        *Shape:* (B + 1,), int64. Row `n` is `input_ids[cu_seq_lens[n]:cu_seq_lens[n + 1]]`.
    labels
        *Shape:* (B, L), float32 with NaN = unknown; `None` for prediction.
    """

    rows: npt.NDArray[np.int64]
    input_ids: npt.NDArray[np.int64]
    cu_seq_lens: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float32] | None = None

    @property
    def num_tokens(self) -> int:
        """T."""
        return len(self.input_ids)

    @property
    def texts(self) -> list[npt.NDArray[np.int64]]:
        """Token ids of each row."""
        return np.split(self.input_ids, self.cu_seq_lens[1:-1])


def epoch_batches(
    lengths: npt.NDArray[np.int64],
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    length_bucketing: bool,
) -> list[npt.NDArray[np.int64]]:
    """Return the batches of one epoch as arrays of row numbers; a pure function of its arguments.

    Every row occurs once. With `length_bucketing`, rows are shuffled, sorted by length inside
    windows of 50 batches, and the batches shuffled again.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    if not length_bucketing:
        return _cut(order, batch_size)
    batches: list[npt.NDArray[np.int64]] = []
    for window in _cut(order, batch_size * _BUCKET_BATCHES):
        by_length = window[np.argsort(lengths[window], kind="stable")]
        batches += _cut(by_length, batch_size)
    return [batches[position] for position in generator.permutation(len(batches))]


def length_sorted_batches(
    lengths: npt.NDArray[np.int64], token_budget: int, max_rows: int = 256
) -> list[npt.NDArray[np.int64]]:
    """Return batches of similar length for prediction, longest first.

    A batch holds at most `max_rows` rows and `token_budget` tokens, padding included (but at least
    one row).
    """
    order = np.argsort(-lengths, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        num_rows = min(max_rows, max(1, token_budget // longest))
        batches.append(order[start : start + num_rows])
        start += num_rows
    return batches


def padded_batch(
    tokenized: TokenizedTexts,
    rows: npt.NDArray[np.int64],
    pad_id: int,
    labels: npt.NDArray[np.float32] | None = None,
) -> Batch:
    """Gather `rows` and pad them on the right with `pad_id` to the longest of them."""
    lengths = tokenized.lengths[rows]
    positions = np.arange(int(lengths.max(initial=0)))
    attention_mask = positions[None, :] < lengths[:, None]
    input_ids = np.full(attention_mask.shape, pad_id, dtype=np.int64)
    starts = tokenized.offsets[rows]
    input_ids[attention_mask] = tokenized.ids[
        (starts[:, None] + positions[None, :])[attention_mask]
    ]
    return Batch(
        rows,
        input_ids,
        attention_mask.astype(np.int64),
        None if labels is None else labels[rows],
    )


def packed_batch(
    tokenized: TokenizedTexts,
    rows: npt.NDArray[np.int64],
    labels: npt.NDArray[np.float32] | None = None,
) -> PackedBatch:
    """Gather `rows` one after the other."""
    starts = tokenized.offsets[rows]
    lengths = tokenized.offsets[rows + 1] - starts
    cu_seq_lens = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(cu_seq_lens[-1]) + np.repeat(starts - cu_seq_lens[:-1], lengths)
    return PackedBatch(
        rows,
        tokenized.ids[places].astype(np.int64),
        cu_seq_lens,
        None if labels is None else labels[rows],
    )


def make_batch(
    tokenized: TokenizedTexts,
    rows: npt.NDArray[np.int64],
    pad_id: int,
    labels: npt.NDArray[np.float32] | None = None,
    *,
    packed: bool,
) -> Batch | PackedBatch:
    """Gather `rows` packed or padded; rows without any token have no place in a packed batch."""
    if packed and bool((tokenized.offsets[rows + 1] > tokenized.offsets[rows]).all()):
        return packed_batch(tokenized, rows, labels)
    return padded_batch(tokenized, rows, pad_id, labels)


def _cut(rows: npt.NDArray[np.int64], size: int) -> list[npt.NDArray[np.int64]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
