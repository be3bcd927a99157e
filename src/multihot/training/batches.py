"""What fine-tuning passes to the loop: its steps, its loss, and the names of its rows.

Letters: `B` rows of a batch, `L` labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from multihot.core.options import TrainOptions
from multihot.core.text_tables import listed
from multihot.data.batches import Batch, EpochBatches, budget_bounds, epoch_batches, share_of
from multihot.data.dataset import Subset
from multihot.errors import OptionError
from multihot.models.network import batch_tensors
from multihot.training.loop import Step
from multihot.training.objective import Objective
from multihot.training.ranks import ALONE, Ranks

__all__ = ["check_budget", "classification_loss", "count_steps", "explain_rows", "steps_after"]

_SHOWN_ROWS = 8


def check_budget(options: TrainOptions, max_length: int) -> None:
    """Raise `OptionError` when a single text may be longer than `batch_tokens`."""
    if options.batch_tokens is not None and options.batch_tokens < max_length:
        raise OptionError(
            f"batch_tokens={options.batch_tokens} is less than the {max_length} tokens that one text "
            "may have (max_length). Raise batch_tokens or lower max_length."
        )


def count_steps(train_set: Subset, options: TrainOptions, *, packed: bool) -> int:
    """Return the number of steps of the whole run, exactly.

    With batches of a fixed number of rows every epoch has the same number of steps. With a token
    budget the number varies, so all epochs are drawn once here, and again during training.
    """
    if options.batch_tokens is None:
        return math.ceil(len(train_set) / options.batch_size) * options.epochs
    epochs = range(1, options.epochs + 1)
    return sum(len(_batches(train_set, options, epoch, packed=packed)) for epoch in epochs)


def steps_after(
    last_step: int,
    train_set: Subset,
    options: TrainOptions,
    pad_id: int,
    *,
    packed: bool = False,
    ranks: Ranks = ALONE,
) -> Iterator[Step[Batch]]:
    """Yield every step after `last_step`; a pure function of the arguments.

    Of several processes each gets a share of the rows of every step, about equally many tokens.
    """
    before, lengths = 0, train_set.lengths()
    for epoch in range(1, options.epochs + 1):
        batches = _batches(train_set, options, epoch, packed=packed)
        for position in range(max(0, last_step - before), len(batches)):
            rows = batches[position]
            num_tokens = int(lengths[rows].sum()) if ranks.count > 1 else None
            rows = rows[share_of(lengths[rows], ranks.rank, ranks.count)]
            parts = _micro_batches(rows, train_set, options) if len(rows) else []
            micro_batches = [train_set.batch(part, pad_id, packed=packed) for part in parts]
            number = before + position + 1
            yield Step(number, epoch, position == len(batches) - 1, micro_batches, num_tokens)
        before += len(batches)


def _micro_batches(
    positions: npt.NDArray[np.int64], train_set: Subset, options: TrainOptions
) -> list[npt.NDArray[np.int64]]:
    """Return the rows of a step in parts that are computed one after the other.

    Of texts in windows, a part has as many windows as a batch of short texts would have rows, or one
    text: that bounds memory, and changes no result.
    """
    parts = np.array_split(positions, min(options.accumulation_steps, len(positions)))
    windows = train_set.take(positions).window_counts()
    if windows is None:
        return parts
    most = max(int(windows.max()), -(-options.batch_size // options.accumulation_steps))
    before = np.cumsum([0, *map(len, parts)])
    return [
        part[start:end]
        for part, at in zip(parts, before, strict=False)
        for start, end in pairwise(budget_bounds(windows[at : at + len(part)], most).tolist())
    ]


def _batches(train_set: Subset, options: TrainOptions, epoch: int, *, packed: bool) -> EpochBatches:
    """Draw the batches of an epoch.

    Packed batches have no padding to save, so their rows are shuffled freely unless
    `length_bucketing` is asked for.
    """
    bucketing = not packed if options.length_bucketing is None else options.length_bucketing
    return epoch_batches(
        train_set.lengths(),
        options.batch_size,
        batch_tokens=options.batch_tokens,
        seed=options.seed,
        epoch=epoch,
        length_bucketing=bucketing,
    )


def classification_loss(
    device: torch.device, objective: Objective
) -> Callable[[nn.Module, Batch], tuple[Tensor, Tensor]]:
    """Return the loss of a batch on `device`, as (sum, weight)."""

    def loss(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs = batch_tensors(batch, device)
        passes = [network(*inputs) for _ in range(objective.num_passes)]
        targets = torch.from_numpy(batch.labels).to(device)
        weights = None if batch.weights is None else torch.from_numpy(batch.weights).to(device)
        return objective(passes, targets, weights)

    return loss


def explain_rows(batch: Batch, network: nn.Module, device: torch.device, train_set: Subset) -> str:
    """Name the rows whose own logits are not finite, or all when no single row is to blame."""
    network.eval()
    texts = [torch.from_numpy(ids).to(device)[None] for ids in batch.texts]
    # Each row (or window) alone and without padding, through which non-finite values would spread.
    with torch.inference_mode():
        alone = [network(ids, torch.ones_like(ids)) for ids in texts]
    finite = np.array([bool(torch.isfinite(logits).all()) for logits in alone])
    broken = np.flatnonzero(~finite)
    if batch.text_of_window is not None:
        broken = np.unique(batch.text_of_window[broken])
    rows = batch.rows[broken] if len(broken) else batch.rows
    named = train_set.dataset.names(rows[:_SHOWN_ROWS])
    more = f" and {len(rows) - _SHOWN_ROWS} more" if len(rows) > _SHOWN_ROWS else ""
    return listed(named) + more
