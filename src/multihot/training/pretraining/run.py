"""All steps of a pretraining run: plan them, take those that are left, keep what must not be lost."""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from multihot.core.files import storage_errors, write_json
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.progress import Listener
from multihot.core.seeding import named_seed
from multihot.models.devices import Precision
from multihot.models.encoder import pad_id
from multihot.models.pretraining.checkpoint import save_pretraining_model
from multihot.models.pretraining.network import PretrainingNetwork
from multihot.training import checkpoint, loop
from multihot.training.callbacks import ProgressReporter, stop_signals
from multihot.training.loop import Step
from multihot.training.metrics_log import MetricsLog, open_trackers
from multihot.training.optimizer import build_optimizer
from multihot.training.pretraining.batches import (
    ExampleSource,
    LossMeter,
    PretrainingBatch,
    explain_batch,
    masked_batch_tensors,
    mlm_nsp_loss,
)
from multihot.training.pretraining.callbacks import PretrainingCallbacks, PretrainState
from multihot.training.pretraining.evaluation import HoldoutEvaluator
from multihot.training.pretraining.initial_model import (
    InitialNetwork,
    InitialTokenizer,
    peak_learning_rate,
)
from multihot.training.pretraining.prefetch import prefetched
from multihot.training.pretraining.roofline import gemm_seconds, linear_shapes
from multihot.training.pretraining.schedule import (
    Schedule,
    TimeBudget,
    plan_steps,
    read_schedule,
    seconds_per_step,
    write_schedule,
)
from multihot.training.run_directory import RunDirectory

__all__ = [
    "SNAPSHOT_FILE",
    "Computing",
    "PretrainingRun",
    "matmul_utilisation",
    "run_pretraining_steps",
]

Loss = Callable[[nn.Module, PretrainingBatch], tuple[Tensor, Tensor]]

SNAPSHOT_FILE = "snapshot.json"
"""Beside the model of a snapshot: its step, tokens and seconds."""

_TRIAL_SHARE = 0.01  # of the time budget
_LONGEST_TRIAL = 30.0  # seconds
_EVALUATIONS = 10
_HEAD_LEARNING_RATE = 1e-3  # of new heads while they are trained alone; there is nothing to forget


@dataclass(frozen=True)
class Computing:
    """A network, its tokenizer, and how it is computed."""

    network: PretrainingNetwork
    start: InitialTokenizer
    model: InitialNetwork
    device: torch.device
    precision: Precision
    packed: bool

    @property
    def pad_id(self) -> int:
        """Id that fills padding."""
        return pad_id(self.network)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context in which forward passes run."""
        return self.precision.autocast(self.device)

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as transformers does."""
        save_pretraining_model(self.model.model, self.start.tokenizer, self.start.config, folder)


@dataclass(frozen=True)
class PretrainingRun:
    """Everything that a run needs from its first step to its last."""

    computing: Computing
    source: ExampleSource
    evaluator: HoldoutEvaluator
    options: PretrainOptions
    folder: RunDirectory
    listener: Listener
    clock: Callable[[], float]


def run_pretraining_steps(run: PretrainingRun) -> PretrainState:
    """Take all steps that are left, and return the state after the last."""
    options, computing, listener = run.options, run.computing, run.listener
    network = computing.network
    peak = peak_learning_rate(options, network.model, listener)
    peaks = max(peak, _HEAD_LEARNING_RATE), peak
    betas = (options.beta1, options.beta2)
    optimizer = build_optimizer(network, peak, options.weight_decay, betas)
    saved, notes = checkpoint.restore(run.folder.checkpoints, network, optimizer)
    for note in notes:
        listener.say(note)
    state = PretrainState(**saved) if saved is not None else PretrainState()
    meter, began, first = LossMeter(), run.clock(), None
    if saved is None:
        first = run.evaluator(network)
        state.evaluation_seconds = run.clock() - began
    loss = mlm_nsp_loss(
        computing.device, packed=computing.packed, pad_id=computing.pad_id, meter=meter
    )
    schedule = read_schedule(run.folder.schedule)
    if schedule is None:
        schedule = _plan(run, loss, state.evaluation_seconds)
        write_schedule(run.folder.schedule, schedule)
        meter.take()
    if saved is not None:
        listener.say(f"Resuming after step {state.step} of {schedule.last_step}.")
    budget = TimeBudget(
        run.folder.schedule,
        schedule,
        seconds=options.hours * 3600 if options.hours is not None else None,
        seconds_before=state.seconds + run.clock() - began,
        seconds_at_the_end=state.evaluation_seconds,
        listener=listener,
        clock=run.clock,
    )
    callbacks = _callbacks(run, optimizer, budget, meter, state)
    steps = _steps_after(run, state)

    def take(until: int) -> None:
        """Take the steps up to `until`, or up to the end when that comes first."""
        if state.step >= min(until, budget.schedule.last_step):
            return
        loop.run(
            network,
            steps,
            loss,
            optimizer,
            learning_rate=lambda step: (
                peaks[step > schedule.head_steps] * budget.schedule.rate(step)
            ),
            seed_of=lambda step: named_seed(options.seed, "dropout", step),
            autocast=computing.autocast,
            max_gradient_norm=options.max_gradient_norm,
            explain=explain_batch,
            after_step=[*callbacks.calls(), lambda result: result.step.number >= until],
        )

    with stop_signals(callbacks), contextlib.closing(callbacks.progress.log):
        callbacks.begin(first)
        with _only_new_heads(computing.model):
            take(schedule.head_steps)
        take(schedule.total_steps)
    return state


