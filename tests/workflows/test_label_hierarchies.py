"""A model whose labels imply others, from file to folder, through every command and backend."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from factories import FILLERS
from multihot import MultiLabelClassifier
from multihot.cli.main import main
from multihot.core.options import DataOptions, TrainOptions
from multihot.data.labelled_file import read_examples
from multihot.errors import ArtifactError, OptionError
from multihot.inference.artifact import load_artifact
from multihot.inference.predictor import Predictor
from multihot.serving.served_model import decision_version, with_thresholds
from multihot.workflows.decide import decide
from multihot.workflows.evaluate import evaluate
from multihot.workflows.export import export
from multihot.workflows.train import train

LEAVES = {"mood/good/joy": "happy", "mood/bad": "sad", "alarm": "afraid"}
QUICK = {
    "epochs": 6, "batch_size": 8, "learning_rate": 0.01, "precision": "fp32", "device": "cpu",
    "threads": 1,
}  # fmt: skip


def write_rows(path: Path, num_rows: int, seed: int) -> Path:
    generator = np.random.default_rng(seed)
    lines = []
    for _ in range(num_rows):
        labels = [name for name in LEAVES if generator.random() < 0.4]
        words = [LEAVES[name] for name in labels] + list(generator.choice(FILLERS, size=4))
        text = " ".join(map(str, generator.permutation(words)))
        lines.append(json.dumps({"text": text, "labels": labels}))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and the files it comes from."""
    folder = tmp_path_factory.mktemp("hierarchy")
    write_rows(folder / "train.jsonl", 64, 0)
    write_rows(folder / "test.jsonl", 40, 1)
    training = read_examples(folder / "train.jsonl", DataOptions(label_hierarchy="/"))
    options = TrainOptions(encoder=str(tiny_encoder), thresholds="per_label", **QUICK)  # type: ignore[arg-type]
    train(training, training, options, folder / "model")
    return folder


def texts_of(folder: Path) -> list[str]:
    return read_examples(folder / "test.jsonl", labels="ignore").texts


def require_closed(predictor: Predictor, texts: list[str]) -> None:
    hierarchy = predictor.space.hierarchy
    assert hierarchy is not None
    scores = predictor.scores(texts)
    decided = predictor.decision.decide(scores)
    np.testing.assert_array_equal(hierarchy.closed_scores(scores), scores)
    np.testing.assert_array_equal(hierarchy.closed_decisions(decided), decided)
    for one in predictor.predict(texts):
        assert ("mood/good" in one.labels) >= ("mood/good/joy" in one.labels)
        assert ("mood" in one.labels) >= ("mood/good" in one.labels)


def test_the_folder_holds_the_hierarchy_and_decides_by_it(folder: Path) -> None:
    artifact = load_artifact(folder / "model")
    predictor = Predictor.load(folder / "model")

    assert artifact.data.label_hierarchy == "/"
    assert artifact.decision.space.names == (
        "alarm",
        "mood",
        "mood/bad",
        "mood/good",
        "mood/good/joy",
    )
    require_closed(predictor, texts_of(folder))
    with_one = with_thresholds(predictor.decision, {"mood": 1.0, "mood/good": 1.0})
    scores = predictor.scores(texts_of(folder))
    decided = with_one.decide(scores)
    assert (decided[:, 1] >= decided[:, 4]).all()
    assert decided[:, 4].any()


def test_metrics_over_hierarchies_are_those_of_closed_sets(folder: Path) -> None:
    model = Predictor.load(folder / "model")
    examples = read_examples(folder / "test.jsonl", model.artifact.data, space=model.space)

    report = evaluate(model, examples)
    unread = evaluate(model, read_examples(folder / "test.jsonl"))

    assert examples.labels is not None
    truth = [set(names) for names in examples.labels.to_names()]
    given = [set(one.labels) for one in model.predict(examples.texts)]
    right = sum(len(t & g) for t, g in zip(truth, given, strict=True))
    precision, recall = right / sum(map(len, given)), right / sum(map(len, truth))
    metrics = report.metrics
    assert metrics["hierarchical_precision"] == pytest.approx(precision)
    assert metrics["hierarchical_recall"] == pytest.approx(recall)
    assert metrics["hierarchical_f1"] == pytest.approx(
        2 * precision * recall / (precision + recall)
    )
    assert report.intervals["hierarchical_f1"] == report.intervals["micro_f1"]
    assert unread.metrics == metrics


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_every_backend_gives_the_same_closed_labels(folder: Path, to: str, tmp_path: Path) -> None:
    result = export(folder / "model", tmp_path / "out", to=to, max_flips=0.01)
    texts = texts_of(folder)
    first, second = Predictor.load(folder / "model"), Predictor.load(tmp_path / "out")

    assert result.certificate.passed
    require_closed(second, texts)
    assert [one.labels for one in second.predict(texts)] == [
        one.labels for one in first.predict(texts)
    ]
    assert "each label's own" in (tmp_path / "out" / "README.md").read_text("utf-8")
    with pytest.raises(OptionError, match="The labels have a hierarchy"):
        export(folder / "model", tmp_path / "folded", to=to, fold_thresholds=True)
    assert not (tmp_path / "folded").exists()


