"""Which rows go together, and their padded or packed arrays.

Letters: `N` rows of the data, `B` rows of a batch, `W` windows of all its rows, which are the rows
themselves unless long texts are cut into several, `S` tokens of the longest of them, `T` tokens of all
together, `L` labels.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multihot.data.tokens import TokenizedTexts

__all__ = [
    "Batch",
    "EpochBatches",
    "budget_bounds",
    "epoch_batches",
    "length_sorted_batches",
    "make_batch",
    "share_of",
]

IndexArray = npt.NDArray[np.int64]

_BUCKET_BATCHES = 50  # batches whose rows are sorted by length together; the rest stays random


@dataclass(frozen=True)
class Batch:
    """Rows padded to the longest of them, or packed: one after the other, without padding.

    Attributes
    ----------
    rows
        *Shape:* (B,), int64. Their indices in the arrays that they were gathered from.
    input_ids
        *Shape:* padded (W, S), packed (T,), int64.
    attention_mask
        *Shape:* (W, S), int64; 1 = token, 0 = padding. `None` = packed.
    cu_seq_lens
        *Shape:* (W + 1,), int64. Packed window `n` is `input_ids[cu_seq_lens[n]:cu_seq_lens[n + 1]]`.
        `None` = padded.
    labels
        *Shape:* (B, L), float32 between 0 and 1, NaN = unknown; `None` for prediction.
    weights
        *Shape:* (B,), float32. Weight of each row in training; `None` = 1 each.
    text_of_window
        *Shape:* (W,), int64. Number in the batch, from 0, of the row that each window is from, ascending;
        `None` = each row is one window.
    """

    rows: IndexArray
    input_ids: IndexArray
    attention_mask: IndexArray | None = None
    cu_seq_lens: IndexArray | None = None
    labels: npt.NDArray[np.float32] | None = None
    weights: npt.NDArray[np.float32] | None = None
    text_of_window: IndexArray | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens without padding."""
        return (
            len(self.input_ids) if self.attention_mask is None else int(self.attention_mask.sum())
        )

    @property
    def texts(self) -> list[IndexArray]:
        """Token ids of each window, without padding."""
        if self.attention_mask is None:
            assert self.cu_seq_lens is not None
            return np.split(self.input_ids, self.cu_seq_lens[1:-1])
        lengths = self.attention_mask.sum(axis=1)
        return [ids[:length] for ids, length in zip(self.input_ids, lengths, strict=True)]


@dataclass(frozen=True)
class EpochBatches:
    """The batches of one epoch, cut from one array when they are asked for.

    Attributes
    ----------
    order
        *Shape:* (N,), int64. Row numbers, the rows of a batch side by side.
    bounds
        *Shape:* (batches + 1,), int64. Where in `order` each batch begins, and the end.
    turns
        *Shape:* (batches,), int64. Which batch comes when; `None` = as they lie in `order`.
    """

    order: IndexArray
    bounds: IndexArray
    turns: IndexArray | None = None

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, position: int) -> IndexArray:
        """Return the row numbers of the batch at this position."""
        if not 0 <= position < len(self):
            raise IndexError(position)
        number = position if self.turns is None else self.turns[position]
        return self.order[self.bounds[number] : self.bounds[number + 1]]

    def __iter__(self) -> Iterator[IndexArray]:
        return (self[position] for position in range(len(self)))


