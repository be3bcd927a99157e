"""Texts in, encoder folder out: the story of one pretraining run."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from multihot.core.files import read_json
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.progress import Listener
from multihot.core.recipes import read_recipe, to_plain
from multihot.data.array_store import cache_folder
from multihot.data.corpus.documents import Corpus, read_corpus
from multihot.data.corpus.masking import mask_vocabulary
from multihot.data.corpus.tokenize import CorpusTokens, tokenize_corpus
from multihot.errors import DataError, MissingExtraError, OptionError
from multihot.evaluation.bootstrap import Estimate
from multihot.models.cpu.dropout import set_dropout
from multihot.models.devices import run_environment
from multihot.models.optimize import optimize_for_training
from multihot.models.pretraining.network import PretrainingNetwork, enable_packed_pretraining
from multihot.training.compute import choose_execution, choose_hardware
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
from multihot.training.pretraining.report import (
    PretrainReport,
    draw_curve,
    is_pretrained,
    last_metrics,
    read_curve,
    read_report,
    write_report,
)
from multihot.training.pretraining.run import (
    SNAPSHOT_FILE,
    Computing,
    PretrainingRun,
    matmul_utilisation,
    run_pretraining_steps,
)
from multihot.training.run_directory import RunDirectory, check_output, open_run
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
        Continue the interrupted run in `output`; the result is that of the undisturbed run.
    listener
        Receives sentences for people and the progress of every step.
    clock
        Seconds from any moment; a time budget is held against it.

    Returns
    -------
    PretrainReport
        Held-out figures beside baselines, speed, and the curve.

    Raises `DataError`, `OptionError`, `EncoderError` for wrong input, `TrainingError` when the run
    cannot go on, `InterruptedRunError` when a signal stopped it.
    """
    output, listener, options = Path(output), listener or Listener(), options or PretrainOptions()
    check_output(output, resume=resume, is_finished=is_pretrained)
    check_initial_options(options)
    require_trackers(options.trackers)
    device, precision = choose_hardware(
        options.device,
        options.precision,
        options.threads,
        output=output,
        resume=resume,
        listener=listener,
    )
    texts = read_corpus(corpus)
    for note in texts.notes:
        listener.say(note)
    start = initial_tokenizer(options, texts, RunDirectory(output / "run").tokenizer, listener)
    with _tokens(texts, start, options, listener) as (training_part, held_out_part):
        model = initial_network(options, start, listener)
        network = PretrainingNetwork(model.model)
        source = _examples(options, training_part, start, network)
        held_out_source = replace(source, corpus=held_out_part)
        held_out = draw_holdout(held_out_source, options.held_out_rows)
        _describe(source, held_out, network, listener)
        set_dropout(network.to(device), options.dropout)
        for note in optimize_for_training(network, device):
            listener.say(note)
        packed = choose_execution(
            options.execution,
            network,
            device,
            precision,
            listener,
            enable=enable_packed_pretraining,
        )
        computing = Computing(network, start, model, device, precision, packed)
        facts = {
            **run_environment(device, precision),
            "execution": "packed" if packed else "padded",
            "corpus": texts.fingerprint(),
            "initial_weights": weights_fingerprint(network),
        }
        plain = to_plain(replace(options, probe=type(options.probe)()))
        folder, notes = open_run(output, plain, facts, resume=resume, is_finished=is_pretrained)
        for note in notes:
            listener.say(note)
        if start.is_new:
            start.keep(folder.tokenizer)
        evaluator = HoldoutEvaluator(
            held_out, device, precision, packed, computing.pad_id, options.seed
        )
        run = PretrainingRun(computing, source, evaluator, options, folder, listener, clock)
        state = run_pretraining_steps(run)
        baselines = measure_baselines(held_out, held_out_source, source)
        report = _report(run, state, baselines)
    computing.save(output)
    try:
        draw_curve(report, output / CURVE_FILE)
    except MissingExtraError as error:
        listener.say(str(error))
    write_report(output, report)
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return report


@contextlib.contextmanager
def _tokens(
    texts: Corpus, start: InitialTokenizer, options: PretrainOptions, listener: Listener
) -> Iterator[tuple[CorpusTokens, CorpusTokens]]:
    """Yield the tokens of the training and the held-out part, from the cache when they are there."""
    with contextlib.ExitStack() as stack:
        folder = cache_folder()
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        training, held_out = (
            tokenize_corpus(
                texts,
                start.tokenizer,
                folder,
                held_out=part,
                fraction=options.held_out_fraction,
                language=options.language,
                listener=None if part else listener,
            )
            for part in (False, True)
        )
        if training.num_tokens == 0:
            raise DataError("The corpus holds no text to train on beside its held-out part.")
        yield training, held_out


def _examples(
    options: PretrainOptions,
    tokens: CorpusTokens,
    start: InitialTokenizer,
    network: PretrainingNetwork,
) -> ExampleSource:
    return ExampleSource(
        tokens,
        mask_vocabulary(start.tokenizer),
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
    held_out: HoldoutExamples,
    network: PretrainingNetwork,
    listener: Listener,
) -> None:
    """Say what will be learnt and how it is measured."""
    tasks = "masked tokens and next sentences" if source.next_sentence else "masked tokens only"
    listener.say(
        f"{_parameters(network) / 1e6:.1f} million parameters learn {tasks}; {len(held_out.rows)} "
        f"examples of {held_out.num_documents} held-out documents measure what they know."
    )


def _parameters(network: PretrainingNetwork) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _report(
    run: PretrainingRun, state: PretrainState, baselines: Mapping[str, Estimate]
) -> PretrainReport:
    curve, examples = read_curve(run.folder.metrics), run.evaluator.examples
    tokens_per_second = state.tokens / max(1e-9, state.step_seconds)
    return PretrainReport(
        steps=state.step,
        tokens=state.tokens,
        seconds=state.seconds,
        tokens_per_second=tokens_per_second,
        roof_share=matmul_utilisation(run.computing, run.source, tokens_per_second),
        parameters=_parameters(run.computing.network),
        held_out_examples=len(examples.rows),
        held_out_documents=examples.num_documents,
        interval_over="documents" if examples.by_document else "examples",
        metrics=last_metrics(curve),
        baselines=baselines,
        curve=curve,
    )


def probe_starts(output: str | Path, *, starter: bool | None = None) -> list[ProbeStart]:
    """Return the encoders of a finished run for a probe: the start, the snapshots and the end.

    Parameters
    ----------
    output
        Folder of the run.
    starter
        Whether the starter encoder is compared too; default: if it is installed.

    Raises `OptionError` when the run is not finished or its snapshots are gone.
    """
    output = Path(output)
    if not is_pretrained(output):
        raise OptionError(f"{output} holds no finished pretraining run to probe.")
    report = read_report(output)
    run = RunDirectory(output / "run")
    came = run.recipe.is_file() and "encoder" in read_recipe(run.recipe)
    first, starts = "as it came" if came else "random", []
    for folder in sorted(run.snapshots.glob("step-*")):
        facts = read_json(folder / SNAPSHOT_FILE)
        name = first if facts["step"] == 0 else f"step-{facts['step']}"
        starts.append(ProbeStart(name, str(folder), **facts))
    if not starts:
        raise OptionError(
            f"{run.root} holds no snapshots, so there is no random initialisation to compare "
            "with; they are kept while a run goes on."
        )
    # Snapshots of steps that an early end left out would come from another run.
    starts = [one for one in sorted(starts, key=lambda one: one.step or 0) if _before(one, report)]
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
