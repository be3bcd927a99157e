"""Whole runs on a tiny encoder: complete, repeatable, and not to be harmed by an interruption."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from factories import SPACE, Recorder, Stop, hashes, log_of, rows, with_unknown, write_csv
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions, TrainOptions
from multihot.core.progress import StepProgress
from multihot.data import encode as encoded_files
from multihot.data.labelled_file import open_labelled, read_examples
from multihot.errors import (
    DataError,
    InterruptedRunError,
    LabelError,
    NonFiniteError,
    OptionError,
    TrainingError,
)
from multihot.inference.artifact import load_artifact
from multihot.inference.predictor import Predictor
from multihot.workflows.evaluate import evaluate
from multihot.workflows.train import train


@pytest.fixture(scope="module")
def options(tiny_encoder: Path) -> TrainOptions:
    return TrainOptions(
        encoder=str(tiny_encoder),
        epochs=3,
        batch_size=8,
        learning_rate=3e-3,
        precision="fp32",
        device="cpu",
        threads=1,
        checkpoint_steps=2,
    )


TRAIN, VALIDATION = rows(37, 0), rows(20, 1)
STEPS = 15  # 3 epochs of 5 steps


@pytest.fixture(scope="module")
def undisturbed(options: TrainOptions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a model from a run that nothing disturbed."""
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("undisturbed") / "model"
    train(TRAIN, VALIDATION, options, output)
    return output


def test_a_run_leaves_a_complete_model(undisturbed: Path, options: TrainOptions) -> None:
    artifact = load_artifact(undisturbed)

    names = sorted(str(p.relative_to(undisturbed)) for p in undisturbed.rglob("*") if p.is_file())
    assert names == [
        "README.md",
        "config.json",
        "model.safetensors",
        "run/environment.json",
        "run/metrics.jsonl",
        "run/recipe.toml",
        "thresholds.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert artifact.decision.space == SPACE
    assert (artifact.max_length, artifact.pooling) == (64, "cls")
    assert artifact.data == DataOptions(text_column="text", encoding="utf-8")
    newest = max(undisturbed.rglob("*"), key=lambda path: (path.is_file(), path.stat().st_mtime_ns))
    assert newest.name == "thresholds.json"
    card = (undisturbed / "README.md").read_text()
    assert f"Encoder `{options.encoder}`" in card
    assert "37 training rows" in card
    for name in SPACE.names:
        assert f"| {name} |" in card


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_report_of_a_run_is_that_of_its_saved_model_to_the_last_bit(
    tmp_path: Path, options: TrainOptions, pooling: str
) -> None:
    # More rows than one window, and enough to be packed and computed by the kernels for prediction.
    validation = rows(1100, 5)
    report = train(TRAIN, validation, replace(options, epochs=1, pooling=pooling), tmp_path)

    again = evaluate(Predictor.load(tmp_path), validation)
    assert again.to_json() == report.to_json()
    assert again.rows_fitted == 1100


@pytest.mark.slow
def test_a_tiny_encoder_learns_the_cue_words(tmp_path: Path, options: TrainOptions) -> None:
    learner = replace(options, epochs=8, learning_rate=2e-2, pooling="mean", checkpoint_steps=99)

    train(rows(200, 2), VALIDATION, learner, tmp_path)

    test = evaluate(Predictor.load(tmp_path), rows(50, 3))
    assert test.metrics["micro_f1"] is not None
    assert test.metrics["micro_f1"] > 0.95


def test_the_same_seed_gives_the_same_bytes(
    undisturbed: Path, options: TrainOptions, tmp_path: Path
) -> None:
    torch.manual_seed(99)
    train(TRAIN, VALIDATION, options, tmp_path / "again")

    assert hashes(undisturbed) == hashes(tmp_path / "again")


def test_another_seed_gives_other_weights(
    undisturbed: Path, options: TrainOptions, tmp_path: Path
) -> None:
    train(TRAIN, VALIDATION, replace(options, seed=1), tmp_path)

    assert hashes(undisturbed)["model.safetensors"] != hashes(tmp_path)["model.safetensors"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "error"),
    [(step, KeyboardInterrupt) for step in (1, 4, 5, 6, 15)]
    + [(step, InterruptedRunError) for step in (3, 10)],
)
def test_a_run_interrupted_anywhere_ends_with_the_same_bytes(
    undisturbed: Path,
    options: TrainOptions,
    tmp_path: Path,
    step: int,
    error: type[BaseException],
) -> None:
    # Steps 5, 10 and 15 end an epoch; checkpoints follow steps 2, 4, 5, 6, 8, 10, ...
    with pytest.raises(error, match="stopped by the test"):
        train(TRAIN, VALIDATION, options, tmp_path, listener=Stop(step, error))
    assert not (tmp_path / "thresholds.json").exists()
    ears = Recorder()

    train(TRAIN, VALIDATION, options, tmp_path, resume=True, listener=ears)

    saved = max([s for s in (0, 2, 4, 5, 6, 8, 10, 12, 14) if s < step])
    assert ears.steps == list(range(saved + 1, STEPS + 1))
    resumed = f"Resuming after step {saved} of {STEPS}."
    assert (resumed in ears.sentences) == (saved > 0)
    assert hashes(undisturbed) == hashes(tmp_path)
    assert log_of(undisturbed) == log_of(tmp_path)


