"""Learning from finished models: their scores become targets, for texts without labels too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.base import clone

from factories import SPACE, Recorder, Stop, rows
from multihot import MultiLabelClassifier
from multihot.core.files import sha256_of
from multihot.core.labels import LabelMatrix, LabelSpace
from multihot.core.options import DataOptions, TrainOptions
from multihot.data import encode as encoded_files
from multihot.data.dataset import encode
from multihot.data.examples import Examples
from multihot.data.label_codes import label_totals
from multihot.data.labelled_file import LabelledFile, open_labelled
from multihot.data.union import union_of, with_unlabelled
from multihot.errors import ArtifactError, DataError, OptionError
from multihot.inference.artifact import load_artifact
from multihot.inference.predictor import Predictor
from multihot.training.distillation import Scorer, mixed_targets, open_teachers
from multihot.workflows.decide import decide, save
from multihot.workflows.evaluate import evaluate
from multihot.workflows.train import train

pytestmark = pytest.mark.slow

TRAIN, VALIDATION, TEST = rows(160, 2), rows(40, 1), rows(80, 3)
UNLABELLED = rows(200, 5)


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MULTIHOT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def options(tiny_encoder: Path) -> TrainOptions:
    return TrainOptions(
        encoder=str(tiny_encoder),
        epochs=8,
        batch_size=8,
        learning_rate=2e-2,
        pooling="mean",
        precision="fp32",
        device="cpu",
        threads=1,
        checkpoint_steps=7,
    )


@pytest.fixture(scope="module")
def teacher(options: TrainOptions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows the task."""
    folder = tmp_path_factory.mktemp("teacher") / "large"
    train(TRAIN, VALIDATION, options, folder)
    return folder


def micro_f1(model: Path) -> float:
    value = evaluate(Predictor.load(model), TEST).metrics["micro_f1"]
    assert value is not None
    return value


def without_labels(examples: Examples) -> Examples:
    nothing = np.full((len(examples), len(SPACE)), np.nan, dtype=np.float32)
    return replace(examples, labels=LabelMatrix(SPACE, nothing))


cells = arrays.arrays(
    np.float32, (4, 3), elements=st.one_of(st.just(np.nan), st.floats(0, 1, width=32))
)


@given(cells, cells, st.floats(0, 1))
def test_targets_lie_between_label_and_teacher_and_need_only_one_of_them(
    values: np.ndarray, taught: np.ndarray, weight: float
) -> None:
    found = mixed_targets(values, taught, weight)

    assert found.dtype == np.float32
    assert (np.isnan(found) == (np.isnan(values) & np.isnan(taught))).all()
    low, high = np.fmin(values, taught), np.fmax(values, taught)
    known = ~np.isnan(found)
    assert (found[known] >= low[known] - 1e-6).all()
    assert (found[known] <= high[known] + 1e-6).all()
    np.testing.assert_array_equal(
        mixed_targets(values, np.full_like(taught, np.nan), weight), values
    )
    np.testing.assert_array_equal(
        mixed_targets(np.full_like(values, np.nan), taught, weight), taught
    )


def test_the_weight_mixes_label_and_score() -> None:
    values = np.array([[0, 1, np.nan]], dtype=np.float32)
    taught = np.array([[0.6, 0.6, 0.6]], dtype=np.float32)

    np.testing.assert_allclose(mixed_targets(values, taught, 0), [[0, 1, 0.6]])
    np.testing.assert_allclose(mixed_targets(values, taught, 0.5), [[0.3, 0.8, 0.6]])
    np.testing.assert_allclose(mixed_targets(values, taught, 1), [[0.6, 0.6, 0.6]])


def test_a_student_learns_from_texts_that_nobody_labelled(
    options: TrainOptions, teacher: Path, tmp_path: Path
) -> None:
    few = rows(3, 7)
    ears = Recorder()
    taught = replace(options, teacher=(str(teacher),))
    both = union_of(few, without_labels(UNLABELLED))

    train(few, VALIDATION, replace(options, epochs=60), tmp_path / "alone")
    train(both, VALIDATION, taught, tmp_path / "student", listener=ears)

    assert micro_f1(tmp_path / "student") > max(0.9, micro_f1(tmp_path / "alone") + 0.1)
    assert f"{teacher} scores 203 texts, once." in ears.sentences
    assert "600 training label cells are unknown and filled with teacher scores." in ears.sentences
    assert not (tmp_path / "student" / "run" / "targets").exists()
    card = (tmp_path / "student" / "README.md").read_text("utf-8")
    assert "distilled from `large` (200 rows without labels have soft targets only)" in card


