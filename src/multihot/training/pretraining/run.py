"""All steps of a pretraining run: plan them, take those that remain, measure their speed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from multihot.errors import OptionError, TrainingError
from multihot.gate.stored_records import record_of
from multihot.training import checkpoint, loop
from multihot.training.callbacks import stop_signals
from multihot.training.loop import Step
from multihot.training.optimizer import build_optimizer
from multihot.training.pretraining.batches import (
    MlmNspLoss,
    PretrainingBatch,
    explain_batch,
    masked_batch_tensors,
    prefetched,
)
from multihot.training.pretraining.callbacks import PretrainingCallbacks, PretrainState
from multihot.training.pretraining.initial_model import InitialNetwork, peak_learning_rate
from multihot.training.pretraining.prepared_run import PretrainingRun
from multihot.training.pretraining.schedule import (
    Schedule,
    TimeBudget,
    gemm_seconds,
    linear_shapes,
    measure_step_seconds,
    plan_steps,
    read_schedule,
    write_schedule,
)
from multihot.training.ranks import NOT_SHARED

__all__ = ["matmul_utilisation", "run_pretraining_steps"]

_CALIBRATION_FRACTION = 0.01  # of the time budget
_LONGEST_CALIBRATION = 30.0  # seconds
_EVALUATIONS = 10
_HEAD_LEARNING_RATE = 1e-3  # of new heads while they are trained alone: no weights to preserve


def run_pretraining_steps(run: PretrainingRun) -> PretrainState:
    """Take all steps that remain, and return the state after the last."""
    network, options = run.network, run.options
    peak = peak_learning_rate(options, network.model, run.listener)
    peaks = max(peak, _HEAD_LEARNING_RATE), peak
    betas = (options.beta1, options.beta2)
    optimizer = build_optimizer(network, peak, options.weight_decay, betas)
    restored = _restored(run, optimizer)
    state, began, initial_metrics = restored or PretrainState(), run.clock(), None
    if restored is None:
        initial_metrics = run.evaluator(network)
        state.evaluation_seconds = run.clock() - began
    loss = run.loss()
    schedule = _schedule(run, loss, state.evaluation_seconds)
    if restored is not None:
        run.listener.say(f"Resuming after step {state.step} of {schedule.last_step}.")
    budget = TimeBudget(
        run.directory.schedule,
        schedule,
        seconds=options.hours * 3600 if options.hours is not None else None,
        seconds_before=state.seconds + run.clock() - began,
        seconds_at_the_end=state.evaluation_seconds,
        listener=run.listener,
        clock=run.clock,
        ranks=run.ranks,
    )
    callbacks = PretrainingCallbacks(run, optimizer, budget, loss.take_means, state)
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
            seed_of=lambda step: run.ranks.seed(options.seed, "dropout", step),
            autocast=run.hardware.autocast,
            max_gradient_norm=options.max_gradient_norm,
            explain=explain_batch,
            after_step=[*callbacks.after_step(), lambda result: result.step.number >= until],
            ranks=run.ranks,
        )

    with stop_signals(callbacks), contextlib.closing(callbacks.log):
        callbacks.begin(initial_metrics)
        with _only_new_heads(run.initial):
            take(schedule.head_steps)
        take(schedule.total_steps)
    return state


def _restored(run: PretrainingRun, optimizer: torch.optim.Optimizer) -> PretrainState | None:
    """Restore the newest complete checkpoint, and return its state if there is one."""
    saved, notes = checkpoint.restore(run.directory.checkpoints, run.network, optimizer)
    for note in notes:
        run.listener.say(note)
    run.ranks.require_same({"checkpoint": saved and saved.get("step")}, NOT_SHARED)
    if saved is None:
        return None
    return record_of(PretrainState, saved, run.directory.checkpoints, TrainingError)


@contextlib.contextmanager
def _only_new_heads(initial: InitialNetwork) -> Iterator[None]:
    """Freeze all weights that came with the checkpoint."""
    frozen = initial.old_parameters()
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _steps_after(run: PretrainingRun, state: PretrainState) -> Iterator[Step[PretrainingBatch]]:
    steps = run.source.steps_after(
        state.step, epoch=state.epoch, epoch_began=state.epoch_began, ranks=run.ranks
    )
    # While a GPU computes, the CPU is free to prepare batches.
    return steps if run.hardware.device.type == "cpu" else prefetched(steps)


def _schedule(run: PretrainingRun, loss: MlmNspLoss, evaluation_seconds: float) -> Schedule:
    """Return the schedule of the interrupted run; otherwise plan one and write it down."""
    path, options = run.directory.schedule, run.options
    schedule = read_schedule(path, run.ranks)
    if schedule is not None and options.hours is None and schedule != _planned(run):
        raise OptionError(
            f"{path} plans other steps than the options of the run do; it is damaged. Start again in "
            "another --output."
        )
    if schedule is None:
        schedule = _plan(run, loss, evaluation_seconds)
        if run.ranks.is_first:
            write_schedule(path, schedule)
        loss.take_means()  # of the steps that calibrated the plan
    return schedule


def _plan(run: PretrainingRun, loss: MlmNspLoss, evaluation_seconds: float) -> Schedule:
    """Decide how many steps there will be, and when to evaluate."""
    options = run.options
    if options.hours is None:
        return _announced(run, _planned(run))
    budget, began = 3600 * options.hours, run.clock()
    pace = measure_step_seconds(
        run.network,
        run.source.steps_after(0, ranks=run.ranks),
        loss,
        autocast=run.hardware.autocast,
        at_most=min(_LONGEST_CALIBRATION, _CALIBRATION_FRACTION * budget),
        clock=run.clock,
        ranks=run.ranks,
    )
    used = run.clock() - began
    # Clocks differ, and the plan must not.
    pace, evaluation_seconds, used = run.ranks.from_first(lambda: [pace, evaluation_seconds, used])
    schedule = plan_steps(
        budget - evaluation_seconds - used,
        seconds_per_step=pace,
        seconds_per_evaluation=evaluation_seconds,
        evaluation_steps=options.evaluation_steps,
    )
    run.listener.say(
        f"A step takes {pace:.3g} s and an evaluation {evaluation_seconds:.3g} s on this machine: "
        f"{schedule.total_steps} steps fit into {60 * options.hours:.4g} minutes."
    )
    return _announced(run, _with_heads(run, schedule))


def _planned(run: PretrainingRun) -> Schedule:
    """Return the schedule of a run without a time budget, which its options alone decide."""
    total_steps = run.options.total_steps
    if total_steps is None:
        total_steps = run.options.epochs * run.source.num_steps()
    evaluation_steps = run.options.evaluation_steps or math.ceil(total_steps / _EVALUATIONS)
    return _with_heads(run, Schedule(total_steps, 0, evaluation_steps))


def _announced(run: PretrainingRun, schedule: Schedule) -> Schedule:
    if schedule.head_steps:
        run.listener.say(f"The first {schedule.head_steps} steps train the new heads only.")
    return schedule


def _with_heads(run: PretrainingRun, schedule: Schedule) -> Schedule:
    """Return the schedule with its warm-up, and with steps for new heads where there are some."""
    options, head_steps = run.options, 0
    if run.initial.new_heads:
        head_steps = round(options.head_fraction * schedule.total_steps)
    warmup_steps = round(options.warmup_fraction * (schedule.total_steps - head_steps))
    return replace(schedule, warmup_steps=warmup_steps, head_steps=head_steps)


def matmul_utilisation(run: PretrainingRun, tokens_per_second: float) -> float | None:
    """Return the time of a step's matrix products alone as a fraction of the step's.

    They are timed now, in the precision of the run, at the shapes of its first batch.
    """
    if tokens_per_second <= 0:
        return None
    batch = next(iter(run.source.steps_after(0))).micro_batches[0]
    device, network = run.hardware.device, run.network
    on = masked_batch_tensors(batch.masked, device, packed=run.packed, pad_id=run.evaluator.pad_id)

    def compute() -> object:
        with run.hardware.autocast():
            return network(
                on.input_ids, on.layout, on.token_type_ids, masked_positions=on.masked_positions
            )

    shapes = linear_shapes(network, compute)
    dtype = torch.bfloat16 if run.hardware.precision.name == "bf16" else torch.float32
    seconds = gemm_seconds(shapes, dtype=dtype, device=device)
    return seconds * tokens_per_second / batch.num_tokens
