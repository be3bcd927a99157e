"""What happens between optimiser steps: progress, log, evaluation, checkpoints, an orderly stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from torch import nn

from multihot.core.progress import Listener, StepProgress
from multihot.errors import InterruptedRunError
from multihot.training.checkpoint import keep_checkpoints, save_checkpoint
from multihot.training.loop import StepResult
from multihot.training.metrics_log import MetricsLog, Throughput

__all__ = ["Callbacks", "ProgressReporter", "RunState", "Stoppable", "interruption", "stop_signals"]

_LOG_EVERY_STEPS = 10


class ProgressReporter:
    """Tells the listener about every step and the log about every tenth."""

    def __init__(
        self,
        total_steps: int,
        epochs: int,
        log: MetricsLog,
        listener: Listener,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.epochs = epochs
        self.log = log
        self.listener = listener
        self.throughput = Throughput(total_steps, clock) if clock else Throughput(total_steps)

    def report(
        self,
        result: StepResult[Any],
        more: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        """Tell about a step; `more` gives further entries of a line of the log."""
        step = result.step
        self.throughput.add(sum(batch.num_tokens for batch in step.micro_batches))
        update = StepProgress(
            step.number,
            self.throughput.total_steps,
            step.epoch,
            self.epochs,
            result.loss,
            self.throughput.tokens_per_second,
            self.throughput.seconds_left(step.number),
        )
        self.listener.progress(update)
        if step.number % _LOG_EVERY_STEPS == 0 or step.last_of_epoch:
            self.log.write(
                {
                    "step": step.number,
                    "epoch": step.epoch,
                    "loss": result.loss,
                    "gradient_norm": result.gradient_norm,
                    "learning_rate": result.learning_rate,
                    "tokens_per_second": round(update.tokens_per_second, 1),
                    **(more() if more is not None else {}),
                }
            )


class Stoppable(Protocol):
    """What keeps the signal that asked it to stop."""

    stop_signal: int | None


def interruption(stop_signal: int, step: int) -> InterruptedRunError:
    """Return the error that ends a run whose checkpoint has just been written."""
    return InterruptedRunError(
        f"Stopped by {signal.Signals(stop_signal).name} after step {step}; a checkpoint is written. "
        "Run the same command with --resume to go on."
    )


@contextlib.contextmanager
def stop_signals(callbacks: Stoppable) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the run after the step in progress; a second one ends it at once.

    Outside the main thread Python delivers no signals, and nothing is installed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if callbacks.stop_signal is not None:
            raise KeyboardInterrupt
        callbacks.stop_signal = number

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


class Callbacks:
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
        self.progress = ProgressReporter(total_steps, epochs, log, listener)
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