def test_the_labels_of_validation_rows_stay_what_they_are(
    options: TrainOptions, teacher: Path, tmp_path: Path
) -> None:
    contrary = replace(TRAIN, labels=LabelMatrix(SPACE, 1 - TRAIN.labels.values))  # type: ignore[union-attr]
    brief = replace(options, epochs=1, teacher=(str(teacher),), teacher_weight=1.0)

    report = train(contrary, None, brief, tmp_path / "m")

    # The student learns what the teacher says, and is measured by what the rows say.
    assert report.metrics["macro_roc_auc"] is not None
    assert report.metrics["macro_roc_auc"] < 0.4


def test_targets_are_the_mean_of_the_teachers_that_know_a_label(
    options: TrainOptions, teacher: Path, tmp_path: Path
) -> None:
    two = LabelSpace(("sadness", "joy"))
    other = tmp_path / "other"
    train(rows(60, 8, two), rows(40, 1, two), replace(options, epochs=1), other)
    wide = LabelSpace(("fear", "joy", "sadness", "trust"))
    values = np.full((len(TEST), 4), np.nan, dtype=np.float32)
    values[:, 1] = TEST.labels.values[:, 0]  # type: ignore[union-attr]
    said: list[str] = []
    student = Predictor.load(teacher)
    found = encode(replace(TEST, labels=LabelMatrix(wide, values)), wide, student.tokenizer, 64)
    wanted = replace(options, teacher=(str(teacher), str(other)), teacher_weight=0.25)

    taught = open_teachers(wanted.teacher, wide, said.append).distil(
        found, 0.25, tmp_path / "targets", Scorer("cpu", "fp32", said.append)
    )

    first, second = student.scores(TEST.texts), Predictor.load(other).scores(TEST.texts)
    joy = (first[:, 0] + second[:, 1]) / 2
    sadness = (first[:, 1] + second[:, 0]) / 2
    everything = np.arange(len(TEST))
    got = taught.labels().values
    np.testing.assert_allclose(got[:, 0], first[:, 2], atol=1e-6)
    np.testing.assert_allclose(got[:, 1], 0.75 * values[:, 1] + 0.25 * joy, atol=1e-6)
    np.testing.assert_allclose(got[:, 2], sadness, atol=1e-6)
    assert np.isnan(got[:, 3]).all()
    assert "No teacher knows these labels: trust." in said
    half = taught.take(everything[::2])
    np.testing.assert_array_equal(half.labels().values, got[::2])


def test_a_run_without_a_teacher_does_not_speak_of_one(
    options: TrainOptions, tmp_path: Path
) -> None:
    ears = Recorder()

    train(TRAIN, VALIDATION, replace(options, epochs=1), tmp_path / "m", listener=ears)

    assert not any("eacher" in said for said in ears.sentences)
    assert "taught" not in (tmp_path / "m" / "README.md").read_text("utf-8")


def test_rows_of_several_windows_get_their_own_scores(teacher: Path, tmp_path: Path) -> None:
    many = rows(4500, 11)
    predictor = Predictor.load(teacher)
    found = encode(many, SPACE, predictor.tokenizer, 64)
    scorer = Scorer("cpu", "fp32", str)

    for _ in ("computed", "from the cache"):
        scores = scorer.scores(load_artifact(teacher), found.dataset)
        np.testing.assert_allclose(scores, predictor.scores(many.texts), atol=1e-5)


@pytest.mark.parametrize("large", [False, True])
def test_what_is_unknown_stays_so_beside_soft_labels(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, large: bool
) -> None:
    monkeypatch.setattr(encoded_files, "SMALL_FILE_BYTES", 1 if large else 2**20)
    votes, texts = tmp_path / "votes.csv", tmp_path / "texts.csv"
    votes.write_text("text,joy,sadness,fear\nhappy day,0.8,0,\nsad,0.2,1,0\n", "utf-8")
    texts.write_text("text\nafraid\nhappy\n", "utf-8")
    data = DataOptions(soft_labels=True)
    file = with_unlabelled(open_labelled(votes, data), [texts], data)

    found = encode(file, SPACE, Predictor.load(teacher).tokenizer, 64)

    expected = [[0.8, 0, np.nan], [0.2, 1, 0], [np.nan] * 3, [np.nan] * 3]
    np.testing.assert_allclose(found.labels().values, expected, rtol=1e-6)


