"""Callbacks of pretraining after each step: progress, time, evaluation, snapshots, checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from multihot.core.text_tables import format_percent
from multihot.evaluation.bootstrap import Estimate
from multihot.training.callbacks import ProgressReporter, interruption, tokens_of
from multihot.training.checkpoint import keep_checkpoints, save_checkpoint
from multihot.training.loop import StepResult
from multihot.training.metrics_log import MetricsLog, open_trackers
from multihot.training.pretraining.prepared_run import PretrainingRun
from multihot.training.pretraining.schedule import TimeBudget

__all__ = ["HELD_OUT", "PretrainState", "PretrainingCallbacks", "snapshot_steps"]

HELD_OUT = "held_out_"
"""Prefix of the hold-out metrics in the log."""


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
    """What runs after each step of pretraining, and the state that it keeps.

    `loss_means` returns the mean of each loss since its last call.
    """

    def __init__(
        self,
        run: PretrainingRun,
        optimizer: torch.optim.Optimizer,
        budget: TimeBudget,
        loss_means: Callable[[], Mapping[str, float]],
        state: PretrainState,
    ) -> None:
        root, schedule = run.directory.root, budget.schedule
        self.run = run
        self.optimizer = optimizer
        self.budget = budget
        self.loss_means = loss_means
        self.state = state
        self.snapshot_steps = snapshot_steps(schedule.total_steps, run.options.snapshots)
        trackers = open_trackers(run.options.trackers, root, root.parent.name)
        # What was logged before the first checkpoint, step 0 included, is logged again.
        last_step = state.step or -1
        path = run.directory.metrics if run.ranks.is_first else None
        self.log = MetricsLog(path, last_step=last_step, trackers=trackers)
        epochs = max(1, math.ceil(schedule.total_steps / run.source.num_steps()))
        self.progress = ProgressReporter(
            schedule.last_step, epochs, self.log, run.listener, run.clock
        )
        self.stop_signal: int | None = None
        self._step_began = run.clock()

    def begin(self, metrics: Mapping[str, Estimate] | None) -> None:
        """Log the metrics of the network before its first step; `None` when a run is resumed."""
        if metrics is not None:
            self._log(metrics, epoch=1)
            self._save_snapshot()
        self._step_began = self.run.clock()

    def after_step(self) -> list[Callable[[StepResult[Any]], bool | None]]:
        """Return the callables that the loop calls after each step, in order."""
        return [self.report_progress, self.evaluate_when_due, self.save_when_due]

    def report_progress(self, result: StepResult[Any]) -> None:
        """Report a step to the listener and the log, and check the time budget."""
        state, step = self.state, result.step
        state.step = step.number
        if step.epoch != state.epoch:
            state.epoch, state.epoch_began = step.epoch, step.number - 1
        state.tokens += tokens_of(step)
        state.step_seconds += self.run.clock() - self._step_began
        self.budget.check(step.number)
        self.progress.throughput.total_steps = self.budget.schedule.last_step
        self.progress.report(result, self.loss_means)
        state.seconds = self.budget.seconds_used

    def evaluate_when_due(self, result: StepResult[Any]) -> None:
        """Evaluate every so many steps and at the end; keep a snapshot where one is due."""
        schedule, step = self.budget.schedule, self.state.step
        if step % schedule.evaluation_steps == 0 or step == schedule.last_step:
            self._log(self.run.evaluator(self.run.network), result.step.epoch)
        if step in self.snapshot_steps and step != schedule.last_step:
            self._save_snapshot()

    def save_when_due(self, result: StepResult[Any]) -> bool:
        """Save every so many steps, at the end and when a stop was requested; return True at the end."""
        at_the_end = self.state.step >= self.budget.schedule.last_step
        stop_signal = self.run.ranks.greatest(self.stop_signal or 0)
        if at_the_end or stop_signal or self.state.step % self.run.options.checkpoint_steps == 0:
            self.state.seconds = self.budget.seconds_used
            self._save()
        if stop_signal:
            self.run.ranks.wait()  # a process that ends may end the others
            raise interruption(stop_signal, self.state.step)
        self._step_began = self.run.clock()
        return at_the_end

    def _log(self, metrics: Mapping[str, Estimate], epoch: int) -> None:
        entry: dict[str, Any] = {"step": self.state.step, "epoch": epoch, "held_out": True}
        entry |= {"tokens": self.state.tokens, "seconds": round(self.budget.seconds_used, 3)}
        for name, estimate in metrics.items():
            entry[f"{HELD_OUT}{name}"] = estimate.value
            entry[f"{HELD_OUT}{name}_low"] = estimate.low
            entry[f"{HELD_OUT}{name}_high"] = estimate.high
        self.log.write(entry)
        shown = [f"MLM top-1 {format_percent(metrics['mlm_top1'].value, 1, 'undefined')}"]
        shown.append(f"loss {metrics['mlm_loss'].value:.3f}")
        if "nsp_accuracy" in metrics:
            shown.append(
                f"NSP accuracy {format_percent(metrics['nsp_accuracy'].value, 1, 'undefined')}"
            )
        self.run.listener.say(f"Hold-out corpus, step {self.state.step}: {', '.join(shown)}.")

    def _save_snapshot(self) -> None:
        state = self.state
        if self.run.ranks.is_first:
            self.run.save_snapshot(step=state.step, tokens=state.tokens, seconds=state.seconds)

    def _save(self) -> None:
        if not self.run.ranks.is_first:
            return
        root, state = self.run.directory.checkpoints, self.state
        folder = save_checkpoint(root, state.step, self.run.network, self.optimizer, asdict(state))
        self.run.save(folder)  # so that the checkpoint is an encoder, too
        keep_checkpoints(root)
