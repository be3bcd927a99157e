"""What a run minimises: one of the losses, and what is added to it.

Letters: `B` rows, `L` labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from multihot.core.objective_options import ObjectiveOptions
from multihot.models import losses

__all__ = ["Objective", "build_objective"]

_LEAST_SHARE = 1e-4  # a label that no training row has, or that all have, is not infinitely rare

RowLoss = Callable[[Tensor, Tensor], Tensor]
"""(B, L) logits and (B, L) targets -> (B,) losses; see `models.losses`."""


@dataclass(frozen=True)
class Objective:
    """A loss of rows, and how two passes over the same rows shall agree."""

    rows: RowLoss
    consistency_weight: float
    """0: one pass is enough."""

    @property
    def num_passes(self) -> int:
        """How often each batch is computed, with different dropout."""
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
        The loss and its numbers.
    positives, known
        How many training rows have each label, fractions counted as such, and of how many it is known.
        *Shape:* (L,) each.
    device
        Where the logits will be.
    """
    share = torch.from_numpy(positives / np.maximum(known, 1)).float().to(device)
    positive_weight = _positive_weight(options.positive_weight, share)
    made: dict[str, RowLoss] = {
        "bce": lambda z, y: losses.binary_cross_entropy(z, y, positive_weight),
        "focal": lambda z, y: losses.focal(z, y, options.focal_gamma),
        "asymmetric": lambda z, y: losses.asymmetric(
            z, y, options.positive_gamma, options.negative_gamma, options.probability_margin
        ),
        "zlpr": losses.zlpr,
        "distribution_balanced": lambda z, y: losses.distribution_balanced(z, y, share),
    }
    loss, smoothing, correlated = (
        made[options.loss],
        options.label_smoothing,
        options.correlation_weight,
    )
    prior = options.prior_adjustment * torch.special.logit(share, eps=_LEAST_SHARE)

    def rows(logits: Tensor, targets: Tensor) -> Tensor:
        shifted = losses.adjust_for_prior(logits, prior) if options.prior_adjustment else logits
        found = loss(shifted, losses.smooth_targets(targets, smoothing) if smoothing else targets)
        if not correlated:
            return found
        # The correlation term is one number for a row; it counts as much as the row's cells do.
        cells = (~torch.isnan(targets)).sum(dim=1)
        term = losses.label_correlation(logits, targets) * cells
        return (1 - correlated) * found + correlated * term

    return Objective(rows, options.r_drop_weight)


def _positive_weight(wanted: str | float, share: Tensor) -> Tensor | None:
    """Return the weight of each label's positive cells, (L,); `None` when all are 1."""
    if not isinstance(wanted, str):
        return None if wanted == 1.0 else torch.full_like(share, wanted)
    # A label without positives (or negatives) has nothing to be balanced.
    ratio = torch.where((share > 0) & (share < 1), (1 - share) / share, torch.ones_like(share))
    return ratio if wanted == "balanced" else ratio.sqrt()
