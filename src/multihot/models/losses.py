"""Losses: pure functions of logits and targets.

Letters: `B` rows, `L` labels, `z` a logit, `y` its target, `s(z) = 1 / (1 + exp(-z))`,
`p = s(z)`.

Every function takes

    logits    (B, L), any floating dtype; computed in float32
    targets   (B, L), float32, 0 to 1 (between them: fractions of annotators), NaN = unknown

and returns one number for each row, *shape* (B,), float32: the sum over its known cells, or, where
a formula is not a sum over cells, that formula over the known cells. Unknown cells have no value
and no gradient anywhere. `weighted_sum` makes (sum, weight) of it, as the training loop wants.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

__all__ = [
    "adjust_for_prior",
    "asymmetric",
    "binary_cross_entropy",
    "consistency",
    "distribution_balanced",
    "focal",
    "label_correlation",
    "smooth_targets",
    "weighted_sum",
    "zlpr",
]


def binary_cross_entropy(
    logits: Tensor, targets: Tensor, positive_weight: Tensor | None = None
) -> Tensor:
    """`-[w y log s(z) + (1 - y) log(1 - s(z))]`, with a weight `w` of each label, (L,), or 1."""
    logits, targets, known = _prepared(logits, targets)
    cells = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, targets, pos_weight=positive_weight, reduction="none"
    )
    return (cells * known).sum(dim=1)


def focal(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """`|y - p|^gamma` times the binary cross-entropy: easy cells count little.

    For `y` of 0 or 1 this is Lin et al. 2017, equation 4, without their alpha; for targets between,
    the quality focal loss of Li et al. 2020, equation 5.
    """
    logits, targets, known = _prepared(logits, targets)
    cells = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    distance = (targets - torch.sigmoid(logits)).abs().clamp(min=1e-8)
    return (distance**gamma * cells * known).sum(dim=1)


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    positive_gamma: float,
    negative_gamma: float,
    probability_margin: float,
) -> Tensor:
    """Focus on positive and negative cells differently (Ridnik et al. 2021, equation 7).

    `-[y (1 - p)^g+ log p + (1 - y) q^g- log(1 - q)]` with `q = max(p - margin, 0)`: a negative cell
    whose probability is below the margin counts nothing at all.
    """
    logits, targets, known = _prepared(logits, targets)
    probability = torch.sigmoid(logits)
    shifted = (probability - probability_margin).clamp(min=0.0)
    positive = (1 - probability).clamp(min=1e-8) ** positive_gamma * -logsigmoid(logits)
    negative = shifted.clamp(min=1e-8) ** negative_gamma * -torch.log1p(
        -shifted.clamp(max=1 - 1e-7)
    )
    if probability_margin == 0:  # exact where 1 - p is too close to 0 for float32
        negative = probability.clamp(min=1e-8) ** negative_gamma * softplus(logits)
    return ((targets * positive + (1 - targets) * negative) * known).sum(dim=1)


def zlpr(logits: Tensor, targets: Tensor) -> Tensor:
    """`log(1 + sum over positives of exp(-z)) + log(1 + sum over negatives of exp(z))`.

    Zero-bounded log-sum-exp and pairwise rank-based loss (Su et al. 2022, "ZLPR"); with targets
    between 0 and 1, as in their soft-label form, the terms are `y exp(-z)` and `(1 - y) exp(z)`.
    The number 0 stands between positives and negatives, so that a score of 0.5 separates them.
    """
    logits, targets, known = _prepared(logits, targets)
    nothing = torch.full_like(logits, -torch.inf)
    smallest = torch.finfo(torch.float32).tiny
    positive = torch.where(
        known & (targets > 0), targets.clamp(min=smallest).log() - logits, nothing
    )
    negative = torch.where(
        known & (targets < 1), (1 - targets).clamp(min=smallest).log() + logits, nothing
    )
    zero = logits.new_zeros(len(logits), 1)
    return torch.logsumexp(torch.cat([zero, positive], dim=1), dim=1) + torch.logsumexp(
        torch.cat([zero, negative], dim=1), dim=1
    )


def distribution_balanced(logits: Tensor, targets: Tensor, frequency: Tensor) -> Tensor:
    """Rebalance by label frequency and be tolerant to negatives (Wu et al. 2020).

    With `n` the frequency of a label, a cell weighs `r = 0.1 + s(10 (q - 0.3))`, where
    `q = (1 / n) / sum over the row's positives of (1 / n)`; a row without positives has a large `q`.
    With `x = z - 0.05 log(1 / frequency - 1)` the cell is
    `r [y log(1 + exp(-x)) + (1 - y) log(1 + exp(5 x)) / 5]`. The constants are those that the
    paper uses for its data set of 20 labels.

    Parameters
    ----------
    frequency
        Fraction of the training rows that have each label. *Shape:* (L,), float32, between 0 and 1.
    """
    logits, targets, known = _prepared(logits, targets)
    frequency = frequency.clamp(1e-4, 1 - 1e-4)
    row_inverse = (targets * known / frequency).sum(dim=1, keepdim=True)
    weight = 0.1 + torch.sigmoid(10 * (1 / frequency / row_inverse.clamp(min=1e-6) - 0.3))
    shifted = logits - 0.05 * torch.log(1 / frequency - 1)
    cells = targets * softplus(-shifted) + (1 - targets) * softplus(5 * shifted) / 5
    return (weight * cells * known).sum(dim=1)


def label_correlation(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of `exp(p_n - p_m)` over a row's pairs of a negative `n` and a positive `m`.

    The label-correlation aware loss of SpanEmo (Alhuzali and Ananiadou 2021, section 3), on
    probabilities; 0 for a row without a positive or without a negative. A target above 0.5 is a
    positive.
    """
    logits, targets, known = _prepared(logits, targets)
    probability = torch.sigmoid(logits)
    positive, negative = known & (targets > 0.5), known & (targets <= 0.5)
    # The mean of a product over all pairs is the product of the means.
    rising = (probability.exp() * negative).sum(dim=1) / negative.sum(dim=1).clamp(min=1)
    falling = ((-probability).exp() * positive).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
    return rising * falling


