"""Few rows: scores out of fold are those of networks that never saw the row, and all rows are trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import SPACE, Recorder, hashes, log_of, rows, with_unknown, write_csv
from multihot.core.files import sha256_of
from multihot.core.labels import LabelMatrix
from multihot.core.options import DataOptions, TrainOptions
from multihot.core.progress import StepProgress
from multihot.data import encode as encoded_files
from multihot.data.dataset import encode
from multihot.data.examples import Examples
from multihot.data.labelled_file import open_labelled
from multihot.data.tokens import load_tokenizer
from multihot.decision.fitting import DecisionOptions, FittingRows, fit
from multihot.errors import DataError, OptionError
from multihot.inference.artifact import load_artifact
from multihot.inference.predictor import Predictor
from multihot.training.cross_validation import cross_validation_folds
from multihot.workflows.train import train

pytestmark = pytest.mark.slow

ROWS = rows(23, 0)
STEPS = 18  # three folds of 2 epochs of 2 steps, then 2 epochs of 3 steps


@pytest.fixture(scope="module")
def options(tiny_encoder: Path) -> TrainOptions:
    return TrainOptions(
        encoder=str(tiny_encoder),
        epochs=2,
        folds=3,
        batch_size=8,
        learning_rate=1e-2,
        precision="fp32",
        device="cpu",
        threads=1,
        checkpoint_steps=1,
    )


@pytest.fixture(scope="module")
def undisturbed(options: TrainOptions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("undisturbed") / "model"
    train(ROWS, None, options, output)
    return output


class StopAtCall(Recorder):
    """Ends a run at the n-th step of all its parts together."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def progress(self, update: StepProgress) -> None:
        super().progress(update)
        if len(self.steps) == self.number:
            raise KeyboardInterrupt


def stop_and_resume(
    training: Examples, validation: Examples | None, options: TrainOptions, model: Path, number: int
) -> Recorder:
    """Stop a run at its n-th step and resume it to its end; return what was heard since."""
    with pytest.raises(KeyboardInterrupt):
        train(training, validation, options, model, listener=StopAtCall(number))
    ears = Recorder()
    train(training, validation, options, model, resume=True, listener=ears)
    return ears


def test_the_scores_are_those_of_networks_that_never_saw_the_row(
    options: TrainOptions, tmp_path: Path
) -> None:
    # One model gives all runs the same start, so that each can be repeated alone.
    train(rows(20, 5), rows(9, 6), replace(options, folds=None), tmp_path / "start")
    start = {"start_from": tmp_path / "start"}
    report = train(ROWS, None, replace(options, epochs=1), tmp_path / "model", **start)  # type: ignore[arg-type]
    alone = replace(options, folds=None, epochs=1)
    tokenizer = load_tokenizer(tmp_path / "start" / "tokenizer.json")
    fold_of = cross_validation_folds(
        encode(ROWS, SPACE, tokenizer, 64), 3, options.seed, Recorder()
    )
    logits = np.zeros((23, 3), np.float32)
    for fold in range(3):
        inside = fold_of == fold
        output = tmp_path / f"without-{fold}"
        train(ROWS.take(~inside), ROWS.take(inside), alone, output, **start)  # type: ignore[arg-type]
        logits[inside] = Predictor.load(output).logits(ROWS.take(inside).texts)[0]
    train(ROWS, rows(9, 7), alone, tmp_path / "all", **start)  # type: ignore[arg-type]

    assert ROWS.labels is not None
    fitted_rows = FittingRows.of_labels(SPACE, logits, ROWS.labels, ROWS.texts)
    chosen = DecisionOptions("micro_f1", "global")
    expected = fit(SPACE, fitted_rows, chosen, source="rows0.csv, out of 3 folds").decision
    found = load_artifact(tmp_path / "model").decision
    assert found.thresholds == pytest.approx(expected.thresholds, abs=1e-5)
    assert found.fitted_on is not None
    assert expected.fitted_on is not None
    assert found.fitted_on.source == expected.fitted_on.source
    assert found.fitted_on.sha256 == expected.fitted_on.sha256
    assert found.fitted_on.goal_value == report.metrics["micro_f1"]
    assert report.metrics["micro_f1"] == pytest.approx(expected.fitted_on.goal_value)
    assert (report.rows, report.rows_fitted) == (23, 23)
    written, whole = (tmp_path / name / "model.safetensors" for name in ("model", "all"))
    assert sha256_of(written) == sha256_of(whole)


