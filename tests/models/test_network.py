"""Encoder plus head: built from a seed, saved, loaded, and readable by transformers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from models.families import FAMILIES, encoded, write_family
from multihot.core.labels import LabelSpace
from multihot.errors import ArtifactError, EncoderError
from multihot.models.encoder import pad_id
from multihot.models.network import (
    EncoderAndHead,
    SequenceClassification,
    build_network,
    save_network,
)
from multihot.models.stored_network import load_network

SPACE = LabelSpace(("joy", "愛, with a comma", "fear"))
TEXTS = ["i am happy", "the rain is not so good and we never love it again", "sad"]
FORMS = {"cls": "sequence_classification", "mean": "encoder_and_head"}


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the folder of a family's tiny encoder, written once."""
    written: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in written:
            written[name] = write_family(name, tmp_path_factory.mktemp(name))
        return written[name]

    return folder


def logits_of(network: nn.Module, folder: Path, texts: list[str]) -> torch.Tensor:
    batch = encoded(folder, texts, pad_id(network))
    network.eval()
    with torch.inference_mode():
        found: torch.Tensor = network(
            torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
        )
    return found


def rewrite_weights(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("name", FAMILIES)
def test_padding_does_not_change_a_texts_logits(
    family: Callable[[str], Path], name: str, pooling: str
) -> None:
    folder = family(name)
    network = build_network(folder, SPACE, pooling, seed=1)

    together = logits_of(network, folder, TEXTS)
    alone = torch.cat([logits_of(network, folder, [text]) for text in TEXTS])

    assert together.shape == (3, 3)
    assert torch.allclose(alone, together, atol=1e-6)
    assert not torch.allclose(together[0], together[1], atol=1e-6)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_network_gives_the_same_logits(
    family: Callable[[str], Path], tmp_path: Path, name: str, pooling: str
) -> None:
    folder = family(name)
    network = build_network(folder, SPACE, pooling, seed=1)

    names = save_network(network, tmp_path)
    loaded = load_network(tmp_path, FORMS[pooling], SPACE)

    written = [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()]
    assert sorted(names) == sorted(written)
    assert loaded.form == network.form == FORMS[pooling]
    assert torch.equal(logits_of(network, folder, TEXTS), logits_of(loaded, folder, TEXTS))


@pytest.mark.parametrize("name", FAMILIES)
def test_transformers_alone_gives_the_logits_of_the_cls_form(
    family: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = family(name)
    network = build_network(folder, SPACE, "cls", seed=1)
    save_network(network, tmp_path)

    model, loading = AutoModelForSequenceClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )

    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert model.config.problem_type == "multi_label_classification"
    assert tuple(model.config.id2label[column] for column in range(3)) == SPACE.names
    assert model.config.label2id == {name: column for column, name in enumerate(SPACE.names)}
    loaded = SequenceClassification(model)
    assert torch.equal(logits_of(network, folder, TEXTS), logits_of(loaded, folder, TEXTS))


@pytest.mark.parametrize("name", FAMILIES)
def test_what_transformers_cannot_run_fails_loudly_in_it(
    family: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    from transformers import AutoModel, AutoModelForSequenceClassification

    network = build_network(family(name), SPACE, "mean", seed=1)
    save_network(network, tmp_path)

    with pytest.raises((OSError, ValueError)):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
    _, loading = AutoModel.from_pretrained(tmp_path / "encoder", output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_head_is_drawn_from_its_seed(tiny_encoder: Path, pooling: str) -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        torch.rand(seed)  # the state of the global generator does not matter
        return dict(build_network(tiny_encoder, SPACE, pooling, seed).state_dict())

    first, again, other = weights(1), weights(1), weights(2)

    assert all(torch.equal(first[name], again[name]) for name in first)
    differing = {name for name in first if not torch.equal(first[name], other[name])}
    assert any("classifier" in name for name in differing)
    stored = load_file(tiny_encoder / "model.safetensors")
    inside = {name.partition(".")[2].removeprefix("bert.") for name in differing}
    assert inside.isdisjoint(stored)


@pytest.mark.parametrize(("stated", "expected"), [(0.0, 0.0), (0.3, 0.3)])
def test_the_mean_head_drops_out_as_much_as_the_encoder(
    tmp_path: Path, stated: float, expected: float
) -> None:
    folder = write_family("bert", tmp_path, hidden_dropout_prob=stated)

    network = build_network(folder, SPACE, "mean", seed=0)

    assert isinstance(network, EncoderAndHead)
    assert network.head.dropout.p == expected


def test_a_family_that_states_no_dropout_gets_a_tenth(family: Callable[[str], Path]) -> None:
    network = build_network(family("distilbert"), SPACE, "mean", seed=0)

    assert isinstance(network, EncoderAndHead)
    assert network.head.dropout.p == 0.1


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_half_precision_checkpoints_are_loaded_in_float32(tmp_path: Path, pooling: str) -> None:
    folder = write_family("bert", tmp_path, dtype="bfloat16")

    def halve(weights: dict[str, torch.Tensor]) -> None:
        weights.update({name: tensor.bfloat16() for name, tensor in weights.items()})

    rewrite_weights(folder / "model.safetensors", halve)
    network = build_network(folder, SPACE, pooling, seed=0)

    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_an_encoder_with_missing_weights_is_refused(
    tiny_encoder: Path, tmp_path: Path, pooling: str
) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    key = "encoder.layer.1.output.dense.weight"

    def drop(weights: dict[str, torch.Tensor]) -> None:
        del weights[key]

    rewrite_weights(folder / "model.safetensors", drop)

    with pytest.raises(EncoderError, match=f"1 weights .*{key}"):
        build_network(folder, SPACE, pooling, seed=0)


def test_an_encoder_without_a_pooler_gets_a_new_one(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))

    def drop(weights: dict[str, torch.Tensor]) -> None:
        for key in [key for key in weights if "pooler" in key]:
            del weights[key]

    rewrite_weights(folder / "model.safetensors", drop)

    assert build_network(folder, SPACE, "cls", seed=0).form == "sequence_classification"


def test_an_encoder_of_another_shape_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))

    with pytest.raises(EncoderError, match=r"shape.*intermediate"):
        build_network(folder, SPACE, "mean", seed=0)


