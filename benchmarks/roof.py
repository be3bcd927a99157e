"""The same-shape GEMM roof: how long a step's matrix products take when nothing else is done.

Every linear layer of the model counts once forward (X Wt) and twice backward (dY W and dYt X), at
the row counts of the real batches without padding. The products inside attention are left out:
they are a few percent for short texts.

Letters: `T` tokens and `B` texts of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multihot.training.pretraining.schedule import linear_shapes as recorded_shapes

__all__ = ["LinearShape", "Roof", "linear_shapes", "step_flops"]

_PROBE_TEXTS, _PROBE_TOKENS = 2, 5


@dataclass(frozen=True)
class LinearShape:
    """One linear layer."""

    inputs: int
    outputs: int
    per_text: bool
    """Whether it sees one row per text (pooler, head) instead of one per token."""

    def rows(self, tokens: int, texts: int) -> int:
        """Return its rows in a batch."""
        return texts if self.per_text else tokens


def linear_shapes(model: Any) -> list[LinearShape]:
    """Return the linear layers of a transformers model in the order in which they are computed."""
    probe = torch.ones(_PROBE_TEXTS, _PROBE_TOKENS, dtype=torch.long)
    return [
        LinearShape(inputs, outputs, rows == _PROBE_TEXTS)
        for rows, inputs, outputs in recorded_shapes(model, lambda: model(input_ids=probe))
    ]


def step_flops(
    shapes: Iterable[LinearShape], tokens: int, texts: int, *, backward: bool = True
) -> int:
    """Return the floating-point operations of all products of a step."""
    forward = sum(2 * shape.rows(tokens, texts) * shape.inputs * shape.outputs for shape in shapes)
    return 3 * forward if backward else forward


class Roof:
    """All products of a step on tensors that are allocated once."""

    def __init__(
        self, shapes: list[LinearShape], most_rows: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        def drawn(*size: int) -> Tensor:
            return torch.randn(*size, device=device).to(dtype)

        self.shapes = shapes
        self.most_rows = most_rows
        # Each layer has its own weights and its own gradient, as in a model: caches count.
        self._weights = [drawn(shape.outputs, shape.inputs) for shape in shapes]
        self._gradients = [torch.empty_like(weight) for weight in self._weights]
        widths = {width for shape in shapes for width in (shape.inputs, shape.outputs)}
        self._values = {width: drawn(most_rows, width) for width in sorted(widths)}
        self._results = {width: torch.empty_like(rows) for width, rows in self._values.items()}

    def step(self, tokens: int, texts: int, *, backward: bool = True) -> None:
        """Compute the products of one batch. At most `most_rows` tokens."""
        for shape, weight in zip(self.shapes, self._weights, strict=True):
            rows = shape.rows(tokens, texts)
            output = self._results[shape.outputs][:rows]
            torch.mm(self._values[shape.inputs][:rows], weight.t(), out=output)
        if not backward:
            return
        triples = zip(self.shapes, self._weights, self._gradients, strict=True)
        for shape, weight, gradient in reversed(list(triples)):
            rows = shape.rows(tokens, texts)
            incoming = self._values[shape.outputs][:rows]
            torch.mm(incoming, weight, out=self._results[shape.inputs][:rows])
            torch.mm(incoming.t(), self._values[shape.inputs][:rows], out=gradient)
