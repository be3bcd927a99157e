"""AdamW, its parameter groups and the learning-rate schedule."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["build_optimizer", "gradient_norm", "linear_schedule", "scale_gradients"]


def build_optimizer(
    network: nn.Module, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Return fused AdamW (Loshchilov and Hutter 2019) with no decay on biases and normalisation.

    One-dimensional parameters are exactly those; decaying them only moves the model's offsets
    (Devlin et al. 2018, released code).
    """
    decayed = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def linear_schedule(step: int, total_steps: int, warmup_steps: int) -> float:
    """Return the share of the peak learning rate at a 0-based step; a pure function of the step.

    Rises linearly over `warmup_steps`, then falls linearly to 0 after the last step
    (Devlin et al. 2018, A.2).
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """Return the L2 norm of all gradients together, a float32 scalar."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm


def scale_gradients(parameters: Iterable[nn.Parameter], factor: float) -> None:
    """Multiply every gradient by `factor` in place."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    torch._foreach_mul_(gradients, factor)
