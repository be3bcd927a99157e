"""Heads of our own: token vectors in, one logit per label out.

Letters: `B` rows, `S` tokens, `D` width, `L` labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["MeanPoolingHead", "mean_pool"]


def mean_pool(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Average the vectors of each row's tokens, special tokens included, padding excluded.

    As in Reimers and Gurevych 2019 (Sentence-BERT), section 3.

    Parameters
    ----------
    hidden
        *Shape:* (B, S, D).
    attention_mask
        *Shape:* (B, S); 1 = token, 0 = padding.

    Returns
    -------
    Tensor
        *Shape:* (B, D), float32.
    """
    mask = attention_mask.unsqueeze(-1).to(torch.float32)
    return (hidden.float() * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)


class MeanPoolingHead(nn.Module):
    """Mean pooling, dropout and one linear layer."""

    def __init__(self, width: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_labels)
        nn.init.normal_(self.classifier.weight, std=0.02)  # as BERT initialises its own heads
        nn.init.zeros_(self.classifier.bias)

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Return logits. *Shapes:* (B, S, D), (B, S) -> (B, L)."""
        logits: Tensor = self.classifier(self.dropout(mean_pool(hidden, attention_mask)))
        return logits
