"""One run of the optimiser: from the initial weights to those of the best epoch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from multihot.core.options import TrainOptions
from multihot.core.progress import Listener
from multihot.data.dataset import Subset
from multihot.decision.decision import Decision
from multihot.errors import TrainingError
from multihot.evaluation.report import Report
from multihot.gate.stored_records import record_of
from multihot.inference.torch_backend import TorchBackend
from multihot.models.encoder import pad_id
from multihot.training import checkpoint, loop
from multihot.training.batches import classification_loss, count_steps, explain_rows, steps_after
from multihot.training.callbacks import Callbacks, RunState, stop_signals
from multihot.training.compute import Hardware
from multihot.training.initial_head import initialize_head
from multihot.training.metrics_log import MetricsLog, open_trackers
from multihot.training.objective import build_objective
from multihot.training.optimizer import WeightAverage, build_optimizer, linear_schedule
from multihot.training.ranks import ALONE, NOT_SHARED, Ranks
from multihot.training.run_directory import RunDirectory
from multihot.training.validation import ScoredEpochs, ValidationSet

__all__ = [
    "SHOWN_METRICS",
    "Metrics",
    "SeedRun",
    "SeedRuns",
    "Setup",
    "Trained",
    "copied_weights",
    "load_best_epoch",
    "run_steps",
    "single_run",
]

SHOWN_METRICS = ("jaccard", "micro_f1", "macro_f1", "subset_accuracy", "hamming_loss", "lrap")

Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Setup:
    """What all optimiser runs of one command have in common."""

    backend: TorchBackend
    """The network, on its device."""
    options: TrainOptions
    hardware: Hardware
    learning_rate: float
    """Peak learning rate of the encoder."""
    head_learning_rate: float
    """Peak learning rate of the head."""
    listener: Listener
    ranks: Ranks = ALONE
    """The processes that train together."""
    new_head: bool = False
    """Whether the head was never trained."""

    @property
    def network(self) -> nn.Module:
        """The network, which every run changes."""
        return self.backend.network


@dataclass(frozen=True)
class SeedRun:
    """The result of one seed."""

    seed: int
    epoch: int
    """1-based, the best one."""
    metrics: Metrics
    """On the validation rows."""


@dataclass(frozen=True)
class SeedRuns:
    """The results of several seeds, and which weights were kept."""

    goal: str
    runs: tuple[SeedRun, ...]
    mean: Metrics
    """Mean of each metric over the seeds; `None` where it is undefined for one of them."""
    deviation: Metrics
    """Sample standard deviation, likewise."""
    average: Metrics | None = None
    """Metrics of the averaged weights when these were kept; `None` when the best seed was."""

    @property
    def best(self) -> SeedRun:
        """The run with the highest goal; the first of equal ones."""
        values = [run.metrics[self.goal] for run in self.runs]
        ranks = [-math.inf if value is None else value for value in values]
        return self.runs[ranks.index(max(ranks))]

    def shown(self) -> list[str]:
        """Return the names of the metrics that are shown to people, the goal first."""
        return [name for name in dict.fromkeys((self.goal, *SHOWN_METRICS)) if name in self.mean]


@dataclass(frozen=True)
class Trained:
    """The result of training; its weights are in the network."""

    decision: Decision
    report: Report
    epoch: int
    """1-based epoch of the weights; with several seeds that of the best one."""
    validation: Literal["validation_rows", "out_of_fold"] = "validation_rows"
    """Which scores fitted the thresholds and are reported."""
    num_folds: int | None = None
    seeds: SeedRuns | None = None


def single_run(
    setup: Setup, train_set: Subset, validation: ValidationSet, directory: RunDirectory
) -> Trained:
    """Train once, and fit the decision of the best epoch."""
    epochs = ScoredEpochs(validation, directory.scoring)
    state = run_steps(setup, train_set, directory, evaluate=epochs.metrics, on_best=epochs.keep)
    load_best_epoch(setup, state, directory)
    return Trained(*validation.decide(epochs.best_logits(), final=True), state.best_epoch)


def run_steps(
    setup: Setup,
    train_set: Subset,
    directory: RunDirectory,
    *,
    evaluate: Callable[[], Metrics],
    on_best: Callable[[], None] = lambda: None,
    name: str | None = None,
) -> RunState:
    """Run all remaining steps, and return the state, which names the best epoch.

    Parameters
    ----------
    setup
        Its network must have the initial weights, also when a run is resumed.
    train_set
        The training rows of this run.
    directory
        Holds its log and its checkpoints.
    evaluate
        Returns the metrics of the network in its present state; if empty, the last epoch counts as
        the best.
    on_best
        Called after an evaluation that is the best so far.
    name
        Of the run, for trackers; default: that of the model's folder.
    """
    network, options = setup.network, setup.options
    hardware, ranks = setup.hardware, setup.ranks
    device, packed, padding = hardware.device, bool(setup.backend.packed), pad_id(network)
    total_steps = count_steps(train_set, options, packed=packed)
    warmup_steps = round(options.warmup_fraction * total_steps)
    optimizer = _optimizer(setup)
    totals = train_set.label_totals()
    objective = build_objective(options.objective, totals.sums, totals.known, device)
    state = _restored(directory, network, optimizer, total_steps, setup)
    if state.step == 0:
        _start_head(setup, train_set, total_steps)
    average = WeightAverage(network, optimizer, options.weight_averaging)
    if ranks.is_first:
        directory.root.mkdir(parents=True, exist_ok=True)
    trackers = open_trackers(options.trackers, directory.root, name or directory.root.parent.name)
    metrics_path = directory.metrics if ranks.is_first else None
    callbacks = Callbacks(
        directory.checkpoints,
        network,
        optimizer,
        options,
        evaluate=lambda: _evaluate(evaluate, network, average),
        on_best=on_best,
        total_steps=total_steps,
        log=MetricsLog(metrics_path, last_step=state.step, trackers=trackers),
        listener=setup.listener,
        state=state,
        ranks=ranks,
    )
    steps = steps_after(state.step, train_set, options, padding, packed=packed, ranks=ranks)
    with stop_signals(callbacks), contextlib.closing(callbacks.log):
        loop.run(
            network,
            [] if state.stopped_early else steps,
            classification_loss(device, objective),
            optimizer,
            learning_rate=lambda step: (
                setup.learning_rate * linear_schedule(step - 1, total_steps, warmup_steps)
            ),
            seed_of=lambda step: ranks.seed(options.seed, "dropout", step),
            autocast=hardware.autocast,
            max_gradient_norm=options.max_gradient_norm,
            explain=lambda batch: explain_rows(batch, network, device, train_set),
            after_step=[
                *([average.update] if options.weight_averaging else []),
                *callbacks.after_step(),
            ],
            ranks=ranks,
        )
    return state


def load_best_epoch(setup: Setup, state: RunState, directory: RunDirectory) -> None:
    """Put the weights of the best epoch into the network: the averaged ones, if they were kept."""
    setup.ranks.wait()  # until it is written
    best = checkpoint.checkpoint_folder(directory.checkpoints, state.best_step)
    checkpoint.load_checkpoint_weights(best, setup.network)
    if setup.options.weight_averaging:
        checkpoint.load_averages(best, setup.network)


def copied_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all weights in CPU memory."""
    return {name: t.detach().to("cpu", copy=True) for name, t in network.state_dict().items()}