def test_a_rare_label_keeps_its_weight_when_the_teacher_doubts_it() -> None:
    targets = np.array([[0.4, np.nan, 1], [0.1, 0, 0]], dtype=np.float32)

    np.testing.assert_allclose(label_totals(targets, np.arange(2)).sums, [0.5, 0, 1], rtol=1e-6)


def test_scores_that_were_damaged_are_computed_anew(
    options: TrainOptions, teacher: Path, tmp_path: Path
) -> None:
    found = encode(TRAIN, SPACE, Predictor.load(teacher).tokenizer, 64)
    scorer, artifact = Scorer("cpu", "fp32", str), load_artifact(teacher)
    first = np.array(scorer.scores(artifact, found.dataset))
    (stored,) = (tmp_path / "cache").rglob("scores.bin")
    stored.write_bytes(np.full(first.size, 7.5, dtype="<f4").tobytes())

    np.testing.assert_array_equal(scorer.scores(artifact, found.dataset), first)


@pytest.mark.parametrize("cache", ["on", "off", "unwritable"])
def test_scores_are_computed_once_and_cost_nothing_later(
    options: TrainOptions,
    teacher: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache: str,
) -> None:
    if cache == "off":
        monkeypatch.setenv("MULTIHOT_CACHE", "off")
    if cache == "unwritable":
        (tmp_path / "file").write_text("", "utf-8")
        monkeypatch.setenv("MULTIHOT_CACHE", str(tmp_path / "file"))
    brief = replace(options, epochs=1, teacher=(str(teacher),))
    first, again = Recorder(), Recorder()

    train(TRAIN, VALIDATION, brief, tmp_path / "a", listener=first)
    train(TRAIN, VALIDATION, brief, tmp_path / "b", listener=again)

    once = f"{teacher} scores 160 texts, once."
    assert once in first.sentences
    assert (once in again.sentences) == (cache != "on")
    assert any("Using cached teacher scores" in said for said in again.sentences) == (cache == "on")
    assert any("held in memory" in said for said in again.sentences) == (cache == "unwritable")
    weights = [sha256_of(tmp_path / name / "head.safetensors") for name in "ab"]
    assert weights[0] == weights[1]


def test_another_decision_of_the_teacher_is_scored_anew(
    options: TrainOptions, teacher: Path, tmp_path: Path
) -> None:
    brief = replace(options, epochs=1, teacher=(str(tmp_path / "t"),))
    MultiLabelClassifier.load(teacher).save(tmp_path / "t")
    train(TRAIN, VALIDATION, brief, tmp_path / "a")
    predictor = Predictor.load(tmp_path / "t")
    save(predictor, decide(predictor, rows(200, 9), calibration="platt"))
    ears = Recorder()

    train(TRAIN, VALIDATION, brief, tmp_path / "b", listener=ears)

    assert f"{tmp_path / 't'} scores 160 texts, once." in ears.sentences
    assert not any("not calibrated" in said for said in ears.sentences)


