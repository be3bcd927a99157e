"""What fine-tuning hands to the loop: its steps, its loss, and the names of its rows.

Letters: `B` rows of a batch, `L` labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from multihot.data.batches import Batch, PackedBatch, epoch_batches, make_batch
from multihot.data.records import Examples
from multihot.models.losses import masked_binary_cross_entropy
from multihot.models.network import batch_tensors
from multihot.options import TrainOptions
from multihot.training.loop import Step
from multihot.training.rows import EncodedExamples

__all__ = ["explain_rows", "loss_on", "steps_after"]

_SHOWN_ROWS = 8

AnyBatch = Batch | PackedBatch


def steps_after(
    last_step: int,
    train_set: EncodedExamples,
    options: TrainOptions,
    pad_id: int,
    *,
    packed: bool = False,
) -> Iterator[Step[AnyBatch]]:
    """Yield every step after `last_step`; a pure function of the arguments.

    Packed batches have no padding to save, so their rows are shuffled freely unless
    `length_bucketing` is asked for.
    """
    bucketing = not packed if options.length_bucketing is None else options.length_bucketing
    number = 0
    for epoch in range(1, options.epochs + 1):
        batches = epoch_batches(
            train_set.tokens.lengths,
            options.batch_size,
            seed=options.seed,
            epoch=epoch,
            length_bucketing=bucketing,
        )
        for position, rows in enumerate(batches):
            number += 1
            if number <= last_step:
                continue
            parts = np.array_split(rows, min(options.accumulation_steps, len(rows)))
            micro_batches = [
                make_batch(train_set.tokens, part, pad_id, train_set.labels.values, packed=packed)
                for part in parts
            ]
            yield Step(number, epoch, position == len(batches) - 1, micro_batches)


def loss_on(device: torch.device) -> Callable[[nn.Module, AnyBatch], tuple[Tensor, Tensor]]:
    """Return the loss of a batch on `device`: masked binary cross-entropy as (sum, weight)."""

    def loss(network: nn.Module, batch: AnyBatch) -> tuple[Tensor, Tensor]:
        logits = network(*batch_tensors(batch, device))
        return masked_binary_cross_entropy(logits, torch.from_numpy(batch.labels).to(device))

    return loss


def explain_rows(
    batch: AnyBatch, network: nn.Module, device: torch.device, examples: Examples
) -> str:
    """Name the rows whose own logits are not finite, or all when the fault is not in single rows."""
    network.eval()
    texts = [torch.from_numpy(ids).to(device)[None] for ids in batch.texts]
    # Each row alone and without padding, through which one row's fault would reach the others.
    with torch.inference_mode():
        alone = [network(ids, torch.ones_like(ids)) for ids in texts]
    finite = np.array([bool(torch.isfinite(logits).all()) for logits in alone])
    rows = batch.rows[~finite] if (~finite).any() else batch.rows
    named = [f"{examples.ids[row]} (line {examples.lines[row]})" for row in rows[:_SHOWN_ROWS]]
    more = f" and {len(rows) - _SHOWN_ROWS} more" if len(rows) > _SHOWN_ROWS else ""
    return ", ".join(named) + more
