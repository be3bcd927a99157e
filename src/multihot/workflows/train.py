"""Examples in, model folder out: the story of one training run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from multihot.core.options import TrainOptions
from multihot.core.progress import Listener
from multihot.core.recipes import to_plain
from multihot.core.seeding import named_seed
from multihot.data.dataset import (
    EncodedExamples,
    Labelled,
    describe_rows,
    encode,
    label_space,
    with_validation,
)
from multihot.data.examples import portable
from multihot.errors import OptionError
from multihot.evaluation.report import Report
from multihot.inference.artifact import Artifact, save_artifact
from multihot.inference.torch_backend import TorchBackend
from multihot.models.devices import choose_precision, run_environment
from multihot.models.network import save_network
from multihot.models.optimize import optimize_for_training
from multihot.training.batches import check_budget
from multihot.training.compute import choose_execution, choose_hardware
from multihot.training.cross_validation import assign_folds, cross_validate, labelled_rows
from multihot.training.distillation import Scorer, open_teachers
from multihot.training.initial_model import (
    InitialModel,
    initialize_from_artifact,
    initialize_from_encoder,
    read_descriptions,
    weights_fingerprint,
)
from multihot.training.metrics_log import require_trackers
from multihot.training.model_card import model_card
from multihot.training.multi_seed import train_seeds
from multihot.training.run import Setup, Trained, single_run
from multihot.training.run_directory import RunDirectory, check_output, open_run
from multihot.training.validation import ValidationSet

__all__ = ["train"]

_SMALL_ENCODER_PARAMETERS = 40_000_000
_NEW_HEAD_LEARNING_RATE = 1e-3


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
        `validation` a stratified part of `training` is set aside, or with `options.folds` each fold
        in turn. Labels are matched by name.
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
        The metrics of the best epoch on the validation rows, which also fitted the thresholds; with
        `options.folds` those of the scores out of fold.

    Raises `DataError`, `OptionError`, `EncoderError` for wrong input, `TrainingError` when the run
    cannot go on, `InterruptedRunError` when a signal stopped it.
    """
    listener = listener or Listener()
    _check_validation(validation, options)
    check_output(output, resume=resume)
    require_trackers(options.trackers)
    teachers = open_teachers(options.teacher, label_space(training), listener.say)
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
    train_set, held_out_set = _rows(training, validation, options, start, listener)
    for note in optimize_for_training(start.network.to(device), device):
        listener.say(note)
    packed = choose_execution(options.execution, start.network, device, precision, listener)
    full_precision = choose_precision("fp32", device)
    backend = TorchBackend(start.network, len(start.space), device, full_precision, packed=packed)
    shown = held_out_set if options.folds is None else None
    describe_rows(
        train_set,
        shown,
        start.max_length,
        listener,
        label_tokens=start.num_label_tokens,
        taught=bool(teachers),
    )
    fold_of = None
    if options.folds is not None:  # before the folder is made, since rows may be too few
        fold_of = assign_folds(train_set, options.folds, options.seed, listener)
    held_out = ValidationSet(held_out_set, backend, options, fold_of)
    facts = {
        **run_environment(device, precision),
        "execution": "packed" if packed else "padded",
        "training_data": train_set.fingerprint(),
        "validation_data": held_out.data.fingerprint(),
        "initial_weights": weights_fingerprint(start.network),
        **teachers.facts(),
    }
    folder, notes = open_run(output, to_plain(options), facts, resume=resume)
    for note in notes:
        listener.say(note)
    scorer = Scorer(str(device), precision.name, listener.say)
    num_unlabelled = int((~train_set.labels.labelled()).sum())
    train_set = teachers.teach(train_set, options.teacher_weight, folder.targets, scorer)
    peak = options.learning_rate or _default_learning_rate(start.network, listener)
    head_rate = options.head_learning_rate or _default_head_rate(peak, new=start_from is None)
    setup = Setup(backend, options, precision, peak, head_rate, listener)
    trained = _story(options)(setup, train_set, held_out, folder)
    if trained.decision.fit_report is not None:
        listener.say(f"\n{trained.decision.fit_report}")
    artifact = Artifact(
        output,
        trained.decision,
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
            trained.report,
            options,
            len(train_set),
            epoch=trained.epoch,
            started_from=start_from.name if start_from else None,
            weights=trained.weights,
            judged_by=trained.judged_by,
            remark=trained.remark,
            more=trained.more,
            taught=teachers.names(num_unlabelled),
        ),
    )
    folder.clear()
    return trained.report


def _check_validation(validation: Labelled | None, options: TrainOptions) -> None:
    if validation is not None and options.folds is not None:
        raise OptionError(
            f"folds={options.folds} and validation rows exclude each other: with folds every training "
            "row judges in its turn. Leave one of them out."
        )


def _start(training: Labelled, options: TrainOptions, start_from: Path | None) -> InitialModel:
    space = label_space(training)
    if start_from is not None:
        return initialize_from_artifact(start_from, max_length=options.max_length)
    return initialize_from_encoder(
        options.encoder,
        space,
        pooling=options.pooling,
        max_length=options.max_length,
        seed=named_seed(options.seed, "head"),
        descriptions=read_descriptions(options.label_descriptions),
    )


def _rows(
    training: Labelled,
    validation: Labelled | None,
    options: TrainOptions,
    start: InitialModel,
    listener: Listener,
) -> tuple[EncodedExamples, EncodedExamples]:
    """Return the rows to train on and those that judge; with folds the same rows do both."""

    def encoded(rows: Labelled, **choices: bool) -> EncodedExamples:
        return encode(rows, start.space, start.tokenizer, start.max_length, listener, **choices)

    found = encoded(training, labels_required=not options.teacher)
    if options.folds is not None:
        return found, found.take(labelled_rows(found))
    return with_validation(
        found,
        None if validation is None else encoded(validation),
        fraction=options.validation_fraction,
        seed=options.seed,
        listener=listener,
    )


def _story(
    options: TrainOptions,
) -> Callable[[Setup, EncodedExamples, ValidationSet, RunDirectory], Trained]:
    """Return what is to happen between the weights at the start and those that are kept."""
    if options.folds is not None:
        return cross_validate
    return train_seeds if options.seeds > 1 else single_run


def _default_head_rate(peak: float, *, new: bool) -> float:
    """Return the head's peak rate: a new one starts from nothing and wants ten times a small encoder's."""
    return max(peak, _NEW_HEAD_LEARNING_RATE) if new else peak


def _default_learning_rate(network: nn.Module, listener: Listener) -> float:
    """Small encoders take (and on dev data want) a larger rate than BERT-base."""
    num_parameters = sum(p.numel() for p in network.parameters())
    rate = 1e-4 if num_parameters < _SMALL_ENCODER_PARAMETERS else 3e-5
    listener.say(
        f"Peak learning rate {rate:g}, the default for {num_parameters / 1e6:.1f} million parameters."
    )
    return rate
