"""Heads of our own: token vectors in, one logit per label out.

Every head is called with `hidden` and `layout` and returns logits, *shape* (B, L):

    hidden    (B, S, D), or (F, D) when packed: T tokens and the packing's filler
    layout    attention mask, (B, S), 1 = token, 0 = padding; or the packing

Letters: `B` rows, `S` tokens of the longest, `T` tokens of all together, `D` width, `L` labels,
`M` tokens of all label names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from multihot.data.tokens import LabelPrompt
from multihot.models.packed.layout import Packing

__all__ = ["AttentionPoolingHead", "Head", "LabelsInTextHead", "MeanPoolingHead", "mean_pool"]


def mean_pool(hidden: Tensor, layout: Tensor | Packing, weights: Tensor | None = None) -> Tensor:
    """Average the vectors of each row's tokens, special tokens included, padding excluded.

    As in Reimers and Gurevych 2019 (Sentence-BERT), section 3.

    Parameters
    ----------
    hidden, layout
        As for every head.
    weights
        How much each token counts, positive; `None` = 1. *Shape:* (B, S), or (F,) when packed.

    Returns
    -------
    Tensor
        *Shape:* (B, D), float32.
    """
    if isinstance(layout, Packing):
        num_tokens, num_rows = len(layout.rows), len(layout.firsts)
        vectors = hidden[:num_tokens].float()
        sums = vectors.new_zeros(num_rows, vectors.shape[-1])
        if weights is None:
            return sums.index_add(0, layout.rows, vectors) / layout.cu_seq_lens.diff()[:, None]
        counted = weights[:num_tokens].float()
        totals = counted.new_zeros(num_rows).index_add(0, layout.rows, counted)
        return sums.index_add(0, layout.rows, vectors * counted[:, None]) / totals[:, None]
    mask = layout.to(torch.float32) if weights is None else layout * weights.float()
    total = mask.sum(dim=1, keepdim=True)
    return (hidden.float() * mask.unsqueeze(-1)).sum(dim=1) / total.clamp(min=1e-9)


class MeanPoolingHead(nn.Module):
    """Mean pooling, dropout and one linear layer."""

    def __init__(self, width: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.classifier = _linear(width, num_labels)

    def forward(self, hidden: Tensor, layout: Tensor | Packing) -> Tensor:
        """Return logits, (B, L)."""
        logits: Tensor = self.classifier(self.dropout(mean_pool(hidden, layout)))
        return logits


class AttentionPoolingHead(nn.Module):
    """A learnt average of the tokens, dropout and one linear layer.

    The weight of a token is `softmax over its text of u . tanh(W h)`, as in Yang et al. 2016
    (Hierarchical Attention Networks), section 2.2. It starts as the mean: `u` is 0.
    """

    def __init__(self, width: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.projection = _linear(width, width)
        self.importance = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(self.importance.weight)
        self.dropout = nn.Dropout(dropout)
        self.classifier = _linear(width, num_labels)

    def forward(self, hidden: Tensor, layout: Tensor | Packing) -> Tensor:
        """Return logits, (B, L)."""
        scores = self.importance(torch.tanh(self.projection(hidden))).squeeze(-1).float()
        # Bounded by |u|_1 because of tanh, so exp cannot overflow and needs no maximum per text.
        pooled = mean_pool(hidden, layout, scores.exp())
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits


class LabelsInTextHead(nn.Module):
    """Score each label at its own tokens in the text that the encoder read.

    The label names stand before the text (`data.label_prompt`); the vectors of a label's tokens are
    averaged and scored by one small network for all labels, plus an offset of the label's own. As
    SpanEmo (Alhuzali and Ananiadou 2021, section 3), which has no offsets.
    """

    label_positions: Tensor
    averaging: Tensor

    def __init__(self, width: int, prompt: LabelPrompt, dropout: float) -> None:
        super().__init__()
        self.prompt = prompt
        self.projection = _linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.scorer = nn.Linear(width, 1, bias=False)
        nn.init.normal_(self.scorer.weight, std=0.02)
        self.offset = nn.Parameter(torch.zeros(len(prompt.spans)))
        positions = [n for start, end in prompt.spans for n in range(start, end)]
        averaging = torch.zeros(len(prompt.spans), len(positions))
        first = 0
        for label, (start, end) in enumerate(prompt.spans):
            averaging[label, first : first + end - start] = 1 / (end - start)
            first += end - start
        # *Shapes:* (M,) and (L, M); they follow from the prompt, so they are not saved.
        self.register_buffer("label_positions", torch.tensor(positions), persistent=False)
        self.register_buffer("averaging", averaging, persistent=False)

    def forward(self, hidden: Tensor, layout: Tensor | Packing) -> Tensor:
        """Return logits, (B, L)."""
        if isinstance(layout, Packing):
            tokens = hidden[layout.firsts[:, None] + self.label_positions]
        else:
            tokens = hidden[:, self.label_positions]
        vectors = torch.matmul(self.averaging.to(tokens.dtype), tokens)
        hidden_label = self.dropout(torch.tanh(self.projection(vectors)))
        logits: Tensor = self.scorer(hidden_label).squeeze(-1).float() + self.offset
        return logits


Head = MeanPoolingHead | AttentionPoolingHead | LabelsInTextHead


def _linear(width: int, num_outputs: int) -> nn.Linear:
    layer = nn.Linear(width, num_outputs)
    nn.init.normal_(layer.weight, std=0.02)  # as BERT initialises its own heads
    nn.init.zeros_(layer.bias)
    return layer