@pytest.mark.slow
def test_many_interruptions_in_a_row_change_nothing(
    undisturbed: Path, options: TrainOptions, tmp_path: Path
) -> None:
    for step in (3, 5, 9, 11, 14):
        with pytest.raises(KeyboardInterrupt):
            train(TRAIN, VALIDATION, options, tmp_path, resume=True, listener=Stop(step))
    train(TRAIN, VALIDATION, options, tmp_path, resume=True)

    assert hashes(undisturbed) == hashes(tmp_path)
    assert log_of(undisturbed) == log_of(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process to kill")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_kills_at_every_stage_of_a_save_change_nothing(
    undisturbed: Path, options: TrainOptions, tmp_path: Path
) -> None:
    # The function, and its call since the resumption, at which the process is killed.
    stages = [
        ("save_file", 1),
        ("save_file", 4),
        ("write_json", 2),
        ("flush_file", 3),
        ("sha256_of", 11),
        ("flush_folder", 2),
        ("os.replace", 6),
        ("os.replace", 9),
    ]
    for function, number in stages:
        if (child := os.fork()) == 0:
            kill_at_call(function, number)
            train(TRAIN, VALIDATION, options, tmp_path, resume=True)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL

    train(TRAIN, VALIDATION, options, tmp_path, resume=True)

    assert hashes(undisturbed) == hashes(tmp_path)
    assert log_of(undisturbed) == log_of(tmp_path)


def kill_at_call(function: str, number: int) -> None:
    """Let the n-th call of a function that saves checkpoints be the end of this process."""
    from multihot.training import checkpoint

    place, _, name = function.rpartition(".")
    module: Any = getattr(checkpoint, place) if place else checkpoint
    original, calls = getattr(module, name), iter(range(1, 10_000))

    def killing(*arguments: Any, **named: Any) -> Any:
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(module, name, killing)


def test_a_signal_is_answered_with_a_checkpoint_and_exit_code_130(
    undisturbed: Path, options: TrainOptions, tmp_path: Path
) -> None:
    class Signal(Recorder):
        def progress(self, update: StepProgress) -> None:
            if update.step == 7:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRunError, match="Stopped by SIGTERM after step 7"):
        train(TRAIN, VALIDATION, options, tmp_path, listener=Signal())
    ears = Recorder()
    train(TRAIN, VALIDATION, options, tmp_path, resume=True, listener=ears)

    assert ears.steps[0] == 8
    assert hashes(undisturbed) == hashes(tmp_path)


