"""Callbacks after each optimiser step: progress, log, evaluation, checkpoints, graceful stop."""

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

from multihot.core.goals import parse_goal
from multihot.core.options import TrainOptions
from multihot.core.progress import Listener, StepProgress
from multihot.errors import InterruptedRunError
from multihot.training.checkpoint import keep_checkpoints, save_checkpoint
from multihot.training.loop import Step, StepResult
from multihot.training.metrics_log import MetricsLog, Throughput
from multihot.training.ranks import ALONE, Ranks

__all__ = [
    "Callbacks",
    "ProgressReporter",
    "RunState",
    "Stoppable",
    "interruption",
    "stop_signals",
    "tokens_of",
]

_LOG_EVERY_STEPS = 10


def tokens_of(step: Step[Any]) -> int:
    """Return the tokens of a step in all processes, without padding."""
    if step.num_tokens is not None:
        return step.num_tokens
    return sum(batch.num_tokens for batch in step.micro_batches)


class ProgressReporter:
    """Reports every step to the listener and every tenth to the log."""

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
        """Report a step; `more` returns further entries of its line in the log."""
        step = result.step
        self.throughput.add(tokens_of(step))
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
    """Anything that remembers the signal that requested a stop."""

    stop_signal: int | None


def interruption(stop_signal: int, step: int) -> InterruptedRunError:
    """Return the error that ends a run right after its checkpoint was written."""
    error = InterruptedRunError(
        f"Stopped by {signal.Signals(stop_signal).name} after step {step}; a checkpoint was written. "
        "Run the same command with --resume to continue."
    )
    error.is_shared = True
    return error


@contextlib.contextmanager
def stop_signals(callbacks: Stoppable) -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP end the run after the step in progress; a second one ends it at once.

    Outside the main thread Python delivers no signals, and nothing is installed. A SIGHUP that is
    ignored, as `nohup` arranges it, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if callbacks.stop_signal is not None:
            raise KeyboardInterrupt
        callbacks.stop_signal = number

    numbers = [signal.SIGINT, signal.SIGTERM]
    hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
    if hang_up is not None and signal.getsignal(hang_up) != signal.SIG_IGN:
        numbers.append(hang_up)
    before = {number: signal.signal(number, ask) for number in numbers}
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
    """What runs after each step of fine-tuning, and the state that it keeps.

    Where `evaluate` returns nothing, no epoch can be selected: the last one is kept.
    """

    def __init__(
        self,
        checkpoints: Path,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        options: TrainOptions,
        *,
        evaluate: Callable[[], Mapping[str, float | None]],
        on_best: Callable[[], None] = lambda: None,
        total_steps: int,
        log: MetricsLog,
        listener: Listener,
        state: RunState,
        ranks: Ranks = ALONE,
    ) -> None:
        self.ranks = ranks
        self.checkpoints = checkpoints
        self.network = network
        self.optimizer = optimizer
        self.options = options
        self.evaluate = evaluate
        self.on_best = on_best
        self.log = log
        self.listener = listener
        self.state = state
        self.progress = ProgressReporter(total_steps, options.epochs, log, listener)
        self.stop_signal: int | None = None
        own = options.thresholds in ("per_label", "shrunk")
        goal_read = parse_goal(options.goal)
        self._goal = goal_read.of_each_label() if own else goal_read

    def after_step(self) -> list[Callable[[StepResult[Any]], bool | None]]:
        """Return the callables that the loop calls after each step, in order."""
        return [self.report_progress, self.end_epoch, self.save_when_due]

    def report_progress(self, result: StepResult[Any]) -> None:
        """Report a step to the listener and the log."""
        self.state.step = result.step.number
        if result.weight > 0:
            self.state.epoch_loss += result.loss * result.weight
            self.state.epoch_cells += result.weight
        self.progress.report(result)

    def end_epoch(self, result: StepResult[Any]) -> bool:
        """Evaluate after an epoch, remember the best one, save; return True to stop early."""
        if not result.step.last_of_epoch:
            return False
        state, epoch, goal = self.state, result.step.epoch, self.options.goal
        metrics = self.evaluate()
        value = metrics.get(goal)
        loss = state.epoch_loss / max(1.0, state.epoch_cells)
        state.epoch_loss = state.epoch_cells = 0.0
        entry = {"step": state.step, "epoch": epoch, "validation": bool(metrics)}
        self.log.write({**entry, "epoch_loss": loss, **metrics})
        better = state.best_value is None or (value is not None and value > state.best_value)
        if better:
            state.best_step, state.best_epoch, state.best_value = state.step, epoch, value
            state.epochs_without_improvement = 0
            self.on_best()
        else:
            state.epochs_without_improvement += 1
        shown = f"{goal} undefined" if value is None else self._goal.with_value(value, 4)
        mark = " (best so far)" if better else ""
        evaluated = f", validation {shown}{mark}" if metrics else ""
        self.listener.say(
            f"Epoch {epoch} of {self.options.epochs}: mean loss {loss:.4f}{evaluated}."
        )
        patience = self.options.early_stopping_epochs
        if patience is not None and state.epochs_without_improvement >= patience:
            state.stopped_early = True
            self.listener.say(f"Stopping early: no improvement of {goal} for {patience} epochs.")
        self._save()
        return state.stopped_early

    def save_when_due(self, result: StepResult[Any]) -> None:
        """Save every `checkpoint_steps` steps, and when a signal requested a stop in any process."""
        if stop_signal := self.ranks.greatest(self.stop_signal or 0):
            if not result.step.last_of_epoch:  # else `end_epoch` has just saved
                self._save()
            self.ranks.wait()  # a process that ends may end the others
            raise interruption(stop_signal, self.state.step)
        if self.state.step % self.options.checkpoint_steps == 0 and not result.step.last_of_epoch:
            self._save()

    def _save(self) -> None:
        if not self.ranks.is_first:
            return
        save_checkpoint(
            self.checkpoints, self.state.step, self.network, self.optimizer, asdict(self.state)
        )
        keep_checkpoints(self.checkpoints)
