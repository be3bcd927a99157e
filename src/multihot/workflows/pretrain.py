"""Texts in, encoder folder out: prepare a pretraining run, take its steps, write the encoder."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from multihot.core.launch import require_alone
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.progress import Listener
from multihot.core.recipes import to_plain
from multihot.core.text_tables import cut
from multihot.data.array_store import cache_folder
from multihot.data.corpus.documents import Corpus, read_corpus
from multihot.data.corpus.masking import mask_vocabulary
from multihot.data.corpus.tokenize import CorpusTokens, tokenize_corpus
from multihot.errors import ArtifactError, DataError, MissingExtraError, OptionError
from multihot.evaluation.bootstrap import Estimate
from multihot.gate.json_documents import read_json_object
from multihot.gate.stored_records import record_of
from multihot.models.cpu.dropout import set_dropout
from multihot.models.encoder import pad_id
from multihot.models.optimize import optimize_for_training
from multihot.models.pretraining.network import PretrainingNetwork, enable_packed_pretraining
from multihot.training.compute import Hardware, choose_execution, choose_hardware, only_run
from multihot.training.initial_model import weights_fingerprint
from multihot.training.metrics_log import require_trackers
from multihot.training.pretraining.batches import ExampleSource
from multihot.training.pretraining.callbacks import PretrainState
from multihot.training.pretraining.evaluation import (
    HoldoutEvaluator,
    HoldoutExamples,
    draw_holdout,
    measure_baselines,
)
from multihot.training.pretraining.initial_model import (
    InitialTokenizer,
    check_initial_options,
    initial_network,
    initial_tokenizer,
)
from multihot.training.pretraining.prepared_run import SNAPSHOT_FILE, PretrainingRun
from multihot.training.pretraining.report import (
    PretrainReport,
    draw_curve,
    is_pretrained,
    last_metrics,
    read_curve,
    read_report,
    write_report,
)
from multihot.training.pretraining.run import matmul_utilisation, run_pretraining_steps
from multihot.training.ranks import Ranks, joined
from multihot.training.run_directory import (
    RunDirectory,
    check_output,
    open_shared_run,
    stored_options,
)
from multihot.workflows.probe import STARTER, ProbeStart, has_starter

__all__ = ["CURVE_FILE", "pretrain", "probe_starts"]

CURVE_FILE = "curve.png"


def pretrain(
    corpus: Sequence[str | Path],
    output: str | Path,
    options: PretrainOptions | None = None,
    *,
    resume: bool = False,
    listener: Listener | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> PretrainReport:
    """Pretrain an encoder on texts by masked-language modelling and next-sentence prediction.

    Parameters
    ----------
    corpus
        Files and folders of texts; see `read_corpus`.
    output
        Folder of the encoder; must be new or empty unless `resume`. transformers loads it, and so
        does `train` as its encoder.
    options
        All choices; see `PretrainOptions`.
    resume
        Continue the interrupted run in `output`; the result is that of an uninterrupted run.
    listener
        Receives messages for people and the progress of every step.
    clock
        Seconds from an arbitrary origin; measures the time budget.

    Returns
    -------
    PretrainReport
        Hold-out metrics beside baselines, speed, and the curve.

    Raises `DataError`, `OptionError`, `EncoderError` for invalid input, `TrainingError` when the run
    cannot continue, `InterruptedRunError` when a signal stopped it.
    """
    output, listener = Path(output), listener or Listener()
    options = options or PretrainOptions()
    with contextlib.ExitStack() as stack:
        stack.enter_context(only_run(listener))
        ranks = stack.enter_context(joined(options.device))
        run = _prepare(
            corpus,
            output,
            options,
            stack,
            resume=resume,
            listener=listener if ranks.is_first else Listener(),
            clock=clock,
            ranks=ranks,
        )
        state = run_pretraining_steps(run)
        ranks.wait()  # until its log is written
        baselines = measure_baselines(run.evaluator.examples, run.holdout_source, run.source)
        report = _report(run, state, baselines)
        if ranks.is_first:
            _write(run, report, output)
        ranks.wait()  # whoever goes on may load the encoder
    return report


def _prepare(
    corpus: Sequence[str | Path],
    output: Path,
    options: PretrainOptions,
    stack: contextlib.ExitStack,
    *,
    resume: bool,
    listener: Listener,
    clock: Callable[[], float],
    ranks: Ranks,
) -> PretrainingRun:
    """Check the input, tokenise the corpus, make the model, and open the run directory.

    The parameters are those of `pretrain`; closing `stack` deletes tokens that are not cached.
    """
    check_output(output, resume=resume, is_finished=is_pretrained)
    check_initial_options(options)
    require_trackers(options.trackers)
    require_alone(ranks.count, {"trackers": options.trackers})
    hardware = choose_hardware(options, output, resume=resume, listener=listener, ranks=ranks)
    texts = read_corpus(corpus)
    for note in texts.notes:
        listener.say(note)
    tokenizer = initial_tokenizer(options, texts, RunDirectory(output / "run").tokenizer, listener)
    training_part, holdout_part = _tokens(texts, tokenizer, options, stack, listener)
    initial = initial_network(options, tokenizer, listener)
    network = PretrainingNetwork(initial.model)
    source = _examples(options, training_part, tokenizer, network)
    holdout_source = replace(source, corpus=holdout_part)
    holdout = draw_holdout(holdout_source, options.held_out_rows)
    _describe(source, holdout, network, listener)
    packed = _execution(network, options, hardware, listener)
    facts = {
        **hardware.facts(packed=packed),
        "corpus": texts.fingerprint(),
        "initial_weights": weights_fingerprint(network),
    }
    plain = to_plain(replace(options, probe=type(options.probe)()))
    if ranks.count > 1:
        facts["tokenizer"] = hashlib.sha256(tokenizer.tokenizer.to_str().encode()).hexdigest()
    directory, notes = open_shared_run(
        output, plain, facts, ranks, resume=resume, is_finished=is_pretrained
    )
    for note in notes:
        listener.say(note)
    if tokenizer.is_new and ranks.is_first:
        tokenizer.keep(directory.tokenizer)
    evaluator = HoldoutEvaluator(holdout, hardware, packed, pad_id(network), options.seed, ranks)
    return PretrainingRun(
        network,
        initial,
        tokenizer,
        hardware,
        packed,
        source,
        holdout_source,
        evaluator,
        options,
        directory,
        listener,
        clock,
        ranks,
    )


def _write(run: PretrainingRun, report: PretrainReport, output: Path) -> None:
    """Write the model, the plot of its curve and the report, and delete the checkpoints."""
    run.save(output)
    try:
        draw_curve(report, output / CURVE_FILE)
    except MissingExtraError as error:
        run.listener.say(str(error))
    write_report(output, report)
    shutil.rmtree(run.directory.checkpoints, ignore_errors=True)


def _execution(
    network: PretrainingNetwork, options: PretrainOptions, hardware: Hardware, listener: Listener
) -> bool:
    """Move the network to its device, prepared for training; return whether it runs packed."""
    set_dropout(network.to(hardware.device), options.dropout)
    for note in optimize_for_training(network, hardware.device):
        listener.say(note)
    enable = enable_packed_pretraining
    return choose_execution(options.execution, network, hardware, listener, enable=enable)


def _tokens(
    texts: Corpus,
    tokenizer: InitialTokenizer,
    options: PretrainOptions,
    stack: contextlib.ExitStack,
    listener: Listener,
) -> tuple[CorpusTokens, CorpusTokens]:
    """Return the tokens of the training part and of the hold-out corpus, cached where possible."""
    folder = cache_folder()
    if folder is None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    training, holdout = (
        tokenize_corpus(
            texts,
            tokenizer.tokenizer,
            folder,
            held_out=part,
            fraction=options.held_out_fraction,
            language=options.language,
            listener=None if part else listener,
        )
        for part in (False, True)
    )
    if training.num_tokens == 0:
        raise DataError("The corpus has no text to train on besides its hold-out part.")
    return training, holdout


def _examples(
    options: PretrainOptions,
    tokens: CorpusTokens,
    tokenizer: InitialTokenizer,
    network: PretrainingNetwork,
) -> ExampleSource:
    return ExampleSource(
        tokens,
        mask_vocabulary(tokenizer.tokenizer),
        max_length=options.max_length,
        short_fraction=options.short_fraction,
        next_sentence=network.has_next_sentence,
        masking_rate=options.masking_rate,
        whole_word_masking=options.whole_word_masking,
        batch_size=options.batch_size,
        batch_tokens=options.batch_tokens,
        accumulation_steps=options.accumulation_steps,
        seed=options.seed,
    )


def _describe(
    source: ExampleSource,
    holdout: HoldoutExamples,
    network: PretrainingNetwork,
    listener: Listener,
) -> None:
    """Report the size of the network, its tasks, and the examples of the evaluation."""
    tasks = "MLM and NSP" if source.next_sentence else "MLM"
    listener.say(
        f"Pretraining {_parameters(network) / 1e6:.1f} million parameters by {tasks}; evaluating on "
        f"{len(holdout.rows)} examples of {holdout.num_documents} hold-out documents."
    )


def _parameters(network: PretrainingNetwork) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _report(
    run: PretrainingRun, state: PretrainState, baselines: Mapping[str, Estimate]
) -> PretrainReport:
    curve, examples = read_curve(run.directory.metrics), run.evaluator.examples
    tokens_per_second = state.tokens / max(1e-9, state.step_seconds)
    return PretrainReport(
        steps=state.step,
        tokens=state.tokens,
        seconds=state.seconds,
        tokens_per_second=tokens_per_second,
        roof_share=matmul_utilisation(run, tokens_per_second),
        parameters=_parameters(run.network),
        held_out_examples=len(examples.rows),
        held_out_documents=examples.num_documents,
        interval_over="documents" if examples.by_document else "examples",
        metrics=last_metrics(curve),
        baselines=baselines,
        curve=curve,
    )


def probe_starts(output: str | Path, *, starter: bool | None = None) -> list[ProbeStart]:
    """Return the encoders of a finished run for a probe: the initial one, the snapshots, the final one.

    Parameters
    ----------
    output
        Folder of the run.
    starter
        Whether to compare the starter encoder too; default: if it is installed.

    Raises `OptionError` when the run is not finished or its snapshots are gone.
    """
    output = Path(output)
    if not is_pretrained(output):
        raise OptionError(f"{output} holds no finished pretraining run to probe.")
    report = read_report(output)
    run = RunDirectory(output / "run")
    has_encoder = run.recipe.is_file() and "encoder" in stored_options(run)
    first, starts = "as it came" if has_encoder else "random", []
    for folder in sorted(run.snapshots.glob("step-*")):
        facts = read_json_object(folder, SNAPSHOT_FILE, error=ArtifactError)
        name = first if facts.get("step") == 0 else f"step-{cut(facts.get('step'))}"
        known = {**facts, "name": name, "encoder": str(folder)}
        starts.append(record_of(ProbeStart, known, folder / SNAPSHOT_FILE, ArtifactError))
    if not starts:
        raise OptionError(
            f"{run.root} holds no snapshots, so there is no random initialisation to compare with; "
            "they are written during a run."
        )
    # Snapshots of steps beyond an early end would come from another run.
    starts = [
        start
        for start in sorted(starts, key=lambda start: start.step or 0)
        if _before(start, report)
    ]
    starts.append(
        ProbeStart(
            "end", str(output), step=report.steps, seconds=report.seconds, tokens=report.tokens
        )
    )
    if has_starter() if starter is None else starter:
        starts.append(ProbeStart(STARTER, STARTER))
    return starts


def _before(start: ProbeStart, report: PretrainReport) -> bool:
    return start.step is not None and start.step < report.steps
