"""What each token of a text added to the logits of labels: integrated gradients.

Sundararajan, Taly and Yan 2017: the gradient of a logit is averaged along the straight line from
the vectors of a baseline to the vectors of the text, and multiplied by their difference. What all
tokens added makes up the difference of the two logits (completeness); how far it does not shows the
error of the sum that stands for the integral.

Letters: `S` tokens of the text, `D` width of the embedding, `K` points of the line, `L` labels that
are explained.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from multihot.errors import OptionError

__all__ = ["IntegratedGradients", "TokenAttribution"]

FloatArray = npt.NDArray[np.float64]

_TOKENS_AT_ONCE = 2048


@dataclass(frozen=True)
class TokenAttribution:
    """What tokens added to logits.

    Attributes
    ----------
    values
        *Shape:* (L, S), float64.
    logits, baseline_logits
        *Shape:* (L,), float64, of the text and of the baseline.
    steps
        Points of the line.
    """

    values: FloatArray
    logits: FloatArray
    baseline_logits: FloatArray
    steps: int

    @property
    def errors(self) -> FloatArray:
        """How far the sums are from the differences of the logits. *Shape:* (L,), at least 0."""
        errors: FloatArray = np.abs(self.values.sum(axis=1) - self.logits + self.baseline_logits)
        return errors


class IntegratedGradients:
    """A copy of a network whose word vectors are replaced by points of a line; for one thread.

    It is a copy so that other threads may go on with the network, and because layers that are laid
    out for prediction have no gradient. Raises `OptionError` for an encoder without a table of word
    vectors.
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self._network: Any = copy.deepcopy(network).to(device).eval().requires_grad_(False)
        self._device = device
        self._replacement: Tensor | None = None
        self._table = _word_table(self._network)
        self._table.register_forward_hook(self._replaced)

    def _replaced(self, table: nn.Module, args: Any, output: Tensor) -> Tensor:
        return output if self._replacement is None else self._replacement

    def of(
        self,
        ids: npt.NDArray[np.int64],
        baseline_ids: npt.NDArray[np.int64],
        columns: Sequence[int],
        steps: int,
    ) -> TokenAttribution:
        """Attribute the logits of some labels to the tokens of one text.

        Parameters
        ----------
        ids, baseline_ids
            *Shape:* (S,) each. Tokens that are the same in both have a value of 0.
        columns
            The labels, L columns of the logits.
        steps
            K, the points of Gauss-Legendre quadrature.
        """
        points, weights = np.polynomial.legendre.leggauss(steps)
        input_ids = torch.from_numpy(np.stack([ids, baseline_ids])).to(self._device)
        with torch.no_grad():
            vectors, baseline = ends = self._table(input_ids).float()
            logits = self._logits(ends, input_ids[:1])[:, list(columns)].double().cpu().numpy()
        totals = torch.zeros(len(columns), *vectors.shape, dtype=torch.float64)
        at_once = max(1, _TOKENS_AT_ONCE // max(1, len(ids)))
        for start in range(0, steps, at_once):
            places = torch.from_numpy((points[start : start + at_once] + 1) / 2).to(vectors)
            shares = torch.from_numpy(weights[start : start + at_once] / 2)
            line = baseline + places[:, None, None] * (vectors - baseline)
            for label, gradient in enumerate(self._gradients(line, input_ids[:1], columns)):
                totals[label] += torch.einsum("k,ksd->sd", shares, gradient)
        values = (totals * (vectors - baseline).double().cpu()).sum(dim=-1)
        return TokenAttribution(values.numpy(), logits[0], logits[1], steps)

    def _gradients(self, line: Tensor, input_ids: Tensor, columns: Sequence[int]) -> list[Tensor]:
        """Return the gradient of each logit at points of the line. *Shapes:* (K, S, D)."""
        vectors = line.detach().requires_grad_()
        with torch.enable_grad():
            logits = self._logits(vectors, input_ids)
            return [
                torch.autograd.grad(
                    logits[:, column].sum(), vectors, retain_graph=number + 1 < len(columns)
                )[0]
                .double()
                .cpu()
                for number, column in enumerate(columns)
            ]

    def _logits(self, vectors: Tensor, input_ids: Tensor) -> Tensor:
        """Return all logits of a text with other vectors. *Shapes:* (K, S, D), (1, S)."""
        repeated = input_ids.expand(len(vectors), -1)
        self._replacement = vectors
        try:
            logits: Tensor = self._network(repeated, torch.ones_like(repeated))
            return logits
        finally:
            self._replacement = None


def _word_table(network: Any) -> nn.Module:
    """Return the module that turns token ids into vectors."""
    try:
        table = network.transformer.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        table = None
    if not isinstance(table, nn.Module):
        raise OptionError(
            f"An encoder of the family '{network.config.model_type}' has no table of word vectors, so "
            "there are no gradients for its words; use method=occlusion."
        )
    return table