def epoch_batches(
    lengths: IndexArray,
    batch_size: int,
    *,
    batch_tokens: int | None = None,
    seed: int,
    epoch: int,
    length_bucketing: bool,
) -> EpochBatches:
    """Return the batches of one epoch; a pure function of its arguments.

    Every row occurs once. With `length_bucketing`, rows are shuffled, sorted by length inside
    windows of 50 batches, and the batches shuffled again.

    Parameters
    ----------
    lengths
        *Shape:* (N,). Tokens of each row.
    batch_size
        Rows of a batch; without meaning when `batch_tokens` is set.
    batch_tokens
        Tokens of a batch at most, padding not counted: rows are taken in their order as long as
        they fit. A single longer row is a batch by itself. The number of batches may then differ
        from epoch to epoch.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    if length_bucketing:
        rows = batch_size if batch_tokens is None else _rows_within(lengths, batch_tokens)
        window = rows * _BUCKET_BATCHES
        for start in range(0, len(order), window):
            part = order[start : start + window]
            order[start : start + window] = part[np.argsort(lengths[part], kind="stable")]
    if batch_tokens is None:
        bounds = np.append(np.arange(0, len(order), batch_size), len(order))
    else:
        bounds = budget_bounds(lengths[order], batch_tokens)
    turns = generator.permutation(len(bounds) - 1) if length_bucketing else None
    return EpochBatches(order, bounds, turns)


def _rows_within(lengths: IndexArray, batch_tokens: int) -> int:
    """Return how many rows of mean length a budget holds, at least one."""
    return max(1, int(batch_tokens * len(lengths) // max(1, int(lengths.sum()))))


def budget_bounds(lengths: IndexArray, batch_tokens: int) -> IndexArray:
    """Return where to cut rows of these lengths, so that as many as fit are together; *shape* (batches + 1,)."""
    ends = np.cumsum(lengths)
    bounds = [0]
    while bounds[-1] < len(ends):
        start = bounds[-1]
        before = int(ends[start - 1]) if start else 0
        fitting = int(np.searchsorted(ends, before + batch_tokens, side="right"))
        bounds.append(max(start + 1, fitting))
    return np.array(bounds, dtype=np.int64)


def share_of(lengths: IndexArray, rank: int, count: int) -> IndexArray:
    """Return the positions of the rows that one of several processes takes, in their order.

    The longest row goes first, each to the process with the fewest tokens so far (Graham 1969): every
    row to exactly one. With fewer rows than processes some take none.
    """
    if count == 1:
        return np.arange(len(lengths))
    loads = [(0, number) for number in range(count)]
    taken = []
    for position in np.argsort(-lengths, kind="stable"):
        load, number = heapq.heappop(loads)
        heapq.heappush(loads, (load + int(lengths[position]), number))
        if number == rank:
            taken.append(position)
    return np.sort(np.array(taken, dtype=np.int64))


def length_sorted_batches(
    lengths: IndexArray, token_budget: int, max_rows: int = 256
) -> list[IndexArray]:
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


def make_batch(
    tokenized: TokenizedTexts,
    rows: IndexArray,
    pad_id: int,
    *,
    packed: bool,
    labels: npt.NDArray[np.float32] | None = None,
    weights: npt.NDArray[np.float32] | None = None,
) -> Batch:
    """Gather the tokens of `rows`, packed or padded; with a row of no tokens always padded.

    `labels` and `weights` are those of the rows already: (B, L) and (B,).
    """
    text_of_window: IndexArray | None = None
    starts, lengths = tokenized.spans(rows)
    if tokenized.windows is not None:
        windows, first = tokenized.windows.of_texts(rows)
        if len(windows) > len(rows):
            starts, lengths = tokenized.by_window().spans(windows)
            text_of_window = np.repeat(np.arange(len(rows)), np.diff(first))
    if packed and bool((lengths > 0).all()):
        input_ids, cu_seq_lens = _packed(tokenized.ids, starts, lengths)
        return Batch(rows, input_ids, None, cu_seq_lens, labels, weights, text_of_window)
    input_ids, attention_mask = _padded(tokenized.ids, starts, lengths, pad_id)
    return Batch(rows, input_ids, attention_mask, None, labels, weights, text_of_window)


def _padded(
    ids: npt.NDArray[np.unsignedinteger], starts: IndexArray, lengths: IndexArray, pad_id: int
) -> tuple[IndexArray, IndexArray]:
    """Return input ids and attention mask. *Shapes:* (B, S) each."""
    positions = np.arange(int(lengths.max(initial=0)))
    is_token = positions[None, :] < lengths[:, None]
    input_ids = np.full(is_token.shape, pad_id, dtype=np.int64)
    input_ids[is_token] = ids[(starts[:, None] + positions[None, :])[is_token]]
    return input_ids, is_token.astype(np.int64)


def _packed(
    ids: npt.NDArray[np.unsignedinteger], starts: IndexArray, lengths: IndexArray
) -> tuple[IndexArray, IndexArray]:
    """Return input ids, (T,), and where each row begins, (B + 1,)."""
    cu_seq_lens = np.concatenate([[0], np.cumsum(lengths)])
    positions = np.arange(cu_seq_lens[-1]) + np.repeat(starts - cu_seq_lens[:-1], lengths)
    return ids[positions].astype(np.int64), cu_seq_lens
