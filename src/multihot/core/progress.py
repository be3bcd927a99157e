"""How long-running work talks to whoever started it. Silent unless told otherwise."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Listener", "StepProgress"]


@dataclass(frozen=True)
class StepProgress:
    """Where a training run stands after a step."""

    step: int
    total_steps: int
    epoch: int
    epochs: int
    loss: float
    """Mean loss per known label cell of the step."""
    tokens_per_second: float
    """Real tokens, padding excluded."""
    seconds_left: float


class Listener:
    """Receives what a run has to say; this one keeps silent."""

    def say(self, message: str) -> None:
        """Receive a sentence for people."""

    def progress(self, update: StepProgress) -> None:
        """Receive the state after a training step."""
