"""The files of a finished model are compared with each other before anything is built of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from multihot.core.labels import LabelSpace
from multihot.data.tokens import LabelPrompt, StoredTokenizer
from multihot.errors import ArtifactError
from multihot.models.network import build_network, save_network
from multihot.models.stored_network import load_network, require_fit

SPACE = LabelSpace(("joy", "fear"))
PROMPT = LabelPrompt(spans=((1, 2), (2, 4)), length=5, text_type=1)
FORM = "encoder_and_head"


def save_with_head(encoder: Path, folder: Path, pooling: str) -> None:
    prompt = PROMPT if pooling == "labels" else None
    save_network(build_network(encoder, SPACE, pooling, 1, prompt), folder)


def rewrite_head(
    folder: Path,
    weights: Callable[[dict[str, torch.Tensor]], None] = lambda found: None,
    **description: Any,
) -> None:
    path = folder / "head.safetensors"
    with safe_open(path, framework="pt") as file:
        stored = json.loads(file.metadata()["head"])
    tensors = load_file(path)
    weights(tensors)
    save_file(tensors, path, metadata={"head": json.dumps({**stored, **description})})


def refusal(folder: Path, form: str = FORM, pooling: str | None = None) -> str:
    with pytest.raises(ArtifactError) as caught:
        load_network(folder, form, SPACE, pooling=pooling)
    return str(caught.value)


def test_weights_are_what_was_read_whatever_becomes_of_the_file(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    save_with_head(tiny_encoder, tmp_path, "mean")
    network = load_network(tmp_path, FORM, SPACE)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    for path in tmp_path.rglob("*.safetensors"):
        with path.open("rb+") as file:  # in place, as a copy over it would
            file.write(bytes(path.stat().st_size))

    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())


def test_weights_begin_where_they_may_be_read_fast_and_can_be_trained(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    save_with_head(tiny_encoder, tmp_path, "mean")
    network = load_network(tmp_path, FORM, SPACE)

    for parameter in network.parameters():
        assert parameter.requires_grad
        assert parameter.dtype == torch.float32
        assert parameter.data_ptr() % 4 == 0
        with torch.no_grad():
            parameter.add_(1)


@pytest.mark.parametrize("pooling", ["mean", "attention", "labels"])
def test_a_head_of_another_pooling_than_the_models_is_refused(
    tiny_encoder: Path, tmp_path: Path, pooling: str
) -> None:
    save_with_head(tiny_encoder, tmp_path, pooling)
    other = "attention" if pooling == "mean" else "mean"

    assert load_network(tmp_path, FORM, SPACE, pooling=pooling)
    assert f"is a head for {pooling} pooling" in refusal(tmp_path, pooling=other)
    rewrite_head(tmp_path, pooling="attention" if pooling != "attention" else "mean", prompt=None)
    assert "has the shape" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"labels": ["joy", 3]}, "its labels are ['joy', 3]"),
        ({"labels": {"joy": 1}}, "its labels are {'joy': 1}"),
        ({"labels": ["fear", "joy"]}, "has the labels fear, joy, thresholds.json has joy, fear"),
        ({"pooling": ["mean"]}, "its pooling is ['mean']"),
        ({"pooling": "cls"}, "its pooling is 'cls'"),
        ({"prompt": None}, "its prompt is None with labels pooling"),
        ({"prompt": 5}, "its prompt is 5"),
        ({"prompt": {}}, "its prompt is {}"),
        ({"prompt": {"spans": [[1, 2]], "length": 5, "text_type": 1}}, "for each of 2 labels"),
        ({"prompt": {"spans": [[2, 4], [1, 2]], "length": 5, "text_type": 1}}, "one after the"),
        ({"prompt": {"spans": [[1, 1], [2, 4]], "length": 5, "text_type": 1}}, "a span of tokens"),
        ({"prompt": {"spans": [[1, 2], [2, 9]], "length": 5, "text_type": 1}}, "a span of tokens"),
        ({"prompt": {"spans": [[1, 2], [2, 1 << 40]], "length": 1 << 41, "text_type": 1}}, "span"),
        ({"prompt": {"spans": [[1, 2], [2, 4]], "length": 5, "text_type": 7}}, "a span of tokens"),
    ],
)
def test_a_description_of_a_head_that_makes_no_sense_is_refused(
    tiny_encoder: Path, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    save_with_head(tiny_encoder, tmp_path, "labels")
    rewrite_head(tmp_path, **change)

    found = refusal(tmp_path)
    assert reason in found
    assert "head.safetensors" in found


def test_a_description_that_is_no_table_or_nested_deeply_is_refused(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    save_with_head(tiny_encoder, tmp_path, "mean")
    path = tmp_path / "head.safetensors"
    tensors = load_file(path)

    for text, reason in (("[]", "is described by []"), ("[" * 100_000, "inside each other")):
        save_file(tensors, path, metadata={"head": text})
        assert reason in refusal(tmp_path)


def test_weights_of_a_head_in_another_number_shape_or_type_are_refused(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    def rows(tensors: dict[str, torch.Tensor]) -> None:
        tensors["classifier.weight"] = torch.zeros(3, tensors["classifier.weight"].shape[1])

    def missing(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["classifier.bias"]

    def more(tensors: dict[str, torch.Tensor]) -> None:
        tensors["other"] = torch.zeros(1)

    def integers(tensors: dict[str, torch.Tensor]) -> None:
        tensors["classifier.bias"] = torch.zeros(2, dtype=torch.int64)

    for change, reason in (
        (rows, "'classifier.weight' has the shape (3, "),
        (missing, "'classifier.bias' has the shape None"),
        (more, "'other' has the shape (1,); expected None"),
        (integers, "'classifier.bias' is of type 'I64'"),
    ):
        save_with_head(tiny_encoder, tmp_path, "mean")
        rewrite_head(tmp_path, change)
        assert reason in refusal(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id2label": ["joy", "fear"]}, "'id2label' is ['joy', 'fear']"),
        ({"id2label": {"0": "joy", "2": "fear"}}, "'id2label' is"),
        ({"num_labels": 10**9}, "'num_labels' is 1000000000; there are 2 labels"),
        ({"id2label": {"0": "fear", "1": "joy"}}, "has the labels fear, joy"),
        ({"model_type": "unheard-of"}, "'model_type' is 'unheard-of'"),
        ({"model_type": None}, "'model_type' is None"),
    ],
)
def test_a_configuration_for_other_labels_is_refused(
    tiny_encoder: Path, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    save_network(build_network(tiny_encoder, SPACE, "cls", 1), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **change}), "utf-8")

    found = refusal(tmp_path, "sequence_classification")
    assert reason in found
    assert "config.json" in found


def test_no_other_file_of_the_folder_is_read(tiny_encoder: Path, tmp_path: Path) -> None:
    save_network(build_network(tiny_encoder, SPACE, "cls", 1), tmp_path)
    index = {"metadata": {}, "weight_map": {"classifier.weight": "../other.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "../x"}', "utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"never read")

    assert load_network(tmp_path, "sequence_classification", SPACE)


def test_a_length_or_a_vocabulary_that_the_encoder_lacks_is_refused(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    save_with_head(tiny_encoder, tmp_path, "mean")
    network: Any = load_network(tmp_path, FORM, SPACE)
    positions, vectors = network.config.max_position_embeddings, network.config.vocab_size
    fitting, larger = _words(vectors), _words(vectors + 1)

    require_fit(network, fitting, tmp_path, positions)
    with pytest.raises(ArtifactError, match=f"has positions for {positions} tokens"):
        require_fit(network, fitting, tmp_path, positions + 1)
    with pytest.raises(ArtifactError, match=rf"has {vectors + 1} tokens, .* for {vectors}"):
        require_fit(network, larger, tmp_path, positions)


def test_a_length_without_room_for_a_text_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    save_with_head(tiny_encoder, tmp_path, "mean")
    network: Any = load_network(tmp_path, FORM, SPACE)
    stored = _words(network.config.vocab_size)
    stored.tokenizer.post_processor = TemplateProcessing(
        single="w1 $A w2", special_tokens=[("w1", 1), ("w2", 2)]
    )

    require_fit(network, stored, tmp_path, 3)
    with pytest.raises(ArtifactError, match="puts 2 special tokens around a text"):
        require_fit(network, stored, tmp_path, 2)


def test_a_tokenizer_without_the_labels_of_its_network_is_refused(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    save_with_head(tiny_encoder, tmp_path, "labels")
    network: Any = load_network(tmp_path, FORM, SPACE)

    with pytest.raises(
        ArtifactError, match=r"tokenizer\.json puts 0 tokens before a text.* trained with \d+"
    ):
        require_fit(network, _words(network.config.vocab_size), tmp_path, 32)


def _words(number: int) -> StoredTokenizer:
    vocabulary = {f"w{each}": each for each in range(number)}
    return StoredTokenizer(Tokenizer(WordLevel(vocabulary, unk_token="w0")), number - 1)
