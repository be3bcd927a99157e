"""Messages and progress of a long run; silent by default."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Listener", "StepProgress"]


@dataclass(frozen=True)
class StepProgress:
    """Progress of a training run after a step."""

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
    """Receives messages and progress of a run; this one ignores both."""

    def say(self, message: str) -> None:
        """Receive a message for the user."""

    def progress(self, update: StepProgress) -> None:
        """Receive the progress after a training step."""