def test_what_is_said_and_written_tells_of_the_folds(
    undisturbed: Path, options: TrainOptions, tmp_path: Path
) -> None:
    ears = Recorder()
    train(ROWS, None, options, tmp_path / "model", listener=ears)

    said = "\n".join(ears.sentences)
    assert "23 training rows, 3 labels.\n3 folds of 7 to 8 of 23 labelled rows" in said
    assert "Fold 2 of 3: training on 15 rows, scoring 8." in said
    assert "Training the final network on all 23 rows." in said
    assert "validation" not in said
    assert len(ears.steps) == STEPS
    assert [path.name for path in sorted((undisturbed / "run").iterdir())] == [
        "environment.json",
        "metrics.jsonl",
        "recipe.toml",
    ]
    card = (undisturbed / "README.md").read_text("utf-8")
    assert "23 training rows, epoch 2 of 2, seed 0." in card
    assert "fitted on the out-of-fold rows" in card
    assert "## Results on the 23 out-of-fold rows\n\nEach row was scored by one of 3" in card
    assert "validation rows" not in card
    assert [entry.get("validation") for entry in log_of(undisturbed)].count(False) == 2


@pytest.mark.parametrize("number", [1, 3, 4, 5, 8, 12, 13, 15, 18])
def test_a_run_interrupted_anywhere_ends_with_the_same_bytes(
    undisturbed: Path, options: TrainOptions, tmp_path: Path, number: int
) -> None:
    model = tmp_path / "model"
    ears = stop_and_resume(ROWS, None, options, model, number)

    # A checkpoint follows each step, so that only the one in which it stopped is repeated.
    assert len(ears.steps) == STEPS - number + 1
    assert_same(undisturbed, model)