def test_a_run_interrupted_while_the_model_is_written_is_finished_by_resume(
    undisturbed: Path, options: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import multihot.inference.artifact

    def fail(path: Path, content: Any) -> None:
        raise KeyboardInterrupt

    write_json = multihot.inference.artifact.write_json

    def fail_at_last(path: Path, content: Any) -> None:
        (fail if path.name == "thresholds.json" else write_json)(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(multihot.inference.artifact, "write_json", fail_at_last)
        with pytest.raises(KeyboardInterrupt):
            train(TRAIN, VALIDATION, options, tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    assert not (tmp_path / "thresholds.json").exists()
    ears = Recorder()
    train(TRAIN, VALIDATION, options, tmp_path, resume=True, listener=ears)

    assert ears.steps == []
    assert hashes(undisturbed) == hashes(tmp_path)


def test_a_damaged_newest_checkpoint_only_costs_time(
    undisturbed: Path, options: TrainOptions, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, VALIDATION, options, tmp_path, listener=Stop(11))
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    (newest / "network.safetensors").write_bytes(b"not a checkpoint")
    ears = Recorder()
    train(TRAIN, VALIDATION, options, tmp_path, resume=True, listener=ears)

    assert newest.name == "step-000010"
    assert ears.steps[0] == 9
    assert hashes(undisturbed) == hashes(tmp_path)


@pytest.mark.slow
def test_early_stopping_survives_an_interruption(options: TrainOptions, tmp_path: Path) -> None:
    patient = replace(options, learning_rate=1e-9, epochs=6, early_stopping_epochs=2)
    ears = Recorder()
    train(TRAIN, VALIDATION, patient, tmp_path / "whole", listener=ears)
    last = ears.steps[-1]
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, VALIDATION, patient, tmp_path / "cut", listener=Stop(last))
    train(TRAIN, VALIDATION, patient, tmp_path / "cut", resume=True)

    assert last < 30
    assert "Stopping early: no improvement of micro_f1 for 2 epochs." in ears.sentences
    assert hashes(tmp_path / "whole") == hashes(tmp_path / "cut")


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"epochs": 4}, "epochs=3"), ({"goal": "jaccard", "seed": 5}, "goal='micro_f1', seed=0")],
)
def test_resuming_with_other_options_is_refused_by_name(
    options: TrainOptions, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, VALIDATION, options, tmp_path, listener=Stop(3))

    with pytest.raises(OptionError, match=f"has other options: {said}"):
        train(TRAIN, VALIDATION, replace(options, **changes), tmp_path, resume=True)


def test_resuming_with_other_data_is_refused(options: TrainOptions, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, VALIDATION, options, tmp_path, listener=Stop(3))

    with pytest.raises(OptionError, match="training data changed since the interrupted run"):
        train(TRAIN.take(np.arange(36)), VALIDATION, options, tmp_path, resume=True)
    with pytest.raises(OptionError, match="validation data changed since the interrupted run"):
        train(TRAIN, VALIDATION.take(np.arange(20)[::-1]), options, tmp_path, resume=True)


def test_resuming_a_finished_model_is_refused(undisturbed: Path, options: TrainOptions) -> None:
    with pytest.raises(OptionError, match="holds a finished model; there is nothing to resume"):
        train(TRAIN, VALIDATION, options, undisturbed, resume=True)


