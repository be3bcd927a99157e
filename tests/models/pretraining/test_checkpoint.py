"""Models to pretrain: new ones, existing ones, and what transformers finds in their folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from models.families import write_family
from models.pretraining.tiny import packed_network, write_bert
from multihot.errors import EncoderError, OptionError, StorageError
from multihot.models.encoder import load_encoder_tokenizer
from multihot.models.pretraining.checkpoint import (
    SIZES,
    Shape,
    load_heads,
    load_pretraining_model,
    new_pretraining_model,
    save_pretraining_model,
    shape_of,
)

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert", "electra", "modernbert")


def _names(folder: Path) -> set[str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return set(file.keys())


def _pretrained(family: str, folder: Path) -> Path:
    """Return the folder of a tiny model with a masked-language-model head."""
    encoder = write_family(family, folder / "encoder")
    model = load_pretraining_model(encoder, seed=1, next_sentence=False).model
    save_pretraining_model(model, *load_encoder_tokenizer(encoder), folder / "saved")
    return folder / "saved"


# The sizes, and new models


def test_the_sizes_are_those_of_the_papers() -> None:
    assert {name: (shape.num_layers, shape.width) for name, shape in SIZES.items()} == {
        "tiny": (2, 128),
        "mini": (4, 256),
        "small": (4, 512),
        "medium": (8, 512),
        "base": (12, 768),
    }


def test_a_size_is_a_name_or_layers_and_width() -> None:
    assert shape_of("mini") == Shape(4, 256)
    assert shape_of("12x512") == Shape(12, 512)


@pytest.mark.parametrize("size", ["huge", "", "x", "4x", "0x64", "4x256x2", "-1x64"])
def test_another_name_of_a_size_is_refused(size: str) -> None:
    with pytest.raises(OptionError, match="expected tiny, mini"):
        shape_of(size)


@pytest.mark.parametrize("size", ["4x100", "4x0"])
def test_a_width_that_heads_do_not_fill_is_refused(size: str) -> None:
    with pytest.raises(OptionError, match="multiple of 64"):
        shape_of(size)


def test_a_new_model_is_built_like_bert() -> None:
    from transformers import BertForPreTraining

    model: Any = new_pretraining_model("tiny", 100, seed=1, max_positions=48)

    assert type(model) is BertForPreTraining
    assert model.config.num_attention_heads == 2
    assert model.config.intermediate_size == 512
    assert model.config.max_position_embeddings == 48
    assert model.config.hidden_dropout_prob == model.config.attention_probs_dropout_prob == 0.1
    predictions = model.cls.predictions
    assert predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight
    assert predictions.decoder.bias is predictions.bias


def test_base_is_as_large_as_bert_base() -> None:
    with torch.device("meta"):
        model = new_pretraining_model("base", 30522, seed=1)

    # 109.5 million in the encoder with its pooler, 0.6 in the head's transform, V biases, NSP.
    assert sum(p.numel() for p in model.parameters()) == 109_482_240 + 592_128 + 30522 + 1538


def test_the_first_weights_are_normal_with_a_deviation_of_two_hundredths() -> None:
    model = new_pretraining_model("tiny", 500, seed=1)

    matrices = [
        weight.detach()
        for name, weight in model.named_parameters()
        if weight.ndim == 2 and weight.numel() > 10_000
    ]
    assert len(matrices) > 10
    for weight in matrices:
        assert abs(weight.std().item() - 0.02) < 0.001
    rest = {name: weight for name, weight in model.named_parameters() if weight.ndim == 1}
    assert all((weight == 0).all() for name, weight in rest.items() if name.endswith("bias"))
    assert all((weight == 1).all() for name, weight in rest.items() if name.endswith("weight"))


def test_the_seed_decides_the_weights_and_leaves_other_draws_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)

    torch.manual_seed(5)
    one, other, third = (
        new_pretraining_model("1x64", 30, seed=seed).state_dict() for seed in (1, 1, 2)
    )

    assert torch.equal(torch.rand(3), expected)
    name = "bert.embeddings.word_embeddings.weight"
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not torch.equal(one[name], third[name])


def test_without_the_next_sentence_task_there_is_no_head_for_it() -> None:
    model: Any = new_pretraining_model("1x64", 30, seed=1, next_sentence=False)

    assert not hasattr(model.cls, "seq_relationship")
    assert model.bert.pooler is None


def test_attention_dropout_can_differ() -> None:
    model: Any = new_pretraining_model("1x64", 30, seed=1, dropout=0.2, attention_dropout=0.0)

    assert model.config.hidden_dropout_prob == 0.2
    assert model.config.attention_probs_dropout_prob == 0.0


# Existing encoders


def test_an_encoder_without_heads_gets_new_ones_and_says_so(tmp_path: Path) -> None:
    folder = write_family("bert", tmp_path)

    start = load_pretraining_model(folder, seed=1, next_sentence=True)

    model: Any = start.model
    assert start.new_heads == {"masked-language-model", "next-sentence"}
    assert f"{folder} has no masked-language-model head" in start.notes[0]
    assert start.notes[1] == f"{folder} has no next-sentence head: a new one is trained along."
    decoder = model.cls.predictions.decoder
    assert decoder.weight is model.bert.embeddings.word_embeddings.weight


def test_new_heads_are_drawn_from_the_seed(tmp_path: Path) -> None:
    folder = write_family("bert", tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(3)

    torch.manual_seed(5)
    found = [
        load_pretraining_model(folder, seed=seed).model.state_dict()[
            "cls.predictions.transform.dense.weight"
        ]
        for seed in (1, 1, 2)
    ]

    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_heads_of_a_checkpoint_are_kept_to_the_last_bit(tmp_path: Path) -> None:
    folder = write_bert(tmp_path)

    start = load_pretraining_model(folder, seed=7)

    assert (start.notes, start.new_heads) == ((), frozenset())
    expected = load_pretraining_model(folder, seed=8).model.state_dict()
    assert all(torch.equal(weight, expected[k]) for k, weight in start.model.state_dict().items())
    assert "cls.seq_relationship.weight" in expected


def test_without_a_next_sentence_head_only_masks_are_trained(tmp_path: Path) -> None:
    folder = write_bert(tmp_path, next_sentence=False)

    start = load_pretraining_model(folder, seed=1)

    assert start.notes == (
        f"{folder} has no next-sentence head: only masked tokens are predicted.",
    )
    assert start.new_heads == frozenset()
    assert not hasattr(start.model.cls, "seq_relationship")


def test_a_next_sentence_head_is_added_or_dropped_on_request(tmp_path: Path) -> None:
    without = write_bert(tmp_path / "without", next_sentence=False)
    with_head = write_bert(tmp_path / "with")

    added = load_pretraining_model(without, seed=1, next_sentence=True)
    dropped: Any = load_pretraining_model(with_head, seed=1, next_sentence=False)

    assert added.new_heads == {"next-sentence"}
    assert added.notes == (f"{without} has no next-sentence head: a new one is trained along.",)
    assert not hasattr(dropped.model.cls, "seq_relationship")
    assert dropped.notes == ()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_keeps_its_head_tied_in_memory_and_on_disk(
    family: str, tmp_path: Path
) -> None:
    folder = _pretrained(family, tmp_path)

    start = load_pretraining_model(folder, seed=2, next_sentence=False)

    model: Any = start.model
    table = model.get_input_embeddings().weight
    assert model.get_output_embeddings().weight is table
    assert start.new_heads == frozenset()
    assert not [
        name
        for name in _names(folder)
        if name.endswith(("decoder.weight", "lm_head.weight", "projector.weight"))
    ]


def test_another_family_has_no_next_sentence_head(tmp_path: Path) -> None:
    folder = write_family("roberta", tmp_path)

    with pytest.raises(EncoderError, match=r"'roberta'.*next-sentence"):
        load_pretraining_model(folder, seed=1, next_sentence=True)


@pytest.mark.parametrize("family", ["mpnet", "deberta-v2"])
def test_a_family_whose_head_is_not_known_is_refused(family: str, tmp_path: Path) -> None:
    folder = write_family(family, tmp_path)

    with pytest.raises(EncoderError, match=f"'{family}'.* bert,"):
        load_pretraining_model(folder, seed=1)


def test_an_incomplete_encoder_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_bert(tmp_path)
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: weight for name, weight in weights.items() if "layer.1.output" not in name},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )

    with pytest.raises(EncoderError, match="4 weights"):
        load_pretraining_model(folder, seed=1)


def test_the_rules_of_trust_hold_here_too(tmp_path: Path) -> None:
    folder = write_bert(tmp_path)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["auto_map"] = {"AutoModel": "code.Model"}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")

    with pytest.raises(EncoderError, match="auto_map"):
        load_pretraining_model(folder, seed=1)


def test_missing_heads_are_named(tmp_path: Path) -> None:
    encoder = write_family("bert", tmp_path / "encoder", seed=3)
    saved = write_bert(tmp_path, next_sentence=False)

    assert "masked-language-model" in load_heads(encoder, next_sentence=True)[1]
    assert load_heads(saved, next_sentence=True)[1] == {"next-sentence"}
    assert load_heads(saved, next_sentence=False)[1] == set()


# Folders


@pytest.mark.parametrize(
    "name",
    ["AutoModelForPreTraining", "AutoModelForMaskedLM", "AutoModelForNextSentencePrediction"],
)
def test_transformers_finds_every_weight_of_its_pretraining_classes(
    name: str, tmp_path: Path
) -> None:
    import transformers

    folder = write_bert(tmp_path)

    _, loading = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)

    assert not loading["missing_keys"]
    assert not loading["mismatched_keys"]


def test_the_bare_encoder_and_the_tokenizer_load_in_transformers(tmp_path: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = write_bert(tmp_path, max_positions=48)

    encoder, loading = AutoModel.from_pretrained(folder, output_loading_info=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    assert not loading["missing_keys"]
    assert encoder.config._attn_implementation == "sdpa"
    assert tokenizer.model_max_length == 48
    assert tokenizer("i am [MASK]")["input_ids"][3] == tokenizer.mask_token_id


def test_a_network_that_ran_packed_is_saved_as_if_it_had_not(tmp_path: Path) -> None:
    folder = write_bert(tmp_path)
    start = load_pretraining_model(folder, seed=1)
    network = packed_network(start.model)

    save_pretraining_model(network.model, *load_encoder_tokenizer(folder), tmp_path / "again")

    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes(), name


def test_a_save_that_fails_leaves_no_encoder_that_could_be_taken_for_one(tmp_path: Path) -> None:
    folder = write_bert(tmp_path)
    start = load_pretraining_model(folder, seed=1)
    (tmp_path / "file").write_text("in the way", "utf-8")

    with pytest.raises(StorageError, match=r"Cannot write .*file"):
        save_pretraining_model(
            start.model, *load_encoder_tokenizer(folder), tmp_path / "file" / "model"
        )

    assert (tmp_path / "file").read_text("utf-8") == "in the way"


def test_saving_replaces_an_earlier_model_and_leaves_nothing_aside(tmp_path: Path) -> None:
    folder = write_bert(tmp_path)
    start = load_pretraining_model(folder, seed=1, next_sentence=False)

    save_pretraining_model(start.model, *load_encoder_tokenizer(folder), folder)

    names = sorted(path.name for path in folder.iterdir())
    assert names == ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert not [name for name in _names(folder) if "seq_relationship" in name]


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_fine_tuning_starts_from_the_folder_and_packs(pooling: str, tmp_path: Path) -> None:
    from emotions import QUICK, write_jsonl
    from multihot.core.labels import LabelSpace
    from multihot.core.options import TrainOptions
    from multihot.core.progress import Listener
    from multihot.core.recipes import build_options
    from multihot.data.labelled_file import read_examples
    from multihot.inference.predictor import Predictor
    from multihot.models.network import build_network
    from multihot.models.packed.self_test import enable_packed
    from multihot.workflows.train import train

    class Heard(Listener):
        def __init__(self) -> None:
            self.said: list[str] = []

        def say(self, message: str) -> None:
            self.said.append(message)

    folder = write_bert(tmp_path)
    network = build_network(folder, LabelSpace(("joy", "fear")), pooling, seed=1)
    expected = load_pretraining_model(folder, seed=1).model.state_dict()
    found = {name.split("bert.")[-1]: weight for name, weight in network.state_dict().items()}
    name = "encoder.layer.1.output.dense.weight"
    key = next(key for key in found if key.endswith(name.removeprefix("encoder.")))
    assert torch.equal(found[key], expected[f"bert.{name}"])
    assert enable_packed(network) is None

    training = read_examples(write_jsonl(tmp_path / "train.jsonl"))
    assert training.labels is not None
    options = {
        "encoder": str(folder),
        **QUICK,
        "epochs": 1,
        "pooling": pooling,
        "max_unknown_fraction": 1.0,  # its vocabulary is of a few words
    }
    heard = Heard()
    train(
        training,
        None,
        build_options(TrainOptions, options),
        tmp_path / "model",
        listener=heard,
    )

    assert any("Packed execution enabled" in line for line in heard.said), heard.said
    scores = Predictor.load(tmp_path / "model", device="cpu").scores(["i am happy"])
    assert np.isfinite(scores).all()