def test_many_interruptions_and_a_damaged_score_change_nothing(
    undisturbed: Path, options: TrainOptions, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    for number in (3, 3, 4, 3, 3, 4):
        with pytest.raises(KeyboardInterrupt):
            train(ROWS, None, options, model, resume=True, listener=StopAtCall(number))
    folds = model / "run" / "folds"
    assert sorted(path.name for path in (folds / "fold-1").iterdir()) == ["metrics.jsonl", "result"]
    (folds / "fold-1" / "result" / "result.safetensors").write_bytes(b"nothing")
    train(ROWS, None, options, model, resume=True)

    assert_same(undisturbed, model)
    assert not folds.exists()


def test_a_run_interrupted_while_the_model_is_written_trains_nothing_again(
    undisturbed: Path, options: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import multihot.inference.artifact

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    model = tmp_path / "model"
    with monkeypatch.context() as patch:
        patch.setattr(multihot.inference.artifact, "write_json", fail)
        with pytest.raises(KeyboardInterrupt):
            train(ROWS, None, options, model)
    ears = Recorder()
    train(ROWS, None, options, model, resume=True, listener=ears)

    assert ears.steps == []
    assert_same(undisturbed, model)


def assert_same(one: Path, other: Path) -> None:
    assert hashes(one) == hashes(other)
    assert log_of(one) == log_of(other)
    assert (one / "README.md").read_bytes() == (other / "README.md").read_bytes()


def test_a_file_gives_the_same_bytes_in_memory_and_through_the_cache(
    options: TrainOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoded_files, "SMALL_FILE_BYTES", 0)
    twice = replace(ROWS, texts=[*ROWS.texts[:12], ROWS.texts[0].upper(), *ROWS.texts[13:]])
    path = write_csv(tmp_path / "rows.csv", twice)
    found: list[dict[str, str]] = []
    for cache in ("off", str(tmp_path / "cache"), str(tmp_path / "cache")):
        monkeypatch.setenv("MULTIHOT_CACHE", cache)
        file = open_labelled(path, twice.data, space=SPACE)
        output = tmp_path / f"{len(found)}" / "model"
        output.parent.mkdir()
        train(file, None, options, output)
        found.append(hashes(output))
    output = tmp_path / "memory" / "model"
    output.parent.mkdir()
    named = replace(twice, source=str(path), data=load_artifact(tmp_path / "0" / "model").data)
    train(named, None, options, output)

    assert [*found, hashes(output)] == found[:1] * 4


def dealt(examples: Examples, tiny_encoder: Path, num_folds: int, seed: int = 0) -> Iterator[int]:
    tokenizer = load_tokenizer(tiny_encoder / "tokenizer.json")
    encoded = encode(examples, SPACE, tokenizer, 16)
    yield from cross_validation_folds(encoded, num_folds, seed, Recorder()).tolist()


@settings(max_examples=25)
@given(data=st.data())
def test_alike_texts_and_equal_groups_are_in_one_fold(
    tiny_encoder: Path, data: st.DataObject
) -> None:
    num_rows = data.draw(st.integers(8, 24))
    words = st.sampled_from(["happy", "Happy!", "sad day", "SAD  day", "", "fear", "joy", "love"])
    texts = data.draw(st.lists(words, min_size=num_rows, max_size=num_rows))
    names = st.sampled_from(["", "", "ann", "bob"])
    groups = data.draw(st.lists(names, min_size=num_rows, max_size=num_rows))
    texts[:2], groups[:2] = ["first", "second"], ["", ""]  # at least two may be parted
    values = np.arange(num_rows * 3).reshape(-1, 3) % 2
    labels = LabelMatrix(SPACE, values.astype(np.float32))
    numbers = list(range(1, num_rows + 1))
    ids, nothing = [str(number) for number in numbers], DataOptions()
    examples = Examples(texts, labels, ids, "rows", nothing, (), numbers, None, groups)
    found = list(dealt(examples, tiny_encoder, 2))

    assert set(found) == {0, 1}
    assert found == list(dealt(examples, tiny_encoder, 2))
    alike = [" ".join(text.lower().replace("!", "").split()) for text in texts]
    for keys in (alike, groups):
        for key in set(keys) - {""}:
            assert len({fold for fold, other in zip(found, keys, strict=True) if other == key}) == 1


def test_few_rows_for_each_label_are_dealt_and_learnt_from(
    options: TrainOptions, tmp_path: Path
) -> None:
    # One row with fear, two with sadness; the last rows say nothing at all.
    few = with_unknown(ROWS.take(np.arange(12)), lambda values: values.fill(0))
    assert few.labels is not None
    few.labels.values[:5, 0] = few.labels.values[2:4, 1] = few.labels.values[7, 2] = 1
    few.labels.values[10:] = np.nan
    ears = Recorder()
    result = train(
        few, None, replace(options, thresholds="shrunk", folds=5), tmp_path, listener=ears
    )

    said = "\n".join(ears.sentences)
    assert "5 folds of 2 to 2 of 10 labelled rows" in said
    assert "Fold 5 of 5: training on 10 rows, scoring 2." in said
    assert "was trained without any: fear." in said
    assert (result.rows, result.labels["sadness"].support) == (10, 2)
    assert "12 training rows" in (tmp_path / "README.md").read_text("utf-8")


def test_more_folds_than_rows_are_refused(options: TrainOptions, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There are 23 rows; 24 parts need at least as many"):
        train(ROWS, None, replace(options, folds=24), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    same = replace(ROWS, texts=["happy"] * 23)
    with pytest.raises(DataError, match=r"There are 1 groups of rows that must stay together"):
        train(same, None, options, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_validation_rows_beside_folds_are_refused(options: TrainOptions, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="folds=3 and validation rows exclude each other"):
        train(ROWS, rows(9, 1), options, tmp_path / "model")

    assert not (tmp_path / "model").exists()


def test_resuming_with_other_folds_is_refused(options: TrainOptions, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(ROWS, None, options, tmp_path, listener=StopAtCall(3))

    with pytest.raises(OptionError, match="has other options: folds=3"):
        train(ROWS, None, replace(options, folds=4), tmp_path, resume=True)