def test_damaged_weights_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(EncoderError, match="cut off or damaged"):
        build_network(folder, SPACE, "mean", seed=0)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_classifier_for_other_labels_serves_as_an_encoder(tmp_path: Path, pooling: str) -> None:
    folder = write_family("bert", tmp_path / "encoder")
    save_network(build_network(folder, LabelSpace(("a", "b")), "cls", seed=0), folder)

    network = build_network(folder, SPACE, pooling, seed=1)

    assert logits_of(network, folder, TEXTS).shape == (3, 3)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("names", [("fear", "愛, with a comma", "joy"), ("joy",)])
def test_other_labels_than_those_it_was_saved_with_are_refused(
    tiny_encoder: Path, tmp_path: Path, pooling: str, names: tuple[str, ...]
) -> None:
    save_network(build_network(tiny_encoder, SPACE, pooling, seed=1), tmp_path)

    with pytest.raises(ArtifactError, match="joy, 愛, with a comma, fear"):
        load_network(tmp_path, FORMS[pooling], LabelSpace(names))


def test_a_saved_classifier_that_lost_its_head_is_refused(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    save_network(build_network(tiny_encoder, SPACE, "cls", seed=1), tmp_path)

    def drop(weights: dict[str, torch.Tensor]) -> None:
        del weights["classifier.weight"]

    rewrite_weights(tmp_path / "model.safetensors", drop)

    with pytest.raises(ArtifactError, match=r"1 weights .*classifier"):
        load_network(tmp_path, "sequence_classification", SPACE)


def test_nothing_is_printed_while_loading(
    tiny_encoder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    build_network(tiny_encoder, SPACE, "cls", seed=1)

    assert capfd.readouterr() == ("", "")


def test_one_name_for_every_network_attribute(family: Callable[[str], Path]) -> None:
    networks: list[Any] = [build_network(family("roberta"), SPACE, p, 0) for p in ("cls", "mean")]

    assert [network.config.pad_token_id for network in networks] == [1, 1]
    assert [pad_id(network) for network in networks] == [1, 1]


@pytest.mark.parametrize(
    ("names", "kept"), [(("fear", "joy", "love"), True), (("love", "joy", "fear"), False)]
)
def test_a_head_in_the_checkpoint_is_kept_only_for_the_same_labels(
    tiny_encoder: Path, tmp_path: Path, names: tuple[str, ...], kept: bool
) -> None:
    first = build_network(tiny_encoder, LabelSpace(("fear", "joy", "love")), "cls", 1)
    save_network(first, tmp_path)

    second = build_network(tmp_path, LabelSpace(names), "cls", 2)

    before, after = first.state_dict(), second.state_dict()
    assert torch.equal(before["model.classifier.weight"], after["model.classifier.weight"]) == kept
    same = [key for key in before if "classifier" not in key]
    assert all(torch.equal(before[key], after[key]) for key in same)


@pytest.mark.parametrize("pooling", ["cls", "mean", "attention"])
@pytest.mark.parametrize("name", [*FAMILIES, "deberta-v2"])
def test_offsets_are_those_of_the_labels_where_other_layers_are_as_wide(
    family: Callable[[str], Path], name: str, pooling: str
) -> None:
    folder = family(name)
    space = LabelSpace(tuple(f"label {number}" for number in range(16)))  # as wide as the encoder
    network = build_network(folder, space, pooling, 0)
    before = logits_of(network, folder, TEXTS)
    assert network.label_offsets is not None
    assert network.output_layer is not None
    holder, layer = network.output_layer

    with torch.no_grad():
        network.label_offsets.add_(torch.arange(16.0))

    after = logits_of(network, folder, TEXTS)
    torch.testing.assert_close(after - before, torch.arange(16.0).expand_as(before))
    assert getattr(holder, layer).bias is network.label_offsets
