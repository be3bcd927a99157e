"""Examples in, model folder out: the story of one training run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from multihot.artifact import Artifact, save_artifact
from multihot.backends.torch import TorchBackend, pad_id
from multihot.card import model_card
from multihot.config import to_plain
from multihot.data.records import portable
from multihot.devices import Precision, choose_precision, run_environment
from multihot.evaluate import Report
from multihot.listener import Listener
from multihot.models.dropout import use_cheap_dropout
from multihot.models.embedding import use_touched_rows
from multihot.models.network import save_network
from multihot.options import TrainOptions
from multihot.randomness import named_seed
from multihot.training import checkpoint, loop
from multihot.training.averaging import WeightAverage
from multihot.training.execution import choose_execution
from multihot.training.finetuning import (
    check_budget,
    count_steps,
    explain_rows,
    loss_on,
    steps_after,
)
from multihot.training.hardware import choose_hardware
from multihot.training.held_out import HeldOut
from multihot.training.log import MetricsLog, open_trackers, require_trackers
from multihot.training.objective import Objective, build_objective
from multihot.training.optimizer import build_optimizer, linear_schedule
from multihot.training.progress import stop_signals
from multihot.training.rows import (
    EncodedExamples,
    Labelled,
    describe_rows,
    encode,
    label_space,
    with_validation,
)
from multihot.training.run_folder import RunFolder, check_output, open_run
from multihot.training.start import (
    Start,
    read_descriptions,
    start_from_artifact,
    start_from_encoder,
    weights_fingerprint,
)
from multihot.training.watch import RunState, Watch

__all__ = ["train"]

_SMALL_ENCODER_PARAMETERS = 40_000_000


def train(
    training: Labelled,
    validation: Labelled | None,
    options: TrainOptions,
    output: Path,
    *,
    start_from: Path | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> Report:
    """Train a classifier, fit its decision on validation rows, and write the model to `output`.

    Parameters
    ----------
    training, validation
        Labelled examples, or files from `open_labelled`, which are read piece by piece; without
        `validation` a stratified part of `training` is set aside. Labels are matched by name.
    options
        All choices; see `TrainOptions`.
    output
        Folder of the artefact; must be new or empty unless `resume`.
    start_from
        A finished model to go on training, with its head, labels and tokenizer.
    resume
        Continue the interrupted run in `output`; the result is that of the undisturbed run.
    listener
        Receives sentences for people and the progress of every step.

    Returns
    -------
    Report
        The metrics of the best epoch on the validation rows, which also fitted the thresholds.

    Raises `DataError`, `OptionError`, `EncoderError` for wrong input, `TrainingError` when the run
    cannot go on, `InterruptedRunError` when a signal stopped it.
    """
    listener = listener or Listener()
    check_output(output, resume=resume)
    require_trackers(options.trackers)
    device, precision = choose_hardware(
        options.device,
        options.precision,
        options.threads,
        output=output,
        resume=resume,
        listener=listener,
    )
    start = _start(training, options, start_from)
    check_budget(options, start.max_length)
    train_set, held_out_set = with_validation(
        encode(training, start.space, start.tokenizer, start.max_length, listener),
        None
        if validation is None
        else encode(validation, start.space, start.tokenizer, start.max_length, listener),
        fraction=options.validation_fraction,
        seed=options.seed,
        listener=listener,
    )
    use_cheap_dropout(start.network.to(device))
    use_touched_rows(start.network)
    packed = choose_execution(options.execution, start.network, device, precision, listener)
    full_precision = choose_precision("fp32", device)
    backend = TorchBackend(start.network, len(start.space), device, full_precision, packed=packed)
    held_out = HeldOut(held_out_set, backend, options)
    describe_rows(train_set, held_out.data, start.max_length, listener)
    facts = {
        **run_environment(device, precision),
        "execution": "packed" if packed else "padded",
        "training_data": train_set.fingerprint(),
        "validation_data": held_out.data.fingerprint(),
        "initial_weights": weights_fingerprint(start.network),
    }
    folder, notes = open_run(output, to_plain(options), facts, resume=resume)
    for note in notes:
        listener.say(note)
    best = _optimise(
        start.network,
        train_set,
        held_out,
        options,
        precision=precision,
        folder=folder,
        listener=listener,
    )
    best_folder = checkpoint.checkpoint_folder(folder.checkpoints, best.best_step)
    checkpoint.load_weights(best_folder, start.network)
    if options.weight_averaging:
        checkpoint.load_averages(best_folder, start.network)
    decision, result = held_out.decide(final=True)
    if decision.fit_report is not None:
        listener.say(f"\n{decision.fit_report}")
    artifact = Artifact(
        output,
        decision,
        portable(training.data),
        start.max_length,
        start.pooling,
        str(start.network.form),
    )
    save_artifact(
        artifact,
        write_network=lambda stage: save_network(start.network.to("cpu"), stage),
        tokenizer=start.tokenizer,
        tokenizer_config=start.tokenizer_config,
        card=model_card(
            artifact,
            result,
            options,
            len(train_set),
            epoch=best.best_epoch,
            started_from=start_from.name if start_from else None,
        ),
    )
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return result


def _start(training: Labelled, options: TrainOptions, start_from: Path | None) -> Start:
    space = label_space(training)
    if start_from is not None:
        return start_from_artifact(start_from, max_length=options.max_length)
    return start_from_encoder(
        options.encoder,
        space,
        pooling=options.pooling,
        max_length=options.max_length,
        seed=named_seed(options.seed, "head"),
        descriptions=read_descriptions(options.label_descriptions),
    )


def _optimise(
    network: nn.Module,
    train_set: EncodedExamples,
    held_out: HeldOut,
    options: TrainOptions,
    *,
    precision: Precision,
    folder: RunFolder,
    listener: Listener,
) -> RunState:
    """Run all steps that are left, and return the state that names the best epoch."""
    device, padding = held_out.backend.device, pad_id(network)
    peak = options.learning_rate or _default_learning_rate(network, listener)
    packed = bool(held_out.backend.packed)
    total_steps = count_steps(train_set, options, packed=packed)
    warmup_steps = round(options.warmup_fraction * total_steps)
    optimizer = build_optimizer(
        network,
        peak,
        options.weight_decay,
        head_learning_rate=options.head_learning_rate,
        layer_decay=options.layer_decay,
    )
    objective = _objective(options, train_set, device)
    state = _restored(folder, network, optimizer, total_steps, listener)
    average = WeightAverage(network, optimizer, options.weight_averaging)
    trackers = open_trackers(options.trackers, folder.root, folder.root.parent.name)
    watch = Watch(
        folder.checkpoints,
        network,
        optimizer,
        evaluate=lambda: _evaluate(held_out, average),
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
    with stop_signals(watch), contextlib.closing(watch.log):
        loop.run(
            network,
            [] if state.stopped_early else steps,
            loss_on(device, objective),
            optimizer,
            learning_rate=lambda step: peak * linear_schedule(step - 1, total_steps, warmup_steps),
            seed_of=lambda step: named_seed(options.seed, "dropout", step),
            autocast=lambda: precision.autocast(device),
            max_gradient_norm=options.max_gradient_norm,
            explain=lambda batch: explain_rows(batch, network, device, train_set),
            after_step=[
                *([average.update] if options.weight_averaging else []),
                watch.report_progress,
                watch.end_epoch,
                watch.save_when_due,
            ],
        )
    return state


def _objective(
    options: TrainOptions, train_set: EncodedExamples, device: torch.device
) -> Objective:
    labels = train_set.labels
    return build_objective(options.objective, labels.positives(), labels.known(), device)


def _restored(
    folder: RunFolder,
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


def _evaluate(held_out: HeldOut, average: WeightAverage) -> Mapping[str, float | None]:
    with average.applied():
        return held_out.metrics()


def _default_learning_rate(network: nn.Module, listener: Listener) -> float:
    """Small encoders take (and on dev data want) a larger rate than BERT-base."""
    num_parameters = sum(p.numel() for p in network.parameters())
    rate = 1e-4 if num_parameters < _SMALL_ENCODER_PARAMETERS else 3e-5
    listener.say(
        f"Peak learning rate {rate:g}, the default for {num_parameters / 1e6:.1f} million parameters."
    )
    return rate