def consistency(first: Tensor, second: Tensor, targets: Tensor) -> Tensor:
    """Disagreement of two passes with different dropout (R-Drop, Liang et al. 2021, section 2).

    Half the sum of both Kullback-Leibler divergences between the two Bernoulli distributions of each
    cell: `(p1 - p2) (z1 - z2) / 2`, summed over the known cells.
    """
    first, _, known = _prepared(first, targets)
    second = second.float()
    cells = (torch.sigmoid(first) - torch.sigmoid(second)) * (first - second) / 2
    return (cells * known).sum(dim=1)


def adjust_for_prior(logits: Tensor, prior: Tensor) -> Tensor:
    """Add what is known of each label without reading the text, so that logits need not learn it.

    The logit-adjusted loss of Menon et al. 2021 (section 5.2), one label at a time: the loss sees
    `z + tau log(q / (1 - q))`, with `q` the fraction of rows that have the label. Without the addition,
    as prediction reads them, logits of rare labels are then higher, by as much as a shift of their
    thresholds by that amount (section 5.1) would do.

    Parameters
    ----------
    prior
        `tau log(q / (1 - q))` of each label. *Shape:* (L,), float32.
    """
    return logits.float() + prior


def smooth_targets(targets: Tensor, smoothing: float) -> Tensor:
    """Move targets towards 0.5 by a factor (Szegedy et al. 2016, section 7, for two classes)."""
    return targets * (1 - smoothing) + smoothing / 2


def weighted_sum(
    rows: Tensor, targets: Tensor, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the sum of row losses, and the number of known cells they stand for.

    The caller divides by the weight of the whole optimiser step, not of each micro-batch, so that
    accumulation does not change the loss.

    Parameters
    ----------
    rows
        Loss of each row. *Shape:* (B,), float32.
    targets
        *Shape:* (B, L), NaN = unknown.
    weights
        How much each row counts, 0 or more; `None` = 1. *Shape:* (B,), float32.

    Returns
    -------
    (sum, weight)
        Two float32 scalars.
    """
    known = _known(targets)
    cells = known.sum(dim=1).float() if known.ndim else rows.new_full(rows.shape, targets.shape[1])
    if weights is None:
        return rows.sum(), cells.sum()
    return (rows * weights).sum(), (cells * weights).sum()


def _prepared(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits in float32, targets with 0 where unknown, and where they are known."""
    known = _known(targets)
    return logits.float(), targets if known.ndim == 0 else torch.nan_to_num(targets), known


def _known(targets: Tensor) -> Tensor:
    """Return which cells are known: bool, *shape* (B, L), or () where all are, the usual case."""
    if torch.isnan(targets.sum()):
        return ~torch.isnan(targets)
    return torch.ones((), dtype=torch.bool, device=targets.device)
