"""AdamW, its parameter groups and the learning-rate schedule."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["build_optimizer", "linear_schedule"]


def build_optimizer(
    network: nn.Module,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
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
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=True)


def linear_schedule(step: int, total_steps: int, warmup_steps: int) -> float:
    """Return the share of the peak learning rate at a 0-based step; a pure function of the step.

    Rises linearly over `warmup_steps`, then falls linearly to 0 after the last step
    (Devlin et al. 2018, A.2).
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))
