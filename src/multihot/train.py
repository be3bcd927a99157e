"""Examples in, model folder out: the story of one training run.

Letters: `B` rows of a batch, `S` tokens of its longest row, `L` labels.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from multihot.artifact import Artifact, is_artifact, save_artifact
from multihot.backends.torch import TorchBackend, pad_id
from multihot.card import model_card
from multihot.config import to_plain
from multihot.data.batches import Batch, epoch_batches, padded_batch
from multihot.data.records import Examples, portable
from multihot.data.splits import stratified_split
from multihot.data.tokens import TokenizedTexts, tokenize
from multihot.decision.decision import Decision, fit_decision, row_hashes
from multihot.devices import (
    Precision,
    choose_device,
    choose_precision,
    run_environment,
    set_threads,
)
from multihot.errors import DataError, OptionError
from multihot.evaluate import Report, report
from multihot.labels import LabelMatrix
from multihot.listener import Listener
from multihot.models.losses import masked_binary_cross_entropy
from multihot.models.network import save_network
from multihot.options import TrainOptions
from multihot.randomness import named_generator, named_seed
from multihot.training import checkpoint, loop
from multihot.training.log import MetricsLog, open_trackers
from multihot.training.optimizer import build_optimizer, linear_schedule
from multihot.training.run_folder import RunFolder, open_run, saved_threads
from multihot.training.start import (
    Start,
    start_from_artifact,
    start_from_encoder,
    weights_fingerprint,
)
from multihot.training.watch import RunState, Watch, stop_signals

__all__ = ["train"]

_SMALL_ENCODER_PARAMETERS = 40_000_000


def train(
    training: Examples,
    validation: Examples | None,
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
        Labelled examples; without `validation` a stratified part of `training` is set aside.
        Labels are matched by name.
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
    if resume and is_artifact(output):
        raise OptionError(f"{output} holds a finished model; there is nothing to resume.")
    device, precision = _choose_hardware(options, output, resume, listener)
    training, validation = _split(training, validation, options, listener)
    start = _start(training, options, start_from)
    train_set = _encode(training, start)
    held_out = _Validation(
        _encode(validation, start),
        TorchBackend(start.network, len(start.space), device, choose_precision("fp32", device)),
        options,
    )
    _describe(train_set, held_out.data, start, listener)
    facts = {
        **run_environment(device, precision),
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
    checkpoint.load_weights(
        checkpoint.checkpoint_folder(folder.checkpoints, best.best_step), start.network
    )
    decision, result = held_out.decide()
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
        card=model_card(artifact, result, options, len(training), best.best_epoch),
    )
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return result


@dataclass(frozen=True)
class _EncodedExamples:
    """Examples with their tokens and their labels in the model's order."""

    examples: Examples
    labels: LabelMatrix
    tokens: TokenizedTexts

    def fingerprint(self) -> str:
        """SHA-256 over all rows in their order."""
        return hashlib.sha256(row_hashes(self.examples.texts, self.labels).tobytes()).hexdigest()


@dataclass(frozen=True)
class _Validation:
    """The rows that choose the epoch and fit the decision."""

    data: _EncodedExamples
    backend: TorchBackend
    options: TrainOptions

    def decide(self) -> tuple[Decision, Report]:
        """Fit the decision of the network as it is, and report it on the same rows."""
        logits = self.backend.logits(self.data.tokens)
        decision = fit_decision(
            self.data.labels.space,
            logits,
            self.data.labels,
            goal=self.options.goal,
            thresholds=self.options.thresholds,
            source=Path(self.data.examples.source).name,
            texts=self.data.examples.texts,
        )
        num_truncated = int(self.data.tokens.truncated.sum())
        return decision, report(decision, logits, self.data.examples, num_truncated)


def _choose_hardware(
    options: TrainOptions, output: Path, resume: bool, listener: Listener
) -> tuple[torch.device, Precision]:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise OptionError(
            "Training in several processes is not supported yet; start one process, without "
            "'accelerate launch' or torchrun."
        )
    device = choose_device(options.device)
    precision = choose_precision(options.precision, device)
    # The number of threads decides the last bits, so a resumed run takes that of the run before.
    num_threads = set_threads((saved_threads(output) if resume else None) or options.threads)
    listener.say(
        f"Computing on {device} with {num_threads} threads in {precision.name} ({precision.reason})."
    )
    return device, precision


def _split(
    training: Examples, validation: Examples | None, options: TrainOptions, listener: Listener
) -> tuple[Examples, Examples]:
    """Return training and validation examples, setting a stratified part aside when needed."""
    if training.labels is None:
        raise DataError("has no labels to train on.", path=training.source)
    if validation is not None:
        return training, validation
    generator = named_generator(options.seed, "validation split")
    kept, held_out = stratified_split(training.labels, options.validation_fraction, generator)
    listener.say(
        f"No validation file: {len(held_out)} of {len(training)} rows are set aside, stratified by "
        "label, to choose the epoch and fit the thresholds."
    )
    return training.take(kept), training.take(held_out)


def _start(training: Examples, options: TrainOptions, start_from: Path | None) -> Start:
    if start_from is not None:
        return start_from_artifact(start_from, max_length=options.max_length)
    assert training.labels is not None
    return start_from_encoder(
        options.encoder,
        training.labels.space,
        pooling=options.pooling,
        max_length=options.max_length,
        seed=named_seed(options.seed, "head"),
    )


