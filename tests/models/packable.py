"""Networks over tiny random encoders, and random texts for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.families import write_family
from multihot.core.labels import LabelSpace
from multihot.data.batches import Batch, make_batch
from multihot.data.tokens import TokenizedTexts
from multihot.models.encoder import pad_id
from multihot.models.network import batch_tensors, build_network

PACKABLE = ("bert", "roberta", "xlm-roberta", "distilbert", "electra", "modernbert")
REFUSED = ("mpnet", "deberta-v2")
SPACE = LabelSpace(("joy", "love", "fear"))
LENGTHS = (5, 1, 60, 2, 41, 17)
"""A single token, and texts several times longer than ModernBERT's window of 16."""


def make_network(family: str, folder: Path, pooling: str, **changes: Any) -> Any:
    """Return a network in evaluation mode; its weights are large, so that tokens matter."""
    scale = "initializer_range"
    if family == "modernbert":
        changes = {"local_attention": 16, **changes}
    written = write_family(family, folder, **{scale: 0.3, **changes})
    return build_network(written, SPACE, pooling, seed=1).eval()


def make_texts(network: Any, lengths: Sequence[int] = LENGTHS, *, seed: int = 0) -> TokenizedTexts:
    """Return texts of random tokens, padding ids among them."""
    ids = np.random.default_rng(seed).integers(0, network.config.vocab_size, sum(lengths))
    offsets = np.cumsum([0, *lengths])
    return TokenizedTexts(ids.astype(np.uint16), offsets, np.zeros(len(lengths), dtype=np.bool_))


def batch_of(network: Any, texts: TokenizedTexts, *, packed: bool) -> Batch:
    """Return all texts as one batch."""
    return make_batch(texts, np.arange(len(texts)), pad_id(network), packed=packed)


def run(network: Any, texts: TokenizedTexts, *, packed: bool) -> torch.Tensor:
    """Return the logits of all texts in one batch."""
    found: torch.Tensor = network(
        *batch_tensors(batch_of(network, texts, packed=packed), torch.device("cpu"))
    )
    return found