def test_a_folder_in_use_is_refused_before_training(
    undisturbed: Path, options: TrainOptions
) -> None:
    ears = Recorder()
    with pytest.raises(OptionError, match="exists and is not empty"):
        train(TRAIN, VALIDATION, options, undisturbed, listener=ears)

    assert ears.steps == []


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_going_on_from_a_model_keeps_its_head_labels_and_tokenizer(
    options: TrainOptions, tmp_path: Path, pooling: str
) -> None:
    first = replace(options, pooling=pooling, epochs=1, max_length=16)
    train(TRAIN, VALIDATION, first, tmp_path / "first")
    # The new file has its columns in another order.
    other = LabelSpace(("fear", "joy", "sadness"))
    still = replace(options, epochs=1, learning_rate=1e-12)
    result = train(
        rows(37, 0, other),
        rows(20, 1, other),
        still,
        tmp_path / "second",
        start_from=tmp_path / "first",
    )

    artifacts = [load_artifact(tmp_path / name) for name in ("first", "second")]
    assert [one.pooling for one in artifacts] == [pooling] * 2
    assert [one.max_length for one in artifacts] == [16, 16]
    assert [one.decision.space for one in artifacts] == [SPACE, SPACE]
    logits = [Predictor.load(tmp_path / n).logits(VALIDATION.texts)[0] for n in ("first", "second")]
    assert np.allclose(logits[0], logits[1], atol=1e-5)
    again = evaluate(Predictor.load(tmp_path / "first"), VALIDATION)
    for name in ("jaccard", "macro_f1", "log_loss", "macro_roc_auc"):
        assert result.metrics[name] == pytest.approx(again.metrics[name], abs=1e-6)
    assert "model `first`" in (tmp_path / "second" / "README.md").read_text()


def test_going_on_with_longer_texts_than_the_encoder_has_positions_for_is_refused(
    undisturbed: Path, options: TrainOptions, tmp_path: Path
) -> None:
    longer = replace(options, max_length=65)

    with pytest.raises(OptionError, match=r"max_length=65, but the encoder .* for 64 tokens"):
        train(TRAIN, VALIDATION, longer, tmp_path, start_from=undisturbed)


def test_going_on_with_other_labels_is_refused(
    undisturbed: Path, options: TrainOptions, tmp_path: Path
) -> None:
    assert TRAIN.labels is not None
    other = LabelMatrix(LabelSpace(("joy", "sadness", "trust")), TRAIN.labels.values)

    with pytest.raises(LabelError, match="trust"):
        train(replace(TRAIN, labels=other), VALIDATION, options, tmp_path, start_from=undisturbed)


def test_without_validation_rows_some_are_set_aside(options: TrainOptions, tmp_path: Path) -> None:
    ears = Recorder()
    short = replace(options, epochs=1, validation_fraction=0.25)

    result = train(TRAIN, None, short, tmp_path, listener=ears)

    assert result.rows == 9
    assert any(
        "9 of 37 labelled rows are set aside, stratified by label" in s for s in ears.sentences
    )
    fitted = load_artifact(tmp_path).decision.fitted_on
    assert fitted is not None
    assert fitted.rows == 9
    assert "28 training rows" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("accumulation_steps", [3, 8, 100])