def _encode(examples: Examples, start: Start) -> _EncodedExamples:
    if examples.labels is None:
        raise DataError("has no labels.", path=examples.source)
    labels = examples.labels.aligned_to(start.space)
    if not labels.known.any():
        raise DataError("has no row with a known label.", path=examples.source)
    tokens = tokenize(start.tokenizer, examples.texts, start.max_length)
    return _EncodedExamples(replace(examples, labels=labels), labels, tokens)


def _describe(
    train_set: _EncodedExamples, held_out: _EncodedExamples, start: Start, listener: Listener
) -> None:
    num_parameters = sum(p.numel() for p in start.network.parameters())
    listener.say(
        f"{len(train_set.tokens)} training and {len(held_out.tokens)} validation rows, "
        f"{len(start.space)} labels, {num_parameters / 1e6:.1f} million parameters, "
        f"{start.pooling} pooling."
    )
    for part, name in ((train_set, "training"), (held_out, "validation")):
        if cut := int(part.tokens.truncated.sum()):
            listener.say(f"{cut} {name} texts are cut to max_length={start.max_length} tokens.")
        if num_unknown := int((~part.labels.known).sum()):
            listener.say(f"{num_unknown} {name} label cells are unknown and masked.")
    without = _without_positives(train_set.labels)
    if without:
        listener.say(f"No training row has these labels: {', '.join(without)}.")


def _without_positives(labels: LabelMatrix) -> list[str]:
    return [
        name
        for name, count in zip(labels.space.names, labels.positives(), strict=True)
        if count == 0
    ]


def _optimise(
    network: nn.Module,
    train_set: _EncodedExamples,
    held_out: _Validation,
    options: TrainOptions,
    *,
    precision: Precision,
    folder: RunFolder,
    listener: Listener,
) -> RunState:
    """Run all steps that are left, and return the state that names the best epoch."""
    device = held_out.backend.device
    peak = options.learning_rate or _default_learning_rate(network)
    total_steps = math.ceil(len(train_set.tokens) / options.batch_size) * options.epochs
    warmup_steps = round(options.warmup_fraction * total_steps)
    optimizer = build_optimizer(network, peak, options.weight_decay)
    state = RunState()
    if latest := checkpoint.latest_checkpoint(folder.checkpoints):
        state = RunState(**checkpoint.load_checkpoint(latest, network, optimizer))
        listener.say(f"Resuming after step {state.step} of {total_steps}.")
    trackers = open_trackers(options.trackers, folder.root, folder.root.parent.name)
    watch = Watch(
        folder.checkpoints,
        network,
        optimizer,
        evaluate=lambda: held_out.decide()[1].metrics,
        goal=options.goal,
        patience=options.early_stopping_epochs,
        checkpoint_steps=options.checkpoint_steps,
        total_steps=total_steps,
        epochs=options.epochs,
        log=MetricsLog(folder.metrics, last_step=state.step, trackers=trackers),
        listener=listener,
        state=state,
    )
    with stop_signals(watch):
        loop.run(
            network,
            _steps_left(train_set, options, state, pad_id(network)),
            _loss_on(device),
            optimizer,
            learning_rate=lambda step: peak * linear_schedule(step - 1, total_steps, warmup_steps),
            seed_of=lambda step: named_seed(options.seed, "dropout", step),
            autocast=lambda: precision.autocast(device),
            max_gradient_norm=options.max_gradient_norm,
            explain=lambda batch: _explain(batch, network, device, train_set.examples),
            after_step=[watch.report_progress, watch.end_epoch, watch.save_when_due],
        )
    watch.log.close()
    return state


def _default_learning_rate(network: nn.Module) -> float:
    """Small encoders take (and on dev data want) a larger rate than BERT-base."""
    num_parameters = sum(p.numel() for p in network.parameters())
    return 1e-4 if num_parameters < _SMALL_ENCODER_PARAMETERS else 3e-5


def _steps_left(
    train_set: _EncodedExamples, options: TrainOptions, state: RunState, padding: int
) -> Iterator[loop.Step[Batch]]:
    """Yield every step after `state.step`; a pure function of the data, the options and the step."""
    if state.stopped_early:
        return
    number = 0
    for epoch in range(1, options.epochs + 1):
        batches = epoch_batches(
            train_set.tokens.lengths,
            options.batch_size,
            seed=options.seed,
            epoch=epoch,
            length_bucketing=options.length_bucketing,
        )
        for position, rows in enumerate(batches):
            number += 1
            if number <= state.step:
                continue
            parts = np.array_split(rows, min(options.accumulation_steps, len(rows)))
            micro = [
                padded_batch(train_set.tokens, part, padding, train_set.labels.values)
                for part in parts
            ]
            yield loop.Step(number, epoch, position == len(batches) - 1, micro)


def _loss_on(device: torch.device) -> Callable[[nn.Module, Batch], tuple[Tensor, Tensor]]:
    def loss(network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = network(*_to(device, batch))
        return masked_binary_cross_entropy(logits, torch.from_numpy(batch.labels).to(device))

    return loss


def _to(device: torch.device, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return input ids and attention mask, *shapes* (B, S) each, on the device."""
    ids, mask = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
    return ids.to(device), mask.to(device)


def _explain(batch: Batch, network: nn.Module, device: torch.device, examples: Examples) -> str:
    """Name the rows whose own logits are not finite, or all when the fault is not in single rows."""
    network.eval()
    with torch.inference_mode():
        finite = torch.isfinite(network(*_to(device, batch))).all(dim=1).cpu().numpy()
    rows = batch.rows[~finite] if (~finite).any() else batch.rows
    named = [f"{examples.ids[row]} (line {examples.lines[row]})" for row in rows[:8]]
    return ", ".join(named) + (f" and {len(rows) - 8} more" if len(rows) > 8 else "")