@contextlib.contextmanager
def _only_new_heads(model: InitialNetwork) -> Iterator[None]:
    """Freeze all that came with the checkpoint."""
    frozen = model.old_parameters()
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _steps_after(run: PretrainingRun, state: PretrainState) -> Iterator[Step[PretrainingBatch]]:
    steps = run.source.steps_after(state.step, epoch=state.epoch, epoch_began=state.epoch_began)
    # Beside a card the processor has time to work ahead.
    return steps if run.computing.device.type == "cpu" else prefetched(steps)


def _callbacks(
    run: PretrainingRun,
    optimizer: torch.optim.Optimizer,
    budget: TimeBudget,
    meter: LossMeter,
    state: PretrainState,
) -> PretrainingCallbacks:
    """Open the log and put together what happens between steps."""
    folder, computing = run.folder, run.computing
    trackers = open_trackers(run.options.trackers, folder.root, folder.root.parent.name)
    # What was logged before the first checkpoint, step 0 included, is logged anew.
    log = MetricsLog(folder.metrics, last_step=state.step or -1, trackers=trackers)
    schedule = budget.schedule
    epochs = max(1, math.ceil(schedule.total_steps / run.source.num_steps()))
    return PretrainingCallbacks(
        folder.checkpoints,
        computing.network,
        optimizer,
        evaluate=lambda: run.evaluator(computing.network),
        keep_snapshot=lambda state: _keep_snapshot(computing, folder.snapshots, state),
        snapshots=run.options.snapshots,
        budget=budget,
        checkpoint_steps=run.options.checkpoint_steps,
        progress=ProgressReporter(schedule.last_step, epochs, log, run.listener, run.clock),
        meter=meter,
        listener=run.listener,
        state=state,
        clock=run.clock,
    )


def _plan(run: PretrainingRun, loss: Loss, evaluation_seconds: float) -> Schedule:
    """Decide how many steps there will be, and when to evaluate."""
    options = run.options
    if options.hours is None:
        total_steps = options.total_steps
        if total_steps is None:
            total_steps = options.epochs * run.source.num_steps()
        evaluation_steps = options.evaluation_steps or math.ceil(total_steps / _EVALUATIONS)
        return _with_heads(run, Schedule(total_steps, 0, evaluation_steps))
    budget, began = 3600 * options.hours, run.clock()
    pace = seconds_per_step(
        run.computing.network,
        run.source.steps_after(0),
        loss,
        autocast=run.computing.autocast,
        at_most=min(_LONGEST_TRIAL, _TRIAL_SHARE * budget),
        clock=run.clock,
    )
    schedule = plan_steps(
        budget - evaluation_seconds - (run.clock() - began),
        seconds_per_step=pace,
        seconds_per_evaluation=evaluation_seconds,
        evaluation_steps=options.evaluation_steps,
    )
    run.listener.say(
        f"A step takes {pace:.3g} s and an evaluation {evaluation_seconds:.3g} s here: "
        f"{schedule.total_steps} steps fit into {60 * options.hours:.4g} minutes."
    )
    return _with_heads(run, schedule)


def _with_heads(run: PretrainingRun, schedule: Schedule) -> Schedule:
    """Return the schedule with its warm-up, and with steps for new heads where there are some."""
    options, head_steps = run.options, 0
    if run.computing.model.new_heads:
        head_steps = round(options.head_fraction * schedule.total_steps)
        run.listener.say(f"The first {head_steps} steps train the new heads only.")
    warmup_steps = round(options.warmup_fraction * (schedule.total_steps - head_steps))
    return replace(schedule, warmup_steps=warmup_steps, head_steps=head_steps)


def _keep_snapshot(computing: Computing, root: Path, state: PretrainState) -> None:
    """Write the model as it is, complete or not at all."""
    target = checkpoint.checkpoint_folder(root, state.step)
    stage = root / f".writing-{target.name}"
    shutil.rmtree(stage, ignore_errors=True)
    try:
        computing.save(stage)
        facts = {key: asdict(state)[key] for key in ("step", "tokens", "seconds")}
        write_json(stage / SNAPSHOT_FILE, facts)
        with storage_errors(target):
            shutil.rmtree(target, ignore_errors=True)
            stage.rename(target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def matmul_utilisation(
    computing: Computing, source: ExampleSource, tokens_per_second: float
) -> float | None:
    """Return the time of a step's matrix products alone as a share of the step's.

    They are timed now, in the precision of the run, at the shapes of its first batch.
    """
    batch = next(iter(source.steps_after(0))).micro_batches[0]
    on = masked_batch_tensors(
        batch.masked, computing.device, packed=computing.packed, pad_id=computing.pad_id
    )

    def compute() -> object:
        with computing.autocast():
            return computing.network(
                on.input_ids, on.layout, on.token_type_ids, masked_positions=on.masked_positions
            )

    shapes = linear_shapes(computing.network, compute)
    half = computing.precision.name == "bf16"
    seconds = gemm_seconds(
        shapes, dtype=torch.bfloat16 if half else torch.float32, device=computing.device
    )
    return seconds * tokens_per_second / batch.num_tokens if tokens_per_second > 0 else None
