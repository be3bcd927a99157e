"""The torch backend: runs a network over tokenised texts.

Letters: `N` texts, `L` labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from multihot.data.batches import length_sorted_batches, padded_batch
from multihot.data.tokens import TokenizedTexts
from multihot.devices import Precision

__all__ = ["TorchBackend"]

_TOKEN_BUDGET = 8192  # padded tokens in one forward pass; bounds memory


class TorchBackend:
    """Token ids in, logits out, on one device."""

    def __init__(
        self, network: nn.Module, num_labels: int, device: torch.device, precision: Precision
    ) -> None:
        self.network = network.to(device)
        self.num_labels = num_labels
        self.device = device
        self.precision = precision

    def logits(self, tokenized: TokenizedTexts) -> npt.NDArray[np.float32]:
        """Return the logits of N texts in their order. *Shape:* (N, L), float32."""
        result = np.zeros((len(tokenized), self.num_labels), dtype=np.float32)
        was_training = self.network.training
        self.network.eval()
        try:
            with torch.inference_mode(), self.precision.autocast(self.device):
                for rows in length_sorted_batches(tokenized.lengths, _TOKEN_BUDGET):
                    batch = padded_batch(tokenized, rows, pad_id(self.network))
                    output = self.network(
                        torch.from_numpy(batch.input_ids).to(self.device),
                        torch.from_numpy(batch.attention_mask).to(self.device),
                    )
                    result[rows] = output.float().cpu().numpy()
        finally:
            self.network.train(was_training)
        return result


def pad_id(network: nn.Module) -> int:
    """Return the id that fills padding; any id does where the encoder names none."""
    config: object = network.config
    return int(getattr(config, "pad_token_id", None) or 0)
