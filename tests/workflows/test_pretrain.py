"""Whole pretraining runs on a tiny corpus: complete, repeatable, and not to be harmed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_post_hook

from models.families import write_family
from multihot.core.files import sha256_of
from multihot.core.labels import LabelSpace
from multihot.core.pretrain_options import PretrainOptions
from multihot.core.progress import Listener, StepProgress
from multihot.core.recipes import build_options
from multihot.errors import (
    EncoderError,
    InterruptedRunError,
    NonFiniteError,
    OptionError,
    StorageError,
    UserError,
)
from multihot.models.pretraining.checkpoint import load_pretraining_model
from multihot.training.checkpoint import latest_checkpoint
from multihot.training.initial_model import initialize_from_encoder
from multihot.training.pretraining.report import read_report
from multihot.training.pretraining.schedule import read_schedule
from multihot.workflows.pretrain import pretrain, probe_starts
from small_corpus import QUICK, write_corpus

pytestmark = pytest.mark.slow


class Ears(Listener):
    """Keeps what it is told, and does something after a step."""

    def __init__(self, after: Callable[[int], None] | None = None) -> None:
        self.sentences: list[str] = []
        self.after = after

    def say(self, message: str) -> None:
        self.sentences.append(message)

    def progress(self, update: StepProgress) -> None:
        if self.after is not None:
            self.after(update.step)


def stop_at(step: int) -> Ears:
    """Return ears that end the run as a crash would, before the step is saved."""

    def crash(number: int) -> None:
        if number == step:
            raise KeyboardInterrupt

    return Ears(crash)


class Clock:
    """A clock that goes on by so much with every step of an optimiser."""

    def __init__(self, seconds: float = 0.1) -> None:
        self.now, self.seconds = 0.0, seconds
        register_optimizer_step_post_hook(self._tick)

    def _tick(self, *anything: Any) -> None:
        self.now += self.seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "texts.jsonl")


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIHOT_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def options(tiny_encoder: Path) -> PretrainOptions:
    return build_options(PretrainOptions, {**QUICK, "tokenizer": str(tiny_encoder)})


@pytest.fixture(scope="module")
def finished(
    corpus: Path, options: PretrainOptions, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of an undisturbed run; read it, never change it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MULTIHOT_CACHE", "off")
        pretrain([corpus], folder, options)
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every weight file of a run, snapshots included."""
    return {
        str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("model.safetensors")
    }


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()
    ]


def test_a_run_leaves_a_folder_that_transformers_loads(finished: Path) -> None:
    from transformers import AutoModel, AutoTokenizer, BertForPreTraining

    model, loading = BertForPreTraining.from_pretrained(finished, output_loading_info=True)

    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert model.config.num_hidden_layers == 1
    assert model.config.hidden_dropout_prob == 0.1  # for the training that comes
    assert len(AutoTokenizer.from_pretrained(finished)) == model.config.vocab_size
    AutoModel.from_pretrained(finished)
    assert sorted(path.name for path in finished.iterdir() if path.suffix != ".png") == [
        "config.json",
        "model.safetensors",
        "pretraining.json",
        "run",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert not (finished / "run" / "checkpoints").exists()


def test_the_report_has_every_figure_with_an_interval(finished: Path) -> None:
    report = read_report(finished)

    assert list(report.metrics) == [
        "mlm_loss",
        "perplexity",
        "mlm_top1",
        "nsp_loss",
        "nsp_accuracy",
    ]
    assert list(report.baselines) == [
        "unigram_loss",
        "unigram_top1",
        "word_overlap_accuracy",
        "length_accuracy",
    ]
    for estimate in (*report.metrics.values(), *report.baselines.values()):
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high
    assert report.metrics["perplexity"].value == pytest.approx(
        np.exp(report.metrics["mlm_loss"].value)
    )
    assert report.steps == 12
    assert report.held_out_examples == 16
    assert report.roof_share is not None
    assert [entry["step"] for entry in report.curve] == [0, 6, 12]
    losses = [entry["held_out_mlm_loss"] for entry in report.curve]
    assert losses[0] > losses[1] > losses[2]


def test_the_log_has_both_losses_and_the_rate(finished: Path) -> None:
    lines = [line for line in log_of(finished) if "learning_rate" in line]

    assert all({"mlm_loss", "nsp_loss", "gradient_norm"} <= set(line) for line in lines)
    assert lines[0]["loss"] > 0


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    corpus: Path, options: PretrainOptions, finished: Path, tmp_path: Path
) -> None:
    pretrain([corpus], tmp_path / "same", options)
    pretrain([corpus], tmp_path / "other", replace(options, seed=1))

    assert hashes(tmp_path / "same") == hashes(finished)
    assert len(hashes(finished)) == 4  # start, two snapshots, end
    assert hashes(tmp_path / "other") != hashes(finished)


