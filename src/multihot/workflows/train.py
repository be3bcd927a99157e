"""Examples in, model folder out: prepare a run, fit it, write the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from multihot.core.launch import require_alone
from multihot.core.options import DataOptions, TrainOptions
from multihot.core.progress import Listener
from multihot.core.recipes import to_plain
from multihot.core.seeding import named_seed
from multihot.data.dataset import (
    Labelled,
    Subset,
    describe_rows,
    encode,
    label_space,
    with_validation,
)
from multihot.data.examples import portable
from multihot.data.text_facts import TextFactsCounter
from multihot.data.unknown_tokens import check_unknown_tokens
from multihot.errors import MultihotError, OptionError
from multihot.evaluation.report import Report
from multihot.inference.artifact import Artifact, save_artifact
from multihot.inference.torch_backend import TorchBackend
from multihot.models.devices import choose_precision
from multihot.models.network import save_network
from multihot.models.optimize import optimize_for_training
from multihot.training.batches import check_budget
from multihot.training.compute import Hardware, choose_execution, choose_hardware, only_run
from multihot.training.conclusion import best_constant_value, conclusion
from multihot.training.cross_validation import cross_validate, cross_validation_folds, labelled_rows
from multihot.training.distillation import Scorer, open_teachers
from multihot.training.initial_model import (
    InitialModel,
    initialize_from_artifact,
    initialize_from_encoder,
    read_descriptions,
    weights_fingerprint,
    with_windows,
)
from multihot.training.metrics_log import require_trackers
from multihot.training.model_card import Provenance, model_card
from multihot.training.multi_seed import train_seeds
from multihot.training.optimizer import freeze_layers
from multihot.training.ranks import ALONE, Ranks, joined
from multihot.training.run import Setup, Trained, single_run
from multihot.training.run_directory import RunDirectory, check_output, open_shared_run
from multihot.training.validation import ValidationSet
from multihot.workflows.baseline import require_scikit_learn
from multihot.workflows.linear_baseline import against_baseline

__all__ = ["Run", "fit_network", "prepare", "train", "write"]

_SMALL_ENCODER_PARAMETERS = 40_000_000
_NEW_HEAD_LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Run:
    """A run that is ready for its first step."""

    model: InitialModel
    setup: Setup
    train_set: Subset
    validation: ValidationSet
    directory: RunDirectory
    provenance: Provenance
    data: DataOptions
    """How the training rows were read."""


def train(
    training: Labelled,
    validation: Labelled | None,
    options: TrainOptions,
    output: Path,
    *,
    start_from: Path | None = None,
    resume: bool = False,
    linear_baseline: bool = False,
    listener: Listener | None = None,
) -> Report:
    """Train a classifier, fit its decision on validation rows, and write the model to `output`.

    Parameters
    ----------
    training, validation
        Labelled examples, or files from `open_labelled`, which are read in pieces; without
        `validation` a stratified part of `training` is set aside, or with `options.folds` each fold
        in turn. Labels are matched by name.
    options
        All choices; see `TrainOptions`.
    output
        Folder of the model; must be new or empty unless `resume`.
    start_from
        A finished model to fine-tune further, with its head, labels and tokenizer.
    resume
        Continue the interrupted run in `output`; the result is that of an uninterrupted run.
    linear_baseline
        Train TF-IDF with logistic regression on the same rows as well, and say in the conclusion what it
        reaches; the model is not changed.
    listener
        Receives messages for people and the progress of every step.

    Returns
    -------
    Report
        The metrics of the best epoch on the validation rows, which also fitted the thresholds; with
        `options.folds` those of the out-of-fold scores. Its `conclusion` is a sentence about it.

    Raises `DataError`, `OptionError`, `EncoderError` for invalid input, `TrainingError` when the run
    cannot continue, `InterruptedRunError` when a signal stopped it. Of several threads that train, one
    after another does: their results are those of runs alone. Of several processes started by torchrun
    each trains on its share of every step, the first one writes and reports, and all return the report.
    """
    listener = listener or Listener()
    if linear_baseline:
        require_scikit_learn()
    with only_run(listener), joined(options.device) as ranks:
        if not ranks.is_first:
            listener = Listener()
        run = prepare(
            training,
            validation,
            options,
            output,
            start_from=start_from,
            resume=resume,
            listener=listener,
            ranks=ranks,
        )
        trained = fit_network(run)
        lines = [_conclusion(run, trained)]
        if linear_baseline:
            lines.append(_compared(run, trained, ranks))
        if ranks.is_first:
            write(run, trained)
        ranks.wait()  # whoever goes on may load the model
        return replace(trained.report, conclusion="\n".join(lines))


def prepare(
    training: Labelled,
    validation: Labelled | None,
    options: TrainOptions,
    output: Path,
    *,
    start_from: Path | None,
    resume: bool,
    listener: Listener,
    ranks: Ranks = ALONE,
) -> Run:
    """Check the input, load the network, encode the rows and open the run directory; as `train`."""
    _check_validation(validation, options)
    require_alone(ranks.count, _only_alone(options))
    check_output(output, resume=resume)
    require_trackers(options.trackers)
    teachers = open_teachers(options.teacher, label_space(training), listener.say)
    hardware = choose_hardware(options, output, resume=resume, listener=listener, ranks=ranks)
    model = _model(training, options, start_from, listener)
    train_set, validation_rows = _encoded(training, validation, options, model, listener)
    backend = _backend(model, options, hardware, listener)
    describe_rows(
        train_set,
        validation_rows if options.folds is None else None,
        model.max_length,
        listener,
        label_tokens=model.num_label_tokens,
        taught=bool(teachers),
    )
    fold_of = None
    if options.folds is not None:  # before the directory is made, since there may be too few rows
        fold_of = cross_validation_folds(train_set, options.folds, options.seed, listener)
    counter = TextFactsCounter(model.tokenizer)
    validation_set = ValidationSet(
        validation_rows, backend, options, fold_of, counter=counter, ranks=ranks
    )
    facts = {
        **hardware.facts(packed=bool(backend.packed)),
        "training_data": train_set.fingerprint(),
        "validation_data": validation_rows.fingerprint(),
        "initial_weights": weights_fingerprint(model.network),
        **teachers.facts(),
    }
    directory, notes = open_shared_run(output, to_plain(options), facts, ranks, resume=resume)
    for note in notes:
        listener.say(note)
    provenance = Provenance(
        len(train_set),
        start_from.name if start_from else None,
        teachers.names(),
        int((~train_set.has_known_label()).sum()),
    )
    scorer = Scorer(str(hardware.device), hardware.precision.name, listener.say)
    train_set = teachers.distil(train_set, options.teacher_weight, directory.targets, scorer)
    peak, head_rate = _rates(options, model.network, listener, new=start_from is None)
    new_head = start_from is None and bool(getattr(model.network, "new_head", True))
    setup = Setup(backend, options, hardware, peak, head_rate, listener, ranks, new_head)
    return Run(
        model, setup, train_set, validation_set, directory, provenance, portable(training.data)
    )


def fit_network(run: Run) -> Trained:
    """Take all steps of the run and fit the decision; the weights are in the network."""
    strategy = _run_strategy(run.setup.options)
    trained = strategy(run.setup, run.train_set, run.validation, run.directory)
    if trained.decision.fit_report is not None:
        run.setup.listener.say(f"\n{trained.decision.fit_report}")
    return trained


def write(run: Run, trained: Trained) -> None:
    """Write the model with its card, and delete what only the unfinished run needed."""
    model = run.model
    pooling: Any = model.network.window_pooling
    artifact = Artifact(
        run.directory.root.parent,
        trained.decision,
        run.data,
        model.max_length,
        model.pooling,
        str(model.network.form),
        windows=None if pooling is None else pooling.settings(),
    )
    save_artifact(
        artifact,
        write_network=lambda stage: save_network(model.network.to("cpu"), stage),
        tokenizer=model.tokenizer,
        tokenizer_config=model.tokenizer_config,
        card=model_card(artifact, trained, run.setup.options, run.provenance),
    )
    run.directory.clear()


def _conclusion(run: Run, trained: Trained) -> str:
    """Return the line that says whether the model is good."""
    truth = run.validation.data.labels().hard().values
    selected = trained.validation == "validation_rows"
    return conclusion(
        trained.decision,
        trained.report,
        run.setup.options,
        constant=best_constant_value(trained.decision, truth),
        best_epoch=trained.epoch if selected else None,
    )


def _compared(run: Run, trained: Trained, ranks: Ranks) -> str:
    """Return what the linear baseline reaches on the same rows, or why it reaches nothing."""
    validation = replace(run.validation, ranks=ALONE)

    def compared() -> str:
        run.setup.listener.say("Training the linear baseline.")
        rows, folds = validation.data, run.setup.options.folds
        logits = None if folds else run.setup.backend.logits(rows.tokens, rows.indices)
        goal, value = trained.decision.parsed_goal(), trained.report.goal_value
        try:
            return against_baseline(goal, value, run.train_set, validation, logits)
        except (MultihotError, MemoryError) as error:  # the model is trained, and not yet written
            return f"The linear baseline could not be trained: {error or 'there is too little memory.'}"

    return ranks.from_first(compared)


def _check_validation(validation: Labelled | None, options: TrainOptions) -> None:
    if validation is not None and options.folds is not None:
        raise OptionError(
            f"folds={options.folds} and validation rows exclude each other: with folds every training "
            "row is scored out of fold. Leave one of them out."
        )


def _only_alone(options: TrainOptions) -> dict[str, object]:
    """Return what only one process can do, and whether it is asked for."""
    several = {"folds": options.folds, "seeds": options.seeds > 1}
    return {**several, "teacher": options.teacher, "trackers": options.trackers}


def _model(
    training: Labelled, options: TrainOptions, start_from: Path | None, listener: Listener
) -> InitialModel:
    """Return the initial model as the options want it read and trained."""
    model = with_windows(_initial_model(training, options, start_from), options)
    check_budget(options, model.max_length)
    freeze_layers(model.network, options.frozen_layers, listener.say)
    return model


def _initial_model(
    training: Labelled, options: TrainOptions, start_from: Path | None
) -> InitialModel:
    space = label_space(training)
    if start_from is not None:
        model = initialize_from_artifact(start_from, max_length=options.max_length)
        hierarchy = space.hierarchy if space == model.space else None
        return replace(
            model, space=replace(model.space, hierarchy=hierarchy or model.space.hierarchy)
        )
    return initialize_from_encoder(
        options.encoder,
        space,
        pooling=options.pooling,
        max_length=options.max_length,
        seed=named_seed(options.seed, "head"),
        descriptions=read_descriptions(options.label_descriptions),
    )


def _encoded(
    training: Labelled,
    validation: Labelled | None,
    options: TrainOptions,
    model: InitialModel,
    listener: Listener,
) -> tuple[Subset, Subset]:
    """Return training and validation rows; with folds the labelled training rows are both."""

    def encoded(rows: Labelled, **choices: bool) -> Subset:
        return encode(
            rows,
            model.space,
            model.tokenizer,
            model.max_length,
            listener,
            windows=model.windows,
            **choices,
        )

    rows = encoded(training, labels_required=not options.teacher)
    own = None if validation is None else encoded(validation)
    for each in (rows, own):
        if each is not None:
            limit = options.max_unknown_fraction
            check_unknown_tokens(each, model.tokenizer, listener.say, limit)
    if options.folds is not None:
        return rows, rows.take(labelled_rows(rows))
    return with_validation(
        rows,
        own,
        fraction=options.validation_fraction,
        seed=options.seed,
        listener=listener,
    )


def _backend(
    model: InitialModel, options: TrainOptions, hardware: Hardware, listener: Listener
) -> TorchBackend:
    """Move the network to its device, prepared for training; what it scores is in full precision."""
    device = hardware.device
    for note in optimize_for_training(model.network.to(device), device):
        listener.say(note)
    packed = choose_execution(options.execution, model.network, hardware, listener)
    full_precision = choose_precision("fp32", device)
    return TorchBackend(model.network, len(model.space), device, full_precision, packed=packed)


def _run_strategy(
    options: TrainOptions,
) -> Callable[[Setup, Subset, ValidationSet, RunDirectory], Trained]:
    """Return the strategy: cross-validation, several seeds, or a single run."""
    if options.folds is not None:
        return cross_validate
    return train_seeds if options.seeds > 1 else single_run


def _rates(
    options: TrainOptions, network: nn.Module, listener: Listener, *, new: bool
) -> tuple[float, float]:
    """Return the peak rates of encoder and head, the given ones or the defaults."""
    peak = options.learning_rate or _default_learning_rate(network, listener)
    return peak, options.head_learning_rate or _default_head_rate(peak, new=new)


def _default_head_rate(peak: float, *, new: bool) -> float:
    """Return the head's peak rate; a new head is untrained and needs a larger one than the encoder."""
    return max(peak, _NEW_HEAD_LEARNING_RATE) if new else peak


def _default_learning_rate(network: nn.Module, listener: Listener) -> float:
    """Return the peak rate for the size of the encoder: small ones do better with a larger one."""
    num_parameters = sum(p.numel() for p in network.parameters())
    rate = 1e-4 if num_parameters < _SMALL_ENCODER_PARAMETERS else 3e-5
    listener.say(
        f"Peak learning rate {rate:g}, the default for {num_parameters / 1e6:.1f} million parameters."
    )
    return rate
