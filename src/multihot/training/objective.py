"""The training objective: one of the losses with its regularisers.

Letters: `B` rows, `L` labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from multihot.core.options import ObjectiveOptions
from multihot.models import losses

__all__ = ["Objective", "build_objective"]

_MIN_FREQUENCY = 1e-4  # keeps the log-odds finite for labels that no row has, or all

RowLoss = Callable[[Tensor, Tensor], Tensor]
"""(B, L) logits and (B, L) targets -> (B,) losses; see `models.losses`."""


@dataclass(frozen=True)
class Objective:
    """A loss per row, and the weight of the consistency between two passes."""

    rows: RowLoss
    consistency_weight: float
    """0: one pass is enough."""

    @property
    def num_passes(self) -> int:
        """Forward passes of each batch, with different dropout."""
        return 2 if self.consistency_weight > 0 else 1

    def __call__(
        self, passes: list[Tensor], targets: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return (sum, weight) of a batch.

        Parameters
        ----------
        passes
            Logits of each pass. *Shape:* (B, L) each.
        targets
            *Shape:* (B, L), 0 to 1, NaN = unknown.
        weights
            *Shape:* (B,), or `None`.
        """
        each = [self.rows(logits, targets) for logits in passes]
        rows = torch.stack(each).mean(dim=0)
        if self.consistency_weight > 0:
            rows = rows + self.consistency_weight * losses.consistency(
                passes[0], passes[1], targets
            )
        return losses.weighted_sum(rows, targets, weights)


def build_objective(
    options: ObjectiveOptions,
    positives: npt.NDArray[np.int64] | npt.NDArray[np.float64],
    known: npt.NDArray[np.int64],
    device: torch.device,
) -> Objective:
    """Return the objective that the options describe.

    Parameters
    ----------
    options
        The loss and its hyper-parameters.
    positives, known
        Number of positives of each label, soft labels counted as fractions, and of its known cells.
        *Shape:* (L,) each.
    device
        Device of the logits.
    """
    frequency = torch.from_numpy(positives / np.maximum(known, 1)).float().to(device)
    positive_weight = _positive_weight(options.positive_weight, frequency)
    losses_by_name: dict[str, RowLoss] = {
        "bce": lambda z, y: losses.binary_cross_entropy(z, y, positive_weight),
        "focal": lambda z, y: losses.focal(z, y, options.focal_gamma),
        "asymmetric": lambda z, y: losses.asymmetric(
            z, y, options.positive_gamma, options.negative_gamma, options.probability_margin
        ),
        "zlpr": losses.zlpr,
        "distribution_balanced": lambda z, y: losses.distribution_balanced(z, y, frequency),
    }
    loss, smoothing, correlated = (
        losses_by_name[options.loss],
        options.label_smoothing,
        options.correlation_weight,
    )
    prior = options.prior_adjustment * torch.special.logit(frequency, eps=_MIN_FREQUENCY)

    def rows(logits: Tensor, targets: Tensor) -> Tensor:
        shifted = losses.adjust_for_prior(logits, prior) if options.prior_adjustment else logits
        values = loss(shifted, losses.smooth_targets(targets, smoothing) if smoothing else targets)
        if not correlated:
            return values
        # The correlation term is one value per row; it is weighted by the row's known cells.
        cells = (~torch.isnan(targets)).sum(dim=1)
        term = losses.label_correlation(logits, targets) * cells
        return (1 - correlated) * values + correlated * term

    return Objective(rows, options.r_drop_weight)


def _positive_weight(requested: str | float, frequency: Tensor) -> Tensor | None:
    """Return the weight of each label's positive cells, (L,); `None` when all are 1."""
    if not isinstance(requested, str):
        return None if requested == 1.0 else torch.full_like(frequency, requested)
    # A label without positives (or negatives) cannot be balanced.
    ratio = torch.where(
        (frequency > 0) & (frequency < 1), (1 - frequency) / frequency, torch.ones_like(frequency)
    )
    return ratio if requested == "balanced" else ratio.sqrt()
