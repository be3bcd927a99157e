"""What happens between optimiser steps: progress, evaluation, checkpoints, stopping."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from multihot.listener import Listener
from multihot.training.checkpoint import keep_checkpoints, save_checkpoint
from multihot.training.log import MetricsLog
from multihot.training.loop import StepResult
from multihot.training.progress import Progress, interruption

__all__ = ["RunState", "Watch"]


@dataclass
class RunState:
    """Everything a resumed run must know besides weights, moments and options."""

    step: int = 0
    best_step: int = 0
    best_epoch: int = 0
    best_value: float | None = None
    epochs_without_improvement: int = 0
    stopped_early: bool = False
    epoch_loss: float = 0.0
    """Loss of the epoch in progress, summed over its known label cells."""
    epoch_cells: float = 0.0


class Watch:
    """The callables that run after each step, and the state they keep.

    Where `evaluate` returns nothing there is nothing to choose an epoch by: the last one is kept.
    """

    def __init__(
        self,
        folder: Path,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        evaluate: Callable[[], Mapping[str, float | None]],
        goal: str,
        patience: int | None,
        checkpoint_steps: int,
        total_steps: int,
        epochs: int,
        log: MetricsLog,
        listener: Listener,
        state: RunState,
    ) -> None:
        self.folder = folder
        self.network = network
        self.optimizer = optimizer
        self.evaluate = evaluate
        self.goal = goal
        self.patience = patience
        self.checkpoint_steps = checkpoint_steps
        self.epochs = epochs
        self.log = log
        self.listener = listener
        self.state = state
        self.progress = Progress(total_steps, epochs, log, listener)
        self.stop_signal: int | None = None

    def report_progress(self, result: StepResult[Any]) -> None:
        """Tell the listener and the log about a step."""
        self.state.step = result.step.number
        if result.weight > 0:
            self.state.epoch_loss += result.loss * result.weight
            self.state.epoch_cells += result.weight
        self.progress.report(result)

    def end_epoch(self, result: StepResult[Any]) -> bool:
        """Evaluate after an epoch, remember the best one, save; return True to stop early."""
        if not result.step.last_of_epoch:
            return False
        state, epoch = self.state, result.step.epoch
        metrics = self.evaluate()
        value = metrics.get(self.goal)
        loss = state.epoch_loss / max(1.0, state.epoch_cells)
        state.epoch_loss = state.epoch_cells = 0.0
        entry = {"step": state.step, "epoch": epoch, "validation": bool(metrics)}
        self.log.write({**entry, "epoch_loss": loss, **metrics})
        better = state.best_value is None or (value is not None and value > state.best_value)
        if better:
            state.best_step, state.best_epoch, state.best_value = state.step, epoch, value
            state.epochs_without_improvement = 0
        else:
            state.epochs_without_improvement += 1
        shown = "undefined" if value is None else f"{value:.4f}"
        mark = " (best so far)" if better else ""
        judged = f", validation {self.goal} {shown}{mark}" if metrics else ""
        self.listener.say(f"Epoch {epoch} of {self.epochs}: mean loss {loss:.4f}{judged}.")
        if self.patience is not None and state.epochs_without_improvement >= self.patience:
            state.stopped_early = True
            self.listener.say(
                f"Stopping early: {self.goal} did not rise for {self.patience} epochs."
            )
        self._save()
        return state.stopped_early

    def save_when_due(self, result: StepResult[Any]) -> None:
        """Save every `checkpoint_steps` steps, and when a signal asked to stop."""
        if self.stop_signal is not None:
            if not result.step.last_of_epoch:  # else `end_epoch` has just saved
                self._save()
            raise interruption(self.stop_signal, self.state.step)
        if self.state.step % self.checkpoint_steps == 0 and not result.step.last_of_epoch:
            self._save()

    def _save(self) -> None:
        save_checkpoint(
            self.folder, self.state.step, self.network, self.optimizer, asdict(self.state)
        )
        keep_checkpoints(self.folder)
