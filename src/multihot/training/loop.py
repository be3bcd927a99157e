"""The one training loop. Fine-tuning and pretraining pass it functions, not modes.

All gradients of a network are cleared, measured and scaled as one, once per step.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from multihot.errors import NonFiniteError
from multihot.models.cpu.embedding import TouchedRowsEmbedding
from multihot.training.ranks import ALONE, Ranks

__all__ = ["Gradients", "Step", "StepResult", "run"]


class Gradients:
    """The gradients of every trainable parameter of a network.

    Embeddings that record their touched rows (`models.cpu.embedding`) are only visited there;
    everywhere else their gradient is zero.
    """

    def __init__(self, network: nn.Module) -> None:
        self._tables = [
            module
            for module in network.modules()
            if isinstance(module, TouchedRowsEmbedding) and module.weight.requires_grad
        ]
        counted = {id(table.weight) for table in self._tables}
        self._plain = [p for p in network.parameters() if p.requires_grad and id(p) not in counted]

    def clear(self) -> None:
        """Clear all gradients."""
        for parameter in self._plain:
            parameter.grad = None
        for table in self._tables:
            table.clear_gradient()

    def norm(self) -> Tensor:
        """Return the L2 norm of all gradients together, a float32 scalar."""
        found = self._dense()
        for table in self._tables:
            if table.weight.grad is not None:
                found.append(table.weight.grad.index_select(0, table.touched()))
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(found)))
        return norm

    def scale(self, factor: float) -> None:
        """Multiply every gradient by `factor` in place."""
        torch._foreach_mul_(self._dense(), factor)
        for table in self._tables:
            if table.weight.grad is not None:
                rows = table.touched()
                scaled = table.weight.grad.index_select(0, rows).mul_(factor)
                table.weight.grad.index_copy_(0, rows, scaled)

    def sum_over(self, ranks: Ranks) -> None:
        """Sum all gradients over the processes; where none has one, there is none afterwards."""
        if ranks.count == 1:
            return
        known, rows = self._known_anywhere(ranks)
        found = [p for p, is_known in zip(self._plain, known, strict=True) if is_known]
        # A process without a row of the step has none of some.
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in found]
        parts = [
            table.weight.new_zeros(len(touched), table.embedding_dim)
            if table.weight.grad is None
            else table.weight.grad.index_select(0, touched)
            for table, touched in zip(self._tables, rows, strict=True)
        ]
        sums = iter(ranks.summed([*own, *parts]))
        for parameter in found:
            parameter.grad = next(sums)
        for table, touched in zip(self._tables, rows, strict=True):
            table.put_gradient(touched, next(sums))

    def _known_anywhere(self, ranks: Ranks) -> tuple[list[int], list[Tensor]]:
        """Return which parameters have a gradient in any process, and the touched rows of each table."""
        flags = torch.tensor([p.grad is not None for p in self._plain], dtype=torch.uint8)
        sizes = [table.num_embeddings for table in self._tables]
        touched = [torch.zeros(size, dtype=torch.uint8) for size in sizes]
        for table, is_touched in zip(self._tables, touched, strict=True):
            if table.weight.grad is not None:
                is_touched[table.touched()] = 1
        all_flags = torch.cat([flags, *touched])
        ranks.maximum(all_flags)
        flags, *touched = torch.split(all_flags, [len(flags), *sizes])
        return flags.tolist(), [is_touched.nonzero()[:, 0] for is_touched in touched]

    def _dense(self) -> list[Tensor]:
        return [p.grad for p in self._plain if p.grad is not None]


BatchT = TypeVar("BatchT")


@dataclass(frozen=True)
class Step(Generic[BatchT]):
    """One optimiser step: its batches are computed one after the other and count as one."""

    number: int
    """1-based number of the step in the whole run."""
    epoch: int
    """1-based epoch."""
    last_of_epoch: bool
    micro_batches: Sequence[BatchT]
    """Those of this process; none when it has no row of the step."""
    num_tokens: int | None = None
    """Of all processes; `None` = those of the micro-batches."""


@dataclass(frozen=True)
class StepResult(Generic[BatchT]):
    """The outcome of one optimiser step."""

    step: Step[BatchT]
    loss: float
    """Mean loss per known cell of the step; NaN when no cell was known."""
    weight: float
    """Known cells of the step."""
    gradient_norm: float
    """L2 norm of the mean gradient before clipping."""
    learning_rate: float


def run(
    network: nn.Module,
    steps: Iterable[Step[BatchT]],
    loss: Callable[[nn.Module, BatchT], tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    *,
    learning_rate: Callable[[int], float],
    seed_of: Callable[[int], int],
    autocast: Callable[[], contextlib.AbstractContextManager[object]],
    max_gradient_norm: float,
    explain: Callable[[BatchT], str],
    after_step: Sequence[Callable[[StepResult[BatchT]], bool | None]],
    ranks: Ranks = ALONE,
) -> None:
    """Train until the steps end or a callable after a step returns True.

    `loss` returns (sum, weight); the gradient is the summed one divided by the weight of the whole
    step, so splitting a step into micro-batches does not change it. Everything random in a step
    is drawn from `seed_of(step number)`, so a resumed run repeats it. A non-finite loss or gradient
    raises `NonFiniteError` before the update, with `explain(batch)` naming the rows.

    Of several processes (`ranks`) each has its own micro-batches of every step, and all take the same
    step: sums, weights and gradients are those of all of them.
    """
    gradients = Gradients(network)
    for step in steps:
        network.train()
        torch.manual_seed(seed_of(step.number))
        gradients.clear()
        total_loss = total_weight = 0.0
        failure: NonFiniteError | None = None
        for batch in step.micro_batches:
            # forward
            with autocast():
                batch_loss, batch_weight = loss(network, batch)
            if not math.isfinite(value := batch_loss.item()):
                failure = NonFiniteError(_stopped(step, f"the loss is {value}", [explain(batch)]))
                break
            # backward
            batch_loss.backward()  # type: ignore[no-untyped-call]
            total_loss += value
            total_weight += batch_weight.item()
        total_loss, total_weight, failures = ranks.totals(
            total_loss, total_weight, failure is not None
        )
        if failures:
            ranks.raise_together(failure)
        rate, norm = learning_rate(step.number), 0.0
        if total_weight > 0:
            gradients.sum_over(ranks)
            # clip: one pass divides by the weight and scales the norm down to the maximum
            norm = gradients.norm().item() / total_weight
            if not math.isfinite(norm):
                rows = [explain(batch) for batch in step.micro_batches]
                cause = f"the gradient norm is {norm}"
                ranks.raise_together(NonFiniteError(_stopped(step, cause, rows)))
            clip = min(1.0, max_gradient_norm / (norm + 1e-6)) if max_gradient_norm > 0 else 1.0
            gradients.scale(clip / total_weight)
            # schedule, step
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("scale", 1.0)
            optimizer.step()
        mean_loss = total_loss / total_weight if total_weight else math.nan
        result = StepResult(step, mean_loss, total_weight, norm, rate)
        # log, evaluate, save: plain callables; any of them may request a stop
        if any([call(result) for call in after_step]):
            return


def _stopped(step: Step[BatchT], cause: str, rows: Sequence[str]) -> str:
    return (
        f"Stopped at step {step.number} (epoch {step.epoch}) before the update: {cause}. "
        f"Rows of the step: {'; '.join(rows)}. A checkpoint of an earlier step, if one was written, is "
        "still valid, but --resume repeats the same steps. Usual causes: a learning rate that is too "
        "high, damaged weights, or precision=bf16; start a new run with a smaller learning_rate or "
        "precision=fp32."
    )