def _optimizer(setup: Setup) -> torch.optim.Optimizer:
    options = setup.options
    return build_optimizer(
        setup.network,
        setup.learning_rate,
        options.weight_decay,
        head_learning_rate=setup.head_learning_rate,
        layer_decay=options.layer_decay,
    )


def _start_head(setup: Setup, train_set: Subset, num_steps: int) -> None:
    asked = setup.options.initial_head
    if not setup.new_head:
        if asked:
            setup.listener.say(f"initial_head={asked} has no effect: the head was trained before.")
        return
    initialize_head(
        setup.backend,
        train_set,
        setup.options,
        num_steps=num_steps,
        precision=setup.hardware.precision,
        ranks=setup.ranks,
        listener=setup.listener,
    )


def _restored(
    directory: RunDirectory,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    total_steps: int,
    setup: Setup,
) -> RunState:
    """Restore the newest complete checkpoint, if there is one."""
    listener = setup.listener
    saved, notes = checkpoint.restore(directory.checkpoints, network, optimizer)
    for note in notes:
        listener.say(note)
    setup.ranks.require_same(
        {"checkpoint": saved and saved.get("step")},
        NOT_SHARED,
    )
    if saved is None:
        return RunState()
    state = record_of(RunState, saved, directory.checkpoints, TrainingError)
    listener.say(f"Resuming after step {state.step} of {total_steps}.")
    return state


def _evaluate(
    evaluate: Callable[[], Metrics], network: nn.Module, average: WeightAverage
) -> Metrics:
    network.zero_grad(set_to_none=True)  # the memory is needed for the validation rows
    with average.applied():
        return evaluate()
