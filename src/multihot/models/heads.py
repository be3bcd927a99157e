"""Heads of our own: token vectors in, one logit per label out.

Letters: `B` rows, `S` tokens of the longest, `T` tokens of all together, `D` width, `L` labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multihot.models.packing import Packing

__all__ = ["MeanPoolingHead", "mean_pool"]


def mean_pool(hidden: Tensor, layout: Tensor | Packing) -> Tensor:
    """Average the vectors of each row's tokens, special tokens included, padding excluded.

    As in Reimers and Gurevych 2019 (Sentence-BERT), section 3.

    Parameters
    ----------
    hidden
        *Shape:* (B, S, D), or (F, D) when packed: T tokens and the packing's filler.
    layout
        Attention mask, *shape* (B, S), 1 = token, 0 = padding; or the packing.

    Returns
    -------
    Tensor
        *Shape:* (B, D), float32.
    """
    if isinstance(layout, Packing):
        sums = hidden.new_zeros(len(layout.firsts), hidden.shape[-1], dtype=torch.float32)
        summed = sums.index_add(0, layout.rows, hidden[: len(layout.rows)].float())
        return summed / layout.cu_seq_lens.diff()[:, None]
    mask = layout.unsqueeze(-1).to(torch.float32)
    return (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)


class MeanPoolingHead(nn.Module):
    """Mean pooling, dropout and one linear layer."""

    def __init__(self, width: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_labels)
        nn.init.normal_(self.classifier.weight, std=0.02)  # as BERT initialises its own heads
        nn.init.zeros_(self.classifier.bias)

    def forward(self, hidden: Tensor, layout: Tensor | Packing) -> Tensor:
        """Return logits, (B, L); see `mean_pool` for the arguments."""
        logits: Tensor = self.classifier(self.dropout(mean_pool(hidden, layout)))
        return logits
