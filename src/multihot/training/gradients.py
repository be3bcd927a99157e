"""All gradients of a network as one thing: cleared, measured and scaled once per step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multihot.models.embedding import TouchedRowsEmbedding

__all__ = ["Gradients"]


class Gradients:
    """The gradients of every trainable parameter of a network.

    Embeddings that keep count of their touched rows (`models.embedding`) are only visited there;
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
        """Forget all gradients."""
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

    def _dense(self) -> list[Tensor]:
        return [p.grad for p in self._plain if p.grad is not None]
