"""Embedding tables whose gradient costs what the batch touches, not what the table holds.

torch makes the gradient of an embedding as large as its table, filled with zeros, anew in every step.
Half of a small encoder is its table, and a batch touches a hundredth of the rows. Here one buffer
lives on and only the rows that were written are cleared; the numbers are the same.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from multihot.models.cpu.self_test import KernelComparison, kernel_failure, replace_modules

__all__ = ["TouchedRowsEmbedding", "embedding_failure", "track_touched_rows"]

_LARGE = 1_000_000  # weights; clearing a smaller gradient takes less time than keeping count


class TouchedRowsEmbedding(nn.Embedding):
    """`nn.Embedding` that remembers which rows of `weight.grad` are not zero.

    It takes over the weights of a plain one, which must not renormalise, scale or sparsify.
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__(
            embedding.num_embeddings,
            embedding.embedding_dim,
            embedding.padding_idx,
            _weight=embedding.weight,
        )
        self.weight = embedding.weight
        self._touched: list[Tensor] = []

    def forward(self, input_ids: Tensor) -> Tensor:
        """Look up rows. *Shapes:* (...) -> (..., D)."""
        if not (torch.is_grad_enabled() and self.weight.requires_grad):
            return super().forward(input_ids)
        rows: Tensor = _TouchedRows.apply(self.weight, input_ids, self)  # type: ignore[no-untyped-call]
        return rows

    def add_gradient(self, input_ids: Tensor, gradient: Tensor) -> None:
        """Add the gradient of a lookup. *Shapes:* (N,), (N, D)."""
        if self.weight.grad is None:
            self._touched.clear()
            self.weight.grad = torch.zeros_like(self.weight)
        if self.padding_idx is not None:
            gradient = gradient.masked_fill((input_ids == self.padding_idx)[:, None], 0)
        self.weight.grad.index_add_(0, input_ids, gradient.to(self.weight.dtype))
        self._touched.append(input_ids)

    def clear_gradient(self) -> None:
        """Set the gradient to zero where it was written."""
        if self.weight.grad is not None:
            for rows in self._touched:
                self.weight.grad.index_fill_(0, rows, 0)
        self._touched.clear()

    def put_gradient(self, rows: Tensor, gradient: Tensor) -> None:
        """Replace the gradient of some rows, among them all that are touched. *Shapes:* (N,), (N, D)."""
        if self.weight.grad is None:
            self.weight.grad = torch.zeros_like(self.weight)
        self.weight.grad.index_copy_(0, rows, gradient)
        self._touched = [rows]

    def touched(self) -> Tensor:
        """Return the rows whose gradient may differ from zero, each once, in order. int64."""
        if not self._touched:
            return torch.zeros(0, dtype=torch.int64)
        rows: Tensor = torch.cat(self._touched).unique()  # type: ignore[no-untyped-call]
        return rows


class _TouchedRows(torch.autograd.Function):
    """A lookup whose gradient goes into the table's own buffer."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, input_ids: Tensor, embedding: TouchedRowsEmbedding
    ) -> Tensor:
        ctx.save_for_backward(input_ids)
        ctx.embedding = embedding
        return nn.functional.embedding(input_ids, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None]:
        (input_ids,) = ctx.saved_tensors
        ctx.embedding.add_gradient(input_ids.flatten(), gradients[0].flatten(0, -2))
        return None, None, None


def track_touched_rows(network: nn.Module) -> None:
    """Let the large embeddings of a network on the CPU keep count of their touched rows.

    A table that is also the output layer of a language model gets a dense gradient and is left alone.
    """
    uses = Counter(id(weight) for weight in _all_weights(network))

    def replacement(module: nn.Module) -> nn.Module | None:
        if (
            type(module) is nn.Embedding
            and module.weight.device.type == "cpu"
            and module.weight.numel() >= _LARGE
            and uses[id(module.weight)] == 1
            and module.max_norm is None
            and not module.scale_grad_by_freq
            and not module.sparse
        ):
            return TouchedRowsEmbedding(module)
        return None

    replace_modules(network, replacement)


def _all_weights(network: nn.Module) -> Iterable[nn.Parameter]:
    """Yield the parameters of every module, a shared one as often as it is used."""
    for module in network.modules():
        yield from module.parameters(recurse=False)


@functools.cache
def embedding_failure(dtype: torch.dtype) -> str | None:
    """Return why `TouchedRowsEmbedding` cannot be used in this precision; `None` when it can."""
    return kernel_failure(lambda: _comparisons(dtype), dtype)


def _comparisons(dtype: torch.dtype) -> Iterator[KernelComparison]:
    input_ids = torch.tensor([[3, 0, 7], [7, 1, 3]])
    plain = nn.Embedding(8, 4, padding_idx=0)
    fast = TouchedRowsEmbedding(nn.Embedding(8, 4, padding_idx=0, dtype=dtype))
    fast.weight.data.copy_(plain.weight.data)
    factors = torch.randn(2, 3, 4)
    for _ in range(2):  # the second gradient reuses the buffer of the first
        outputs = fast(input_ids), plain(input_ids)
        yield "output", *outputs
        losses = [(output * factors).sum() for output in outputs]
        torch.autograd.grad(losses[0], fast.weight, allow_unused=True)  # goes into the buffer
        (expected,) = torch.autograd.grad(losses[1], plain.weight)
        assert fast.weight.grad is not None
        yield "gradient", fast.weight.grad.clone(), expected
        fast.clear_gradient()