@pytest.mark.slow
def test_accumulation_changes_memory_and_not_the_losses(
    undisturbed: Path, tmp_path: Path, options: TrainOptions, accumulation_steps: int
) -> None:
    # Dropout draws one mask for each micro-batch, so only the network without it is the same.
    from models.families import write_family

    still = write_family(
        "bert",
        tmp_path / "encoder",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    logs = []
    for parts in (1, accumulation_steps):
        output = tmp_path / f"in-{parts}"
        cut = replace(
            options,
            encoder=str(still),
            accumulation_steps=parts,
            epochs=2,
            max_unknown_fraction=1.0,
        )
        unknown = with_unknown(TRAIN, lambda values: values.__setitem__((slice(3, 20), 1), np.nan))
        train(unknown, VALIDATION, cut, output)
        logs.append([entry["loss"] for entry in log_of(output) if "loss" in entry])

    assert len(logs[0]) == 2
    assert logs[0] == pytest.approx(logs[1], abs=1e-5)


def test_rows_without_any_known_label_are_harmless(options: TrainOptions, tmp_path: Path) -> None:
    ears = Recorder()
    # The first step of the first epoch may well hold only such rows.
    mostly = with_unknown(TRAIN, lambda values: values.__setitem__(slice(4, None), np.nan))
    validation = with_unknown(VALIDATION, lambda values: values.__setitem__(0, np.nan))

    result = train(
        mostly, validation, replace(options, epochs=1, batch_size=2), tmp_path, listener=ears
    )

    assert result.rows == 19
    assert result.rows_without_known_labels == 1
    assert "99 training label cells are unknown and masked." in ears.sentences


def test_rows_that_are_all_unknown_are_refused(options: TrainOptions, tmp_path: Path) -> None:
    nothing = with_unknown(TRAIN, lambda values: values.fill(np.nan))

    with pytest.raises(DataError, match=r"rows0.csv: has no row with a known label"):
        train(nothing, VALIDATION, options, tmp_path / "a")
    with pytest.raises(DataError, match=r"rows0.csv: has no row with a known label"):
        train(VALIDATION, nothing, options, tmp_path / "b")


def test_rows_read_without_labels_are_refused(options: TrainOptions, tmp_path: Path) -> None:
    bare = replace(TRAIN, labels=None)

    with pytest.raises(DataError, match="has no labels to train on"):
        train(bare, None, options, tmp_path / "a")
    with pytest.raises(DataError, match="has no labels"):
        train(TRAIN, replace(VALIDATION, labels=None), options, tmp_path / "b")


def test_a_label_without_a_positive_row_is_named(options: TrainOptions, tmp_path: Path) -> None:
    ears = Recorder()
    without = with_unknown(TRAIN, lambda values: values[:, 1].fill(0.0))

    train(without, VALIDATION, replace(options, epochs=1), tmp_path, listener=ears)

    assert "No training row has these labels: sadness." in ears.sentences
    assert load_artifact(tmp_path).decision.space == SPACE


def test_cut_texts_are_counted(options: TrainOptions, tmp_path: Path) -> None:
    ears = Recorder()

    result = train(
        TRAIN, VALIDATION, replace(options, epochs=1, max_length=8), tmp_path, listener=ears
    )

    longer = sum(len(text.split()) > 6 for text in VALIDATION.texts)
    assert 0 < longer == result.rows_truncated
    assert f"{longer} validation texts are cut to max_length=8 tokens." in ears.sentences


def test_a_fixed_threshold_is_kept(options: TrainOptions, tmp_path: Path) -> None:
    train(TRAIN, VALIDATION, replace(options, epochs=1, thresholds=0.5), tmp_path)

    decision = load_artifact(tmp_path).decision
    assert decision.kind == "fixed"
    assert decision.thresholds == (0.5, 0.5, 0.5)
    assert decision.fitted_on is None
    card = (tmp_path / "README.md").read_text()
    assert "The decision is a fixed threshold, given and not fitted" in card
    assert "fitted on the validation rows" not in card


def test_thresholds_per_label_are_fitted_on_validation(
    options: TrainOptions, tmp_path: Path
) -> None:
    train(TRAIN, VALIDATION, replace(options, thresholds="per_label"), tmp_path)

    decision = load_artifact(tmp_path).decision
    assert decision.kind == "per_label"
    assert decision.fitted_on is not None
    assert (decision.fitted_on.rows, decision.fitted_on.source) == (20, "rows1.csv")


def test_the_weights_of_the_best_epoch_are_kept(options: TrainOptions, tmp_path: Path) -> None:
    # A rate that ruins the network later: the best epoch is not the last.
    wild = replace(options, learning_rate=3e-2, epochs=6, warmup_fraction=0.6, goal="jaccard")
    result = train(TRAIN, VALIDATION, wild, tmp_path)

    entries = [entry for entry in log_of(tmp_path) if entry.get("validation")]
    values = [entry["jaccard"] for entry in entries]
    assert len(values) == 6
    assert result.metrics["jaccard"] == max(values)
    epoch = values.index(max(values)) + 1
    assert epoch < 6
    assert f"epoch {epoch} of 6" in (tmp_path / "README.md").read_text()
    # Each epoch is scored as its saved model scores.
    assert result.metrics == evaluate(Predictor.load(tmp_path), VALIDATION).metrics
    scored = {name: value for name, value in result.metrics.items() if name in entries[0]}
    assert "lrap" in scored
    assert scored.items() <= entries[epoch - 1].items()


def test_a_damaged_row_stops_the_run_with_its_name_and_line(
    options: TrainOptions, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    from models.families import write_family

    folder = write_family("bert", tmp_path / "encoder")
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][5 + 1] = 3e38  # the word "am": its sum overflows
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    texts = ["i love it"] * 37
    texts[17] = "i am happy"
    examples = replace(TRAIN, texts=texts)
    options = replace(options, max_unknown_fraction=1.0)  # of the few words of this encoder

    with pytest.raises(
        NonFiniteError,
        match=r"before the update: the loss is nan. Rows .*: row-17 \(line 19\)\. A checkpoint",
    ):
        train(examples, VALIDATION, replace(options, encoder=str(folder)), tmp_path / "model")


def test_a_process_that_is_not_told_which_of_several_it_is_trains_nothing(
    options: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")

    with pytest.raises(OptionError, match="RANK is not set; expected a whole number"):
        train(TRAIN, VALIDATION, options, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_a_resumed_run_takes_the_threads_of_the_run_before(
    options: TrainOptions, tmp_path: Path
) -> None:
    two = replace(options, threads=2, epochs=1, batch_size=19)
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, VALIDATION, two, tmp_path, listener=Stop(1))
    ears, before = Recorder(), torch.get_num_threads()
    train(TRAIN, VALIDATION, replace(two, threads=None), tmp_path, resume=True, listener=ears)

    assert torch.get_num_threads() == before
    assert "with 2 threads in fp32" in ears.sentences[0]
    assert not any("may differ in the last bits" in sentence for sentence in ears.sentences)


def test_lost_weights_of_the_best_epoch_are_never_written(
    options: TrainOptions, tmp_path: Path
) -> None:
    class Vandal(Recorder):
        def progress(self, update: StepProgress) -> None:
            for folder in (tmp_path / "run" / "checkpoints").glob("step-*"):
                (folder / "network.safetensors").write_bytes(b"")

    class LastStep(Vandal):
        def say(self, message: str) -> None:
            if message.startswith("Epoch 3"):
                self.progress(None)  # type: ignore[arg-type]

    still = replace(
        options, learning_rate=1e-12, initial_head="random"
    )  # the first epoch stays best
    with pytest.raises(TrainingError, match="step-000005 is damaged or missing"):
        train(TRAIN, VALIDATION, still, tmp_path, listener=LastStep())

    assert not (tmp_path / "thresholds.json").exists()


def test_small_and_large_encoders_have_their_own_default_rate(
    options: TrainOptions, tmp_path: Path
) -> None:
    ears = Recorder()
    train(
        TRAIN, VALIDATION, replace(options, learning_rate=None, epochs=1), tmp_path, listener=ears
    )

    assert any("rate 0.0001, the default for 0.0 million" in s for s in ears.sentences)
    rates = [entry["learning_rate"] for entry in log_of(tmp_path) if "learning_rate" in entry]
    assert all(0 < rate <= 1e-4 for rate in rates)


def test_tensorboard_can_follow_a_run(options: TrainOptions, tmp_path: Path) -> None:
    train(TRAIN, VALIDATION, replace(options, epochs=1, trackers=("tensorboard",)), tmp_path)

    assert list((tmp_path / "run").rglob("events.out.tfevents.*"))


FILE_OPTIONS = DataOptions(text_column="text", encoding="utf-8")
WAYS = ["in memory", "off", "cold", "warm"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Any]]:
    """Training and validation rows of the same files on each of the ways they may take."""
    partly = with_unknown(TRAIN, lambda values: values.__setitem__((slice(3, 9), 1), np.nan))
    paths = [write_csv(tmp_path / "a.csv", partly), write_csv(tmp_path / "b.csv", VALIDATION)]
    monkeypatch.setattr(encoded_files, "SMALL_FILE_BYTES", 0)

    def opened(way: str) -> list[Any]:
        monkeypatch.setenv("MULTIHOT_CACHE", "off" if way == "off" else str(tmp_path / "cache"))
        reader: Any = read_examples if way == "in memory" else open_labelled
        return [reader(path, FILE_OPTIONS, space=SPACE) for path in paths]

    return opened


@pytest.mark.slow
@pytest.mark.parametrize("with_file", [True, False])
@pytest.mark.parametrize("batching", [{}, {"batch_size": 32, "batch_tokens": 100}])
def test_a_file_gives_the_same_bytes_in_memory_and_through_the_cache(
    files: Callable[[str], list[Any]],
    options: TrainOptions,
    tmp_path: Path,
    with_file: bool,
    batching: dict[str, int],
) -> None:
    chosen = replace(options, epochs=2, execution="padded", **batching)
    found, cards, environments = [], [], []
    for way in WAYS:
        training, validation = files(way)
        output = tmp_path / way / "model"
        output.parent.mkdir()
        train(training, validation if with_file else None, chosen, output)
        found.append(hashes(output))
        cards.append((output / "README.md").read_text())
        environments.append((output / "run" / "environment.json").read_text())

    assert found[1:] == found[:1] * 3
    assert cards[1:] == cards[:1] * 3
    assert environments[1:] == environments[:1] * 3


@pytest.mark.slow
def test_a_run_may_be_resumed_with_another_way_of_reading(
    files: Callable[[str], list[Any]], options: TrainOptions, tmp_path: Path
) -> None:
    budget = replace(options, batch_size=32, batch_tokens=64)
    train(*files("in memory"), budget, tmp_path / "whole")
    for way, step in zip(WAYS, (3, 5, 8, 13), strict=True):
        with pytest.raises(KeyboardInterrupt):
            train(*files(way), budget, tmp_path / "cut", resume=True, listener=Stop(step))
    ears = Recorder()
    train(*files("warm"), budget, tmp_path / "cut", resume=True, listener=ears)

    assert ears.steps[0] == 13
    assert hashes(tmp_path / "whole") == hashes(tmp_path / "cut")
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "cut")


