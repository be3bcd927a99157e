"""What pretraining passes to the loop: its steps, its loss, and the names of its examples.

Letters: `B` examples of a batch, `S` tokens of the longest, `T` tokens of all together, `M` masked
tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from multihot.core.seeding import named_generator
from multihot.data.batches import share_of
from multihot.data.corpus.masking import MaskedBatch, MaskVocabulary, mask_batch
from multihot.data.corpus.pairs import Pairs, make_pairs
from multihot.data.corpus.tokenize import CorpusTokens
from multihot.models.packed.layout import Packing, lay_out
from multihot.models.pretraining.loss import step_loss
from multihot.models.pretraining.network import pretraining_loss
from multihot.training.loop import Step
from multihot.training.ranks import ALONE, Ranks

__all__ = [
    "BatchTensors",
    "ExampleSource",
    "MlmNspLoss",
    "PretrainingBatch",
    "explain_batch",
    "masked_batch_tensors",
    "prefetched",
]

_SHOWN_ROWS = 8

T = TypeVar("T")


@dataclass(frozen=True)
class PretrainingBatch:
    """A micro-batch and what the whole optimiser step holds."""

    masked: MaskedBatch
    masked_in_step: int
    pairs_in_step: int

    @property
    def num_tokens(self) -> int:
        """Tokens without padding."""
        return len(self.masked.input_ids)


@dataclass(frozen=True)
class ExampleSource:
    """Examples of a corpus, epoch by epoch and step by step.

    Every epoch has its own pairs and order, every step its own masks, each drawn from a stream of
    its own: what a step holds is a function of the seed, the epoch and the step alone.
    """

    corpus: CorpusTokens
    vocabulary: MaskVocabulary
    max_length: int
    short_fraction: float
    next_sentence: bool
    masking_rate: float
    whole_word_masking: bool
    batch_size: int
    batch_tokens: int | None
    accumulation_steps: int
    seed: int

    def pairs(self, epoch: int, stream: str = "pairs") -> Pairs:
        """Return the pairs of an epoch."""
        return make_pairs(
            self.corpus,
            max_length=self.max_length,
            short_fraction=self.short_fraction,
            next_sentence=self.next_sentence,
            generator=named_generator(self.seed, stream, epoch),
        )

    def batches(self, pairs: Pairs, epoch: int) -> list[npt.NDArray[np.int64]]:
        """Return the rows of each step of an epoch, shuffled."""
        generator = named_generator(self.seed, "order", epoch)
        order = generator.permutation(len(pairs))
        if self.batch_tokens is None:
            cuts = np.arange(self.batch_size, len(order), self.batch_size)
        else:
            ends = np.cumsum(pairs.lengths[order])
            cuts = np.flatnonzero(np.diff((ends - 1) // self.batch_tokens)) + 1
        return np.split(order, cuts)

    def num_steps(self) -> int:
        """Return the steps of the first epoch; other epochs have about as many."""
        return len(self.batches(self.pairs(1), 1))

    def mask(
        self, pairs: Pairs, rows: npt.NDArray[np.int64], generator: np.random.Generator
    ) -> MaskedBatch:
        """Gather examples and mask them."""
        return mask_batch(
            self.corpus,
            pairs,
            rows,
            self.vocabulary,
            masking_rate=self.masking_rate,
            whole_word=self.whole_word_masking,
            generator=generator,
        )

    def steps_after(
        self, last_step: int, *, epoch: int = 1, epoch_began: int = 0, ranks: Ranks = ALONE
    ) -> Iterator[Step[PretrainingBatch]]:
        """Yield every step after `last_step`, without end; the caller stops.

        Parameters
        ----------
        last_step
            Steps that are done.
        epoch, epoch_began
            The epoch of `last_step` and the number of steps before it; makes resuming quick.
        ranks
            Each of several processes gets a share of the examples of every step.
        """
        while True:
            pairs = self.pairs(epoch)
            batches = self.batches(pairs, epoch)
            for position in range(max(0, last_step - epoch_began), len(batches)):
                number = epoch_began + position + 1
                is_last = position == len(batches) - 1
                rows = batches[position]
                parts = self.step(pairs, rows, number)
                num_tokens = sum(part.num_tokens for part in parts)
                yield Step(number, epoch, is_last, _shares(parts, ranks), num_tokens)
            epoch, epoch_began = epoch + 1, epoch_began + len(batches)

    def step(
        self, pairs: Pairs, rows: npt.NDArray[np.int64], number: int
    ) -> list[PretrainingBatch]:
        """Return the micro-batches of the step called `number`."""
        generator = named_generator(self.seed, "masks", number)
        parts = np.array_split(rows, min(self.accumulation_steps, len(rows)))
        masked = [self.mask(pairs, part, generator) for part in parts]
        num_masked = sum(len(batch.masked_labels) for batch in masked)
        return [PretrainingBatch(batch, num_masked, len(rows)) for batch in masked]


def _shares(parts: list[PretrainingBatch], ranks: Ranks) -> list[PretrainingBatch]:
    """Return what one of several processes takes of the micro-batches of a step, masks included."""
    if ranks.count == 1:
        return parts
    found = []
    for part in parts:
        own = share_of(np.diff(part.masked.cu_seq_lens), ranks.rank, ranks.count)
        if len(own):
            found.append(replace(part, masked=part.masked.take(own)))
    return found


@dataclass(frozen=True)
class BatchTensors:
    """A batch on its device.

    Attributes
    ----------
    input_ids, token_type_ids
        *Shape:* (T,), int64, when packed, or (B, S).
    layout
        The packing, or the attention mask, (B, S).
    masked_positions, masked_labels
        *Shape:* (M,), int64; positions count in the flattened `input_ids`.
    is_random
        *Shape:* (B,), int64.
    """

    input_ids: Tensor
    layout: Tensor | Packing
    token_type_ids: Tensor
    masked_positions: Tensor
    masked_labels: Tensor
    is_random: Tensor


def masked_batch_tensors(
    batch: MaskedBatch, device: torch.device, *, packed: bool, pad_id: int
) -> BatchTensors:
    """Move a batch to the device, as one row or padded to its longest example."""

    def moved(array: npt.NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    labels, is_random = moved(batch.masked_labels), moved(batch.is_random)
    if packed:
        ids, types = moved(batch.input_ids), moved(batch.token_type_ids)
        positions = moved(batch.masked_positions)
        layout: Tensor | Packing = lay_out(batch.cu_seq_lens, device)
        return BatchTensors(ids, layout, types, positions, labels, is_random)
    starts, lengths = batch.cu_seq_lens[:-1], np.diff(batch.cu_seq_lens)
    longest = int(lengths.max())
    is_token = np.arange(longest) < lengths[:, None]
    padded = np.full(is_token.shape, pad_id, dtype=np.int64)
    padded[is_token] = batch.input_ids
    sides = np.zeros_like(padded)
    sides[is_token] = batch.token_type_ids
    rows = np.searchsorted(starts, batch.masked_positions, side="right") - 1
    slots = rows * longest + batch.masked_positions - starts[rows]
    mask = moved(is_token.astype(np.int64))
    return BatchTensors(moved(padded), mask, moved(sides), moved(slots), labels, is_random)


class MlmNspLoss:
    """The loss of a micro-batch, mean MLM plus mean NSP; keeps the mean of each for the log."""

    def __init__(
        self, device: torch.device, *, packed: bool, pad_id: int, ranks: Ranks = ALONE
    ) -> None:
        self._ranks = ranks
        self._device = device
        self._packed = packed
        self._pad_id = pad_id
        self._sums: dict[str, tuple[Tensor, int]] = {}

    def __call__(self, network: nn.Module, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """Return the micro-batch's part of the loss of its step, as (sum, weight)."""
        on = masked_batch_tensors(
            batch.masked, self._device, packed=self._packed, pad_id=self._pad_id
        )
        output = network(
            on.input_ids,
            on.layout,
            on.token_type_ids,
            masked_positions=on.masked_positions,
            masked_labels=on.masked_labels,
        )
        parts = pretraining_loss(output, on.masked_labels, on.is_random)
        self._add("mlm_loss", parts.mlm, parts.num_masked)
        if parts.nsp is not None:
            self._add("nsp_loss", parts.nsp, parts.num_pairs)
        return step_loss(
            parts, masked_in_step=batch.masked_in_step, pairs_in_step=batch.pairs_in_step
        )

    def take_means(self) -> dict[str, float]:
        """Return the mean of each loss since the last call, over all processes, and reset them."""
        means = {}
        names = sorted({name for each in self._ranks.gathered(list(self._sums)) for name in each})
        for name in names if self._ranks.count > 1 else self._sums:
            total, weight = self._sums.get(name, (torch.zeros(()), 0))
            summed, weights = self._ranks.totals(total.item(), weight)
            means[name] = summed / max(1, weights)
        self._sums.clear()
        return means

    def _add(self, name: str, total: Tensor, weight: int) -> None:
        """Add a summed loss, without a synchronisation of the device."""
        before, weight_before = self._sums.get(name, (torch.zeros_like(total), 0))
        self._sums[name] = (before + total.detach(), weight_before + weight)


def prefetched(items: Iterator[T], ahead: int = 2) -> Iterator[T]:
    """Yield the items in their order, with up to `ahead` of them made in advance.

    What the iterator raises is raised here, when its turn comes.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting: deque[Future[T | None]] = deque()
        while True:
            while len(waiting) <= ahead:
                waiting.append(thread.submit(next, items, None))
            item = waiting.popleft().result()
            if item is None:
                return
            yield item


def explain_batch(batch: PretrainingBatch) -> str:
    """Name the examples of a micro-batch by their numbers in the epoch."""
    return "examples " + _shown([str(row) for row in batch.masked.rows])


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_ROWS} more" if len(names) > _SHOWN_ROWS else ""
    return ", ".join(names[:_SHOWN_ROWS]) + more
