"""One run of the optimiser: from the weights at the start to those of the best epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from multihot.core.options import TrainOptions
from multihot.core.progress import Listener
from multihot.core.seeding import named_seed
from multihot.data.dataset import EncodedExamples
from multihot.decision.decision import Decision
from multihot.evaluation.report import Report
from multihot.inference.torch_backend import TorchBackend
from multihot.models.devices import Precision
from multihot.models.encoder import pad_id
from multihot.training import checkpoint, loop
from multihot.training.batches import classification_loss, count_steps, explain_rows, steps_after
from multihot.training.callbacks import Callbacks, RunState, stop_signals
from multihot.training.metrics_log import MetricsLog, open_trackers
from multihot.training.objective import build_objective
from multihot.training.optimizer import WeightAverage, build_optimizer, linear_schedule
from multihot.training.run_directory import RunDirectory
from multihot.training.validation import ValidationSet

__all__ = ["Setup", "Trained", "copied_weights", "run_steps", "single_run", "take_best"]

Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Setup:
    """What all runs of one command share."""

    backend: TorchBackend
    """The network, on its device."""
    options: TrainOptions
    precision: Precision
    """Of training."""
    learning_rate: float
    """Peak learning rate of the encoder."""
    head_learning_rate: float
    """Peak learning rate of the head."""
    listener: Listener

    @property
    def network(self) -> nn.Module:
        """The network, which every run changes."""
        return self.backend.network


@dataclass(frozen=True)
class Trained:
    """What training ends with; the weights that belong to it are in the network."""

    decision: Decision
    report: Report
    epoch: int
    """1-based epoch of the weights."""
    weights: str | None = None
    judged_by: str = "validation rows"
    remark: str = "These rows also chose the epoch and fitted the thresholds"
    more: str = ""
    """These four: see `model_card`."""


def single_run(
    setup: Setup, train_set: EncodedExamples, held_out: ValidationSet, folder: RunDirectory
) -> Trained:
    """Train once, and fit the decision of the best epoch."""
    state = run_steps(setup, train_set, folder, evaluate=held_out.metrics)
    take_best(setup, state, folder)
    return Trained(
        *held_out.decide(held_out.saved_logits(folder.scoring), final=True), state.best_epoch
    )


def run_steps(
    setup: Setup,
    train_set: EncodedExamples,
    folder: RunDirectory,
    *,
    evaluate: Callable[[], Metrics],
    name: str | None = None,
) -> RunState:
    """Run all steps that are left, and return the state that names the best epoch.

    Parameters
    ----------
    setup
        Its network must have the weights of the start, also where a run is resumed.
    train_set
        The rows of this run.
    folder
        Where its log and its checkpoints are.
    evaluate
        Returns the metrics of the network as it is; without any, the last epoch counts as the best.
    name
        Of the run, for trackers; default: that of the model's folder.
    """
    network, options, listener = setup.network, setup.options, setup.listener
    device, packed, padding = setup.backend.device, bool(setup.backend.packed), pad_id(network)
    total_steps = count_steps(train_set, options, packed=packed)
    warmup_steps = round(options.warmup_fraction * total_steps)
    peak, precision = setup.learning_rate, setup.precision
    optimizer = _optimizer(setup)
    labels = train_set.labels
    objective = build_objective(options.objective, labels.sums(), labels.known(), device)
    state = _restored(folder, network, optimizer, total_steps, listener)
    average = WeightAverage(network, optimizer, options.weight_averaging)
    folder.root.mkdir(parents=True, exist_ok=True)
    trackers = open_trackers(options.trackers, folder.root, name or folder.root.parent.name)
    callbacks = Callbacks(
        folder.checkpoints,
        network,
        optimizer,
        evaluate=lambda: _evaluate(evaluate, average),
        goal=options.goal,
        patience=options.early_stopping_epochs,
        checkpoint_steps=options.checkpoint_steps,
        total_steps=total_steps,
        epochs=options.epochs,
        log=MetricsLog(folder.metrics, last_step=state.step, trackers=trackers),
        listener=listener,
        state=state,
    )
    steps = steps_after(state.step, train_set, options, padding, packed=packed)
    with stop_signals(callbacks), contextlib.closing(callbacks.log):
        loop.run(
            network,
            [] if state.stopped_early else steps,
            classification_loss(device, objective),
            optimizer,
            learning_rate=lambda step: peak * linear_schedule(step - 1, total_steps, warmup_steps),
            seed_of=lambda step: named_seed(options.seed, "dropout", step),
            autocast=lambda: precision.autocast(device),
            max_gradient_norm=options.max_gradient_norm,
            explain=lambda batch: explain_rows(batch, network, device, train_set),
            after_step=[
                *([average.update] if options.weight_averaging else []),
                callbacks.report_progress,
                callbacks.end_epoch,
                callbacks.save_when_due,
            ],
        )
    return state


def take_best(setup: Setup, state: RunState, folder: RunDirectory) -> None:
    """Put the weights of the best epoch into the network: the averaged ones, if any were kept."""
    best = checkpoint.checkpoint_folder(folder.checkpoints, state.best_step)
    checkpoint.load_checkpoint_weights(best, setup.network)
    if setup.options.weight_averaging:
        checkpoint.load_averages(best, setup.network)


def copied_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all weights in main memory."""
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


def _restored(
    folder: RunDirectory,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    total_steps: int,
    listener: Listener,
) -> RunState:
    """Go back to the newest complete checkpoint, if there is one."""
    saved, notes = checkpoint.restore(folder.checkpoints, network, optimizer)
    for note in notes:
        listener.say(note)
    if saved is None:
        return RunState()
    state = RunState(**saved)
    listener.say(f"Resuming after step {state.step} of {total_steps}.")
    return state


def _evaluate(evaluate: Callable[[], Metrics], average: WeightAverage) -> Metrics:
    with average.applied():
        return evaluate()
