"""How a training loop of transformers' `Trainer`, or of one built on it, waits at the gate."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from contenders.gate import Gate

__all__ = ["AtTheGate"]


class AtTheGate(TrainerCallback):  # type: ignore[misc]
    """Wait at the gate before the first step and after each one."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Wait for the first slice."""
        self.gate.open(batch_size=args.train_batch_size, optimizer=str(args.optim.value))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the step."""
        self.gate.tick()
