"""What happens between the steps of pretraining: progress, time, evaluation, snapshots, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from multihot.core.progress import Listener
from multihot.evaluation.bootstrap import Estimate
from multihot.training.callbacks import ProgressReporter, interruption
from multihot.training.checkpoint import keep_checkpoints, save_checkpoint
from multihot.training.loop import StepResult
from multihot.training.pretraining.batches import LossMeter
from multihot.training.pretraining.schedule import TimeBudget

__all__ = ["HELD_OUT", "PretrainState", "PretrainingCallbacks", "snapshot_steps"]

HELD_OUT = "held_out_"
"""What the names of held-out figures begin with in the log."""


@dataclass
class PretrainState:
    """Everything a resumed run must know besides weights, moments, options and schedule."""

    step: int = 0
    epoch: int = 1
    epoch_began: int = 0
    """Steps before this epoch."""
    tokens: int = 0
    """Tokens trained on, special tokens included, padding not."""
    seconds: float = 0.0
    """Of training with evaluations and checkpoints."""
    step_seconds: float = 0.0
    """Of the steps alone."""
    evaluation_seconds: float = 0.0
    """Of the first evaluation."""


def snapshot_steps(total_steps: int, number: int) -> list[int]:
    """Return the steps after which snapshots are kept: 1/4, 1/16, ... of all, those above 0."""
    return sorted({step for k in range(1, number + 1) if (step := round(total_steps / 4**k)) > 0})


class PretrainingCallbacks:
    """The callables that run after each step, and the state they keep."""

    def __init__(
        self,
        checkpoints: Path,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        evaluate: Callable[[], Mapping[str, Estimate]],
        keep_snapshot: Callable[[PretrainState], None],
        snapshots: int,
        budget: TimeBudget,
        checkpoint_steps: int,
        progress: ProgressReporter,
        meter: LossMeter,
        listener: Listener,
        state: PretrainState,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.checkpoints = checkpoints
        self.network = network
        self.optimizer = optimizer
        self.evaluate = evaluate
        self.keep_snapshot = keep_snapshot
        self.snapshot_steps = snapshot_steps(budget.schedule.total_steps, snapshots)
        self.budget = budget
        self.checkpoint_steps = checkpoint_steps
        self.progress = progress
        self.meter = meter
        self.listener = listener
        self.state = state
        self.clock = clock
        self.stop_signal: int | None = None
        self._step_began = clock()

    def begin(self, metrics: Mapping[str, Estimate] | None) -> None:
        """Log the figures of the network before its first step, `None` when a run is resumed."""
        if metrics is not None:
            self._log(metrics, epoch=1)
            self.keep_snapshot(self.state)
        self._step_began = self.clock()

    def calls(self) -> list[Callable[[StepResult[Any]], bool | None]]:
        """Return what the loop is to call after each step, in this order."""
        return [self.report_progress, self.evaluate_when_due, self.save_when_due]

    def report_progress(self, result: StepResult[Any]) -> None:
        """Tell the listener and the log about a step, and whether time runs short."""
        state, step = self.state, result.step
        state.step = step.number
        if step.epoch != state.epoch:
            state.epoch, state.epoch_began = step.epoch, step.number - 1
        state.tokens += sum(batch.num_tokens for batch in step.micro_batches)
        state.step_seconds += self.clock() - self._step_began
        self.budget.check(step.number)
        self.progress.throughput.total_steps = self.budget.schedule.last_step
        self.progress.report(result, self.meter.take)
        state.seconds = self.budget.seconds_used

    def evaluate_when_due(self, result: StepResult[Any]) -> None:
        """Evaluate every so many steps and at the end; keep a snapshot where one is due."""
        schedule, step = self.budget.schedule, self.state.step
        if step % schedule.evaluation_steps == 0 or step == schedule.last_step:
            self._log(self.evaluate(), result.step.epoch)
        if step in self.snapshot_steps and step != schedule.last_step:
            self.keep_snapshot(self.state)

    def save_when_due(self, result: StepResult[Any]) -> bool:
        """Save every so many steps, at the end and when asked to stop; return True at the end."""
        at_the_end = self.state.step >= self.budget.schedule.last_step
        asked = self.stop_signal is not None
        if at_the_end or asked or self.state.step % self.checkpoint_steps == 0:
            self.state.seconds = self.budget.seconds_used
            self._save()
        if self.stop_signal is not None:
            raise interruption(self.stop_signal, self.state.step)
        self._step_began = self.clock()
        return at_the_end

    def _log(self, metrics: Mapping[str, Estimate], epoch: int) -> None:
        entry: dict[str, Any] = {"step": self.state.step, "epoch": epoch, "held_out": True}
        entry |= {"tokens": self.state.tokens, "seconds": round(self.budget.seconds_used, 3)}
        for name, estimate in metrics.items():
            entry[f"{HELD_OUT}{name}"] = estimate.value
            entry[f"{HELD_OUT}{name}_low"] = estimate.low
            entry[f"{HELD_OUT}{name}_high"] = estimate.high
        self.progress.log.write(entry)
        words = [f"masked tokens right {_percent(metrics['mlm_top1'])}"]
        words.append(f"loss {metrics['mlm_loss'].value:.3f}")
        if "nsp_accuracy" in metrics:
            words.append(f"next sentences right {_percent(metrics['nsp_accuracy'])}")
        self.listener.say(f"Held out, after step {self.state.step}: {', '.join(words)}.")

    def _save(self) -> None:
        save_checkpoint(
            self.checkpoints, self.state.step, self.network, self.optimizer, asdict(self.state)
        )
        keep_checkpoints(self.checkpoints)


def _percent(estimate: Estimate) -> str:
    return "undefined" if estimate.value is None else f"{100 * estimate.value:.1f} %"
