"""The head before the first step: random, at the frequencies of the labels, or fitted.

A linear layer with small random weights needs some thousand steps to leave its start, because the
vectors of all texts resemble each other: their differences are small numbers, and so are the
gradients of rare labels. Where a run has fewer steps, the layer is first fitted alone, on the vectors
that the encoder gives before it is trained: logistic regression, which is convex and takes seconds.

Letters: `N` rows, `D` width, `L` labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["fit_linear", "output_layer"]

_ITERATIONS = 100
_HISTORY = 10
_TOLERANCE = 1e-7


def output_layer(network: nn.Module, num_labels: int) -> tuple[nn.Module, str] | None:
    """Return the module that holds the linear layer of the logits, and its name there."""
    found: list[tuple[nn.Module, str]] = []
    encoder = set(map(id, getattr(network, "transformer").modules()))
    for module in network.modules():
        if id(module) in encoder:
            continue
        for name, child in module.named_children():
            if isinstance(child, nn.Linear) and child.out_features == num_labels and id(child) not in encoder:
                found.append((module, name))
    return found[-1] if found else None


def fit_linear(vectors: Tensor, targets: Tensor, weights: Tensor | None, penalty: float) -> tuple[Tensor, Tensor]:
    """Return weight, (L, D), and bias, (L,), of a regularised logistic regression of each label."""
    mean = vectors.mean(dim=0)
    scale = vectors.var(dim=0, correction=0).mean().sqrt().clamp(min=1e-6)
    inputs = (vectors - mean) / scale
    known = ~torch.isnan(targets)
    truth = torch.nan_to_num(targets)
    each = known.float() if weights is None else known * weights[:, None]
    total = each.sum(dim=0)
    prior = ((truth * each).sum(dim=0) + 0.5) / (total + 1)
    bias = torch.logit(prior).requires_grad_()
    weight = torch.zeros(targets.shape[1], vectors.shape[1]).requires_grad_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_ITERATIONS, history_size=_HISTORY, tolerance_change=_TOLERANCE, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = torch.nn.functional.linear(inputs, weight, bias)
        cells = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, weight=each, reduction="sum")
        loss = (cells + penalty / 2 * weight.square().sum()) / len(vectors)
        loss.backward()
        return loss

    optimizer.step(closure)
    weight, bias = weight.detach() / scale, bias.detach()
    return weight, bias - weight @ mean