@pytest.mark.parametrize("step", [2, 4, 7, 12])
def test_an_interrupted_run_ends_in_the_same_bytes(
    corpus: Path, options: PretrainOptions, finished: Path, tmp_path: Path, step: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        pretrain([corpus], tmp_path, options, listener=stop_at(step))
    ears = Ears()
    pretrain([corpus], tmp_path, options, resume=True, listener=ears)

    assert hashes(tmp_path) == hashes(finished)
    assert [entry["step"] for entry in log_of(tmp_path) if entry.get("held_out")] == [0, 6, 12]
    if saved := (step - 1) // 4 * 4:
        assert f"Resuming after step {saved} of 12." in ears.sentences


def test_a_checkpoint_of_an_interrupted_run_is_an_encoder(
    corpus: Path, options: PretrainOptions, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        pretrain([corpus], tmp_path, options, listener=stop_at(6))
    [checkpoint] = (tmp_path / "run" / "checkpoints").glob("step-*")

    model = initialize_from_encoder(
        str(checkpoint), LabelSpace(("a", "b")), pooling="mean", max_length=None, seed=0
    )

    saved = load_file(checkpoint / "network.safetensors")
    name = "embeddings.word_embeddings.weight"
    [key] = (key for key in saved if key.endswith(name))
    assert torch.equal(model.network.state_dict()[f"encoder.{name}"], saved[key])


def test_a_signal_leaves_a_checkpoint_to_go_on_from(
    corpus: Path, options: PretrainOptions, finished: Path, tmp_path: Path
) -> None:
    def ask(step: int) -> None:
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRunError, match="SIGTERM after step 5; a checkpoint was written"):
        pretrain([corpus], tmp_path, options, listener=Ears(ask))
    ears = Ears()
    pretrain([corpus], tmp_path, options, resume=True, listener=ears)

    assert "Resuming after step 5 of 12." in ears.sentences
    assert hashes(tmp_path) == hashes(finished)


def test_a_killed_process_loses_nothing(
    corpus: Path, options: PretrainOptions, tmp_path: Path
) -> None:
    longer = replace(options, total_steps=40, checkpoint_steps=2, evaluation_steps=40)
    words = [f"{key}={getattr(longer, key)}" for key in (*QUICK, "tokenizer")]
    start = "import sys; from multihot.cli.main import main; sys.exit(main())"
    killed, peaceful = tmp_path / "killed", tmp_path / "peaceful"
    command = [
        sys.executable,
        "-c",
        start,
        "pretrain",
        str(corpus),
        "--output",
        str(killed),
        *words,
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    checkpoints = killed / "run" / "checkpoints"
    while process.poll() is None and not any(checkpoints.glob("step-*/manifest.json")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert latest_checkpoint(checkpoints) is not None
    assert not (killed / "config.json").exists()

    pretrain([corpus], killed, longer, resume=True)
    pretrain([corpus], peaceful, longer)

    assert hashes(killed) == hashes(peaceful)


def test_a_tokenizer_is_trained_when_there_is_none_and_kept_for_resuming(
    corpus: Path, options: PretrainOptions, tmp_path: Path
) -> None:
    own = replace(options, tokenizer=None, vocab_size=90)
    with pytest.raises(KeyboardInterrupt):
        pretrain([corpus], tmp_path, own, listener=stop_at(6))
    ears = Ears()
    pretrain([corpus], tmp_path, own, resume=True, listener=ears)

    assert (tmp_path / "run" / "tokenizer" / "tokenizer.json").is_file()
    assert not any("Training a tokenizer" in sentence for sentence in ears.sentences)
    assert "Resuming after step 4 of 12." in ears.sentences


def test_hours_are_turned_into_steps_before_the_first(
    corpus: Path, options: PretrainOptions, tmp_path: Path
) -> None:
    timed = replace(options, total_steps=None, hours=5 / 3600)
    ears = stop_at(5)
    with pytest.raises(KeyboardInterrupt):
        pretrain([corpus], tmp_path, timed, listener=ears, clock=Clock())
    planned = read_schedule(tmp_path / "run" / "schedule.json")
    assert planned is not None
    assert planned.total_steps == 40  # of 50, 10 were for the trial
    assert any(f"{planned.total_steps} steps fit into" in sentence for sentence in ears.sentences)

    # Another pace after the interruption changes nothing but the time.
    report = pretrain([corpus], tmp_path, timed, resume=True, clock=Clock(0.09))
    assert report.steps == planned.total_steps
    undisturbed = replace(
        options, total_steps=planned.total_steps, evaluation_steps=planned.evaluation_steps
    )
    pretrain([corpus], tmp_path / "undisturbed", undisturbed)
    assert hashes(tmp_path / "undisturbed") == {
        name: digest
        for name, digest in hashes(tmp_path).items()
        if not name.startswith("undisturbed")
    }


def test_an_early_end_is_decided_once_and_repeated_after_an_interruption(
    corpus: Path, options: PretrainOptions, tmp_path: Path
) -> None:
    timed = replace(options, total_steps=None, hours=6 / 3600)

    def slow_after_20(clock: Clock, crash: int | None = None) -> Ears:
        def change(number: int) -> None:
            if number == 20:
                clock.seconds = 0.15
            if number == crash:
                raise KeyboardInterrupt

        return Ears(change)

    clock = Clock()
    ears = slow_after_20(clock)
    report = pretrain([corpus], tmp_path / "one", timed, listener=ears, clock=clock)
    schedule = read_schedule(tmp_path / "one" / "run" / "schedule.json")
    assert schedule is not None
    assert schedule.total_steps == 50
    assert [decay.from_step for decay in schedule.decays] == [30]
    assert report.steps == schedule.last_step < 50
    assert report.seconds < 6.2  # 3 % may be overdrawn
    assert any("The time budget is too short" in sentence for sentence in ears.sentences)
    assert rates_of(tmp_path / "one")[30] == pytest.approx(3e-3 * schedule.rate(30))

    clock = Clock()
    with pytest.raises(KeyboardInterrupt):
        pretrain([corpus], tmp_path / "two", timed, listener=slow_after_20(clock, 31), clock=clock)
    decided = read_schedule(tmp_path / "two" / "run" / "schedule.json")
    assert decided is not None
    assert decided.decays == schedule.decays[:1]
    # Resumed from step 28, before the decision, and the clock is fast again: it stands.
    found = pretrain([corpus], tmp_path / "two", timed, resume=True, clock=Clock(0.0))
    assert found.steps == decided.last_step
    assert read_schedule(tmp_path / "two" / "run" / "schedule.json") == decided
    for step, rate in rates_of(tmp_path / "two").items():
        assert rate == pytest.approx(3e-3 * decided.rate(step))


def rates_of(folder: Path) -> dict[int, float]:
    lines = log_of(folder)
    return {line["step"]: line["learning_rate"] for line in lines if "learning_rate" in line}


def test_a_loss_that_is_not_finite_stops_with_the_last_checkpoint_good(
    corpus: Path, options: PretrainOptions, tmp_path: Path
) -> None:
    wild = replace(options, learning_rate=1e25, checkpoint_steps=1, max_gradient_norm=0.0)
    with pytest.raises(NonFiniteError, match=r"examples \d+, .*A checkpoint of an earlier step"):
        pretrain([corpus], tmp_path, wild)

    assert latest_checkpoint(tmp_path / "run" / "checkpoints") is not None
    assert not (tmp_path / "pretraining.json").exists()


def test_a_full_disk_stops_with_the_last_checkpoint_good(
    corpus: Path,
    options: PretrainOptions,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = shutil.disk_usage(tmp_path)

    def fill(step: int) -> None:
        if step == 6:
            monkeypatch.setattr(shutil, "disk_usage", lambda path: free._replace(free=0))

    with pytest.raises(StorageError, match="Earlier checkpoints are complete"):
        pretrain([corpus], tmp_path, options, listener=Ears(fill))
    monkeypatch.undo()
    pretrain([corpus], tmp_path, options, resume=True)

    assert hashes(tmp_path) == hashes(finished)


def test_without_next_sentences_only_masks_are_learnt(
    corpus: Path, options: PretrainOptions, tmp_path: Path
) -> None:
    from transformers import BertForMaskedLM

    report = pretrain([corpus], tmp_path, replace(options, next_sentence=False))

    assert list(report.metrics) == ["mlm_loss", "perplexity", "mlm_top1"]
    assert list(report.baselines) == ["unigram_loss", "unigram_top1"]
    _, loading = BertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]


@pytest.mark.parametrize(
    "changes",
    [
        {"whole_word_masking": True, "masking_rate": 0.3},
        {"batch_size": 32, "batch_tokens": 120},
        {"accumulation_steps": 3},
        {"dropout": 0.1},
        {"execution": "padded"},
    ],
)
def test_a_run_with_other_options_is_complete_and_resumes(
    corpus: Path, options: PretrainOptions, tmp_path: Path, changes: dict[str, Any]
) -> None:
    chosen = replace(options, **changes)
    with pytest.raises(KeyboardInterrupt):
        pretrain([corpus], tmp_path / "resumed", chosen, listener=stop_at(7))
    pretrain([corpus], tmp_path / "resumed", chosen, resume=True)
    pretrain([corpus], tmp_path / "peaceful", chosen)

    assert hashes(tmp_path / "resumed") == hashes(tmp_path / "peaceful")


def test_padding_changes_nothing_but_rounding(
    corpus: Path, options: PretrainOptions, finished: Path, tmp_path: Path
) -> None:
    padded = pretrain([corpus], tmp_path, replace(options, execution="padded"))

    packed = read_report(finished)
    for name, estimate in padded.metrics.items():
        assert estimate.value == pytest.approx(packed.metrics[name].value, abs=1e-3)


def test_new_heads_of_an_existing_encoder_are_trained_first(
    corpus: Path, options: PretrainOptions, tiny_encoder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    ears = Ears()
    chosen = replace(
        options, tokenizer=None, encoder=str(tiny_encoder), total_steps=4, head_fraction=0.99
    )
    pretrain([corpus], tmp_path / "heads", chosen, listener=ears)
    before = load_file(tiny_encoder / "model.safetensors")
    after = load_file(tmp_path / "heads" / "model.safetensors")

    assert any("has no masked-language-model head" in sentence for sentence in ears.sentences)
    assert any("has no next-sentence head: only masked" in sentence for sentence in ears.sentences)
    assert "The first 4 steps train the new heads only." in ears.sentences
    kept = {name: tensor for name, tensor in before.items() if "pooler" not in name}
    assert all(torch.equal(after[f"bert.{name}"], tensor) for name, tensor in kept.items())
    random = load_pretraining_model(
        tmp_path / "heads" / "run" / "snapshots" / "step-000000", seed=0
    )
    name = "cls.predictions.transform.dense.weight"
    assert not torch.equal(random.model.state_dict()[name], after[name])

    chosen = replace(chosen, total_steps=12, head_fraction=0.5)
    with pytest.raises(KeyboardInterrupt):
        pretrain([corpus], tmp_path / "resumed", chosen, listener=stop_at(9))
    pretrain([corpus], tmp_path / "resumed", chosen, resume=True)
    pretrain([corpus], tmp_path / "peaceful", chosen)
    assert hashes(tmp_path / "resumed") == hashes(tmp_path / "peaceful")


def test_an_encoder_with_heads_goes_on_with_both_tasks(
    corpus: Path, options: PretrainOptions, finished: Path, tmp_path: Path
) -> None:
    ears = Ears()
    chosen = replace(options, tokenizer=None, encoder=str(finished))
    report = pretrain([corpus], tmp_path, chosen, listener=ears)

    assert "nsp_accuracy" in report.metrics
    first, last = report.curve[0], read_report(finished).curve[-1]
    assert first["held_out_mlm_loss"] == pytest.approx(last["held_out_mlm_loss"], abs=1e-4)
    assert not any("new heads only" in sentence for sentence in ears.sentences)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": "starter"}, "has its own tokenizer; leave out tokenizer"),
        ({"encoder_size": "2x100"}, "the width must be a multiple of 64"),
        ({"max_length": 2000, "encoder": "ENCODER", "tokenizer": None}, "positions for 64 tokens"),
        ({"trackers": ("nothing",)}, "'nothing' is unknown"),
    ],
)
def test_wrong_options_are_refused_before_the_long_work(
    corpus: Path,
    options: PretrainOptions,
    tiny_encoder: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    message: str,
) -> None:
    if changes.get("encoder") == "ENCODER":
        changes = {**changes, "encoder": str(tiny_encoder)}
    with pytest.raises(OptionError, match=message):
        pretrain([corpus], tmp_path / "model", replace(options, **changes))

    assert not (tmp_path / "model").exists()


def test_an_encoder_without_known_heads_is_refused_before_the_corpus_is_read(
    options: PretrainOptions, tmp_path: Path
) -> None:
    folder = write_family("mpnet", tmp_path / "mpnet")
    chosen = replace(options, tokenizer=None, encoder=str(folder))

    with pytest.raises(EncoderError, match="family 'mpnet', whose pretraining heads are not known"):
        pretrain([tmp_path / "nowhere.txt"], tmp_path / "model", chosen)


def test_other_options_or_texts_are_not_resumed(
    corpus: Path, options: PretrainOptions, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        pretrain([corpus], tmp_path / "model", options, listener=stop_at(6))
    with pytest.raises(OptionError, match=r"has other options: masking_rate=0\.15"):
        pretrain([corpus], tmp_path / "model", replace(options, masking_rate=0.2), resume=True)
    other = write_corpus(tmp_path / "other.jsonl", seed=9)
    with pytest.raises(OptionError, match="corpus changed since the interrupted run"):
        pretrain([other], tmp_path / "model", options, resume=True)
    with pytest.raises(OptionError, match=r"is not empty\. Choose another --output"):
        pretrain([corpus], tmp_path / "model", options)

    path = tmp_path / "model" / "run" / "schedule.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "total_steps": 10**9}))
    with pytest.raises(OptionError, match=r"schedule\.json plans other steps"):
        pretrain([corpus], tmp_path / "model", options, resume=True)


def test_a_finished_run_is_not_resumed(
    corpus: Path, options: PretrainOptions, finished: Path
) -> None:
    with pytest.raises(OptionError, match="holds a finished model; there is nothing to resume"):
        pretrain([corpus], finished, options, resume=True)


def test_a_corpus_without_a_held_out_part_is_refused(
    options: PretrainOptions, tmp_path: Path
) -> None:
    text = write_corpus(tmp_path / "one.jsonl", num_documents=1)
    with pytest.raises(UserError, match="Add documents"):
        pretrain([text], tmp_path / "model", options)


def test_the_encoders_of_a_run_are_listed_for_a_probe(finished: Path, tmp_path: Path) -> None:
    starts = probe_starts(finished, starter=False)

    assert [(start.name, start.step) for start in starts] == [
        ("random", 0),
        ("step-1", 1),
        ("step-3", 3),
        ("end", 12),
    ]
    assert all((Path(start.encoder) / "config.json").is_file() for start in starts)
    seconds = [start.seconds for start in starts]
    assert seconds == sorted(seconds, key=lambda value: value or 0.0)
    assert probe_starts(finished, starter=True)[-1].encoder == "starter"
    with pytest.raises(OptionError, match="holds no finished pretraining run"):
        probe_starts(tmp_path)
    shutil.copytree(finished, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "run" / "snapshots")
    with pytest.raises(OptionError, match="holds no snapshots"):
        probe_starts(tmp_path / "copy")
