"""What every contender on torch begins with."""

from __future__ import annotations

import torch

from contenders.gate import Gate

__all__ = ["torch_gate"]


def torch_gate() -> Gate:
    """Return the gate, with torch on as many threads as the setting says."""
    gate = Gate()
    torch.set_num_threads(gate.setting["threads"])
    if gate.setting["device"] == "cuda":
        gate.synchronize = torch.cuda.synchronize
    return gate