def test_a_new_decision_keeps_the_hierarchy(folder: Path) -> None:
    model = Predictor.load(folder / "model")
    examples = read_examples(folder / "test.jsonl", model.artifact.data, space=model.space)

    tuned = decide(model, examples, goal="macro_f1", thresholds="shrunk", calibration="platt")

    assert tuned.decision.space.hierarchy == model.space.hierarchy
    assert decision_version(tuned.decision) != decision_version(model.decision)


def test_a_precision_that_other_labels_break_is_refused_before_rows_are_scored(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Predictor.load(folder / "model")
    examples = read_examples(folder / "test.jsonl", model.artifact.data, space=model.space)
    monkeypatch.delattr(Predictor, "logits_of")

    with pytest.raises(OptionError, match="other labels imply 'mood', so"):
        decide(model, examples, goal="micro_f1, precision[mood]>=0.5@0.9")


def test_a_folder_that_names_a_file_of_parents_elsewhere_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    MultiLabelClassifier.load(folder / "model").save(tmp_path / "copy")
    path = tmp_path / "copy" / "thresholds.json"
    content = json.loads(path.read_text("utf-8"))
    content["data"]["label_hierarchy"] = "../parents.csv"
    path.write_text(json.dumps(content), "utf-8")

    with pytest.raises(ArtifactError, match="a file outside the folder"):
        load_artifact(tmp_path / "copy")


def test_the_classifier_takes_a_table_of_parents(tiny_encoder: Path, tmp_path: Path) -> None:
    examples = read_examples(write_rows(tmp_path / "a.jsonl", 48, 0))
    assert examples.labels is not None
    names = examples.labels.to_names()
    table = {"mood/good/joy": ["good", "mood"], "mood/bad": "mood"}
    clf = MultiLabelClassifier(str(tiny_encoder), label_hierarchy=table, **QUICK)  # type: ignore[arg-type]

    clf.fit(examples.texts, names, validation=(examples.texts, names), output=tmp_path / "m")
    loaded = MultiLabelClassifier.load(tmp_path / "m")
    again = loaded.fit(examples.texts, names, validation=(examples.texts, names))

    assert list(clf.classes_) == ["alarm", "good", "mood", "mood/bad", "mood/good/joy"]
    for labels in clf.predict(examples.texts):
        assert {"good", "mood"} <= set(labels) or "mood/good/joy" not in labels
    assert clf.evaluate(examples.texts, names).metrics["hierarchical_f1"] is not None
    assert again.predict(["happy"])[0] == sorted({"good", "mood", *again.predict(["happy"])[0]})


def test_commands_take_a_model_with_a_hierarchy(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    for command in (
        ["inspect", "model"],
        ["inspect", "train.jsonl", "data.label_hierarchy=/"],
        ["evaluate", "model", "test.jsonl", "--json"],
        ["explain", "model", "so happy today"],
        ["suggest", "model", "test.jsonl", "--output", str(tmp_path / "next.csv")],
        ["report", "model", "test.jsonl", "--output", str(tmp_path / "report.html")],
        ["compare", "model", "model", "test.jsonl"],
        ["predict", "model", "--input", "test.jsonl", "--output", str(tmp_path / "p.csv")],
    ):
        assert main(command) == 0, (command, capsys.readouterr())


def test_training_from_a_command_line_says_what_labels_imply(
    folder: Path, tiny_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "h.csv").write_text("mood/bad,bad\nbad,all\n", "utf-8")
    pairs = [f"{key}={value}" for key, value in {**QUICK, "epochs": 1}.items()]
    first = ["train", str(folder / "train.jsonl"), "--output", str(tmp_path / "m"), *pairs]

    assert (
        main([*first, "--encoder", str(tiny_encoder), "--label-hierarchy", str(tmp_path / "h.csv")])
        == 0
    )
    assert "Hierarchy: 2 of 5 labels imply others; 3 levels." in capsys.readouterr().err
    (tmp_path / "h.csv").unlink()
    assert main(["evaluate", str(tmp_path / "m"), str(folder / "test.jsonl")]) == 0
    assert main([*first[:3], str(tmp_path / "n"), "--from", str(tmp_path / "m"), *pairs]) == 0
    assert load_artifact(tmp_path / "n").decision.space.hierarchy is not None
    assert main([*first[:3], str(tmp_path / "x"), "--label-hierarchy", "parents", *pairs]) == 2
    assert "is neither a separator" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