@pytest.mark.parametrize("execution", ["packed", "padded"])
def test_the_schedule_of_a_token_budget_ends_with_its_last_step(
    options: TrainOptions, tmp_path: Path, execution: str
) -> None:
    budget = replace(
        options, batch_size=32, batch_tokens=64, accumulation_steps=2, execution=execution
    )
    totals: set[int] = set()

    class Totals(Recorder):
        def progress(self, update: StepProgress) -> None:
            super().progress(update)
            totals.add(update.total_steps)

    ears = Totals()
    train(TRAIN, VALIDATION, budget, tmp_path, listener=ears)

    assert totals == {len(ears.steps)}
    assert ears.steps[-1] > STEPS / 3
    # The rate of the last step is the last one above zero.
    rates = [entry["learning_rate"] for entry in log_of(tmp_path) if "learning_rate" in entry]
    assert 0 < rates[-1] < 0.2 * max(rates)


def test_rows_at_fault_in_a_file_are_named_as_the_file_names_them(
    files: Callable[[str], list[Any]], options: TrainOptions, tmp_path: Path
) -> None:
    for way in ("in memory", "warm"):
        with pytest.raises(NonFiniteError, match=r"row-\d+ \(line \d+\)"):
            train(*files(way), replace(options, learning_rate=1e30), tmp_path / way)
