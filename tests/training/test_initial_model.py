"""What a run starts from: an encoder with a new head, or a finished model with its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.families import write_family, write_tokenizer
from multihot.core.labels import LabelSpace
from multihot.errors import EncoderError, OptionError
from multihot.models.encoder import load_encoder_tokenizer
from multihot.training.initial_model import (
    InitialModel,
    initialize_from_encoder,
    weights_fingerprint,
)

SPACE = LabelSpace(("joy", "love"))


def start(folder: Path, max_length: int | None = None, pooling: str = "auto") -> InitialModel:
    return initialize_from_encoder(
        str(folder), SPACE, pooling=pooling, max_length=max_length, seed=1
    )


def test_the_length_is_the_encoders_limit_when_that_is_below_256(tiny_encoder: Path) -> None:
    assert start(tiny_encoder).max_length == 64


def test_the_length_is_256_when_the_encoder_could_more(tmp_path: Path) -> None:
    write_family("bert", tmp_path, max_position_embeddings=512)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 512}))

    assert start(tmp_path).max_length == 256
    assert start(tmp_path, max_length=512).max_length == 512


@pytest.mark.parametrize(("stated", "length"), [(0.5, 64), (3, 3), (1e30, 64)])
def test_the_tokenizers_limit_counts_where_it_leaves_room_for_a_text(
    tiny_encoder: Path, tmp_path: Path, stated: float, length: int
) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": stated}))
    assert start(folder).max_length == length

    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 2}))
    with pytest.raises(EncoderError, match="allows 2 tokens"):
        start(folder)


def test_a_length_beyond_the_encoders_positions_is_refused(tiny_encoder: Path) -> None:
    with pytest.raises(OptionError, match=r"max_length=65, but the encoder .* for 64 tokens"):
        start(tiny_encoder, max_length=65)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_network_tokenizer_and_labels_come_together(tiny_encoder: Path, pooling: str) -> None:
    found = start(tiny_encoder, pooling=pooling)

    assert found.space == SPACE
    assert found.pooling == pooling
    assert found.tokenizer.get_vocab_size() == found.network.config.vocab_size
    assert found.tokenizer_config["tokenizer_class"] == "BertTokenizer"
    assert load_encoder_tokenizer(tiny_encoder)[1] == found.tokenizer_config


def test_a_tokenizer_with_more_tokens_than_the_encoder_has_vectors_is_refused(
    tmp_path: Path,
) -> None:
    write_family("bert", tmp_path / "small", vocab_size=12)
    write_tokenizer("bert", tmp_path / "small")

    with pytest.raises(EncoderError, match=r"has 2. tokens, but the encoder has embeddings for 12"):
        start(tmp_path / "small")


def test_the_fingerprint_follows_every_weight_and_name(tiny_encoder: Path) -> None:
    network = start(tiny_encoder).network
    first = weights_fingerprint(network)
    again = weights_fingerprint(start(tiny_encoder).network)
    with torch.no_grad():
        next(iter(network.parameters())).view(-1)[0] += 1e-7

    assert len(first) == 64
    assert first == again
    assert first != weights_fingerprint(network)
    assert first != weights_fingerprint(torch.nn.Sequential(start(tiny_encoder).network))


def test_a_copy_of_the_folder_is_the_same_encoder(tiny_encoder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_encoder, tmp_path / "copy"))

    assert weights_fingerprint(start(tiny_encoder).network) == weights_fingerprint(
        start(copy).network
    )


def test_a_new_task_begins_with_the_encoder_of_a_finished_model_and_a_head_of_its_own() -> None:
    from multihot.inference.artifact import load_artifact
    from multihot.models.stored_network import load_network

    folder = Path(__file__).parents[1] / "golden" / "models" / "mean"
    artifact = load_artifact(folder)
    finished = load_network(folder, artifact.form, artifact.decision.space).state_dict()

    new = initialize_from_encoder(
        str(folder), LabelSpace(("x", "y", "z", "w", "v")), pooling="auto", max_length=None, seed=0
    )

    weights = new.network.state_dict()
    assert new.pooling == "mean"
    assert all(torch.equal(weights[key], finished[key]) for key in weights if key[:8] == "encoder.")
    assert any(key[:8] == "encoder." for key in weights)
    assert any(weights[key].shape != finished[key].shape for key in weights)


def test_weights_that_are_no_numbers_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name, tensor in weights.items() if tensor.is_floating_point())
    weights[name].view(-1)[0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(EncoderError, match=r"the weight '.*' has values that are NaN or infinite"):
        start(folder)