def test_an_interrupted_run_goes_on_with_its_teacher_and_with_no_other(
    options: TrainOptions, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTIHOT_CACHE", "off")
    taught = replace(options, epochs=2, teacher=(str(teacher),))
    train(TRAIN, VALIDATION, taught, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, VALIDATION, taught, tmp_path / "m", listener=Stop(25))
    assert (tmp_path / "m" / "run" / "targets").is_dir()
    copy = tmp_path / "copy"
    MultiLabelClassifier.load(teacher).save(copy)

    changed = replace(taught, teacher=(str(copy),))
    with pytest.raises(OptionError, match="has other options: teacher="):
        train(TRAIN, VALIDATION, changed, tmp_path / "m", resume=True)
    (tmp_path / "m" / "run" / ".targets.1.0a1b2c3d").mkdir()  # of a process that was killed
    ears = Recorder()
    train(TRAIN, VALIDATION, taught, tmp_path / "m", resume=True, listener=ears)

    assert not any("scores 160 texts" in said for said in ears.sentences)
    assert not list((tmp_path / "m" / "run").glob("*targets*"))
    weights = [sha256_of(tmp_path / name / "head.safetensors") for name in ("whole", "m")]
    assert weights[0] == weights[1]


def test_a_teacher_that_changed_since_is_refused_on_resume(
    options: TrainOptions, teacher: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    MultiLabelClassifier.load(teacher).save(own)
    taught = replace(options, epochs=2, teacher=(str(own),))
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, VALIDATION, taught, tmp_path / "m", listener=Stop(25))
    predictor = Predictor.load(own)
    save(predictor, decide(predictor, rows(200, 9), calibration="platt"))

    with pytest.raises(OptionError, match="teacher changed since the interrupted run"):
        train(TRAIN, VALIDATION, taught, tmp_path / "m", resume=True)


def test_files_are_read_again_for_the_teacher_and_must_be_the_same(
    options: TrainOptions, teacher: Path, tmp_path: Path
) -> None:
    path, texts = written(tmp_path / "a.jsonl", rows(20, 7)), tmp_path / "b.csv"
    texts.write_text("text\n" + "\n".join(UNLABELLED.texts) + "\n", "utf-8")
    taught = replace(options, teacher=(str(teacher),))

    train(with_unlabelled(path, [texts], DataOptions()), VALIDATION, taught, tmp_path / "m")

    assert micro_f1(tmp_path / "m") > 0.75
    file = with_unlabelled(path, [texts], DataOptions())
    found = encode(file, SPACE, Predictor.load(teacher).tokenizer, 64)
    texts.write_text("text\n" + "\n".join(UNLABELLED.texts[::-1]) + "\n", "utf-8")
    with pytest.raises(DataError) as caught:
        Scorer("cpu", "bf16", str).scores(load_artifact(teacher), found.dataset)
    assert caught.value.path == file.source


def written(path: Path, examples: Examples) -> LabelledFile:
    assert examples.labels is not None
    lines = [
        json.dumps({"text": text, "labels": names})
        for text, names in zip(examples.texts, examples.labels.to_names(), strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return open_labelled(path, space=SPACE)


def test_in_python_a_text_without_labels_is_taught(
    options: TrainOptions, teacher: Path, tiny_encoder: Path
) -> None:
    names = [*rows(3, 7).labels.to_names(), *[None] * len(UNLABELLED)]  # type: ignore[union-attr]
    texts = [*rows(3, 7).texts, *UNLABELLED.texts]
    model = MultiLabelClassifier(
        tiny_encoder,
        teacher=teacher,
        epochs=8,
        batch_size=8,
        learning_rate=2e-2,
        pooling="mean",
        threads=1,
        precision="fp32",
    )

    model.fit(texts, names, validation=VALIDATION, classes=SPACE.names)

    assert model.score(TEST.texts, TEST.labels) > 0.9
    nothing = [None] * len(texts)
    alone = clone(model).fit(texts, nothing, validation=VALIDATION, classes=SPACE.names)
    assert alone.score(TEST.texts, TEST.labels) > 0.9


def test_what_makes_no_sense_is_refused(
    options: TrainOptions, teacher: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=r"teacher_weight=0\.3 needs a teacher"):
        replace(options, teacher_weight=0.3)
    with pytest.raises(OptionError, match=r"'teacher_weight' is 1\.5"):
        replace(options, teacher=("t",), teacher_weight=1.5)
    with pytest.raises(OptionError, match="folds=3 and teacher=t"):
        replace(options, teacher=("t",), folds=3)
    with pytest.raises(ArtifactError, match="no such folder"):
        train(TRAIN, VALIDATION, replace(options, teacher=("t",)), tmp_path / "m")
    assert not (tmp_path / "m").exists()
    cats = LabelSpace(("cat", "dog", "cow"))
    animals = replace(TRAIN, labels=LabelMatrix(cats, TRAIN.labels.values))  # type: ignore[union-attr]
    with pytest.raises(OptionError, match="knows none of the labels of the training rows"):
        train(animals, None, replace(options, teacher=(str(teacher),)), tmp_path / "m")
    assert load_artifact(teacher).decision.space == SPACE
