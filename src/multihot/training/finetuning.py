"""What fine-tuning hands to the loop: its steps, its loss, and the names of its rows.

Letters: `B` rows of a batch, `S` tokens of its longest row, `L` labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from multihot.data.batches import Batch, epoch_batches, padded_batch
from multihot.data.records import Examples
from multihot.models.losses import masked_binary_cross_entropy
from multihot.options import TrainOptions
from multihot.training.loop import Step
from multihot.training.rows import EncodedExamples

__all__ = ["explain_rows", "loss_on", "steps_after"]

_SHOWN_ROWS = 8


def steps_after(
    last_step: int, train_set: EncodedExamples, options: TrainOptions, pad_id: int
) -> Iterator[Step[Batch]]:
    """Yield every step after `last_step`; a pure function of the data, the options and the step."""
    number = 0
    for epoch in range(1, options.epochs + 1):
        batches = epoch_batches(
            train_set.tokens.lengths,
            options.batch_size,
            seed=options.seed,
            epoch=epoch,
            length_bucketing=options.length_bucketing,
        )
        for position, rows in enumerate(batches):
            number += 1
            if number <= last_step:
                continue
            parts = np.array_split(rows, min(options.accumulation_steps, len(rows)))
            micro_batches = [
                padded_batch(train_set.tokens, part, pad_id, train_set.labels.values)
                for part in parts
            ]
            yield Step(number, epoch, position == len(batches) - 1, micro_batches)


def loss_on(device: torch.device) -> Callable[[nn.Module, Batch], tuple[Tensor, Tensor]]:
    """Return the loss of a batch on `device`: masked binary cross-entropy as (sum, weight)."""

    def loss(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = network(*_to(device, batch))
        return masked_binary_cross_entropy(logits, torch.from_numpy(batch.labels).to(device))

    return loss


def explain_rows(batch: Batch, network: nn.Module, device: torch.device, examples: Examples) -> str:
    """Name the rows whose own logits are not finite, or all when the fault is not in single rows."""
    network.eval()
    ids, mask = _to(device, batch)
    lengths = batch.attention_mask.sum(axis=1)
    # Each row without its padding, through which one row's fault would reach the others.
    with torch.inference_mode():
        alone = [network(ids[i : i + 1, :n], mask[i : i + 1, :n]) for i, n in enumerate(lengths)]
    finite = np.array([bool(torch.isfinite(logits).all()) for logits in alone])
    rows = batch.rows[~finite] if (~finite).any() else batch.rows
    named = [f"{examples.ids[row]} (line {examples.lines[row]})" for row in rows[:_SHOWN_ROWS]]
    more = f" and {len(rows) - _SHOWN_ROWS} more" if len(rows) > _SHOWN_ROWS else ""
    return ", ".join(named) + more


def _to(device: torch.device, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return input ids and attention mask, *shapes* (B, S) each, on the device."""
    ids, mask = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
    return ids.to(device), mask.to(device)
