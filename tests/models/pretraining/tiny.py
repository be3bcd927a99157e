"""Tiny random models to pretrain, batches for them, and the same batches as transformers wants them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.families import WORDS, write_tokenizer
from multihot.models.encoder import load_encoder_tokenizer
from multihot.models.packed.layout import Packing, lay_out
from multihot.models.pretraining.checkpoint import new_pretraining_model, save_pretraining_model
from multihot.models.pretraining.network import PretrainingNetwork, enable_packed_pretraining

LENGTHS = (9, 33, 4, 60, 17)


@dataclass(frozen=True)
class Masked:
    """A batch of pairs, packed: tokens after masking, and what was there before."""

    input_ids: Tensor
    packing: Packing
    token_type_ids: Tensor
    masked_positions: Tensor
    masked_labels: Tensor
    is_random: Tensor

    def arguments(self, *, labels: bool = True) -> dict[str, Any]:
        """Return what `PretrainingNetwork` takes."""
        return {
            "input_ids": self.input_ids,
            "layout": self.packing,
            "token_type_ids": self.token_type_ids,
            "masked_positions": self.masked_positions,
            "masked_labels": self.masked_labels if labels else None,
        }

    def padded(self) -> dict[str, Tensor]:
        """Return what transformers takes: padded rows, and -100 where nothing is to predict."""
        labels = torch.full_like(self.input_ids, -100)
        labels[self.masked_positions] = self.masked_labels
        lengths = self.packing.cu_seq_lens.diff().tolist()

        def rows(flat: Tensor, filling: int) -> Tensor:
            return torch.nn.utils.rnn.pad_sequence(
                list(flat.split(lengths)), batch_first=True, padding_value=filling
            )

        return {
            "input_ids": rows(self.input_ids, 0),
            "attention_mask": rows(torch.ones_like(self.input_ids), 0),
            "token_type_ids": rows(self.token_type_ids, 0),
            "labels": rows(labels, -100),
        }


def masked_pairs(vocab_size: int, lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> Masked:
    """Return pairs of random tokens; a text of every length has a masked token."""
    draw = np.random.default_rng(seed)
    ends = np.cumsum([0, *lengths])
    ids = torch.from_numpy(draw.integers(5, vocab_size, ends[-1]))
    types = [np.arange(length) >= length // 2 for length in lengths]
    masked = np.concatenate(
        [
            start + draw.permutation(length)[: 1 + length // 6]
            for start, length in zip(ends, lengths, strict=False)
        ]
    )
    return Masked(
        ids,
        lay_out(ends, torch.device("cpu")),
        torch.from_numpy(np.concatenate(types).astype(np.int64)),
        torch.from_numpy(np.sort(masked)),
        torch.from_numpy(draw.integers(5, vocab_size, len(masked))),
        torch.from_numpy(draw.integers(0, 2, len(lengths))),
    )


def spread(model: Any, scale: float = 8.0) -> Any:
    """Return the model with larger weights, so that tokens matter as in a trained one."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                weight.mul_(scale)
            elif name.endswith("bias"):
                weight.normal_(std=0.3, generator=draw)
    return model


def packed_network(model: Any) -> PretrainingNetwork:
    """Return the network in evaluation mode, ready for packed batches."""
    network = PretrainingNetwork(model).eval()
    assert enable_packed_pretraining(network) is None
    return network


def write_bert(folder: Path, *, next_sentence: bool = True, max_positions: int = 64) -> Path:
    """Write a small BERT over `families.WORDS` that was pretrained by nothing but chance."""
    scratch = folder / "tokenizer"
    specials = write_tokenizer("bert", scratch)
    model = new_pretraining_model(
        "2x64",
        len(specials) + len(WORDS),
        seed=1,
        max_positions=max_positions,
        next_sentence=next_sentence,
    )
    save_pretraining_model(spread(model), *load_encoder_tokenizer(scratch), folder / "bert")
    return folder / "bert"
