"""Heads, losses and ways of learning in whole runs: each learns, is saved, loads, and resumes exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from factories import Recorder, Stop, rows
from multihot.classifier import MultiLabelClassifier
from multihot.core.files import sha256_of
from multihot.core.labels import LabelSpace
from multihot.core.options import LOSS_NAMES, ObjectiveOptions, TrainOptions
from multihot.errors import ArtifactError, OptionError
from multihot.inference.predictor import Predictor
from multihot.workflows.evaluate import evaluate
from multihot.workflows.train import train

pytestmark = pytest.mark.slow

# Words that the tiny encoder knows, so that a label has a place of its own in front of a text.
SPACE = LabelSpace(("joy", "sadness", "fear"))
TRAIN, VALIDATION, TEST = rows(200, 2), rows(40, 1), rows(60, 3)


@pytest.fixture
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
        checkpoint_steps=99,
    )


def micro_f1(model: Path) -> float:
    value = evaluate(Predictor.load(model), TEST).metrics["micro_f1"]
    assert value is not None
    return value


@pytest.mark.parametrize("execution", ["packed", "padded"])
@pytest.mark.parametrize("pooling", ["attention", "labels"])
def test_every_head_learns_packed_and_padded(
    options: TrainOptions, tmp_path: Path, pooling: str, execution: str
) -> None:
    ears = Recorder()

    wanted = replace(options, pooling=pooling, execution=execution, epochs=20, learning_rate=5e-3)
    report = train(TRAIN, VALIDATION, wanted, tmp_path, listener=ears)

    assert any("Packed execution" in said for said in ears.sentences) == (execution == "packed")
    assert evaluate(Predictor.load(tmp_path), VALIDATION).to_json() == report.to_json()
    assert micro_f1(tmp_path) > 0.9


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_every_loss_learns(options: TrainOptions, tmp_path: Path, name: str) -> None:
    wanted = replace(options, objective=ObjectiveOptions(loss=name), epochs=15, learning_rate=5e-3)
    train(TRAIN, VALIDATION, wanted, tmp_path)

    assert micro_f1(tmp_path) > 0.9


@pytest.mark.parametrize(
    "choice",
    [
        {"weight_averaging": 0.9},
        {"layer_decay": 0.8, "head_learning_rate": 3e-2},
        {"frozen_layers": 1, "epochs": 15},
        {"objective": ObjectiveOptions(r_drop_weight=1.0)},
        {"objective": ObjectiveOptions(correlation_weight=0.2, label_smoothing=0.05)},
        {"objective": ObjectiveOptions(positive_weight="sqrt")},
    ],
    ids=str,
)
def test_every_choice_learns(
    options: TrainOptions, tmp_path: Path, choice: dict[str, object]
) -> None:
    train(TRAIN, VALIDATION, replace(options, **choice), tmp_path)  # type: ignore[arg-type]

    assert micro_f1(tmp_path) > 0.9


@pytest.mark.parametrize("pooling", ["attention", "labels"])
def test_an_interrupted_run_with_all_choices_ends_with_the_same_bytes(
    options: TrainOptions, tmp_path: Path, pooling: str
) -> None:
    wanted = replace(
        options,
        pooling=pooling,
        epochs=2,
        checkpoint_steps=3,
        weight_averaging=0.9,
        layer_decay=0.8,
        head_learning_rate=3e-2,
        objective=ObjectiveOptions(r_drop_weight=1.0, correlation_weight=0.2),
    )
    train(TRAIN, VALIDATION, wanted, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, VALIDATION, wanted, tmp_path / "cut", listener=Stop(31))

    train(TRAIN, VALIDATION, wanted, tmp_path / "cut", resume=True)

    for name in ("encoder/model.safetensors", "head.safetensors", "thresholds.json"):
        assert sha256_of(tmp_path / "whole" / name) == sha256_of(tmp_path / "cut" / name)


def test_frozen_layers_keep_their_weights_also_over_an_interruption(
    options: TrainOptions, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    wanted = replace(options, frozen_layers=1, epochs=2, checkpoint_steps=3, weight_averaging=0.9)
    ears = Recorder()
    with pytest.raises(KeyboardInterrupt):
        train(TRAIN, VALIDATION, wanted, tmp_path / "cut", listener=Stop(8))
    train(TRAIN, VALIDATION, wanted, tmp_path / "cut", resume=True)
    train(TRAIN, VALIDATION, wanted, tmp_path / "whole", listener=ears)

    for name in ("encoder/model.safetensors", "head.safetensors", "thresholds.json"):
        assert sha256_of(tmp_path / "whole" / name) == sha256_of(tmp_path / "cut" / name)
    before = load_file(Path(options.encoder) / "model.safetensors")
    after = load_file(tmp_path / "whole" / "encoder" / "model.safetensors")
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {name for name in after if ".layer.1." in name}
    assert any(
        "Frozen: the embeddings and the 1 layer above them; " in sentence
        for sentence in ears.sentences
    )


def test_more_frozen_layers_than_the_encoder_has_write_nothing(
    options: TrainOptions, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="frozen_layers=3, but this encoder has 2 layers"):
        train(TRAIN, VALIDATION, replace(options, frozen_layers=3), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_the_averaged_weights_are_the_ones_that_are_saved(
    options: TrainOptions, tmp_path: Path
) -> None:
    report = train(
        TRAIN, VALIDATION, replace(options, epochs=1, weight_averaging=0.95), tmp_path / "averaged"
    )
    train(TRAIN, VALIDATION, replace(options, epochs=1), tmp_path / "last")

    again = evaluate(Predictor.load(tmp_path / "averaged"), VALIDATION)
    for name in ("jaccard", "micro_f1", "log_loss"):
        assert again.metrics[name] == pytest.approx(report.metrics[name], abs=1e-6)
    hashes = {sha256_of(tmp_path / name / "head.safetensors") for name in ("averaged", "last")}
    assert len(hashes) == 2


def test_the_folder_says_what_transformers_cannot_load(
    options: TrainOptions, tmp_path: Path
) -> None:
    from transformers import AutoModel

    train(TRAIN, VALIDATION, replace(options, epochs=1, pooling="labels"), tmp_path)

    note = json.loads((tmp_path / "thresholds.json").read_text("utf-8"))["transformers"]
    assert note["auto_class"] == "AutoModel"
    assert [part.partition(":")[0] for part in note["missing"]] == [
        "head.safetensors",
        "tokenizer.json",
    ]
    assert AutoModel.from_pretrained(tmp_path / note["folder"]).config.hidden_size == 16


def test_labels_are_read_by_name_whatever_their_order(
    options: TrainOptions, tmp_path: Path
) -> None:
    order = LabelSpace(("fear", "joy", "sadness"))
    labels = replace(options, pooling="labels", epochs=20, learning_rate=5e-3)

    train(rows(200, 2, order), rows(40, 1, order), labels, tmp_path)

    assert Predictor.load(tmp_path).space == order
    assert micro_f1(tmp_path) > 0.9


@pytest.mark.parametrize("inline", [True, False])
def test_descriptions_are_read_from_a_file_or_given_as_json(
    options: TrainOptions, tmp_path: Path, *, inline: bool
) -> None:
    path, table = tmp_path / "labels.json", json.dumps({"joy": "happy love wonderful"})
    path.write_text(table)
    given = table if inline else str(path)
    wanted = replace(options, epochs=1, pooling="labels", label_descriptions=given)

    train(TRAIN, VALIDATION, wanted, tmp_path / "model")

    tokens = Predictor.load(tmp_path / "model").tokenizer.encode("sad").tokens
    assert tokens[1:4] == ["happy", "love", "wonderful"]


def test_python_gives_descriptions_as_a_mapping(tiny_encoder: Path, tmp_path: Path) -> None:
    model = MultiLabelClassifier(
        tiny_encoder,
        pooling="labels",
        label_descriptions={"joy": "happy love wonderful"},
        epochs=1,
        threads=1,
    )

    model.fit(TRAIN.texts, TRAIN.labels, validation=VALIDATION, output=tmp_path / "model")

    tokens = Predictor.load(tmp_path / "model").tokenizer.encode("sad").tokens
    assert tokens[1:4] == ["happy", "love", "wonderful"]


def test_descriptions_that_are_no_texts_are_refused_in_python_too(tiny_encoder: Path) -> None:
    model = MultiLabelClassifier(
        tiny_encoder, pooling="labels", label_descriptions={"joy": Path("x")}
    )

    with pytest.raises(OptionError, match=r"label_descriptions is .* expected texts by label name"):
        model.fit(TRAIN.texts, TRAIN.labels)


def test_descriptions_in_broken_json_are_refused(options: TrainOptions, tmp_path: Path) -> None:
    wanted = replace(options, pooling="labels", label_descriptions='{"joy": ')

    with pytest.raises(OptionError, match=r"label_descriptions=.* is not valid JSON"):
        train(TRAIN, VALIDATION, wanted, tmp_path / "model")


def test_more_labels_than_there_are_cannot_be_asked_for(
    options: TrainOptions, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="The goal is top_k=4, and there are 3 labels"):
        train(TRAIN, VALIDATION, replace(options, goal="top_k=4"), tmp_path / "model")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"joy": 3}', "the description of 'joy' is 3; expected a text"),
        ("[1]", "holds no table"),
        ("{", "is not valid JSON"),
        ('{"hate": "x"}', "descriptions for hate, but the labels are joy, sadness, fear"),
    ],
)
def test_descriptions_that_cannot_be_used_are_refused(
    options: TrainOptions, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "labels.json"
    path.write_text(content)
    wanted = replace(options, pooling="labels", label_descriptions=str(path))

    with pytest.raises(OptionError, match=message):
        train(TRAIN, VALIDATION, wanted, tmp_path / "model")


def test_cut_texts_are_told_what_the_label_names_take(
    options: TrainOptions, tmp_path: Path
) -> None:
    ears = Recorder()
    wanted = replace(options, epochs=1, pooling="labels", max_length=9)

    train(TRAIN, VALIDATION, wanted, tmp_path, listener=ears)

    sentence = "texts are cut to max_length=9 tokens, of which the label names take 5."
    assert any(sentence in said for said in ears.sentences)


def test_labels_that_leave_no_room_for_the_text_are_refused(
    options: TrainOptions, tmp_path: Path
) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"joy": "happy " * 70}))
    wanted = replace(options, pooling="labels", label_descriptions=str(path))

    with pytest.raises(OptionError, match=r"label names take 7\d tokens, which leaves no room"):
        train(TRAIN, VALIDATION, wanted, tmp_path / "model")


def test_a_head_of_an_unknown_kind_is_refused(options: TrainOptions, tmp_path: Path) -> None:
    train(TRAIN, VALIDATION, replace(options, epochs=1), tmp_path)
    path = tmp_path / "thresholds.json"
    path.write_text(path.read_text("utf-8").replace('"pooling": "mean"', '"pooling": "maximum"'))

    with pytest.raises(ArtifactError, match="'pooling' is 'maximum'; expected one of cls, mean"):
        Predictor.load(tmp_path)


def test_training_goes_on_from_a_model_that_reads_labels(
    options: TrainOptions, tmp_path: Path
) -> None:
    first = replace(options, epochs=6, pooling="labels")
    train(TRAIN, VALIDATION, first, tmp_path / "first")

    train(
        TRAIN,
        VALIDATION,
        replace(options, epochs=1, learning_rate=1e-4),
        tmp_path / "second",
        start_from=tmp_path / "first",
    )

    one, two = (Predictor.load(tmp_path / name) for name in ("first", "second"))
    assert two.artifact.pooling == "labels"
    assert np.allclose(one.scores(TEST.texts), two.scores(TEST.texts), atol=0.2)


def test_a_text_is_scored_alike_alone_and_among_others(
    options: TrainOptions, tmp_path: Path
) -> None:
    train(TRAIN, VALIDATION, replace(options, epochs=1, pooling="labels"), tmp_path)
    predictor = Predictor.load(tmp_path)

    together = predictor.scores(TEST.texts * 3)  # enough to be packed
    alone = np.concatenate([predictor.scores([text]) for text in TEST.texts[:5]])

    assert torch.allclose(torch.tensor(alone), torch.tensor(together[:5]), atol=1e-5)
